"""PagerDuty's Events API v2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from streams.core.messages import json_bytes
from streams.core.notify import Result, is_resolve, pagerduty_event
from streams.io.http import HttpPoster, Reply, redact
from streams.io.links import dashboard_url
from streams.io.notifier import Outcome
from streams.io.retry import Retrier


class PagerDutyNotifier:
    """Triggers and resolves incidents of one service.

    One attempt has the poster's deadline; what is retried and for how long is the retrier's: 400 never, 429
    after minutes. Sending twice is harmless, for PagerDuty folds triggers of one dedup key into one alert. On
    failure the step stays with the caller.

    Parameters
    ----------
    routing_keys
        The current key first, then keys it replaced. A resolve counts only under the key of its trigger, and
        PagerDuty ignores a resolve of what it does not know, so resolves go to every key: an incident that
        was opened under the old key is closed too.
    grafana_url
        Each event leads to the model's dashboard there; empty where there is none.
    """

    concurrency = 4

    def __init__(
        self,
        url: str,
        routing_keys: Sequence[str],
        poster: HttpPoster,
        retrier: Retrier,
        *,
        grafana_url: str = "",
    ) -> None:
        self._url = url
        self._keys = tuple(routing_keys)
        self._poster = poster
        self._retrier = retrier
        self._grafana_url = grafana_url

    async def send(self, alarm: Mapping[str, Any]) -> Outcome:
        """Send one step of an alarm. Blocks, retries and fails as the class says."""
        keys = self._keys if is_resolve(alarm) else self._keys[:1]
        outcomes = [await self._send(alarm, key) for key in keys]
        # one key that knew the incident is enough; a retired key may well answer 400
        best = min(outcomes, key=lambda outcome: _PREFERENCE.index(outcome.result))
        attempts = sum(outcome.attempts for outcome in outcomes)
        return Outcome(best.result, redact(best.detail, self._keys), attempts)

    async def _send(self, alarm: Mapping[str, Any], routing_key: str) -> Outcome:
        body = json_bytes(pagerduty_event(alarm, routing_key, link=dashboard_url(alarm, self._grafana_url)))

        async def attempt() -> Reply:
            return await self._poster.post(self._url, body, {"content-type": "application/json"})

        return await self._retrier.run("pagerduty", attempt)


_PREFERENCE = (Result.DELIVERED, Result.EXPIRED, Result.REJECTED)
