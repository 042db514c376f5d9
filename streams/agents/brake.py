"""Stopping a partition of which too much cannot be read, and letting it go on.

Nothing of the run with which the limit was passed is published or committed. The partition is paused in Faust's
consumer, which goes on polling for the others. The hold is on record in a compacted topic before anything else
happens, so a worker that starts later stops at the same place without reading.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from faust.types import TP

from streams.agents.worker import Worker, now_us
from streams.core.bad_ratio import BadRatio, TooMany
from streams.core.decode import DeadLetter
from streams.core.holds import Hold, alarm_step
from streams.io import metrics as m
from streams.io.kafka import Run
from streams.io.metrics import Metrics

log = logging.getLogger(__name__)


class Brake:
    """All input partitions of one topic that this worker has."""

    def __init__(self, worker: Worker, source: str, metrics: Metrics) -> None:
        self.worker = worker
        self.source = source
        self.metrics = metrics
        self.held: dict[TP, Hold] = {}
        self._ratios: dict[TP, BadRatio] = {}

    def begin(self, partitions: Sequence[TP]) -> None:
        """Start anew after an assignment: partitions on hold stay so, whoever stopped them."""
        before = set(self.held)
        self.held.clear()
        self._ratios.clear()
        for tp in partitions:
            hold = self.worker.holds.get(self.source, tp.partition)
            if hold is not None and hold.state == "held":
                self.held[tp] = hold
        runs = self.worker.app.runs
        runs.pause_partitions(set(self.held))
        runs.resume_partitions((before & set(partitions)) - set(self.held))
        self._show()

    def is_refused(self, run: Run) -> bool:
        """Tell whether a run belongs to a partition on hold, or was fetched before it went on."""
        return run.tp in self.held or run.rewinds != self.worker.app.runs.rewinds.get(run.tp, 0)

    async def is_passed(self, run: Run, following: int, dead: Sequence[DeadLetter]) -> bool:
        """Count the bad records of a run from offset `following` on; stop the partition past the limit."""
        settings, tp = self.worker.settings, run.tp
        ratio = self._ratios.setdefault(tp, BadRatio(settings.bad_ratio_limit, settings.bad_ratio_min))
        said = self.worker.holds.get(self.source, tp.partition)
        start = max(following, said.accepted_before if said is not None else 0)
        whole = {letter.offset for letter in dead if not letter.is_partial}
        offsets = [r.offset for r in run.records]
        if offsets[0] < start:
            offsets = [offset for offset in offsets if offset >= start]
        passed = ratio.take(offsets, sorted(o for o in whole if o >= start))
        if passed is None:
            return False
        await self._stop(run, passed, dead)
        return True

    async def _stop(self, run: Run, passed: TooMany, dead: Sequence[DeadLetter]) -> None:
        worker, tp = self.worker, run.tp
        worker.app.runs.pause_partitions({tp})
        stamps = {r.offset: (r.timestamp or 0) * 1000 for r in run.records}
        hold = Hold(
            topic=self.source,
            partition=tp.partition,
            state="held",
            offset=worker.app.runs.durable(tp) or 0,
            passed_at=passed.offset,
            records=passed.records,
            bad=passed.bad,
            limit=worker.settings.bad_ratio_limit,
            opened_us=stamps[dead[0].offset] if dead else stamps[passed.offset],
            until_us=stamps[passed.offset],
            at_us=now_us(),
            reasons=dict(Counter(letter.reason for letter in dead)),
            sample=dead[0].detail[:300] if dead else "",
            notify=tuple(sorted({to for spec in worker.control.monitors.values() for to in spec.notify})),
        )
        self.held[tp] = hold
        await self._publish(hold)
        self._show()
        log.error("%s", hold.why)

    async def released(self) -> list[TP]:
        """List partitions that may go on: somebody said so, or the limit is another one now.

        The caller goes back to the offset that was not consumed, and resumes them.
        """
        free: list[TP] = []
        settings = self.worker.settings
        for tp, hold in list(self.held.items()):
            said = self.worker.holds.get(self.source, tp.partition)
            # An older word, about an earlier hold, may still be on its way from the topic.
            is_said = said is not None and said.state == "resumed" and said.accepted_before > hold.passed_at
            if not is_said:
                if settings.bad_ratio_limit <= hold.limit:
                    continue
                await self._publish(hold.resumed(0, f"limit is {settings.bad_ratio_limit:.0%} now", now_us()))
            log.warning("%s goes on", hold.key)
            del self.held[tp]
            self._ratios.pop(tp, None)
            free.append(tp)
        if free:
            self._show()
        return free

    async def _publish(self, hold: Hold) -> None:
        step = alarm_step(hold)
        # The alarm first: a crash in between stops the partition again, and that is the same alarm.
        await self.worker.send([("alarms", "alarm", step.to_record(now_us()), step.alarm_id, None)])
        await self.worker.send([("holds", "partition_hold", hold.to_record(), hold.key, None)])
        self.worker.holds.observe(hold)

    def _show(self) -> None:
        self.metrics.set(m.PARTITIONS_PAUSED, len(self.held), topic=self.source, reason="bad_records")
        self.worker.stopped[self.source] = [hold.why for hold in self.held.values()]
