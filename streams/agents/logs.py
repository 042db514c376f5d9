"""Whether an input topic still is the log that was counted: it may have been made again, or cut short.

A topic that is deleted and made again has another id. Its partitions are read from their beginning then, and summaries
name it, so that readers of summaries know its offsets from those of the one before (`streams.core.lives`).

A log that ends before the place where it is read on has lost records: an unclean leader election, a cluster restored
from an older copy. The client is sent back to where the log begins, which is how it is noticed. What is not sealed yet
is read again, and counted as the log has it now. Where it ends before what *is* sealed and committed, nobody but a
person can tell which of its records were counted, so the partition is stopped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable

from faust.types import TP

from streams.agents.worker import Worker
from streams.core.lives import LogName
from streams.io import metrics as m
from streams.io.kafka import Run
from streams.io.metrics import Metrics

log = logging.getLogger(__name__)
#: Looks in a row, a few seconds apart, at which a log must be short.
_LOOKS = 3
#: How long an answer of the broker is waited for before a partition is counted.
_PATIENCE_S = 30.0


class Logs:
    """All input partitions of one topic that this worker has."""

    def __init__(self, worker: Worker, source: str, metrics: Metrics) -> None:
        self.worker = worker
        self.source = source
        self.metrics = metrics
        self.short: dict[TP, str] = {}
        """Partitions that are stopped, and why."""
        self._looks: Counter[TP] = Counter()
        self.name = LogName(worker.settings.log_epoch)

    async def find(self) -> None:
        """Ask the broker which log the topic is, before anything of it is counted, until it answers.

        After `_PATIENCE_S` the topic is taken for the one that was read: then the next look tells.
        """
        deadline = time.monotonic() + _PATIENCE_S
        while not await self.look():
            if time.monotonic() > deadline:
                log.warning("%s: the broker does not say what the topic's id is", self.source)
                return
            await asyncio.sleep(0.5)

    async def look(self) -> bool:
        """Ask once, and tell whether there was an answer. Without one, or an id, the name stays as it was."""
        topic = self.worker.topic(self.source)
        found = await asyncio.to_thread(self.worker.topic_ids.ask, [topic])
        self.name = self.name._replace(topic_id=found.get(topic) or self.name.topic_id)
        return topic in found

    def begin(self, partitions: Iterable[TP], held: Iterable[TP]) -> None:
        """Start anew after an assignment: whether a log is short shows again. What is `held` stays paused."""
        free = (self.short.keys() & set(partitions)) - set(held)
        self.short.clear()
        self._looks.clear()
        self.worker.app.runs.resume_partitions(free)
        self._show()

    def began_anew(self, tp: TP, known: LogName) -> bool:
        """Tell whether a partition is still read as that of a topic that is no more."""
        if not known.topic_id or known == self.name:
            return False
        self.short.pop(tp, None)
        self._show()
        log.warning(
            "%s/%d: the topic was deleted and made again (its id was %s, and is %s): it is counted from its beginning, "
            "and what was counted before stays as it is",
            self.source,
            tp.partition,
            known.topic_id,
            self.name.topic_id,
        )
        return True

    def is_short(self, run: Run, following: int) -> bool:
        """Tell whether a partition's log lost records that were read, by a run that begins before `following`."""
        return bool(run.records[0].offset < following)

    def stays_short(self, tp: TP, end: int | None) -> bool:
        """Look whether a log ends before what is committed, and tell whether it has done so for a while.

        The embedded broker does not say so where it is read, and nobody does where there is nothing to read. A new
        leader may not have heard for a moment how far its log may be read.
        """
        self._looks[tp] = self._looks[tp] + 1 if self._is_before_durable(tp, end) else 0
        return self._looks[tp] >= _LOOKS

    def _is_before_durable(self, tp: TP, end: int | None) -> bool:
        durable = self.worker.app.runs.durable(tp)
        return durable is not None and end is not None and end < durable

    def stops(self, tp: TP, end: int | None) -> bool:
        """Stop a partition whose log ends before what is committed; False where it may be read again from there."""
        if not self._is_before_durable(tp, end):
            return False
        self.worker.app.runs.pause_partitions({tp})
        self.short[tp] = why = (
            f"{self.source}/{tp.partition} is stopped: its log ends at offset {end}, before offset "
            f"{self.worker.app.runs.durable(tp)}, "
            "up to which it was counted. The broker has lost records, or is a restored copy. Nothing that is there is "
            "lost: docs/deploy.md says how to go on"
        )
        log.error("%s", why)
        self._show()
        return True

    def _show(self) -> None:
        self.metrics.set(m.PARTITIONS_PAUSED, len(self.short), topic=self.source, reason="log_cut_short")
        self.worker.stopped[f"{self.source} log"] = list(self.short.values())
