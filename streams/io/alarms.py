"""Alarms as the store has them: the last step of each, and the life of one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from seawall.errors import ConfigError
from seawall.settings import Settings
from streams.io.clickhouse import Store

_LAST = """
SELECT * FROM (
    SELECT * FROM alarms FINAL
    WHERE ({model:String} = '' OR model = {model:String})
    ORDER BY alarm_id, revision DESC LIMIT 1 BY alarm_id
) WHERE {all:Bool} OR state != 'resolved'
ORDER BY state = 'resolved', updated DESC, alarm_id LIMIT {limit:UInt32}
"""
_LIFE = """
SELECT * FROM alarms FINAL
WHERE alarm_id IN (SELECT alarm_id FROM alarms WHERE startsWith(alarm_id, {alarm:String}) LIMIT 2 BY alarm_id)
ORDER BY alarm_id, revision LIMIT 2000
"""
_TOLD = """
SELECT receiver, revision, toString(outcome) AS outcome, detail, sent FROM notifications FINAL
WHERE alarm_id = {alarm:String} ORDER BY sent, receiver
"""
_TIMES = ("opened", "updated", "resolved", "emitted", "window_start", "window_end", "onset", "sent")


@dataclass(frozen=True)
class AlarmLife:
    """An alarm from its opening to its last step, and who was told."""

    steps: list[dict[str, Any]]
    """By revision; times are ISO 8601, `features` are the culprits with their bars, `context` what is beside them."""
    told: list[dict[str, Any]] = field(default_factory=list)

    @property
    def last(self) -> dict[str, Any]:
        """The last step."""
        return self.steps[-1]

    @property
    def evidence(self) -> dict[str, Any]:
        """The last step that brought evidence: a resolution only keeps what was there."""
        return next((s for s in reversed(self.steps) if s["state"] != "resolved"), self.last)


def read_alarms(
    settings: Settings, *, model: str = "", resolved: bool = False, limit: int = 100
) -> list[dict[str, Any]]:
    """Return the last step of each alarm, open ones first, the newest first.

    Raises
    ------
    Unavailable
        The store does not answer.
    """
    rows = Store(settings).query(_LAST, {"model": model, "all": resolved, "limit": limit})
    return [_step(row) for row in rows]


def read_alarm(settings: Settings, alarm: str) -> AlarmLife:
    """Return the life of one alarm, by its id or the beginning of it.

    Raises
    ------
    ConfigError
        There is no such alarm, or more than one.
    Unavailable
        The store does not answer.
    """
    store = Store(settings)
    steps = [_step(row) for row in store.query(_LIFE, {"alarm": alarm})]
    ids = list(dict.fromkeys(s["alarm_id"] for s in steps))
    if alarm in ids:
        ids = [alarm]
    if len(ids) != 1:
        found = "none begins so" if not ids else f"these do: {', '.join(ids[:5])}"
        msg = f"ID: {alarm!r}: expected the id of one alarm, or its beginning; {found}"
        raise ConfigError(msg)
    told = [_plain(row) for row in store.query(_TOLD, {"alarm": ids[0]})]
    return AlarmLife([s for s in steps if s["alarm_id"] == ids[0]], told)


def _step(row: dict[str, Any]) -> dict[str, Any]:
    step = _plain(row)
    step["features"] = json.loads(step.pop("evidence") or "[]")
    step["context"] = json.loads(step["context"]) if step["context"] else {}
    return step


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: _iso(value) if name in _TIMES else value for name, value in row.items()}


def _iso(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat(timespec="seconds")
