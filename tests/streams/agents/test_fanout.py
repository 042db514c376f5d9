"""Several handlers behind one topic: what may be committed, what is held, and what a rebalance leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from seawall.settings import Settings
from streams.agents.fanout import JOINED_BYTES, FanOut, Handle, Handler, run_bytes
from streams.agents.worker import Worker
from streams.io.kafka import Assignment, Run, RunApp

ZERO, ONE = TP("windows", 0), TP("windows", 1)


@dataclass
class Runs:
    """What a fan-out sees of the consumer."""

    current: Assignment = field(default_factory=lambda: Assignment(1, {ZERO: None, ONE: None}))
    ledger: dict[TP, int] = field(default_factory=dict)
    paused: set[TP] = field(default_factory=set)

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        self.paused |= set(tps)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        self.paused -= set(tps)

    def rebalance(self, *tps: TP) -> None:
        self.current = Assignment(self.current.epoch + 1, dict.fromkeys(tps))
        self.ledger.clear()


@dataclass
class Slow:
    """A handler that is done with a run when it is told so."""

    begun: list[int] = field(default_factory=list)
    gates: dict[int, asyncio.Event] = field(default_factory=dict)

    async def __call__(self, run: Run) -> None:
        offset = run.records[0].offset
        self.begun.append(offset)
        await self.gates.setdefault(offset, asyncio.Event()).wait()

    def done(self, *offsets: int) -> None:
        for offset in offsets:
            self.gates.setdefault(offset, asyncio.Event()).set()


def run_of(offset: int, runs: Runs, tp: TP = ZERO, records: int = 1, value: bytes = b"v") -> Run:
    made: list[Any] = [SimpleNamespace(offset=offset + i, key=b"k", value=value) for i in range(records)]
    return Run(tp, made, runs.current.epoch, None)


async def _plain(handle: Handle, run: Run) -> None:
    await handle(run)


@asynccontextmanager
async def fan_out(
    runs: Runs,
    *handlers: Handler,
    room_bytes: int = 1 << 20,
    guard: Callable[[Handle, Run], Awaitable[None]] = _plain,
) -> AsyncIterator[FanOut]:
    fan = FanOut(cast(RunApp, SimpleNamespace(runs=runs)), handlers, guard, room_bytes)
    tasks = [asyncio.create_task(fan.work(i)) for i in range(len(handlers))]
    try:
        yield fan
    finally:
        ended = [t for t in tasks if t.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended:
            task.result()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_the_slowest_handler_decides_what_is_committed() -> None:
    async def scenario() -> None:
        runs, quick, slow = Runs(), Slow(), Slow()
        async with fan_out(runs, Handler(quick), Handler(slow)) as fan:
            for offset in (0, 10, 20):
                await fan.put(run_of(offset, runs, records=10))
            quick.done(0, 10, 20)
            await settle()
            assert quick.begun == [0, 10, 20]
            assert runs.ledger == {}
            slow.done(0)
            await settle()
            assert runs.ledger == {ZERO: 10}
            slow.done(10, 20)
            await settle()
            assert runs.ledger == {ZERO: 30}

    asyncio.run(scenario())


def test_an_overlapping_handler_that_ends_out_of_order_commits_only_the_prefix() -> None:
    async def scenario() -> None:
        runs, told = Runs(), Slow()
        async with fan_out(runs, Handler(told, overlapping=True)) as fan:
            for offset in (0, 10, 20):
                await fan.put(run_of(offset, runs, records=10))
            await settle()
            assert told.begun == [0, 10, 20], "an overlapping handler begins every run at once"
            told.done(20, 10)
            await settle()
            assert runs.ledger == {}
            told.done(0)
            await settle()
            assert runs.ledger == {ZERO: 30}

    asyncio.run(scenario())


def test_partitions_are_committed_apart_from_each_other() -> None:
    async def scenario() -> None:
        runs, told = Runs(), Slow()
        async with fan_out(runs, Handler(told, overlapping=True)) as fan:
            await fan.put(run_of(0, runs, ZERO))
            await fan.put(run_of(100, runs, ONE))
            told.done(100)
            await settle()
            assert runs.ledger == {ONE: 101}

    asyncio.run(scenario())


def test_a_run_of_an_earlier_epoch_commits_nothing_and_is_not_begun() -> None:
    async def scenario() -> None:
        runs, slow = Runs(), Slow()
        async with fan_out(runs, Handler(slow)) as fan:
            await fan.put(run_of(0, runs))
            await fan.put(run_of(1, runs))
            await settle()
            runs.rebalance(ZERO)
            slow.done(0, 1)
            await settle()
            assert slow.begun == [0]
            assert runs.ledger == {}
            assert fan.held_bytes == 0

    asyncio.run(scenario())


def test_a_handler_that_outlives_a_rebalance_does_not_end_the_worker() -> None:
    """It used to look for bookkeeping that a quicker handler had thrown away: a dead store became a dead worker."""

    async def scenario() -> None:
        runs, slow, quick = Runs(), Slow(), Slow()
        async with fan_out(runs, Handler(slow), Handler(quick, overlapping=True)) as fan:
            slow.done(0)
            quick.done(0, 5)
            await fan.put(run_of(0, runs))
            await settle()
            assert runs.ledger == {ZERO: 1}
            await fan.put(run_of(1, runs))
            await settle()
            runs.rebalance(ZERO)
            await fan.put(run_of(5, runs))
            await settle()
            slow.done(1, 5)
            await settle()
            assert slow.begun == [0, 1, 5]
            assert runs.ledger == {ZERO: 6}

    asyncio.run(scenario())


def test_what_is_held_is_bounded_in_bytes_by_pausing_the_topic() -> None:
    async def scenario() -> None:
        runs, slow, quick = Runs(), Slow(), Slow()
        size = run_bytes(run_of(0, runs, value=bytes(1000)))
        async with fan_out(runs, Handler(slow), Handler(quick), room_bytes=4 * size) as fan:
            quick.done(*range(10))
            for offset in range(4):
                await fan.put(run_of(offset, runs, value=bytes(1000)))
            await settle()
            assert (runs.paused, fan.held_bytes) == (set(), 4 * size)
            await fan.put(run_of(4, runs, value=bytes(1000)))
            assert runs.paused == {ZERO, ONE}
            slow.done(0, 1)
            await settle()
            assert runs.paused == {ZERO, ONE}, "resumed only when half of the room is free"
            slow.done(2)
            await settle()
            assert runs.paused == set()
            slow.done(3, 4)
            await settle()
            assert fan.held_bytes == 0

    asyncio.run(scenario())


def test_putting_never_waits_for_a_handler() -> None:
    """The loop that fetches for every topic stands behind it."""

    async def scenario() -> None:
        runs, slow = Runs(), Slow()
        async with fan_out(runs, Handler(slow, room=2), room_bytes=1) as fan:
            async with asyncio.timeout(1):
                for offset in range(100):
                    await fan.put(run_of(offset, runs))
            slow.done(*range(100))
            await settle()
            while fan.held_bytes:
                await settle()
            assert runs.ledger == {ZERO: 100}
            assert runs.paused == set()

    asyncio.run(scenario())


def test_runs_that_wait_for_a_handler_that_joins_are_handed_over_as_one_for_each_partition() -> None:
    """A store that takes seconds for an insert falls behind without end when every record is one."""

    async def scenario() -> None:
        runs, slow, given = Runs(), Slow(), []

        async def store(run: Run) -> None:
            given.append((run.tp, [r.offset for r in run.records]))
            await slow(run)

        async with fan_out(runs, Handler(store, joins=True)) as fan:
            await fan.put(run_of(0, runs))
            await settle()
            for offset in (1, 2, 3):
                await fan.put(run_of(offset, runs))
                await fan.put(run_of(offset + 100, runs, ONE))
            slow.done(0, 1)
            await settle()
            assert given == [(ZERO, [0]), (ZERO, [1, 2, 3]), (ONE, [101, 102, 103])]
            assert runs.ledger == {ZERO: 4}, "what was handed over as one is done as one"
            slow.done(101)
            await settle()
            assert runs.ledger == {ZERO: 4, ONE: 104}
            assert fan.held_bytes == 0

    asyncio.run(scenario())


def test_runs_are_joined_up_to_a_bound_and_never_with_those_of_another_epoch() -> None:
    async def scenario() -> None:
        runs, slow, given = Runs(), Slow(), []

        async def store(run: Run) -> None:
            given.append([r.offset for r in run.records])
            await slow(run)

        async with fan_out(runs, Handler(store, joins=True), room_bytes=1 << 30) as fan:
            await fan.put(run_of(0, runs))
            await settle()
            for offset in range(1, 4):
                await fan.put(run_of(offset, runs, value=bytes(JOINED_BYTES // 2 - 1000)))
            await fan.put(run_of(4, runs, value=bytes(2 * JOINED_BYTES)))
            slow.done(0, 1, 3)
            await settle()
            assert given == [[0], [1, 2], [3], [4]]
            await fan.put(run_of(5, runs))
            runs.rebalance(ZERO)
            await fan.put(run_of(5, runs))
            await fan.put(run_of(6, runs))
            slow.done(4, 5)
            await settle()
            assert given[4:] == [[5, 6]], "what was fetched before the rebalance is not begun"
            assert runs.ledger == {ZERO: 7}

    asyncio.run(scenario())


def test_a_handler_with_little_room_pauses_the_topic_whatever_its_runs_weigh() -> None:
    async def scenario() -> None:
        runs, slow = Runs(), Slow()
        async with fan_out(runs, Handler(slow, room=2)) as fan:
            for offset in range(3):
                await fan.put(run_of(offset, runs))
            assert runs.paused == {ZERO, ONE}

    asyncio.run(scenario())


def test_partitions_that_come_while_the_topic_is_paused_are_paused_too() -> None:
    async def scenario() -> None:
        runs, slow = Runs(), Slow()
        runs.current = Assignment(1, {ZERO: None})
        async with fan_out(runs, Handler(slow, room=1)) as fan:
            await fan.put(run_of(0, runs))
            await fan.put(run_of(1, runs))
            assert runs.paused == {ZERO}
            runs.rebalance(ZERO, ONE)
            await fan.put(run_of(0, runs, ONE))
            assert runs.paused == {ZERO, ONE}
            slow.done(0, 1)
            await settle()
            assert runs.paused == set()
            assert runs.ledger == {ONE: 1}

    asyncio.run(scenario())


def test_how_many_partitions_are_paused_is_told_when_it_changes() -> None:
    async def scenario() -> None:
        runs, slow, told = Runs(), Slow(), []
        app = cast(RunApp, SimpleNamespace(runs=runs))
        fan = FanOut(app, [Handler(slow, room=1)], _plain, on_paused=told.append)
        task = asyncio.create_task(fan.work(0))
        await fan.put(run_of(0, runs))
        assert told == [0], "it is on record before anything is paused"
        await fan.put(run_of(1, runs))
        assert told[-1] == 2
        slow.done(0, 1)
        await settle()
        assert told[-1] == 0
        task.cancel()

    asyncio.run(scenario())


def test_an_error_of_a_handler_is_not_swallowed() -> None:
    async def broken(run: Run) -> None:
        raise RuntimeError(run.tp.topic)

    async def scenario() -> None:
        runs = Runs()
        fan = FanOut(cast(RunApp, SimpleNamespace(runs=runs)), [Handler(broken)], _plain)
        await fan.put(run_of(0, runs))
        with pytest.raises(RuntimeError, match="windows"):
            await fan.work(0)
        assert runs.ledger == {}

    asyncio.run(scenario())


@pytest.mark.parametrize("overlapping", [False, True])
def test_what_a_handler_failed_to_do_while_the_worker_stops_is_never_committed(overlapping: bool) -> None:
    """Faust commits the ledger once more after its agents have stopped."""

    async def scenario() -> None:
        runs = Runs()
        worker = Worker(Settings(), cast(RunApp, SimpleNamespace(runs=runs, should_stop=True)))

        async def guard(handle: Handle, run: Run) -> None:
            await worker.guard("windows", lambda: handle(run))

        async def fails_once(run: Run) -> None:
            if run.records[0].offset == 5:
                raise RuntimeError("the store was closed")

        async with fan_out(runs, Handler(fails_once, overlapping), guard=guard) as fan:
            for offset in (4, 5, 6):
                await fan.put(run_of(offset, runs))
            await settle()
            assert runs.ledger == {ZERO: 5}

    asyncio.run(scenario())
