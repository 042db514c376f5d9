"""Tables, plots and ``detection.json`` from what `results` added up."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.known_faults import plots
from benchmarks.detection.known_faults.cases import CaseKey, Protocol, make
from benchmarks.detection.known_faults.faults import Fault
from benchmarks.detection.known_faults.results import RIVALS, Found, Tally, at, gather, median_delay, together
from benchmarks.detection.known_faults.tables import load

NONE = "–"


def write(
    done: Mapping[Protocol, Sequence[CaseKey]], out: Path, packages: Path, seawall: str = "seawall"
) -> None:
    """Write ``results.md`` and two plots in each protocol's folder, and what it found into ``detection.json``.

    What that file says of protocols that were not played now is kept.
    """
    path = out.with_suffix(".json")
    said = json.loads(path.read_text()).get("protocols", {}) if path.is_file() else {}
    for protocol, keys in done.items():
        home = out / protocol.folder

        def case(key: CaseKey, protocol: Protocol = protocol) -> Any:
            return make(key, load(key.table, packages, out / "tables"), protocol)

        found = gather(keys, case, home, seawall)
        if not found:
            print(f"{protocol.name}: nothing was scored yet")
            continue
        text = markdown(found, protocol.faults)
        (home / "results.md").write_text(text)
        plots.draw(found, protocol.faults, home)
        said[protocol.name] = _said(found, keys, protocol.faults)
        print(f"# {protocol.title}\n\n{text}")
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    made = datetime.now(UTC).isoformat(timespec="seconds")
    path.write_text(json.dumps({"made": made, "machine": machine, "protocols": said}, indent=1))


def _said(found: Found, keys: Sequence[CaseKey], faults: Sequence[Fault]) -> dict[str, Any]:
    """Return what ``detection.json`` says of a protocol."""
    return {
        "cases": [k.file.removesuffix(".npz") for k in keys],
        "tools": {
            tool: {
                mode: {"together": together(tallies).summary()} | {o: t.summary() for o, t in tallies.items()}
                for mode, tallies in modes.items()
            }
            for tool, modes in found.items()
        },
        "at_or_below": {name: row["at_or_below"] for name, row in verdict(found, faults).items()},
    }


def markdown(found: Found, faults: Sequence[Fault]) -> str:
    """Return the tables of the documentation."""
    parts = [
        _false_pages(found),
        _faults(found, faults, "default"),
        _faults(found, faults, "matched"),
        _culprits(found, faults),
        _verdict(found, faults),
    ]
    return "\n\n".join(parts) + "\n"


def _false_pages(found: Found) -> str:
    orders = list(dict.fromkeys(o for modes in found.values() for t in modes.values() for o in t))
    lines = [
        f"| false pages in 30 days | {' | '.join(orders)} | all | MTFA, days |",
        f"|---|{'---|' * (len(orders) + 2)}",
    ]
    for tool, modes in found.items():
        for mode, tallies in modes.items():
            cells = [
                f"{tallies[o].summary()['false_pages_per_30_days']:.2f}" if o in tallies else NONE
                for o in orders
            ]
            whole = together(tallies).summary()
            low, high = whole["interval_95"]
            every = f"{whole['false_pages_per_30_days']:.2f} ({low:.2f} to {high:.2f})"
            name = tool if tool == "Seawall" else f"{tool}, {mode}"
            lines.append(
                f"| {name} | {' | '.join(cells)} | {every} | {whole['mean_hours_to_false_alarm'] / 24:.1f} |"
            )
    return "\n".join(lines)


def _faults(found: Found, faults: Sequence[Fault], mode: str) -> str:
    tools = [t for t in ("Seawall", *RIVALS) if at(found, t, mode)]
    lines = [
        f"| median delay in panes, missed; {mode} | {' | '.join(tools)} |",
        f"|---|{'---|' * len(tools)}",
    ]
    for fault in faults:
        cells = [_cell(at(found, tool, mode), fault.name) for tool in tools]
        lines.append(f"| {fault.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(tally: Tally | None, fault: str) -> str:
    seen = tally.summary()["faults"].get(fault) if tally else None
    if not seen:
        return NONE
    delay = NONE if seen["median_delay_panes"] is None else f"{seen['median_delay_panes']:.0f}"
    return f"{delay}, {seen['miss_rate']:.0%}" if seen["miss_rate"] else delay


def _culprits(found: Found, faults: Sequence[Fault]) -> str:
    """Return how often the culprit was named; of a prior shift no column is."""
    decoyed = {f.name for f in faults if f.kind == "decoys"}
    single = {f.name for f in faults if f.kind not in ("decoys", "prior")}
    more = ["first of `decoys`", "within three of `decoys`"] if decoyed else ["within three"]
    lines = [
        f"| culprit named, of pages at the matched rate | first | {' | '.join(more)} |",
        f"|---|{'---|' * (1 + len(more))}",
    ]
    for tool in ("Seawall", *RIVALS):
        tally = at(found, tool, "matched")
        if tally:
            ranks = [s.rank for s in tally.seen if s.fault in single and np.isfinite(s.delay)]
            among = [s.rank for s in tally.seen if s.fault in decoyed and np.isfinite(s.delay)]
            cells = [_share([r == 1 for r in ranks])]
            cells += [_share([r == 1 for r in among])] if decoyed else []
            cells += [_share([0 < r <= 3 for r in (among if decoyed else ranks)])]
            lines.append(f"| {tool} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(true: Sequence[bool]) -> str:
    return f"{np.mean(true):.0%}" if true else NONE


def verdict(found: Found, faults: Sequence[Fault]) -> dict[str, dict[str, Any]]:
    """Compare Seawall, fault by fault, with the best of the others at the matched rate."""
    ours = at(found, "Seawall", "default")
    out = {}
    for fault in faults if ours else ():
        mine = ours.summary()["faults"].get(fault.name) if ours else None
        others = {t: at(found, t, "matched") for t in RIVALS}
        theirs = {t: a.summary()["faults"][fault.name] for t, a in others.items() if a and a.of(fault.name)}
        if mine and theirs:
            best_delay = min(median_delay(s) for s in theirs.values())
            best_miss = min(s["miss_rate"] for s in theirs.values())
            out[fault.name] = {
                "delay": median_delay(mine),
                "best_delay": best_delay,
                "by_delay": [t for t, s in theirs.items() if median_delay(s) == best_delay],
                "miss": mine["miss_rate"],
                "best_miss": best_miss,
                "at_or_below": median_delay(mine) <= best_delay and mine["miss_rate"] <= best_miss,
            }
    return out


def _verdict(found: Found, faults: Sequence[Fault]) -> str:
    lines = [
        "| fault | Seawall: delay, missed | best of the others, each at its best | at or below both |",
        "|---|---|---|---|",
    ]
    said = verdict(found, faults)
    for name, row in said.items():
        best = f"{row['best_delay']:.0f} ({', '.join(row['by_delay'])}), {row['best_miss']:.0%}"
        lines.append(
            f"| {name} | {row['delay']:.0f}, {row['miss']:.0%} | {best} | {'yes' if row['at_or_below'] else 'no'} |"
        )
    won = sum(row["at_or_below"] for row in said.values())
    return "\n".join(
        [*lines, "", f"At or below the best of the others in both: {won} of {len(said)} faults."]
    )
