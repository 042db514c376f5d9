"""The promise where panes are shorter than the baseline's, as they are by default: minutes against hours."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.layout import Layout
from detectors.slide import sliding_sum
from detectors.summary import REGISTERS
from seawall.baseline import Baseline
from seawall.frames import Columns
from seawall.monitor import DAY_US, MINUTE_US, MonitorSpec
from streams.core.alarms import AlarmBook, in_order
from streams.core.build_baseline import build_baseline
from streams.core.judge import Judge
from streams.core.layouts import Control, baseline_layout
from streams.core.series import WindowBatch

T0 = 1_700_000_000_000_000 // DAY_US * DAY_US
DAYS, COLUMNS = 30, 4


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    days, an_hour = 28, 120
    rows = days * 24 * an_hour
    rng = np.random.default_rng(0)
    ts = T0 - days * DAY_US + np.arange(rows) * (days * DAY_US // rows)
    values = {f"x{i}": rng.normal(size=rows) for i in range(COLUMNS)}
    return build_baseline(Columns("predictions", "m", "v1", ts, values), model="m", version="v1", now_us=0)


@pytest.mark.parametrize(
    ("minutes", "budget", "rows"),
    [(60, 10.0, 1), (5, 1.0, 10)],
    ids=["an hour that slides by minutes", "five minutes, shorter than any pane of the baseline"],
)
def test_windows_that_slide_by_minutes_keep_the_budget(
    minutes: int, budget: float, rows: int, baseline: Baseline
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
    control = Control()
    control.set_baseline(baseline)
    control.set_monitor(spec)
    judge, book = Judge(control), AlarmBook("m")
    layout = Layout.of(baseline_layout(baseline, "predictions").columns)
    verdicts = [
        w for batch in quiet(layout, baseline, minutes, rows) for w in judge.judge(spec, batch).windows
    ]
    steps = [s for v in in_order(verdicts) for s in book.step(v, spec)]
    assert sum(s.state == "open" for s in steps) <= budget * DAYS / 30


def quiet(layout: Layout, baseline: Baseline, width: int, an_minute: int) -> list[WindowBatch]:
    """Windows of `width` minutes of traffic like the baseline's, a few hundred at a time."""
    rng = np.random.default_rng(1)
    panes = DAYS * 24 * 60
    pane_rows = rng.poisson(an_minute, size=panes).astype(np.int64)
    of_pane = np.repeat(np.arange(panes), pane_rows)
    counts = np.zeros((panes, layout.slots), dtype=np.int64)
    for i, column in enumerate(layout.columns):
        # Missing, invalid, below; then the bins, and above.
        slot = 2 + np.searchsorted(np.array(column.edges), rng.normal(size=len(of_pane)), side="right")
        np.add.at(counts, (of_pane, layout.slice_of(i).start + slot), 1)
    out = []
    for stop in range(width, panes + 1, 250):
        upto = min(stop + 250, panes + 1) - 1
        here = slice(stop - width, upto)
        rows = sliding_sum(pane_rows[here, None], width)[:, 0]
        out.append(
            WindowBatch(
                ("v1", "predictions", layout.layout_id, ""),
                layout,
                baseline.baseline_id,
                width,
                T0 // MINUTE_US + stop,
                rows,
                rows.astype(np.float64),
                sliding_sum(counts[here], width),
                np.full((len(rows), len(layout.numeric), 4), np.nan),
                np.zeros((len(rows), 0, REGISTERS), dtype=np.uint8),
                np.zeros(len(rows), dtype=np.int32),
                pane_rows[here],
                T0 // MINUTE_US,
            )
        )
    return out
