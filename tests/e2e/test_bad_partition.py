"""A partition of which nothing can be read: it is stopped and paged, while the others are counted."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from seawall.cli import main
from seawall.settings import Settings
from streams.embedded.stack import Stack, running_stack
from streams.io.clickhouse import Store
from tests.e2e.produce import append, committed, singles
from tests.e2e.test_loop import until

pytestmark = pytest.mark.e2e
POISON = b"\xc3\x01\x00\x11\x22\x33\x44\x55\x66\x77not an event"
STARTED = replace(
    Settings(),
    replay=True,
    idle_timeout_s=1.5,
    publish_interval_s=0.3,
    save_interval_s=1.0,
    chunk_bytes=50_000,
    bad_ratio_min=200,
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack"), settings=STARTED) as running:
        yield running


def health(stack: Stack) -> dict[str, Any]:
    url = f"http://127.0.0.1:{stack.settings.worker_health_port}/health"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return dict(json.load(answer))


def metric(stack: Stack, line: str) -> float | None:
    url = f"http://127.0.0.1:{stack.settings.worker_health_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    found = [row.rsplit(" ", 1)[1] for row in text.splitlines() if row.startswith(line + " ")]
    return float(found[0]) if found else None


def counted(store: Store) -> int:
    sql = "SELECT sum(rows) AS n FROM windows FINAL WHERE segment = '' AND horizon_us = 60000000"
    return int(store.query(sql)[0]["n"])


def dead(store: Store) -> int:
    return int(store.query("SELECT count() AS n FROM dead_letters FINAL")[0]["n"])


def steps(store: Store) -> list[tuple[str, str, str]]:
    sql = "SELECT state, severity, alarm_id FROM alarms FINAL WHERE kind = 'dead_letters' ORDER BY revision"
    return [(r["state"], r["severity"], r["alarm_id"]) for r in store.query(sql)]


def test_a_poisoned_partition_is_stopped_and_the_clean_one_is_counted(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, store = stack.settings, Store(stack.settings)
    append(settings, "predictions", 1, singles(0, 300))
    until(lambda: counted(store) == 300, "the first 300 events")

    append(settings, "predictions", 0, [POISON] * 3000)
    until(lambda: bool(health(stack)["stopped"]), "the partition to be stopped")
    (why,) = health(stack)["stopped"]
    assert why.startswith("predictions/0 is stopped at offset 0: ")
    assert metric(stack, 'seawall_partitions_paused{reason="bad_records",topic="predictions"}') == 1
    until(lambda: len(steps(store)) == 1, "the alarm in the store")
    assert steps(store) == [("open", "error", "dead_letters/predictions/0/0")]

    append(settings, "predictions", 1, singles(300, 900))
    until(lambda: counted(store) == 900, "the clean partition to be counted on")
    # Fewer records than are looked at may have been set aside before it was certain, and not one more.
    assert dead(store) < 200
    assert committed(settings, "predictions", 0) == 0

    # Another worker stops at the same place, without reading; nobody is paged again.
    before = dead(store)
    stack.kill_worker()
    stack.start_worker()
    append(settings, "predictions", 1, singles(900, 1000))
    until(lambda: counted(store) == 1000, "the clean partition after a restart", 90)
    until(lambda: bool(health(stack)["stopped"]), "the partition to be stopped again")
    assert dead(store) == before
    assert committed(settings, "predictions", 0) == 0

    # Good events behind the poison are waiting, not lost.
    append(settings, "predictions", 0, singles(5000, 5100))
    for name, value in settings.to_env().items():
        monkeypatch.setenv(name, value)
    assert main(["dlq", "resume", "predictions", "0"]) == 0
    until(lambda: counted(store) == 1100, "the events behind the poison", 90)
    until(lambda: dead(store) == 3000, "all dead letters")
    until(lambda: len(steps(store)) == 2, "the end of the alarm")
    assert steps(store)[1] == ("resolved", "error", "dead_letters/predictions/0/0")
    assert health(stack)["stopped"] == []
    assert metric(stack, 'seawall_partitions_paused{reason="bad_records",topic="predictions"}') == 0
    assert main(["dlq", "resume", "predictions", "0"]) == 1, "it goes on already"


def test_what_became_too_much_again_is_stopped_again_and_a_higher_limit_lets_it_go_on(stack: Stack) -> None:
    settings, store = stack.settings, Store(stack.settings)
    before = counted(store)
    append(settings, "predictions", 2, [*singles(6000, 6100), *[POISON] * 1000, *singles(6100, 6200)])
    until(lambda: bool(health(stack)["stopped"]), "the partition to be stopped")
    stack.kill_worker()
    stack.supervisor.settings = replace(settings, bad_ratio_limit=1.0)
    stack.start_worker()
    until(lambda: counted(store) == before + 200, "everything that can be read", 90)
    until(lambda: health(stack)["stopped"] == [], "the page to be well")
    last = (
        "SELECT argMax(state, revision) AS s FROM alarms FINAL WHERE kind = 'dead_letters' GROUP BY alarm_id"
    )
    until(lambda: {r["s"] for r in store.query(last)} == {"resolved"}, "the alarm to be resolved")
