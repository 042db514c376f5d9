"""A topic's id, as a real broker gives it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from seawall.settings import Settings
from seawall.transport import kafka_config
from streams.embedded.processes import free_port, wait_until
from streams.io.topic_ids import TopicIds
from streams.io.topics import create_topics


def test_a_topic_that_is_made_again_has_another_id(settings: Settings) -> None:
    create_topics(settings, ["predictions", "labels"])
    name, other = settings.topic("predictions"), settings.topic("labels")
    ids = TopicIds(settings)
    before = ids.ask([name, other])
    assert before[name]
    assert before[other] not in {"", before[name]}
    assert TopicIds(settings).ask([name, other]) == before, "whoever asks"

    client = AdminClient({**kafka_config(settings), "log_level": 0})
    client.delete_topics([name], operation_timeout=20)[name].result()
    assert wait_until(lambda: name not in ids.ask([name]), 20), "one that is not there has none"

    def is_made() -> bool:
        try:
            return name in create_topics(settings, ["predictions"]).created
        except KafkaException:
            return False

    assert wait_until(is_made, 20)
    assert wait_until(lambda: ids.ask([name]).get(name, before[name]) != before[name], 20)
    assert ids.ask([other]) == {other: before[other]}


def test_threads_that_ask_at_once_are_all_answered(settings: Settings) -> None:
    create_topics(settings, ["predictions"])
    name = settings.topic("predictions")
    with ThreadPoolExecutor(3) as threads:
        for _ in range(10):
            ids = TopicIds(settings)
            answers = list(threads.map(ids.ask, [[name]] * 3))
            assert all(answers)
            assert len({answer[name] for answer in answers}) == 1


def test_a_broker_that_is_away_says_nothing() -> None:
    assert TopicIds(replace(Settings(), broker=f"127.0.0.1:{free_port()}")).ask(["predictions"]) == {}
