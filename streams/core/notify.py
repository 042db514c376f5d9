"""Who is told about which step of an alarm, and whether they have been told already.

A *step* is one record of ``schemas/alarm.avsc`` or ``schemas/rollback.avsc``, as a dict. The *ledger* is what
each receiver was told, kept in the table ``notifications``; the decision here is a pure function of both, so
that a worker which died between sending and writing the ledger repeats itself rather than falling silent.
The messages themselves are rendered in :mod:`streams.core.messages` and :mod:`streams.core.slack_blocks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

from streams.core.messages import pagerduty_event, webhook_body
from streams.core.slack_blocks import digest, slack_message

__all__ = [
    "LedgerEntry",
    "NotificationRow",
    "Reason",
    "Result",
    "digest",
    "fold",
    "needs_notification",
    "pagerduty_event",
    "receiver_kind",
    "receivers",
    "slack_message",
    "step_id",
    "step_revision",
    "told",
    "webhook_body",
]

Step = Mapping[str, Any]
"""An alarm or a rollback record."""


Kind = Literal["log", "webhook", "slack", "pagerduty"]
_KINDS: dict[str, Kind] = {"log": "log", "webhook": "webhook", "slack": "slack", "pagerduty": "pagerduty"}


class Reason(StrEnum):
    """Why a receiver has to be told. There is no member for "need not be": that is ``None``."""

    FIRST = "first"
    """Nothing is open at this receiver."""
    UPDATED = "updated"
    RESOLVED = "resolved"


class Result(StrEnum):
    """What became of one step at one receiver: the column `outcome` of the table."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    """The receiver said that it will never take this message."""
    EXPIRED = "expired"
    """Retried until the deadline. It may have arrived: an answer can be lost after the message was taken."""
    SUPERSEDED = "superseded"
    """Not sent, because a newer step of the same alarm was already waiting."""
    UNCONFIGURED = "unconfigured"
    """The monitor names a receiver that this worker has no address or key for."""


@dataclass(frozen=True, slots=True)
class NotificationRow:
    """One row of the table ``notifications``; natural key ``(alarm_id, receiver, revision)``."""

    alarm_id: str
    """For a rollback, its `rollback_id`."""
    receiver: str
    revision: int
    """For a rollback, its `seq`."""
    outcome: Result
    detail: str
    """The reason, then ``": "`` and an explanation when there is one."""
    sent_us: int
    """Wall clock, when the outcome became known."""


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What one receiver knows of one alarm."""

    revision: int
    """The newest step with an outcome."""
    is_open: bool
    """The receiver was, or may have been, told that the alarm is open, and not that it is over."""
    last: NotificationRow | None = None


def step_id(step: Step) -> str:
    """Key of the alarm or rollback that `step` belongs to."""
    return str(step["rollback_id"] if "rollback_id" in step else step["alarm_id"])


def step_revision(step: Step) -> int:
    """Position of `step` in its life: 0 for the first, +1 each, never used twice under one id."""
    return int(step["seq"] if "rollback_id" in step else step["revision"])


def is_resolve(step: Step) -> bool:
    """Say whether `step` closes an alarm. Steps of a rollback are news, none of them needs closing."""
    return "rollback_id" not in step and step["state"] == "resolved"


def receiver_kind(receiver: str) -> tuple[Kind | None, str]:
    """Split ``kind:name``.

    Parameters
    ----------
    receiver
        ``log``, ``webhook``, ``slack:#channel`` or ``pagerduty:service``; the name may be left out.

    Returns
    -------
    tuple
        Kind and name; the kind is None when Seawall knows no such receiver.
    """
    kind, _, name = receiver.partition(":")
    return _KINDS.get(kind), name


def receivers(step: Step, notify: Sequence[str] | None = None) -> tuple[str, ...]:
    """List who is to hear of `step`, in the order written, each once.

    ``log``, ``webhook`` and ``slack`` hear every step. ``pagerduty`` hears alarms only, and not those of
    severity ``info``, which are not worth waking anybody; but a resolve always goes, for the severity may
    have fallen since the page. A monitor that names nobody is logged.

    Parameters
    ----------
    notify
        The monitor's receivers; left out, the record's own `notify`. Rollback records carry none.
    """
    wanted = step.get("notify", ()) if notify is None else notify
    chosen = dict.fromkeys(str(name) for name in wanted) or {"log": None}
    return tuple(name for name in chosen if receiver_kind(name)[0] != "pagerduty" or _is_worth_a_page(step))


def _is_worth_a_page(step: Step) -> bool:
    if "rollback_id" in step:
        return False
    return is_resolve(step) or step["severity"] != "info"


def needs_notification(entry: LedgerEntry | None, alarm: Step) -> Reason | None:
    """Decide whether a receiver with this ledger has to be told about this step.

    Nothing is said when the receiver already has an outcome for this revision or a newer one, and nothing
    when an alarm ends of which the receiver never heard.

    Parameters
    ----------
    entry
        What the receiver knows; None when it never heard of the alarm.
    alarm
        A step of an alarm or of a rollback.
    """
    if entry is not None and step_revision(alarm) <= entry.revision:
        return None
    is_open = entry is not None and entry.is_open
    if is_resolve(alarm):
        return Reason.RESOLVED if is_open else None
    return Reason.UPDATED if is_open else Reason.FIRST


def told(entry: LedgerEntry | None, row: NotificationRow) -> LedgerEntry:
    """Fold one more row into what a receiver knows. An older row than the newest changes nothing."""
    if entry is not None and row.revision < entry.revision:
        return entry
    is_open = entry is not None and entry.is_open
    if row.outcome in (Result.DELIVERED, Result.EXPIRED):
        # An expired open may have arrived, so its resolve must follow; an expired resolve may not have, but
        # there is nothing newer to say about that episode, and the next open counts as a first.
        is_open = not row.detail.startswith(Reason.RESOLVED)
    if entry is None:
        return LedgerEntry(row.revision, is_open, row)
    return replace(entry, revision=row.revision, is_open=is_open, last=row)


def fold(rows: Iterable[NotificationRow]) -> dict[str, LedgerEntry]:
    """Rebuild, from one alarm's rows in any order, what each receiver knows."""
    entries: dict[str, LedgerEntry] = {}
    for row in sorted(rows, key=lambda row: row.revision):
        entries[row.receiver] = told(entries.get(row.receiver), row)
    return entries
