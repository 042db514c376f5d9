"""The rule that evidence replaced, for comparison: each column against the furthest that it went in the baseline.

A distance must exceed the effect, 1.25 times its greatest value in windows of the baseline (compared with the very
baseline that they are part of), and 1.6 times its 95 % line of chance; a share likewise, with Bernstein's bound.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectors.compare import Comparison
from detectors.evidence.far import Far
from detectors.slide import sliding_sum
from seawall.monitor import MonitorSpec
from streams.core.judge import Judge, Reference, compare
from streams.core.series import WindowBatch

Floats = npt.NDArray[np.float64]
WANDER_MARGIN = 1.25
CHANCE_MARGIN = 1.6
CHANCE_LOG = 13.8
SHARES = ("missing_share", "unseen_share", "out_of_range_share")


class WindowRule(Judge):
    """A judge with fixed margins."""

    def _limits(
        self,
        spec: MonitorSpec,
        batch: WindowBatch,
        reference: Reference | None,
        comparison: Comparison,
        expected: Floats,
        reference_rows: float,
        far: Far | None,
    ) -> tuple[Floats, dict[str, Floats], None]:
        assert reference is not None
        wander = self._furthest(spec, batch, reference)
        js = np.fmax(np.fmax(spec.effect, WANDER_MARGIN * wander["js"]), CHANCE_MARGIN * comparison.js_chance)
        n = np.maximum(batch.rows, 1)[:, None]
        shares = {}
        for name in SHARES:
            p = np.clip(getattr(comparison, f"{name[:-6]}_expected"), 0.5 / n, 1 - 0.5 / n)
            noise = np.sqrt(2 * p * (1 - p) * CHANCE_LOG / n) + CHANCE_LOG / (3 * n)
            shares[name] = np.maximum(
                np.fmax(getattr(spec.effects, name.removesuffix("_share")), WANDER_MARGIN * wander[name]),
                noise,
            )
        return js, shares, None

    def _furthest(self, spec: MonitorSpec, batch: WindowBatch, reference: Reference) -> dict[str, Floats]:
        known: dict[int, dict[str, Floats]] = self.__dict__.setdefault("known", {})
        if batch.width not in known:
            seasons = reference.seasons
            width = max(round(batch.width * spec.pane_us / seasons.pane_us), 1)
            starts, counts, rows = seasons.dense_panes()
            windows = sliding_sum(counts, width)
            found = compare(windows, seasons.expected(starts, rows, width), np.inf, batch.layout)
            enough = sliding_sum(rows[:, None], width)[:, 0] >= spec.min_rows
            enough &= sliding_sum((rows > 0).astype(np.int64)[:, None], width)[:, 0] >= width / 2
            distances = {"js": found.js} | {
                name: np.abs(getattr(found, name) - getattr(found, f"{name[:-6]}_expected"))
                for name in SHARES
            }
            known[batch.width] = {
                name: np.where(enough[:, None], np.nan_to_num(values), 0.0).max(axis=0)
                for name, values in distances.items()
            }
        return known[batch.width]
