"""Summaries: windows are closed, judged and acted upon."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from faust.types import TP

from seawall.errors import WireError
from seawall.wire import decode
from streams.agents.worker import Worker, now_us
from streams.core.engine import Effects, PartitionEngine
from streams.core.state import Part, restore, save
from streams.core.watermark import Watermarks
from streams.io import metrics as m
from streams.io.control import read_whole
from streams.io.kafka import Run, publish
from streams.io.metrics import Metrics

log = logging.getLogger(__name__)
#: Records read since the last save after which state is saved without waiting for the clock.
_SAVE_AFTER_RECORDS = 5_000


class Decider:
    """All summaries partitions of this worker."""

    def __init__(self, worker: Worker, metrics: Metrics) -> None:
        self.worker = worker
        self.metrics = metrics
        self.engines: dict[TP, PartitionEngine] = {}
        self._epoch = -1
        self._steps_seen: dict[TP, int] = {}
        self._position: dict[TP, int] = {}
        self._saved: dict[TP, int] = {}
        self._lock = asyncio.Lock()

    async def on_run(self, run: Run) -> None:
        """Take a run of summaries; everything that follows from it is acknowledged when this returns."""
        await self.worker.control_ready.wait()
        async with self._lock:
            self._follow_assignment()
            if run.epoch != self._epoch:
                return
            engine = self.engines.get(run.tp) or await self._new_engine(run.tp)
            self._fold_rollback_steps(run.tp, engine)
            for record in run.records:
                await self._publish(self._take(engine, record))
                self._position[run.tp] = record.offset
                await asyncio.sleep(0)
            if self._unsaved(run.tp) >= _SAVE_AFTER_RECORDS:
                await self._save(run.tp)

    async def save_all(self) -> None:
        """Save every engine that moved, and let what it has read be committed."""
        async with self._lock:
            for tp in list(self.engines):
                if self._epoch == self.worker.app.runs.current.epoch and self._unsaved(tp):
                    await self._save(tp)

    def _unsaved(self, tp: TP) -> int:
        return self._position.get(tp, -1) - self._saved.get(tp, -1)

    async def _save(self, tp: TP) -> None:
        position = self._position[tp]
        for stage in save(self.engines[tp], position):
            await publish_parts(self.worker, tp.partition, stage)
        self._saved[tp] = position
        if self._epoch == self.worker.app.runs.current.epoch:
            self.worker.app.runs.ledger[tp] = position + 1

    def _take(self, engine: PartitionEngine, record: Any) -> Effects:
        try:
            summary = decode(record.value or b"", ("chunk_summary",))[1]
        except WireError as error:
            log.error(
                "summaries offset %d is not a summary (%s): somebody else writes there", record.offset, error
            )
            return Effects()
        return engine.on_record(summary, record.offset, record.timestamp * 1000)

    def _follow_assignment(self) -> None:
        current = self.worker.app.runs.current
        if current.epoch != self._epoch:
            self._epoch = current.epoch
            self.engines.clear()
            self._steps_seen.clear()
            self._position.clear()
            self._saved.clear()

    async def _new_engine(self, tp: TP) -> PartitionEngine:
        settings = self.worker.settings
        watermarks = Watermarks(
            {"predictions": "predictions", "features": "features", "labels": "labels"},
            int(settings.idle_timeout_s * 1e6),
            settings.replay,
        )
        engine = PartitionEngine(self.worker.control, self.worker.registry, watermarks, settings.log_epoch)
        parts = await read_whole(settings, self.worker.topic("state"), tp.partition)
        through = restore(engine, [value for value in parts.values() if value])
        if through >= 0:
            log.info(
                "summaries/%d: state of %d models restored up to offset %d",
                tp.partition,
                len(engine.models),
                through,
            )
            self._position[tp] = self._saved[tp] = through
        self.engines[tp] = engine
        return engine

    def _fold_rollback_steps(self, tp: TP, engine: PartitionEngine) -> None:
        seen = self._steps_seen.get(tp, 0)
        for step in self.worker.rollback_steps[seen:]:
            if self.worker.model_partition(step["model"]) == tp.partition:
                engine.on_rollback_step(step)
        self._steps_seen[tp] = len(self.worker.rollback_steps)

    async def _publish(self, effects: Effects) -> None:
        emitted = now_us()
        for report in effects.reports:
            await self.worker.send([("windows", "window_report", report, report["model"], None)])
        await self.worker.send(
            ("alarms", "alarm", step.to_record(emitted), step.alarm_id, None) for step in effects.alarms
        )
        await self.worker.send(
            ("rollbacks", "rollback", step.to_record(emitted), step.model, None) for step in effects.rollbacks
        )
        self._count(effects)

    def _count(self, effects: Effects) -> None:
        for report in effects.reports:
            if report["windows"]:
                self.metrics.add(m.WINDOWS_CLOSED, report["windows"], model=report["model"])
                self.metrics.set(m.WATERMARK, last_end_us(report) / 1e6, model=report["model"])
        for model in {step.model for step in effects.alarms}:
            engine = next((e for e in self.engines.values() if model in e.models), None)
            if engine is not None:
                self.metrics.set(m.ALARMS_OPEN, len(engine.models[model].book.open_alarms), model=model)
        for step in effects.rollbacks:
            self.metrics.add(m.ROLLBACKS, 1, state=step.state)
        if effects.late_rows:
            self.metrics.add(m.EVENTS_LATE, effects.late_rows, topic="predictions")


def last_end_us(report: dict[str, Any]) -> int:
    """End of the last window of a report, microseconds."""
    return int.from_bytes(report["ends"][-8:], "little", signed=True)


async def publish_parts(worker: Worker, partition: int, parts: list[Part]) -> None:
    """Write parts of a state and wait until they are acknowledged."""
    await publish(worker.app, [(worker.topic("state"), key, value, partition) for key, value in parts])
