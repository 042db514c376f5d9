"""TLS and SASL/SCRAM against Apache Kafka: what is right works throughout, what is wrong is one sentence."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka.admin import AdminClient

import seawall
from seawall.build import build_baseline
from seawall.errors import ConfigError, Unavailable
from seawall.publish import publish_baseline, publish_monitor
from seawall.settings import Settings
from seawall.transport import kafka_config
from streams.embedded.processes import child_env, wait_until
from streams.embedded.stack import running_stack
from streams.io.broker import ask
from streams.io.clickhouse import Store
from streams.io.kafka import make_app
from tests.kafka.certificates import Authority, make_authority
from tests.kafka.cluster import Kafka, Listener, missing_tools
from tests.streams.core.builders import MINUTE, T0

pytestmark = [pytest.mark.kafka, pytest.mark.skipif(bool(missing_tools()), reason=missing_tools() or "never")]

PASSWORD = "canary-right-7f3a"
WRONG = "canary-wrong-91cc"
MONITOR = "model: m\nwindows: {pane: 1m, horizons: [5m], min_rows: 20}\nnotify: [log]\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def kafka(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    good = authority.issue("good").bundle
    listeners = {
        "SCRAM": Listener("SASL_SSL", good),
        "MUTUAL": Listener("SSL", good, trusts=authority.file),
        "EXPIRED": Listener("SASL_SSL", authority.issue("expired", days=-1).bundle),
        "ALIEN": Listener("SASL_SSL", authority.issue("alien", host="elsewhere.example").bundle),
    }
    running = Kafka(tmp_path_factory.mktemp("kafka"), listeners, {"seawall": PASSWORD})
    running.start()
    yield running
    running.stop()


@pytest.fixture
def secured(kafka: Kafka, authority: Authority) -> Settings:
    return Settings(
        broker=kafka.address("SCRAM", "localhost"),
        broker_security="sasl_ssl",
        broker_username="seawall",
        broker_password=PASSWORD,
        broker_ca_file=str(authority.file),
    )


def mutual(kafka: Kafka, authority: Authority) -> Settings:
    client = authority.issue("client")
    return Settings(
        broker=kafka.address("MUTUAL", "localhost"),
        broker_security="SSL",
        broker_ca_file=str(authority.file),
        broker_cert_file=str(client.certificate),
        broker_key_file=str(client.key),
    )


def loop_counts(settings: Settings, folder: Path) -> None:
    """Events go from the SDK through a worker into the store."""
    rng = np.random.default_rng(1)
    ts = T0 - (np.arange(2000, dtype=np.int64) + 1) * MINUTE
    own = replace(settings, replay=True, idle_timeout_s=1.5, publish_interval_s=0.3)
    with running_stack(folder, settings=own, own_broker=False) as stack:
        baseline = build_baseline(
            {"x": rng.normal(size=2000)}, model="m", version="v1", ts=ts, scores=rng.random(2000)
        )
        publish_baseline(stack.settings, baseline)
        publish_monitor(stack.settings, "m", MONITOR)
        with seawall.Client("m", "v1", settings=stack.settings) as client:
            client.log_predictions({"x": rng.normal(size=500)}, ts=T0 + np.arange(500) * 1_000_000, wait_s=10)
            assert client.flush(30)
        store = Store(stack.settings)
        sql = "SELECT sum(rows) AS n FROM windows FINAL WHERE segment = '' AND horizon_us = %(p)s"
        assert wait_until(lambda: store.query(sql, {"p": MINUTE})[0]["n"] == 500, 90), stack.worker_log()
    for log in (folder / "logs").iterdir():
        assert PASSWORD not in log.read_text(encoding="utf-8", errors="replace"), log


def test_the_whole_loop_runs_over_tls_with_a_scram_password(secured: Settings, tmp_path: Path) -> None:
    loop_counts(replace(secured, topic_prefix="scram.", group="scram"), tmp_path)


def test_the_whole_loop_runs_with_a_client_certificate(
    kafka: Kafka, authority: Authority, tmp_path: Path
) -> None:
    loop_counts(replace(mutual(kafka, authority), topic_prefix="mutual.", group="mutual"), tmp_path)


def wrong_settings(secured: Settings, kafka: Kafka, fault: str) -> Settings:
    return {
        "password": replace(secured, broker_password=WRONG),
        "expired": replace(secured, broker=kafka.address("EXPIRED", "localhost")),
        "host": replace(secured, broker=kafka.address("ALIEN", "localhost")),
        "authority": replace(secured, broker_ca_file=""),
    }[fault]


FAULTS = {
    "password": "invalid credentials with SASL mechanism SCRAM-SHA-512",
    "expired": "its certificate is not accepted: certificate has expired",
    "host": "its certificate is not accepted: Hostname mismatch, certificate is not valid for 'localhost'",
    "authority": "its certificate is not accepted: ",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_worker_that_is_refused_says_why_in_one_line_and_ends(
    fault: str, secured: Settings, kafka: Kafka, tmp_path: Path
) -> None:
    settings = replace(wrong_settings(secured, kafka, fault), data_dir=str(tmp_path))
    started_s = time.monotonic()
    worker = subprocess.run(
        [sys.executable, "-P", "-m", "seawall", "worker"],
        env=child_env(settings.to_env()),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = worker.stdout + worker.stderr
    assert worker.returncode != 0
    assert time.monotonic() - started_s < 30
    errors = [
        line for line in said.splitlines() if "ERROR" in line or "seawall:" in line or "Traceback" in line
    ]
    assert len(errors) == 1, said
    assert FAULTS[fault] in errors[0]
    assert settings.broker in errors[0]
    assert PASSWORD not in said
    assert WRONG not in said


def attempts(kafka: Kafka) -> int:
    """How often the broker has refused a password so far; it logs every time."""
    text = kafka.child.log_file.read_text(encoding="utf-8", errors="replace") if kafka.child else ""
    return text.count("Failed authentication with")


def test_a_wrong_password_is_tried_a_few_times_only(secured: Settings, kafka: Kafka) -> None:
    before = attempts(kafka)
    with pytest.raises(Unavailable, match="invalid credentials"):
        ask(replace(secured, broker_password=WRONG), 10.0)
    assert 1 <= attempts(kafka) - before <= 3


def test_the_sdk_tries_a_wrong_password_about_once_a_second(
    secured: Settings, kafka: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    before, started_s = attempts(kafka), time.monotonic()
    client = seawall.Client("m", "v1", settings=replace(secured, broker_password=WRONG))
    client.log_prediction({"x": 1.0})
    client.flush(6.0)
    client.close(0.1)
    # One at once, then one a second; twice that is still no hot loop, which would be hundreds.
    assert 1 <= attempts(kafka) - before <= 2 * (1 + time.monotonic() - started_s)
    assert sum("invalid credentials" in record.getMessage() for record in caplog.records) == 1
    assert WRONG not in caplog.text


def test_a_password_is_never_sent_in_the_clear_unless_that_is_permitted(secured: Settings) -> None:
    clear = replace(secured, broker_security="sasl_plaintext", broker_sasl_mechanism="PLAIN")
    for use in (kafka_config, make_app):
        with pytest.raises(ConfigError, match="sends the password in the clear") as refusal:
            use(clear)
        assert PASSWORD not in str(refusal.value)
        use(replace(clear, broker_allow_insecure=True))


def test_settings_can_be_shown_without_their_secrets(secured: Settings) -> None:
    assert PASSWORD not in repr(secured)


def test_names_of_protocols_may_be_written_in_capitals(secured: Settings) -> None:
    capitals = replace(secured, broker_security="SASL_SSL", broker_sasl_mechanism="scram-sha-512")
    assert ask(capitals, 20.0).brokers
    assert make_app(capitals).conf.broker_credentials.protocol.value == "SASL_SSL"
    assert AdminClient(kafka_config(capitals)).list_topics(timeout=20).brokers
