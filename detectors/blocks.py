"""Columns of a layout as a few dense arrays, so that one call serves many columns of many windows.

Columns have different numbers of slots. Those of about equal size share a block, [windows, columns, cells],
in which shorter columns are padded with cells that are empty on both sides: every statistic here ignores
such cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from detectors.layout import FIRST_CATEGORY, INVALID, MISSING, OTHER, UNDERFLOW, Column, Kind, Layout
from detectors.wasserstein import positions_of

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Counts = npt.NDArray[np.int64]
Number = TypeVar("Number", np.int64, np.float64)

#: Windows handled at a time: enough to outweigh the cost of a call, and few enough for the cache.
CHUNK = 256
#: A block pads its columns to its widest one, at most to this many times the narrowest.
_PADDING = 2.0


@dataclass(frozen=True, slots=True)
class Block:
    """Columns of one kind and of about equal size.

    Attributes
    ----------
    kind
        Numeric cells are underflow, bins, overflow; categorical ones other, categories. Padding follows.
    columns
        Index of each column in the layout, [c].
    slots
        Slot of each cell, [c, B]; the layout's slot count (one past the last) for padding.
    widths
        Number of cells of each column that are not padding, [c].
    positions
        Where each cell stands on the axis, [c, B]; empty for categorical columns. See `positions_of`.
    low, high
        Edges of each cell, [c, B], infinite at the ends of underflow and overflow; empty for categorical.
    """

    kind: Kind
    columns: Ints
    slots: Ints
    widths: Ints
    positions: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of a layout, and where each column keeps its other counts.

    Attributes
    ----------
    blocks
        Every column is in exactly one.
    missing, invalid, other
        Slot of each column, [C]; the layout's slot count where the column has none.
    underflow, overflow
        The same.
    numeric
        Whether each column is numeric, [C].
    """

    blocks: tuple[Block, ...]
    missing: Ints
    invalid: Ints
    other: Ints
    underflow: Ints
    overflow: Ints
    numeric: npt.NDArray[np.bool_]


_known: dict[str, Blocks] = {}


def blocks_of(layout: Layout) -> Blocks:
    """Return the blocks of a layout, remembered by `layout_id`.

    Parameters
    ----------
    layout
        Any layout, an empty one included.

    Returns
    -------
    Blocks
        Read-only by convention: it is shared.

    Notes
    -----
    Built once for a layout, in about a millisecond. At most 256 layouts are remembered.

    Examples
    --------
    >>> layout = Layout.of([Column("x", "feature", "numeric", (0.0, 1.0, 2.0))])
    >>> blocks_of(layout).blocks[0].slots.tolist()
    [[2, 3, 4, 5]]
    """
    found = _known.get(layout.layout_id)
    if found is None:
        if len(_known) >= 256:
            _known.clear()
        found = _known[layout.layout_id] = _build(layout)
    return found


def padded(values: npt.ArrayLike, slots: int, dtype: type[Number]) -> npt.NDArray[Number]:
    """Copy with one more column, of zeros, which padding cells point to.

    Parameters
    ----------
    values
        [W, S] of any number type.
    slots
        Slots of the layout.
    dtype
        Type of the copy: int64 for counts, whose sums are then exact and three times as fast as those of
        floats.

    Returns
    -------
    npt.NDArray[Number]
        [W, S + 1].

    Raises
    ------
    ValueError
        When the second dimension is not the layout's slot count.

    Examples
    --------
    >>> padded([[1, 2]], 2, np.int64).tolist()
    [[1, 2, 0]]
    """
    given = np.asarray(values)
    if given.ndim != 2 or given.shape[1] != slots:
        msg = (
            f"an array of shape {given.shape} does not fit a layout of {slots} slots: want [windows, {slots}]"
        )
        raise ValueError(msg)
    out = np.zeros((len(given), slots + 1), dtype=dtype)
    out[:, :slots] = given
    return out


def gather(block: Block, counts: Counts) -> Counts:
    """Copy the counts of a block's columns into one dense array.

    Parameters
    ----------
    block
        One of the layout's.
    counts
        [W, S + 1], from `padded`.

    Returns
    -------
    Counts
        [W, c, B].

    Notes
    -----
    Column by column, because the slots of a column lie side by side: five times as fast as an index array.

    Examples
    --------
    >>> layout = Layout.of([Column("x", "feature", "numeric", (0.0, 1.0, 2.0))])
    >>> gather(blocks_of(layout).blocks[0], padded([[9, 9, 1, 2, 3, 4]], 6, np.int64)).tolist()
    [[[1, 2, 3, 4]]]
    """
    out = np.zeros((len(counts), *block.slots.shape), dtype=np.int64)
    for i, (first, width) in enumerate(zip(block.slots[:, 0].tolist(), block.widths.tolist(), strict=True)):
        out[:, i, :width] = counts[:, first : first + width]
    return out


def chunks(windows: int) -> Iterator[slice]:
    """Cut a number of windows into slices of at most `CHUNK`.

    Examples
    --------
    >>> list(chunks(257))
    [slice(0, 256, None), slice(256, 257, None)]
    """
    return (slice(at, min(at + CHUNK, windows)) for at in range(0, windows, CHUNK))


def _build(layout: Layout) -> Blocks:
    numeric = np.array([c.kind == "numeric" for c in layout.columns], dtype=np.bool_)
    first = np.array(layout.first_slots, dtype=np.intp)
    last = first + np.array([c.slots - 1 for c in layout.columns], dtype=np.intp)
    none = layout.slots
    return Blocks(
        blocks=tuple(_block(layout, columns) for columns in _alike(layout)),
        missing=first + MISSING,
        invalid=np.where(numeric, first + INVALID, none),
        other=np.where(numeric, none, first + OTHER),
        underflow=np.where(numeric, first + UNDERFLOW, none),
        overflow=np.where(numeric, last, none),
        numeric=numeric,
    )


def _alike(layout: Layout) -> Iterator[list[int]]:
    """Group columns by kind and, within a factor of `_PADDING`, by size."""
    for indices in (layout.numeric, layout.categorical):
        group: list[int] = []
        for i in sorted(indices, key=lambda i: layout.columns[i].slots):
            if group and layout.columns[i].slots > _PADDING * layout.columns[group[0]].slots:
                yield group
                group = []
            group.append(i)
        if group:
            yield group


def _block(layout: Layout, indices: list[int]) -> Block:
    columns = [layout.columns[i] for i in indices]
    kind = columns[0].kind
    skip = UNDERFLOW if kind == "numeric" else FIRST_CATEGORY - 1
    widths = np.array([c.slots - skip for c in columns], dtype=np.intp)
    widest = int(widths.max())
    slots = np.full((len(columns), widest), layout.slots, dtype=np.intp)
    for row, (i, width) in enumerate(zip(indices, widths, strict=True)):
        slots[row, :width] = layout.first_slots[i] + skip + np.arange(width)
    axis = np.array([_axis(c, widest) for c in columns if c.kind == "numeric"]).reshape(-1, 3, widest)
    positions, low, high = axis.transpose(1, 0, 2)
    return Block(kind, np.array(indices, dtype=np.intp), slots, widths, positions, low, high)


def _axis(column: Column, widest: int) -> list[Floats]:
    """Position, lower edge and upper edge of every cell; padding stands where overflow does."""
    edges = np.asarray(column.edges or (0.0,), np.float64)
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    axis = (
        positions_of(edges),
        np.concatenate([[-np.inf], edges]),
        np.concatenate([edges, [np.inf]]),
    )
    return [np.pad(a, (0, widest - len(a)), mode="edge") for a in axis]
