"""Scores of many cases, added up: each tool at its default and at a matched rate of false pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.known_faults.cases import LIVE_HOURS, ONSET_HOUR, Case, CaseKey
from benchmarks.detection.known_faults.scoring import (
    PERIOD_HOURS,
    REMINDER_HOURS,
    Page,
    Seen,
    false_pages,
    garwood,
    mean_time_to_false_alarm,
    pages_of,
    seen_in,
    strictest_needed,
)

#: What each rival is called, the folder of its scores, and its settings: a prefix of their names, the default first.
RIVALS = {
    "NannyML ±3σ": ("nannyml", "nannyml"),
    "Evidently preset": ("evidently", "evidently"),
    "KS + Bonferroni": ("tests", "ks"),
    "PSI > 0.2": ("tests", "psi"),
    "ADWIN": ("river", "adwin"),
    "Page-Hinkley": ("river", "page_hinkley"),
    "KSWIN": ("river", "kswin"),
}
DEFAULTS = {"adwin": "adwin 0.002", "page_hinkley": "page_hinkley 50", "kswin": "kswin 0.005"}


@dataclass
class Tally:
    """What one tool did at one setting, in some cases."""

    hours: int = 0
    false_pages: int = 0
    seen: list[Seen] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add another's."""
        self.hours += other.hours
        self.false_pages += other.false_pages
        self.seen += other.seen

    def of(self, fault: str) -> list[Seen]:
        """Return what came of one fault."""
        return [s for s in self.seen if s.fault == fault]

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the table."""
        periods = self.hours / PERIOD_HOURS
        low, high = garwood(self.false_pages)
        return {
            "false_pages": self.false_pages,
            "days": self.hours / 24,
            "false_pages_per_30_days": self.false_pages / periods,
            "interval_95": [low / periods, high / periods],
            "mean_hours_to_false_alarm": mean_time_to_false_alarm(self.hours, self.false_pages),
            "faults": {name: summary_of(self.of(name)) for name in dict.fromkeys(s.fault for s in self.seen)},
            "all": summary_of(self.seen),
        }


#: Tallies by tool, by ``default`` or ``matched``, by order of the rows.
Found = dict[str, dict[str, dict[str, Tally]]]


def summary_of(seen: Sequence[Seen]) -> dict[str, Any]:
    """Return delays (a miss counts as infinite), misses, and how often the culprit was named."""
    delays = np.array([s.delay for s in seen])
    ranks = np.array([s.rank for s in seen if np.isfinite(s.delay)])
    median, late = (float(np.quantile(delays, q, method="inverted_cdf")) for q in (0.5, 0.9))
    return {
        "runs": len(seen),
        "median_delay_panes": _finite(median),
        "p90_delay_panes": _finite(late),
        "miss_rate": float(np.mean(np.isinf(delays))),
        "first": float(np.mean(ranks == 1)) if len(ranks) else None,
        "first_three": float(np.mean((ranks >= 1) & (ranks <= 3))) if len(ranks) else None,
    }


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def gather(cases: Iterable[CaseKey], load: Callable[[CaseKey], Case], out: Path, seawall: str) -> Found:
    """Return tallies by tool, by ``default`` or ``matched``, by order of the rows.

    A rival's matched threshold is chosen anew for each order: the most sensitive one that pages at most once in 30 days
    on these very quiet streams.
    """
    found: Found = {}
    by_order: dict[str, list[Case]] = {}
    for key in cases:
        by_order.setdefault(key.order, []).append(load(key))
    for order, members in by_order.items():
        tally = _seawall(members, out / "scores" / seawall)
        if tally is not None:
            found.setdefault("Seawall", {}).setdefault("default", {})[order] = tally
        for tool, (folder, prefix) in RIVALS.items():
            paths = [out / "scores" / folder / c.key.file for c in members]
            if all(p.is_file() for p in paths):
                for mode, made in _rival(members, [np.load(p) for p in paths], prefix).items():
                    found.setdefault(tool, {}).setdefault(mode, {})[order] = made
    return found


def _seawall(cases: Sequence[Case], folder: Path) -> Tally | None:
    tally = Tally()
    for case in cases:
        path = folder / f"{Path(case.key.file).stem}.json"
        if not path.is_file():
            return None
        told = json.loads(path.read_text())
        tally.hours += LIVE_HOURS
        tally.false_pages += sum(
            1 + ((LIVE_HOURS if p["closed"] is None else p["closed"]) - p["hour"]) // REMINDER_HOURS
            for p in told["quiet"]
        )
        quiet, *faulty = (
            [Page(p["hour"], tuple(p["culprits"])) for p in pages]
            for pages in (told["quiet"], *told["faults"])
        )
        known = quiet if case.protocol.discounts else ()
        for hit, pages in zip(case.hits, faulty, strict=True):
            tally.seen.append(seen_in(hit.fault.name, pages, ONSET_HOUR, hit.culprits, known))
    return tally


def _rival(cases: Sequence[Case], scores: Sequence[Any], prefix: str) -> dict[str, Tally]:
    settings = [k.removeprefix("quiet/") for k in scores[0].files if k.startswith(f"quiet/{prefix}")]
    default = DEFAULTS.get(prefix, settings[0])
    quiet = {s: [np.asarray(f[f"quiet/{s}"], np.float64) for f in scores] for s in settings}
    allowed = sum(len(q) for q in quiet[default]) / PERIOD_HOURS
    if len(settings) == 1:
        chosen, threshold = default, strictest_needed(quiet[default], allowed)
    else:
        pages = {s: sum(false_pages(q) for q in quiet[s]) for s in settings}
        within = {s: n for s, n in pages.items() if n <= allowed}
        chosen = max(within, key=lambda s: within[s]) if within else min(pages, key=lambda s: pages[s])
        threshold = 1.0
    return {
        "default": _tally(cases, scores, quiet[default], default, 1.0),
        "matched": _tally(cases, scores, quiet[chosen], chosen, threshold),
    }


def _tally(
    cases: Sequence[Case], scores: Sequence[Any], quiet: Sequence[np.ndarray], setting: str, threshold: float
) -> Tally:
    tally = Tally()
    for case, file, levels in zip(cases, scores, quiet, strict=True):
        names = [*case.live.numeric, *case.live.categorical]
        tally.hours += len(levels)
        tally.false_pages += false_pages(levels, threshold)
        known = pages_of(levels, names, threshold) if case.protocol.discounts else ()
        for i, hit in enumerate(case.hits):
            changed = np.asarray(file[f"fault/{i}/{setting}"], np.float64)
            hurt = levels[: len(changed)].copy()
            for j, name in enumerate([*hit.numeric, *hit.categorical]):
                hurt[:, names.index(name)] = changed[:, j]
            pages = pages_of(hurt, names, threshold)
            tally.seen.append(seen_in(hit.fault.name, pages, ONSET_HOUR, hit.culprits, known))
    return tally


def together(by_order: dict[str, Tally]) -> Tally:
    """Add up the tallies of all orders."""
    out = Tally()
    for tally in by_order.values():
        out.add(tally)
    return out


def at(found: Found, tool: str, mode: str) -> Tally | None:
    """Return a tool's tally over all orders; Seawall has its default only."""
    modes = found.get(tool, {})
    tallies = modes.get("default" if tool == "Seawall" else mode)
    return together(tallies) if tallies else None


def median_delay(seen: Mapping[str, Any]) -> float:
    """Return the median delay of a `summary_of`, infinite where most were missed."""
    return np.inf if seen["median_delay_panes"] is None else float(seen["median_delay_panes"])
