"""A store with two hours of one model: version v1, then beside it v2 whose feature drifts."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from dashboards.macros import ALL, Context

START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PANE_US, HORIZON_US = 60_000_000, 300_000_000
MODEL = "o'hare\"late"  # awkward on purpose: it must survive quoting

#: A model of which there are labels, in a range of its own that no other query sees.
LABELLED = "labelled"
LONG_BEFORE = timedelta(days=40)

#: Per version: first minute, minutes, rows a minute and their counts, slot by slot.
LAYOUTS: dict[str, list[tuple[str, str, str, list[float], list[str], list[int]]]] = {
    "v1": [
        ("carrier", "feature", "categorical", [], ["AA", "UA"], [0, 0, 6, 4]),
        ("dep_delay", "feature", "numeric", [0.0, 10.0, 20.0], [], [1, 0, 0, 5, 4, 0]),
        ("p", "score", "numeric", [0.0, 0.5, 1.0], [], [0, 0, 0, 8, 2, 0]),
    ],
    "v2": [
        ("carrier", "feature", "categorical", [], ["UA", "AA"], [0, 2, 8, 10]),
        ("dep_delay", "feature", "numeric", [0.0, 5.0, 10.0, 20.0], [], [0, 0, 0, 5, 5, 10, 0]),
        ("p", "score", "numeric", [0.0, 0.5, 1.0], [], [0, 0, 0, 4, 16, 0]),
    ],
}
PERIODS = {"v1": (0, 120, 10), "v2": (60, 60, 20)}


def context(**variables: str | tuple[str, ...]) -> Context:
    """What a dashboard that shows both hours would know."""
    chosen: dict[str, str | tuple[str, ...]] = {
        "model": MODEL,
        "version": "v2",
        "source": "predictions",
        "segment": "(all)",
        "horizon": str(HORIZON_US),
        "column": "score/p",
        "against": "v1",
        "reference": "0",
    }
    return Context(START, START + 120 * MINUTE, 600, chosen | variables)


def fleet_context(*models: str) -> Context:
    """The same for the dashboard of all models."""
    return Context(START, START + 120 * MINUTE, 600, {"model": models or (ALL,)})


def label_context(**variables: str) -> Context:
    """The same for the model whose labels say what was predicted."""
    chosen = {"model": LABELLED, "version": "1", "source": "labels", "column": "loss/error", **variables}
    start = START - LONG_BEFORE
    return Context(start, start + 120 * MINUTE, 600, {**context().variables, **chosen})


def load(client: Any) -> None:
    """Write the sample."""
    for version, columns in LAYOUTS.items():
        _load_layout(client, version, columns)
        _load_panes(client, version)
        _load_windows(client, version, columns)
    _load_relations(client, "v2")
    _load_alarms(client)
    _load_rollbacks(client)
    _load_lost(client)
    _load_labels(client)


def _insert(client: Any, table: str, rows: list[dict[str, Any]]) -> None:
    client.insert(table, [list(row.values()) for row in rows], column_names=list(rows[0]))


def _load_layout(client: Any, version: str, columns: list[Any]) -> None:
    first, rows = 0, []
    for index, (name, role, kind, edges, categories, counts) in enumerate(columns):
        rows.append(
            {
                "layout_id": f"layout-{version}",
                "column_index": index,
                "name": name,
                "role": role,
                "kind": kind,
                "first_slot": first,
                "slots": len(counts),
                "edges": edges,
                "categories": categories,
            }
        )
        first += len(counts)
    _insert(client, "layouts", rows)
    # a worker that restarted says it again
    _insert(client, "layouts", rows[:1])


def _window(version: str, end: datetime, minutes: int, **fields: Any) -> dict[str, Any]:
    counts = [n * minutes for column in LAYOUTS[version] for n in column[5]]
    return {
        "model": MODEL,
        "version": version,
        "source": "predictions",
        "segment": "",
        "baseline_id": "b",
        "layout_id": f"layout-{version}",
        "horizon_us": minutes * PANE_US,
        "start": end - minutes * MINUTE,
        "end": end,
        "rows": PERIODS[version][2] * minutes,
        "weight": 0.0,
        "verdict": "stable",
        "counts": counts,
        "revision": 0,
        "ver": 2,
    } | fields


def _load_panes(client: Any, version: str) -> None:
    first, minutes, rows = PERIODS[version]
    ends = [START + (first + i + 1) * MINUTE for i in range(minutes)]
    # a single pane is too noisy to judge on; its verdict must not show
    panes = [_window(version, end, 1, verdict="drift") for end in ends]
    # half of the panes were reported before they were complete: fewer rows, lower ver, a part of their own
    early = [p | {"rows": rows - 3, "ver": 1, "counts": [n // 2 for n in p["counts"]]} for p in panes[::2]]
    _insert(client, "windows", early)
    _insert(client, "windows", panes)
    segment = [p | {"segment": "carrier=AA", "rows": rows // 2} for p in panes]
    _insert(client, "windows", segment)


def _load_windows(client: Any, version: str, columns: list[Any]) -> None:
    first, minutes, _ = PERIODS[version]
    ends = [START + (first + i + 1) * MINUTE for i in range(4, minutes)]
    drifted = [version == "v2" and i >= 30 for i in range(len(ends))]
    verdicts = ["drift" if d else "stable" for d in drifted]
    final = [_window(version, e, 5, verdict=v) for e, v in zip(ends, verdicts, strict=True)]
    # the first report of every window called it an error; a revision took that back
    _insert(client, "windows", [w | {"verdict": "error", "ver": 1} for w in final])
    _insert(client, "windows", final)
    rows = []
    for end, is_drifted in zip(ends, drifted, strict=True):
        for name, role, kind, *_ in columns:
            is_culprit = is_drifted and name == "dep_delay"
            rows.append(
                _described(version, end, name, role, is_number=kind == "numeric", is_culprit=is_culprit)
            )
    _insert(client, "window_columns", [r | {"evidence": 9.0, "missing_share": 0.9, "ver": 1} for r in rows])
    _insert(client, "window_columns", rows)


def _load_relations(client: Any, version: str) -> None:
    """Say of two pairs that one gives way; a report before the last said it had not, a thin window says more."""
    first, minutes, _ = PERIODS[version]
    ends = [START + (first + i + 1) * MINUTE for i in range(4, minutes)]

    def row(at: int, evidence: list[float], correlation: list[float], ver: int = 2) -> dict[str, Any]:
        return {
            "model": MODEL,
            "version": version,
            "source": "predictions",
            "segment": "",
            "layout_id": f"layout-{version}",
            "horizon_us": HORIZON_US,
            "end": ends[at],
            "verdict": "stable",
            "first": ["feature/carrier", "feature/dep_delay"],
            "second": ["~feature/dep_delay", "score/p"],
            "correlation": correlation,
            "usual": [0.8, 0.5],
            "evidence": evidence,
            **dict.fromkeys(("mmd", "mmd_chance", "mmd_limit"), 0.0),
            **dict.fromkeys(("reconstruction", "reconstruction_usual", "reconstruction_limit"), 0.0),
            "revision": 0,
            "ver": ver,
        }

    drifted = ends.index(START + (first + 40) * MINUTE)
    rows = [row(drifted - 1, [0.3, 0.6], [0.7, 0.4]), row(drifted, [2.5, 0.2], [0.1, 0.5])]
    _insert(client, "window_relations", [r | {"evidence": [9.0, 9.0], "ver": 1} for r in rows])
    _insert(client, "window_relations", rows)
    thin = row(drifted + 1, [7.0, 7.0], [0.0, 0.0])
    _insert(client, "window_relations", [thin])
    window = _window(version, thin["end"], 5, verdict="not_enough_data")
    _insert(client, "windows", [window | {"ver": 3}])


def _described(
    version: str, end: datetime, name: str, role: str, *, is_number: bool, is_culprit: bool
) -> dict[str, Any]:
    nan = float("nan")
    levels = dict(
        zip(
            ("p01", "p05", "p25", "p50", "p75", "p95", "p99"),
            (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
            strict=True,
        )
    )
    return {
        "model": MODEL,
        "version": version,
        "source": "predictions",
        "segment": "",
        "layout_id": f"layout-{version}",
        "horizon_us": HORIZON_US,
        "end": end,
        "column": name,
        "role": role,
        "verdict": "drift" if is_culprit else "stable",
        "present": 50.0,
        "missing": 0.0,
        "invalid": 0.0,
        "mean": 3.0 if is_number else nan,
        "std": 1.0 if is_number else nan,
        "minimum": 0.0,
        "maximum": 6.0,
        **{level: value if is_number else nan for level, value in levels.items()},
        "distinct": nan,
        "missing_share": 0.1 if name == "dep_delay" and version == "v1" else 0.0,
        "out_of_range_share": 0.02 if is_number else nan,
        "unseen_share": nan if is_number else 0.25,
        "psi": 0.0,
        "psi_chance": 0.0,
        "js": 0.3 if is_culprit else 0.05,
        "js_chance": 0.02,
        "ks": 0.0,
        "ks_chance": 0.0,
        "wasserstein": 0.0,
        "wasserstein_chance": 0.0,
        "chi2": 0.0,
        "chi2_p": 1.0,
        "evidence": 3.0 if is_culprit else 0.5,
        "effect_limit": 0.1,
        "skew_js": nan,
        "revision": 0,
        "ver": 2,
    }


def _load_alarms(client: Any) -> None:
    def step(alarm_id: str, revision: int, state: str, minute: int, **fields: Any) -> dict[str, Any]:
        at = START + minute * MINUTE
        return {
            "alarm_id": alarm_id,
            "model": MODEL,
            "version": "v2",
            "segment": "",
            "kind": "drift",
            "state": state,
            "severity": "error",
            "revision": revision,
            "opened": START + 95 * MINUTE,
            "updated": at,
            "resolved": None,
            "emitted": at,
            "summary": f"dep_delay moved ({state})",
            "window_start": at - 5 * MINUTE,
            "window_end": at,
            "horizon_us": HORIZON_US,
            "rows": 100,
            "features": [],
            "evidence": "{}",
            "attribution": "version",
            "attribution_why": "v1 does not see it",
            "incident_id": alarm_id,
            "onset": START + 90 * MINUTE,
            "moved": "inputs",
            "story": "It began with the release.",
        } | fields

    steps = [step("a-open", 0, "open", 95), step("a-open", 1, "updated", 100, severity="critical")]
    old = {"version": "v1", "opened": START + 10 * MINUTE, "severity": "warning"}
    done = [
        step("a-done", 0, "open", 10, **old),
        step("a-done", 1, "resolved", 30, **old, resolved=START + 30 * MINUTE),
    ]
    joined = step("a-joined", 0, "open", 101, segment="origin=JFK", incident_id="a-open")
    done.append(joined)
    _insert(client, "alarms", [*steps, *done])
    # told again after a crash, in blocks cut differently: the store does not recognise them as repeated
    for one in (*steps, *done):
        _insert(client, "alarms", [one])


def _load_rollbacks(client: Any) -> None:
    def step(rollback_id: str, seq: int, state: str, minute: int) -> dict[str, Any]:
        at = START + minute * MINUTE
        return {
            "rollback_id": rollback_id,
            "model": MODEL,
            "from_version": "v2",
            "to_version": "v1",
            "state": state,
            "mode": "approve",
            "seq": seq,
            "ts": at,
            "emitted": at,
            "alarm_id": "a-open",
            "reason": "drift of dep_delay",
            "actor": "seawall",
            "evidence": "{}",
        }

    steps = [step("r-1", 0, "requested", 97), step("r-1", 1, "approved", 99), step("r-0", 0, "observed", 20)]
    _insert(client, "rollbacks", steps)
    for one in steps:
        _insert(client, "rollbacks", [one])
    event = {
        "event_id": "e-1",
        "model": MODEL,
        "version": "v2",
        "action": "promoted",
        "stage": "production",
        "ts": START + 60 * MINUTE,
        "parent": "v1",
        "replaces": "v1",
        "lineage": "{}",
        "actor": "ada",
        "reason": "better",
        "rollback_id": "",
    }
    _insert(client, "registry_events", [event])
    _insert(
        client,
        "registry_events",
        [event | {"event_id": "e-0", "action": "registered", "ts": START + 50 * MINUTE}],
    )


def _load_lost(client: Any) -> None:
    late = {
        "model": MODEL,
        "version": "v1",
        "source": "predictions",
        "pane_start": START + MINUTE,
        "topic": "seawall.predictions",
        "partition": 0,
        "first_offset": 10,
        "rows": 4,
        "ver": 1,
    }
    _insert(client, "late_events", [late])
    _insert(client, "late_events", [late | {"rows": 7, "ver": 2}])
    _insert(
        client, "late_events", [late | {"pane_start": START - 60 * MINUTE, "first_offset": 20, "rows": 5}]
    )
    letter = {
        "topic": "seawall.predictions",
        "partition": 1,
        "offset": 42,
        "reason": "truncated",
        "detail": "3 bytes left",
        "events": 2,
        "bytes": 9,
        "sha256": "",
        "seen": START + 5 * MINUTE,
    }
    _insert(client, "dead_letters", [letter])
    _insert(client, "dead_letters", [letter, letter | {"offset": 43, "seen": START + 6 * MINUTE}])


def _load_labels(client: Any) -> None:
    """Say of two losses that they rose in the second hour, and that a promise was broken and kept again."""
    start = START - LONG_BEFORE
    of = {"model": LABELLED, "version": "1", "source": "labels"}
    rows = []
    for minute in range(5, 121, 5):
        end = start + minute * MINUTE
        for name, role, mean in (
            ("error", "loss", 0.25 if minute > 60 else 0.125),
            ("brier", "loss", 0.5 if minute > 60 else 0.25),
            ("label", "label", float("nan")),
        ):
            row = _described("v1", end, name, role, is_number=role == "loss", is_culprit=minute > 60)
            rows.append(row | of | {"layout_id": "labels", "mean": mean})
    _insert(client, "window_columns", [r | {"mean": 0.9, "ver": 1} for r in rows])
    _insert(client, "window_columns", rows)
    said = "accuracy 0.75, promised >= 0.85, chance alone ±0.02, 1,440 labelled predictions"
    evidence = [
        {"name": "accuracy", "role": "promise", "value": 0.75, "limit": 0.8, "chance": 0.02, "detail": said}
    ]
    opened = start + 90 * MINUTE
    for revision, (state, minute) in enumerate((("open", 90), ("resolved", 110))):
        at = start + minute * MINUTE
        step = {
            "alarm_id": "a-promise",
            "model": LABELLED,
            "version": "1",
            "segment": "",
            "kind": "promise",
            "state": state,
            "severity": "warning",
            "revision": revision,
            "opened": opened,
            "updated": at,
            "resolved": at if state == "resolved" else None,
            "emitted": at,
            "summary": f"a promise is broken ({state})",
            "window_start": at - 5 * MINUTE,
            "window_end": at,
            "horizon_us": HORIZON_US,
            "rows": 1440,
            "features": ["accuracy"],
            "evidence": json.dumps(evidence),
            "attribution": "unknown",
            "attribution_why": "",
            "incident_id": "a-promise",
            "onset": None,
            "moved": "losses",
            "story": "",
        }
        for _ in range(2):
            _insert(client, "alarms", [step])
