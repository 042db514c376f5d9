"""Reading topics whole, or between two offsets, without a consumer group."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from seawall.bus import append_values
from seawall.settings import Settings
from streams.io.control import ControlReader, read_between, read_whole
from streams.io.topics import create_topics


async def test_reading_between_two_offsets_gives_just_those_records(settings: Settings) -> None:
    create_topics(settings, ["registry"])
    for k in range(3):  # several batches, and the last one is not a single record
        append_values(settings, "registry", "m", [f"{4 * k + i}".encode() for i in range(4)])
    topic = settings.topic("registry")

    async def between(first: int, until: int) -> list[tuple[int, bytes]]:
        return [
            (r.offset, r.value) async for run in read_between(settings, topic, 0, first, until) for r in run
        ]

    assert await between(3, 9) == [(k, str(k).encode()) for k in range(3, 9)]
    assert await between(11, 12) == [(11, b"11")]
    assert await between(5, 5) == []


async def test_reading_a_topic_whole_gives_the_last_value_of_each_key(settings: Settings) -> None:
    create_topics(settings, ["registry"])
    append_values(settings, "registry", "a", [b"1", b"2"])
    append_values(settings, "registry", "b", [b"3", b"4", b"5"])
    assert await read_whole(settings, settings.topic("registry"), 0) == {b"a": b"2", b"b": b"5"}


async def test_a_topic_is_read_whole_every_time(settings: Settings) -> None:
    # A client that begins at the end unless it is told otherwise may be told too late: on Apache Kafka every fourth time.
    create_topics(settings)
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker)
    await producer.start()
    try:
        for number in range(10):
            await producer.send_and_wait(settings.topic("state"), b"x", f"{number}".encode(), 0)
        found = [len(await read_whole(settings, settings.topic("state"), 0)) for _ in range(40)]
    finally:
        await producer.stop()
    assert found == [10] * 40


async def test_a_topic_that_the_broker_does_not_tell_of_at_first_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_topics(settings, ["monitors", "baselines"])
    append_values(settings, "baselines", "m", [b"1"])
    late, asked = settings.topic("baselines"), []
    told = AIOKafkaConsumer.partitions_for_topic

    def partitions_for_topic(consumer: AIOKafkaConsumer, topic: str) -> set[int] | None:
        asked.append(topic)
        return None if asked.count(late) < 3 and topic == late else told(consumer, topic)

    monkeypatch.setattr(AIOKafkaConsumer, "partitions_for_topic", partitions_for_topic)
    seen: list[tuple[str, bytes | None]] = []
    reader = ControlReader(
        settings, ["monitors", "baselines"], lambda topic, _, value: seen.append((topic, value))
    )
    reading = asyncio.create_task(reader.run())
    try:
        await asyncio.wait_for(reader.ready.wait(), 20)
        # Ready means that everything was read which was there.
        assert seen == [("baselines", b"1")]
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
