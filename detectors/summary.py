"""Summaries: what many events of one layout held, per segment and pane, as mergeable arrays.

A `Block` has one row (a *cell*) per (segment, pane). Counts add, moments combine by the pairwise formula of Chan,
Golub & LeVeque (1979), distinct-count registers take the maximum: all three are associative and commutative, so a
summary does not depend on how its events were batched (counts and registers exactly, moments up to rounding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.bins import blocks
from detectors.layout import INVALID, MISSING, Layout

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

REGISTERS = 256
#: Moments of a numeric column in a cell; their count is the cell's present, finite values.
MEAN, M2, MINIMUM, MAXIMUM = range(4)
#: Dense counts are made for at most this many (cell, slot) pairs at a time.
_MAX_DENSE = 1 << 24
#: From so many rows of a cell on, cells are worth a call of their own.
_ROWS_A_CELL = 256


@dataclass(slots=True)
class Block:
    """Cells of one layout.

    Attributes
    ----------
    segments : list of str [cells]
        ``""`` for all traffic, else ``column=value``.
    panes : int64 [cells]
        Pane start, microseconds UTC.
    rows : int64 [cells]
    weights : float64 [cells]
    counts : int32 [cells, slots]
    moments : float64 [cells, numeric columns, 4]
        Mean, M2, minimum, maximum of the finite values; NaN where there are none.
    distinct : uint8 [cells, categorical columns, 256]
        HyperLogLog registers.
    """

    layout: Layout
    segments: list[str]
    panes: Ints
    rows: Ints
    weights: Floats
    counts: npt.NDArray[np.int32]
    moments: Floats
    distinct: npt.NDArray[np.uint8]

    @property
    def cells(self) -> int:
        """Number of cells."""
        return len(self.panes)

    def part(self, first: int, after: int) -> Block:
        """Cells `first` up to `after`."""
        return self.take(list(range(first, after)))

    def take(self, cells: list[int]) -> Block:
        """Return the chosen cells."""
        return Block(
            self.layout,
            [self.segments[cell] for cell in cells],
            self.panes[cells],
            self.rows[cells],
            self.weights[cells],
            self.counts[cells],
            self.moments[cells],
            self.distinct[cells],
        )


@dataclass(slots=True)
class Rows:
    """Events of one layout, column by column, ready to be counted.

    Attributes
    ----------
    panes : int64 [rows]
        Pane start of each event.
    slots : int64 [columns, rows]
        Slot in the layout of each value (absolute).
    values : float64 [numeric columns, rows]
        The finite values; NaN elsewhere.
    registers : int16 [categorical columns, rows]
        HyperLogLog register of each value, -1 where missing.
    ranks : uint8 [categorical columns, rows]
    weights : float64 [rows]
    segments : list of (names, int32 codes [rows])
        One entry per segment dimension; code -1 keeps a row out of the dimension.
    """

    layout: Layout
    panes: Ints
    slots: Ints
    values: Floats
    registers: npt.NDArray[np.int16]
    ranks: npt.NDArray[np.uint8]
    weights: Floats
    segments: list[tuple[list[str], npt.NDArray[np.int32]]]

    @classmethod
    def concat(cls, parts: Sequence[Rows]) -> Rows:
        """Join parts of the same layout and the same segment dimensions."""
        if len(parts) == 1:
            return parts[0]
        dimensions: list[tuple[list[str], npt.NDArray[np.int32]]] = []
        for dimension in range(len(parts[0].segments)):
            place: dict[str, int] = {}
            codes = []
            for part in parts:
                names, part_codes = part.segments[dimension]
                lookup = np.array([*(place.setdefault(n, len(place)) for n in names), -1], dtype=np.int32)
                codes.append(lookup[part_codes])
            dimensions.append((list(place), np.concatenate(codes)))
        return cls(
            parts[0].layout,
            np.concatenate([p.panes for p in parts]),
            np.concatenate([p.slots for p in parts], axis=1),
            np.concatenate([p.values for p in parts], axis=1),
            np.concatenate([p.registers for p in parts], axis=1),
            np.concatenate([p.ranks for p in parts], axis=1),
            np.concatenate([p.weights for p in parts]),
            dimensions,
        )


def summarise(rows: Rows) -> Block:
    """Count `rows` into cells: one set for all traffic, one per segment dimension."""
    panes, pane_of_row = _distinct(rows.panes)
    blocks = [_cells(rows, [""], panes, pane_of_row, np.arange(len(rows.panes)))]
    for names, codes in rows.segments:
        keep = np.flatnonzero(codes >= 0)
        blocks.append(
            _cells(rows, names, panes, codes[keep].astype(np.int64) * len(panes) + pane_of_row[keep], keep)
        )
    return _stack([b for b in blocks if b.cells])


def _distinct(values: Ints) -> tuple[Ints, Ints]:
    """Distinct values in order, and which of them each one is; those that are in order already are not sorted."""
    steps = np.diff(values)
    if (steps < 0).any():
        distinct, place = np.unique(values, return_inverse=True)
        return distinct, place
    first = np.concatenate(([0], np.flatnonzero(steps) + 1)) if len(values) else np.empty(0, dtype=np.int64)
    return values[first], np.repeat(np.arange(len(first)), np.diff(np.append(first, len(values))))


def _cells(rows: Rows, names: list[str], panes: Ints, place: Ints, keep: Ints) -> Block:
    """Count the rows `keep` by their place: segment code and pane."""
    in_order = (np.diff(place) >= 0).all()
    if not in_order:
        order = np.argsort(place, kind="stable")
        place, keep = place[order], keep[order]
    keys, group = _distinct(place)
    starts = np.searchsorted(group, np.arange(len(keys)))
    # All rows in their own order are not copied.
    taken: Any = slice(None) if in_order and len(keep) == len(rows.panes) else keep
    cells = len(keys)
    counts = _dense_counts(rows.slots[:, taken], group, starts, cells, rows.layout)
    return Block(
        rows.layout,
        [names[k // len(panes)] for k in keys.tolist()],
        panes[keys % max(len(panes), 1)],
        np.diff(np.append(starts, len(keep))),
        np.add.reduceat(rows.weights[taken], starts) if cells else np.empty(0),
        counts,
        _moments(rows.values[:, taken], group, starts, finite_counts(counts, rows.layout)),
        _registers(rows.registers[:, taken], rows.ranks[:, taken], group, cells),
    )


def _dense_counts(
    slots: Ints, group: Ints, starts: Ints, cells: int, layout: Layout
) -> npt.NDArray[np.int32]:
    out = np.empty((cells, layout.slots), dtype=np.int32)
    ends = np.append(starts, len(group))
    first = [*layout.first_slots, layout.slots]
    step = max(_MAX_DENSE // max(layout.slots, 1), 1)
    for a in range(0, cells, step):
        b = min(a + step, cells)
        rows = slice(ends[a], ends[b])
        of_row = group[rows] - a
        for block in blocks(len(slots), len(of_row)):
            low, high = first[block.start], first[block.stop]
            width, flat = high - low, slots[block, rows]
            if b - a > 1 or low:
                flat = flat + (of_row * width - low)
            found = np.bincount(flat.ravel(), minlength=(b - a) * width)
            out[a:b, low:high] = found.reshape(b - a, width)
    return out


def finite_counts(counts: npt.NDArray[np.integer], layout: Layout) -> Ints:
    """Present, finite values per numeric column: int64 [cells, numeric columns]."""
    first = np.array([layout.first_slots[i] for i in layout.numeric], dtype=np.intp)
    if not len(first):
        return np.zeros((len(counts), 0), dtype=np.int64)
    totals = np.add.reduceat(counts, layout.first_slots, axis=1, dtype=np.int64)[:, list(layout.numeric)]
    out: Ints = totals - counts[:, first + MISSING] - counts[:, first + INVALID]
    return out


def _moments(values: Floats, group: Ints, starts: Ints, finite: Ints) -> Floats:
    """Moments of each cell, [cells, columns, 4], of values [columns, rows] that are sorted by cell."""
    cells, columns = finite.shape
    out = np.full((cells, columns, 4), np.nan)
    if cells:
        for block in blocks(columns, values.shape[1]):
            out[:, block] = _moments_of(values[block], group, starts, finite[:, block])
    return out


def _moments_of(values: Floats, group: Ints, starts: Ints, finite: Ints) -> Floats:
    some = finite.T > 0
    n = np.maximum(finite.T, 1)
    # Sums are taken around a value of the cell itself, so that large means lose no digits.
    centre = np.fmin.reduceat(values, starts, axis=1)
    highest = np.fmax.reduceat(values, starts, axis=1)
    centre[~some] = 0.0
    shifted = np.empty(values.shape)
    _less(values, centre, group, starts, shifted)
    absent = None if (finite.sum(axis=0) == values.shape[1]).all() else np.isnan(values)
    if absent is not None:
        shifted[absent] = 0.0
    shift_mean = np.add.reduceat(shifted, starts, axis=1) / n
    _less(shifted, shift_mean, group, starts, shifted)
    if absent is not None:
        shifted[absent] = 0.0
    with np.errstate(over="ignore"):  # a spread beyond 1e154 has no square, and is infinite
        np.square(shifted, out=shifted)
        squares = np.add.reduceat(shifted, starts, axis=1)
    found = np.stack([centre + shift_mean, squares, centre, highest], axis=-1)
    found[~some] = np.nan
    return found.transpose(1, 0, 2)


def _less(values: Floats, of_cells: Floats, group: Ints, starts: Ints, out: Floats) -> None:
    """Subtract [columns, cells] from the rows of each cell."""
    if len(group) < _ROWS_A_CELL * len(starts):
        np.subtract(values, of_cells[:, group], out=out)
        return
    for cell, (a, b) in enumerate(pairwise([*starts.tolist(), len(group)])):
        np.subtract(values[:, a:b], of_cells[:, cell : cell + 1], out=out[:, a:b])


def _registers(
    registers: npt.NDArray[np.int16], ranks: npt.NDArray[np.uint8], group: Ints, cells: int
) -> npt.NDArray[np.uint8]:
    columns = len(registers)
    out = np.zeros((cells, columns, REGISTERS), dtype=np.uint8)
    for column in range(columns):
        present = registers[column] >= 0
        np.maximum.at(out[:, column], (group[present], registers[column, present]), ranks[column, present])
    return out


def _stack(blocks: Sequence[Block]) -> Block:
    return Block(
        blocks[0].layout,
        [s for b in blocks for s in b.segments],
        np.concatenate([b.panes for b in blocks]),
        np.concatenate([b.rows for b in blocks]),
        np.concatenate([b.weights for b in blocks]),
        np.concatenate([b.counts for b in blocks]),
        np.concatenate([b.moments for b in blocks]),
        np.concatenate([b.distinct for b in blocks]),
    )


def merge(blocks: Sequence[Block]) -> Block:
    """Merge blocks of the same layout: cells with equal (segment, pane) become one."""
    if len(blocks) == 1:
        return blocks[0]
    whole = _stack(blocks)
    place: dict[str, int] = {}
    codes = np.array([place.setdefault(s, len(place)) for s in whole.segments], dtype=np.int64)
    panes, pane_index = np.unique(whole.panes, return_inverse=True)
    keys, group = np.unique(codes * len(panes) + pane_index, return_inverse=True)
    if len(keys) == whole.cells:
        return whole
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(keys)))
    finite = finite_counts(whole.counts, whole.layout)[order]
    names = list(place)
    return Block(
        whole.layout,
        [names[k // len(panes)] for k in keys],
        panes[keys % len(panes)],
        np.add.reduceat(whole.rows[order], starts),
        np.add.reduceat(whole.weights[order], starts),
        _gathered(np.add, [b.counts for b in blocks], group, len(keys)),
        combine_moments(finite, whole.moments[order], starts, group[order]),
        _gathered(np.maximum, [b.distinct for b in blocks], group, len(keys)),
    )


def _gathered(
    ufunc: np.ufunc, parts: Sequence[npt.NDArray[Any]], group: Ints, cells: int
) -> npt.NDArray[Any]:
    """Add rows of whole numbers to the cells that they are of, part after part.

    ``reduceat`` along the first axis goes from row to row for each number, which takes ten times as long.
    """
    out = np.zeros((cells, *parts[0].shape[1:]), dtype=np.result_type(*parts))
    first = 0
    for part in parts:
        to = group[first : first + len(part)]
        first += len(part)
        if len(np.unique(to)) == len(to):
            out[to] = ufunc(out[to], part)
        else:
            ufunc.at(out, to, part)
    return out


def laid_out(block: Block, layout: Layout) -> Block:
    """Lay a block out in another layout, as if its events had been counted there.

    A column that the block lacks, or has with other bins, is missing in all of its events; one that `layout` lacks is
    left out.
    """
    own = block.layout
    if own.layout_id == layout.layout_id:
        return block
    shared = [
        (i, j)
        for i, c in enumerate(layout.columns)
        if (j := own.index.get(c.key, -1)) >= 0 and own.columns[j] == c
    ]
    counts = np.zeros((block.cells, layout.slots), dtype=block.counts.dtype)
    for i in set(range(len(layout.columns))) - {i for i, _ in shared}:
        counts[:, layout.first_slots[i] + MISSING] = block.rows
    for i, j in shared:
        counts[:, layout.slice_of(i)] = block.counts[:, own.slice_of(j)]
    moments = np.full((block.cells, len(layout.numeric), 4), np.nan)
    distinct = np.zeros((block.cells, len(layout.categorical), REGISTERS), dtype=np.uint8)
    numbers, words = ({i: at for at, i in enumerate(of)} for of in (own.numeric, own.categorical))
    found = dict(shared)
    for at, i in enumerate(layout.numeric):
        if i in found:
            moments[:, at] = block.moments[:, numbers[found[i]]]
    for at, i in enumerate(layout.categorical):
        if i in found:
            distinct[:, at] = block.distinct[:, words[found[i]]]
    return Block(layout, block.segments, block.panes, block.rows, block.weights, counts, moments, distinct)


def combine_moments(n: Ints, moments: Floats, starts: Ints, group: Ints) -> Floats:
    """Combine the moments of runs of cells.

    Parameters
    ----------
    n : int64 [cells, columns]
        Finite values behind each moment.
    moments : float64 [cells, columns, 4]
    starts : int64 [groups]
        First cell of each run.
    group : int64 [cells]
        Run of each cell.

    Returns
    -------
    float64 [groups, columns, 4]
    """
    if not moments.shape[1]:
        return np.empty((len(starts), 0, 4))
    total = np.add.reduceat(n, starts, axis=0)
    some = total > 0
    centre = np.fmin.reduceat(moments[..., MEAN], starts, axis=0)
    centre[~some] = 0.0
    weight = np.where(n > 0, n, 0)
    offset = np.where(n > 0, moments[..., MEAN] - centre[group], 0.0)
    shift = np.add.reduceat(weight * offset, starts, axis=0) / np.maximum(total, 1)
    spread = np.where(n > 0, moments[..., M2] + weight * (offset - shift[group]) ** 2, 0.0)
    out = np.stack(
        [
            centre + shift,
            np.add.reduceat(spread, starts, axis=0),
            np.fmin.reduceat(moments[..., MINIMUM], starts, axis=0),
            np.fmax.reduceat(moments[..., MAXIMUM], starts, axis=0),
        ],
        axis=-1,
    )
    out[~some] = np.nan
    return out
