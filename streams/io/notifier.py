"""What every receiver looks like from the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from streams.core.notify import Result


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message."""

    result: Result
    detail: str = ""
    """Free of secrets."""
    attempts: int = 1


class Notifier(Protocol):
    """Tells one receiver."""

    concurrency: int
    """How many alarms may be on their way at once; the outbox keeps to it."""

    async def send(self, alarm: Mapping[str, Any]) -> Outcome:
        """Tell the receiver one step of an alarm or rollback.

        Blocks until the receiver has taken or refused the message, or the notifier's deadline has passed, and
        retries in between. Never raises for what the outside does; errors are outcomes. Sending the same step
        again is safe: it carries the same key.
        """
        ...
