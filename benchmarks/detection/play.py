"""Plays counted traffic to the judge and the alarms, without a broker: what would have paged, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.detection.traffic import HOUR_US, T0_US
from detectors.layout import Layout
from detectors.slide import sliding_sum
from detectors.summary import REGISTERS
from seawall.baseline import Baseline
from seawall.monitor import MonitorSpec
from streams.core.alarm_steps import AlarmStep
from streams.core.alarms import AlarmBook, in_order
from streams.core.judge import Judge
from streams.core.layouts import Control
from streams.core.series import WindowBatch
from streams.core.verdicts import WindowVerdict

_BATCH = 256


@dataclass
class Played:
    """What came of a stream."""

    opened: list[AlarmStep] = field(default_factory=list)
    verdicts: list[WindowVerdict] = field(default_factory=list)

    def first_page_after(self, hour: int) -> AlarmStep | None:
        """Return the first page at or after an hour."""
        return next((s for s in self.opened if s.updated_us > T0_US + hour * HOUR_US), None)


def batches(
    layout: Layout,
    counts: npt.NDArray[np.int32],
    width: int,
    baseline_id: str,
    joint: npt.NDArray[np.int64] | None = None,
) -> Iterator[WindowBatch]:
    """Slide windows of `width` hours over counted hours, as `streams.core.merge` does."""
    first = T0_US // HOUR_US
    rows = np.add.reduceat(counts, layout.first_slots, axis=1).max(axis=1).astype(np.int64)
    for start in range(1, len(counts) + 1, _BATCH):
        stop = min(start + _BATCH, len(counts) + 1)
        low = start - width
        part = counts[max(low, 0) : stop - 1].astype(np.int64)
        pane_rows = rows[max(low, 0) : stop - 1]
        if low < 0:
            part = np.concatenate([np.zeros((-low, layout.slots), dtype=np.int64), part])
            pane_rows = np.concatenate([np.zeros(-low, dtype=np.int64), pane_rows])
        across = None
        if joint is not None:
            before = np.zeros((max(-low, 0), joint.shape[1]), dtype=np.int64)
            across = sliding_sum(np.concatenate([before, joint[max(low, 0) : stop - 1]]), width)
        windows = stop - start
        window_rows = sliding_sum(pane_rows[:, None], width)[:, 0]
        yield WindowBatch(
            ("v1", "predictions", layout.layout_id, ""),
            layout,
            baseline_id,
            width,
            first + start,
            window_rows,
            window_rows.astype(np.float64),
            sliding_sum(part, width),
            np.full((windows, len(layout.numeric), 4), np.nan),
            np.zeros((windows, len(layout.categorical), REGISTERS), dtype=np.uint8),
            np.zeros(windows, dtype=np.int32),
            pane_rows,
            first,
            across,
        )


def play(
    baseline: Baseline,
    layout: Layout,
    counts: npt.NDArray[np.int32],
    spec: MonitorSpec,
    judge: Judge | None = None,
    joint: npt.NDArray[np.int64] | None = None,
) -> Played:
    """Judge every window of every horizon, and feed the verdicts to an alarm book in order.

    `joint` is what was summed across columns, [hours, sums]; without it, columns are judged one by one.
    """
    if judge is None:
        control = Control()
        control.set_baseline(baseline)
        control.set_monitor(spec)
        judge = Judge(control)
    out = Played()
    for width in sorted({h // spec.pane_us for h in spec.horizons_us}):
        for batch in batches(layout, counts, width, baseline.baseline_id, joint):
            out.verdicts += judge.judge(spec, batch).windows
    book = AlarmBook(spec.model)
    for verdict in in_order(out.verdicts):
        out.opened += [s for s in book.step(verdict, spec) if s.state == "open"]
    return out
