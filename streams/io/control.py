"""Reading the topics that every worker must know whole: monitors, baselines, registry, rollbacks.

They are read without a consumer group, from the beginning, by every worker; `ready` is set when everything that was
there at the start has been read, and no event is counted before that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from seawall.settings import Settings
from streams.io.kafka import aiokafka_config

log = logging.getLogger(__name__)
_RETRY_S = 0.2
#: Called with (short topic name, key, value) for each record, in order.
OnRecord = Callable[[str, bytes, bytes | None], None]


class ControlReader:
    """Tails whole topics."""

    def __init__(self, settings: Settings, topics: Sequence[str], on_record: OnRecord) -> None:
        self._settings = settings
        self._names = {settings.topic(name): name for name in topics}
        self._on_record = on_record
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Read for ever. Raises what the client raises; the caller decides what a lost connection means."""
        consumer = AIOKafkaConsumer(
            **aiokafka_config(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=32 << 20,
            fetch_max_bytes=64 << 20,
        )
        await consumer.start()
        try:
            partitions = await self._partitions(consumer)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            waiting = {tp for tp, end in ends.items() if end > 0}
            while True:
                waiting = {tp for tp in waiting if not await _at_end(consumer, tp, ends[tp])}
                if not waiting:
                    self.ready.set()
                for tp, records in (await consumer.getmany(timeout_ms=200, max_records=500)).items():
                    for record in records:
                        self._on_record(self._names[tp.topic], record.key or b"", record.value)
        finally:
            await consumer.stop()

    async def _partitions(self, consumer: AIOKafkaConsumer) -> list[TopicPartition]:
        """Return the partitions of every topic, waiting for those that the broker does not know yet.

        One that was just started tells of its topics bit by bit, and a topic that is left out here is never read.
        """
        for topic in self._names:
            await consumer._client.add_topic(topic)
        while True:
            await consumer._client.force_metadata_update()
            known = {topic: consumer.partitions_for_topic(topic) for topic in self._names}
            if all(known.values()):
                return [
                    TopicPartition(topic, n)
                    for topic, numbers in known.items()
                    for n in sorted(numbers or ())
                ]
            await asyncio.sleep(_RETRY_S)


async def _at_end(consumer: AIOKafkaConsumer, tp: TopicPartition, end: int) -> bool:
    """Whether everything up to `end` was read.

    The embedded broker answers ListOffsets with the start of the last batch; the high watermark that comes with
    every fetch is right there, so both must be reached.
    """
    position = await consumer.position(tp)
    highwater = consumer.highwater(tp)
    return position >= end and highwater is not None and position >= highwater


async def read_whole(settings: Settings, topic: str, partition: int) -> dict[bytes, bytes | None]:
    """Read one partition of a compacted topic from its beginning to its present end: last value by key.

    The end is the one that the last fetch told, not the one at the start: a record that compaction takes away while
    this reads has its successor between the two.
    """
    consumer = AIOKafkaConsumer(
        **aiokafka_config(settings),
        enable_auto_commit=False,
        # Without it, aiokafka looks for the end as soon as the partition is assigned, and may find it after it was told
        # to go to the beginning: the topic then looks empty.
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=32 << 20,
        fetch_max_bytes=64 << 20,
    )
    await consumer.start()
    try:
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        await consumer.seek_to_beginning(tp)
        found: dict[bytes, bytes | None] = {}
        while end and not await _at_end(consumer, tp, end):
            for records in (await consumer.getmany(tp, timeout_ms=500)).values():
                for record in records:
                    found[record.key or b""] = record.value
        return found
    finally:
        await consumer.stop()


async def read_between(
    settings: Settings, topic: str, partition: int, first: int, until: int
) -> AsyncIterator[list[Any]]:
    """Read the records of one partition with offsets ``first … until - 1``, a fetch at a time."""
    if first >= until:
        return
    consumer = AIOKafkaConsumer(
        **aiokafka_config(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",  # where retention has removed the first ones
        max_partition_fetch_bytes=32 << 20,
        fetch_max_bytes=64 << 20,
    )
    await consumer.start()
    try:
        tp = TopicPartition(topic, partition)
        consumer.assign([tp])
        consumer.seek(tp, first)
        while await consumer.position(tp) < until and not await _at_end(consumer, tp, first):
            for records in (await consumer.getmany(tp, timeout_ms=500)).values():
                yield [record for record in records if record.offset < until]
    finally:
        await consumer.stop()
