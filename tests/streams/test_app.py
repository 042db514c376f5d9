"""The composition root."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from streams import app


async def test_a_crash_inside_faust_ends_the_worker_instead_of_leaving_it_idle():
    crash = RuntimeError("table recovery raised")
    died: list[Any] = []
    worker: Any = SimpleNamespace(
        app=SimpleNamespace(_crashed=asyncio.Event(), _crash_reason=crash),
        die=lambda where, error: died.append((where, error)),
    )
    waiting = asyncio.create_task(app._until(asyncio.Event(), worker))
    await asyncio.sleep(0)
    worker.app._crashed.set()
    await asyncio.wait_for(waiting, 5)
    assert died == [("faust", crash)]


async def test_a_signal_ends_the_wait_and_kills_nobody():
    stop = asyncio.Event()
    worker: Any = SimpleNamespace(
        app=SimpleNamespace(_crashed=asyncio.Event(), _crash_reason=None),
        die=lambda where, error: pytest.fail(f"{where}: {error}"),
    )
    waiting = asyncio.create_task(app._until(stop, worker))
    stop.set()
    await asyncio.wait_for(waiting, 5)
