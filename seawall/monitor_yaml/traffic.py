"""Defaults that follow from a baseline: windows for its traffic, freshness for its gaps, and so on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from seawall.baseline import Baseline, BaselineColumn
from seawall.monitor import DAY_US, HOUR_US, MINUTE_US, MonitorSpec
from seawall.monitor_yaml import rules

#: A verdict on fewer rows than this mostly says "not enough data".
ROWS_PER_HORIZON = 200
#: A column with more values than this splits traffic too thin.
MOST_SEGMENT_VALUES = 20
MOST_SEGMENTS = 3
#: What fewer rows than this reached is mostly luck: of 100, an accuracy of 0.8 is 0.72 or 0.88 as well.
LEAST_PROMISED = 100
#: In fewer rows than this even whole numbers that were measured are mostly different.
LEAST_NUMBERED = 200
#: Share of different values from which whole numbers are taken for an identifier; a few rows may have been sent twice.
MOSTLY_DISTINCT = 0.999
#: Reference gaps that are longer than all but this share are taken for outages.
_ORDINARY_GAPS = 0.995


@dataclass(frozen=True, slots=True)
class Windows:
    """A pane, and horizons that are multiples of it."""

    pane_us: int
    horizons_us: tuple[int, ...]
    grace_us: int = HOUR_US


@dataclass(frozen=True, slots=True)
class Scatter:
    """How windows of the reference scatter around what it reached, in a metric's own unit."""

    worst: float
    """What the worst of them reached."""
    kept: float
    """What may be promised, so that windows that scatter like these break it as seldom as the budget wants."""
    horizon_us: int
    """Their length."""

    def rounded(self, name: str) -> str:
        """Write what may be promised of a metric, rounded to the side on which it is kept."""
        if rules.METRICS[name].higher_is_better:
            return f"{max(np.floor(self.kept * 100.0) / 100.0, 0.0):.2f}"
        places = 10.0 ** (3 - np.floor(np.log10(self.kept))) if self.kept > 0 else 1.0
        return f"{min(np.ceil(self.kept * places) / places, rules.METRICS[name].most or np.inf):.4g}"


#: From busy to quiet.
_LADDER = (
    Windows(MINUTE_US, (5 * MINUTE_US, HOUR_US, DAY_US)),
    Windows(5 * MINUTE_US, (15 * MINUTE_US, 2 * HOUR_US, DAY_US)),
    Windows(10 * MINUTE_US, (HOUR_US, 6 * HOUR_US, DAY_US)),
    Windows(HOUR_US, (6 * HOUR_US, DAY_US, 7 * DAY_US)),
    Windows(6 * HOUR_US, (DAY_US, 7 * DAY_US), 6 * HOUR_US),
    Windows(DAY_US, (7 * DAY_US, 28 * DAY_US), DAY_US),
)
_ROUND_US = (
    *(n * MINUTE_US for n in (5, 10, 15, 30)),
    *(n * HOUR_US for n in (1, 2, 3, 6, 12)),
    *(n * DAY_US for n in (1, 2, 3, 7, 14, 30)),
)
#: What a promise allows: less of a metric that should be high, a multiple of one that should be low.
_SLACK = 0.05
#: What is promised first.
_PROMISED = ("accuracy", "roc_auc", "log_loss", "brier", "mae", "rmse", "ece")
_SLACK_FACTOR = 1.2


def rows_per_hour(baseline: Baseline) -> float | None:
    """Return the reference's mean traffic, None when it has no time."""
    if not baseline.pane_us or not len(baseline.pane_starts):
        return None
    period_us = int(baseline.pane_starts.max()) - int(baseline.pane_starts.min()) + baseline.pane_us
    return baseline.rows * HOUR_US / period_us


def windows_for(baseline: Baseline | None) -> Windows:
    """Choose the shortest horizons that usually hold `ROWS_PER_HORIZON` rows."""
    rate = rows_per_hour(baseline) if baseline else None
    if rate is None:
        return Windows(MonitorSpec.pane_us, MonitorSpec.horizons_us, MonitorSpec.grace_us)
    for windows in _LADDER:
        if rate * windows.horizons_us[0] / HOUR_US >= ROWS_PER_HORIZON:
            return windows
    return _LADDER[-1]


def freshness_for(baseline: Baseline) -> int | None:
    """Choose a silence that the reference never ordinarily had, None when it has no time."""
    rate = rows_per_hour(baseline)
    if rate is None or rate <= 0:
        return None
    starts = np.sort(baseline.pane_starts)
    silent_us = 0
    if len(starts) > 1:
        usual = float(np.quantile(np.diff(starts), _ORDINARY_GAPS, method="higher"))
        silent_us = int(usual) - baseline.pane_us
    # A silent pane may have silence on both its sides too; without one, fifty mean distances are enough.
    least_us = silent_us + 2 * baseline.pane_us if silent_us > 0 else int(50 * HOUR_US / rate)
    return next((d for d in _ROUND_US if d >= least_us), _ROUND_US[-1])


def segments_for(baseline: Baseline) -> tuple[list[str], list[str]]:
    """Return (columns to watch separately, others that could be), those with the fewest values first."""
    fitting = [
        c
        for c in baseline.columns
        if c.role == "feature"
        and c.kind == "categorical"
        and c.name.strip()
        and 2 <= len(c.categories) <= c.distinct <= MOST_SEGMENT_VALUES
        and not _is_spread_thin(c)
    ]
    names = [c.name for c in sorted(fitting, key=lambda c: (c.distinct, c.name))]
    return names[:MOST_SEGMENTS], names[MOST_SEGMENTS:]


def identifiers(baseline: Baseline) -> list[BaselineColumn]:
    """Features that are nearly unique per row, of which no distribution can be judged."""
    return [
        c
        for c in baseline.columns
        if c.role == "feature" and (_is_text_id(c) if c.kind == "categorical" else _is_numbering(c))
    ]


def _is_text_id(column: BaselineColumn) -> bool:
    return column.distinct > max(len(column.categories), column.count // 2)


def _is_spread_thin(column: BaselineColumn) -> bool:
    """Whether a value comes less than twice on average: a part of traffic comes again."""
    return column.distinct > column.count // 2


def _is_numbering(column: BaselineColumn) -> bool:
    """Whether these are whole numbers and hardly one comes twice: such numbers are given out, not measured.

    Bins are cut half-way between two neighbouring values of the reference, so of whole numbers at a multiple of ½.
    """
    twice = 2.0 * np.asarray(column.edges)
    return (
        column.count >= LEAST_NUMBERED
        and column.distinct >= MOSTLY_DISTINCT * column.count
        and float(column.minimum).is_integer()
        and float(column.maximum).is_integer()
        and bool((twice == np.round(twice)).all())
    )


def promises_for(baseline: Baseline, scatter: Mapping[str, Scatter] | None = None) -> dict[str, str]:
    """Return a promise a little below what the reference reached, as written in a monitor; none of a few rows.

    It is of one metric, for each that is promised takes a part of the same budget. Where the windows of the reference
    scatter further than that, it is what these would have kept.
    """
    if baseline.rows < LEAST_PROMISED:
        return {}
    reached = reached_by(baseline)
    for name in _PROMISED:
        if reached.get(name, 0.0) <= 0:
            continue
        metric, kept = rules.METRICS[name], (scatter or {}).get(name)
        if metric.higher_is_better:
            bound = f"{max(0.0, min(reached[name], 1.0) - _SLACK):.2f}"
            return {name: f">= {min(bound, kept.rounded(name), key=float) if kept else bound}"}
        bound = f"{min(reached[name] * _SLACK_FACTOR, metric.most or np.inf):.4g}"
        return {name: f"<= {max(bound, kept.rounded(name), key=float) if kept else bound}"}
    return {}


def other_metrics(baseline: Baseline) -> dict[str, float]:
    """Return what the reference reached of the metrics that are not promised first."""
    promised = promises_for(baseline)
    return {name: value for name, value in reached_by(baseline).items() if name not in promised}


def reached_by(baseline: Baseline) -> dict[str, float]:
    """Return the metrics of the baseline's task that the reference has."""
    return {
        name: baseline.performance[name]
        for name, metric in rules.METRICS.items()
        if np.isfinite(baseline.performance.get(name, np.nan))
        and (not baseline.task or baseline.task in metric.tasks)
    }
