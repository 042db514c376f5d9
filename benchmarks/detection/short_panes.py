"""False pages where panes are shorter than the baseline's: ``python -m benchmarks.detection.short_panes``.

A monitor's panes are a minute by default, a baseline's are an hour, so windows are looked at more often than any of the
baseline's own. Independent normal values in four columns, a baseline of 28 days at 120 rows an hour.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.detection.arl import PERIOD_DAYS, garwood
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
COLUMNS, BASELINE_DAYS, BASELINE_ROWS = 4, 28, 120


def baseline_of(seed: int) -> Baseline:
    """Build a baseline whose panes are hours."""
    rows = BASELINE_DAYS * 24 * BASELINE_ROWS
    rng = np.random.default_rng(seed)
    ts = T0 - BASELINE_DAYS * DAY_US + np.arange(rows) * (BASELINE_DAYS * DAY_US // rows)
    values = {f"x{i}": rng.normal(size=rows) for i in range(COLUMNS)}
    return build_baseline(Columns("predictions", "m", "v1", ts, values), model="m", version="v1", now_us=0)


def pages(baseline: Baseline, spec: MonitorSpec, days: int, an_hour: float, seed: int) -> int:
    """Count what quiet traffic of so many rows an hour pages."""
    control = Control()
    control.set_baseline(baseline)
    control.set_monitor(spec)
    judge, book = Judge(control), AlarmBook("m")
    layout = Layout.of(baseline_layout(baseline, "predictions").columns)
    counted = _counted(layout, days * DAY_US // spec.pane_us, an_hour * spec.pane_us / (60 * MINUTE_US), seed)
    verdicts = [
        window
        for horizon_us in spec.horizons_us
        for batch in _batches(
            layout, baseline.baseline_id, *counted, horizon_us // spec.pane_us, spec.pane_us
        )
        for window in judge.judge(spec, batch).windows
    ]
    return sum(step.state == "open" for v in in_order(verdicts) for step in book.step(v, spec))


def _counted(layout: Layout, panes: int, a_pane: float, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng([seed, 1])
    pane_rows = rng.poisson(a_pane, size=panes).astype(np.int64)
    of_pane = np.repeat(np.arange(panes), pane_rows)
    counts = np.zeros((panes, layout.slots), dtype=np.int32)
    for i, column in enumerate(layout.columns):
        # Missing, invalid, below; then the bins, and above.
        slot = 2 + np.searchsorted(np.array(column.edges), rng.normal(size=len(of_pane)), side="right")
        np.add.at(counts, (of_pane, layout.slice_of(i).start + slot), 1)
    return pane_rows, counts


def _batches(
    layout: Layout, baseline_id: str, pane_rows: Any, counts: Any, width: int, pane_us: int
) -> Iterator[WindowBatch]:
    for stop in range(width, len(pane_rows) + 1, 250):
        here = slice(stop - width, min(stop + 250, len(pane_rows) + 1) - 1)
        rows = sliding_sum(pane_rows[here, None], width)[:, 0]
        yield WindowBatch(
            ("v1", "predictions", layout.layout_id, ""),
            layout,
            baseline_id,
            width,
            T0 // pane_us + stop,
            rows,
            rows.astype(np.float64),
            sliding_sum(counts[here], width),
            np.full((len(rows), len(layout.numeric), 4), np.nan),
            np.zeros((len(rows), 0, REGISTERS), dtype=np.uint8),
            np.zeros(len(rows), dtype=np.int32),
            pane_rows[here],
            T0 // pane_us,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pane", type=int, default=1, help="minutes")
    parser.add_argument("--horizons", type=int, nargs="+", default=[5, 60, 1440], help="minutes")
    parser.add_argument("--budget", type=float, default=1.0, help="false pages in 30 days")
    parser.add_argument("--rows", type=float, default=600, help="an hour")
    parser.add_argument("--days", type=int, default=60, help="of each run")
    parser.add_argument("--runs", type=int, default=4, help="each with a baseline of its own")
    options = parser.parse_args()
    spec = MonitorSpec(
        "m",
        pane_us=options.pane * MINUTE_US,
        horizons_us=tuple(h * MINUTE_US for h in options.horizons),
        min_rows=30,
        false_pages=options.budget,
        multivariate=False,
    )
    found = sum(pages(baseline_of(r), spec, options.days, options.rows, r) for r in range(options.runs))
    periods = options.runs * options.days / PERIOD_DAYS
    low, high = garwood(found)
    interval = f"{low / periods:.2f} to {high / periods:.2f}"
    print(f"panes of {options.pane} min, horizons of {options.horizons} min, budget {options.budget:g}:")
    print(
        f"{found} pages in {options.runs * options.days} days, {found / periods:.2f} in 30 days ({interval})"
    )


if __name__ == "__main__":
    main()
