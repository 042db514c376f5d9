"""Slack, held to its documentation by a local server that knows it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streams.core.notify import Result
from streams.io.http import HttpPoster
from streams.io.retry import Retrier
from streams.io.slack import SlackNotifier, TokenBucket
from tests.contract.clocks import FakeTime
from tests.contract.receivers import Slack
from tests.contract.samples import alarm, rollback


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def server(time: FakeTime) -> AsyncIterator[Slack]:
    async with Slack(time.clock) as running:
        yield running


@pytest.fixture
async def notifier(server: Slack, time: FakeTime) -> AsyncIterator[SlackNotifier]:
    async with HttpPoster(timeout_s=0.5, allow_private=True) as poster:
        yield SlackNotifier(
            server.url,
            poster,
            Retrier(clock=time.clock, sleep=time.sleep, chance=lambda: 1.0),
            bucket=TokenBucket(clock=time.clock, sleep=time.sleep),
        )


def told_in(messages: list[dict[str, Any]]) -> int:
    """How many steps these messages stand for."""
    counts = (message["text"].split(" messages:")[0] for message in messages)
    return sum(int(count) if count.isdigit() else 1 for count in counts)


async def test_a_resolved_alarm_is_a_second_message(server: Slack, notifier: SlackNotifier) -> None:
    assert (await notifier.send(alarm())).result is Result.DELIVERED
    assert (await notifier.send(alarm(state="resolved", revision=1))).result is Result.DELIVERED
    assert (await notifier.send(rollback())).result is Result.DELIVERED
    texts = [message["text"] for message in server.accepted]
    assert ["Open" in texts[0], "Resolved" in texts[1], "Rollback requested" in texts[2]] == [True] * 3


async def test_five_hundred_alarms_at_once_are_a_digest_at_one_message_a_second_and_none_is_lost(
    server: Slack, notifier: SlackNotifier, time: FakeTime
) -> None:
    started_s = time.now_s
    outcomes = await asyncio.gather(
        *(notifier.send(alarm(alarm_id=f"a{n}", model=f"m{n}")) for n in range(500))
    )
    assert {outcome.result for outcome in outcomes} == {Result.DELIVERED}
    assert server.throttled == 0
    assert told_in(server.accepted) == 500
    assert len(server.accepted) == 2  # the first at once, the rest when the next message may go
    assert time.now_s - started_s == pytest.approx(1)


async def test_a_few_alarms_are_told_singly(server: Slack, notifier: SlackNotifier, time: FakeTime) -> None:
    started_s = time.now_s
    await asyncio.gather(*(notifier.send(alarm(alarm_id=f"a{n}")) for n in range(3)))
    assert len(server.accepted) == 3
    assert server.throttled == 0
    assert time.now_s - started_s >= 2


async def test_retry_after_is_waited_for(server: Slack, notifier: SlackNotifier, time: FakeTime) -> None:
    server.retry_after = "37"
    server.script.append(429)
    assert (await notifier.send(alarm())).result is Result.DELIVERED
    assert 37.0 in time.slept_s


async def test_alarms_gather_during_an_outage_and_leave_as_a_digest(
    server: Slack, notifier: SlackNotifier
) -> None:
    server.script.extend(["close", 500, 503, "hang", 502])
    first = asyncio.create_task(notifier.send(alarm()))
    while not server.requests:
        await asyncio.sleep(0)
    others = [asyncio.create_task(notifier.send(alarm(alarm_id=f"a{n}"))) for n in range(50)]
    outcomes = await asyncio.gather(first, *others)
    assert {outcome.result for outcome in outcomes} == {Result.DELIVERED}
    assert told_in(server.accepted) == 51
    assert len(server.accepted) == 2


async def test_when_the_one_who_sends_is_cancelled_the_others_are_still_told(
    server: Slack, notifier: SlackNotifier
) -> None:
    server.script.extend(["ok", "hang"])
    tasks = [asyncio.create_task(notifier.send(alarm(alarm_id=f"a{n}"))) for n in range(10)]
    while len(server.requests) < 2:
        await asyncio.sleep(0)
    assert "9 messages" in json.loads(server.requests[1][1])["text"]
    tasks[1].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert told_in(server.accepted) == 9


async def test_what_slack_will_not_have_is_refused_without_showing_the_address(
    server: Slack, notifier: SlackNotifier
) -> None:
    server.script.append(404)
    outcome = await notifier.send(alarm())
    assert outcome.result is Result.REJECTED
    assert "/hook" not in outcome.detail


async def test_a_bucket_keeps_the_rate_and_allows_its_burst() -> None:
    time = FakeTime(0.0)
    bucket = TokenBucket(rate_per_s=2, burst=3, clock=time.clock, sleep=time.sleep)
    at_s = []
    for _ in range(7):
        await bucket.take()
        at_s.append(round(time.now_s, 6))
    assert at_s == [0, 0, 0, 0.5, 1, 1.5, 2]
