"""End the alarms that were open when the embedded broker's log ended.

What would have ended them, the state of the deciders, was in that log. Without an end they would be open for ever: in
the tables, on the dashboards, and where somebody was paged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from seawall.settings import Settings
from seawall.wire import encode
from streams.core.alarm_steps import AlarmStep, resolved_sentence
from streams.io.clickhouse import Store

_WHY = "the log of the broker began anew, and what was known of it went with the old one; what lasts is paged again"
_OPEN = """
SELECT * FROM (SELECT * FROM alarms FINAL ORDER BY alarm_id, revision DESC LIMIT 1 BY alarm_id)
WHERE state != 'resolved' ORDER BY updated, alarm_id
"""
_TOLD = "SELECT alarm_id, groupUniqArray(receiver) AS receivers FROM notifications FINAL GROUP BY alarm_id"


def endings(settings: Settings) -> list[tuple[str, bytes, bytes]]:
    """Return what resolves each alarm that the store has open: topic, key and message. For a broker that has none.

    An alarm ends when it was last heard of, and everybody is told who was told of it.

    Raises
    ------
    Unavailable
        The store does not answer.
    """
    store = Store(settings)
    told = {row["alarm_id"]: row["receivers"] for row in store.query(_TOLD)}
    steps = [_ended(row, told.get(row["alarm_id"], [])) for row in store.query(_OPEN)]
    now_us = time.time_ns() // 1000
    return [("alarms", step.alarm_id.encode(), encode("alarm", step.to_record(now_us))) for step in steps]


def _ended(row: Mapping[str, Any], receivers: list[str]) -> AlarmStep:
    at_us = _us(row["updated"])
    record = {
        **row,
        **(json.loads(row["context"]) if row["context"] else {}),
        "features": json.loads(row["evidence"] or "[]"),
        "notify": sorted(receivers),
        "state": "resolved",
        "revision": row["revision"] + 1,
        "resolved_us": at_us,
        "onset_us": None if row["onset"] is None else _us(row["onset"]),
        **{f"{name}_us": _us(row[name]) for name in ("opened", "updated", "window_start", "window_end")},
    }
    step = AlarmStep.from_record(record)
    return AlarmStep.from_record({**record, "summary": resolved_sentence(step, at_us, _WHY)})


def _us(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
