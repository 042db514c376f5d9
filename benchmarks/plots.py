"""Draw what benchmarks found, from ``build/bench.json`` and ``build/bench/*.json``: ``python -m benchmarks.plots``.

A plot is drawn where its figures are; the others are said to be left out. ``--to docs/images`` draws those of
docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks import results
from benchmarks.contenders.__main__ import entries
from benchmarks.recovery import STEPS

OURS, PALE, OTHERS, LIMIT = "#1f6f8b", "#7fb5c6", "#b8b8b8", "#b03a2e"
WORDS = {
    "answers": "the new process answers",
    "counts": "it counts",
    "window": "a new window is stored",
    "caught_up": "the lag is what it was",
}
Found = Mapping[str, Any]


def contenders(found: Found) -> Any:
    """Draw a bar for each contender's median and a dot for each run, on a logarithmic axis."""
    words = {e.key: e.words for e in entries(Path(sys.executable))}
    keys = sorted(found, key=lambda k: float(found[k]["events_per_second"]))
    figure, axes = plt.subplots(figsize=(7.5, 0.45 * len(keys) + 1.0), layout="constrained")
    for row, key in enumerate(keys):
        axes.barh(
            row,
            found[key]["events_per_second"],
            color=OURS if key.startswith("seawall") else OTHERS,
            height=0.65,
        )
        runs = found[key]["runs"]
        axes.plot(runs, [row] * len(runs), ".", color="black", markersize=4)
        axes.text(max(runs) * 1.25, row, f"{found[key]['events_per_second']:,.0f}", va="center", fontsize=9)
    axes.set_yticks(range(len(keys)), [words[k] for k in keys])
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 3)
    axes.set_xlabel("events a second, one process, 20 numbers an event (logarithmic)")
    return _bare(figure)


def cost(found: Found) -> Any:
    """Draw the cost of an event against the features, models and segments that there are."""
    panels = (
        ("features", "features\n(one model, no segments)", {"models": 1, "segments": 0}),
        ("models", "models\n(20 features, no segments)", {"features": 20, "segments": 0}),
        ("segments", "segments watched\n(20 features, one model)", {"features": 20, "models": 1}),
    )
    kinds = (
        ("single_events", "a single event", OTHERS, "o-", 6),
        ("frames", "a row of a frame", OURS, "s-", -13),
    )
    figure, row = plt.subplots(1, 3, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axes, (by, words, others) in zip(row, panels, strict=True):
        cases = [c for c in found["cases"] if all(c[k] == v for k, v in others.items()) and c[by]]
        x = [case[by] for case in cases]
        for key, label, color, line, above in kinds:
            y = [1e6 / case[key]["events_per_second"] for case in cases]
            axes.plot(x, y, line, color=color, label=label, markersize=5)
            for at, value in zip(x, y, strict=True):
                axes.annotate(
                    f"{value:.2g}",
                    (at, value),
                    (0, above),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks(x, [f"{value:,}" for value in x])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel(words)
        axes.margins(x=0.15, y=0.14)
        axes.grid(alpha=0.3)
    row[0].yaxis.set_major_formatter(FuncFormatter(_plain))
    row[0].set_ylabel("µs of processor time (logarithmic)")
    row[0].legend(frameon=False, loc="upper left", fontsize=9)
    return _bare(figure)


def open_windows(found: Found) -> Any:
    """Draw memory against the windows that are open at once, by how many panes a segment has open."""
    figure, axes = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
    cells = np.array([case["cells"] for case in found["cases"]])
    line = np.array([cells.min(), cells.max()])
    axes.plot(
        line, line * 11.2 / 1024, "--", color=LIMIT, lw=1, label="11.2 KiB a window: its counts and moments"
    )
    panes = sorted({case["panes"] for case in found["cases"]})
    for open_panes, mark, color in zip(panes, "osD^v", (PALE, OURS, "black"), strict=False):
        cases = [case for case in found["cases"] if case["panes"] == open_panes]
        mib = [case["resident_bytes"] / 2**20 for case in cases]
        axes.plot(
            [c["cells"] for c in cases], mib, mark, color=color, label=f"{open_panes} panes open of each"
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_plain))
    axes.set_xlabel(
        "windows open at once: models × segments × panes, 20 numbers of 64 bins each (logarithmic)"
    )
    axes.set_ylabel("resident memory, MiB (logarithmic)")
    axes.legend(frameon=False, loc="upper left", fontsize=9)
    axes.grid(alpha=0.3)
    return _bare(figure)


def recovery(found: Found) -> Any:
    """Draw when after each kill the worker was back, step by step."""
    steps = sorted(STEPS, key=lambda step: -float(found[step]["median_s"]))
    figure, axes = plt.subplots(figsize=(7.5, 2.6), layout="constrained")
    for row, step in enumerate(steps):
        axes.barh(row, found[step]["median_s"], color=PALE, height=0.55)
        runs = found[step]["runs_s"]
        axes.plot(runs, [row] * len(runs), ".", color="black", markersize=5)
        axes.text(max(runs) + 0.2, row, f"{found[step]['median_s']:.1f} s", va="center", fontsize=9)
    axes.set_yticks(range(len(steps)), [WORDS[step] for step in steps])
    axes.set_xlim(right=axes.get_xlim()[1] * 1.08)
    axes.set_xlabel(
        f"seconds after kill -9, {found['rate']:,.0f} events a second; a dot for each of {len(runs)} kills"
    )
    return _bare(figure)


def latency(found: Found) -> Any:
    """Draw how long after its pane's end each window was in the store, at each load."""
    cases = found["cases"]
    figure, axes = plt.subplots(figsize=(7.5, 0.5 * len(cases) + 1.3), layout="constrained")
    for row, case in enumerate(cases):
        median, waits = case["after_pane_end_s"]["median"], [wait for _, wait in case["windows"]]
        axes.plot(waits, [row] * len(waits), "o", color=OURS, alpha=0.5, markersize=5)
        axes.plot([median] * 2, [row - 0.3, row + 0.3], color="black", lw=1.5)
        axes.text(max(waits) + 0.1, row, f"{median:.2f} s", va="center", fontsize=9)
    axes.set_yticks(range(len(cases)), [f"{case['rate']:,} events/s" for case in cases])
    axes.set_xlim(left=0, right=axes.get_xlim()[1] * 1.12)
    axes.set_ylim(-0.6, len(cases) - 0.4)
    axes.axvline(1.0, color=LIMIT, lw=1, ls="--")
    axes.text(
        0.98,
        len(cases) - 0.45,
        "the lateness that is waited for",
        color=LIMIT,
        fontsize=8,
        ha="right",
        va="top",
    )
    axes.set_xlabel(
        f"window in the store, seconds after its pane of {found['pane_s']} s ends; a dot for each window"
    )
    return _bare(figure)


def soak(found: Found) -> Any:
    """Draw memory, lag and latency over the minutes of a soak."""
    series = found["series"]
    figure, rows = plt.subplots(3, 1, figsize=(9, 7), sharex=True, layout="constrained")
    panels = (
        ("memory_mib", "resident memory, MiB", 1.0, "-"),
        ("lag_records", "lag, thousand records", 1e3, "-"),
        ("window_after_pane_end_s", "window in the store,\nseconds after its pane's end", 1.0, "."),
    )
    for axes, (key, label, unit, line) in zip(rows, panels, strict=True):
        x, y = np.array(series[key]).T
        axes.plot(x / 60, y / unit, line, color=OURS, lw=1)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    rows[2].axhline(5.0, color=LIMIT, lw=1, ls="--")
    rows[2].set_xlabel("minutes")
    figure.suptitle(
        f"{found['rate']:,.0f} events/s of 20 numbers for {found['minutes']:g} minutes, one worker"
    )
    return _bare(figure)


#: Plot to the file of its figures (None: ``bench.json``), and how it is drawn.
PLOTS: dict[str, tuple[str | None, Callable[[Found], Any]]] = {
    "contenders": (None, contenders),
    "cost": ("ingest", cost),
    "open-windows": ("open_windows", open_windows),
    "recovery": ("recovery", recovery),
    "latency": ("latency", latency),
    "soak": ("soak", soak),
}


def draw(out: Path, to: Path, names: Iterable[str] = PLOTS) -> dict[str, Path]:
    """Draw the plots whose figures are in `out`; returns the images by plot."""
    to.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, Path] = {}
    for name in names:
        source, plot = PLOTS[name]
        if found := results.read(out, source) if source else raced(out):
            figure = plot(found)
            drawn[name] = to / f"{name}.png"
            figure.savefig(drawn[name], dpi=100)
            plt.close(figure)
    return drawn


def raced(out: Path) -> Found:
    """Return those of ``bench.json`` that ran on one topic (`benchmarks.contenders`)."""
    keys = {entry.key for entry in entries(Path(sys.executable))}
    return {key: entry for key, entry in results.contenders(out).items() if key in keys}


def _bare(figure: Any) -> Any:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _plain(value: float, _: Any) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def main() -> int:
    """Draw the plots; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plots", description=__doc__)
    parser.add_argument("--only", nargs="*", choices=tuple(PLOTS), default=list(PLOTS))
    parser.add_argument("--out", type=Path, default=Path("build"))
    parser.add_argument("--to", type=Path, default=Path("build/bench"), help="where the images go")
    options = parser.parse_args()
    drawn = draw(options.out, options.to, options.only)
    for name in options.only:
        print(drawn.get(name) or f"{name}.png is left out: it has no figures in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
