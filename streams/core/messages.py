"""One step of an alarm or rollback, rendered for PagerDuty and for webhooks within their limits.

Limits come from PagerDuty's Events API v2 (summary 1024, dedup key 255, event 512 KB) and the Standard
Webhooks specification (payload under 20 kB). A message that is too long loses detail, never the page.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from seawall.sparks import spark_pair

Step = Mapping[str, Any]

PAGERDUTY_MAX_BYTES = 512_000
PAGERDUTY_SUMMARY_CHARS = 1024
PAGERDUTY_KEY_CHARS = 255
WEBHOOK_MAX_BYTES = 20_000 - 1
SHOWN_FEATURES = 10

SEVERITIES = ("critical", "error", "warning", "info")


def pagerduty_event(alarm: Step, routing_key: str, *, link: str = "") -> dict[str, Any]:
    """Render an Events API v2 event: a trigger, or the resolve of the same dedup key.

    Parameters
    ----------
    link
        Where a person can look; left out when empty.
    """
    key = dedup_key(alarm)
    if alarm["state"] == "resolved":
        return {"routing_key": routing_key, "event_action": "resolve", "dedup_key": key}
    details = _details(alarm)
    payload = {
        "summary": clip(alarm["summary"], PAGERDUTY_SUMMARY_CHARS),
        "source": clip(alarm["model"] or "seawall", 255),
        "severity": severity_of(alarm),
        "timestamp": iso(alarm["updated_us"]),
        "component": clip(alarm["version"], 255),
        "group": clip(alarm["segment"] or "all", 255),
        "class": clip(alarm["kind"], 255),
        "custom_details": details,
    }
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": key,
        "client": "Seawall",
        "payload": payload,
    }
    if link:
        event["client_url"] = link
        event["links"] = [{"href": link, "text": "Dashboard"}]
    return _shrunk(event, details, PAGERDUTY_MAX_BYTES)


def dedup_key(alarm: Step) -> str:
    """Alarm id, or a digest of it where PagerDuty would not take its length."""
    alarm_id = str(alarm["alarm_id"])
    if len(alarm_id) <= PAGERDUTY_KEY_CHARS:
        return alarm_id
    return "sha256:" + hashlib.sha256(alarm_id.encode()).hexdigest()


def webhook_body(alarm: Step) -> bytes:
    """Render the JSON body of a webhook: ``type``, ``timestamp`` and the record under ``data``.

    The type is ``alarm.open|updated|resolved`` or ``rollback.requested|…``. A record that would pass 20 kB
    loses detail and says so with ``"truncated": true``. Numbers that JSON has no word for become null.
    """
    is_rollback = "rollback_id" in alarm
    data = {name: value for name, value in alarm.items() if name != "notify"}
    at_us = alarm["ts"] if is_rollback else alarm["updated_us"]
    kind = "rollback" if is_rollback else "alarm"
    event = {"type": f"{kind}.{alarm['state']}", "timestamp": iso(at_us), "data": _finite(data)}
    return json_bytes(_shrunk(event, event["data"], WEBHOOK_MAX_BYTES))


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """Encode compactly as UTF-8. A lone surrogate, which UTF-8 cannot carry, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode(
        "utf-8", "replace"
    )


def clip(text: object, limit: int) -> str:
    """Cut to `limit` code points, with an ellipsis as the last of them."""
    text = str(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _shrunk(event: dict[str, Any], details: dict[str, Any], limit_bytes: int) -> dict[str, Any]:
    """Take detail away from `details`, which is part of `event`, least useful first, until `event` fits."""
    for shrink in _SHRINKS:
        if len(json_bytes(event)) <= limit_bytes:
            break
        shrink(details)
        details["truncated"] = True
    return event


def _drop_bars(details: dict[str, Any]) -> None:
    if "features" in details:
        bars = ("bins", "before", "after")
        details["features"] = [
            {name: value for name, value in feature.items() if name not in bars}
            for feature in details["features"]
        ]


def _drop_feature_details(details: dict[str, Any]) -> None:
    if "features" in details:
        details["features"] = [{**feature, "detail": ""} for feature in details["features"]]


def _clip_texts(details: dict[str, Any]) -> None:
    for name, value in details.items():
        if isinstance(value, str):
            details[name] = clip(value, 500)
    if "features" in details:
        details["features"] = [
            {name: clip(value, 200) if isinstance(value, str) else value for name, value in feature.items()}
            for feature in details["features"][:SHOWN_FEATURES]
        ]
    if "evidence" in details:
        kept = list(details["evidence"].items())[:SHOWN_FEATURES]
        details["evidence"] = {clip(name, 100): clip(value, 200) for name, value in kept}


def _drop_lists(details: dict[str, Any]) -> None:
    for name in ("features", "evidence", "members", "coincides", "only_in", "near", "beside"):
        details.pop(name, None)


_SHRINKS: tuple[Callable[[dict[str, Any]], None], ...] = (
    _drop_bars,
    _drop_feature_details,
    _clip_texts,
    _drop_lists,
)


def _details(alarm: Step) -> dict[str, Any]:
    details = {
        "story": alarm["story"],  # PagerDuty shows details in this order, and a phone the first few
        "see": f"seawall alarms show {alarm['alarm_id']}",
        "alarm_id": alarm["alarm_id"],
        "revision": alarm["revision"],
        "model": alarm["model"],
        "version": alarm["version"],
        "segment": alarm["segment"],
        "opened": iso(alarm["opened_us"]),
        "window": {
            "start": iso(alarm["window_start_us"]),
            "end": iso(alarm["window_end_us"]),
            "horizon_us": alarm["horizon_us"],
        },
        "rows": alarm["rows"],
        "features": [_pictured(feature) for feature in alarm["features"]],
        "attribution": alarm["attribution"],
        "attribution_why": alarm["attribution_why"],
        "began": None if alarm["onset_us"] is None else iso(alarm["onset_us"]),
        "moved": alarm["moved"],
        "only_in": list(alarm["only_in"]),
        "near": list(alarm["near"]),
        "beside": alarm["beside"],
        "coincides": [
            {"kind": c["kind"], "at": iso(c["at_us"]), "what": c["what"]} for c in alarm["coincides"]
        ],
        "members": list(alarm["members"]),
    }
    finite: dict[str, Any] = _finite(details)
    return finite


def _pictured(feature: Mapping[str, Any]) -> dict[str, Any]:
    """Draw a feature's bars as text: PagerDuty shows nothing else."""
    bars = ("bins", "before", "after")
    told = {name: value for name, value in feature.items() if name not in bars}
    before, after = spark_pair(feature["before"], feature["after"])
    return {**told, "distribution": f"{before} → {after}"} if before else told


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


def severity_of(alarm: Step) -> str:
    """Severity in PagerDuty's words. An unknown one pages as an error: better woken than not."""
    severity = str(alarm["severity"])
    return severity if severity in SEVERITIES else "error"


def iso(at_us: int) -> str:
    """ISO 8601 with milliseconds, in UTC."""
    at = datetime.fromtimestamp(at_us // 1_000_000, UTC).replace(microsecond=at_us % 1_000_000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
