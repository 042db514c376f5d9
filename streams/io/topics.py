"""Create the catalogue's topics on any Kafka."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from seawall.contracts import Topic, topics
from seawall.errors import ConfigError, Unavailable
from seawall.settings import Settings
from seawall.transport import kafka_config
from streams.io.broker import ask

#: Topics whose partition count is the user's to choose; the others' is part of how the service works.
DATA_TOPICS = frozenset({"predictions", "features", "labels"})
#: Topics whose records must bear the broker's clock, and what comes of it where they bear another.
STAMPED_BY_BROKER = {
    **dict.fromkeys(
        ("predictions", "features", "labels"),
        "records bear their producers' clocks, and one that is ahead closes windows before the others' events come",
    ),
    "summaries": "records bear their workers' clocks, of which one that is ahead tells the time",
}
TIMEOUT_S = 30.0
_STAMPS = "message.timestamp.type"
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LEGAL_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")


@dataclass(frozen=True)
class Created:
    """What `create_topics` found and did; names are those on the broker."""

    created: tuple[str, ...]
    existing: tuple[str, ...]
    without_configs: tuple[str, ...] = ()
    """Created, but the broker refused their configs, so its own defaults hold."""
    stamped_by_clients: tuple[str, ...] = ()
    """There before, with ``message.timestamp.type=CreateTime`` where it must be ``LogAppendTime``."""


def retention_ms(text: str) -> int:
    """Read a retention such as ``7d``; ``forever`` is -1, as Kafka writes it."""
    if text == "forever":
        return -1
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        msg = f"retention: {text!r} is not a time such as 7d, 12h or forever"
        raise ConfigError(msg)
    return int(match.group(1)) * _UNITS_MS[match.group(2)]


def topic_configs(topic: Topic) -> dict[str, str]:
    """Return the Kafka topic configs that the catalogue asks for."""
    configs = {"cleanup.policy": topic.cleanup}
    if topic.cleanup == "delete":
        configs["retention.ms"] = str(retention_ms(topic.retention))
    if topic.name in STAMPED_BY_BROKER:
        configs[_STAMPS] = "LogAppendTime"
    if topic.max_message_bytes:
        configs["max.message.bytes"] = str(topic.max_message_bytes)
    return configs


def partitions(topic: Topic, settings: Settings) -> int:
    """Return how many partitions `topic` gets."""
    if settings.topic_partitions < 0:
        msg = f"SEAWALL_TOPIC_PARTITIONS: {settings.topic_partitions} is negative; 0 takes the catalogue's"
        raise ConfigError(msg)
    return (
        settings.topic_partitions
        if settings.topic_partitions and topic.name in DATA_TOPICS
        else topic.partitions
    )


def client_config(settings: Settings) -> dict[str, Any]:
    """Return librdkafka's connection properties; secrets included, so never log it."""
    return kafka_config(settings)


def create_topics(settings: Settings, names: Iterable[str] | None = None) -> Created:
    """Create the catalogue's topics that do not exist yet, and wait for their leaders; existing ones are left.

    Blocks for up to `TIMEOUT_S`; may be run by several processes at once.

    Raises
    ------
    Unavailable
        The broker does not answer, or refused a topic.
    """
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    catalogue = topics()
    wanted = {
        catalogue[name].full_name(settings.topic_prefix): catalogue[name] for name in names or catalogue
    }
    illegal = [name for name in wanted if not _LEGAL_NAME.match(name)]
    if illegal:
        msg = f"SEAWALL_TOPIC_PREFIX: {settings.topic_prefix!r} may hold letters, digits, '.', '_', '-' only"
        raise ConfigError(msg)
    present = set(ask(settings, TIMEOUT_S).topics)
    admin = AdminClient(client_config(settings) | {"log_level": 0})
    missing = {name: topic for name, topic in wanted.items() if name not in present}
    refused = _create(admin, missing, settings, with_configs=True)
    still_refused = _create(admin, {name: missing[name] for name in refused}, settings, with_configs=False)
    if still_refused:
        name, reason = next(iter(still_refused.items()))
        msg = f"broker: topic {name!r} was refused: {reason}"
        raise Unavailable(msg)
    _await_leaders(admin, {name: partitions(topic, settings) for name, topic in missing.items()})
    existing = tuple(name for name in wanted if name in present)
    ours = [name for name in existing if wanted[name].name in STAMPED_BY_BROKER]
    return Created(tuple(missing), existing, tuple(refused), _stamped_by_clients(admin, ours))


def _stamped_by_clients(admin: Any, names: list[str]) -> tuple[str, ...]:
    """Ask whose clock existing topics' records bear. What the broker does not tell, workers see as they read."""
    from confluent_kafka import KafkaException  # noqa: PLC0415
    from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]  # noqa: PLC0415

    found = []
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    for resource, future in (
        admin.describe_configs(asked, request_timeout=TIMEOUT_S) if asked else {}
    ).items():
        try:
            entry = future.result().get(_STAMPS)
        except KafkaException:
            continue
        if entry is not None and entry.value == "CreateTime":
            found.append(resource.name)
    return tuple(found)


def how_to_stamp(name: str) -> str:
    """Say how a topic, by its name on the broker, comes to bear the broker's clock."""
    return (
        f"topic {name} has {_STAMPS}=CreateTime: its times are its producers' clocks, and one that is ahead makes "
        f"other events late. kafka-configs.sh --alter --entity-type topics --entity-name {name} "
        f"--add-config {_STAMPS}=LogAppendTime"
    )


def _create(
    admin: Any, wanted: dict[str, Topic], settings: Settings, *, with_configs: bool
) -> dict[str, str]:
    """Create topics; return those refused, with the broker's words."""
    from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415
    from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # noqa: PLC0415 - not in its __all__

    if not wanted:
        return {}
    new = [
        NewTopic(
            name,
            partitions(topic, settings),
            settings.topic_replication,
            config=topic_configs(topic) if with_configs else {},
        )
        for name, topic in wanted.items()
    ]
    refused = {}
    for name, future in admin.create_topics(
        new, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S
    ).items():
        try:
            future.result()
        except KafkaException as exception:
            error = exception.args[0]
            # somebody else was quicker: as good as ours
            if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                refused[name] = error.str()
    return refused


def _await_leaders(admin: Any, created: dict[str, int]) -> None:
    """Wait until every partition of topics just created has a leader that answers.

    Apache Kafka's controller says "created" before its brokers have heard of it (KRaft), and who asks them too
    early is told that there is no such topic.
    """
    from confluent_kafka import KafkaException, TopicPartition  # noqa: PLC0415
    from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]  # noqa: PLC0415

    deadline = time.monotonic() + TIMEOUT_S
    earliest = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # upstream's omission
    asked = {TopicPartition(name, p): earliest for name, count in created.items() for p in range(count)}
    reason = "no answer"
    while asked:
        try:
            admin.list_topics(timeout=2.0)  # librdkafka remembers for long that it did not know a topic
            for partition, future in admin.list_offsets(asked, request_timeout=2.0).items():
                try:
                    future.result()
                    asked.pop(partition)
                except KafkaException as exception:
                    reason = f"{partition.topic}/{partition.partition}: {exception.args[0].str()}"
        except KafkaException as exception:
            reason = exception.args[0].str()
        if asked and time.monotonic() > deadline:
            msg = f"broker: {len(asked)} partitions of new topics have no leader after {TIMEOUT_S:g} s: {reason}"
            raise Unavailable(msg)
        if asked:
            time.sleep(0.1)
