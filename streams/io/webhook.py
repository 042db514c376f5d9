"""Webhooks signed after the Standard Webhooks specification."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seawall.errors import ConfigError
from streams.core.notify import step_id, step_revision, webhook_body
from streams.io.http import HttpPoster, Reply, redact
from streams.io.notifier import Outcome
from streams.io.retry import Retrier

_PREFIX = "whsec_"


def signing_key(secret: str) -> bytes:
    """Decode ``whsec_`` and base64; the prefix may be left out.

    Raises
    ------
    ConfigError
        Not base64, or not 24 to 64 bytes. The secret itself is not repeated.
    """
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        msg = "webhook secret: expected whsec_ followed by base64"
        raise ConfigError(msg) from None
    if not 24 <= len(key) <= 64:
        msg = f"webhook secret: expected 24 to 64 bytes of key, got {len(key)}"
        raise ConfigError(msg)
    return key


def signature(keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> str:
    """Sign ``id.timestamp.body`` with every key: while a secret is being changed, either one verifies."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    macs = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join("v1," + base64.b64encode(mac).decode("ascii") for mac in macs)


def message_id(step: Mapping[str, Any]) -> str:
    """Id of the message: a function of the step, so the same over retries, restarts and workers.

    Hashed, for the signed text is separated by full stops and an alarm id may hold some.
    """
    kind = "rollback" if "rollback_id" in step else "alarm"
    name = f"{kind}\0{step_id(step)}\0{step_revision(step)}"
    return "msg_" + hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:32]


class WebhookNotifier:
    """Posts JSON to one URL.

    One attempt has the poster's deadline; what is retried and for how long is the retrier's. Every attempt
    carries the same id and a new timestamp and signature. On failure the step stays with the caller.

    Parameters
    ----------
    secrets
        The current secret first; more while one is being changed; none leaves the messages unsigned.
    wall_clock
        Seconds since 1970.
    """

    concurrency = 8

    def __init__(
        self,
        url: str,
        secrets: Sequence[str],
        poster: HttpPoster,
        retrier: Retrier,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._secrets = tuple(secrets)
        self._keys = [signing_key(secret) for secret in secrets]
        self._poster = poster
        self._retrier = retrier
        self._wall_clock = wall_clock

    async def send(self, alarm: Mapping[str, Any]) -> Outcome:
        """Post one step. Blocks, retries and fails as the class says."""
        body = webhook_body(alarm)
        identity = message_id(alarm)

        async def attempt() -> Reply:
            now_s = int(self._wall_clock())
            headers = {
                "content-type": "application/json",
                "webhook-id": identity,
                "webhook-timestamp": str(now_s),
            }
            if self._keys:
                headers["webhook-signature"] = signature(self._keys, identity, now_s, body)
            return await self._poster.post(self._url, body, headers)

        outcome = await self._retrier.run("webhook", attempt)
        return Outcome(outcome.result, redact(outcome.detail, (self._url, *self._secrets)), outcome.attempts)
