"""Pane by pane state of one (version, source, layout, segment), and the windows made of it.

What was counted is kept by the *start* of its pane, microseconds UTC, in whatever width it was counted. Only what
windows are made of has pane *numbers*, in the width of the day: so a monitor's width may change and change back, and
nothing that was counted is moved or lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.joint.sums import PaneSums
from detectors.layout import Layout
from detectors.moments import sliding_moments
from detectors.slide import sliding_max, sliding_sum
from detectors.summary import REGISTERS, Block, combine_moments, finite_counts
from seawall.monitor import MINUTE_US

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
#: (version, source, layout_id, segment)
SeriesKey = tuple[str, str, str, str]


@dataclass(slots=True)
class Cells:
    """Some panes of one series by their starts, each once; see `detectors.summary.Block` for shapes."""

    panes: Ints
    rows: Ints
    weights: Floats
    counts: npt.NDArray[np.integer]
    moments: Floats
    distinct: npt.NDArray[np.uint8]
    joint: Ints | None = None
    """Sums across columns, [panes, sums]; only of all traffic, where the baseline says what to sum."""

    def take(self, keep: npt.NDArray[np.bool_] | list[int] | slice) -> Cells:
        """Return the chosen cells; of a slice, without a copy."""
        return Cells(
            self.panes[keep],
            self.rows[keep],
            self.weights[keep],
            self.counts[keep],
            self.moments[keep],
            self.distinct[keep],
            None if self.joint is None else self.joint[keep],
        )


def joined(parts: Sequence[Cells], layout: Layout) -> Cells:
    """Put cells of one layout together: those of equal panes become one."""
    if len(parts) == 1:
        return parts[0]
    joints = [p.joint for p in parts if p.joint is not None]
    width = joints[0].shape[1] if joints else 0
    whole = Cells(
        np.concatenate([p.panes for p in parts]),
        np.concatenate([p.rows for p in parts]),
        np.concatenate([p.weights for p in parts]),
        np.concatenate([p.counts for p in parts]),
        np.concatenate([p.moments for p in parts]),
        np.concatenate([p.distinct for p in parts]),
        np.concatenate(
            [np.zeros((len(p.panes), width), dtype=np.int64) if p.joint is None else p.joint for p in parts]
        )
        if joints
        else None,
    )
    return _summed(whole, whole.panes, layout)


def _summed(cells: Cells, panes: Ints, layout: Layout) -> Cells:
    """Return cells under other panes, one for each: those that share one are added up, exactly."""
    if (np.diff(panes) > 0).all():
        return replace(cells, panes=panes)
    distinct, place = np.unique(panes, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(distinct)))
    finite = finite_counts(cells.counts, layout)[order]
    return Cells(
        distinct,
        np.add.reduceat(cells.rows[order], starts),
        np.add.reduceat(cells.weights[order], starts),
        np.add.reduceat(cells.counts[order], starts, axis=0, dtype=np.int64),
        combine_moments(finite, cells.moments[order], starts, place[order]),
        np.maximum.reduceat(cells.distinct[order], starts, axis=0),
        None if cells.joint is None else np.add.reduceat(cells.joint[order], starts, axis=0),
    )


def split_by_segment(block: Block, sums: PaneSums | None = None) -> dict[str, Cells]:
    """Split a block into the cells of each segment; `sums` are of all traffic."""
    cells = Cells(block.panes, block.rows, block.weights, block.counts, block.moments, block.distinct)
    of_segment: dict[str, list[int]] = {}
    for at, name in enumerate(block.segments):
        of_segment.setdefault(name, []).append(at)
    out = {name: cells.take(_in_a_row(at)) for name, at in of_segment.items()}
    if sums is not None and "" in out:
        out[""].joint = _of_panes(sums, out[""].panes)
    return out


def _in_a_row(places: list[int]) -> slice | list[int]:
    """Places as a slice where there is one: cells of a segment lie together, and a slice copies nothing."""
    first, last = places[0], places[-1]
    return slice(first, last + 1) if last - first + 1 == len(places) else places


def _of_panes(sums: PaneSums, panes: Ints) -> Ints:
    if np.array_equal(sums.panes, panes):
        return sums.sums
    at = np.minimum(np.searchsorted(sums.panes, panes), len(sums.panes) - 1)
    found = sums.sums[at]
    found[sums.panes[at] != panes] = 0
    return found


@dataclass(slots=True)
class Dense:
    """Consecutive panes, empty ones included.

    `rows` and `weights` are [panes], `counts` [panes, slots] or their sum alone [1, slots], `finite` [panes, numeric],
    `moments` [panes, numeric, 4] (NaN where empty), `distinct` [panes, categorical, 256], `joint` [panes, sums] where
    something is summed across columns.
    """

    rows: Ints
    weights: Floats
    counts: Ints
    finite: Ints
    """Present, finite values."""
    moments: Floats
    distinct: npt.NDArray[np.uint8]
    joint: Ints | None = None


#: Panes that are saved together.
BUCKET = 64


class Series:
    """Cells of sealed chunks by pane. Sparse: a silent year costs nothing. Panes are saved in buckets."""

    def __init__(
        self, layout: Layout, baseline_id: str, pane_us: int = MINUTE_US, earlier: Series | None = None
    ) -> None:
        """Begin without panes; `earlier` is the same series when it was last known, whose copies may still be saved."""
        self.layout = layout
        self.baseline_id = baseline_id
        self.pane_us = pane_us
        """Width of the panes that windows are made of."""
        self.strays: set[int] = set()
        """Panes that begin within one of these: they were counted in another width."""
        self.index: dict[int, int] = {}
        self.dirty: set[int] = set(earlier.dirty) if earlier else set()
        """Buckets that changed since they were last saved."""
        self.pages: dict[int, int] = dict(earlier.pages) if earlier else {}
        """Which of its two pages (0 or 1) holds the saved copy of each bucket."""
        self.joint: Ints | None = None
        """Sums across columns, once a chunk has brought some."""
        self._free: list[int] = []
        self._allocate(8)

    def _allocate(self, capacity: int) -> None:
        layout = self.layout
        self._free += range(capacity)
        self.rows = np.zeros(capacity, dtype=np.int64)
        self.weights = np.zeros(capacity)
        self.counts = np.zeros((capacity, layout.slots), dtype=np.int64)
        self.finite = np.zeros((capacity, len(layout.numeric)), dtype=np.int64)
        self.moments = np.full((capacity, len(layout.numeric), 4), np.nan)
        self.distinct = np.zeros((capacity, len(layout.categorical), REGISTERS), dtype=np.uint8)

    def _grow(self, needed: int) -> None:
        old = len(self.rows)
        more = max(needed, old)
        self._free += range(old, old + more)

        def extended(array: npt.NDArray[Any], fill: float = 0) -> npt.NDArray[Any]:
            return np.concatenate([array, np.full((more, *array.shape[1:]), fill, dtype=array.dtype)])

        self.rows, self.weights = extended(self.rows), extended(self.weights)
        self.counts, self.distinct = extended(self.counts), extended(self.distinct)
        self.finite, self.moments = extended(self.finite), extended(self.moments, np.nan)
        if self.joint is not None:
            self.joint = extended(self.joint)

    def add(self, cells: Cells) -> None:
        """Add cells; their panes are distinct."""
        self.dirty.update((cells.panes // (BUCKET * self.pane_us)).tolist())
        fresh = [int(p) for p in cells.panes if int(p) not in self.index]
        if len(fresh) > len(self._free):
            self._grow(len(fresh))
        for pane in fresh:
            self.index[pane] = self._free.pop()
            if pane % self.pane_us:
                self.strays.add(pane)
        at = np.fromiter((self.index[int(p)] for p in cells.panes), dtype=np.intp, count=len(cells.panes))
        finite = finite_counts(cells.counts, self.layout)
        self.moments[at] = pair_moments(self.finite[at], self.moments[at], finite, cells.moments)
        self.finite[at] += finite
        self.rows[at] += cells.rows
        self.weights[at] += cells.weights
        self.counts[at] += cells.counts
        self.distinct[at] = np.maximum(self.distinct[at], cells.distinct)
        if cells.joint is not None:
            if self.joint is None:
                self.joint = np.zeros((len(self.rows), cells.joint.shape[1]), dtype=np.int64)
            self.joint[at] += cells.joint

    def follow(self, pane_us: int) -> None:
        """Make windows of panes of another width from now on, and save all that is held in buckets of these."""
        self.dirty.update(self.pages)
        self.pane_us = pane_us
        self.dirty.update(pane // (BUCKET * pane_us) for pane in self.index)
        self.strays = {pane for pane in self.index if pane % pane_us}

    def drop_before(self, start_us: int) -> None:
        """Forget panes that begin earlier."""
        for old in [p for p in self.index if p < start_us]:
            at = self.index.pop(old)
            self.rows[at] = 0
            self.weights[at] = 0
            self.counts[at] = 0
            self.finite[at] = 0
            self.moments[at] = np.nan
            self.distinct[at] = 0
            if self.joint is not None:
                self.joint[at] = 0
            self._free.append(at)
            self.strays.discard(old)
            self.dirty.add(old // (BUCKET * self.pane_us))

    def bucket(self, number: int) -> Cells:
        """Copy the cells of one bucket."""
        return self._cells(sorted(p for p in self.index if p // (BUCKET * self.pane_us) == number))

    def _cells(self, panes: list[int]) -> Cells:
        at = np.array([self.index[p] for p in panes], dtype=np.intp)
        return Cells(
            np.array(panes, dtype=np.int64),
            self.rows[at],
            self.weights[at],
            self.counts[at],
            self.moments[at],
            self.distinct[at],
            None if self.joint is None else self.joint[at],
        )

    def dense(self, first: int, panes: int, open_parts: Iterable[Cells], *, summed: bool = False) -> Dense:
        """Lay out panes number ``first … first + panes - 1``, sealed and open parts together.

        Counts are nearly all that there is of a pane. With `summed` only their sum is made, in half of the time.
        """
        shape = self.layout
        out = Dense(
            np.zeros(panes, dtype=np.int64),
            np.zeros(panes),
            np.zeros((1 if summed else panes, shape.slots), dtype=np.int64),
            np.zeros((panes, len(shape.numeric)), dtype=np.int64),
            np.full((panes, len(shape.numeric), 4), np.nan),
            np.zeros((panes, len(shape.categorical), REGISTERS), dtype=np.uint8),
        )
        if self.joint is not None:
            out.joint = np.zeros((panes, self.joint.shape[1]), dtype=np.int64)
        width_us, from_us, upto_us = self.pane_us, first * self.pane_us, (first + panes) * self.pane_us
        if len(self.index) < panes:
            held = [
                ((p - from_us) // width_us, at)
                for p, at in self.index.items()
                if from_us <= p < upto_us and p not in self.strays
            ]
        else:
            held = [
                (k, at) for k in range(panes) if (at := self.index.get(from_us + k * width_us)) is not None
            ]
        if held:
            to, rows = (np.array(x, dtype=np.intp) for x in zip(*held, strict=True))
            out.rows[to], out.weights[to] = self.rows[rows], self.weights[rows]
            out.finite[to], out.moments[to], out.distinct[to] = (
                self.finite[rows],
                self.moments[rows],
                self.distinct[rows],
            )
            if summed:
                for at in rows.tolist():
                    out.counts[0] += self.counts[at]
            else:
                out.counts[to] = self.counts[rows]
            if out.joint is not None and self.joint is not None:
                out.joint[to] = self.joint[rows]
        strays = sorted(p for p in self.strays if from_us <= p < upto_us)
        for part in [*([self._cells(strays)] if strays else []), *open_parts]:
            keep = (part.panes >= from_us) & (part.panes < upto_us)
            if keep.any():
                found = part.take(keep)
                numbered = _summed(found, found.panes // width_us, shape)
                _add_part(out, numbered, first, shape, only_sum=summed)
        return out


def _add_part(out: Dense, part: Cells, first: int, layout: Layout, *, only_sum: bool) -> None:
    to = (part.panes - first).astype(np.intp)
    finite = finite_counts(part.counts, layout)
    out.moments[to] = pair_moments(out.finite[to], out.moments[to], finite, part.moments)
    out.finite[to] += finite
    out.rows[to] += part.rows
    out.weights[to] += part.weights
    if only_sum:
        out.counts[0] += part.counts.sum(axis=0, dtype=np.int64)
    else:
        out.counts[to] += part.counts
    out.distinct[to] = np.maximum(out.distinct[to], part.distinct)
    if part.joint is not None:
        if out.joint is None:
            out.joint = np.zeros((len(out.rows), part.joint.shape[1]), dtype=np.int64)
        out.joint[to] += part.joint


def pair_moments(n_a: Ints, a: Floats, n_b: Ints, b: Floats) -> Floats:
    """Combine two sets of moments, cell by cell: n int64 [cells, columns], moments [cells, columns, 4]."""
    cells = len(a)
    both = np.concatenate([a, b])
    order = np.arange(2 * cells).reshape(2, cells).T.ravel()
    starts = np.arange(0, 2 * cells, 2)
    group = np.repeat(np.arange(cells), 2)
    return combine_moments(np.concatenate([n_a, n_b])[order], both[order], starts, group) if cells else a


@dataclass(slots=True)
class WindowBatch:
    """Windows of one series and horizon whose ends are consecutive pane numbers.

    `rows`, `weights`, `revisions` are [windows]; `counts` [windows, slots]; `moments` [windows, numeric, 4];
    `distinct` [windows, categorical, 256]. `pane_rows` [panes] are the rows of each pane under the windows.
    """

    key: SeriesKey
    layout: Layout
    baseline_id: str
    width: int
    first_end: int
    rows: Ints
    weights: Floats
    counts: Ints
    moments: Floats
    distinct: npt.NDArray[np.uint8]
    revisions: npt.NDArray[np.int32]
    pane_rows: Ints
    first_pane: int = 0
    """First pane in which this version was seen: windows that begin earlier are only partly covered."""
    joint: Ints | None = None
    """Sums across columns of each window, [windows, sums], where there are any."""
    pane_counts: Ints | None = None
    """Counts of each pane under the windows, [panes, slots], for what looks into a window."""

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.rows)


def windows_of(dense: Dense, width: int) -> tuple[Ints, Floats, Ints, Floats, npt.NDArray[np.uint8]]:
    """Slide a window of `width` panes over `dense`: rows, weights, counts, moments, distinct per window."""
    if width == 1:
        return dense.rows, dense.weights, dense.counts, dense.moments, dense.distinct
    weights = np.lib.stride_tricks.sliding_window_view(dense.weights, width).sum(axis=-1)
    _, moments = sliding_moments(dense.finite, dense.moments, width)
    return (
        sliding_sum(dense.rows[:, None], width)[:, 0],
        weights,
        sliding_sum(dense.counts, min(width, len(dense.counts))),
        moments,
        sliding_max(dense.distinct, width),
    )


def ends_touched(panes: Iterable[int], width: int, after: int, upto: int) -> list[tuple[int, int]]:
    """Ranges ``[a, b)`` of window ends in ``(after, upto]`` whose windows hold any of `panes`.

    A window that ends at pane number e holds panes ``e - width … e - 1``.
    """
    ranges: list[tuple[int, int]] = []
    for pane in sorted(panes):
        a, b = max(pane + 1, after + 1), min(pane + width, upto) + 1
        if a >= b:
            continue
        if ranges and a <= ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(b, ranges[-1][1]))
        else:
            ranges.append((a, b))
    return ranges
