"""Deciding happens in a thread, and control waits for it to end; an error that nobody foresaw ends the worker."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from seawall.publish import publish_monitor
from seawall.settings import Settings
from seawall.wire import encode
from streams.agents.worker import EXIT_UNEXPECTED, Worker
from streams.embedded.processes import free_port
from streams.io.kafka import RunApp
from streams.io.topics import create_topics
from tests.e2e.produce import committed


def worker() -> Worker:
    return Worker(Settings(), cast("RunApp", SimpleNamespace()))


def monitor(model: str, pane: str) -> tuple[str, bytes, bytes]:
    yaml = f"model: {model}\ntask: regression\nwindows: {{pane: {pane}, horizons: [1h]}}\n"
    record: dict[str, Any] = {"model": model, "yaml": yaml, "sha256": "", "published_us": 1, "deleted": False}
    return "monitors", model.encode(), encode("monitor", record)


async def test_a_monitor_that_comes_while_something_is_decided_is_folded_afterwards() -> None:
    one, go, started = worker(), threading.Event(), threading.Event()

    def work() -> int:
        started.set()
        go.wait(10)
        return one.control.monitor("m").pane_us

    deciding = asyncio.create_task(one.decide(work))
    await asyncio.to_thread(started.wait, 10)
    one.on_control(*monitor("m", "2m"))
    go.set()
    before = await deciding
    assert before != 120_000_000
    assert one.control.monitor("m").pane_us == 120_000_000


async def test_a_decision_that_nobody_waits_for_any_more_holds_control_until_it_ends() -> None:
    one, go, started, seen = worker(), threading.Event(), threading.Event(), []

    def work() -> None:
        started.set()
        go.wait(10)
        seen.append(one.control.monitor("m").pane_us)

    deciding = asyncio.create_task(one.decide(work))
    await asyncio.to_thread(started.wait, 10)
    deciding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deciding
    one.on_control(*monitor("m", "2m"))
    assert one.control.monitor("m").pane_us != 120_000_000
    go.set()
    # The next decision waits for the first: one thread decides.
    await one.decide(lambda: None)
    await asyncio.sleep(0)
    assert seen != [120_000_000]
    assert one.control.monitor("m").pane_us == 120_000_000


async def test_a_bad_monitor_is_said_and_nothing_else_is_disturbed(caplog: pytest.LogCaptureFixture) -> None:
    one = worker()
    one.on_control("monitors", b"m", b"alien")
    assert "monitors m" in caplog.text
    one.on_control(*monitor("m", "2m"))
    assert one.control.monitor("m").pane_us == 120_000_000


async def test_an_agent_that_fails_while_the_worker_stops_takes_no_other_run() -> None:
    """The next run would be committed, and the one that failed with it."""
    one, taken = Worker(Settings(), cast("RunApp", SimpleNamespace(should_stop=True))), []

    async def work(run: int) -> None:
        taken.append(run)
        raise RuntimeError("the producer was closed")

    async def agent() -> None:
        for run in range(3):
            await one.guard("predictions", lambda run=run: work(run))  # type: ignore[misc]

    running = asyncio.create_task(agent())
    for _ in range(20):
        await asyncio.sleep(0)
    assert taken == [0]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


#: A whole worker, of which one handler has a fault.
_FAULTY = """
import os
import sys
from seawall.settings import Settings
from streams import app
from streams.agents.results import Sink

async def write(self, run):
    if self.topic == "monitors":
        raise RuntimeError("nobody foresaw this")

Sink.write = write
sys.exit(app.run(Settings.from_env(os.environ)))
"""


def test_an_unexpected_error_ends_the_worker_before_anything_is_committed(broker: str) -> None:
    name = f"unexpected_{os.getpid()}"
    settings = replace(
        Settings(), broker=broker, topic_prefix=f"{name}.", group=name, worker_health_port=free_port()
    )
    create_topics(settings)
    publish_monitor(settings, "m", "model: m\nwindows: {pane: 1m, horizons: [5m]}\nnotify: [log]\n")
    environment = {**os.environ, **settings.to_env()}
    ended = subprocess.run(
        [sys.executable, "-c", _FAULTY],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == EXIT_UNEXPECTED == 70, ended.stderr
    assert "monitors: unexpected RuntimeError" in ended.stderr
    assert "nobody foresaw this" in ended.stderr
    assert committed(settings, "monitors", 0) is None
