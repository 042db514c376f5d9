"""The stack as tests and the demo use it, and what a second start remembers."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from seawall.errors import Unavailable
from seawall.settings import Settings
from seawall.wire import decode, encode
from streams.agents.results import Sink
from streams.core.alarm_steps import AlarmStep, Culprit
from streams.embedded.page import HealthPage, render
from streams.embedded.processes import free_port, wait_until
from streams.embedded.running import Running, is_held, is_same, started_at
from streams.embedded.stack import Stack, running_stack
from streams.io.clickhouse import connect
from streams.io.metrics import Metrics
from streams.io.migrate import read_migrations
from streams.io.offsets import end_offsets
from streams.io.status import Alarm, Model, Status

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MOMENT_US = int(MOMENT.timestamp()) * 1_000_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Shared by the tests that leave it running."""
    with running_stack(tmp_path_factory.mktemp("stack"), workers=0) as running:
        yield running


def _read(settings: Settings, topic: str, partition: int = 0) -> list[Message]:
    name = settings.topic(topic)
    end = end_offsets(settings, [(name, partition)])[name, partition]
    consumer = Consumer(
        {"bootstrap.servers": settings.broker, "group.id": "test", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(name, partition, 0)])
    messages: list[Message] = []
    while len(messages) < end:
        messages += consumer.consume(100, 1.0)
    consumer.close()
    return messages


def test_a_second_start_gives_the_fresh_broker_what_the_store_remembers(tmp_path: Path) -> None:
    event = {"event_id": "e1", "model": "late-arrival", "version": "2", "action": "promoted", "ts": 1}
    with running_stack(tmp_path, workers=0) as first:
        rows = [
            ["monitors", "late-arrival", base64.b64encode(b"\xc3\x01\x00 one").decode(), MOMENT],
            ["baselines", "late-arrival/2", base64.b64encode(b"x" * 3_000_000).decode(), MOMENT],
            ["monitors", "deleted", "", MOMENT],
            ["registry", "e1", base64.b64encode(encode("registry_event", event)).decode(), MOMENT],
        ]
        client = connect(first.settings)
        client.insert("control", rows, column_names=["topic", "key", "payload", "published"])
        client.close()
        epoch = first.settings.log_epoch
    with running_stack(tmp_path, workers=0) as second:
        (monitor,) = _read(second.settings, "monitors")
        assert (monitor.key(), monitor.value()) == (b"late-arrival", b"\xc3\x01\x00 one")
        assert monitor.timestamp()[1] == int(MOMENT.timestamp() * 1000)
        (baseline,) = _read(second.settings, "baselines")
        assert len(baseline.value() or b"") == 3_000_000
        (registry,) = _read(second.settings, "registry")
        assert registry.key() == b"late-arrival"
        assert second.settings.log_epoch > epoch


def test_an_alarm_that_was_open_when_the_broker_ended_is_ended_where_it_was_told(tmp_path: Path) -> None:
    """Its deciders' state was in the broker's log: nothing else would ever end it."""
    opened = AlarmStep(
        alarm_id="a1",
        model="late-arrival",
        version="2",
        segment="",
        kind="drift",
        state="open",
        severity="error",
        revision=3,
        opened_us=MOMENT_US,
        updated_us=MOMENT_US + 7_200_000_000,
        resolved_us=None,
        summary="dep_delay has moved",
        window_start_us=MOMENT_US - 3_600_000_000,
        window_end_us=MOMENT_US,
        horizon_us=3_600_000_000,
        rows=10,
        features=(Culprit("dep_delay", "feature", "js", 0.3, 0.1, 0.02, "mean 12 to 48"),),
        attribution="unknown",
        attribution_why="",
        notify=("log",),
        only_in=("origin=JFK",),
        onset_us=MOMENT_US,
    )
    steps = [
        opened,
        replace(opened, alarm_id="a2"),
        replace(opened, alarm_id="a2", state="resolved", revision=4, resolved_us=MOMENT_US),
    ]
    with running_stack(tmp_path, workers=0) as first:
        sink = Sink(SimpleNamespace(settings=first.settings), "alarms", Metrics())  # type: ignore[arg-type]  # enough
        for name, parts in sink.tables(
            SimpleNamespace(value=encode("alarm", step.to_record(MOMENT_US)), offset=i)
            for i, step in enumerate(steps)
        ).items():
            for part, rows in enumerate(parts):
                sink.store.insert(name, rows, str(part))
        told = [["a1", "slack:#ml", r, "delivered", MOMENT] for r in range(2)]
        first_client = connect(first.settings)
        first_client.insert(
            "notifications", told, column_names=["alarm_id", "receiver", "revision", "outcome", "sent"]
        )
        first_client.close()
    with running_stack(tmp_path, workers=0) as second:
        (message,) = (m for partition in range(4) for m in _read(second.settings, "alarms", partition))
        ended = AlarmStep.from_record(decode(message.value() or b"", ("alarm",))[1])
        assert message.key() == b"a1"
        assert (ended.alarm_id, ended.state, ended.revision) == ("a1", "resolved", 4)
        assert ended.resolved_us == opened.updated_us
        assert ended.notify == ("slack:#ml",)
        assert "resolved at 2026-01-02 05:04 UTC after 2h: the log of the broker began anew" in ended.summary
        assert (ended.features, ended.only_in, ended.onset_us) == (
            opened.features,
            opened.only_in,
            opened.onset_us,
        )


def test_what_is_remembered_is_found_by_a_reader_that_asks_for_the_latest_offset(tmp_path: Path) -> None:
    with running_stack(tmp_path, workers=0) as first:
        rows = [["monitors", f"model-{i}", base64.b64encode(b"x").decode(), MOMENT] for i in range(20)]
        client = connect(first.settings)
        client.insert("control", rows, column_names=["topic", "key", "payload", "published"])
        client.close()
    with running_stack(tmp_path, workers=0) as second:
        consumer = Consumer({"bootstrap.servers": second.settings.broker, "group.id": "test"})
        place = TopicPartition(second.settings.topic("monitors"), 0)
        assert consumer.get_watermark_offsets(place, timeout=10) == (0, 20)
        consumer.close()


def test_workers_are_started_stopped_and_killed_one_by_one(stack: Stack) -> None:
    pid = stack.start_worker(0)
    assert is_same(Running("worker-0", pid, started_at(pid)))
    stack.kill_worker(0)
    assert not started_at(pid)
    assert stack.start_worker(0) != pid
    stack.stop_worker(0)


def test_a_store_that_is_killed_is_started_again_with_back_off(stack: Stack) -> None:
    supervisor, said = stack.supervisor, []
    supervisor.say = lambda kind, text: said.append((kind, text))
    now = [supervisor.clock()]
    supervisor.clock = lambda: now[0]
    os.kill(supervisor.pid("store"), 9)
    assert wait_until(lambda: not supervisor.is_alive("store"), 10.0)
    supervisor.watch()
    assert "starting it again in 0.5 s" in said[-1][1]
    supervisor.watch()
    assert not supervisor.is_alive("store")
    now[0] += 0.6
    supervisor.watch()
    assert supervisor.is_alive("store")
    client = connect(stack.settings)
    assert client.command("SELECT count() FROM schema_migrations") == len(read_migrations())
    client.close()


def test_the_brokers_memory_is_mentioned_once_per_doubling(stack: Stack) -> None:
    said: list[str] = []
    stack.supervisor.say = lambda kind, text: said.append(text)
    stack.supervisor.memory_warning_bytes = 1
    stack.supervisor.watch()
    stack.supervisor.watch()
    assert len(said) == 1
    assert "deletes nothing" in said[0]


def test_a_second_stack_in_the_same_folder_is_refused_with_the_firsts_pid(stack: Stack) -> None:
    assert is_held(stack.settings.data_path)
    with (
        pytest.raises(Unavailable, match=f"already running .*pid {os.getpid()}"),
        running_stack(stack.settings.data_path, workers=0),
    ):
        pass


def test_a_start_that_fails_half_way_leaves_nothing_running(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "store").write_text("a file where the store wants its folder")
    with pytest.raises(Unavailable, match="store"), running_stack(tmp_path / "data", workers=0):
        pass
    assert not is_held(tmp_path / "data")


def test_the_page_shows_what_is_known_and_escapes_it() -> None:
    alarm = Alarm("a", "<m>", "2", "drift", "page", "2026-01-01T00:00:00+00:00", "<script>alert(1)</script>")
    model = Model("<m>", "2", "", "2026-01-01T00:00:00+00:00", 1)
    page = render(Status("now", lag={"predictions": 3}, models=[model], alarms=[alarm]))
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "<td class=number>3</td>" in page


def test_the_page_names_its_port_when_it_is_taken() -> None:
    port = free_port()
    first = HealthPage(port, lambda: Status("now"))
    first.start()
    try:
        with pytest.raises(Unavailable, match=f"port {port} is in use.*SEAWALL_HEALTH_PORT"):
            HealthPage(port, lambda: Status("now")).start()
    finally:
        first.stop()
