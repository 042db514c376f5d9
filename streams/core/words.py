"""Short names and short sentences that more than one decision needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

#: The statistic of freshness, in seconds.
SILENCE = "silent_seconds"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def short_id(*parts: str | int) -> str:
    """Sixteen hex digits that depend on `parts` alone: the same cause keeps the same id on every replay."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()


def utc_text(at_us: int) -> str:
    """Say a time the way a person reads it on a page: ``2013-06-03 14:00 UTC``."""
    return f"{_EPOCH + timedelta(microseconds=at_us):%Y-%m-%d %H:%M} UTC"


def span_text(length_us: int) -> str:
    """Say a length of time in its two largest units: ``2d 3h``, ``45m``."""
    minutes = max(length_us, 0) // 60_000_000
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    said = [f"{n}{unit}" for n, unit in ((days, "d"), (hours, "h"), (rest, "m")) if n]
    return " ".join(said[:2]) or "0m"


def duration_text(seconds: float) -> str:
    """Say how long something lasted, in its two largest units: ``1 h 10 min``, ``40 s``."""
    whole = max(round(seconds), 0)
    parts = ((whole // 86_400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    first = next((i for i, (n, _) in enumerate(parts) if n), len(parts) - 1)
    return " ".join(f"{n} {unit}" for n, unit in parts[first : first + 2] if n) or "0 s"


def value_text(statistic: str, value: float) -> str:
    """Say a value, limit or chance of a statistic: a silence as a duration, rows in full, the rest in three digits."""
    if statistic == SILENCE:
        return duration_text(value)
    return f"{value:,.0f}" if statistic == "rows" else f"{value:.3g}"


def silence_text(silent_s: float, limit_s: float, usual_s: float) -> str:
    """Say a silence of predictions as who is on call wants it; `usual_s` is 0 while the usual rate is not known.

    >>> silence_text(2520, 600, 180)
    'no predictions for 42 min, usually at most 3 min (limit 10 min)'
    """
    usual = f", usually at most {duration_text(usual_s)}" if usual_s > 0 else ""
    return f"no predictions for {duration_text(silent_s)}{usual} (limit {duration_text(limit_s)})"


def list_text(names: Sequence[str], most: int = 3) -> str:
    """Join the first `most` names and count the rest: ``a, b and 4 more``."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
