"""A clock that moves only when somebody sleeps, so that a day of retries takes milliseconds."""

from __future__ import annotations

import asyncio


class FakeTime:
    def __init__(self, now_s: float = 1_000_000.0) -> None:
        self.now_s = now_s
        self.slept_s: list[float] = []

    def clock(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)
