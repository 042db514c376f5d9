"""Folding chunk summaries into windows: what is closed, what is revised, what is late.

For each source partition a model has the folded sealed chunks and the open parts of chunks that still fill. A
provisional summary replaces the one before it; a sealed one is folded in once (`sealed_upto`). Offsets name records
within one life of a log (`streams.core.lives`): when another begins, what is open of the one before is folded as it
is, for its chunks are never going to be sealed. A pane is *closed*
when the watermark has passed its end, and *final* when the grace period is over too: what arrives for a final pane
is counted late.

A log is cut once, so pictures of a chunk begin alike and the one that reaches further has all that the other has. Where
retention took the beginning before anybody could seal it, or what was committed has expired, that is not so: see
`ModelMerge._known` and `streams.core.overlaps`.

Everything is kept by time, in whatever width it was counted (`series.py`). Panes have numbers only in the width that
the monitor has *now*: a pane counted in another one belongs, whole, to that in which it begins. So a monitor may
change its width at any time. What is closed or final stays so up to the same time.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from detectors.joint.sums import PaneSums, merge_sums
from detectors.slide import sliding_sum
from detectors.summary import Block, merge
from seawall.frames import Source
from seawall.monitor import MonitorSpec
from streams.core.chunks import read_block, read_sums
from streams.core.lives import FIRST, Beginning, Place
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
    joined,
    split_by_segment,
    windows_of,
)
from streams.core.watermark import Partition, Progress, Watermarks

#: Windows are computed at most this many at a time, and this many slots of windows: memory is bounded, and what is said
#: of a batch is one message, at eleven bytes a slot at most.
_BATCH, _BATCH_SLOTS = 256, 1 << 21
#: Late events are stored under their chunk's first offset, and those of another life must not replace them.
_LIFE_BITS = 48
#: Where the first of no panes begins.
_NEVER = 1 << 62
_SOURCES: tuple[Source, ...] = ("predictions", "features", "labels")


@dataclass(slots=True)
class OpenPart:
    """The part of a chunk that is known while it still fills."""

    next_offset: int
    cells: dict[SeriesKey, Cells] = field(default_factory=dict)
    frozen: dict[tuple[SeriesKey, int], int] = field(default_factory=dict)
    """Rows of this chunk, by pane start, that were folded when their panes became final."""
    begins: int = -1
    """First record that is in it."""
    told_as: int = -1
    """First offset under which its late events are told, and above it the life of the log."""
    told: dict[tuple[str, int], int] = field(default_factory=dict)
    """Late events that were told of, by version and pane start. Their records may be gone since."""
    widths: frozenset[int] = frozenset()
    """Of the panes that it was counted in, microseconds."""
    refused_upto_us: int = 0
    """Start before which nothing of it is taken any more, though its panes be open: see `ModelMerge._recounted`."""
    wide: frozenset[tuple[int, int]] = frozenset()
    """Starts and widths of panes that were final in a narrower width, and would be open again in their own."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Cells of one series and width in a summary."""

    key: SeriesKey
    width_us: int
    cells: Cells


class LateAt(NamedTuple):
    """Where late events come from."""

    source: Source
    partition: Partition
    first_offset: int


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
        self.sealed_upto: dict[Partition, Place] = {}
        self.pane_us = 0
        """Width of the panes that windows are made of: the monitor's. 0 before it is known."""
        self.closed_us: dict[Source, int] = {}
        """Time up to which windows of a source are closed. Never goes back."""
        self.final_us: dict[Source, int] = defaultdict(int)
        self.first_us: dict[tuple[str, str], int] = {}
        """Start of the first pane of a version."""
        self.revisions: dict[tuple[SeriesKey, int, int], int] = {}
        """By series, horizon and end, microseconds."""
        self.late: list[LateEvents] = []
        self.torn = 0
        """Chunks left out of which a part was new: the log was cut elsewhere before. That part is not counted."""
        self.strange = 0
        """Chunks left out that hold events newer than all that was counted: see `_leave_out`."""
        self._noticed: dict[Partition, int] = {}
        self.dirty: dict[SeriesKey, set[int]] = defaultdict(set)
        self.forgotten_us: dict[Source, int] = {}
        """Start of the first pane that is kept."""
        self._has_finished = True
        """Whether panes became final since what is not needed was last forgotten."""
        self._keeps_panes = False
        """Whether windows bring their panes: a day of minutes is a lot of memory, and few monitors ask for it."""

    def on_summary(
        self,
        summary: dict[str, Any],
        source: Source,
        spec: MonitorSpec,
        now_us: int,
        life: Beginning = FIRST,
    ) -> None:
        """Take one chunk summary of this model, or a part of one; `life` is where that of its log begins."""
        self.follow(spec)
        partition = Partition(summary["topic"], summary["partition"])
        first, following = summary["first_offset"], summary["next_offset"]
        begins = max(summary["from_offset"], first)
        self.begin_life(partition, life)
        if begins < self.sealed_upto.get(partition, Place()).offset:
            # Sealed and folded already: a worker that was started again, or a zombie.
            self._leave_out(summary, partition)
            self.watermarks.saw(self.model, partition, summary["max_ts"], now_us)
            return
        picture = self.waiting.take(summary)
        if picture is None:
            return  # event time waits too: what the other parts hold would be late
        summary = picture
        self.watermarks.saw(self.model, partition, summary["max_ts"], now_us)
        known = self._known(partition, begins, following)
        if not summary["sealed"] and any(_has_more(self.open[at], begins, following) for at in known):
            return  # an older picture
        told_as = first + (life.life << _LIFE_BITS)
        part = self._taken_out(known, source) or OpenPart(-1, begins=begins, told_as=told_as)
        found, begin_us = self._read(summary["blocks"], source, summary["pane_us"] or spec.pane_us, spec)
        widths_us = frozenset(f.width_us for f in found)
        refused_us = max(part.refused_upto_us, self._recounted(part, found, widths_us, begins))
        accepted = self._accepted(found, begin_us, part, LateAt(source, partition, part.told_as), refused_us)
        if part.begins < begins or part.next_offset > following:
            accepted = best_of(part.cells, accepted, by_pane=part.widths <= widths_us)
            widths_us |= part.widths
        # A chunk that is made again after a baseline came may lack a layout that it had.
        for key in accepted | part.cells:
            self._mark(key, part.cells.get(key), accepted.get(key), source)
        reached = max(part.next_offset, following)
        begins = min(part.begins, begins)
        merged = OpenPart(
            reached, accepted, part.frozen, begins, part.told_as, part.told, widths_us, refused_us, part.wide
        )
        if not summary["sealed"]:
            self.open[partition, first] = merged
        elif reached > following:
            # Cut elsewhere than before: what is known beyond the cut is in the next chunk, whoever makes it.
            self.open[partition, following] = merged
        else:
            self._fold(merged)
        if summary["sealed"]:
            self.sealed_upto[partition] = Place(life.life, following)

    def begin_life(self, partition: Partition, begin: Beginning) -> None:
        """Let a log begin, unless it has. What was counted of the one before stays as it is.

        Nobody can make its open chunk again, unless the log goes on: then it begins with this very chunk.
        """
        known = self.sealed_upto.get(partition, Place())
        if begin.life <= known.life:
            return
        for at in sorted(at for at in self.open if at[0] == partition):
            if not (begin.may_go_on and at[1] == begin.offset):
                self._fold(self.open.pop(at))
        self.waiting.leave(partition)
        self._noticed.pop(partition, None)
        self.sealed_upto[partition] = begin.place

    def _leave_out(self, summary: dict[str, Any], partition: Partition) -> None:
        """Notice what is wrong with a chunk that begins where all was counted already.

        It may reach further than that. Or it may hold events that are newer than any that was seen. One that is told
        again has none, so these are others at the same offsets: the log began anew, and nobody said so.
        """
        if summary["part"]:
            return
        if summary["next_offset"] > self.sealed_upto[partition].offset:
            self.torn += summary["sealed"]
            return
        is_new = summary["max_ts"] > self.watermarks.newest(self.model, partition)
        if is_new and self._noticed.get(partition) != summary["first_offset"]:  # once, not each picture of it
            self._noticed[partition] = summary["first_offset"]
            self.strange += 1

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
                known = self.sealed_upto.get(partition, Place())
                self.sealed_upto[partition] = max(known, Place(known.life, part.next_offset))
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
                found.widths | other.widths,
                max(found.refused_upto_us, other.refused_upto_us),
                found.wide | other.wide,
            )
        return found

    def _fold(self, part: OpenPart) -> None:
        for key, cells in part.cells.items():
            self.series[key].add(cells)

    def follow(self, spec: MonitorSpec) -> None:
        """Make windows of panes of the monitor's width from now on.

        Rows move with the pane in which they are counted to another one. Where their old one was open and the new one
        is closed, windows are revised; where it is final, they are folded.
        """
        before, self.pane_us = self.pane_us, spec.pane_us
        if before == spec.pane_us:
            return
        for series in self.series.values():
            series.follow(spec.pane_us)
        if not before:
            return
        for key in self.series:
            closed_us = self.closed_us.get(_source(key))
            if closed_us is not None:
                was_closed, is_closed = (
                    closed_us // before * before,
                    self._closed(_source(key)) * spec.pane_us,
                )
                moved = {s for s in self._starts(key) if was_closed <= s < is_closed}
                if moved:
                    self.dirty[key] |= moved
        for source in _SOURCES:
            self._fold_final(source)

    def _closed(self, source: Source) -> int:
        """Pane number up to which windows of a source are closed."""
        return self.closed_us.get(source, 0) // self.pane_us

    def _final(self, source: Source) -> int:
        return self.final_us[source] // self.pane_us

    def first_pane(self, key: SeriesKey) -> int:
        """Return the number of the first pane of a version that is known and kept."""
        return max(self.first_us[key[0], key[1]] // self.pane_us, self._first_kept(_source(key)))

    def _first_kept(self, source: Source) -> int:
        # Of the pane in which forgetting ended a part may be gone, if it was narrower panes that were forgotten.
        return -(-self.forgotten_us.get(source, 0) // self.pane_us)

    def _read(
        self, blocks: list[dict[str, Any]], source: Source, pane_us: int, spec: MonitorSpec
    ) -> tuple[list[_Found], int]:
        """Read what a summary holds; returns the cells of each series, and where the first pane begins."""
        room: Room | None = None
        begin_us = _NEVER
        placed: dict[tuple[str, str, int], tuple[str, list[Block], list[PaneSums]]] = {}
        for record in blocks:
            version, baseline_id, block = record["version"], record["baseline_id"], read_block(record)
            seen = int(block.panes.min())
            begin_us = min(begin_us, seen)
            self.first_us[version, source] = min(self.first_us.get((version, source), seen), seen)
            layout_id, width_us = block.layout.layout_id, record["pane_us"] or pane_us
            if not all(self._holds((version, source, layout_id, name)) for name in set(block.segments)):
                room = room or self._room(source, spec)
                block = room.fit(version, baseline_id, block)
            _, of, sums = placed.setdefault(
                (version, block.layout.layout_id, width_us), (baseline_id, [], [])
            )
            of.append(block)
            summed = read_sums(record)
            if summed is not None and (not sums or summed.sums.shape[1] == sums[0].sums.shape[1]):
                sums.append(summed)
        out: list[_Found] = []
        for (version, layout_id, width_us), (baseline_id, of, sums) in placed.items():
            # Of a block that came in several, or of several that share a layout.
            block = merge(of)
            for segment, cells in split_by_segment(block, merge_sums(sums) if sums else None).items():
                key = (version, source, layout_id, segment)
                out.append(_Found(key, width_us, cells))
                if key not in self.series:
                    earlier = self.buried.pop(key, None)
                    self.series[key] = Series(block.layout, baseline_id, self.pane_us, earlier)
        return out, begin_us

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

    def _is_final(self, found: _Found, part: OpenPart, refused_upto_us: int) -> npt.NDArray[np.bool_]:
        """Tell of each cell whether its pane was final, in its own width or in that of now."""
        final_us, panes = self.final_us[_source(found.key)], found.cells.panes
        now_us = (panes // self.pane_us + 1) * self.pane_us
        out: npt.NDArray[np.bool_] = np.minimum(panes + found.width_us, now_us) <= final_us
        wide = [start for start, width_us in part.wide if width_us == found.width_us]
        return out | (panes < refused_upto_us) | np.isin(panes, wide)

    def _accepted(
        self, found: list[_Found], begin_us: int, part: OpenPart, at: LateAt, refused_upto_us: int
    ) -> dict[SeriesKey, Cells]:
        """Return what is counted of a summary; rows of final panes that were not in them before are late.

        `begin_us` is where the first of its panes begins.
        """
        parts: dict[SeriesKey, list[Cells]] = {}
        late: Counter[tuple[str, int]] = Counter()
        # Asked once of them all, for that is what nearly every summary is.
        are_open = not part.wide and begin_us >= max(self.final_us[at.source], refused_upto_us)
        for one in found:
            if are_open:
                parts.setdefault(one.key, []).append(one.cells)
                continue
            is_final = self._is_final(one, part, refused_upto_us)
            parts.setdefault(one.key, []).append(one.cells.take(~is_final))
            if not one.key[3]:  # segments are views of the same traffic
                for pane, rows in zip(
                    one.cells.panes[is_final].tolist(), one.cells.rows[is_final].tolist(), strict=True
                ):
                    late[one.key[0], pane] += rows
        if late:
            late = _less_frozen(late, part.frozen, is_recounted=refused_upto_us > 0)
            for (version, pane), rows in late.items():
                if rows > 0:
                    told = part.told[version, pane] = max(rows, part.told.get((version, pane), 0))
                    self.late.append(
                        LateEvents(at.source, version, pane, at.partition, at.first_offset, told)
                    )
        return {key: joined(cells, self.series[key].layout) for key, cells in parts.items()}

    def _recounted(self, part: OpenPart, found: list[_Found], widths_us: frozenset[int], begins: int) -> int:
        """Return the start before which nothing is taken of a chunk that was made again in panes of another width.

        Rows that were folded when their panes became final are in other panes now, together with some that were not,
        and nothing tells them apart. No row may be counted twice, so the others are late; 0 for any other chunk.
        """
        if not part.frozen or (part.refused_upto_us and part.widths <= widths_us):
            return 0
        held = Counter[tuple[str, int]]()
        for one in found:
            if not one.key[3]:
                for pane, rows in zip(one.cells.panes.tolist(), one.cells.rows.tolist(), strict=True):
                    held[one.key[0], pane] += rows
        for (key, pane), rows in part.frozen.items():
            if not key[3]:
                held[key[0], pane] -= rows
        # What retention took is missing, and in no other pane.
        if part.widths <= widths_us and (begins > part.begins or min(held.values()) >= 0):
            return 0
        return max(pane for _, pane in part.frozen) + max(part.widths or widths_us)

    def _mark(self, key: SeriesKey, before: Cells | None, after: Cells | None, source: Source) -> None:
        if source not in self.closed_us:
            return
        closed_us = self._closed(source) * self.pane_us
        old, new = _rows_by_pane(before), _rows_by_pane(after)
        for pane in old | new:
            if pane < closed_us and old.get(pane, 0) != new.get(pane, 0):
                self.dirty[key].add(pane)

    def has_news(self, spec: MonitorSpec, now_us: int) -> bool:
        """Tell whether `advance` has anything to do: panes to close, to revise or to forget, or late events."""
        self.follow(spec)
        if self._has_finished or self.dirty or self.late:
            return True
        for source in _SOURCES:
            upto = self._closable(source, spec, now_us)
            if upto is not None and upto > self.closed_us.get(source, -1) // self.pane_us:
                return True
        return False

    def advance(self, spec: MonitorSpec, now_us: int) -> Iterator[WindowBatch]:
        """Close what the watermark has passed and revise what changed; yields the windows."""
        self.follow(spec)
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
            before = self._closed(source) if source in self.closed_us else None
            if before is None or upto > before:
                yield from self._closing(source, spec, before, upto)
                self.closed_us[source] = upto * self.pane_us
                self._finalise(source, spec, upto)

    def _closable(self, source: Source, spec: MonitorSpec, now_us: int) -> int | None:
        watermark = self.watermarks.of(self.model, source, spec, now_us)
        if source == "features" and spec.skew and watermark is not None:
            # Feature windows are compared with what predictions carried, so they wait for them.
            predictions = self.watermarks.of(self.model, "predictions", spec, now_us)
            watermark = watermark if predictions is None else min(watermark, predictions)
        return None if watermark is None else watermark // spec.pane_us

    def _starts(self, key: SeriesKey) -> set[int]:
        starts = set(self.series[key].index)
        for part in self.open.values():
            if key in part.cells:
                starts.update(part.cells[key].panes.tolist())
        return starts

    def _numbers(self, starts: Iterable[int]) -> set[int]:
        return {start // self.pane_us for start in starts}

    def _keys(self, source: Source) -> list[SeriesKey]:
        return sorted(k for k in self.series if k[1] == source)

    def _closing(
        self, source: Source, spec: MonitorSpec, before: int | None, upto: int
    ) -> Iterator[WindowBatch]:
        for key in self._keys(source):
            panes = self._numbers(self._starts(key))
            if not panes:
                continue
            after = min(panes) if before is None else before
            for width in widths(spec):
                for a, b in ends_touched(panes, width, after, upto):
                    yield from self._batches(key, width, a, b)

    def _revised(self, source: Source, spec: MonitorSpec) -> Iterator[WindowBatch]:
        closed, kept = self._closed(source), self._first_kept(source)
        for key in [k for k in self.dirty if k[1] == source]:
            panes = self._numbers(self.dirty.pop(key))
            for width in widths(spec):
                for a, b in ends_touched(panes, width, kept + width - 1, closed):
                    for end in range(a, b):
                        at = (key, width * self.pane_us, end * self.pane_us)
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
            width_us, ends = width * self.pane_us, range(start, stop)
            revisions = [self.revisions.get((key, width_us, e * self.pane_us), 0) for e in ends]
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
                self.first_pane(key),
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
        """Make panes final whose grace is over."""
        final = upto - -(-spec.grace_us // spec.pane_us)
        self.final_us[source] = max(self.final_us[source], final * self.pane_us)
        self._has_finished = True
        self._fold_final(source)

    def _fold_final(self, source: Source) -> None:
        """Fold open parts of final panes."""
        final_us = self._final(source) * self.pane_us
        for part in self.open.values():
            for key in [k for k in part.cells if k[1] == source]:
                cells = part.cells[key]
                done = cells.panes < final_us
                if not done.any():
                    continue
                self.series[key].add(cells.take(done))
                for pane, rows in zip(cells.panes[done].tolist(), cells.rows[done].tolist(), strict=True):
                    part.frozen[key, pane] = part.frozen.get((key, pane), 0) + rows
                    wider = [width for width in part.widths if width > self.pane_us and pane % width == 0]
                    part.wide |= {(pane, width) for width in wider}
                part.cells[key] = cells.take(~done)

    def _forget(self, source: Source, spec: MonitorSpec) -> None:
        """Forget panes that no window can hold any more."""
        needed = self._final(source)
        # A window that ends there holds final panes alone, and is not revised again.
        needed_us = needed * self.pane_us
        self.revisions = {k: v for k, v in self.revisions.items() if k[0][1] != source or k[2] > needed_us}
        if source == "predictions" and any(k[1] == "features" for k in self.series):
            # Feature windows are compared with what predictions carried, and may still be revised.
            needed = min(needed, self._final("features"))
        horizon_us = (needed - max(widths(spec))) * self.pane_us
        if horizon_us <= self.forgotten_us.get(source, 0):
            return
        self.forgotten_us[source] = horizon_us
        for key in self._keys(source):
            self.series[key].drop_before(horizon_us)
            if self._is_over(key):
                self.buried[key] = self.series.pop(key)
        served = {key[:2] for key in self.series}
        self.first_us = {at: start for at, start in self.first_us.items() if at[1] != source or at in served}

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

    @property
    def known_upto_us(self) -> int:
        """Event time up to which everything is known, of the source that is furthest."""
        return max(self.closed_us.values(), default=0)

    def take_late(self) -> list[LateEvents]:
        """Return the late events found since the last call."""
        late, self.late = self.late, []
        return late


def _has_more(part: OpenPart, begins: int, following: int) -> bool:
    """Whether a part has every record of a picture, and some that the picture lacks."""
    span = (part.begins, part.next_offset)
    return part.begins <= begins and following <= part.next_offset and span != (begins, following)


def _source(key: SeriesKey) -> Source:
    return cast("Source", key[1])


def _less_frozen(
    late: Counter[tuple[str, int]], frozen: Mapping[tuple[SeriesKey, int], int], *, is_recounted: bool
) -> Counter[tuple[str, int]]:
    """Take off what was folded before: in whatever layout, each event once.

    Of a chunk that was made again in another width it may be found in other panes.
    """
    for (key, pane), rows in sorted(frozen.items()):
        if key[3]:
            continue
        here = min(rows, late[key[0], pane])
        late[key[0], pane] -= here
        for at in sorted(late) if is_recounted and rows > here else ():
            if at[0] == key[0]:
                there = min(rows - here, late[at])
                late[at] -= there
                here += there
    return late


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
