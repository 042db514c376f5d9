"""What the report shows, read from the store (and, for the truth, from the flights themselves)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.flights.data import DAY_US
from examples.flights.features import SERVING
from examples.flights.model import SCORE, quality
from examples.flights.store import PANE_US, SHORT_US, Questions
from examples.flights.world import World

Series = list[tuple[int, float]]
#: Fewer labels than this say little about a model.
MIN_LABELS = 50

_HEAT = """
    SELECT column, role, toUnixTimestamp64Micro(toDateTime64(toStartOfDay(end - INTERVAL 6 HOUR), 6, 'UTC')) AS day_us,
        max(evidence) AS ratio
    FROM window_columns FINAL
    WHERE model = {model:String} AND source = 'predictions' AND segment = '' AND horizon_us = {day:Int64}
      AND verdict != 'not_enough_data' AND NOT isNaN(evidence)
    GROUP BY column, role, day_us ORDER BY day_us
"""
_NEAR = """
    SELECT version, column, role, toUnixTimestamp64Micro(end) AS end_us, evidence
    FROM window_columns FINAL
    WHERE model = {model:String} AND source = 'predictions' AND segment = '' AND horizon_us = {short:Int64}
      AND verdict != 'not_enough_data' AND NOT isNaN(evidence)
      AND toUnixTimestamp64Micro(end) BETWEEN {since:Int64} AND {until:Int64}
    ORDER BY end
"""
_SCORES = """
    SELECT day_us, argMax(p05, end) AS p05, argMax(p25, end) AS p25, argMax(p50, end) AS p50,
        argMax(p75, end) AS p75, argMax(p95, end) AS p95
    FROM (
        SELECT *, toUnixTimestamp64Micro(toDateTime64(toStartOfDay(end - INTERVAL 6 HOUR), 6, 'UTC')) AS day_us
        FROM window_columns FINAL
        WHERE model = {model:String} AND source = 'predictions' AND segment = '' AND role = 'score'
          AND column = {score:String} AND horizon_us = {day:Int64} AND version = {version:String} AND present > 0
    ) GROUP BY day_us ORDER BY day_us
"""
_VOLUME = """
    SELECT version, toUnixTimestamp64Micro(toDateTime64(toStartOfDay(start - INTERVAL 5 HOUR), 6, 'UTC')) AS day_us,
        toInt64(sum(rows)) AS n
    FROM windows FINAL
    WHERE model = {model:String} AND source = 'predictions' AND segment = '' AND horizon_us = {pane:Int64}
    GROUP BY version, day_us ORDER BY day_us
"""


@dataclass
class ReportData:
    """Everything that is drawn."""

    heat: dict[str, Series] = field(default_factory=dict)
    near: dict[tuple[str, str], Series] = field(default_factory=dict)
    """Distance over limit in six-hour windows around the release, by (version, column)."""
    scores: list[dict[str, Any]] = field(default_factory=list)
    volume: dict[str, Series] = field(default_factory=dict)
    weekly: dict[str, list[tuple[int, dict[str, float], int]]] = field(default_factory=dict)
    """By version: (first day of the week, quality, labels)."""


def collect(
    questions: Questions, world: World, served_by: npt.NDArray[np.object_], around_us: tuple[int, int]
) -> ReportData:
    """Ask the store for what is drawn; `around_us` is the stretch around the release."""
    found = ReportData()
    heat: dict[str, Series] = defaultdict(list)
    for row in questions.rows(_HEAT, day=DAY_US):
        heat[_name(row)].append((row["day_us"], float(row["ratio"])))
    found.heat = dict(heat)
    near: dict[tuple[str, str], Series] = defaultdict(list)
    for row in questions.rows(_NEAR, short=SHORT_US, since=around_us[0], until=around_us[1]):
        near[row["version"], _name(row)].append((row["end_us"], float(row["evidence"])))
    found.near = dict(near)
    found.scores = questions.rows(_SCORES, day=DAY_US, score=SCORE, version="v1")
    volume: dict[str, Series] = defaultdict(list)
    for row in questions.rows(_VOLUME, pane=PANE_US):
        volume[row["version"]].append((row["day_us"], float(row["n"])))
    found.volume = dict(volume)
    found.weekly = {v: _weekly(world, served_by, v) for v in world.scores}
    return found


def _name(row: dict[str, Any]) -> str:
    if row["role"] == "feature":
        return str(row["column"])
    return "score" if row["role"] == "score" else "warned or not"


def _weekly(
    world: World, served_by: npt.NDArray[np.object_], version: str
) -> list[tuple[int, dict[str, float], int]]:
    """How good a version was, week by week, on the flights that it served and that landed."""
    known = np.flatnonzero((served_by == version) & (world.late >= 0))
    if not len(known):
        return []
    week_us = 7 * DAY_US
    first = int(world.planned_us[known[0]])
    out = []
    weeks = (world.planned_us[known] - first) // week_us
    for week in np.unique(weeks):
        rows = known[weeks == week]
        late = world.late[rows]
        if len(rows) >= MIN_LABELS and 0 < late.sum() < len(late):
            out.append((first + int(week) * week_us, quality(late, world.scores[version][rows]), len(rows)))
    return out


def served_values(
    world: World, served_by: npt.NDArray[np.object_], version: str, column: str, since_us: int, until_us: int
) -> npt.NDArray[np.float64]:
    """Return what a version's pipeline fed it for one column, for flights planned in ``[since_us, until_us)``."""
    rows = np.flatnonzero(
        (served_by == version) & (world.planned_us >= since_us) & (world.planned_us < until_us)
    )
    values: npt.NDArray[np.float64] = SERVING[version](world.table.iloc[rows])[column].to_numpy(dtype=float)
    return values[np.isfinite(values)]
