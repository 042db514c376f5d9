"""Predictions, features and labels: runs become chunk summaries."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from faust.types import TP

from seawall.frames import Source
from streams.agents.brake import Brake
from streams.agents.letters import publish_letters
from streams.agents.logs import Logs
from streams.agents.schemas import Schemas, records_of
from streams.agents.worker import Worker, now_us
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.layouts import LayoutBook
from streams.io import metrics as m
from streams.io.kafka import Run, publish
from streams.io.metrics import Metrics
from streams.io.schema_registry import SchemaRegistry

log = logging.getLogger(__name__)
_KEYS_A_NOTE = 2000


class Ingest:
    """All input partitions of this worker.

    The order is the promise: dead letters and summaries are acknowledged, then the ledger moves, then Faust
    commits. A crash anywhere reads the open chunk again and makes the same summaries.
    """

    def __init__(
        self, worker: Worker, source: Source, metrics: Metrics, registry: SchemaRegistry | None = None
    ) -> None:
        settings = worker.settings
        self.worker = worker
        self.source: Source = source
        self.metrics = metrics
        self.schemas = Schemas(worker, source, metrics, registry)
        self.topic = worker.topic(source)
        self.book = LayoutBook(worker.control)
        self.rule = ChunkRule(
            settings.chunk_bytes, settings.chunk_offsets, int(settings.max_future_skew_s * 1e6)
        )
        self.chunkers: dict[TP, PartitionChunker] = {}
        self.ends: dict[TP, int] = {}
        self.brake = Brake(worker, source, metrics)
        self.logs = Logs(worker, source, metrics)
        self._read_as = self.logs.name
        """The log that this worker's partitions were of when it last looked."""
        self._unsettled: dict[TP, list[tuple[int, bytes]]] = {}
        self._epoch = -1
        self._reported: dict[TP, tuple[int, bool, bool, int]] = {}
        self._heartbeat_s = max(min(settings.idle_timeout_s / 2, 5.0), settings.publish_interval_s)
        self._lock = asyncio.Lock()

    async def on_run(self, run: Run) -> None:
        """Count one run."""
        await self.worker.control_ready.wait()
        async with self._lock:
            await self._follow_assignment()
            if run.epoch != self._epoch or self.brake.is_refused(run) or run.tp in self.logs.short:
                return
            self.worker.note_stamps(self.source, run.records[-1])
            records = records_of(run)
            if not await self.schemas.is_ready(run, records):
                return
            if run.epoch != self.worker.app.runs.current.epoch:
                return  # a rebalance came while the registry was asked
            chunker = self.chunkers.get(run.tp) or self._new_chunker(run.tp)
            if self.logs.is_short(run, chunker.next_offset):
                await self._read_again(run)
                return
            self.ends[run.tp] = run.highwater or 0
            seen, events, following = chunker.records_seen, chunker.events_seen, chunker.next_offset
            started_s = time.perf_counter()
            cuts = list(chunker.feed(records))
            self.metrics.observe(m.DECODE_SECONDS, time.perf_counter() - started_s, topic=self.source)
            if await self.brake.is_passed(run, following, chunker.dead):
                self._new_chunker(run.tp)  # forgets what was counted of this run
                return
            if chunker.dead:
                await self._publish_dead(run, chunker)
            if cuts:
                await self._publish([s for cut in cuts for s in cut.summaries])
                await self._settle(run.tp, cuts[-1].next_offset)
                if run.epoch == self.worker.app.runs.current.epoch:
                    self.worker.app.runs.ledger[run.tp] = cuts[-1].next_offset
                self.metrics.add(m.CHUNKS_SEALED, len(cuts), topic=self.source)
            self.metrics.add(m.RECORDS_CONSUMED, chunker.records_seen - seen, topic=self.source)
            self.metrics.add(m.ROWS_CONSUMED, chunker.events_seen - events, topic=self.source)

    async def _follow_assignment(self) -> None:
        current = self.worker.app.runs.current
        if current.epoch == self._epoch:
            return
        if any(tp.topic == self.topic for tp in current.starts):
            await self.logs.find()
            current = self.worker.app.runs.current
        self._epoch = current.epoch
        mine = [tp for tp in current.starts if tp.topic == self.topic]
        for tp in self.chunkers.keys() - set(mine):
            self.metrics.forget(m.LAG, topic=self.source, partition=tp.partition)
        self.chunkers.clear()
        self.ends.clear()  # what was the end when the partition was last here says nothing now
        self._reported.clear()
        self.brake.begin(mine)
        self.schemas.begin(mine, set(self.brake.held))
        self.logs.begin(mine, {*self.brake.held, *self.schemas.waiting})
        for tp in mine:
            if self.logs.began_anew(tp, self._read_as):
                # What is committed may be what a worker that did not know had read of the topic before.
                await self.worker.app.runs.begin_anew(tp)
            self._new_chunker(tp)
        await self._say_where_it_begins(mine)
        self._note_what_is_read(current.epoch)

    def _note_what_is_read(self, epoch: int) -> None:
        if self.worker.app.runs.current.epoch == epoch:  # else some of it may not have begun anew
            self._read_as = self.logs.name

    async def _say_where_it_begins(self, partitions: Iterable[TP]) -> None:
        """Publish where partitions are read from, before anything that is read there: a log may begin anew with it."""
        begun = [tp for tp in partitions if self.worker.app.runs.durable(tp) is not None]
        await self._publish(
            [self.chunkers[tp].progress(caught_up=False, resting=self._is_resting(tp)) for tp in begun]
        )

    def _is_resting(self, tp: TP) -> bool:
        # What is stopped must not hold the watermark of everything else.
        return tp in self.brake.held or tp in self.logs.short or self.schemas.is_overdue(tp)

    async def _read_again(self, run: Run) -> None:
        """Go back to what is committed where a log lost records after it, or stop."""
        if self.logs.stops(run.tp, run.highwater):
            return
        log.warning(
            "%s/%d: the log was cut short; it is read again from what was sealed of it",
            self.source,
            run.tp.partition,
        )
        await self._go_to(run.tp, self.worker.app.runs.rewind)

    async def _go_to(self, tp: TP, seek: Callable[[TP], Awaitable[None]]) -> None:
        self.worker.app.runs.pause_partitions({tp})
        await seek(tp)
        self._new_chunker(tp)
        if tp not in self.brake.held and tp not in self.schemas.waiting:
            self.worker.app.runs.resume_partitions({tp})

    async def look_at_log(self) -> None:
        """Ask whether the topic is still the one that is read, and begin anew where it is another."""
        await self.logs.look()
        async with self._lock:
            await self._follow_assignment()
            epoch = self._epoch
            others = {tp: c.log for tp, c in self.chunkers.items() if c.log != self.logs.name}
            for tp, known in others.items():
                runs = self.worker.app.runs
                # Where it was not known which log it is, it is the one that was read.
                await self._go_to(tp, runs.begin_anew if self.logs.began_anew(tp, known) else runs.rewind)
            await self._say_where_it_begins(others)
            self._note_what_is_read(epoch)
            for tp in self.chunkers.keys() - self.logs.short.keys():
                end = self.worker.app.runs.highwater(tp)
                if self.logs.stays_short(tp, end):
                    self.logs.stops(tp, end)

    def _new_chunker(self, tp: TP) -> PartitionChunker:
        chunker = PartitionChunker(
            self.source,
            tp.partition,
            self.source,
            self.book,
            self.rule,
            self.schemas.resolver,
            self.worker.partitions[self.source],
            self.logs.name,
        )
        start = self.worker.app.runs.durable(tp)
        if start is not None:
            chunker.start_at(start)
        self.chunkers[tp] = chunker
        self._unsettled[tp] = []
        return chunker

    async def tick(self) -> None:
        """Publish what changed in open chunks, and how far each partition was read."""
        async with self._lock:
            await self._follow_assignment()
            for tp in [*await self.brake.released(), *await self.schemas.released()]:
                await self.worker.app.runs.rewind(tp)
                self._new_chunker(tp)
                self.worker.app.runs.resume_partitions({tp})
            for tp, chunker in self.chunkers.items():
                end = self._end(tp)
                # One that goes on is read again from its last cut, which is behind what was told of it, and may be
                # behind its end.
                resting = self._is_resting(tp)
                reached = self.worker.app.runs.reached(tp, chunker.next_offset)
                caught_up = end is not None and reached >= end
                await self._publish(chunker.provisional(caught_up=caught_up))
                self.metrics.set(
                    m.LAG, max((end or 0) - reached, 0), topic=self.source, partition=tp.partition
                )
                # Time passes in the log itself: readers of summaries have no other clock.
                beat = int(now_us() / 1e6 / self._heartbeat_s)
                state = (chunker.next_offset, caught_up, resting, beat)
                if self._reported.get(tp) != state:
                    await self._publish([chunker.progress(caught_up=caught_up, resting=resting)])
                    self._reported[tp] = state

    def _end(self, tp: TP) -> int | None:
        highwater = self.worker.app.runs.highwater(tp)
        return highwater if highwater is not None else self.ends.get(tp)

    async def _publish_dead(self, run: Run, chunker: PartitionChunker) -> None:
        letters, chunker.dead = chunker.dead, []
        self._unsettled[run.tp] += await publish_letters(
            self.worker.app,
            self.worker.topic("dead-letters"),
            self.source,
            run.tp.partition,
            letters,
            {r.offset: r.headers for r in run.records if r.headers},
            chunker.log,
        )
        self.metrics.add(m.EVENTS_DEAD_LETTERED, sum(x.events for x in letters), topic=self.source)

    async def _publish(self, summaries: list[dict[str, Any]]) -> None:
        worker = self.worker
        everywhere = range(max(worker.partitions.get("summaries", 1), 1))
        await worker.send(
            ("summaries", "chunk_summary", summary, summary["model"], partition)
            for summary in summaries
            for partition in ([worker.model_partition(summary["model"])] if summary["model"] else everywhere)
        )
        self.metrics.add(m.CHUNKS_PUBLISHED, len(summaries), topic=self.source)

    async def _settle(self, tp: TP, next_offset: int) -> None:
        """Note that dead letters before a cut are final.

        Until then the next start reads them again, and a worker that has learnt their schema counts them: to send
        such a letter again would count it twice.
        """
        unsettled = self._unsettled[tp]
        keys = [key for offset, key in unsettled if offset < next_offset]
        self._unsettled[tp] = [found for found in unsettled if found[0] >= next_offset]
        for first in range(0, len(keys), _KEYS_A_NOTE):
            note = b"\n".join(keys[first : first + _KEYS_A_NOTE])
            name = f"settled/{self.source}/{tp.partition}/{next_offset}/{first}".encode()
            topic = self.worker.topic("dead-letters")
            await publish(self.worker.app, [(topic, name, note, None)], {"seawall.replay": b"settled"})
