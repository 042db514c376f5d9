"""Cutting a partition's log into chunks, and what each chunk held.

The cut depends on the log alone (bytes and offsets since the last cut), so a worker that starts again from the
committed offset makes the same chunks with the same content. Not on what could be decoded: a schema that was unknown
the first time may be known the second, and rows between two different cuts would be counted twice or never. The input
offset may be committed only at a cut, and only after the sealed summary is acknowledged; until then a chunk is made
again, byte for byte.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors.joint.plan import Bound
from detectors.joint.sums import PaneSums, joint_sums, merge_sums
from detectors.layout import Layout
from detectors.summary import REGISTERS, Block, Rows, merge, summarise
from seawall.baseline import Baseline
from seawall.frames import Columns, Source
from seawall.wire import Resolver
from streams.core.columnar import DecodedRun, decode_run
from streams.core.cursor import Ints
from streams.core.decode import DeadLetter, Record, Records
from streams.core.joint import plan_of
from streams.core.layouts import LayoutBook
from streams.core.lives import UNNAMED, LogName
from streams.core.packing import packed, packed_counts, unpacked_counts
from streams.core.parts import LARGEST, in_parts
from streams.core.pool import MAX_SETS, Pool
from streams.core.rows import Listed, list_segments, to_rows
from streams.core.stitch import neighbours

#: Rows that are counted at a time: their columns fit the processor's cache, and of more each takes half as long again.
_PIECE_ROWS = 8192


@dataclass(frozen=True, slots=True)
class ChunkRule:
    """When a chunk is full, and how far ahead of the broker's clock an event may push the watermark.

    Past `MAX_SETS` column sets of a version they are counted as one. A summary is one message for each model, or as
    many as `message_bytes` asks for: none is larger than a broker takes, however many panes and segments there are.
    """

    bytes: int = 2 << 20
    """Of the records' values."""
    offsets: int = 8192
    max_future_skew_us: int = 300_000_000
    message_bytes: int = LARGEST
    """Of a summary's blocks; where there are more it comes in parts."""


@dataclass(slots=True)
class Cut:
    """A sealed chunk: its summaries, and the input offset that may be committed once they are acknowledged."""

    next_offset: int
    summaries: list[dict[str, Any]]


@dataclass(slots=True)
class _Group:
    """Everything of one (model, version, layout) in the open chunk."""

    layout: Layout
    baseline_id: str
    pane_us: int
    rows: list[Rows] = field(default_factory=list)
    block: Block | None = None
    bound: Bound | None = None
    """What is summed across columns, if anything."""
    sums: PaneSums | None = None

    def folded(self) -> Block | None:
        """Count what has come since the last call; returns the whole."""
        if self.rows:
            by_dimensions: dict[int, list[Rows]] = {}
            for part in self.rows:
                by_dimensions.setdefault(len(part.segments), []).append(part)
            joined = [Rows.concat(parts) for parts in by_dimensions.values()]
            self.block = merge([*([self.block] if self.block else []), *(summarise(r) for r in joined)])
            if self.bound is not None:
                fresh = [joint_sums(r.slots, r.panes, self.bound) for r in joined]
                self.sums = merge_sums([*([self.sums] if self.sums else []), *fresh])
            self.rows.clear()
        return self.block


class PartitionChunker:
    """The open chunk of one input partition.

    `feed` returns the chunks that were completed; `provisional` describes the one that is still filling.
    Not thread-safe; one per assigned partition, thrown away when the partition is revoked.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        source: Source,
        book: LayoutBook,
        rule: ChunkRule,
        resolver: Resolver | None = None,
        partitions: int = 1,
        log: LogName = UNNAMED,
    ) -> None:
        self.topic = topic
        self.log = log
        self.partitions = partitions
        self.partition = partition
        self.source = source
        self.book = book
        self.rule = rule
        self.resolver = resolver
        self.max_ts = -1
        self.dead: list[DeadLetter] = []
        self.records_seen = 0
        self.events_seen = 0
        self._model_max_ts: dict[str, int] = {}
        self._first: int | None = None
        self._from: int | None = None
        """The first record of the open chunk."""
        self.next_offset = 0
        self._chunk_bytes = 0
        self._groups: dict[tuple[str, str, str, int], _Group] = {}
        """By model, version, layout and pane width: a monitor may change its width while a chunk fills."""
        self._pools: dict[tuple[str, str, str, int], Pool] = {}
        """By model, version, baseline and pane width: what has too many column sets to be grouped by them."""
        self._listed: dict[tuple[str, str], Listed] = {}
        """Segments that have a place of their own, of each model and version."""
        self._pending: list[tuple[Ints, Columns]] = []
        """Columns, with the offset of each row's record."""
        self._pending_rows = 0
        """Of few rows each costs more, so they wait for others: of many models, each run has a few rows of each."""
        self._dirty: set[str] = set()

    def start_at(self, offset: int) -> None:
        """Begin a chunk at the committed offset."""
        self._first = self.next_offset = offset

    @property
    def is_empty(self) -> bool:
        """Whether the open chunk holds nothing."""
        return self._first is None or self.next_offset == self._first

    def feed(self, records: Sequence[Record]) -> Iterator[Cut]:
        """Take records in offset order; yield every chunk that they complete.

        Records before `next_offset` were taken already and are skipped. Dead letters collect in `dead`; they
        must be acknowledged before the cut that covers them is committed.
        """
        taken = self._untaken(Records.of(records))
        decoded = decode_run(self.source, taken, self.resolver)
        offsets = taken.offsets
        rows_upto = np.concatenate(([0], np.cumsum(decoded.rows)))
        bytes_upto = np.cumsum([0, *map(len, taken.values)])
        start = 0
        while start < len(taken):
            # The first record after which the chunk is full, one way or the other. A gap in the offsets
            # (compaction, transaction markers) may span a cut of its own.
            full_bytes = bytes_upto[start] + self.rule.bytes - self._chunk_bytes
            by_bytes = max(int(np.searchsorted(bytes_upto, full_bytes)), start + 1)
            full_offset = (self._first or 0) + self.rule.offsets - 1
            by_offsets = max(int(np.searchsorted(offsets, full_offset)), start) + 1
            end = min(by_bytes, by_offsets)
            is_full = end <= len(taken)
            end = min(end, len(taken))
            piece = max(int(np.searchsorted(rows_upto, rows_upto[start] + _PIECE_ROWS)), start + 1)
            if piece < end:
                end, is_full = piece, False
            self._chunk_bytes += int(bytes_upto[end] - bytes_upto[start])
            self._take(decoded, taken, start, end)
            start = end
            if is_full:
                yield self._cut()
            elif self._pending_rows >= _PIECE_ROWS:
                self._count()

    def _untaken(self, records: Records) -> Records:
        if self._first is None and len(records):
            self.start_at(int(records.offsets[0]))
        # The greatest offset before each record: what is not beyond it was there already.
        before = np.maximum.accumulate(np.concatenate(([self.next_offset - 1], records.offsets[:-1])))
        fresh = records.offsets > before[: len(records)]
        return records if fresh.all() else records.take(np.flatnonzero(fresh))

    def _take(self, decoded: DecodedRun, records: Records, start: int, end: int) -> None:
        rows = int(decoded.rows[start:end].sum())
        if self._from is None:
            self._from = int(records.offsets[start])
        self.next_offset = int(records.offsets[end - 1]) + 1
        self.records_seen += end - start
        self.events_seen += rows
        self.dead += [letter for i, letter in decoded.dead if start <= i < end]
        skew = self.rule.max_future_skew_us
        ceilings = records.timestamps_us[start:end] + skew
        for of_rows, columns in decoded.part(start, end):
            self._pending.append((records.offsets[of_rows], columns))
            self._pending_rows += columns.rows
            self._saw(columns.model, int(np.minimum(columns.ts, ceilings[of_rows - start]).max()))

    def _saw(self, model: str, ts: int) -> None:
        self._dirty.add(model)
        if ts > self._model_max_ts.get(model, -1):
            self._model_max_ts[model] = ts
        self.max_ts = max(self.max_ts, ts)

    def _count(self) -> None:
        if self.source == "labels":
            self._pending = [(at, self.book.with_losses(columns)) for at, columns in self._pending]
        alike = neighbours(columns for _, columns in self._pending)
        self._list_segments(alike)
        for parts in alike:
            self._count_alike(parts)
        self._pending.clear()
        self._pending_rows = 0

    def _list_segments(self, alike: Sequence[Sequence[Columns]]) -> None:
        """List the segments of versions whose columns change from event to event, in the order of the log."""
        runs = Counter((parts[0].model, parts[0].version) for parts in alike)
        for model, version in [of for of, count in runs.items() if count > 1]:
            spec = self.book.control.monitor(model)
            if spec.segments:
                mine = [p for p in self._pending if (p[1].model, p[1].version) == (model, version)]
                baseline = self.book.control.baselines.get((model, version))
                list_segments(mine, spec, baseline, self._listed.setdefault((model, version), {}))

    def _count_alike(self, parts: list[Columns]) -> None:
        """Count columns of one model, version and shape."""
        of = (parts[0].model, parts[0].version)
        spec, baseline = self.book.control.monitor(of[0]), self.book.control.baselines.get(of)
        pool = self._pools.get((*of, baseline.baseline_id if baseline else "", spec.pane_us))
        if pool is None:
            layout, baseline_id = self.book.resolve(parts[0])
            group = self._groups.get((*of, layout.layout_id, spec.pane_us))
            group = group or self._new_group(of, layout, baseline_id)
            if group is not None:
                group.rows.append(to_rows(parts, layout, spec, baseline, self._listed.setdefault(of, {})))
                if sum(len(part.panes) for part in group.rows) >= _PIECE_ROWS:
                    group.folded()
                return
            pool = self._pool_of(of, baseline)
        for part in parts:
            pool.add(part)

    def _new_group(self, of: tuple[str, str], layout: Layout, baseline_id: str) -> _Group | None:
        """Make a group for one more column set, or return None when there are too many of them."""
        spec = self.book.control.monitor(of[0])
        if len(self._sets(of, baseline_id, spec.pane_us)) >= MAX_SETS:
            return None
        group = self._groups[*of, layout.layout_id, spec.pane_us] = _Group(layout, baseline_id, spec.pane_us)
        # Only predictions carry everything that a model sees and says of one row.
        if spec.multivariate and self.source == "predictions":
            plan = plan_of(self.book.control.baselines.get(of))
            group.bound = plan.bound_to(layout) if plan else None
        return group

    def _pool_of(self, of: tuple[str, str], baseline: Baseline | None) -> Pool:
        """Count all column sets of a version as one from here on, those that came before included."""
        pool = Pool(self.source, self.book.control.monitor(of[0]), baseline)
        self._pools[*of, pool.baseline_id, pool.spec.pane_us] = pool
        for key in self._sets(of, pool.baseline_id, pool.spec.pane_us):
            group = self._groups.pop(key)
            block = group.folded()
            if block is not None:
                pool.absorb(block, group.sums)
        return pool

    def _sets(self, of: tuple[str, str], baseline_id: str, pane_us: int) -> list[tuple[str, str, str, int]]:
        alike = (baseline_id, pane_us)
        return [k for k, g in self._groups.items() if k[:2] == of and (g.baseline_id, g.pane_us) == alike]

    def _cut(self) -> Cut:
        self._count()
        models = {model for model, *_ in (*self._groups, *self._pools)}
        cut = Cut(self.next_offset, self._summaries(models, sealed=True, caught_up=False))
        self._first, self._from = self.next_offset, None
        self._chunk_bytes = 0
        self._groups.clear()
        self._pools.clear()
        self._listed.clear()
        self._dirty.clear()
        return cut

    def provisional(self, *, caught_up: bool) -> list[dict[str, Any]]:
        """Summaries of the open chunk for every model that changed since the last call."""
        self._count()
        changed = {model for model, *_ in (*self._groups, *self._pools) if model in self._dirty}
        self._dirty.clear()
        return self._summaries(changed, sealed=False, caught_up=caught_up)

    def progress(self, *, caught_up: bool, resting: bool = False) -> dict[str, Any]:
        """Return how far this partition was read, and whether it is stopped there: a message about every model."""
        said = self._summary("", 0, [], sealed=False, caught_up=caught_up, max_ts=self.max_ts)
        return said | {"resting": resting}

    def _summaries(self, models: set[str], *, sealed: bool, caught_up: bool) -> list[dict[str, Any]]:
        blocks: dict[str, list[dict[str, Any]]] = {model: [] for model in sorted(models)}
        pane_us = dict.fromkeys(blocks, 0)
        for (model, version, *_), group in sorted(self._groups.items(), key=lambda found: found[0]):
            block = group.folded() if model in blocks else None
            if block is not None:
                pane_us[model] = group.pane_us
                blocks[model] += self._records(version, group.baseline_id, block, group.sums, group.pane_us)
        for (model, version, baseline_id, width_us), pool in sorted(
            self._pools.items(), key=lambda found: found[0]
        ):
            if model in blocks:
                pane_us[model] = width_us
                block, sums = pool.counted(self._listed.get((model, version), {}))
                blocks[model] += self._records(version, baseline_id, block, sums, width_us)
        return [
            part
            for model, of_model in blocks.items()
            for part in in_parts(
                self._summary(
                    model,
                    pane_us[model],
                    of_model,
                    sealed=sealed,
                    caught_up=caught_up,
                    max_ts=self._model_max_ts.get(model, -1),
                ),
                self.rule.message_bytes,
            )
        ]

    def _records(
        self, version: str, baseline_id: str, block: Block, sums: PaneSums | None, pane_us: int
    ) -> Iterator[dict[str, Any]]:
        """Lay a block out, cell after cell in as many records as its size asks for."""
        width = 0 if sums is None else sums.sums.shape[1]
        fixed = 24 + 4 * block.layout.slots + block.moments[:1].nbytes + block.distinct[:1].nbytes + 8 * width
        sizes = np.cumsum([fixed + len(name) for name in block.segments])
        start = 0
        while start < block.cells:
            upto = self.rule.message_bytes + (sizes[start - 1] if start else 0)
            end = max(int(np.searchsorted(sizes, upto, side="right")), start + 1)
            if end - start == block.cells:
                yield block_record(version, self.source, baseline_id, block, sums, pane_us=pane_us)
            else:
                piece = block.part(start, end)
                of_all = piece.panes[[not name for name in piece.segments]]
                mine = None if sums is None or not len(of_all) else sums.of(of_all)
                yield block_record(version, self.source, baseline_id, piece, mine, pane_us=pane_us)
            start = end

    def _summary(
        self,
        model: str,
        pane_us: int,
        blocks: list[dict[str, Any]],
        *,
        sealed: bool,
        caught_up: bool,
        max_ts: int,
    ) -> dict[str, Any]:
        return {
            "model": model,
            "topic": self.topic,
            "partition": self.partition,
            "first_offset": self._first or 0,
            "from_offset": -1 if self._from is None else self._from,
            "next_offset": self.next_offset,
            "sealed": sealed,
            "max_ts": max_ts,
            "caught_up": caught_up,
            "resting": False,
            "partitions": self.partitions,
            "pane_us": pane_us,
            "part": 0,
            "parts": 1,
            "digest": 0,
            "log_epoch": self.log.epoch,
            "topic_id": self.log.topic_id,
            "blocks": blocks,
        }


def block_record(
    version: str,
    source: Source,
    baseline_id: str,
    block: Block,
    sums: PaneSums | None = None,
    *,
    pane_us: int = 0,
) -> dict[str, Any]:
    """Lay a block out as the ``CellBlock`` of the summary contract, with what was summed across columns.

    Its panes are `pane_us` wide; of 0, as wide as its summary says.
    """
    counts, counts_dtype = packed_counts(block.counts)
    return {
        "version": version,
        "source": source,
        "layout_id": block.layout.layout_id,
        "baseline_id": baseline_id,
        "layout": packed_layout(block.layout),
        "segments": block.segments,
        "panes": block.panes.astype("<i8").tobytes(),
        "rows": block.rows.astype("<i8").tobytes(),
        "weights": block.weights.astype("<f8").tobytes(),
        "counts": counts,
        "counts_dtype": counts_dtype,
        "moments": packed(block.moments.astype("<f8").tobytes()),
        "distinct": packed(block.distinct.tobytes()),
        "joint_panes": b"" if sums is None else sums.panes.astype("<i8").tobytes(),
        "joint": b"" if sums is None else packed(sums.sums.astype("<i8").tobytes()),
        "pane_us": pane_us,
    }


_packed: dict[str, bytes] = {}
_unpacked: dict[str, Layout] = {}


def packed_layout(layout: Layout) -> bytes:
    """Compress a layout's JSON, remembering the result."""
    found = _packed.get(layout.layout_id)  # several threads ask
    if found is None:
        if len(_packed) > 10_000:
            _packed.clear()
        found = _packed[layout.layout_id] = zlib.compress(layout.to_json().encode(), 6)
    return found


def unpacked_layout(layout_id: str, packed: bytes) -> Layout:
    """Read what `packed_layout` wrote, remembering the result."""
    found = _unpacked.get(layout_id)
    if found is None:
        if len(_unpacked) > 10_000:
            _unpacked.clear()
        found = _unpacked[layout_id] = Layout.from_json(zlib.decompress(packed).decode())
    return found


def read_block(record: dict[str, Any]) -> Block:
    """Read what `block_record` laid out."""
    layout = unpacked_layout(record["layout_id"], record["layout"])
    panes = np.frombuffer(record["panes"], dtype="<i8")
    cells = len(panes)
    counts = unpacked_counts(record["counts"], record["counts_dtype"], cells, "chunk_summary.blocks.counts")
    moments = np.frombuffer(zlib.decompress(record["moments"]), dtype="<f8")
    distinct = np.frombuffer(zlib.decompress(record["distinct"]), dtype=np.uint8)
    return Block(
        layout,
        list(record["segments"]),
        panes,
        np.frombuffer(record["rows"], dtype="<i8"),
        np.frombuffer(record["weights"], dtype="<f8"),
        counts.reshape(cells, layout.slots).astype(np.int32),
        moments.reshape(cells, len(layout.numeric), 4),
        distinct.reshape(cells, len(layout.categorical), REGISTERS),
    )


def read_sums(record: dict[str, Any]) -> PaneSums | None:
    """Read what was summed across columns, if anything was."""
    if not record["joint_panes"]:
        return None
    panes = np.frombuffer(record["joint_panes"], dtype="<i8")
    sums = np.frombuffer(zlib.decompress(record["joint"]), dtype="<i8")
    return PaneSums(panes, sums.reshape(len(panes), -1))
