"""An offline recount: every window in the store, made again in pandas from the events that were sent.

It shares no code with the worker beyond the table of layouts, which says where the bins are. Counts and bins must be
equal; mean, standard deviation, minimum and maximum must agree to 1e-9, relative.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from examples.flights.data import HOUR_US
from examples.flights.features import SERVING
from examples.flights.model import SCORE, WARN_FROM
from examples.flights.store import PANE_US, Questions
from examples.flights.world import World

TOLERANCE = 1e-9
Ints = npt.NDArray[np.int64]

_SERIES = """
    SELECT DISTINCT source, version, segment, layout_id, horizon_us FROM windows
    WHERE model = {model:String} ORDER BY source, version, segment, layout_id, horizon_us
"""
_LAYOUT = """
    SELECT column_index, name, role, kind, first_slot, slots, edges, categories FROM layouts FINAL
    WHERE layout_id = {layout:String} ORDER BY column_index
"""
_WINDOWS = """
    SELECT toUnixTimestamp64Micro(end) AS end_us, toInt64(rows) AS n, counts FROM windows FINAL
    WHERE model = {model:String} AND source = {source:String} AND version = {version:String}
      AND segment = {segment:String} AND layout_id = {layout:String} AND horizon_us = {horizon:Int64}
    ORDER BY end
"""
_MOMENTS = """
    SELECT toUnixTimestamp64Micro(end) AS end_us, mean, std, minimum, maximum FROM window_columns FINAL
    WHERE model = {model:String} AND source = {source:String} AND version = {version:String}
      AND segment = {segment:String} AND layout_id = {layout:String} AND horizon_us = {horizon:Int64}
      AND role = {role:String} AND column = {column:String}
    ORDER BY end
"""


@dataclass
class Verdict:
    """What the recount found."""

    windows: int = 0
    bins: int = 0
    moments: int = 0
    missing: int = 0
    differences: list[str] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Whether the store says what the events say."""
        return not self.differences and not self.missing and self.windows > 0

    def __str__(self) -> str:
        """One line for people."""
        if self.is_equal:
            said = f"{self.windows:,} windows, {self.bins:,} bins equal; {self.moments:,} moments within {TOLERANCE:g}"
            return f"recount in pandas: {said}"
        shown = "; ".join(self.differences[:5])
        count = f"{self.missing} windows missing, {len(self.differences)} differences"
        return f"recount in pandas DIFFERS: {count}: {shown}"


def sent_events(
    world: World, served_by: npt.NDArray[np.object_], span_us: tuple[int, int]
) -> dict[str, pd.DataFrame]:
    """Return what the product sent in a span, by source: ``ts``, ``version`` and columns as role/name."""
    inside = (world.planned_us >= span_us[0]) & (world.planned_us < span_us[1])
    features = world.table[inside].rename(columns=lambda name: f"feature/{name}")
    features = features.assign(ts=world.planned_us[inside], version=served_by[inside])
    predictions = []
    for version, scores in world.scores.items():
        rows = inside & (served_by == version)
        served = SERVING[version](world.table[rows]).rename(columns=lambda name: f"feature/{name}")
        served[f"score/{SCORE}"] = scores[rows]
        served["prediction/label"] = np.where(scores[rows] >= WARN_FROM, "late", "on time")
        predictions.append(served.assign(ts=world.planned_us[rows], version=version))
    order = world.landing_order
    landed = order[(world.landed_us[order] >= span_us[0]) & (world.landed_us[order] < span_us[1])]
    labels = pd.DataFrame(
        {
            "ts": world.landed_us[landed],
            "version": served_by[landed],
            "label/label": np.where(world.late[landed] == 1, "late", "on time"),
            **_losses(world, served_by, landed),
        }
    )
    return {"features": features, "predictions": pd.concat(predictions), "labels": labels}


def _losses(
    world: World, served_by: npt.NDArray[np.object_], landed: Ints
) -> dict[str, npt.NDArray[np.float64]]:
    """Say what the predictions of flights cost; NaN for those that no version served."""
    score, is_late = np.full(len(landed), np.nan), world.late[landed] == 1
    for version, scores in world.scores.items():
        score = np.where(served_by[landed] == version, scores[landed], score)
    given = np.where(is_late, score, 1 - score)
    return {
        "loss/error": np.where(np.isnan(score), np.nan, (score >= WARN_FROM) != is_late),
        "loss/brier": (1 - given) ** 2,
        "loss/log_loss": -np.log(np.maximum(given, 1e-15)),
    }


def verify(
    questions: Questions,
    world: World,
    served_by: npt.NDArray[np.object_],
    span_us: tuple[int, int],
    segments: Sequence[str] = (),
) -> Verdict:
    """Recount every window that the store holds, and see that none is missing.

    Parameters
    ----------
    span_us
        What was replayed.
    segments
        The monitor's segment columns.
    """
    found, events = Verdict(), sent_events(world, served_by, span_us)
    held: set[tuple[str, str, str]] = set()
    for series in questions.rows(_SERIES):
        mine = _of(events[series["source"]], series["version"], series["segment"])
        held.add((series["source"], series["version"], series["segment"]))
        _compare(questions, series, mine, found)
    for source, table in events.items():
        for version, segment in _expected(table, segments):
            if (source, version, segment) not in held:
                found.differences.append(f"{source} {version!r} {segment!r}: nothing in the store")
    return found


def _expected(table: pd.DataFrame, segments: Sequence[str]) -> Iterator[tuple[str, str]]:
    for version, part in table.groupby("version"):
        yield str(version), ""
        for name in segments:
            if f"feature/{name}" in part:
                yield from (
                    (str(version), f"{name}={value}") for value in part[f"feature/{name}"].dropna().unique()
                )


def _of(table: pd.DataFrame, version: str, segment: str) -> pd.DataFrame:
    mine = table[table["version"] == version]
    if segment:
        name, value = segment.split("=", 1)
        mine = mine[mine[f"feature/{name}"].astype(object) == value]
    return mine.sort_values("ts", kind="stable")


def _compare(questions: Questions, series: dict[str, Any], mine: pd.DataFrame, found: Verdict) -> None:
    key = {"source": series["source"], "version": series["version"], "segment": series["segment"]}
    where = f"{key['source']} {key['version']!r} {key['segment']!r} {series['horizon_us'] // HOUR_US} h"
    key |= {"layout": series["layout_id"], "horizon": series["horizon_us"]}
    layout = questions.rows(_LAYOUT, layout=series["layout_id"])
    stored = questions.rows(_WINDOWS, **key)
    ends = np.array([row["end_us"] for row in stored], dtype=np.int64)
    width = series["horizon_us"] // PANE_US
    panes, rows, counts = _panes(mine, layout)
    # A window exists when a pane of it has events; the newest are still open when the pane after them is.
    expected = np.unique((panes[:, None] + np.arange(1, width + 1)).ravel()) * PANE_US
    expected = expected[expected <= (int(ends.max()) if len(ends) else 0)]
    found.missing += len(np.setdiff1d(expected, ends))
    first = int(panes.min()) - width
    dense = np.zeros((int(panes.max()) - first + width + 1, counts.shape[1] + 1), dtype=np.int64)
    dense[panes - first, 0] = rows
    dense[panes - first, 1:] = counts
    rolled = pd.DataFrame(dense).rolling(int(width)).sum().to_numpy()
    for row, end_us in zip(stored, ends.tolist(), strict=True):
        wanted = rolled[end_us // PANE_US - 1 - first]
        found.windows += 1
        found.bins += len(wanted) - 1
        if row["n"] != wanted[0] or not np.array_equal(np.asarray(row["counts"]), wanted[1:]):
            off = int(np.abs(np.asarray(row["counts"]) - wanted[1:]).sum())
            at = pd.Timestamp(end_us, unit="us")
            found.differences.append(
                f"{where} ending {at}: {row['n']} rows for {wanted[0]:g}, bins off by {off}"
            )
    if width > 1:
        for column in layout:
            if column["kind"] == "numeric":
                _compare_moments(
                    questions, {**key, "role": column["role"], "column": column["name"]}, mine, where, found
                )


def _panes(mine: pd.DataFrame, layout: list[dict[str, Any]]) -> tuple[Ints, Ints, Ints]:
    """Count events by pane and slot."""
    panes, at = np.unique(mine["ts"].to_numpy() // PANE_US, return_inverse=True)
    counts = np.zeros((len(panes), sum(column["slots"] for column in layout)), dtype=np.int64)
    for column in layout:
        name = f"{column['role']}/{column['name']}"
        slots = _slots(mine.get(name), column, len(mine))
        np.add.at(counts, (at, column["first_slot"] + slots), 1)
    return panes, np.bincount(at, minlength=len(panes)), counts


def _slots(values: pd.Series[Any] | None, column: dict[str, Any], rows: int) -> Ints:
    """Slot of each value: 0 missing; then invalid, below, bins, above; or other and the categories."""
    if values is None:
        return np.zeros(rows, dtype=np.int64)
    if column["kind"] == "categorical":
        place = {word: i + 2 for i, word in enumerate(column["categories"])}
        words = values.astype(object)
        return np.where(words.isna(), 0, words.map(place).fillna(1)).astype(np.int64)
    numbers, edges = values.to_numpy(dtype=float), list(column["edges"])
    inside = pd.cut(numbers, [-np.inf, *edges, np.inf], right=False, labels=False)
    # The last bin is closed: its upper edge belongs to it, not to what is above.
    inside = np.where(numbers == edges[-1], max(len(edges) - 1, 1), inside)
    return np.where(
        np.isnan(numbers), 0, np.where(np.isinf(numbers), 1, np.nan_to_num(inside, posinf=0) + 2)
    ).astype(np.int64)


def _compare_moments(
    questions: Questions, key: dict[str, Any], mine: pd.DataFrame, where: str, found: Verdict
) -> None:
    name = f"{key['role']}/{key['column']}"
    values = mine[name].to_numpy(dtype=float) if name in mine else np.full(len(mine), np.nan)
    times = mine["ts"].to_numpy()
    for row in questions.rows(_MOMENTS, **key):
        a, b = np.searchsorted(times, [row["end_us"] - key["horizon"], row["end_us"]])
        present = values[a:b][np.isfinite(values[a:b])]
        if not len(present):
            continue
        told = np.array([row[k] for k in ("mean", "std", "minimum", "maximum")])
        wanted = np.array([present.mean(), present.std(), present.min(), present.max()])
        size = max(float(np.abs(present).max()), 1e-300)
        found.moments += 4
        # A mean near nothing of large values has rounding of its own.
        if not np.all(np.abs(told - wanted) <= TOLERANCE * np.maximum(np.abs(wanted), 1e-3 * size)):
            found.differences.append(
                f"{where} {name} ending {pd.Timestamp(row['end_us'], unit='us')}: {told} for {wanted}"
            )
