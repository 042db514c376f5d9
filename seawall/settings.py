"""Settings: one frozen object read once from ``SEAWALL_*`` variables. An unknown variable is an error."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from seawall.contracts import DEFAULT_PREFIX
from seawall.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """Everything that a worker, the SDK or the command line may be told. Units are in the names."""

    broker: str = "127.0.0.1:19092"
    """Bootstrap servers, comma separated."""
    broker_security: str = "plaintext"
    """plaintext | ssl | sasl_ssl | sasl_plaintext"""
    broker_sasl_mechanism: str = "SCRAM-SHA-512"
    broker_username: str = ""
    broker_password: str = field(default="", repr=False)
    broker_ca_file: str = ""
    broker_cert_file: str = ""
    broker_key_file: str = ""
    broker_allow_insecure: bool = False
    """Permit SASL/PLAIN without TLS."""
    broker_session_timeout_s: float = 6.0
    topic_prefix: str = DEFAULT_PREFIX
    topic_partitions: int = 0
    """Partitions of the data topics when Seawall creates them; 0 takes the catalogue's."""
    topic_replication: int = 1
    group: str = "seawall"
    """Consumer group; workers of one group share the work."""
    store_url: str = "http://127.0.0.1:18123"
    store_database: str = "seawall"
    store_username: str = "default"
    store_password: str = field(default="", repr=False)
    store_timeout_s: float = 30.0
    schema_registry_url: str = ""
    data_dir: str = ".seawall"
    """Embedded mode: where the store keeps its data and the processes their pid and log files."""
    broker_port: int = 19092
    store_port: int = 18123
    health_port: int = 18080
    """Health page and Prometheus metrics; bound to loopback."""
    worker_health_port: int = 18081
    log_level: str = "info"
    log_epoch: int = 0
    """Raise it when an input topic's log, or that of summaries, is another one than it was (docs/deploy.md)."""
    chunk_bytes: int = 2 << 20
    """A chunk of an input partition is cut after this many bytes …"""
    chunk_offsets: int = 8192
    """… or this many offsets, whichever comes first. Part of the group's contract: change both with an empty lag."""
    publish_interval_s: float = 1.0
    """How often an open chunk's provisional summary is published."""
    save_interval_s: float = 15.0
    """How often the deciding half saves what it remembers; more often means less to read after a crash."""
    idle_timeout_s: float = 30.0
    """A source partition that is caught up and silent this long no longer holds the watermark back."""
    replay: bool = False
    """Event time is not the wall clock: a stream that is read to its end and idle closes its last pane at once."""
    max_future_skew_s: float = 300.0
    """Event times further ahead of the broker's clock than this are clamped for the watermark."""
    bad_ratio_limit: float = 0.5
    """Past this share of bad records in a run of at least `bad_ratio_min`, the partition pauses and pages."""
    bad_ratio_min: int = 1000
    webhook_url: str = ""
    webhook_secret: str = field(default="", repr=False)
    webhook_allow_private: bool = False
    """Permit webhooks to loopback and private addresses."""
    slack_webhook_url: str = field(default="", repr=False)
    pagerduty_routing_key: str = field(default="", repr=False)
    pagerduty_url: str = "https://events.pagerduty.com/v2/enqueue"
    grafana_url: str = ""
    grafana_token: str = field(default="", repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read every ``SEAWALL_*`` variable of `environ`.

        Raises
        ------
        ConfigError
            Naming the variable, its value and what was expected.
        """
        known = {f"SEAWALL_{f.name.upper()}": f for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, text in environ.items():
            if not name.startswith("SEAWALL_"):
                continue
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                msg = f"{name}: there is no such setting{hint}"
                raise ConfigError(msg)
            values[known[name].name] = _parse(name, text, type(known[name].default))
        return cls(**values)

    @property
    def data_path(self) -> Path:
        """`data_dir` as a path."""
        return Path(self.data_dir)

    def topic(self, name: str) -> str:
        """Full name of a topic of the catalogue."""
        return self.topic_prefix + name

    def to_env(self) -> dict[str, str]:
        """Render as environment variables, for a child process. Defaults are left out."""
        defaults = Settings()
        return {
            f"SEAWALL_{f.name.upper()}": str(getattr(self, f.name))
            for f in fields(self)
            if getattr(self, f.name) != getattr(defaults, f.name)
        }


SECRETS = frozenset(
    {
        "broker_password",
        "store_password",
        "webhook_secret",
        "slack_webhook_url",
        "pagerduty_routing_key",
        "grafana_token",
    }
)


def _parse(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() in {"1", "true", "yes", "on"}:
            return True
        if text.lower() in {"0", "false", "no", "off", ""}:
            return False
        msg = f"{name}: {text!r} is not true or false"
        raise ConfigError(msg)
    try:
        return kind(text)
    except ValueError:
        msg = f"{name}: {text!r} is not {'a whole number' if kind is int else 'a number'}"
        raise ConfigError(msg) from None
