"""Summaries: windows are closed, judged and acted upon."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from faust.types import TP

from seawall.baseline import Baseline
from seawall.errors import WireError
from seawall.monitor import MonitorSpec
from seawall.wire import decode
from streams.agents.worker import Message, Worker, now_us, tell
from streams.core.engine import Effects, PartitionEngine
from streams.core.judge import Judge
from streams.core.log_clock import LONGEST_STEP_US, LogClock
from streams.core.reports import revised_windows
from streams.core.state import Part, claim_of, restore, save, superseded
from streams.core.tally import Tally, is_news
from streams.core.watermark import Watermarks
from streams.io import metrics as m
from streams.io.control import read_between, read_whole
from streams.io.kafka import Run, publish
from streams.io.metrics import Metrics

log = logging.getLogger(__name__)
#: Messages that may wait for their acknowledgement while the next records are read.
_UNDER_WAY = 64
#: Records taken at most without a look at what else is to be done.
_AT_ONCE = 64
#: How long what is said of windows waits for company while more is being decided.
_GATHER_S = 0.25
#: Records read since the last save after which state is saved without waiting for the clock.
_SAVE_AFTER_RECORDS = 5_000


@dataclass
class Told:
    """What an engine's thread tells of windows, until it is published."""

    reports: list[dict[str, Any]] = field(default_factory=list)

    def put(self, report: dict[str, Any]) -> None:
        """Add a report; in the loop's thread."""
        self.reports.append(report)


class Decider:
    """All summaries partitions of this worker."""

    def __init__(self, worker: Worker, metrics: Metrics) -> None:
        self.worker = worker
        self.metrics = metrics
        self.engines: dict[TP, PartitionEngine] = {}
        self._told: dict[TP, Told] = {}
        self._tallies: dict[TP, Tally] = {}
        self._epoch = -1
        self._steps_seen: dict[TP, int] = {}
        self._position: dict[TP, int] = {}
        self._saved: dict[TP, int] = {}
        self._claims: dict[TP, str] = {}
        self._superseded: dict[TP, list[bytes]] = {}
        self._unacknowledged: deque[Awaitable[Any]] = deque()
        self._lock = asyncio.Lock()
        self.judge = Judge(worker.control)
        self._prepared: dict[str, tuple[str, MonitorSpec]] = {}

    async def on_run(self, run: Run) -> None:
        """Take a run of summaries; everything that follows from it is acknowledged when this returns."""
        await self.worker.control_ready.wait()
        async with self._lock:
            self._follow_assignment()
            if run.epoch != self._epoch:
                return
            self.worker.note_stamps("summaries", run.records[-1])
            engine = self.engines.get(run.tp) or await self._new_engine(run.tp)
            if run.epoch != self.worker.app.runs.current.epoch:
                return  # reading state takes a while
            self._fold_rollback_steps(run.tp, engine)
            await self._catch_up(run.tp, engine, run.records[0].offset)
            await self._fold(run.tp, engine, run.records)
            if self._unsaved(run.tp) >= _SAVE_AFTER_RECORDS:
                await self._save(run.tp)

    async def _fold(self, tp: TP, engine: PartitionEngine, records: Sequence[Any]) -> None:
        taken = 0
        while taken < len(records):
            work = partial(_take, engine, self._tallies[tp], records[taken : taken + _AT_ONCE])
            deciding = asyncio.ensure_future(self.worker.decide(work))
            try:
                await self._publish_reports(self._told[tp], deciding)
                effects, count = await deciding
                taken += count
                await self._publish(effects)
                self._count_events(self._tallies[tp])
            except BaseException:
                # Cancelled: the thread goes on changing the engine, or the engine is past what was never told.
                deciding.cancel()
                self._forget(tp)
                raise
            # Never back: state may reach further than what is committed, and is read over then.
            self._position[tp] = max(records[taken - 1].offset, self._position.get(tp, -1))

    async def _publish_reports(self, told: Told, deciding: asyncio.Future[Any]) -> None:
        """Publish reports a few times a second, until nothing is being decided any more and all are out.

        One by one they would be stored one by one, which costs the store more than it costs to judge them.
        """
        while True:
            await asyncio.wait({deciding}, timeout=_GATHER_S)
            is_done = deciding.done()  # what its thread told came before
            reports, told.reports = told.reports, []
            await self._publish(Effects(reports=reports))
            if is_done:
                return

    def _forget(self, tp: TP) -> None:
        """Let go of an engine whose state is in doubt; the next one begins at what is saved."""
        for known in (
            self.engines,
            self._told,
            self._tallies,
            self._position,
            self._saved,
            self._claims,
            self._superseded,
            self._steps_seen,
        ):
            known.pop(tp, None)

    async def save_all(self) -> None:
        """Save every engine that moved, and let what it has read be committed."""
        async with self._lock:
            for tp in list(self.engines):
                if self._epoch == self.worker.app.runs.current.epoch and self._unsaved(tp):
                    await self._save(tp)

    async def prepare(self) -> None:
        """Learn from the newest baseline of one model of this worker's, if there is one left to learn from.

        Takes a second or two, so it is done while nothing is to be decided.
        """
        await self.worker.control_ready.wait()
        if self.worker.is_deciding:
            return
        newest: dict[str, Baseline] = {}
        for baseline in self.worker.control.baselines.values():
            known = newest.get(baseline.model)
            if known is None or known.created_us <= baseline.created_us:
                newest[baseline.model] = baseline
        for model, baseline in newest.items():
            spec = self.worker.control.monitor(model)
            if self._prepared.get(model) != (baseline.baseline_id, spec) and self._is_ours(model):
                self._prepared[model] = (baseline.baseline_id, spec)
                await self.worker.decide(partial(self.judge.prepare, spec, baseline.version))
                return

    def _is_ours(self, model: str) -> bool:
        tp = TP(self.worker.topic("summaries"), self.worker.model_partition(model))
        return tp in self.worker.app.runs.current.starts

    def _unsaved(self, tp: TP) -> int:
        return self._position.get(tp, -1) - self._saved.get(tp, -1)

    async def _save(self, tp: TP) -> None:
        position = self._position[tp]
        await self._acknowledged(0)
        try:
            for stage in save(self.engines[tp], position, self._claims[tp]):
                await publish_parts(self.worker, tp.partition, stage)
        except BaseException:
            self._forget(tp)  # cancelled half way: the engine takes for saved what is not
            raise
        self._saved[tp] = position
        if self._epoch == self.worker.app.runs.current.epoch:
            self.worker.app.runs.ledger[tp] = position + 1
        gone = self._superseded.pop(tp, [])
        await publish_parts(self.worker, tp.partition, [(key, None) for key in gone])

    def _follow_assignment(self) -> None:
        current = self.worker.app.runs.current
        if current.epoch != self._epoch:
            self._epoch = current.epoch
            self.engines.clear()
            self._told.clear()
            self._tallies.clear()
            self._steps_seen.clear()
            self._position.clear()
            self._saved.clear()
            self._claims.clear()
            self._superseded.clear()

    async def _new_engine(self, tp: TP) -> PartitionEngine:
        self._forget(tp)  # what is left of one that was not completed
        settings = self.worker.settings
        watermarks = Watermarks(
            {"predictions": "predictions", "features": "features", "labels": "labels"},
            int(settings.idle_timeout_s * 1e6),
            settings.replay,
            LogClock(max(LONGEST_STEP_US, int(4e6 * settings.publish_interval_s))),
        )
        loop = asyncio.get_running_loop()
        told = self._told[tp] = Told()
        self._tallies[tp] = Tally()
        engine = PartitionEngine(
            self.worker.control,
            self.worker.registry,
            watermarks,
            settings.log_epoch,
            lambda report: tell(loop, partial(told.put, report)),
            self.judge,
        )
        assignment = self.worker.app.runs.current
        parts = {
            k: v
            for k, v in (await read_whole(settings, self.worker.topic("state"), tp.partition)).items()
            if v
        }
        through = restore(engine, parts)
        if through >= 0:
            log.info(
                "summaries/%d: state of %d models restored up to offset %d",
                tp.partition,
                len(engine.models),
                through,
            )
            self._position[tp] = self._saved[tp] = through
        self._claims[tp] = claim_of(assignment.generation, secrets.token_hex(4))
        self._superseded[tp] = superseded(parts, self._claims[tp])
        self.engines[tp] = engine
        return engine

    async def _catch_up(self, tp: TP, engine: PartitionEngine, upto: int) -> None:
        """Read again what lies between what the engine has taken and the next record that is delivered.

        State may end before the committed offset, should it be lost; an engine that was forgotten may have been
        given records that are not delivered a second time.
        """
        first = self._position.get(tp, -1) + 1
        if first >= upto:
            return
        log.warning("summaries/%d: nothing is known of offsets %d to %d", tp.partition, first, upto - 1)
        async for records in read_between(self.worker.settings, tp.topic, tp.partition, first, upto):
            await self._fold(tp, engine, records)

    def _fold_rollback_steps(self, tp: TP, engine: PartitionEngine) -> None:
        seen = self._steps_seen.get(tp, 0)
        for step in self.worker.rollback_steps[seen:]:
            if self.worker.model_partition(step["model"]) == tp.partition:
                engine.on_rollback_step(step)
        self._steps_seen[tp] = len(self.worker.rollback_steps)

    async def _publish(self, effects: Effects) -> None:
        emitted = now_us()
        messages: list[Message] = [
            ("windows", "window_report", report, _series_of(report), None) for report in effects.reports
        ]
        messages += [("alarms", "alarm", s.to_record(emitted), s.alarm_id, None) for s in effects.alarms]
        messages += [
            ("rollbacks", "rollback", s.to_record(emitted), s.model, None) for s in effects.rollbacks
        ]
        # The next record need not wait for these to be acknowledged; saving, and so committing, does.
        self._unacknowledged.extend(await self.worker.begin(messages))
        await self._acknowledged(_UNDER_WAY)
        self._count(effects)

    async def _acknowledged(self, at_most: int) -> None:
        """Wait until so few messages are under way."""
        while len(self._unacknowledged) > at_most:
            await self._unacknowledged[0]
            self._unacknowledged.popleft()

    def _count(self, effects: Effects) -> None:
        for report in effects.reports:
            if not report["windows"]:
                continue
            revised = revised_windows(report)
            self.metrics.add(m.WINDOWS_CLOSED, revised.count(False), model=report["model"])
            self.metrics.add(m.WINDOWS_REVISED, revised.count(True), model=report["model"])
            if not revised[-1]:  # a revised window ended long ago
                self.metrics.set(m.WATERMARK, last_end_us(report) / 1e6, model=report["model"])
        for model in {step.model for step in effects.alarms}:
            engine = next((e for e in self.engines.values() if model in e.models), None)
            if engine is not None:
                self.metrics.set(m.ALARMS_OPEN, len(engine.models[model].book.open_alarms), model=model)
        for model in effects.forgotten:
            for metric in (m.WINDOWS_CLOSED, m.WINDOWS_REVISED, m.WATERMARK, m.ALARMS_OPEN):
                self.metrics.forget(metric, model=model)
        for step in effects.rollbacks:
            self.metrics.add(m.ROLLBACKS, 1, state=step.state)
        if effects.torn_chunks:
            self.metrics.add(m.CHUNKS_TORN, effects.torn_chunks)
            log.error(
                "%d chunks reach beyond ones that were counted already, and are left out: some events are not "
                "counted. Either the group's committed offsets have expired or were reset, or SEAWALL_CHUNK_BYTES or "
                "SEAWALL_CHUNK_OFFSETS was changed while there was a lag",
                effects.torn_chunks,
            )
        if effects.strange_chunks:
            self.metrics.add(m.CHUNKS_STRANGE, effects.strange_chunks)
            log.error(
                "%d chunks hold new events at offsets that were counted already, and are left out: these events are "
                "not counted. Either their topic is another log under the same name and the broker does not tell the "
                "two apart, or one worker's SEAWALL_LOG_EPOCH is smaller than another's. Raise it, on all workers "
                "(docs/deploy.md)",
                effects.strange_chunks,
            )

    def _count_events(self, tally: Tally) -> None:
        for metric, found in ((m.EVENTS_COUNTED, tally.counted), (m.EVENTS_LATE, tally.late)):
            for topic, events in found.items():
                self.metrics.add(metric, events, topic=topic)
            found.clear()


def _take(engine: PartitionEngine, tally: Tally, records: Sequence[Any]) -> tuple[Effects, int]:
    """Take records until there is an alarm, or for a moment; returns what comes of them, and how many were taken."""
    effects, until_s = Effects(), time.monotonic() + _GATHER_S
    for count, record in enumerate(records, 1):
        try:
            summary = decode(record.value or b"", ("chunk_summary",))[1]
        except WireError as error:
            log.error(
                "summaries offset %d is not a summary (%s): somebody else writes there", record.offset, error
            )
            continue
        news = is_news(engine, summary, record.offset)
        found = engine.on_record(summary, record.offset, record.timestamp * 1000)
        if news:
            tally.take(summary, found.late_rows)
        effects.extend(found)
        if effects.alarms or effects.rollbacks or time.monotonic() > until_s:
            return effects, count
    return effects, len(records)


def _series_of(report: dict[str, Any]) -> str:
    """Key of a report: the windows of one series are in order, and a model's are stored by many workers."""
    return "/".join(str(report[name]) for name in ("model", "version", "source", "segment", "horizon_us"))


def last_end_us(report: dict[str, Any]) -> int:
    """End of the last window of a report, microseconds."""
    return int.from_bytes(report["ends"][-8:], "little", signed=True)


async def publish_parts(worker: Worker, partition: int, parts: list[Part]) -> None:
    """Write parts of a state and wait until they are acknowledged."""
    await publish(worker.app, [(worker.topic("state"), key, value, partition) for key, value in parts])
