"""A baseline that is too short to learn from is said to be before anybody is paged by its limits."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detection.play import play
from benchmarks.detection.traffic import Fault, Traffic
from seawall.baseline import Baseline
from seawall.frames import Columns
from seawall.monitor import DAY_US, HOUR_US, MonitorSpec
from streams.core.build_baseline import build_baseline
from streams.core.learning import too_short
from tests.streams.core.builders import T0

SPEC = MonitorSpec("m", pane_us=HOUR_US, horizons_us=(HOUR_US, 6 * HOUR_US, DAY_US))


def baseline(days: int, rows_an_hour: int = 60) -> Baseline:
    rows = days * 24 * rows_an_hour
    ts = T0 // DAY_US * DAY_US + np.arange(rows, dtype=np.int64) * (HOUR_US // rows_an_hour)
    columns = Columns(
        "predictions", "m", "1", ts, numeric={"x": np.random.default_rng(days).normal(size=rows)}
    )
    return build_baseline(columns, model="m", version="1", now_us=0)


def test_of_four_weeks_every_horizon_up_to_a_day_is_learnt() -> None:
    assert too_short(baseline(28), SPEC) == []


def test_of_two_weeks_a_day_is_not_learnt_and_it_is_said_how_many_days_would_do() -> None:
    (said,) = too_short(baseline(14), SPEC)
    assert said.startswith("horizon 1d: the baseline has ")
    assert said.endswith(
        "blocks of time to learn from, 10 are needed: limits are 1.5 times as wide; "
        "it holds 14 days, and about 20 would do"
    )


def test_horizons_of_one_cause_are_told_together() -> None:
    short = too_short(baseline(1), SPEC)
    assert [s.split(":")[0] for s in short] == ["horizons 1h, 6h", "horizon 1d"]
    assert short[0].endswith("it holds 1 days, and about 10 would do")
    assert all("limits are 6.3 times as wide" in said for said in short)
    assert all("limits are 2.7 times as wide" in said for said in too_short(baseline(2), SPEC))


def test_windows_with_too_few_rows_teach_nothing_however_long_the_baseline_is() -> None:
    said = too_short(baseline(28, rows_an_hour=5), SPEC)
    assert said[0].startswith("horizon 1h: ")
    assert said[0].endswith("too few of its windows have the 30 rows of min_rows")


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_it_is_said_of_a_baseline_without_times_what_that_costs_and_what_to_do(zone: str) -> None:
    columns = Columns("predictions", "m", "1", np.zeros(500, dtype=np.int64), numeric={"x": np.arange(500.0)})
    built = build_baseline(columns, model="m", version="1", now_us=0)
    *of_hours, of_days = too_short(
        built, MonitorSpec("m", pane_us=HOUR_US, horizons_us=SPEC.horizons_us, timezone=zone)
    )
    assert all(said.startswith("horizon") for said in of_hours)
    assert of_days == (
        "horizon 1d: the baseline has no times: limits allow for rows that are alike and levels that wander, so a number "
        "must move by 0.7 standard deviations to be paged, by 1.6 where a window has 100 rows; from about four weeks of "
        "rows with times (--time-column of `seawall baseline build`) limits are learnt"
    )


def test_what_is_said_of_a_baseline_without_times_is_what_it_pages() -> None:
    """A lasting shift a little below what is said, and one a little above, of very many rows."""
    traffic = Traffic("dense", features=2, rows=4000.0)
    built = traffic.baseline(3, 1, times=False)
    for size, pages in ((0.75, False), (0.95, True)):
        layout, counts = traffic.counts(built, 4, 2, (Fault("mean", size, 24),))
        assert bool(play(built, layout, counts, SPEC).opened) == pages
