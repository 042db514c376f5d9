"""PagerDuty, held to its documentation by a local server that knows it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from streams.core.notify import Result
from streams.io.http import HttpPoster
from streams.io.pagerduty import PagerDutyNotifier
from streams.io.retry import Retrier, RetryPolicy
from tests.contract.clocks import FakeTime
from tests.contract.receivers import PagerDuty
from tests.contract.samples import alarm, feature

OLD, NEW = "canary-old-key", "canary-new-key"


@pytest.fixture
async def server() -> AsyncIterator[PagerDuty]:
    async with PagerDuty({OLD, NEW}) as running:
        yield running


@pytest.fixture
async def poster() -> AsyncIterator[HttpPoster]:
    async with HttpPoster(timeout_s=0.2, allow_private=True) as running:
        yield running


def notifier(
    server: PagerDuty, poster: HttpPoster, *keys: str, time: FakeTime | None = None
) -> PagerDutyNotifier:
    time = time or FakeTime()
    policy = RetryPolicy(throttled_wait_s=120)
    return PagerDutyNotifier(
        server.url, keys, poster, Retrier(policy, clock=time.clock, sleep=time.sleep, chance=lambda: 1.0)
    )


async def test_an_alarm_is_one_incident_from_open_to_resolved(server: PagerDuty, poster: HttpPoster) -> None:
    sender = notifier(server, poster, NEW)
    for revision, state in enumerate(["open", "updated", "updated"]):
        assert (await sender.send(alarm(state=state, revision=revision))).result is Result.DELIVERED
    assert list(server.alerts) == [alarm()["alarm_id"]]
    assert (await sender.send(alarm(state="resolved", revision=3))).result is Result.DELIVERED
    assert server.alerts == {}
    assert server.incidents_opened == 1


async def test_trouble_is_retried_and_a_lost_answer_opens_no_second_incident(
    server: PagerDuty, poster: HttpPoster
) -> None:
    server.script.extend([500, "close", "hang", "lost", 503])
    outcome = await notifier(server, poster, NEW).send(alarm())
    assert (outcome.result, outcome.attempts) == (Result.DELIVERED, 6)
    assert server.incidents_opened == 1
    assert len({json.loads(body)["dedup_key"] for _, body in server.requests}) == 1


async def test_too_many_requests_are_answered_with_minutes_of_patience(
    server: PagerDuty, poster: HttpPoster
) -> None:
    time = FakeTime()
    server.script.extend([429, 429])
    assert (await notifier(server, poster, NEW, time=time).send(alarm())).result is Result.DELIVERED
    assert time.slept_s == [120, 120]


async def test_the_worst_alarm_still_fits(server: PagerDuty, poster: HttpPoster) -> None:
    huge = alarm(
        alarm_id="i" * 300,
        summary="🌊" * 5000,
        features=[feature(name=f"f{n}", detail="x" * 600) for n in range(1000)],
    )
    assert len(json.dumps(huge)) > 513_000
    sender = notifier(server, poster, NEW)
    assert (await sender.send(huge)).result is Result.DELIVERED
    assert (await sender.send({**huge, "state": "resolved", "revision": 1})).result is Result.DELIVERED
    assert server.alerts == {}


async def test_a_wrong_key_is_refused_once_and_shown_nowhere(server: PagerDuty, poster: HttpPoster) -> None:
    outcome = await notifier(server, poster, "canary-wrong-key").send(alarm())
    assert outcome.result is Result.REJECTED
    assert "routing_key is missing or invalid" in outcome.detail
    assert "canary" not in outcome.detail
    assert len(server.requests) == 1


async def test_an_incident_opened_under_the_old_key_is_closed_after_the_key_was_changed(
    server: PagerDuty, poster: HttpPoster
) -> None:
    await notifier(server, poster, OLD).send(alarm())
    assert server.alerts[alarm()["alarm_id"]] == OLD
    outcome = await notifier(server, poster, NEW, OLD).send(alarm(state="resolved", revision=1))
    assert outcome.result is Result.DELIVERED
    assert server.alerts == {}
