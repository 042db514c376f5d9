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
        "importance": 0.4,
        "onset_us": T0_US - 120_000_000,
        "bins": ["below 0", "0 to 30", "30 to 60", "above 60"],
        "before": [0.1, 0.6, 0.2, 0.1],
        "after": [0.0, 0.2, 0.3, 0.5],
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
        "summary": "late-arrival 3: dep_delay has moved",
        "window_start_us": T0_US - 300_000_000,
        "window_end_us": T0_US,
        "horizon_us": 300_000_000,
        "rows": 12_345,
        "features": [feature()],
        "attribution": "version",
        "attribution_why": "version 2 does not see it on the same traffic",
        "notify": ["log"],
        "incident_id": "late-arrival/3/all/drift/1700000000",
        "onset_us": T0_US - 120_000_000,
        "onset_why": "estimated from the panes of dep_delay",
        "moved": "inputs",
        "only_in": ["origin=JFK"],
        "near": ["arr_delay"],
        "beside": {"version": "2", "sees": "no", "why": "2 is stable on the traffic of the same time"},
        "coincides": [
            {
                "kind": "release",
                "at_us": T0_US - 180_000_000,
                "what": "the release of 3 at 2023-11-14 22:10 UTC",
            }
        ],
        "members": [
            {
                "alarm_id": "late-arrival/3/all/volume/1700000000",
                "version": "",
                "segment": "",
                "kind": "volume",
                "severity": "warning",
                "columns": ["volume"],
                "is_open": True,
            }
        ],
        "story": "It began about 2023-11-14 22:11 UTC, together with the release of 3 at 2023-11-14 22:10 UTC.",
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
