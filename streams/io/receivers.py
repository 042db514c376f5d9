"""From the settings to the notifier that a monitor names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from seawall.errors import ConfigError
from seawall.settings import Settings
from streams.core.notify import receiver_kind
from streams.io.http import HttpPoster
from streams.io.log_notifier import LogNotifier
from streams.io.notifier import Notifier
from streams.io.pagerduty import PagerDutyNotifier
from streams.io.retry import Retrier, RetryPolicy
from streams.io.slack import SlackNotifier, TokenBucket
from streams.io.webhook import WebhookNotifier, signing_key

_PAGERDUTY_THROTTLED_WAIT_S = 120.0  # its documentation asks for "a few minutes" after a 429


class Receivers:
    """Finds, and makes once, the notifier of a receiver as written in a monitor.

    Parameters
    ----------
    poster
        Shared by all; closing it is the caller's business.
    make_retrier
        Makes a retrier for a policy; tests pass one with their own clock.
    make_bucket
        Makes the rate limit of one Slack address; likewise.

    Raises
    ------
    ConfigError
        A webhook secret or a list of keys that cannot be read. The value is not repeated.
    """

    def __init__(
        self,
        settings: Settings,
        poster: HttpPoster,
        *,
        policy: RetryPolicy | None = None,
        make_retrier: Callable[[RetryPolicy], Retrier] = Retrier,
        make_bucket: Callable[[], TokenBucket] = TokenBucket,
    ) -> None:
        policy = policy or RetryPolicy()
        self._settings = settings
        self._poster = poster
        self._retrier = make_retrier(policy)
        self._pagerduty_retrier = make_retrier(
            replace(policy, throttled_wait_s=max(policy.throttled_wait_s, _PAGERDUTY_THROTTLED_WAIT_S))
        )
        self._webhook_secrets = tuple(settings.webhook_secret.replace(",", " ").split())
        for secret in self._webhook_secrets:
            signing_key(secret)
        self._slack_urls = by_name("SEAWALL_SLACK_WEBHOOK_URL", settings.slack_webhook_url)
        self._routing_keys = by_name("SEAWALL_PAGERDUTY_ROUTING_KEY", settings.pagerduty_routing_key)
        self._make_bucket = make_bucket
        self._made: dict[str, Notifier | None] = {}
        self._slack: dict[str, SlackNotifier] = {}

    def __call__(self, receiver: str) -> Notifier | None:
        """Return the notifier, or None when the receiver is unknown or has no address or key."""
        if receiver not in self._made:
            self._made[receiver] = self._make(receiver)
        return self._made[receiver]

    def _make(self, receiver: str) -> Notifier | None:
        kind, name = receiver_kind(receiver)
        grafana_url = self._settings.grafana_url
        if kind == "log":
            return LogNotifier()
        if kind == "webhook" and self._settings.webhook_url:
            return WebhookNotifier(
                self._settings.webhook_url, self._webhook_secrets, self._poster, self._retrier
            )
        if kind == "slack":
            urls = self._slack_urls.get(name) or self._slack_urls.get("", ())
            return self._slack_at(urls[0], grafana_url) if urls else None
        if kind == "pagerduty":
            keys = self._routing_keys.get(name) or self._routing_keys.get("", ())
            if keys:
                return PagerDutyNotifier(
                    self._settings.pagerduty_url,
                    keys,
                    self._poster,
                    self._pagerduty_retrier,
                    grafana_url=grafana_url,
                )
        return None

    def _slack_at(self, url: str, grafana_url: str) -> SlackNotifier:
        # the limit is the URL's: two names for one URL share one notifier, and so one bucket
        if url not in self._slack:
            self._slack[url] = SlackNotifier(
                url, self._poster, self._retrier, bucket=self._make_bucket(), grafana_url=grafana_url
            )
        return self._slack[url]


def by_name(setting: str, text: str) -> dict[str, tuple[str, ...]]:
    """Read ``value`` or ``name=value``, comma separated; a value without a name serves every other name.

    A name may be repeated: the first value is the current one, the others are on their way out.

    Raises
    ------
    ConfigError
        An entry without a value. It is named by its position, for it may be a secret.
    """
    values: dict[str, tuple[str, ...]] = {}
    for position, part in enumerate(text.split(",") if text.strip() else (), start=1):
        name, mark, value = part.strip().partition("=")
        if not mark or name.startswith("http"):  # an address may hold "=" itself
            name, value = "", part
        if not value.strip():
            msg = f"{setting}: entry {position} is empty; expected value or name=value, comma separated"
            raise ConfigError(msg)
        values[name.strip()] = (*values.get(name.strip(), ()), value.strip())
    return values
