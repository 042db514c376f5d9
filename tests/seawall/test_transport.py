"""The Kafka transport: its settings, and a real broker at the other end."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not in its __all__

from seawall import Client, ConfigError, KafkaTransport, Settings
from seawall.frames import Columns, Source, from_record
from seawall.transport import MessageTooLarge, Transport, kafka_config
from seawall.wire import decode
from tests.seawall.frame_strategies import words
from tests.seawall.sdk import HeldTransport

TS = 1_767_225_600_000_000


def test_every_transport_fits_the_protocol() -> None:
    transports: list[Transport] = [HeldTransport(), KafkaTransport(Settings(broker="127.0.0.1:1"))]
    assert all(isinstance(transport, Transport) for transport in transports)


#: Never a hot loop against a broker that refuses.
PACE = {"reconnect.backoff.ms": 2_000, "reconnect.backoff.max.ms": 10_000}


def test_tls_and_sasl_settings_reach_librdkafka() -> None:
    settings = Settings(
        broker="a:1,b:2",
        broker_security="sasl_ssl",
        broker_sasl_mechanism="plain",
        broker_username="who",
        broker_password="word",
        broker_ca_file="/ca",
        broker_cert_file="/cert",
        broker_key_file="/key",
    )
    assert kafka_config(settings) == {
        "bootstrap.servers": "a:1,b:2",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "who",
        "sasl.password": "word",
        "ssl.ca.location": "/ca",
        "ssl.certificate.location": "/cert",
        "ssl.key.location": "/key",
        **PACE,
    }
    assert kafka_config(Settings(broker="a:1")) == {
        "bootstrap.servers": "a:1",
        "security.protocol": "plaintext",
        **PACE,
    }


def test_a_mechanism_that_nobody_knows_is_named() -> None:
    settings = Settings(broker_security="sasl_ssl", broker_sasl_mechanism="GSSAPI", broker_username="who")
    with pytest.raises(ConfigError, match="broker_sasl_mechanism: 'GSSAPI' is unknown, expected SCRAM"):
        kafka_config(settings)


IN_THE_CLEAR = Settings(
    broker_security="sasl_plaintext", broker_sasl_mechanism="PLAIN", broker_username="who"
)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (Settings(broker_security="tls"), "broker_security: 'tls' is unknown"),
        (Settings(broker=" "), "broker: the address is empty"),
        (Settings(broker_security="sasl_ssl"), "broker_username: is empty"),
        (IN_THE_CLEAR, "broker_security: sasl_plaintext with PLAIN sends the password in the clear"),
        (
            Settings(broker_security="ssl", broker_ca_file="/no/such/file"),
            "broker: '127.0.0.1:19092' with these",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_when_the_client_is_made(
    settings: Settings, field: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{field}"):
        Client("m", settings=settings)


def test_a_password_in_the_clear_can_be_permitted() -> None:
    config = kafka_config(replace(IN_THE_CLEAR, broker_allow_insecure=True))
    assert config["security.protocol"] == "sasl_plaintext"


def test_the_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAWALL_BROKER_SECURITY", "nonsense")
    with pytest.raises(ConfigError, match="broker_security: 'nonsense'"):
        Client("m")
    monkeypatch.setenv("SEAWALL_BROKR", "typo")
    with pytest.raises(ConfigError, match="did you mean SEAWALL_BROKER"):
        Client("m")


def test_a_message_larger_than_librdkafka_takes_is_told_apart() -> None:
    transport = KafkaTransport(Settings(broker="127.0.0.1:1"))
    with pytest.raises(MessageTooLarge):
        transport.send("t", b"k", bytes(1 << 20), lambda _error: None)


def test_a_full_queue_has_no_room_and_what_is_abandoned_is_reported() -> None:
    reports: list[str | None] = []
    transport = KafkaTransport(Settings(broker="127.0.0.1:1"), max_queue_bytes=1)
    sent = 0
    while transport.send("t", b"k", bytes(900_000), reports.append):
        sent += 1
        assert sent < 100
    assert sent >= 2
    assert not transport.flush(0.0)
    transport.close(0.0)
    assert len(reports) == sent
    assert None not in reports


def test_a_broker_that_is_away_costs_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with Client("m", broker="127.0.0.1:1") as client:
        client.log_prediction({"a": 1.0})
        assert not client.flush(0.5)
        assert not client.close(0.5)
        assert client.stats().failed == 1
    assert len([r for r in caplog.records if r.name == "seawall.transport"]) == 1


@pytest.fixture
def topics(broker: str) -> Iterator[Settings]:
    """Settings with a prefix whose data topics exist."""
    settings = Settings(broker=broker, topic_prefix=f"sdk{os.getpid()}-{time.monotonic_ns()}.")
    admin = AdminClient({"bootstrap.servers": broker})
    names = [settings.topic(name) for name in ("predictions", "features", "labels")]
    for done in admin.create_topics([NewTopic(name, 4, 1) for name in names]).values():
        done.result(30)
    yield settings
    for done in admin.delete_topics(names).values():
        done.exception(30)


def consume_by_partition(settings: Settings, source: Source, rows: int) -> list[tuple[int, Columns]]:
    """Read frames of a topic, each with its partition, until `rows` rows came."""
    consumer = Consumer(
        {"bootstrap.servers": settings.broker, "group.id": "none", "enable.auto.commit": False}
    )
    topic = settings.topic(source)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(4)])
    frames: list[tuple[int, Columns]] = []
    deadline_s = time.monotonic() + 60
    while sum(f.rows for _, f in frames) < rows and time.monotonic() < deadline_s:
        for message in consumer.consume(100, 1.0):
            assert message.error() is None, message.error()
            _, record = decode(message.value() or b"", (f"{source[:-1]}_frame",))
            assert message.key() == record["frame_id"].encode()
            frames.append((message.partition() or 0, from_record(source, record)))
    consumer.close()
    return frames


def consume(settings: Settings, source: Source, rows: int) -> list[Columns]:
    """Read frames of a topic until `rows` rows came."""
    return [frame for _, frame in consume_by_partition(settings, source, rows)]


@pytest.mark.broker
def test_events_pass_a_real_broker_unchanged(topics: Settings) -> None:
    rng = np.random.default_rng(7)
    delays = rng.normal(size=5000)
    delays[::7] = np.nan
    origins = [None if i % 11 == 0 else f"A{i % 300}é" for i in range(5000)]
    with Client("late-arrival", "7", settings=topics) as client:
        ids = client.log_predictions(
            {"delay": delays, "origin": origins},
            scores=delays / 2,
            ts=TS,
            event_ids=[f"e{i}" for i in range(5000)],
        )
        single = client.log_prediction({"delay": -0.0, "origin": "JFK"}, score=0.5, ts=TS)
        client.log_labels(ids, np.arange(5000) % 2, ts=TS)
        client.log_features({"delay": 1.5}, event_id=single, ts=TS)
        assert client.flush(60)
        assert client.stats().sent == 10_002

    rows: dict[str, tuple[Any, ...]] = {}
    for frame in consume(topics, "predictions", 5001):
        assert (frame.model, frame.version, set(frame.ts.tolist())) == ("late-arrival", "7", {TS})
        columns = (frame.numeric["delay"], frame.scores["score"])
        bits = [np.asarray(c).view(np.int64).tolist() for c in columns]
        rows |= dict(
            zip(
                frame.event_ids or (),
                zip(*bits, words(frame.categorical["origin"]), strict=True),
                strict=True,
            )
        )
    bits = [delays.view(np.int64).tolist(), (delays / 2).view(np.int64).tolist()]
    expected = dict(zip(ids, zip(*bits, origins, strict=True), strict=True))
    expected[single] = (np.float64(-0.0).view(np.int64), np.float64(0.5).view(np.int64), "JFK")
    assert rows == expected
    labels = {
        i: v
        for f in consume(topics, "labels", 5000)
        for i, v in zip(f.event_ids or (), f.numeric["label"].tolist(), strict=True)
    }
    assert labels == {f"e{i}": float(i % 2) for i in range(5000)}
    (features,) = consume(topics, "features", 1)
    assert (features.event_ids, features.numeric["delay"].tolist()) == ([single], [1.5])


@pytest.mark.broker
def test_a_forked_child_has_a_producer_of_its_own(topics: Settings) -> None:
    with Client("m", settings=topics, linger_s=0.01) as client:
        before = client.log_prediction({"a": 1.0})
        assert client.flush(60)
        pending = client.log_prediction({"a": 2.0})
        readable, writable = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                os.write(writable, client.log_prediction({"a": 3.0}).encode())
                status = 0 if client.close(60) and client.stats().sent == 1 else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        theirs = os.read(readable, 100).decode()
        after = client.log_prediction({"a": 4.0})
        assert client.flush(60)
    os.close(readable)
    os.close(writable)
    ids = [i for f in consume(topics, "predictions", 4) for i in f.event_ids or ()]
    assert sorted(ids) == sorted([before, pending, theirs, after])


@pytest.mark.broker
def test_one_hot_model_is_spread_over_the_partitions(topics: Settings) -> None:
    with Client("m", settings=topics) as client:
        threads = [
            threading.Thread(target=client.log_predictions, args=({"a": np.zeros(20_000)},)) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(60)
    frames = consume_by_partition(topics, "predictions", 40_000)
    assert [frame.rows for _, frame in frames] == [2000] * 20
    assert len({partition for partition, _ in frames}) >= 2


@pytest.mark.broker
def test_a_topic_that_does_not_exist_is_not_created(topics: Settings) -> None:
    elsewhere = replace(topics, topic_prefix="nowhere.")
    with Client("m", settings=elsewhere) as client:
        client.log_prediction({"a": 1.0})
        client.flush(0.5)
        client.close(0.5)
        assert client.stats().sent == 0
    admin = AdminClient({"bootstrap.servers": topics.broker})
    assert "nowhere.predictions" not in admin.list_topics(timeout=30).topics
