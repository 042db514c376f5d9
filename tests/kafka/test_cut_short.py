"""A log that ends before what is committed, on Apache Kafka: a restored copy, or what an unclean leader election leaves."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from seawall.settings import Settings
from seawall.transport import kafka_config
from streams.embedded.stack import Stack, running_stack
from streams.io.clickhouse import Store
from tests.conftest import TEST_BROKER
from tests.e2e.produce import append, committed, singles
from tests.e2e.test_loop import counted, until
from tests.kafka.cluster import Kafka, missing_tools

pytestmark = [pytest.mark.kafka, pytest.mark.skipif(bool(missing_tools()), reason=missing_tools() or "never")]


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    own = Settings(
        topic_prefix="short.",
        group="short",
        replay=True,
        idle_timeout_s=1.5,
        publish_interval_s=0.3,
        save_interval_s=1.0,
        chunk_bytes=10_000,
    )
    if TEST_BROKER == "kafka":
        yield replace(own, broker=request.getfixturevalue("broker"))
        return
    kafka = Kafka(tmp_path_factory.mktemp("kafka"))
    kafka.start()
    yield replace(own, broker=kafka.address())
    kafka.stop()


def commit(settings: Settings, partition: int, offset: int) -> None:
    """Say where the group, which has no member, reads on: as ``kafka-consumer-groups.sh --reset-offsets`` does."""
    consumer = Consumer({**kafka_config(settings), "group.id": settings.group, "enable.auto.commit": False})
    at = TopicPartition(settings.topic("predictions"), partition, offset)

    def is_done() -> bool:
        try:
            consumer.commit(offsets=[at], asynchronous=False)
        except KafkaException:
            return False  # a member that went away may still count as one
        return committed(settings, "predictions", partition) == offset

    until(is_done, "the group's offset to be set")
    consumer.close()


def stopped(stack: Stack) -> list[str]:
    """What the worker's page says is stopped, once there is one."""
    url = f"http://127.0.0.1:{stack.settings.worker_health_port}/health"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return list(json.load(answer)["stopped"])
    except OSError:
        return []


def test_a_log_that_ends_before_what_is_committed_is_stopped_and_counted_once_a_person_says_where(
    settings: Settings, tmp_path: Path
) -> None:
    with running_stack(tmp_path, workers=0, settings=settings, own_broker=False) as stack:
        settings, store = stack.settings, Store(stack.settings)
        stack.start_worker()
        append(settings, "predictions", 0, singles(0, 500))
        append(settings, "predictions", 1, singles(500, 600))
        until(lambda: counted(store) == 600, "the events")
        stack.stop_worker()
        commit(settings, 0, 10_000)
        append(settings, "predictions", 0, singles(600, 700))
        append(settings, "predictions", 1, singles(700, 800))
        stack.start_worker()
        until(lambda: bool(stopped(stack)), "the partition to be stopped")
        (why,) = stopped(stack)
        assert why.startswith("predictions/0 is stopped: its log ends at offset 600, before offset 10000, ")
        assert why in stack.worker_log()
        until(lambda: counted(store) == 700, "the other partition to be counted on")
        assert committed(settings, "predictions", 0) == 10_000

        stack.stop_worker()
        commit(settings, 0, 500)
        stack.supervisor.settings = replace(settings, log_epoch=settings.log_epoch + 1)
        stack.start_worker()
        append(settings, "predictions", 0, singles(800, 900))
        until(lambda: counted(store) >= 900, "what the partition held")
        assert counted(store) == 900
        assert not stopped(stack)
