"""Slack's incoming webhooks: one message a second, and a storm becomes a digest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from streams.core.messages import json_bytes
from streams.core.notify import digest, slack_message
from streams.io.http import HttpPoster, Reply, redact
from streams.io.links import dashboard_url
from streams.io.notifier import Outcome
from streams.io.retry import Retrier


class TokenBucket:
    """Lets `rate_per_s` through on average and never more than `burst` at once.

    Slack answers 429 above one message a second for a webhook, and may disable an app that goes on.
    """

    def __init__(
        self,
        *,
        rate_per_s: float = 1.0,
        burst: int = 1,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._clock = clock
        self._sleep = sleep
        self._tokens = float(burst)
        self._at_s = clock()

    async def take(self) -> None:
        """Wait for a token. For one taker at a time."""
        while True:
            now_s = self._clock()
            self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate_per_s)
            self._at_s = now_s
            # a billionth short is rounding: waiting for it could be a wait too short for the clock to show
            if self._tokens >= 1 - 1e-9:
                self._tokens -= 1
                return
            await self._sleep((1 - self._tokens) / self._rate_per_s)


class SlackNotifier:
    """Posts to one webhook URL, which stands for one channel.

    While a message waits its turn, or is being retried, later steps gather; fewer than `digest_from` of them
    are sent singly, more as one digest, so nothing is lost and the rate is kept. A step's outcome is that of
    the message it went into. One attempt has the poster's deadline; what is retried and for how long is the
    retrier's, which honours ``Retry-After``. Slack has no key to fold duplicates by: a step sent again, after
    a crash or a lost answer, is seen twice.
    """

    concurrency = 1000

    def __init__(
        self,
        url: str,
        poster: HttpPoster,
        retrier: Retrier,
        *,
        bucket: TokenBucket | None = None,
        digest_from: int = 4,
        grafana_url: str = "",
    ) -> None:
        self._url = url
        self._poster = poster
        self._retrier = retrier
        self._bucket = bucket or TokenBucket()
        self._digest_from = digest_from
        self._grafana_url = grafana_url
        self._waiting: list[tuple[Mapping[str, Any], asyncio.Future[Outcome]]] = []
        self._turn = asyncio.Lock()

    async def send(self, alarm: Mapping[str, Any]) -> Outcome:
        """Post one step, alone or in a digest. Blocks, retries and fails as the class says."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((alarm, future))
        try:
            # whoever holds the turn sends for all who wait; the others find their outcome when they get it
            async with self._turn:
                while not future.done():
                    await self._bucket.take()
                    await self._send_next()
            return future.result()
        finally:
            # cancelled while waiting: nobody is left to tell the outcome to
            self._waiting = [entry for entry in self._waiting if entry[1] is not future]

    async def _send_next(self) -> None:
        count = len(self._waiting) if len(self._waiting) >= self._digest_from else 1
        batch = self._waiting[:count]
        del self._waiting[:count]
        steps = [step for step, _ in batch]
        if len(steps) > 1:
            message = digest(steps, link=self._grafana_url)
        else:
            message = slack_message(steps[0], link=dashboard_url(steps[0], self._grafana_url))
        body = json_bytes(message)
        is_first = True

        async def attempt() -> Reply:
            nonlocal is_first
            if not is_first:
                await self._bucket.take()
            is_first = False
            return await self._poster.post(self._url, body, {"content-type": "application/json"})

        try:
            outcome = await self._retrier.run("slack", attempt)
        except BaseException:
            # the sender was cancelled; the others' steps go back to the front and the next of them sends
            self._waiting[:0] = batch
            raise
        outcome = Outcome(outcome.result, redact(outcome.detail, (self._url,)), outcome.attempts)
        for _, future in batch:
            if not future.done():
                future.set_result(outcome)
