"""Put monitors and baselines on the bus, and read back what is there.

Both topics are compacted: the last message of a key is what holds.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from seawall.baseline import Baseline
from seawall.contracts import topics
from seawall.errors import ConfigError, ContractError, Unavailable
from seawall.settings import Settings
from seawall.transport import kafka_config
from seawall.wire import encode

DEADLINE_S = 30.0
#: Room for the batch's own framing around a message of the greatest size.
_FRAMING_BYTES = 64 << 10


def publish_baseline(settings: Settings, baseline: Baseline, *, deadline_s: float = DEADLINE_S) -> None:
    """Publish a baseline under ``model/version``. Blocks until every replica has it.

    Raises
    ------
    Unavailable
        The broker cannot be reached, or did not acknowledge within `deadline_s`. Publishing again
        is harmless.
    ConfigError
        The topic does not exist, or the broker's settings cannot be used.
    ContractError
        The baseline is larger than the topic takes.
    """
    _publish(settings, "baselines", f"{baseline.model}/{baseline.version}", baseline.to_bytes(), deadline_s)


def publish_monitor(settings: Settings, model: str, yaml_text: str, *, deadline_s: float = DEADLINE_S) -> str:
    """Publish a monitor file, verbatim, under its model; returns its SHA-256.

    The caller has checked the file: what is published is what workers use. Fails as `publish_baseline` does.
    """
    sha256 = hashlib.sha256(yaml_text.encode()).hexdigest()
    record = {
        "model": model,
        "yaml": yaml_text,
        "sha256": sha256,
        "published_us": time.time_ns() // 1000,
        "deleted": False,
    }
    _publish(settings, "monitors", model, encode("monitor", record), deadline_s)
    return sha256


def read_latest(settings: Settings, name: str, *, deadline_s: float = DEADLINE_S) -> dict[str, bytes]:
    """Read a control topic of the catalogue from its beginning; returns the last value of every key.

    Raises
    ------
    Unavailable
        The broker cannot be reached, or reading took longer than `deadline_s`.
    ConfigError
        The topic does not exist.
    """
    import confluent_kafka  # noqa: PLC0415 - costs a tenth of a second that most commands need not pay

    deadline = time.monotonic() + deadline_s
    consumer = confluent_kafka.Consumer(
        {
            **kafka_config(settings),
            "group.id": f"{settings.group}-cli",  # demanded by librdkafka; nothing is committed or joined
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "fetch.message.max.bytes": _max_bytes(name),
            "error_cb": _ignore,
            "log_level": 0,  # librdkafka would print every attempt to connect
        }
    )
    try:
        partitions = _partitions(consumer, settings, name, deadline_s)
        ends = {}
        for partition in partitions:
            place = confluent_kafka.TopicPartition(settings.topic(name), partition, 0)
            low, high = consumer.get_watermark_offsets(place, timeout=_left(deadline, settings))
            place.offset = low
            if low < high:
                ends[partition] = (place, high)
        consumer.assign([place for place, _ in ends.values()])
        return _drain(consumer, {p: high for p, (_, high) in ends.items()}, settings, deadline)
    except confluent_kafka.KafkaException as error:
        raise _unreachable(settings, error.args[0]) from error
    finally:
        consumer.close()


def _drain(consumer: Any, ends: dict[int, int], settings: Settings, deadline: float) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    while ends:
        message = consumer.poll(min(0.5, _left(deadline, settings)))
        if message is not None and message.error() is None:
            key = (message.key() or b"").decode(errors="replace")
            if message.value() is None:
                found.pop(key, None)
            else:
                found[key] = message.value()
        # Compaction and transaction markers leave gaps, so the end is a position and not the last message.
        for place in consumer.position(consumer.assignment()):
            if place.partition in ends and place.offset >= ends[place.partition]:
                del ends[place.partition]
    return found


def _publish(settings: Settings, name: str, key: str, value: bytes, deadline_s: float) -> None:
    import confluent_kafka  # noqa: PLC0415 - costs a tenth of a second that most commands need not pay

    largest = _max_bytes(name)
    if len(value) > largest - _FRAMING_BYTES:
        msg = (
            f"{key}: {len(value)} bytes are more than topic {settings.topic(name)} takes ({largest}); "
            "a wider pane makes a baseline smaller"
        )
        raise ContractError(msg)
    deadline = time.monotonic() + deadline_s
    producer = confluent_kafka.Producer(
        {
            **kafka_config(settings),
            "enable.idempotence": True,
            "acks": "all",
            "message.max.bytes": largest,
            "message.timeout.ms": max(1, int(deadline_s * 1000)),
            "compression.type": "lz4",
            "partitioner": "murmur2_random",  # the Java client's, as everywhere in Seawall
            "allow.auto.create.topics": False,
            "error_cb": _ignore,
            "log_level": 0,  # librdkafka would print every attempt to connect
        }
    )
    outcome: list[Any] = []
    try:
        _partitions(producer, settings, name, deadline_s)
        producer.produce(
            settings.topic(name), value, key.encode(), on_delivery=lambda error, _: outcome.append(error)
        )
        producer.flush(_left(deadline, settings))
    except confluent_kafka.KafkaException as error:
        raise _unreachable(settings, error.args[0]) from error
    if not outcome:
        msg = f"broker {settings.broker}: {settings.topic(name)} was not acknowledged within {deadline_s:g} s"
        raise Unavailable(msg)
    if outcome[0] is not None:
        raise _unreachable(settings, outcome[0])


def _partitions(client: Any, settings: Settings, name: str, deadline_s: float) -> list[int]:
    """Ask for the topic first: a broker that is not there says so in seconds, and not after every retry."""
    topic = settings.topic(name)
    metadata = client.list_topics(topic, timeout=min(deadline_s, 10.0)).topics.get(topic)
    if metadata is None or metadata.error is not None or not metadata.partitions:
        why = f" ({metadata.error.str()})" if metadata is not None and metadata.error is not None else ""
        msg = (
            f"topic {topic}: is not on broker {settings.broker}{why}; `seawall up` creates the topics of a "
            "laptop, and schemas/topics.json says what to create elsewhere"
        )
        raise ConfigError(msg)
    return sorted(metadata.partitions)


def _max_bytes(name: str) -> int:
    catalogue: Mapping[str, Any] = topics()
    return int(catalogue[name].max_message_bytes or 1_000_000)


def _left(deadline: float, settings: Settings) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        msg = f"broker {settings.broker}: did not answer in time"
        raise Unavailable(msg)
    return left


def _unreachable(settings: Settings, error: Any) -> Unavailable:
    said = error.str() if hasattr(error, "str") else str(error)
    return Unavailable(f"broker {settings.broker} (SEAWALL_BROKER): cannot be used: {said}")


def _ignore(_error: Any) -> None:
    """Leave connection errors to the exception that the caller gets."""
