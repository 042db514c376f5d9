"""Single predictions straight onto a partition, and what a group has committed."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, Producer, TopicPartition

from seawall.settings import Settings
from seawall.transport import kafka_config
from tests.streams.core.builders import T0, single

SECOND = 1_000_000


def singles(first: int, end: int, model: str = "m") -> list[bytes]:
    """Events number `first` to `end`, one every half second of event time."""
    return [
        single(T0 + i * SECOND // 2, float(i % 7), event_id=f"e{i}", model=model) for i in range(first, end)
    ]


def append(
    settings: Settings, topic: str, partition: int, values: Iterable[bytes], *, key: bytes | None = None
) -> None:
    """Write records to one partition and wait until the broker has them."""
    producer = Producer({**kafka_config(settings), "linger.ms": 5})
    failed: list[object] = []
    for value in values:
        producer.produce(
            settings.topic(topic),
            value,
            key,
            partition=partition,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        producer.poll(0)
    assert producer.flush(30) == 0
    assert not failed


def committed(settings: Settings, topic: str, partition: int) -> int | None:
    """Offset that the workers' group has committed, None where it has none."""
    consumer = Consumer({**kafka_config(settings), "group.id": settings.group, "enable.auto.commit": False})
    try:
        (found,) = consumer.committed([TopicPartition(settings.topic(topic), partition)], timeout=10)
    finally:
        consumer.close()
    return found.offset if found.offset >= 0 else None
