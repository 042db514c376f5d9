"""Slots of many numeric columns at once: what a numpy call costs is paid for a block of columns, not for each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import numpy as np
import numpy.typing as npt

from detectors.grid import Grid, compared, octaves_below, suits

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Values that are looked at in one go: with what comes of them they stay in the processor's cache.
BLOCK_VALUES = 1 << 15
_Kind = Literal["even", "octaves", "uneven"]


def blocks(columns: int, rows: int) -> list[slice]:
    """Cut columns into blocks of about `BLOCK_VALUES` values."""
    step = max(BLOCK_VALUES // max(rows, 1), 1)
    return [slice(a, min(a + step, columns)) for a in range(0, columns, step)]


class Bins:
    """How to find the bins of an ordered set of numeric columns."""

    def __init__(self, edges: Sequence[tuple[float, ...]], octaves: tuple[float, ...]) -> None:
        """Prepare for columns with these edges; those with the edges `octaves` are found by the upper bits."""
        kinds: list[_Kind] = ["octaves" if e == octaves else "even" if suits(e) else "uneven" for e in edges]
        self._octaves = octaves
        self._edges = edges
        self._grid = Grid([e for e, kind in zip(edges, kinds, strict=True) if kind == "even"])
        #: Neighbours of one kind: the kind, their columns, and the place of the first of them in the grid.
        self._stretches: list[tuple[_Kind, int, int, int]] = []
        at = even = 0
        for kind, group in groupby(kinds):
            size = len(list(group))
            self._stretches.append((kind, at, at + size, even))
            at, even = at + size, even + size * (kind == "even")

    def edges_below(self, columns: slice, values: Floats, out: Ints) -> None:
        """Count the edges that are not above each value, the last only where it is below: 0 is below the first bin.

        Parameters
        ----------
        columns
            Which columns these are.
        values
            [columns, rows], C-contiguous. What is counted for those that are not finite has no meaning.
        out
            Takes the counts, [columns, rows].

        Examples
        --------
        >>> bins, out = Bins([(0.0, 1.0, 2.0), (10.0, 20.0)], octaves=()), np.empty((2, 3), dtype=np.int64)
        >>> bins.edges_below(slice(0, 2), np.array([[-0.5, 1.0, 2.0], [9.0, 15.0, 21.0]]), out)
        >>> out.tolist()
        [[0, 2, 2], [0, 1, 2]]
        """
        for kind, start, stop, first in self._stretches:
            a, b = max(start, columns.start), min(stop, columns.stop)
            if a >= b:
                continue
            here = slice(a - columns.start, b - columns.start)
            if kind == "even":
                self._grid.edges_below(slice(first + a - start, first + b - start), values[here], out[here])
            elif kind == "octaves":
                octaves_below(self._octaves, values[here], out[here])
            else:
                for i in range(a, b):
                    at = i - columns.start
                    out[at] = np.searchsorted(compared(self._edges[i]), values[at], side="right")
