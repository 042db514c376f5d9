"""Folding chunk summaries into windows: what is closed, what is revised, what is late.

For each source partition a model has the folded sealed chunks and the open parts of chunks that still fill. A
provisional summary replaces the one before it; a sealed one is folded in once (`sealed_upto`). A pane is *closed*
when the watermark has passed its end, and *final* when the grace period is over too: what arrives for a final pane
is counted late.

A log is cut once, so pictures of a chunk begin alike and the one that reaches further has all that the other has. Where
retention took the beginning before anybody could seal it, or what was committed has expired, that is not so: see
`ModelMerge._known` and `streams.core.overlaps`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from detectors.joint.sums import PaneSums, merge_sums
from detectors.slide import sliding_sum
from detectors.summary import Block, merge
from seawall.frames import Source
from seawall.monitor import MonitorSpec
from streams.core.chunks import read_block, read_sums
from streams.core.overlaps import best_of
from streams.core.parts import Waiting
from streams.core.room import Room
from streams.core.series import (
    Cells,
    Dense,
    Series,
    SeriesKey,
    WindowBatch,
    ends_touched,
    split_by_segment,
    windows_of,
)
from streams.core.watermark import Partition, Progress, Watermarks

#: Windows are computed at most this many at a time, and this many slots of windows: memory is bounded, and what is said
#: of a batch is one message, at eleven bytes a slot at most.
_BATCH, _BATCH_SLOTS = 256, 1 << 21
_SOURCES: tuple[Source, ...] = ("predictions", "features", "labels")


@dataclass(slots=True)
class OpenPart:
    """The part of a chunk that is known while it still fills."""

    next_offset: int
    cells: dict[SeriesKey, Cells] = field(default_factory=dict)
    frozen: dict[tuple[SeriesKey, int], int] = field(default_factory=dict)
    """Rows of this chunk that were folded into panes when these became final."""
    begins: int = -1
    """First record that is in it."""
    told_as: int = -1
    """First offset under which its late events are told."""
    told: dict[tuple[str, int], int] = field(default_factory=dict)
    """Late events that were told of, by version and pane. Their records may be gone since."""


@dataclass(frozen=True, slots=True)
class LateEvents:
    """Events of one chunk that came after their pane was final."""

    source: str
    version: str
    pane_start_us: int
    partition: Partition
    first_offset: int
    rows: int


class ModelMerge:
    """All windows of one model. A pure fold over its summaries; time comes in as arguments."""

    def __init__(
        self,
        model: str,
        watermarks: Watermarks,
        known_values: Callable[[str, str], frozenset[str]] = lambda version, column: frozenset(),
    ) -> None:
        self.model = model
        self.watermarks = watermarks
        self.known_values = known_values
        """Values of a column that the baseline of a version knows."""
        self.series: dict[SeriesKey, Series] = {}
        self.buried: dict[SeriesKey, Series] = {}
        """Those of which nothing is left, until their saved copies are deleted."""
        self.open: dict[tuple[Partition, int], OpenPart] = {}
        self.waiting = Waiting()
        """Parts of pictures that are not complete."""
        self.sealed_upto: dict[Partition, int] = {}
        self.closed: dict[Source, int] = {}
        """Pane number up to which windows of a source are closed."""
        self.final: dict[Source, int] = defaultdict(int)
        self.first_pane: dict[tuple[str, str], int] = {}
        self.revisions: dict[tuple[SeriesKey, int, int], int] = {}
        self.late: list[LateEvents] = []
        self.torn = 0
        """Chunks left out of which a part was new: the log was cut elsewhere before. That part is not counted."""
        self.dirty: dict[SeriesKey, set[int]] = defaultdict(set)
        self._forgotten: dict[Source, int] = {}
        """Pane number before which nothing is kept."""
        self._has_finished = True
        """Whether panes became final since what is not needed was last forgotten."""
        self._keeps_panes = False
        """Whether windows bring their panes: a day of minutes is a lot of memory, and few monitors ask for it."""

    def on_summary(self, summary: dict[str, Any], source: Source, spec: MonitorSpec, now_us: int) -> None:
        """Take one chunk summary of this model, or a part of one."""
        partition = Partition(summary["topic"], summary["partition"])
        first, following = summary["first_offset"], summary["next_offset"]
        begins = max(summary["from_offset"], first)
        sealed_upto = self.sealed_upto.get(partition, -1)
        if begins < sealed_upto:
            # Sealed and folded already: a worker that was started again, or a zombie.
            self.watermarks.saw(self.model, partition, summary["max_ts"], now_us)
            self.torn += summary["sealed"] and following > sealed_upto and not summary["part"]
            return
        picture = self.waiting.take(summary)
        if picture is None:
            return  # event time waits too: what the other parts hold would be late
        summary = picture
        self.watermarks.saw(self.model, partition, summary["max_ts"], now_us)
        known = self._known(partition, begins, following)
        if not summary["sealed"] and any(_has_more(self.open[at], begins, following) for at in known):
            return  # an older picture
        part = self._taken_out(known, source) or OpenPart(-1, begins=begins, told_as=first)
        fresh = self._read(summary["blocks"], source, summary["pane_us"] or spec.pane_us, spec)
        self._count_late(fresh, part, partition, part.told_as, source, spec)
        accepted = {key: cells.take(cells.panes >= self.final[source]) for key, cells in fresh.items()}
        if part.begins < begins or part.next_offset > following:
            accepted = best_of(part.cells, accepted)
        # A chunk that is made again after a baseline came may lack a layout that it had.
        for key in accepted | part.cells:
            self._mark(key, part.cells.get(key), accepted.get(key), source)
        reached = max(part.next_offset, following)
        merged = OpenPart(reached, accepted, part.frozen, min(part.begins, begins), part.told_as, part.told)
        if not summary["sealed"]:
            self.open[partition, first] = merged
        elif reached > following:
            # Cut elsewhere than before: what is known beyond the cut is in the next chunk, whoever makes it.
            self.open[partition, following] = merged
        else:
            self._fold(merged)
        if summary["sealed"]:
            self.sealed_upto[partition] = following

    def _known(self, partition: Partition, begins: int, following: int) -> list[tuple[Partition, int]]:
        """List the open parts that have records of a picture from `begins` to `following`.

        In a log that is cut once that is the same chunk's, if any. A part that ends before the picture begins is as
        good as sealed: nobody makes it again, for its records are gone or were cut elsewhere.
        """
        of_partition = sorted(at for at in self.open if at[0] == partition)
        for at in of_partition:
            if self.open[at].next_offset <= begins:
                part = self.open.pop(at)
                self._fold(part)
                self.sealed_upto[partition] = max(self.sealed_upto.get(partition, -1), part.next_offset)
        return [at for at in of_partition if at in self.open and self.open[at].begins < following]

    def _taken_out(self, places: list[tuple[Partition, int]], source: Source) -> OpenPart | None:
        """Remove open parts; returns what they know together."""
        parts = [self.open.pop(at) for at in places]
        if not parts:
            return None
        found, *others = parts
        for other in others:
            for key, cells in other.cells.items():
                self._mark(key, cells, None, source)
            found = OpenPart(
                max(found.next_offset, other.next_offset),
                best_of(found.cells, other.cells),
                dict(Counter(found.frozen) + Counter(other.frozen)),
                min(found.begins, other.begins),
                found.told_as,
                found.told,
            )
        return found

    def _fold(self, part: OpenPart) -> None:
        for key, cells in part.cells.items():
            self.series[key].add(cells)

    def _read(
        self, blocks: list[dict[str, Any]], source: Source, pane_us: int, spec: MonitorSpec
    ) -> dict[SeriesKey, Cells]:
        room: Room | None = None
        placed: dict[tuple[str, str], tuple[str, list[Block], list[PaneSums]]] = {}
        for record in blocks:
            version, baseline_id, block = record["version"], record["baseline_id"], read_block(record)
            seen = int(block.panes.min()) // pane_us
            self.first_pane[version, source] = min(self.first_pane.get((version, source), seen), seen)
            layout_id = block.layout.layout_id
            if not all(self._holds((version, source, layout_id, name)) for name in set(block.segments)):
                room = room or self._room(source, spec)
                block = room.fit(version, baseline_id, block)
            _, of, sums = placed.setdefault((version, block.layout.layout_id), (baseline_id, [], []))
            of.append(block)
            summed = read_sums(record)
            if summed is not None and (not sums or summed.sums.shape[1] == sums[0].sums.shape[1]):
                sums.append(summed)
        out: dict[SeriesKey, Cells] = {}
        for (version, layout_id), (baseline_id, of, sums) in placed.items():
            # Of a block that came in several, or of several that share a layout.
            block = merge(of)
            for segment, cells in split_by_segment(
                block, pane_us, merge_sums(sums) if sums else None
            ).items():
                key = (version, source, layout_id, segment)
                out[key] = cells
                if key not in self.series:
                    self.series[key] = Series(block.layout, baseline_id, self.buried.pop(key, None))
        return out

    def _holds(self, key: SeriesKey) -> bool:
        """Whether something is kept of a series: what a restart from saved state would find."""
        series = self.series.get(key)
        return series is not None and (
            bool(series.index) or any(key in part.cells for part in self.open.values())
        )

    def _room(self, source: Source, spec: MonitorSpec) -> Room:
        room = Room(spec.max_segments, self.known_values)
        for key, series in self.series.items():
            if key[3] and self._holds(key):
                room.hold_segment(key[3])
            elif key[1] == source and self._holds(key):
                room.hold(key[0], series.baseline_id, series.layout)
        return room

    def _count_late(
        self,
        fresh: dict[SeriesKey, Cells],
        part: OpenPart,
        partition: Partition,
        first: int,
        source: Source,
        spec: MonitorSpec,
    ) -> None:
        """Count rows of final panes that were not in them before; in whatever layout, each event once."""
        final, rows_of = self.final[source], Counter[tuple[str, int]]()
        for key, cells in fresh.items():
            late = cells.panes < final
            if key[3] == "" and late.any():  # segments are views of the same traffic
                for pane, rows in zip(cells.panes[late].tolist(), cells.rows[late].tolist(), strict=True):
                    rows_of[key[0], pane] += rows
        if not rows_of:
            return
        for (key, pane), rows in part.frozen.items():
            if key[3] == "" and (key[0], pane) in rows_of:
                rows_of[key[0], pane] -= rows
        for (version, pane), rows in rows_of.items():
            if rows > 0:
                told = part.told[version, pane] = max(rows, part.told.get((version, pane), 0))
                self.late.append(LateEvents(source, version, pane * spec.pane_us, partition, first, told))

    def _mark(self, key: SeriesKey, before: Cells | None, after: Cells | None, source: Source) -> None:
        closed = self.closed.get(source)
        if closed is None:
            return
        old, new = _rows_by_pane(before), _rows_by_pane(after)
        for pane in old | new:
            if self.final[source] <= pane < closed and old.get(pane, 0) != new.get(pane, 0):
                self.dirty[key].add(pane)

    def has_news(self, spec: MonitorSpec, now_us: int) -> bool:
        """Tell whether `advance` has anything to do: panes to close, to revise or to forget, or late events."""
        if self._has_finished or self.dirty or self.late:
            return True
        for source in _SOURCES:
            upto = self._closable(source, spec, now_us)
            if upto is not None and (source not in self.closed or upto > self.closed[source]):
                return True
        return False

    def advance(self, spec: MonitorSpec, now_us: int) -> Iterator[WindowBatch]:
        """Close what the watermark has passed and revise what changed; yields the windows."""
        self._keeps_panes = bool(spec.detectors) or any(rule.detectors for rule in spec.columns.values())
        if self._has_finished:
            # Not when a window closes: what is decided about it may look at the panes under it.
            for source in _SOURCES:
                self._forget(source, spec)
            self._has_finished = False
        for source in _SOURCES:
            upto = self._closable(source, spec, now_us)
            if upto is None:
                continue
            yield from self._revised(source, spec)
            before = self.closed.get(source)
            if before is None or upto > before:
                yield from self._closing(source, spec, before, upto)
                self.closed[source] = upto
                self._finalise(source, spec, upto)

    def _closable(self, source: Source, spec: MonitorSpec, now_us: int) -> int | None:
        watermark = self.watermarks.of(self.model, source, spec, now_us)
        if source == "features" and spec.skew and watermark is not None:
            # Feature windows are compared with what predictions carried, so they wait for them.
            predictions = self.watermarks.of(self.model, "predictions", spec, now_us)
            watermark = watermark if predictions is None else min(watermark, predictions)
        return None if watermark is None else watermark // spec.pane_us

    def _panes(self, key: SeriesKey) -> set[int]:
        panes = set(self.series[key].index)
        for part in self.open.values():
            if key in part.cells:
                panes.update(part.cells[key].panes.tolist())
        return panes

    def _keys(self, source: Source) -> list[SeriesKey]:
        return sorted(k for k in self.series if k[1] == source)

    def _closing(
        self, source: Source, spec: MonitorSpec, before: int | None, upto: int
    ) -> Iterator[WindowBatch]:
        for key in self._keys(source):
            panes = self._panes(key)
            if not panes:
                continue
            after = min(panes) if before is None else before
            for width in widths(spec):
                for a, b in ends_touched(panes, width, after, upto):
                    yield from self._batches(key, width, a, b)

    def _revised(self, source: Source, spec: MonitorSpec) -> Iterator[WindowBatch]:
        closed = self.closed.get(source, 0)
        for key in [k for k in self.dirty if k[1] == source]:
            panes = self.dirty.pop(key)
            for width in widths(spec):
                for a, b in ends_touched(panes, width, min(panes), closed):
                    for end in range(a, b):
                        at = (key, width, end)
                        self.revisions[at] = self.revisions.get(at, 0) + 1
                    yield from self._batches(key, width, a, b)

    def _batches(self, key: SeriesKey, width: int, a: int, b: int) -> Iterator[WindowBatch]:
        series = self.series[key]
        parts = [p.cells[key] for p in self.open.values() if key in p.cells]
        step = max(min(_BATCH, _BATCH_SLOTS // max(series.layout.slots, 1)), 1)
        for start in range(a, b, step):
            stop = min(start + step, b)
            # A worker that keeps up closes one window at a time, whose panes nobody looks at.
            brings_panes = self._keeps_panes and not key[3]
            summed = stop - start == 1 and not brings_panes
            dense = series.dense(start - width, stop - start + width - 1, parts, summed=summed)
            rows, weights, counts, moments, distinct = windows_of(dense, width)
            revisions = [self.revisions.get((key, width, e), 0) for e in range(start, stop)]
            yield WindowBatch(
                key,
                series.layout,
                series.baseline_id,
                width,
                start,
                rows,
                weights,
                counts,
                moments,
                distinct,
                np.array(revisions, dtype=np.int32),
                dense.rows,
                self.first_pane[key[0], key[1]],
                None if dense.joint is None else sliding_sum(dense.joint, width),
                dense.counts if brings_panes else None,
            )

    def window_counts(
        self, key: SeriesKey, width: int, first_end: int, windows: int
    ) -> tuple[Any, Series] | None:
        """Return counts of some windows of another series, int64 [windows, slots], and that series."""
        series = self.series.get(key)
        if series is None:
            return None
        parts = [p.cells[key] for p in self.open.values() if key in p.cells]
        dense = series.dense(first_end - width, windows + width - 1, parts, summed=windows == 1)
        return windows_of(dense, width)[2], series

    def dense(self, key: SeriesKey, first: int, panes: int) -> Dense:
        """Lay out consecutive panes of a series as they are now; those that were forgotten are empty."""
        parts = [p.cells[key] for p in self.open.values() if key in p.cells]
        return self.series[key].dense(first, panes, parts)

    def _finalise(self, source: Source, spec: MonitorSpec, upto: int) -> None:
        """Fold open parts of panes whose grace is over."""
        final = upto - -(-spec.grace_us // spec.pane_us)
        self.final[source] = max(self.final[source], final)
        self._has_finished = True
        for part in self.open.values():
            for key in [k for k in part.cells if k[1] == source]:
                cells = part.cells[key]
                done = cells.panes < final
                if not done.any():
                    continue
                self.series[key].add(cells.take(done))
                for pane, rows in zip(cells.panes[done].tolist(), cells.rows[done].tolist(), strict=True):
                    part.frozen[key, pane] = part.frozen.get((key, pane), 0) + rows
                part.cells[key] = cells.take(~done)

    def _forget(self, source: Source, spec: MonitorSpec) -> None:
        """Forget panes that no window can hold any more."""
        needed = self.final[source]
        # A window that ends there holds final panes alone, and is not revised again.
        self.revisions = {k: v for k, v in self.revisions.items() if k[0][1] != source or k[2] > needed}
        if source == "predictions" and any(k[1] == "features" for k in self.series):
            # Feature windows are compared with what predictions carried, and may still be revised.
            needed = min(needed, self.final["features"])
        horizon = needed - max(widths(spec))
        if horizon <= self._forgotten.get(source, 0):
            return
        self._forgotten[source] = horizon
        for key in self._keys(source):
            self.series[key].drop_before(horizon)
            if self._is_over(key):
                self.buried[key] = self.series.pop(key)
        served = {key[:2] for key in self.series}
        self.first_pane = {
            at: pane for at, pane in self.first_pane.items() if at[1] != source or at in served
        }

    def _is_over(self, key: SeriesKey) -> bool:
        """Whether nothing is left of a series: of a version that serves no more, or a name that was made up once."""
        return (
            not self.series[key].index
            and not self.dirty.get(key)
            and not any(key in part.cells for part in self.open.values())
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing is left of the model: no pane that a window can hold, and no chunk that still fills."""
        return not (self.series or self.open or self.waiting or self.late or any(self.dirty.values()))

    def take_late(self) -> list[LateEvents]:
        """Return the late events found since the last call."""
        late, self.late = self.late, []
        return late


def _has_more(part: OpenPart, begins: int, following: int) -> bool:
    """Whether a part has every record of a picture, and some that the picture lacks."""
    span = (part.begins, part.next_offset)
    return part.begins <= begins and following <= part.next_offset and span != (begins, following)


def _rows_by_pane(cells: Cells | None) -> dict[int, int]:
    return dict(zip(cells.panes.tolist(), cells.rows.tolist(), strict=True)) if cells else {}


def widths(spec: MonitorSpec) -> tuple[int, ...]:
    """Window lengths in panes: the pane itself first, then every horizon."""
    return _widths(spec.pane_us, spec.horizons_us)


@lru_cache(maxsize=1024)
def _widths(pane_us: int, horizons_us: tuple[int, ...]) -> tuple[int, ...]:
    # Asked several times for each summary of each model.
    return (1, *(w for h in sorted(set(horizons_us)) if (w := h // pane_us) > 1))


__all__ = ["LateEvents", "ModelMerge", "OpenPart", "Progress", "widths"]
