"""When to send again, and when to stop."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import pytest

from streams.core.notify import Result
from streams.io.http import NoAnswer, RefusedTarget, Reply
from streams.io.retry import Answer, Retrier, RetryPolicy, answer_of, retry_after_s
from tests.contract.clocks import FakeTime


@pytest.mark.parametrize(
    ("statuses", "answer"),
    [
        ((200, 201, 202, 204), Answer.TAKEN),
        ((408, 429, 500, 502, 503, 504, 599), Answer.RETRY),
        ((301, 302, 307, 308, 400, 401, 403, 404, 410, 413, 422), Answer.FINAL),
    ],
)
def test_statuses_are_read_as_documented(statuses: tuple[int, ...], answer: Answer) -> None:
    assert {answer_of(status) for status in statuses} == {answer}


def attempts_of(*results: Reply | Exception) -> Callable[[], Awaitable[Reply]]:
    """Give one result after the other, the last for ever."""
    left = list(results)

    async def attempt() -> Reply:
        result = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(result, Exception):
            raise result
        return result

    return attempt


def retrier(time: FakeTime, policy: RetryPolicy | None = None, chance: float = 1.0) -> Retrier:
    return Retrier(policy, clock=time.clock, sleep=time.sleep, chance=lambda: chance)


async def test_a_message_taken_at_once_is_delivered_without_waiting() -> None:
    time = FakeTime()
    outcome = await retrier(time).run("r", attempts_of(Reply(200)))
    assert (outcome.result, outcome.attempts, time.slept_s) == (Result.DELIVERED, 1, [])


async def test_trouble_is_retried_with_growing_waits_up_to_the_greatest() -> None:
    time = FakeTime()
    script = attempts_of(*[Reply(500)] * 9, Reply(202))
    outcome = await retrier(time).run("r", script)
    assert (outcome.result, outcome.attempts) == (Result.DELIVERED, 10)
    assert time.slept_s == [1, 2, 4, 8, 16, 32, 60, 60, 60]


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.999])
async def test_waits_are_jittered_over_their_upper_half(chance: float) -> None:
    time = FakeTime()
    await retrier(time, chance=chance).run("r", attempts_of(*[NoAnswer("x")] * 3, Reply(200)))
    assert time.slept_s == [pytest.approx(full * (0.5 + chance / 2)) for full in (1, 2, 4)]


@pytest.mark.parametrize(
    ("asked", "waited"), [("7", 7.0), ("0", 1.0), ("86400", 900.0), ("soon", 30.0), ("", 30.0)]
)
async def test_retry_after_is_honoured_within_reason(asked: str, waited: float) -> None:
    time = FakeTime()
    await retrier(time).run("r", attempts_of(Reply(429, retry_after=asked), Reply(200)))
    assert time.slept_s == [waited]


def test_retry_after_may_be_a_date_by_the_receivers_own_clock() -> None:
    date, later = "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:42 GMT"
    assert retry_after_s(Reply(503, retry_after=later, date=date)) == 42
    assert retry_after_s(Reply(503, retry_after=later)) is None


async def test_no_attempt_starts_after_the_deadline() -> None:
    time = FakeTime()
    started = time.now_s
    outcome = await retrier(time, RetryPolicy(deadline_s=600)).run("r", attempts_of(Reply(503)))
    assert outcome.result is Result.EXPIRED
    assert outcome.detail == "status 503"
    assert time.now_s - started < 600


@pytest.mark.parametrize(
    ("last", "detail"),
    [
        (Reply(400, text="invalid\nblocks"), "status 400: invalid blocks"),
        (Reply(302), "status 302: redirects are not followed"),
        (Reply(410), "status 410"),
        (RefusedTarget("https://x/…: internal"), "https://x/…: internal"),
    ],
)
async def test_what_will_never_be_taken_is_not_sent_again(last: Reply | Exception, detail: str) -> None:
    time = FakeTime()
    outcome = await retrier(time).run("r", attempts_of(Reply(500), last))
    assert (outcome.result, outcome.detail, outcome.attempts) == (Result.REJECTED, detail, 2)


async def test_the_log_speaks_when_the_trouble_changes(caplog: pytest.LogCaptureFixture) -> None:
    time = FakeTime()
    script = attempts_of(*[Reply(500)] * 20, *[NoAnswer("host: broke")] * 20, Reply(200))
    with caplog.at_level(logging.INFO):
        await retrier(time).run("slack", script)
    assert [record.getMessage() for record in caplog.records] == [
        "slack: status 500; trying again",
        "slack: host: broke; trying again",
        "slack: took the message at attempt 41",
    ]


async def test_weeks_of_attempts_overflow_nothing() -> None:
    time = FakeTime()
    policy = RetryPolicy(deadline_s=30 * 86400)
    outcome = await retrier(time, policy).run("r", attempts_of(Reply(500)))
    assert outcome.attempts > 40_000
