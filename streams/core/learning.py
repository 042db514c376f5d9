"""Whether a baseline is long enough to learn limits from, said before anybody is paged."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from detectors.evidence.limits import LEAST_BLOCKS
from detectors.evidence.shares import share_chance
from detectors.layout import Layout
from seawall.baseline import Baseline
from seawall.durations import format_duration
from seawall.monitor import DAY_US, MonitorSpec
from streams.core.calibration import WATCHED, Calibration
from streams.core.judge import Judge, Kind
from streams.core.layouts import Control, baseline_layout

#: Rows of a window for which it is said what a baseline without times costs.
_FEW = 100


def too_short(baseline: Baseline, spec: MonitorSpec) -> list[str]:
    """Say of the horizons whose limits are guesswork what is missing; of a baseline of 25 columns in a second.

    What is asked is what a worker asks when the version's first windows close: the calibration itself.
    """
    control = Control()
    control.set_monitor(spec)
    control.set_baseline(baseline)
    by_text: dict[str, list[str]] = {}
    for horizon_us, said in _said(baseline, spec, Judge(control)):
        by_text.setdefault(said, []).append(format_duration(horizon_us))
    return [f"horizon{'s' * (len(of) > 1)} {', '.join(of)}: {said}" for said, of in by_text.items()]


def _said(baseline: Baseline, spec: MonitorSpec, judge: Judge) -> Iterator[tuple[int, str]]:
    layout = Layout.of(baseline_layout(baseline, "predictions").columns)
    key = (baseline.version, "predictions", layout.layout_id, "")
    reference = judge.reference_of(spec, key, baseline.baseline_id, layout)
    assert reference is not None  # noqa: S101 - all traffic has one
    for horizon_us in spec.horizons_us:
        kind = Kind(key, layout, baseline.baseline_id, horizon_us // spec.pane_us)
        calibration = judge.calibration(spec, kind, reference)
        if not baseline.pane_us:
            yield horizon_us, _without_times(calibration, len(layout.columns))
        elif calibration.limit.warning:
            yield horizon_us, f"{calibration.limit.warning}; {_wanted(baseline, spec, horizon_us)}"


def _without_times(calibration: Calibration, columns: int) -> str:
    """Say what having no times costs, and what to do about it."""
    location = WATCHED.index("location") * columns
    many, few = (
        math.sqrt(
            calibration.scale.limit(calibration.limit.score, np.full(calibration.scale.mean.shape, c))[
                location
            ]
        )
        for c in (0.0, float(share_chance(_FEW)))
    )
    return (
        f"{calibration.limit.warning}, so a number must move by {many:.1f} standard deviations to be paged, by "
        f"{few:.1f} where a window has {_FEW} rows; from about four weeks of rows with times (--time-column of "
        "`seawall baseline build`) limits are learnt"
    )


def _wanted(baseline: Baseline, spec: MonitorSpec, horizon_us: int) -> str:
    """Say what would do: so many days, or more rows in them."""
    # A block is a day, or two windows if these are longer.
    days = math.ceil(LEAST_BLOCKS * max(DAY_US, 2 * horizon_us) / DAY_US)
    starts = baseline.pane_starts
    held = (int(starts[-1]) + baseline.pane_us - int(starts[0])) / DAY_US
    if held < days:
        return f"it holds {held:.3g} days, and about {days} would do"
    return f"too few of its windows have the {spec.min_rows} rows of min_rows"
