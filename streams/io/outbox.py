"""Where every step of an alarm or rollback leaves for its receivers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seawall.errors import Unavailable
from streams.core.notify import (
    NotificationRow,
    Reason,
    Result,
    is_resolve,
    needs_notification,
    receivers,
    step_id,
    step_revision,
)
from streams.io.ledger import Ledger
from streams.io.notifier import Notifier, Outcome

log = logging.getLogger(__name__)

Step = Mapping[str, Any]


class Outbox:
    """Tells every receiver of a step, each at its own pace, and says what became of it.

    **The log is the queue.** Nothing is stored here. The agent starts one `deliver` for each message of the
    topics ``alarms`` and ``rollbacks``, in the order of the log and without waiting for the one before; when
    one returns it writes the rows to ``notifications``, and it commits the offset up to which all are
    written. A worker that dies leaves the rest to whoever reads from that offset.

    **Delivered at least once**: every step that its receiver needs (see
    :func:`streams.core.notify.needs_notification`), in order for one alarm and receiver. Two exceptions, both
    on record: an ``updated`` that was overtaken while it waited is left out (`superseded`), and what a
    receiver did not take until the retrier's deadline is given up (`expired`).

    **Duplicates** come from an answer that was lost after the receiver took the message, and from a crash, a
    rebalance or an outage of the store between the sending and the writing of the row. A repeated step
    carries the same dedup key (PagerDuty folds it) and the same ``webhook-id``; Slack and the log show it
    twice. With the store out of reach a resolve is sent even if its open was never sent.

    **An outage of one receiver blocks no other**: each has its own lane, and lanes wait for nothing but their
    own notifier and, at most `Ledger.load_timeout_s` a load, the ledger. Past `max_pending` steps without an
    outcome the agent waits, and so do the alarms behind it; ingestion never does.

    Parameters
    ----------
    notifier_for
        Finds the notifier of a receiver as written in a monitor, or None when there is none.
    ledger
        What was told before.
    wall_clock
        Seconds since 1970.
    on_outcome
        Called with the receiver and the result of every step, for the metrics.
    """

    def __init__(
        self,
        notifier_for: Callable[[str], Notifier | None],
        ledger: Ledger,
        *,
        max_pending: int = 10_000,
        wall_clock: Callable[[], float] = time.time,
        on_outcome: Callable[[str, Result], None] = lambda receiver, result: None,
    ) -> None:
        self._notifier_for = notifier_for
        self._ledger = ledger
        self._room = asyncio.Semaphore(max_pending)
        self._wall_clock = wall_clock
        self._on_outcome = on_outcome
        self._lanes: dict[str, _Lane] = {}
        self._is_closed = False

    async def deliver(self, alarm: Step, notify: Sequence[str] | None = None) -> list[NotificationRow]:
        """Tell everyone who has to hear of this step.

        Blocks until every receiver has an outcome: a day, if one is down that long. What is retried is the
        notifiers' business. The order of calls is the order of sending, so start the calls in the order of
        the log. Cancelling does not stop what is on its way; its outcome is returned by the next delivery of
        the same step.

        Parameters
        ----------
        alarm
            An alarm or rollback record.
        notify
            Receivers, for a record that does not name them itself: those of the monitor for a rollback.

        Returns
        -------
        list of NotificationRow
            To be written to the store before the offset is committed. Empty when nobody had to be told.

        Raises
        ------
        Unavailable
            The outbox was closed first. Do not commit.
        """
        async with self._room:
            if self._is_closed:
                raise _closed()
            outcomes = [self._lane(receiver).put(alarm) for receiver in receivers(alarm, notify)]
            # shielded: cancelling this call stops no sending, and others may wait for the same outcome
            rows = await asyncio.gather(*(asyncio.shield(outcome) for outcome in outcomes))
        return [row for row in rows if row is not None]

    def pending(self) -> dict[str, int]:
        """Count the steps without an outcome, by receiver."""
        return {receiver: lane.pending for receiver, lane in self._lanes.items()}

    def distrust_ledger(self) -> None:
        """Call after a rebalance: another worker may have told more about the alarms that came here."""
        self._ledger.distrust()

    async def close(self) -> None:
        """Stop sending, without waiting for receivers. Deliveries under way raise `Unavailable`."""
        self._is_closed = True
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))

    def _lane(self, receiver: str) -> _Lane:
        if receiver not in self._lanes:
            notifier = self._notifier_for(receiver)
            if notifier is None:
                log.warning("%r: no such receiver is configured; its alarms are recorded only", receiver)
            self._lanes[receiver] = _Lane(
                receiver, notifier, self._ledger, self._wall_clock, self._on_outcome
            )
        return self._lanes[receiver]


@dataclass(slots=True)
class _Letter:
    """One step on its way to one receiver."""

    step: Step
    outcome: asyncio.Future[NotificationRow | None]


class _Lane:
    """The way to one receiver: at most `notifier.concurrency` alarms at once, one alarm's steps in order."""

    def __init__(
        self,
        receiver: str,
        notifier: Notifier | None,
        ledger: Ledger,
        wall_clock: Callable[[], float],
        on_outcome: Callable[[str, Result], None],
    ) -> None:
        self._receiver = receiver
        self._notifier = notifier
        self._ledger = ledger
        self._wall_clock = wall_clock
        self._on_outcome = on_outcome
        self._slots = asyncio.Semaphore(notifier.concurrency if notifier else 1)
        self._queues: dict[str, deque[_Letter]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        return sum(map(len, self._queues.values()))

    def put(self, step: Step) -> asyncio.Future[NotificationRow | None]:
        """Take a step in, without blocking."""
        letter = _Letter(step, asyncio.get_running_loop().create_future())
        key = step_id(step)
        queue = self._queues.get(key)
        if queue is None:
            self._queues[key] = deque([letter])
            task = asyncio.create_task(self._drain(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return letter.outcome
        last = queue[-1]
        if step_revision(last.step) == step_revision(step):
            return last.outcome
        # The head is on its way. An update that is overtaken behind it is stale news; leaving it out bounds
        # what an outage piles up. It stays out of the ledger, for the older head is still to be noted there.
        if len(queue) > 1 and last.step["state"] == "updated":
            queue.pop()
            self._settle(last, self._row(last.step, Reason.UPDATED, Outcome(Result.SUPERSEDED)))
        queue.append(letter)
        return letter.outcome

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for queue in self._queues.values():
            for letter in queue:
                if not letter.outcome.done():
                    letter.outcome.set_exception(_closed())
        self._queues.clear()

    async def _drain(self, key: str) -> None:
        queue = self._queues[key]
        while queue:
            letter = queue[0]
            async with self._slots:
                row = await self._tell(letter.step)
            queue.popleft()
            self._settle(letter, row)
        del self._queues[key]

    async def _tell(self, step: Step) -> NotificationRow | None:
        entry, is_all_known = await self._ledger.entry(step_id(step), self._receiver)
        reason = needs_notification(entry, step)
        if entry is None and not is_all_known and is_resolve(step):
            # a resolve too many is a line to skip; one too few is an incident that stays open for ever
            reason = Reason.RESOLVED
        if reason is None:
            # told before, and the row may have been lost with the call that waited for it
            is_same = entry is not None and entry.revision == step_revision(step)
            return entry.last if entry is not None and is_same else None
        row = self._row(step, reason, await self._send(step))
        self._ledger.record(row)
        return row

    async def _send(self, step: Step) -> Outcome:
        if self._notifier is None:
            return Outcome(Result.UNCONFIGURED, "", 0)
        try:
            return await self._notifier.send(step)
        except Exception as error:  # a fault in a notifier: on record and counted, and the next alarm goes on
            # the traceback stays out of the log: its locals and messages may hold the receiver's secrets
            log.error("%s: cannot be told: %s", self._receiver, type(error).__name__)
            return Outcome(Result.REJECTED, type(error).__name__)

    def _row(self, step: Step, reason: Reason, outcome: Outcome) -> NotificationRow:
        detail = f"{reason}: {outcome.detail}" if outcome.detail else str(reason)
        return NotificationRow(
            alarm_id=step_id(step),
            receiver=self._receiver,
            revision=step_revision(step),
            outcome=outcome.result,
            detail=detail,
            sent_us=int(self._wall_clock() * 1e6),
        )

    def _settle(self, letter: _Letter, row: NotificationRow | None) -> None:
        if row is not None:
            self._on_outcome(self._receiver, row.outcome)
        if not letter.outcome.done():
            letter.outcome.set_result(row)


def _closed() -> Unavailable:
    return Unavailable("outbox: closed before every receiver was told")
