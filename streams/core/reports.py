"""Window reports: a judgement on the bus, and the same as rows of the result tables."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.compare import Comparison
from detectors.evidence.shares import share_at_chance
from seawall.errors import ContractError
from streams.core.chunks import packed_layout, unpacked_layout
from streams.core.joint_verdicts import JointFinding
from streams.core.judge import Judgement
from streams.core.merge import LateEvents
from streams.core.packing import packed_counts, unpacked_counts

_LEVELS = ("p01", "p05", "p25", "p50", "p75", "p95", "p99")
_DESCRIBED = ("mean", "std", "minimum", "maximum")
_COUNTED = ("present", "missing", "invalid")
_COMPARED = (
    "missing_share", "out_of_range_share", "unseen_share", "psi", "psi_chance", "js", "js_chance", "ks",
    "ks_chance", "wasserstein", "wasserstein_chance", "chi2", "chi2_p",
)  # fmt: skip
#: Statistics that are kept in double precision; the others are single.
DOUBLES = frozenset((*_DESCRIBED, *_LEVELS))
_SHARES = ("missing", "out_of_range", "unseen")
#: The shares that chance alone exceeds, on the side of the usual one that was seen; reports of before have none.
_SHARE_CHANCES = tuple(f"{name}_chance" for name in _SHARES)
STATISTICS = (
    *_COUNTED, *_DESCRIBED, *_LEVELS, "distinct", *_COMPARED, "evidence", "effect_limit", "skew_js", *_SHARE_CHANCES,
)  # fmt: skip
JOINT_STATISTICS = (
    "mmd", "mmd_chance", "mmd_limit", "reconstruction", "reconstruction_usual", "reconstruction_limit",
    "reconstruction_chance",
)  # fmt: skip

Columns = dict[str, Any]


def report_record(model: str, pane_us: int, ver: int, judgement: Judgement) -> dict[str, Any]:
    """Lay a judgement out as the ``window_report`` contract."""
    batch = judgement.batch
    version, source, layout_id, segment = batch.key
    ends = (batch.first_end + np.arange(batch.windows, dtype=np.int64)) * pane_us
    counts, counts_dtype = packed_counts(batch.counts)
    return {
        "model": model,
        "version": version,
        "source": source,
        "segment": segment,
        "baseline_id": batch.baseline_id,
        "layout_id": layout_id,
        "horizon_us": batch.width * pane_us,
        "windows": batch.windows,
        "ends": ends.astype("<i8").tobytes(),
        "rows": batch.rows.astype("<i8").tobytes(),
        "weights": batch.weights.astype("<f8").tobytes(),
        "revisions": batch.revisions.astype("<i4").tobytes(),
        "ver": ver,
        "verdicts": judgement.verdicts.astype(np.int8).tobytes(),
        "columns": [c.key for c in batch.layout.columns],
        "counts": counts,
        "counts_dtype": counts_dtype,
        "stats": {name: values.tobytes() for name, values in _statistics(judgement).items()},
        "column_verdicts": judgement.column_verdicts.astype(np.int8).tobytes(),
        "layout": packed_layout(batch.layout),
        "late": [],
        "joint": None if judgement.joint is None else _joint_record(judgement.joint),
    }


def _joint_record(found: JointFinding) -> dict[str, Any]:
    """Lay out what is said of several columns at once; of pairs, only those furthest from usual."""
    plan, measured = found.plan, found.measured
    names = [f"~{key}" if bent else key for key, bent in zip(plan.keys, plan.bends, strict=True)]
    furthest = found.furthest()
    pairs, place = np.unique(furthest, return_inverse=True)

    def told(values: npt.NDArray[np.float64]) -> bytes:
        return np.take_along_axis(values, furthest, axis=1).astype("<f4").tobytes()

    return {
        "first": [names[i] for i in plan.pairs[0][pairs]],
        "second": [names[j] for j in plan.pairs[1][pairs]],
        "pairs": place.reshape(furthest.shape).astype("<u2").tobytes(),
        "correlation": told(measured.correlation),
        "usual": told(measured.usual),
        "evidence": told(found.evidence),
        "mmd": measured.mmd.astype("<f4").tobytes(),
        "mmd_chance": found.mmd_chance.astype("<f4").tobytes(),
        "mmd_limit": found.mmd_limit.astype("<f4").tobytes(),
        "reconstruction": measured.reconstruction.astype("<f4").tobytes(),
        "reconstruction_usual": measured.reconstruction_usual.astype("<f4").tobytes(),
        "reconstruction_limit": found.reconstruction_limit.astype("<f4").tobytes(),
        "verdicts": found.verdicts.tobytes(),
        "correlation_chance": told(found.correlation_chance),
        "reconstruction_chance": found.reconstruction_chance.astype("<f4").tobytes(),
    }


def _statistics(judgement: Judgement) -> dict[str, npt.NDArray[Any]]:
    """Every statistic as [windows, columns]. A pane on its own is counted, not described."""
    d, c = judgement.description, judgement.comparison
    if d is None or c is None:
        return {}
    found: dict[str, Any] = {name: getattr(d, name) for name in (*_COUNTED, *_DESCRIBED)}
    found |= {name: d.quantiles[:, :, i] for i, name in enumerate(_LEVELS)}
    found |= {name: getattr(c, name) for name in _COMPARED}
    found |= {
        "distinct": judgement.distinct,
        "evidence": judgement.ratio,
        "effect_limit": judgement.js_limit,
        "skew_js": judgement.skew_js,
    }
    found |= zip(_SHARE_CHANCES, _share_chances(c, judgement), strict=True)
    shape = judgement.ratio.shape
    return {
        name: np.broadcast_to(found[name], shape).astype("<f8" if name in DOUBLES else "<f4")
        for name in STATISTICS
    }


def _share_chances(c: Comparison, judgement: Judgement) -> npt.NDArray[np.float64]:
    """Say of each share at which one it would be beyond chance, [shares, windows, columns]."""
    value, usual = (
        np.stack([getattr(c, f"{name}_{which}") for name in _SHARES]) for which in ("share", "expected")
    )
    rows = np.broadcast_to(judgement.batch.rows[:, None].astype(np.float64), c.present.shape)
    n = np.stack([rows, c.present, c.present])
    # Four steps are exact enough to be shown, and windows are many.
    with np.errstate(invalid="ignore"):
        found = share_at_chance(usual, n, above=value >= usual, steps=4)
    return np.where(np.isnan(value) | np.isnan(usual), np.nan, found)


def late_record(model: str, ver: int, late: list[LateEvents]) -> dict[str, Any]:
    """Lay late events out as a ``window_report`` without windows."""
    empty = dict.fromkeys(
        ("ends", "rows", "weights", "revisions", "verdicts", "column_verdicts", "layout"), b""
    )
    return empty | {
        "model": model,
        "version": "",
        "source": "",
        "segment": "",
        "baseline_id": "",
        "layout_id": "",
        "horizon_us": 0,
        "windows": 0,
        "ver": ver,
        "columns": [],
        "counts": zlib.compress(b"", 1),
        "stats": {},
        "joint": None,
        "late": [
            {
                "source": e.source,
                "version": e.version,
                "pane_start": e.pane_start_us,
                "topic": e.partition.topic,
                "partition": e.partition.partition,
                "first_offset": e.first_offset,
                "rows": e.rows,
            }
            for e in late
        ],
    }


def window_rows(report: dict[str, Any]) -> Columns:
    """Rows of table ``windows``: column name to array or scalar, `counts` [windows, slots]; empty for none."""
    n = report["windows"]
    if not n:
        return {}
    ends = _array(report, "ends", "<i8", n)
    counts = unpacked_counts(report["counts"], report["counts_dtype"], n, "window_report.counts")
    return {
        **_head(report),
        "baseline_id": report["baseline_id"],
        "start": ends - report["horizon_us"],
        "end": ends,
        "rows": _array(report, "rows", "<i8", n),
        "weight": _array(report, "weights", "<f8", n),
        "verdict": _array(report, "verdicts", "i1", n),
        "counts": counts,
        "revision": _array(report, "revisions", "<i4", n),
    }


def column_rows(report: dict[str, Any]) -> Columns:
    """Rows of table ``window_columns``, or nothing for a report without statistics.

    Columns of the layout vary fastest: `column` and `role` are tuples that repeat with every window.
    """
    n, names = report["windows"], report["columns"]
    if not report["stats"] or not n:
        return {}
    k = len(names)
    roles, columns = zip(*(name.split("/", 1) for name in names), strict=True)
    rows: Columns = {
        **_head(report),
        "end": np.repeat(_array(report, "ends", "<i8", n), k),
        "column": columns,
        "role": roles,
        "verdict": _array(report, "column_verdicts", "i1", n * k),
        "revision": np.repeat(_array(report, "revisions", "<i4", n), k),
    }
    for name in STATISTICS:
        told = report["stats"].get(name) if name in _SHARE_CHANCES else report["stats"][name]
        rows[name] = (
            np.full(n * k, np.nan, dtype="<f4")
            if told is None
            else np.frombuffer(told, dtype="<f8" if name in DOUBLES else "<f4")
        )
    return rows


def joint_rows(report: dict[str, Any]) -> Columns:
    """Rows of table ``window_relations``, one a window; empty where nothing was said across columns."""
    n, joint = report["windows"], report["joint"]
    if joint is None or not n:
        return {}
    pairs = np.frombuffer(joint["pairs"], dtype="<u2").reshape(n, -1)
    rows: Columns = {
        **_head(report),
        "end": _array(report, "ends", "<i8", n),
        "verdict": _array(joint, "verdicts", "i1", n),
        "first": [[joint["first"][k] for k in of] for of in pairs],
        "second": [[joint["second"][k] for k in of] for of in pairs],
        "revision": _array(report, "revisions", "<i4", n),
    }
    for name in ("correlation", "usual", "evidence", "correlation_chance"):
        rows[name] = _told(joint[name], pairs.size).reshape(n, -1)
    for name in JOINT_STATISTICS:
        rows[name] = _told(joint[name], n)
    return rows


def _told(told: bytes, many: int) -> npt.NDArray[np.float32]:
    """Read what is said across columns; nothing is known of what reports of before did not say."""
    return np.frombuffer(told, dtype="<f4") if told else np.full(many, np.nan, dtype="<f4")


def layout_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of table ``layouts``."""
    if not report["layout"]:
        return []
    layout = unpacked_layout(report["layout_id"], report["layout"])
    return [
        {
            "layout_id": report["layout_id"],
            "column_index": i,
            "name": c.name,
            "role": c.role,
            "kind": c.kind,
            "first_slot": layout.first_slots[i],
            "slots": c.slots,
            "edges": list(c.edges),
            "categories": list(c.categories),
        }
        for i, c in enumerate(layout.columns)
    ]


def revised_windows(report: dict[str, Any]) -> list[bool]:
    """Say of each window of a report whether it was judged before."""
    found: list[bool] = (_array(report, "revisions", "<i4", report["windows"]) > 0).tolist()
    return found


def late_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of table ``late_events``."""
    return [{"model": report["model"], "ver": report["ver"], **late} for late in report["late"]]


def _head(report: dict[str, Any]) -> Columns:
    names = ("model", "version", "source", "segment", "layout_id", "horizon_us", "ver")
    return {name: report[name] for name in names}


def _array(report: dict[str, Any], name: str, dtype: str, n: int) -> npt.NDArray[Any]:
    array = np.frombuffer(report[name], dtype=dtype)
    if len(array) != n:
        msg = f"window_report.{name}: {len(array)} values, expected {n}"
        raise ContractError(msg)
    return array
