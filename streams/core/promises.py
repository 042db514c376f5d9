"""Whether a promised performance is kept: means of losses against their bounds, over the longest windows.

A window breaks a promise when its mean is beyond the bound by more than chance gives a model that just keeps it, as
seldom as a tenth of the budget of false pages allows:

    x̄ - b > h s,   s² = D v / n,   h = Φ⁻¹(1 - r / (k L))

with v the variance within the window, n its losses, k the promises watched and r what the budget allows in the length
of a window. Windows slide by a pane, so one length of them is worth L independent looks
(`detectors.evidence.limits.looks`). D ≥ 1 is how much further means of panes scatter than those of independent losses:
rows of one cause come together.

Losses are skewed to the side on which they break a promise, and there their variance grows with their mean, which keeps
the rate below what a normal tail gives. What is said is a function of the window alone, like every verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.evidence.limits import looks, union_limit
from detectors.layout import UNDERFLOW
from detectors.moments import M2, MEAN
from seawall.monitor import MonitorSpec
from streams.core.loss_verdicts import mean_of_bins
from streams.core.losses import LOSS_OF_METRIC
from streams.core.series import WindowBatch
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict

Floats = npt.NDArray[np.float64]
#: Kind of the alarms about promises.
PROMISE = "promise"
#: Share of the budget of false pages, where a promise is watched.
PROMISE_SHARE = 0.1
#: From so many standard errors beyond the bound on, a window is no longer one that keeps the promise.
_WARNING_AT = 1.96
#: Panes from which their scatter is believed.
_LEAST_PANES = 10


def watched(spec: MonitorSpec) -> list[str]:
    """Return the promised metrics that are means of losses, or their roots."""
    return [metric for metric in spec.performance if metric in LOSS_OF_METRIC]


@dataclass(frozen=True, slots=True)
class Means:
    """Means of a loss over windows, [windows] each: finite losses, mean, and the standard error of chance."""

    n: Floats
    mean: Floats
    error: Floats


def judge_promises(spec: MonitorSpec, batch: WindowBatch) -> list[WindowVerdict]:
    """Judge a batch; nothing is said about segments, other sources and shorter windows, or without a promise."""
    _, source, _, segment = batch.key
    horizon_us = batch.width * spec.pane_us
    metrics = [m for m in watched(spec) if f"loss/{LOSS_OF_METRIC[m]}" in batch.layout.index]
    if source != "labels" or segment or horizon_us != max(spec.horizons_us) or not metrics:
        return []
    limit = score_limit(spec)
    means = {m: means_of(batch, LOSS_OF_METRIC[m], bound_of(spec, m)) for m in metrics}
    ends = batch.first_end + np.arange(batch.windows)
    covered = np.minimum(ends - batch.first_pane, batch.width) / batch.width >= spec.min_coverage
    out = []
    for w in range(batch.windows):
        said = list(_said(spec, means, limit, w)) if covered[w] else []
        worst = max((v for v, _ in said), default=Verdict.NOT_ENOUGH_DATA)
        end_us = (batch.first_end + w) * spec.pane_us
        broken = tuple(column for verdict, column in said if verdict is Verdict.DRIFT)
        out.append(
            WindowVerdict(
                spec.model, batch.key[0], source, "", horizon_us, end_us - horizon_us, end_us,
                int(batch.rows[w]), worst, PROMISE, broken,
            )
        )  # fmt: skip
    return out


def score_limit(spec: MonitorSpec) -> float:
    """Return h: how many standard errors beyond its bound a mean must be."""
    horizon_us = max(spec.horizons_us)
    allowed = PROMISE_SHARE * spec.false_pages * horizon_us / spec.false_pages_period_us
    return union_limit(min(allowed / looks(horizon_us // spec.pane_us), 0.5), len(watched(spec)))


def bound_of(spec: MonitorSpec, metric: str) -> float:
    """Return the greatest mean of its loss with which a metric keeps its promise."""
    _, bound = spec.performance[metric]
    return {"accuracy": 1.0 - bound, "rmse": bound**2}.get(metric, bound)


def means_of(batch: WindowBatch, loss: str, bound: float) -> Means:
    """Return the means of a loss, and how far chance takes them."""
    i = batch.layout.index[f"loss/{loss}"]
    at = batch.layout.slice_of(i)
    n = batch.counts[:, at][:, UNDERFLOW:].sum(axis=1).astype(np.float64)
    moments = batch.moments[:, batch.layout.numeric.index(i)]
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = moments[:, M2] / np.maximum(n - 1, 1)
        if loss == "error":
            # Where hardly any or all are wrong, a window does not show how much chance there is.
            variance = np.maximum(variance, bound * (1.0 - bound))
        scatter = np.ones(batch.windows)
        if batch.pane_counts is not None and batch.width >= _LEAST_PANES:
            scatter = scatter_of(batch.pane_counts[:, at], batch.layout.columns[i].edges, batch.width)
        return Means(n, moments[:, MEAN], np.sqrt(scatter * variance / n))


def scatter_of(pane_counts: npt.NDArray[np.int64], edges: tuple[float, ...], width: int) -> Floats:
    r"""Say how much further means of panes scatter than those of independent rows: D, [windows], at least 1.

    .. math:: D = \sum_p n_p (\bar x_p - \bar x)^2 \Big/ (P - 1) v

    Parameters
    ----------
    pane_counts
        Of one column, [panes, slots]; windows of `width` slide over them.
    """
    held = pane_counts[:, UNDERFLOW:].astype(np.float64)
    n = held.sum(axis=1)
    mean = np.nan_to_num(mean_of_bins(pane_counts, edges))
    middle = np.array([mean_of_bins(row, edges) for row in np.eye(pane_counts.shape[1])])[UNDERFLOW:]
    squares = held @ np.square(middle)
    window = np.lib.stride_tricks.sliding_window_view
    rows, first, second, of_panes, panes = (
        window(values, width).sum(axis=-1)
        for values in (n, n * mean, squares, n * mean * mean, (n > 0) * 1.0)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.square(first) / rows
        variance = (second - centre) / rows
        found = (of_panes - centre) / (np.maximum(panes - 1, 1) * variance)
    return np.where(np.isfinite(found), np.maximum(found, 1.0), 1.0)


def _said(
    spec: MonitorSpec, means: dict[str, Means], limit: float, w: int
) -> Iterator[tuple[Verdict, ColumnVerdict]]:
    for metric, of in means.items():
        n, mean, error = float(of.n[w]), float(of.mean[w]), float(of.error[w])
        if n < spec.min_rows or not math.isfinite(mean):
            continue
        over = mean - bound_of(spec, metric)
        is_broken = over > limit * error
        verdict = (
            Verdict.DRIFT if is_broken else Verdict.WARNING if over > _WARNING_AT * error else Verdict.STABLE
        )
        yield verdict, _column(spec, metric, of, limit, w)


def _column(spec: MonitorSpec, metric: str, of: Means, limit: float, w: int) -> ColumnVerdict:
    """Say in the metric's own unit what its loss says."""
    comparison, promised = spec.performance[metric]
    mean, error = float(of.mean[w]), float(of.error[w])
    bound = bound_of(spec, metric)
    sign = -1.0 if metric == "accuracy" else 1.0
    value = 1.0 - mean if metric == "accuracy" else mean
    if metric == "rmse":
        value, error, over = math.sqrt(mean), error / (2 * math.sqrt(mean) or 1.0), limit * error
        at_limit = math.sqrt(bound + over)
    else:
        at_limit = promised + sign * limit * error
    chance = _WARNING_AT * error
    detail = (
        f"{metric} {value:.3g}, promised {comparison} {promised:g}, chance alone ±{chance:.2g}, "
        f"{int(of.n[w]):,} labelled predictions"
    )
    evidence = (mean - bound) / max(limit * float(of.error[w]), 1e-300)
    return ColumnVerdict(
        metric, PROMISE, Verdict.DRIFT, metric, value, at_limit, chance, detail, evidence
    )  # fmt: skip
