r"""What a promise would have come to in the reference's own windows, and which promise would have been kept.

How a model does changes from day to day though nothing is wrong with it, and a promise counts every bad day, whatever
it was that made it bad. The reference says how far that goes. With x̄ the means of a loss over windows as long as the
promise is watched over, s their standard errors of chance and h the limit of `streams.core.promises`, a bound b is
broken where x̄ - b > h s. So one that would have been kept, and is kept as often as the budget wants by days that
scatter like these, is at least

.. math:: b = \max\left(\max_w (\bar x_w - h s_w),\ \mu + h\, (\hat\sigma - \bar s)_+\right)

with μ the mean of all windows and σ̂ the upper 95 % bound of their standard deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from detectors.evidence.limits import underrated
from detectors.layout import UNDERFLOW
from detectors.slide import sliding_sum
from seawall.baseline import Baseline
from seawall.monitor import DAY_US, MonitorSpec
from seawall.monitor_yaml.rules import METRICS
from seawall.monitor_yaml.traffic import Scatter
from streams.core.layouts import baseline_layout
from streams.core.loss_verdicts import mean_of_bins
from streams.core.losses import LOSS_OF_METRIC
from streams.core.promises import bound_of, scatter_of, score_limit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
#: Windows beside one another from which their standard deviation is believed.
_LEAST_WINDOWS = 3


@dataclass(frozen=True, slots=True)
class Broken:
    """How a promise fared in a reference."""

    share: float
    """Of its windows, those that would have broken it."""
    times: int
    """How often that would have begun: what is broken again within a window's length is one time."""
    days: float
    """Length of the reference."""


@dataclass(frozen=True, slots=True)
class _Windows:
    """Windows of a reference that slide by its panes, float64 [windows] each."""

    n: Floats
    mean: Floats
    variance: Floats
    scatter: Floats
    """How much further means of panes scatter than those of independent rows."""
    width: int
    apart: int
    """As many of them lie beside one another."""

    def error(self, least_variance: float) -> Floats:
        """Return the standard error of chance."""
        return np.sqrt(self.scatter * np.maximum(self.variance, least_variance) / self.n)


def broken_in(baseline: Baseline, spec: MonitorSpec) -> dict[str, Broken]:
    """Say of each promised metric how often the reference itself would have broken it; of none that it cannot say."""
    found = {}
    for metric in spec.performance:
        windows = _windows_of(baseline, metric, spec)
        if windows is None:
            continue
        bound = bound_of(spec, metric)
        least = bound * (1.0 - bound) if metric == "accuracy" else 0.0
        is_broken = windows.mean - bound > score_limit(spec) * windows.error(least)
        at = np.flatnonzero(is_broken)
        times = int(np.sum(np.diff(at, prepend=-2 * windows.width) > windows.width))
        found[metric] = Broken(float(is_broken.mean()), times, _days(baseline))
    return found


def scatter_in(baseline: Baseline, spec: MonitorSpec) -> dict[str, Scatter]:
    """Say of each metric that a monitor may promise how the windows of the reference scatter.

    Parameters
    ----------
    spec
        What the promise would be watched with: horizons, panes and the budget.
    """
    found = {}
    for metric in LOSS_OF_METRIC:
        alone = replace(spec, performance={metric: (">=" if METRICS[metric].higher_is_better else "<=", 0.0)})
        windows = _windows_of(baseline, metric, alone)
        if windows is not None:
            found[metric] = _scatter(windows, metric, score_limit(alone), max(spec.horizons_us))
    return found


def _scatter(windows: _Windows, metric: str, limit: float, horizon_us: int) -> Scatter:
    error = windows.error(0.0)
    bound = float((windows.mean - limit * error).max())
    if windows.apart >= _LEAST_WINDOWS:
        deviation = float(windows.mean.std()) * underrated(windows.apart)
        wander = max(deviation - float(error.mean()), 0.0)
        bound = max(bound, float(windows.mean.mean()) + limit * wander)
    worst = float(windows.mean.max())
    if metric == "accuracy":
        return Scatter(1.0 - worst, 1.0 - bound, horizon_us)
    return Scatter(worst, bound, horizon_us)


def _windows_of(baseline: Baseline, metric: str, spec: MonitorSpec) -> _Windows | None:
    """Return the windows over which a promise of a metric would be watched; None where the reference has none."""
    at = {f"{c.role}/{c.name}": i for i, c in enumerate(baseline.columns)}.get(
        f"loss/{LOSS_OF_METRIC.get(metric)}"
    )
    if at is None or not baseline.pane_us:
        return None
    counts, width = _panes(baseline, at), max(round(max(spec.horizons_us) / baseline.pane_us), 1)
    if len(counts) < width:
        return None
    edges = baseline.columns[at].edges
    held = sliding_sum(counts, width)
    n = held[:, UNDERFLOW:].sum(axis=1).astype(np.float64)
    enough = n >= spec.min_rows
    if not enough.any():
        return None
    middle = mean_of_bins(np.eye(counts.shape[1]), edges)[UNDERFLOW:]
    mean = mean_of_bins(held, edges)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = held[:, UNDERFLOW:] @ np.square(middle) / n - np.square(mean)
    scatter = scatter_of(counts, edges, width)
    return _Windows(
        n[enough],
        mean[enough],
        np.maximum(variance, 0.0)[enough],
        scatter[enough],
        width,
        len(counts) // width,
    )


def _panes(baseline: Baseline, column: int) -> Ints:
    """Return the counts of one column in every pane from the first to the last, [panes, slots]."""
    first = int(baseline.pane_starts.min())
    places = (baseline.pane_starts - first) // baseline.pane_us
    slots = baseline_layout(baseline).slice_of(column)
    out = np.zeros((int(places.max()) + 1, slots.stop - slots.start), dtype=np.int64)
    np.add.at(out, places, baseline.pane_counts[:, slots])
    return out


def _days(baseline: Baseline) -> float:
    return (int(baseline.pane_starts.max()) - int(baseline.pane_starts.min()) + baseline.pane_us) / DAY_US


def in_words(broken: Mapping[str, Broken], spec: MonitorSpec, scatter: Mapping[str, Scatter]) -> list[str]:
    """Say of the promises that the reference itself would have broken how often, and which one would have been kept."""
    out = []
    for metric, of in broken.items():
        if not of.times:
            continue
        comparison, bound = spec.performance[metric]
        times = "once" if of.times == 1 else f"{of.times} times"
        kept = scatter[metric].rounded(metric)
        out.append(
            f"promise.performance ({metric} {comparison} {bound:g}): the reference itself would have broken it {times} "
            f"in {of.days:.3g} days ({of.share:.1%} of its windows); {comparison} {kept} would have been kept"
        )
    return out
