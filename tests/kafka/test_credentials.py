"""Credentials that go bad while a worker runs, on Apache Kafka: one sentence, no hot loop, and nothing is lost."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from seawall.settings import Settings
from streams.embedded.stack import Stack, running_stack
from streams.io.clickhouse import Store
from tests.e2e.produce import append, singles
from tests.e2e.test_loop import until
from tests.kafka.certificates import Authority, make_authority
from tests.kafka.cluster import Kafka, Listener, missing_tools

pytestmark = [pytest.mark.kafka, pytest.mark.skipif(bool(missing_tools()), reason=missing_tools() or "never")]

USER, PASSWORD, ROTATED = "seawall", "canary-first-3be1", "canary-second-77d0"
#: The broker hangs up on clients that have not authenticated anew for so long, as rotation wants it.
REAUTHENTICATE_MS = 3_000
LIVELY = Settings(
    replay=True, idle_timeout_s=1.5, publish_interval_s=0.3, save_interval_s=1.0, chunk_bytes=2_000
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def kafka(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker whose certificate and trust are files of their own, which a test may change."""
    folder = tmp_path_factory.mktemp("kafka")
    shown = folder / "shown.pem"
    trusted = folder / "trusted.pem"
    shutil.copy(authority.issue("good").bundle, shown)
    shutil.copy(authority.file, trusted)
    running = Kafka(
        folder,
        {"SCRAM": Listener("SASL_SSL", shown), "MUTUAL": Listener("SSL", shown, trusts=trusted)},
        {USER: PASSWORD},
        {"listener.name.scram.scram-sha-512.connections.max.reauth.ms": REAUTHENTICATE_MS},
    )
    running.start()
    yield running
    running.stop()


def scram(kafka: Kafka, authority: Authority) -> Settings:
    return replace(
        LIVELY,
        broker=kafka.address("SCRAM", "localhost"),
        broker_security="sasl_ssl",
        broker_username=USER,
        broker_password=PASSWORD,
        broker_ca_file=str(authority.file),
    )


def mutual(kafka: Kafka, authority: Authority) -> Settings:
    client = authority.issue("client")
    return replace(
        LIVELY,
        broker=kafka.address("MUTUAL", "localhost"),
        broker_security="ssl",
        broker_ca_file=str(authority.file),
        broker_cert_file=str(client.certificate),
        broker_key_file=str(client.key),
    )


def set_password(kafka: Kafka, password: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.address()})
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    for done in admin.alter_user_scram_credentials(
        [UserScramCredentialUpsertion(USER, info, password.encode())]
    ).values():
        done.result(20)


def restart_with(kafka: Kafka, file: str, source: Path) -> None:
    """Give the broker another certificate, or others to trust, as a rotation does: the file, and a start."""
    kafka.stop()
    shutil.copy(source, kafka.directory / file)
    kafka.start()


class Traffic:
    """Events by a door that nobody closes, and how many of them are stored."""

    def __init__(self, kafka: Kafka, stack: Stack) -> None:
        self.plain = replace(stack.settings, broker=kafka.address(), broker_security="plaintext")
        self.store = Store(stack.settings)
        self.sent = 0

    def send(self, count: int = 100) -> None:
        values = singles(self.sent, self.sent + count)
        for partition in range(4):
            append(self.plain, "predictions", partition, values[partition::4])
        self.sent += count

    def all_counted(self) -> bool:
        sql = "SELECT sum(rows) AS n FROM windows FINAL WHERE segment = '' AND horizon_us = 60000000"
        return int(self.store.query(sql)[0]["n"]) == self.sent


def goes_bad_and_comes_good(
    kafka: Kafka,
    settings: Settings,
    folder: Path,
    bad: Callable[[], None],
    good: Callable[[], None],
    why: str,
) -> None:
    """A worker that is refused says why and ends; started again with what is right, it has counted everything."""
    with running_stack(folder, settings=settings, own_broker=False) as stack:
        traffic = Traffic(kafka, stack)
        traffic.send()
        until(traffic.all_counted, "the first events")
        worker = stack.supervisor._slots["worker-0"].child.process
        heard = len(stack.worker_log())
        bad()
        traffic.send()
        until(lambda: not stack.supervisor.is_alive("worker-0"), "the worker to end", 60)
        assert worker.returncode == 1
        said = stack.worker_log()[heard:].splitlines()
        ours = [line for line in said if "streams.agents.worker" in line]
        assert len(ours) == 1, said
        assert f"broker: {settings.broker} does not answer" in ours[0]
        assert why in ours[0]
        assert len(said) < 30, "\n".join(said)
        assert "Traceback" not in "\n".join(said)
        traffic.send()
        stack.supervisor.watch()
        good()

        def runs_again() -> bool:
            stack.supervisor.watch()
            return traffic.all_counted()

        until(runs_again, f"{traffic.sent} events, counted once", 90)
    for log in (folder / "logs").iterdir():
        text = log.read_text(encoding="utf-8", errors="replace")
        assert PASSWORD not in text, log
        assert ROTATED not in text, log


def attempts(kafka: Kafka) -> int:
    """How often the broker has refused a password so far; it logs every time."""
    text = kafka.child.log_file.read_text(encoding="utf-8", errors="replace") if kafka.child else ""
    return text.count("Failed authentication with")


def test_a_worker_whose_password_was_changed_says_so_and_ends_and_loses_nothing(
    kafka: Kafka, authority: Authority, tmp_path: Path
) -> None:
    before, began_s = attempts(kafka), 0.0

    def change() -> None:
        nonlocal began_s
        began_s = time.monotonic()
        set_password(kafka, ROTATED)

    def change_back() -> None:
        # Each of the worker's few clients a second apart, and twice that for a slow machine; it was hundreds.
        assert 1 <= attempts(kafka) - before <= 6 * (1 + time.monotonic() - began_s)
        set_password(kafka, PASSWORD)

    settings = replace(scram(kafka, authority), topic_prefix="password.", group="password")
    goes_bad_and_comes_good(
        kafka,
        settings,
        tmp_path,
        change,
        change_back,
        "invalid credentials with SASL mechanism SCRAM-SHA-512",
    )


def test_a_worker_whose_brokers_certificate_ran_out_says_so_and_ends_and_loses_nothing(
    kafka: Kafka, authority: Authority, tmp_path: Path
) -> None:
    expired = authority.issue("expired", days=-1).bundle
    settings = replace(scram(kafka, authority), topic_prefix="expired.", group="expired")
    goes_bad_and_comes_good(
        kafka,
        settings,
        tmp_path,
        lambda: restart_with(kafka, "shown.pem", expired),
        lambda: restart_with(kafka, "shown.pem", authority.folder / "good.bundle"),
        "its certificate is not accepted: certificate has expired",
    )


def test_a_worker_whose_own_certificate_is_believed_no_more_says_so_and_ends_and_loses_nothing(
    kafka: Kafka, authority: Authority, tmp_path: Path
) -> None:
    stranger = make_authority(tmp_path / "stranger")
    settings = replace(mutual(kafka, authority), topic_prefix="own.", group="own")
    goes_bad_and_comes_good(
        kafka,
        settings,
        tmp_path / "stack",
        lambda: restart_with(kafka, "trusted.pem", stranger.file),
        lambda: restart_with(kafka, "trusted.pem", authority.file),
        "our certificate is not accepted: certificate unknown",
    )


def test_a_broker_that_hangs_up_to_be_authenticated_anew_costs_nothing(
    kafka: Kafka, authority: Authority, tmp_path: Path
) -> None:
    settings = replace(scram(kafka, authority), topic_prefix="anew.", group="anew")
    with running_stack(tmp_path, settings=settings, own_broker=False) as stack:
        traffic, end_s = Traffic(kafka, stack), time.monotonic() + 4 * REAUTHENTICATE_MS / 1000
        while time.monotonic() < end_s:
            traffic.send()
        until(traffic.all_counted, f"{traffic.sent} events, counted once")
        assert stack.supervisor.is_alive("worker-0")
