"""One alarm and one rollback, shaped like the schemas; tests change what they are about."""

from __future__ import annotations

from typing import Any

T0_US = 1_700_000_000_000_000


def feature(**changes: Any) -> dict[str, Any]:
    sample: dict[str, Any] = {
        "name": "dep_delay",
        "role": "feature",
        "statistic": "js",
        "value": 0.31,
        "limit": 0.1,
        "chance": 0.004,
        "detail": "mean 12.1 to 48.0",
    }
    return {**sample, **changes}


def alarm(**changes: Any) -> dict[str, Any]:
    sample: dict[str, Any] = {
        "alarm_id": "late-arrival/3/all/drift/1700000000",
        "model": "late-arrival",
        "version": "3",
        "segment": "",
        "kind": "drift",
        "state": "open",
        "severity": "critical",
        "revision": 0,
        "opened_us": T0_US,
        "updated_us": T0_US + 60_000_000,
        "resolved_us": None,
        "emitted_us": T0_US + 61_000_000,
        "summary": "dep_delay has moved",
        "window_start_us": T0_US - 300_000_000,
        "window_end_us": T0_US,
        "horizon_us": 300_000_000,
        "rows": 12_345,
        "features": [feature()],
        "attribution": "version",
        "attribution_why": "version 2 does not see it on the same traffic",
        "notify": ["log"],
    }
    return {**sample, **changes}


def rollback(**changes: Any) -> dict[str, Any]:
    sample: dict[str, Any] = {
        "rollback_id": "rb-1",
        "model": "late-arrival",
        "from_version": "3",
        "to_version": "2",
        "state": "requested",
        "mode": "approve",
        "seq": 0,
        "ts": T0_US,
        "emitted_us": T0_US,
        "alarm_id": "late-arrival/3/all/drift/1700000000",
        "reason": "roc_auc 0.61 is below 0.80 since version 3",
        "actor": "seawall",
        "evidence": {"roc_auc": "0.61"},
    }
    return {**sample, **changes}
