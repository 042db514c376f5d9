"""A refusal that lasts ends a worker; one that passes, and a broker that is merely away, do not."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.errors import SaslAuthenticationFailed

from seawall.errors import Unavailable
from seawall.settings import Settings
from streams.io.broker import Refused, until_refused
from streams.io.refusals import Refusals


def looks(*answers: Exception | None) -> Callable[[Settings, float], object]:
    """Answer one look after the other; the last answer stays."""
    left = list(answers)

    def look(settings: Settings, timeout_s: float) -> object:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if answer is not None:
            raise answer
        return object()

    return look


async def verdict(refusals: Refusals, *answers: Exception | None) -> str | None:
    """Return why the brokers refuse for good, None if they do not within fifty looks."""
    try:
        async with asyncio.timeout(0.5):
            return await until_refused(Settings(), refusals, looks(*answers), look_s=0.01)
    except TimeoutError:
        return None


async def test_a_refusal_that_was_seen_twice_is_believed() -> None:
    assert await verdict(Refusals(is_standing=True), Refused("broker: no")) == "broker: no"


@pytest.mark.parametrize("between", [Unavailable("broker: away"), None])
async def test_one_refused_look_is_not_enough(between: Exception | None) -> None:
    answers = [Refused("once"), between, Refused("again"), between]
    assert await verdict(Refusals(is_standing=True), *answers) is None


async def test_nobody_is_asked_while_connections_are_taken() -> None:
    assert await verdict(Refusals(is_standing=False), Refused("never asked")) is None


@pytest.mark.parametrize(
    "error", [SaslAuthenticationFailed("no"), ssl.SSLCertVerificationError("no"), ConnectionResetError()]
)
async def test_a_refusal_is_noted_and_the_next_attempt_waits(error: Exception) -> None:
    refusals, outcomes = Refusals(), [error, None]

    async def connect(host: str, port: int, **settings: Any) -> str:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return f"{host}:{port} {settings}"

    heeding = refusals.heeding(connect, wait_s=0.2)
    began_s = asyncio.get_running_loop().time()
    with pytest.raises(type(error)):
        await heeding("kafka", 9093, client_id="a")
    assert asyncio.get_running_loop().time() - began_s >= 0.19
    assert refusals.is_standing
    assert await heeding("kafka", 9093, client_id="a") == "kafka:9093 {'client_id': 'a'}"
    assert not refusals.is_standing


async def test_a_broker_that_does_not_listen_is_no_refusal() -> None:
    async def connect() -> None:
        raise ConnectionRefusedError

    refusals = Refusals()
    with pytest.raises(ConnectionRefusedError):
        await refusals.heeding(connect, wait_s=60)()
    assert not refusals.is_standing
