"""One topic, several consumers in one process: the offset follows the slowest, and none waits for another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from faust.types import TP

from streams.io.kafka import Run, RunApp

Handle = Callable[[Run], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Handler:
    """What is done with a run, and whether the next run may begin before this one is done."""

    handle: Handle
    overlapping: bool = False
    room: int = 64
    """Runs that may wait (or be under way, when overlapping) before the partition is paused."""


@dataclass(slots=True)
class _Ticket:
    offset: int
    done: bool = False


@dataclass
class _Lane:
    """One handler's runs: how far each partition is done, without gaps."""

    handler: Handler
    queue: asyncio.Queue[tuple[Run, _Ticket]]
    tickets: dict[tuple[TP, int], deque[_Ticket]] = field(default_factory=dict)
    reached: dict[tuple[TP, int], int] = field(default_factory=dict)

    def accept(self, run: Run) -> _Ticket:
        ticket = _Ticket(run.records[-1].offset + 1)
        self.tickets.setdefault((run.tp, run.epoch), deque()).append(ticket)
        return ticket

    def finish(self, run: Run, ticket: _Ticket) -> None:
        ticket.done = True
        key = (run.tp, run.epoch)
        waiting = self.tickets[key]
        while waiting and waiting[0].done:
            self.reached[key] = waiting.popleft().offset


class FanOut:
    """Hands each run to every handler in order, and lets be committed what all have done."""

    def __init__(
        self, app: RunApp, handlers: Sequence[Handler], guard: Callable[[Handle, Run], Awaitable[None]]
    ) -> None:
        self._app = app
        self._guard = guard
        self._lanes = [_Lane(h, asyncio.Queue(h.room)) for h in handlers]
        self._under_way: set[asyncio.Task[None]] = set()

    async def put(self, run: Run) -> None:
        """Take a run; waits only when a handler is far behind."""
        for lane in self._lanes:
            await lane.queue.put((run, lane.accept(run)))

    async def work(self, i: int) -> None:
        """Serve handler i for ever."""
        lane = self._lanes[i]
        room = asyncio.Semaphore(lane.handler.room)
        while True:
            run, ticket = await lane.queue.get()
            if run.epoch != self._app.runs.current.epoch:
                continue
            if not lane.handler.overlapping:
                await self._do(lane, run, ticket, None)
                continue
            await room.acquire()
            task = asyncio.create_task(self._do(lane, run, ticket, room))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _do(self, lane: _Lane, run: Run, ticket: _Ticket, room: asyncio.Semaphore | None) -> None:
        await self._guard(lane.handler.handle, run)
        if room is not None:
            room.release()
        lane.finish(run, ticket)
        key = (run.tp, run.epoch)
        if run.epoch == self._app.runs.current.epoch and all(key in other.reached for other in self._lanes):
            self._app.runs.ledger[run.tp] = min(other.reached[key] for other in self._lanes)
        for other in self._lanes:
            for old in [k for k in other.reached if k[1] < run.epoch]:
                other.reached.pop(old)
                other.tickets.pop(old, None)
