"""Tables, plots and ``detection.json`` from what `results` added up."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.known_faults.cases import CaseKey, make
from benchmarks.detection.known_faults.faults import FAULTS
from benchmarks.detection.known_faults.results import RIVALS, Tally, gather, together
from benchmarks.detection.known_faults.tables import load

NONE = "–"
Found = dict[str, dict[str, dict[str, Tally]]]


def write(keys: Sequence[CaseKey], out: Path, packages: Path, seawall: str = "seawall") -> None:
    """Write ``detection.json``, ``results.md`` and two plots under `out`."""
    found = gather(keys, lambda k: make(k, load(k.table, packages, out / "tables")), out, seawall)
    if not found:
        print("nothing was scored yet")
        return
    text = markdown(found)
    (out / "results.md").write_text(text)
    said = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}",
        "cases": [k.file.removesuffix(".npz") for k in keys],
        "tools": {
            tool: {
                mode: {"together": together(tallies).summary()} | {o: t.summary() for o, t in tallies.items()}
                for mode, tallies in modes.items()
            }
            for tool, modes in found.items()
        },
    }
    out.with_suffix(".json").write_text(json.dumps(said, indent=1))
    plot(found, out)
    print(text)


def markdown(found: Found) -> str:
    """Return the tables of the documentation."""
    parts = [
        _false_pages(found),
        _faults(found, "default"),
        _faults(found, "matched"),
        _culprits(found),
        _verdict(found),
    ]
    return "\n\n".join(parts) + "\n"


def _at(found: Found, tool: str, mode: str) -> Tally | None:
    modes = found.get(tool, {})
    tallies = modes.get("default" if tool == "Seawall" else mode)
    return together(tallies) if tallies else None


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


def _faults(found: Found, mode: str) -> str:
    tools = [t for t in ("Seawall", *RIVALS) if _at(found, t, mode)]
    lines = [
        f"| median delay in panes, missed; {mode} | {' | '.join(tools)} |",
        f"|---|{'---|' * len(tools)}",
    ]
    for fault in FAULTS:
        cells = [_cell(_at(found, tool, mode), fault.name) for tool in tools]
        lines.append(f"| {fault.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(tally: Tally | None, fault: str) -> str:
    seen = tally.summary()["faults"].get(fault) if tally else None
    if not seen:
        return NONE
    delay = NONE if seen["median_delay_panes"] is None else f"{seen['median_delay_panes']:.0f}"
    return f"{delay}, {seen['miss_rate']:.0%}" if seen["miss_rate"] else delay


def _culprits(found: Found) -> str:
    lines = [
        "| culprit named, of pages at the matched rate | first | first of `decoys` | within three of `decoys` |",
        "|---|---|---|---|",
    ]
    for tool in ("Seawall", *RIVALS):
        tally = _at(found, tool, "matched")
        if tally:
            single = [s for s in tally.seen if not s.fault.startswith("decoys") and np.isfinite(s.delay)]
            decoys = [s for s in tally.seen if s.fault.startswith("decoys") and np.isfinite(s.delay)]
            lines.append(
                f"| {tool} | {_share([s.rank == 1 for s in single])} | {_share([s.rank == 1 for s in decoys])} "
                f"| {_share([0 < s.rank <= 3 for s in decoys])} |"
            )
    return "\n".join(lines)


def _share(true: Sequence[bool]) -> str:
    return f"{np.mean(true):.0%}" if true else NONE


def verdict(found: Found) -> dict[str, dict[str, Any]]:
    """Compare Seawall, fault by fault, with the best of the others at the matched rate."""
    ours = _at(found, "Seawall", "default")
    out = {}
    for fault in FAULTS if ours else ():
        mine = ours.summary()["faults"].get(fault.name) if ours else None
        others = {t: _at(found, t, "matched") for t in RIVALS}
        theirs = {t: a.summary()["faults"][fault.name] for t, a in others.items() if a and a.of(fault.name)}
        if mine and theirs:
            best_delay = min(_delay(s) for s in theirs.values())
            best_miss = min(s["miss_rate"] for s in theirs.values())
            out[fault.name] = {
                "delay": _delay(mine),
                "best_delay": best_delay,
                "by_delay": [t for t, s in theirs.items() if _delay(s) == best_delay],
                "miss": mine["miss_rate"],
                "best_miss": best_miss,
                "at_or_below": _delay(mine) <= best_delay and mine["miss_rate"] <= best_miss,
            }
    return out


def _delay(seen: dict[str, Any]) -> float:
    return np.inf if seen["median_delay_panes"] is None else float(seen["median_delay_panes"])


def _verdict(found: Found) -> str:
    lines = [
        "| fault | Seawall: delay, missed | best of the others, each at its best | at or below both |",
        "|---|---|---|---|",
    ]
    said = verdict(found)
    for name, row in said.items():
        best = f"{row['best_delay']:.0f} ({', '.join(row['by_delay'])}), {row['best_miss']:.0%}"
        lines.append(
            f"| {name} | {row['delay']:.0f}, {row['miss']:.0%} | {best} | {'yes' if row['at_or_below'] else 'no'} |"
        )
    won = sum(row["at_or_below"] for row in said.values())
    return "\n".join(
        [*lines, "", f"At or below the best of the others in both: {won} of {len(said)} faults."]
    )


def plot(found: Found, out: Path) -> None:
    """Draw what a page costs against what a fault costs, and the misses fault by fault."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    fig, ax = plt.subplots(figsize=(7.5, 4.8), layout="constrained")
    for tool, modes in found.items():
        for mode, tallies in modes.items():
            said = together(tallies).summary()
            x, y = max(said["false_pages_per_30_days"], 0.05), 100 * said["all"]["miss_rate"]
            ours = tool == "Seawall"
            marker = "*" if ours else "o" if mode == "default" else "s"
            ax.scatter(
                x,
                y,
                s=180 if ours else 45,
                marker=marker,
                color="crimson" if ours else "steelblue" if mode == "default" else "grey",
            )
            ax.annotate(tool, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
    ax.axvline(1.0, color="black", lw=0.8, ls=":")
    ax.set(xscale="log", xlabel="false pages in 30 days (dotted: the budget)", ylabel="faults missed, %")
    ax.set_title(
        "Circles: at their defaults. Squares: threshold moved to the budget in hindsight.", fontsize=9
    )
    fig.savefig(out / "misses.svg", metadata={"Date": None})
    plt.close(fig)

    tools = [t for t in ("Seawall", *RIVALS) if _at(found, t, "matched")]
    names = [f.name for f in FAULTS]
    grid = np.full((len(names), len(tools)), np.nan)
    for j, tool in enumerate(tools):
        tally = _at(found, tool, "matched")
        for i, name in enumerate(names):
            seen = tally.summary()["faults"].get(name) if tally else None
            if seen:
                grid[i, j] = _delay(seen)
    fig, ax = plt.subplots(figsize=(7.5, 6), layout="constrained")
    shown = np.log2(np.where(np.isinf(grid), 192, grid))
    ax.imshow(shown, cmap="RdYlGn_r", aspect="auto", vmin=0, vmax=np.log2(192))
    for (i, j), value in np.ndenumerate(grid):
        text = "" if np.isnan(value) else "missed" if np.isinf(value) else f"{value:.0f}"
        ax.text(j, i, text, ha="center", va="center", fontsize=8)
    ax.set_xticks(range(len(tools)), tools, rotation=30, ha="right", fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_title("Median delay in panes at the matched rate of false pages", fontsize=9)
    fig.savefig(out / "delays.svg", metadata={"Date": None})
    plt.close(fig)
