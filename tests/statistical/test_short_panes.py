"""The promise where panes are shorter than the baseline's, as they are by default: minutes against hours."""

from __future__ import annotations

import pytest

from benchmarks.detection.short_panes import baseline_of, pages
from seawall.baseline import Baseline
from seawall.monitor import MINUTE_US, MonitorSpec

DAYS = 30


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return baseline_of(0)


@pytest.mark.parametrize(
    ("minutes", "budget", "an_hour"),
    [(60, 10.0, 60), (5, 1.0, 600)],
    ids=["an hour that slides by minutes", "five minutes, shorter than any pane of the baseline"],
)
def test_windows_that_slide_by_minutes_keep_the_budget(
    minutes: int, budget: float, an_hour: float, baseline: Baseline
) -> None:
    """An hour that is looked at sixty times in an hour goes astray sixty times as often, nearly."""
    spec = MonitorSpec(
        "m",
        pane_us=MINUTE_US,
        horizons_us=(minutes * MINUTE_US,),
        min_rows=30,
        false_pages=budget,
        multivariate=False,
    )
    assert baseline.pane_us == 60 * MINUTE_US
    assert pages(baseline, spec, DAYS, an_hour, 1) <= budget * DAYS / 30
