"""One topic, several consumers in one process: the offset follows the slowest, and none waits for another.

What is held for slow handlers is bounded in bytes: past `FanOut.room_bytes` the topic's partitions are paused, and
they are resumed when half of it is free. A handler that `joins` is given what waited for it as one run: the slower it
is, the more it does at once. Nothing here waits, for whatever waits in a stream's way stops, past a few
runs, the one loop that fetches for every topic: a store that is away would hold back the alarms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from faust.types import TP

from streams.io.kafka import Run, RunApp

Handle = Callable[[Run], Awaitable[None]]
#: Bytes of keys and values that one topic may hold for its handlers. A little more may come: what was fetched
#: before the pause took effect, at most one fetch of each partition and the four runs in the stream's buffer.
ROOM_BYTES = 32 << 20
#: Runs that wait are handed over as one until they have so many bytes: as much as one fetch brings at most.
JOINED_BYTES = 8 << 20
#: What a record costs besides its key and value.
_RECORD_BYTES = 400


@dataclass(frozen=True, slots=True)
class Handler:
    """What is done with a run, and whether the next run may begin before this one is done."""

    handle: Handle
    overlapping: bool = False
    joins: bool = False
    """Whether runs of one partition that wait, one behind the other, are handed over as one."""
    room: int = 64
    """Runs that may wait or be under way before the topic is paused."""


@dataclass(slots=True)
class _Held:
    """A run in memory until the last handler lets go of it."""

    run: Run
    size_bytes: int
    users: int


@dataclass(slots=True)
class _Ticket:
    held: _Held
    offset: int
    done: bool = False


@dataclass
class _Lane:
    """One handler's runs: how far each partition is done, without gaps."""

    handler: Handler
    queue: asyncio.Queue[_Ticket] = field(default_factory=asyncio.Queue)
    waiting: int = 0
    tickets: dict[tuple[TP, int], deque[_Ticket]] = field(default_factory=dict)
    reached: dict[tuple[TP, int], int] = field(default_factory=dict)

    def accept(self, held: _Held) -> None:
        ticket = _Ticket(held, held.run.records[-1].offset + 1)
        self.tickets.setdefault((held.run.tp, held.run.epoch), deque()).append(ticket)
        self.waiting += 1
        self.queue.put_nowait(ticket)

    async def next(self) -> list[list[_Ticket]]:
        """Wait for a run; returns what is to be done at once, one after the other."""
        first = await self.queue.get()
        if not self.handler.joins:
            return [[first]]
        waiting = [first]
        while not self.queue.empty():
            waiting.append(self.queue.get_nowait())
        return list(_joinable(waiting))

    def finish(self, ticket: _Ticket) -> None:
        ticket.done = True
        key = (ticket.held.run.tp, ticket.held.run.epoch)
        waiting = self.tickets[key]
        while waiting and waiting[0].done:
            self.reached[key] = waiting.popleft().offset

    def forget_before(self, epoch: int) -> None:
        for known in (self.tickets, self.reached):
            for key in [k for k in known if k[1] < epoch]:
                del known[key]


class FanOut:
    """Hands each run to every handler in order, and lets be committed what all have done.

    `on_paused` is told how many partitions are paused, whenever that may have changed.
    """

    def __init__(
        self,
        app: RunApp,
        handlers: Sequence[Handler],
        guard: Callable[[Handle, Run], Awaitable[None]],
        room_bytes: int = ROOM_BYTES,
        on_paused: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._app = app
        self._on_paused = on_paused
        self._guard = guard
        self._lanes = [_Lane(h) for h in handlers]
        self._under_way: set[asyncio.Task[None]] = set()
        self._room_bytes = room_bytes
        self._epoch = -1
        self._paused_topic: str | None = None
        self.held_bytes = 0

    async def put(self, run: Run) -> None:
        """Take a run, without waiting; a topic that has too much in memory is paused."""
        if run.epoch != self._app.runs.current.epoch:
            return
        if run.epoch != self._epoch:
            self._epoch = run.epoch
            for lane in self._lanes:
                lane.forget_before(run.epoch)
        held = _Held(run, run_bytes(run), len(self._lanes))
        self.held_bytes += held.size_bytes
        for lane in self._lanes:
            lane.accept(held)
        if self._is_full(1.0):
            # again for every run: partitions may have been assigned since
            self._paused_topic = run.tp.topic
            self._app.runs.pause_partitions(self._partitions(run.tp.topic))
        self._show()

    async def work(self, i: int) -> None:
        """Serve handler i for ever."""
        lane = self._lanes[i]
        while True:
            for tickets in await lane.next():
                if lane.handler.overlapping:
                    task = asyncio.create_task(self._do(lane, tickets))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
                else:
                    await self._do(lane, tickets)

    async def _do(self, lane: _Lane, tickets: Sequence[_Ticket]) -> None:
        """Do runs of one partition and epoch, as one."""
        run = tickets[0].held.run
        if not self._is_stale(run):
            await self._guard(lane.handler.handle, _joined([t.held.run for t in tickets]))
        if not self._is_stale(run):
            for ticket in tickets:
                lane.finish(ticket)
            key = (run.tp, run.epoch)
            if all(key in other.reached for other in self._lanes):
                self._app.runs.ledger[run.tp] = min(other.reached[key] for other in self._lanes)
        for ticket in tickets:
            self._let_go(lane, ticket)

    def _is_stale(self, run: Run) -> bool:
        """Tell whether the run was fetched before a rebalance: whoever has the partition now reads it again."""
        return run.epoch != self._app.runs.current.epoch

    def _let_go(self, lane: _Lane, ticket: _Ticket) -> None:
        lane.waiting -= 1
        ticket.held.users -= 1
        if ticket.held.users == 0:
            self.held_bytes -= ticket.held.size_bytes
        if self._paused_topic is not None and not self._is_full(0.5):
            self._app.runs.resume_partitions(self._partitions(self._paused_topic))
            self._paused_topic = None
            self._show()

    def _show(self) -> None:
        self._on_paused(0 if self._paused_topic is None else len(self._partitions(self._paused_topic)))

    def _is_full(self, share: float) -> bool:
        return self.held_bytes > share * self._room_bytes or any(
            lane.waiting > share * lane.handler.room for lane in self._lanes
        )

    def _partitions(self, topic: str) -> set[TP]:
        return {tp for tp in self._app.runs.current.starts if tp.topic == topic}


def run_bytes(run: Run) -> int:
    """Memory that a run's records take, roughly."""
    return sum(len(r.value or b"") + len(r.key or b"") + _RECORD_BYTES for r in run.records)


def _joinable(waiting: Iterable[_Ticket]) -> Iterator[list[_Ticket]]:
    """Group tickets by partition and epoch, in the order in which each partition's first came."""
    groups: dict[tuple[TP, int], list[_Ticket]] = {}
    for ticket in waiting:
        groups.setdefault((ticket.held.run.tp, ticket.held.run.epoch), []).append(ticket)
    for group in groups.values():
        batch: list[_Ticket] = []
        size_bytes = 0
        for ticket in group:
            size_bytes += ticket.held.size_bytes
            if batch and size_bytes > JOINED_BYTES:
                yield batch
                batch, size_bytes = [], ticket.held.size_bytes
            batch.append(ticket)
        yield batch


def _joined(runs: Sequence[Run]) -> Run:
    """Make one run of runs of one partition that follow each other."""
    last = runs[-1]
    return last if len(runs) == 1 else replace(last, records=[r for run in runs for r in run.records])
