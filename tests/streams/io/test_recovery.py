"""Whether a worker reads again after a rebalance, however long the broker took."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import KafkaError, UnknownError
from faust.types import TP

from seawall.settings import Settings
from streams.io.kafka import RunApp, make_app
from streams.io.topics import create_topics


@pytest.fixture
async def app(monkeypatch: pytest.MonkeyPatch) -> RunApp:
    """A worker that waits for a rebalance; its requests may take no time at all."""
    app = make_app(Settings())
    app.conf.broker_request_timeout = 0.0

    async def start_fetching() -> bool:
        return True

    monkeypatch.setattr(app.runs, "assignment", lambda: {TP("predictions", 0)})
    monkeypatch.setattr(app._fetcher, "maybe_start", start_fetching)
    app.runs.stop_flow()
    return app


async def test_a_seek_that_outlasts_a_request_ends_in_reading(
    app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is away, or a worker that is paused, in the middle of a rebalance."""
    seeks, answers = 0, asyncio.Event()

    async def seek() -> None:
        nonlocal seeks
        seeks += 1
        await answers.wait()

    monkeypatch.setattr(app.runs, "perform_seek", seek)
    recovery = app.tables.recovery
    await recovery.start()
    try:
        recovery.signal_recovery_start.set()
        # Time passes in the loop: timers that are due have fired when a later one has.
        await asyncio.wait({asyncio.ensure_future(answers.wait())}, timeout=0.05)
        assert seeks == 1
        assert not app.runs.flow_active
        answers.set()
        async with asyncio.timeout(5):
            await app.runs.can_resume_flow.wait()
        assert app.flow_control.is_active()
    finally:
        await recovery.stop()


async def test_another_rebalance_still_ends_a_seek_under_way(
    app: RunApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: asyncio.Queue[int] = asyncio.Queue()
    ended: asyncio.Queue[int] = asyncio.Queue()

    async def seek() -> None:
        number = begun.qsize() + ended.qsize()
        begun.put_nowait(number)
        try:
            await asyncio.Event().wait()
        finally:
            ended.put_nowait(number)

    monkeypatch.setattr(app.runs, "perform_seek", seek)
    recovery = app.tables.recovery
    await recovery.start()
    try:
        async with asyncio.timeout(5):
            recovery.signal_recovery_start.set()
            first = await begun.get()
            recovery.signal_recovery_start.set()
            assert await ended.get() == first
            await begun.get()
        assert not app.runs.flow_active
    finally:
        await recovery.stop()


async def test_a_worker_that_had_nothing_to_read_for_a_day_is_given_partitions_again(
    broker: str,
) -> None:
    """Where there are more workers than partitions, somebody has to take over when another one dies."""
    settings = Settings(broker=broker, topic_prefix="idle.", group="idle")
    create_topics(settings)
    app = make_app(settings)
    consumer: Any = app.runs._new_consumer_thread()._create_worker_consumer(app.transport)
    await consumer.start()
    coordinator = consumer._coordinator
    try:
        consumer.subscribe([settings.topic("predictions")])
        async with asyncio.timeout(60):
            await consumer._subscription.wait_for_assignment()
            consumer._subscription._last_fetch_ended -= 86_400
            coordinator.request_rejoin()
            await consumer._subscription.wait_for_assignment()
        assert consumer.assignment()
    finally:
        await consumer.stop()


async def test_a_worker_ends_that_has_lost_its_place_in_the_group(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka stops its heartbeats at an answer that it does not know, and waits until somebody has heard of it."""
    settings = Settings(broker=broker, topic_prefix="lost.", group="lost", broker_session_timeout_s=4.0)
    create_topics(settings)
    app = make_app(settings)
    thread: Any = app.runs._thread
    consumer = thread._create_worker_consumer(app.transport)
    await consumer.start()
    try:
        consumer.subscribe([settings.topic("predictions")])
        async with asyncio.timeout(60):
            await consumer._subscription.wait_for_assignment()

        async def unknown() -> bool:
            raise UnknownError

        async def in_this_loop(method: Any, *arguments: Any) -> Any:
            return await method(*arguments)

        monkeypatch.setattr(consumer._coordinator, "_do_heartbeat", unknown)
        monkeypatch.setattr(thread, "call_thread", in_this_loop)
        thread._consumer = consumer
        with pytest.raises(KafkaError):
            async with asyncio.timeout(60):
                await app.runs._mind_group(app.runs)
    finally:
        await consumer.stop()
