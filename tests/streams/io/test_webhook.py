"""Webhooks that any Standard Webhooks library verifies."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seawall.errors import ConfigError
from streams.core.notify import Result
from streams.io.http import HttpPoster
from streams.io.retry import Retrier
from streams.io.webhook import WebhookNotifier, message_id, signature, signing_key
from tests.contract.clocks import FakeTime
from tests.contract.receivers import ContractServer
from tests.contract.samples import alarm, rollback

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DOCUMENT = Path(__file__).parents[3] / "docs" / "alerting.md"
NEXT_SECRET = "whsec_" + base64.b64encode(b"n" * 32).decode()


def documented_verifier() -> Callable[..., Any]:
    """The sample that receivers are given, run as printed."""
    [sample] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(sample, names)
    found: Callable[..., Any] = names["verify"]
    return found


verify = documented_verifier()


def test_the_signature_is_that_of_the_published_vector() -> None:
    # the vector that the Standard Webhooks libraries share
    signed = signature(
        [signing_key(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_may_be_written_without_its_prefix() -> None:
    assert signing_key(SECRET) == signing_key(SECRET.removeprefix("whsec_"))


@pytest.mark.parametrize(
    "secret",
    ["whsec_canary!!", "whsec_" + base64.b64encode(b"canary").decode(), "whsec_" + "QUFB" * 30, "canary-é"],
)
def test_a_bad_secret_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(ConfigError) as caught:
        signing_key(secret)
    assert secret.removeprefix("whsec_") not in str(caught.value)
    assert "canary" not in repr(caught.value)


def test_the_id_belongs_to_the_step() -> None:
    ids = [
        message_id(step)
        for step in (alarm(), alarm(revision=1), alarm(alarm_id="b"), rollback(), rollback(seq=1))
    ]
    assert len(set(ids)) == 5
    assert message_id(alarm(summary="written differently")) == ids[0]
    assert not any("." in identity for identity in ids)


async def send(server: ContractServer, time: FakeTime, *secrets: str) -> Result:
    async with HttpPoster(timeout_s=0.2, allow_private=True) as poster:
        retrier = Retrier(clock=time.clock, sleep=time.sleep, chance=lambda: 1.0)
        notifier = WebhookNotifier(server.url, secrets, poster, retrier, wall_clock=time.clock)
        return (await notifier.send(alarm())).result


async def test_every_attempt_carries_the_same_id_and_its_own_time_and_signature() -> None:
    time = FakeTime(1_700_000_000.0)
    async with ContractServer() as server:
        server.script.extend([500, "close", "hang", 429])
        assert await send(server, time, SECRET) is Result.DELIVERED
    assert len(server.requests) == 5
    headers = [headers for headers, _ in server.requests]
    assert len({each["webhook-id"] for each in headers}) == 1
    assert len({each["webhook-timestamp"] for each in headers}) == 5
    assert len({each["webhook-signature"] for each in headers}) == 5
    assert len({body for _, body in server.requests}) == 1
    for each, body in server.requests:
        assert verify(SECRET, each, body, now_s=int(each["webhook-timestamp"]))["type"] == "alarm.open"
    assert headers[0]["content-type"] == "application/json"


async def test_while_a_secret_is_changed_both_verify_and_afterwards_one() -> None:
    time = FakeTime(1_700_000_000.0)
    async with ContractServer() as server:
        await send(server, time, NEXT_SECRET, SECRET)
        await send(server, time, NEXT_SECRET)
    (both, body), (only_next, _) = server.requests
    assert len(both["webhook-signature"].split(" ")) == 2
    for secret in (SECRET, NEXT_SECRET):
        verify(secret, both, body, now_s=1_700_000_000)
    verify(NEXT_SECRET, only_next, body, now_s=1_700_000_000)
    with pytest.raises(ValueError, match="no signature matches"):
        verify(SECRET, only_next, body, now_s=1_700_000_000)


async def test_the_documented_verifier_refuses_a_replay_and_a_change() -> None:
    async with ContractServer() as server:
        await send(server, FakeTime(1_700_000_000.0), SECRET)
    [(headers, body)] = server.requests
    verify(SECRET, headers, body, now_s=1_700_000_000 + 299)
    for now_s in (1_700_000_000 + 360, 1_700_000_000 - 360):
        with pytest.raises(ValueError, match="timestamp"):
            verify(SECRET, headers, body, now_s=now_s)
    with pytest.raises(ValueError, match="no signature matches"):
        verify(SECRET, headers, body.replace(b"critical", b"trifling"), now_s=1_700_000_000)
    with pytest.raises(ValueError, match="no signature matches"):
        verify(SECRET, {**headers, "webhook-id": "msg_other"}, body, now_s=1_700_000_000)


async def test_without_a_secret_the_message_goes_unsigned() -> None:
    async with ContractServer() as server:
        await send(server, FakeTime())
    [(headers, body)] = server.requests
    assert "webhook-signature" not in headers
    assert json.loads(body)["type"] == "alarm.open"


@pytest.mark.parametrize("status", [301, 400, 404, 410])
async def test_a_receiver_that_will_never_take_it_is_asked_once(status: int) -> None:
    async with ContractServer() as server:
        server.script.append(status)
        assert await send(server, FakeTime(), SECRET) is Result.REJECTED
        assert len(server.requests) == 1
