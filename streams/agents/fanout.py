"""One topic, several consumers in one process: the offset follows the slowest, and none waits for another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from faust.types import TP

from streams.io.kafka import Run, RunApp

Handler = Callable[[Run], Awaitable[None]]
#: Runs that a handler may fall behind before the partition is paused.
_ROOM = 256


class FanOut:
    """Hands each run to every handler, each in order and at its own pace, and commits what all have done."""

    def __init__(self, app: RunApp, handlers: Sequence[Handler]) -> None:
        self._app = app
        self._handlers = handlers
        self._queues: list[asyncio.Queue[Run]] = [asyncio.Queue(_ROOM) for _ in handlers]
        self._done: list[dict[tuple[TP, int], int]] = [{} for _ in handlers]

    async def put(self, run: Run) -> None:
        """Take a run; waits only when a handler is far behind."""
        for queue in self._queues:
            await queue.put(run)

    async def work(self, i: int) -> None:
        """Serve handler i for ever."""
        while True:
            run = await self._queues[i].get()
            if run.epoch == self._app.runs.current.epoch:
                await self._handlers[i](run)
                self._finished(i, run)

    def _finished(self, i: int, run: Run) -> None:
        key = (run.tp, run.epoch)
        done = self._done[i]
        for old in [k for k in done if k[0] == run.tp and k[1] != run.epoch]:
            del done[old]
        done[key] = run.records[-1].offset + 1
        if run.epoch != self._app.runs.current.epoch:
            return
        if all(key in d for d in self._done):
            self._app.runs.ledger[run.tp] = min(d[key] for d in self._done)
