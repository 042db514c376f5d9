"""What a group assigns on Apache Kafka when its leader has not heard of the topics.

The embedded broker cannot go away and come back, and a leader that joins again is given its old assignment there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient

from seawall.settings import Settings
from streams.io.kafka import make_app
from streams.io.topics import create_topics
from tests.conftest import TEST_BROKER
from tests.kafka.cluster import Kafka, missing_tools

pytestmark = [pytest.mark.kafka, pytest.mark.skipif(bool(missing_tools()), reason=missing_tools() or "never")]


@pytest.fixture
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = Settings(topic_prefix="group.", group="group")
    if TEST_BROKER == "kafka":
        yield replace(settings, broker=request.getfixturevalue("broker"))
        return
    kafka = Kafka(tmp_path_factory.mktemp("kafka"))
    kafka.start()
    yield replace(settings, broker=kafka.address())
    kafka.stop()


async def test_a_leader_that_lost_the_answer_about_topics_assigns_them_within_seconds(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_topics(own)
    app = make_app(own)
    consumer: Any = app.runs._new_consumer_thread()._create_worker_consumer(app.transport)
    heard, is_lost = AIOKafkaClient._metadata_update, True

    async def update(client: Any, cluster: Any, topics: Any) -> Any:
        # As when the broker went away after it was first asked, which tells of no topics, and came back.
        return False if is_lost else await heard(client, cluster, topics)

    monkeypatch.setattr(AIOKafkaClient, "_metadata_update", update)
    await consumer.start()
    try:
        consumer.subscribe([own.topic("predictions")])
        async with asyncio.timeout(30):
            while consumer._coordinator.generation < 0 or not consumer._subscription.subscription.assignment:
                await asyncio.sleep(0.05)
        assert consumer.assignment() == set()
        is_lost = False
        async with asyncio.timeout(15):
            while not consumer.assignment():
                await asyncio.sleep(0.1)
    finally:
        await consumer.stop()
