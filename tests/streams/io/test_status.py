from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from confluent_kafka import Consumer, Producer, TopicPartition

from seawall.settings import Settings
from streams.embedded.processes import free_port
from streams.io.clickhouse import connect
from streams.io.offsets import end_offsets
from streams.io.status import read_lag, read_status
from streams.io.topics import create_topics


def _produce(settings: Settings, topic: str, records: int, partition: int = 0) -> None:
    # one batch, since that is where a broker's idea of "latest" may differ
    producer = Producer({"bootstrap.servers": settings.broker, "linger.ms": 1000})
    for _ in range(records):
        producer.produce(settings.topic(topic), b"x", partition=partition)
    assert producer.flush(30) == 0


def test_the_end_of_a_partition_counts_every_record_of_its_last_batch(settings: Settings) -> None:
    create_topics(settings, ["predictions"])
    name = settings.topic("predictions")
    assert end_offsets(settings, [(name, 0)]) == {(name, 0): 0}
    _produce(settings, "predictions", 10)
    assert end_offsets(settings, [(name, 0), (name, 1)]) == {(name, 0): 10, (name, 1): 0}
    _produce(settings, "predictions", 5)
    assert end_offsets(settings, [(name, 0)]) == {(name, 0): 15}


def test_lag_is_what_the_group_has_not_committed(settings: Settings) -> None:
    create_topics(settings, ["predictions", "labels"])
    _produce(settings, "predictions", 10)
    _produce(settings, "predictions", 7, partition=3)
    assert read_lag(settings) == {"predictions": 17, "labels": 0}
    consumer = Consumer({"bootstrap.servers": settings.broker, "group.id": settings.group})
    consumer.commit(offsets=[TopicPartition(settings.topic("predictions"), 0, 4)], asynchronous=False)
    consumer.close()
    assert read_lag(settings) == {"predictions": 13, "labels": 0}


def test_looking_commits_nothing(settings: Settings) -> None:
    create_topics(settings, ["predictions"])
    _produce(settings, "predictions", 10)
    assert read_lag(settings) == read_lag(settings) == {"predictions": 10}


def test_models_alarms_and_current_versions_come_from_the_store(settings: Settings) -> None:
    create_topics(settings)
    client = connect(settings)
    moment = datetime(2026, 1, 2, 3, tzinfo=UTC)
    client.insert(
        "windows", [["m", "2", moment], ["n", "1", moment]], column_names=["model", "version", "end"]
    )
    client.insert(
        "registry_events",
        [["a", "m", "1", "promoted", moment], ["b", "m", "3", "registered", moment]],
        column_names=["event_id", "model", "version", "action", "ts"],
    )
    client.insert(
        "alarms",
        [
            ["a1", "m", "open", 0, "a1"],
            ["a2", "m", "open", 0, ""],
            ["a2", "m", "resolved", 1, ""],
            ["a3", "m", "open", 0, "a1"],
        ],
        column_names=["alarm_id", "model", "state", "revision", "incident_id"],
    )
    client.close()
    status = read_status(settings)
    assert (status.broker, status.store) == ("ok", "ok")
    assert [(m.model, m.version, m.current_version, m.open_alarms) for m in status.models] == [
        ("m", "2", "1", 1),
        ("n", "1", "", 0),
    ]
    assert status.models[0].window_end == "2026-01-02T03:00:00+00:00"
    assert [a.alarm_id for a in status.alarms] == ["a1"]


def test_a_dead_broker_does_not_hide_the_store(settings: Settings) -> None:
    address = f"127.0.0.1:{free_port()}"
    status = read_status(replace(settings, broker=address))
    assert address in status.broker
    assert status.store == "ok"
