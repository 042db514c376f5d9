"""Finding the bin of many numbers without a binary search for each: a table of even cells over the range of the edges.

A number's cell comes from a subtraction, a multiplication and a truncation. Each of these is monotone in floating
point as well, rounding included. So an edge in a lower cell is not above the number, and one in a higher cell is above
it; only the edges in the number's own cell are left to be compared with it. The result is that of
``numpy.searchsorted``, value by value, at a quarter of the time: no step depends on the one before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Tried in turn: a table that stays in the processor's cache is worth a second comparison.
_SIZES = (256, 1024, 4096)
#: Edges of one cell at the most; edges more uneven than that are searched.
_MOST_IN_CELL = 2
#: Fewer numbers than this are searched.
FEWEST_FOR_GRID = 64


@dataclass(frozen=True, slots=True)
class Grid:
    """Even cells, one more below the first edge, one more above the last."""

    low: float
    scale: float
    cells: int
    before: Ints
    """How many edges lie in lower cells, [cells]."""
    inside: Floats
    """Edges in each cell, infinite where there are fewer, [most in a cell, cells]."""

    def cell_of(self, values: Floats) -> Ints:
        """Cell of every finite value."""
        with np.errstate(over="ignore"):  # far outside is as good as outside
            at = values - self.low
            at *= self.scale
        at += 1.0
        np.maximum(at, 0.0, out=at)
        np.minimum(at, self.cells - 1.0, out=at)
        return at.astype(np.intp)

    def edges_below(self, values: Floats) -> Ints:
        """Count the edges that are not above each finite value; the last edge only counts where it is below."""
        cell = self.cell_of(values)
        found: Ints = self.before[cell]
        for edges in self.inside:
            found += values >= edges[cell]
        return found


@lru_cache(maxsize=4096)
def grid_of(edges: tuple[float, ...]) -> Grid | None:
    """Make the table of ascending edges; None where their spacing does not suit one."""
    if len(edges) < 2:
        return None
    # The last bin holds the last edge itself: above it is what reaches the next number.
    with np.errstate(over="ignore"):
        compared = np.array([*edges[:-1], np.nextafter(edges[-1], np.inf)])
    width = edges[-1] - edges[0]
    for size in _SIZES:
        if not (0.0 < width < math.inf and size / width < math.inf):
            return None
        cells = size + 2
        empty = Grid(edges[0], size / width, cells, np.zeros(cells, np.int64), np.empty((0, cells)))
        of_edge = empty.cell_of(compared)
        in_cell = np.bincount(of_edge, minlength=cells)
        if in_cell.max() <= _MOST_IN_CELL:
            inside = np.full((int(in_cell.max()), cells), np.inf)
            place = np.arange(len(compared)) - np.searchsorted(of_edge, of_edge)
            inside[place, of_edge] = compared
            return Grid(empty.low, empty.scale, cells, np.cumsum(in_cell) - in_cell, inside)
    return None
