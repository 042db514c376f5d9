"""Deciding happens in a thread; what the control topics say meanwhile waits for it to end."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from seawall.settings import Settings
from seawall.wire import encode
from streams.agents.worker import Worker
from streams.io.kafka import RunApp


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
