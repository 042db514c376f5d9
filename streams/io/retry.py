"""Send again, later, while there is hope: which answers are final, how long to wait, when to stop."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto

from streams.core.notify import Result
from streams.io.http import NoAnswer, RefusedTarget, Reply
from streams.io.notifier import Outcome

log = logging.getLogger(__name__)


class Answer(Enum):
    """What a status means for the message."""

    TAKEN = auto()
    RETRY = auto()
    FINAL = auto()


def answer_of(status: int) -> Answer:
    """Read a status: 2xx took it, 5xx, 408 and 429 may yet, anything else never will.

    A redirect is final: following it would send the message, and its signature or key, to somebody else.
    """
    if 200 <= status < 300:
        return Answer.TAKEN
    if status >= 500 or status in (408, 429):
        return Answer.RETRY
    return Answer.FINAL


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to wait between attempts, and when to stop."""

    first_wait_s: float = 1.0
    max_wait_s: float = 60.0
    throttled_wait_s: float = 30.0
    """At least this long after a 429 that does not say how long."""
    max_retry_after_s: float = 900.0
    """A receiver that asks for more is asked again after this long."""
    deadline_s: float = 24 * 3600.0
    """From the first attempt; no attempt starts later."""


class Retrier:
    """Runs attempts until one is final or the deadline passes.

    Waits grow exponentially and are jittered over the upper half, so that workers which failed together do
    not come back together. One warning is logged when the trouble begins and one each time that it changes.

    Parameters
    ----------
    clock
        Seconds, monotonic.
    sleep
        Waits the given seconds; the only thing here that blocks besides the attempt itself.
    chance
        Uniform numbers in ``[0, 1)``.
    """

    def __init__(
        self,
        policy: RetryPolicy | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy or RetryPolicy()
        self._clock = clock
        self._sleep = sleep
        self._chance = chance

    async def run(self, receiver: str, attempt: Callable[[], Awaitable[Reply]]) -> Outcome:
        """Attempt until the receiver takes the message, refuses it for good, or the deadline passes.

        Blocks for at most the policy's deadline and one attempt. A refusal and an expiry are returned, not
        raised: the caller still holds the message. Cancelling is safe; whether the last attempt arrived is
        then unknown.

        Parameters
        ----------
        receiver
            A name without secrets, for the log.
        attempt
            One post.
        """
        give_up_at = self._clock() + self._policy.deadline_s
        last_trouble = ""
        attempts = 0
        while True:
            attempts += 1
            asked_wait_s: float | None = None
            status = 0
            try:
                reply = await attempt()
            except RefusedTarget as error:
                return Outcome(Result.REJECTED, str(error), attempts)
            except NoAnswer as error:
                trouble = str(error)
            else:
                answer = answer_of(reply.status)
                if answer is Answer.TAKEN:
                    if last_trouble:
                        log.info("%s: took the message at attempt %d", receiver, attempts)
                    return Outcome(Result.DELIVERED, "", attempts)
                if answer is Answer.FINAL:
                    return Outcome(Result.REJECTED, _explain(reply), attempts)
                status = reply.status
                trouble = f"status {reply.status}"
                asked_wait_s = retry_after_s(reply)
            wait_s = self._wait_s(attempts, status, asked_wait_s)
            if self._clock() + wait_s >= give_up_at:
                return Outcome(Result.EXPIRED, trouble, attempts)
            if trouble != last_trouble:
                log.warning("%s: %s; trying again", receiver, trouble)
                last_trouble = trouble
            await self._sleep(wait_s)

    def _wait_s(self, attempts: int, status: int, asked_s: float | None) -> float:
        policy = self._policy
        # the exponent is bounded: after weeks of attempts 2**n would no longer fit a float
        grown_s = min(policy.max_wait_s, policy.first_wait_s * 2.0 ** min(attempts - 1, 32))
        wait_s = grown_s * (0.5 + self._chance() / 2)
        if asked_s is not None:
            return max(wait_s, min(asked_s, policy.max_retry_after_s))
        return max(wait_s, policy.throttled_wait_s) if status == 429 else wait_s


def retry_after_s(reply: Reply) -> float | None:
    """Read ``Retry-After``: seconds, or a date, which is compared with the receiver's own clock."""
    text = reply.retry_after.strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return (parsedate_to_datetime(text) - parsedate_to_datetime(reply.date)).total_seconds()
    except (ValueError, TypeError):
        return None


def _explain(reply: Reply) -> str:
    if 300 <= reply.status < 400:
        return f"status {reply.status}: redirects are not followed"
    said = " ".join(reply.text.split())[:200]
    return f"status {reply.status}: {said}" if said else f"status {reply.status}"
