"""Where a partition ends: what a reader must know before it may say that it has read everything.

Asking for the latest offset is not enough on every broker: the embedded one answers with the *first* offset
of the last batch plus one, so up to a batch of records would be taken for unwritten. The high watermark that
comes with fetched records is right there and on Apache Kafka, so the last batch is fetched to learn it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from seawall.errors import Unavailable
from seawall.settings import Settings
from streams.io.topics import client_config

TIMEOUT_S = 10.0
#: librdkafka's RD_KAFKA_RESP_ERR__PARTITION_EOF.
_PARTITION_EOF = -191


def end_offsets(
    settings: Settings, partitions: Iterable[tuple[str, int]], timeout_s: float = TIMEOUT_S
) -> dict[tuple[str, int], int]:
    """Return the offset after the last record of each partition; topics by their full names.

    Blocks for at most about `timeout_s`. Joins no group and commits nothing.

    Raises
    ------
    Unavailable
        The broker did not answer in time.
    """
    from confluent_kafka import Consumer, KafkaException, TopicPartition  # noqa: PLC0415

    consumer = Consumer(
        client_config(settings)
        | {
            "group.id": f"{settings.group}.looks",  # required, never joined
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            # what lies before the end may be a transaction's marker, which no reader is given
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 4096,
            "log_level": 0,
        }
    )
    deadline = time.monotonic() + timeout_s
    ends: dict[tuple[str, int], int] = {}
    try:
        pending: list[Any] = []
        for topic, partition in partitions:
            low, latest = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout_s)
            ends[topic, partition] = latest
            if latest > low:
                pending.append(TopicPartition(topic, partition, latest - 1))
        consumer.assign(pending)
        while pending:
            message = consumer.poll(0.1)
            error = message.error() if message is not None else None
            if message is not None and (error is None or error.code() == _PARTITION_EOF):
                at = TopicPartition(str(message.topic()), int(message.partition() or 0))
                # learnt with this very fetch
                _, high = consumer.get_watermark_offsets(at, cached=True)
                ends[at.topic, at.partition] = max(ends[at.topic, at.partition], high)
                pending = [p for p in pending if (p.topic, p.partition) != (at.topic, at.partition)]
                consumer.incremental_unassign([at])
            elif time.monotonic() > deadline:
                first = pending[0]
                msg = f"broker: {first.topic}/{first.partition} did not answer within {timeout_s:g} s"
                raise Unavailable(msg)
    except KafkaException as error:
        msg = f"broker: {settings.broker} does not answer: {error.args[0].str()}"
        raise Unavailable(msg) from error
    finally:
        consumer.close()
    return ends
