"""Two plots: what a page costs against what a fault costs, and delays fault by fault."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

from benchmarks.detection.known_faults.faults import Fault
from benchmarks.detection.known_faults.results import RIVALS, Found, at, median_delay, together

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the backend that needs no screen was chosen


def draw(found: Found, faults: Sequence[Fault], out: Path) -> None:
    """Draw what a page costs against what a fault costs, and the delays fault by fault."""
    _misses(found, out / "misses.svg")
    _delays(found, faults, out / "delays.svg")


def _misses(found: Found, path: Path) -> None:
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
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)


def _delays(found: Found, faults: Sequence[Fault], path: Path) -> None:
    tools = [t for t in ("Seawall", *RIVALS) if at(found, t, "matched")]
    names = [f.name for f in faults]
    grid = np.full((len(names), len(tools)), np.nan)
    for j, tool in enumerate(tools):
        tally = at(found, tool, "matched")
        for i, name in enumerate(names):
            seen = tally.summary()["faults"].get(name) if tally else None
            if seen:
                grid[i, j] = median_delay(seen)
    fig, ax = plt.subplots(figsize=(7.5, 6), layout="constrained")
    shown = np.log2(np.where(np.isinf(grid), 192, grid))
    ax.imshow(shown, cmap="RdYlGn_r", aspect="auto", vmin=0, vmax=np.log2(192))
    for (i, j), value in np.ndenumerate(grid):
        text = "" if np.isnan(value) else "missed" if np.isinf(value) else f"{value:.0f}"
        ax.text(j, i, text, ha="center", va="center", fontsize=8)
    ax.set_xticks(range(len(tools)), tools, rotation=30, ha="right", fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set_title("Median delay in panes at the matched rate of false pages", fontsize=9)
    fig.savefig(path, metadata={"Date": None})
    plt.close(fig)
