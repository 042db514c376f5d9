"""Draw what ``build/bench.json`` says of the contenders: ``python -m benchmarks.contenders.plot``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from benchmarks import results
from benchmarks.contenders.__main__ import entries


def draw(found: dict[str, dict[str, list[float]]], words: dict[str, str], to: Path) -> None:
    """Draw a bar for each contender's median and a dot for each run, on a logarithmic axis."""
    keys = sorted((k for k in words if k in found), key=lambda k: found[k]["events_per_second"])
    figure, axes = plt.subplots(figsize=(7.5, 0.45 * len(keys) + 1.0), dpi=100, layout="constrained")
    for row, key in enumerate(keys):
        median = found[key]["events_per_second"]
        axes.barh(row, median, color="#1f6f8b" if key.startswith("seawall") else "#b8b8b8", height=0.65)
        axes.plot(found[key]["runs"], [row] * len(found[key]["runs"]), ".", color="black", markersize=4)
        axes.text(max(found[key]["runs"]) * 1.25, row, f"{median:,.0f}", va="center", fontsize=9)
    axes.set_yticks(range(len(keys)), [words[k] for k in keys])
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * 3)
    axes.set_xlabel("events a second, one process, 20 numbers an event (logarithmic)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(to)


def main() -> int:
    """Draw the plot; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contenders.plot", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build"))
    parser.add_argument("--to", type=Path, default=Path("docs/images/contenders.png"))
    options = parser.parse_args()
    found = results.read(options.out)
    draw(found, {e.key: e.words for e in entries(Path(sys.executable))}, options.to)
    print(options.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
