"""Finding the bins of many numbers at once without a binary search for each: tables over the range of the edges.

*Even cells.* A number's cell comes from a multiplication, a rounding down and an addition. Each of these is monotone in
floating point as well, rounding included. So an edge in a lower cell is not above the number, and one in a higher cell
is above it. An edge that is the least number of its cell is not above it either; only where other edges lie in the
number's own cell is it compared with them. Cells are a power of two wide and begin at a multiple of their width, so
edges that are round numbers are the least of their cells, and nothing is left to compare.

*Octaves.* Edges at the powers of two are told by the upper sixteen bits of a number: sign, exponent and four digits.

Results are those of ``numpy.searchsorted``, value by value, at a small part of its time: no step depends on the one
before it, and columns are looked up many at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Cells for each edge. A small table is enough where edges begin cells; else a fine one leaves less in doubt.
_CELLS_AN_EDGE = (16, 64)
#: From this share of edges inside cells on, the fine one is taken.
_FEW_INSIDE = 0.1
_MOST_CELLS = 1 << 14
#: Edges of one cell to compare with at the most; edges more uneven than that are searched.
_MOST_IN_CELL = 3


@dataclass(frozen=True, slots=True)
class _Table:
    """Even cells of one column's edges, one more below the first edge, one more above the last."""

    scale: float
    shift: float
    found: npt.NDArray[np.int16]
    """How many edges are not above any number of each cell, [cells]; ones' complement of a place below if in doubt."""
    sure: Ints
    """The same of the cells in doubt, not counting edges inside."""
    inside: Floats
    """Edges that their numbers are compared with, infinite where there are fewer, [_MOST_IN_CELL, in doubt]."""


def compared(edges: Sequence[float]) -> Floats:
    """Edges as numbers are compared with them: the last bin holds its edge, so what lies above begins at the next."""
    if len(edges) == 1:
        return np.array(edges)  # there is no bin that it could close
    with np.errstate(over="ignore"):
        return np.array([*edges[:-1], np.nextafter(edges[-1], np.inf)])


def suits(edges: tuple[float, ...]) -> bool:
    """Whether ascending edges have a table: those whose spacing is too uneven for even cells have none."""
    return _table_of(edges) is not None


@lru_cache(maxsize=4096)
def _table_of(edges: tuple[float, ...]) -> _Table | None:
    width = edges[-1] - edges[0] if len(edges) > 1 else 0.0
    if not 0.0 < width < math.inf:
        return None
    for of_edge in _CELLS_AN_EDGE:
        most = min(of_edge * len(edges), _MOST_CELLS)
        # Of `most` cells at least a half are used, whatever the width.
        exponent = math.floor(math.log2(most) - math.log2(width))
        if not -1000 < exponent < 1000:
            return None
        scale = 2.0**exponent
        shift = 1.0 - math.floor(edges[0] * scale)
        cells = int(edges[-1] * scale + shift) + 2
        found = _even_cells(compared(edges), scale, shift, cells)
        if found is not None and len(found.sure) <= 1 + _FEW_INSIDE * len(edges):
            return found
    return found


def _even_cells(edges: Floats, scale: float, shift: float, cells: int) -> _Table | None:
    def cell_of(values: Floats) -> Ints:
        return _cells(values, scale, shift, cells - 1.0)

    place, of_edge = np.arange(len(edges)), cell_of(edges)
    lower = np.searchsorted(of_edge, of_edge)
    # The first edge of a cell that no lower number shares is not above any number of it.
    with np.errstate(over="ignore"):
        is_least = (lower == place) & (cell_of(np.nextafter(edges, -np.inf)) < of_edge)
    sure = np.searchsorted(of_edge, np.arange(cells))
    sure[of_edge[is_least]] += 1
    doubt = np.unique(of_edge[~is_least])
    inside = np.full((_MOST_IN_CELL, len(doubt)), np.inf)
    rank = (place - lower - is_least[lower])[~is_least]
    if (rank >= _MOST_IN_CELL).any():
        return None
    inside[rank, np.searchsorted(doubt, of_edge[~is_least])] = edges[~is_least]
    found = sure.astype(np.int16)
    found[doubt] = ~np.arange(len(doubt), dtype=np.int16)
    return _Table(scale, shift, found, sure[doubt], inside)


def _cells(values: Floats, scale: Floats | float, shift: Floats | float, last: Floats | float) -> Ints:
    with np.errstate(over="ignore", invalid="ignore"):  # far outside is as good as outside
        at = values * scale
        np.floor(at, out=at)  # first, lest the addition round up to a cell what is just below it
        at += shift
        np.clip(at, 0.0, last, out=at)
        return at.astype(np.intp)


class Grid:
    """Tables of many columns side by side."""

    def __init__(self, edges: Sequence[tuple[float, ...]]) -> None:
        """Lay out the tables of columns that all `suits` holds for."""
        tables = [table for e in edges if (table := _table_of(e)) is not None]
        if len(tables) != len(edges):
            msg = "edges without a table"
            raise ValueError(msg)
        sizes = np.array([len(t.found) for t in tables], dtype=np.int64)
        doubtful = np.array([len(t.sure) for t in tables], dtype=np.int64)
        self._scale = np.array([t.scale for t in tables])[:, None]
        self._shift = np.array([t.shift for t in tables])[:, None]
        self._last = (sizes[:, None] - 1).astype(np.float64)
        self._first = (np.cumsum(sizes) - sizes)[:, None]
        self._first_doubt = np.cumsum(doubtful) - doubtful
        if not tables:
            return
        self._found = np.concatenate([t.found for t in tables])
        self._is_sure = not doubtful.any()
        self._sure = np.concatenate([t.sure for t in tables])
        self._inside = np.concatenate([t.inside for t in tables], axis=1)
        self._inside = self._inside[: np.isfinite(self._inside).any(axis=1).sum()]

    def edges_below(self, columns: slice, values: Floats, out: Ints) -> None:
        """Count the edges that are not above each value, the last only where it is below.

        Parameters
        ----------
        columns
            Which of the grid's columns these are.
        values
            [columns, rows], C-contiguous. What is counted for those that are not finite has no meaning.
        out
            Takes the counts, [columns, rows], C-contiguous.
        """
        cell = _cells(values, self._scale[columns], self._shift[columns], self._last[columns])
        cell += self._first[columns]
        # Clipping is quicker than raising. Only what comes of NaN is out of range, and the ends are never in doubt.
        found = self._found.take(cell, mode="clip")
        np.copyto(out, found)
        if self._is_sure:
            return
        flat = out.reshape(-1)
        doubt = np.flatnonzero(found < 0)
        if len(doubt):
            columns_begin = np.searchsorted(doubt, np.arange(len(values) + 1) * values.shape[1])
            place = ~flat[doubt] + np.repeat(self._first_doubt[columns], np.diff(columns_begin))
            of_doubt, of_cell = values.reshape(-1)[doubt], self._sure[place]
            for edges in self._inside:
                of_cell += of_doubt >= edges[place]
            flat[doubt] = of_cell


@cache
def _octave_cells(edges: tuple[float, ...]) -> tuple[npt.NDArray[np.int16], Floats]:
    """How many edges are not above any number with given upper sixteen bits, -1 where numbers differ; and the edges."""
    key = np.arange(1 << 16, dtype=np.uint64) << np.uint64(48)
    rest = np.uint64((1 << 48) - 1)
    with np.errstate(invalid="ignore"):
        nearer, further = key.view(np.float64), (key | rest).view(np.float64)
        is_finite = np.isfinite(nearer)
    against = compared(edges)
    least = np.searchsorted(against, np.minimum(nearer, further), side="right")
    most = np.searchsorted(against, np.maximum(nearer, further), side="right")
    return np.where(is_finite & (least != most), -1, np.where(is_finite, least, 0)).astype(np.int16), against


def octaves_below(edges: tuple[float, ...], values: Floats, out: Ints) -> None:
    """Count the edges that are not above each value, the last only where it is below, by its upper bits.

    Parameters
    ----------
    edges
        Ascending powers of two and their negatives; others are found as well, only slower. Few should be asked for:
        a table of 128 KiB is kept for each.
    values
        [columns, rows], C-contiguous. What is counted for those that are not finite has no meaning.
    out
        Takes the counts, [columns, rows], C-contiguous.
    """
    cells, against = _octave_cells(edges)
    key = values.view(np.uint64) >> np.uint64(48)
    found = cells.take(key.view(np.int64), mode="clip")
    np.copyto(out, found)
    doubt = np.flatnonzero(found < 0)
    if len(doubt):
        out.reshape(-1)[doubt] = np.searchsorted(against, values.reshape(-1)[doubt], side="right")
