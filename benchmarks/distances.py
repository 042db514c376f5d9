"""What it costs to compare and describe windows, as a ratio to merely reading their counts.

Run ``python benchmarks/distances.py``. Times are of one core (processor time, best of several runs), for 25
columns of 68 slots, and for a mix of 17 numeric and 8 categorical columns. The ratio is to
``counts.sum(axis=0)`` of the same array in the same run, so that it means the same on a busy or a slow
machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from detectors.compare import compare
from detectors.describe import describe
from detectors.layout import Column, Layout

WINDOWS = (1, 100, 1000)
ROWS = 1000


def numeric(i: int) -> Column:
    return Column(f"x{i:02}", "feature", "numeric", tuple(np.linspace(0.0, 1.0, 65).tolist()))


def categorical(i: int) -> Column:
    return Column(f"c{i:02}", "feature", "categorical", (), tuple(map(str, range(10))))


LAYOUTS = {
    "25 numeric": Layout.of(numeric(i) for i in range(25)),
    "17 numeric, 8 categorical": Layout.of(
        [*(numeric(i) for i in range(17)), *(categorical(i) for i in range(8))]
    ),
}


def seconds(run: Callable[[], object]) -> float:
    """Best processor time of one call."""
    run()
    start = time.process_time()
    run()
    once = max(time.process_time() - start, 1e-7)
    calls = max(1, int(0.02 / once))
    best = np.inf
    for _ in range(7):
        start = time.process_time()
        for _ in range(calls):
            run()
        best = min(best, (time.process_time() - start) / calls)
    return float(best)


def quiet_windows(
    layout: Layout, windows: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Draw counts, expected shares and moments of windows without any change."""
    rng = np.random.default_rng(0)
    expected = np.zeros((1, layout.slots))
    counts = np.empty((windows, layout.slots), dtype=np.int64)
    for i, column in enumerate(layout.columns):
        share = np.zeros(column.slots)
        inside = slice(3, -1) if column.kind == "numeric" else slice(2, None)
        share[inside] = 0.98 / len(share[inside])
        share[0] = 0.02
        expected[0, layout.slice_of(i)] = share
        counts[:, layout.slice_of(i)] = rng.multinomial(ROWS, share, windows)
    moments = np.tile([0.5, ROWS / 12, 0.0, 1.0], (windows, len(layout.numeric), 1))
    return counts, expected, moments


def main() -> None:
    print(f"{'columns':<28}{'windows':>8}{'compare µs':>12}{'describe µs':>13}{'both µs':>9}{'ratio':>8}")
    for name, layout in LAYOUTS.items():
        for windows in WINDOWS:
            counts, expected, moments = quiet_windows(layout, windows)
            compared = seconds(lambda: compare(counts, expected, 10_000, layout))  # noqa: B023 - called here
            described = seconds(lambda: describe(counts, moments, layout))  # noqa: B023
            read = seconds(lambda: counts.sum(axis=0))  # noqa: B023
            a, b = compared / windows * 1e6, described / windows * 1e6
            ratio = (compared + described) / read
            print(f"{name:<28}{windows:>8}{a:>12.1f}{b:>13.1f}{a + b:>9.1f}{ratio:>8.0f}")


if __name__ == "__main__":
    main()
