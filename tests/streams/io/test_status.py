from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from seawall.build import build_baseline
from seawall.monitor import MonitorSpec
from seawall.settings import Settings
from seawall.wire import encode
from streams.agents.results import _MAKERS
from streams.core.learning import too_short
from streams.embedded.processes import free_port
from streams.io.baseline_notes import baseline_notes
from streams.io.clickhouse import Store, connect
from streams.io.offsets import end_offsets
from streams.io.status import read_lag, read_status
from streams.io.topics import create_topics
from tests.streams.core.builders import T0


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


def remember(settings: Settings, topic: str, key: str, payload: bytes) -> None:
    """Put a control record where the workers' sink puts it."""
    record = SimpleNamespace(value=payload, key=key.encode(), offset=0, timestamp=1)
    sink = SimpleNamespace(topic=topic)
    for table, rows in _MAKERS[topic](sink, record):  # type: ignore[arg-type]
        Store(settings).insert(table, rows, f"test|{topic}|{key}")


def test_a_baseline_that_is_too_short_for_a_horizon_is_told_as_check_tells_it(settings: Settings) -> None:
    create_topics(settings)
    rng = np.random.default_rng(0)
    pane = 60_000_000
    spec = MonitorSpec("m", horizons_us=(5 * pane,))
    baseline = build_baseline(
        {"x": rng.normal(size=4000)}, model="m", version="1", ts=T0 + np.arange(4000, dtype=np.int64) * pane
    )
    yaml = "model: m\nwindows: {horizons: [5m]}\n"
    monitor = {"model": "m", "yaml": yaml, "sha256": "", "published_us": 1, "deleted": False}
    remember(settings, "monitors", "m", encode("monitor", monitor))
    remember(settings, "baselines", "m/1", baseline.to_bytes())
    client = connect(settings)
    moment = datetime(2026, 1, 2, 3, tzinfo=UTC)
    client.insert(
        "windows", [["m", "1", moment], ["n", "1", moment]], column_names=["model", "version", "end"]
    )
    expected = [f"m 1: {said}" for said in too_short(baseline, spec)]
    assert len(expected) == 1
    assert "would do" in expected[0]
    assert read_status(settings).notes == expected
    (left,) = baseline_notes(client, {"m": "1", "n": "1"}, patience_s=0.0)
    assert left.startswith("1 baselines more were not looked at")
    client.close()
