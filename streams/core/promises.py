"""Whether a promised performance is kept: means of losses against their bounds, over the longest windows.

`streams.core.scored` has what is no mean over single predictions.

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

import numpy as np
import numpy.typing as npt

from detectors.evidence.limits import looks, union_limit
from detectors.layout import UNDERFLOW
from detectors.moments import M2, MEAN
from seawall.monitor import MonitorSpec
from streams.core.loss_verdicts import mean_of_bins
from streams.core.losses import LOSS_OF_METRIC, counted_for
from streams.core.scored import LEAST_PANES, WARNING_AT, Measured, calibrated, ranked
from streams.core.series import WindowBatch
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict

Floats = npt.NDArray[np.float64]
#: Kind of the alarms about promises.
PROMISE = "promise"
#: Share of the budget of false pages, where a promise is watched.
PROMISE_SHARE = 0.1
#: Metrics by how people call them, where that is not their name.
IN_WORDS = {"roc_auc": "ROC AUC", "ece": "ECE"}
#: What was taken off a value before it is told.
_BEYOND = {"ece": " beyond what chance adds"}
#: Metrics of which more is better: what is judged is one less them.
_MORE_IS_BETTER = ("accuracy", "roc_auc")


def judge_promises(spec: MonitorSpec, batch: WindowBatch) -> list[WindowVerdict]:
    """Judge a batch; nothing is said about segments, other sources and shorter windows, or without a promise."""
    _, source, _, segment = batch.key
    horizon_us = batch.width * spec.pane_us
    metrics = [m for m in spec.performance if is_counted(m, batch)]
    if source != "labels" or segment or horizon_us != max(spec.horizons_us) or not metrics:
        return []
    limit = score_limit(spec)
    means = {m: _measured(batch, m, bound_of(spec, m)) for m in metrics}
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


def is_counted(metric: str, batch: WindowBatch) -> bool:
    """Tell whether these windows have what a metric is made of."""
    role = "loss" if metric in LOSS_OF_METRIC else "scored"
    return all(f"{role}/{name}" in batch.layout.index for name in counted_for(metric))


def _measured(batch: WindowBatch, metric: str, bound: float) -> Measured:
    if metric == "roc_auc":
        return ranked(batch, bound)
    return calibrated(batch, bound) if metric == "ece" else means_of(batch, LOSS_OF_METRIC[metric], bound)


def score_limit(spec: MonitorSpec) -> float:
    """Return h: how many standard errors beyond its bound a mean must be."""
    horizon_us = max(spec.horizons_us)
    allowed = PROMISE_SHARE * spec.false_pages * horizon_us / spec.false_pages_period_us
    return union_limit(min(allowed / looks(horizon_us // spec.pane_us), 0.5), len(spec.performance))


def bound_of(spec: MonitorSpec, metric: str) -> float:
    """Return the greatest mean of its loss with which a metric keeps its promise."""
    _, bound = spec.performance[metric]
    return 1.0 - bound if metric in _MORE_IS_BETTER else bound**2 if metric == "rmse" else bound


def means_of(batch: WindowBatch, loss: str, bound: float) -> Measured:
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
        if batch.pane_counts is not None and batch.width >= LEAST_PANES:
            scatter = scatter_of(batch.pane_counts[:, at], batch.layout.columns[i].edges, batch.width)
        return Measured(n, moments[:, MEAN], np.sqrt(scatter * variance / n), np.zeros(batch.windows))


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
    spec: MonitorSpec, means: dict[str, Measured], limit: float, w: int
) -> Iterator[tuple[Verdict, ColumnVerdict]]:
    for metric, of in means.items():
        n, mean, error = float(of.n[w]), float(of.mean[w]), float(of.error[w])
        if n < spec.min_rows or not math.isfinite(mean):
            continue
        over = mean - float(of.blur[w]) - bound_of(spec, metric)
        is_broken = over > limit * error
        verdict = (
            Verdict.DRIFT if is_broken else Verdict.WARNING if over > WARNING_AT * error else Verdict.STABLE
        )
        yield verdict, _column(spec, metric, of, limit, w)


def _column(spec: MonitorSpec, metric: str, of: Measured, limit: float, w: int) -> ColumnVerdict:
    """Say in the metric's own unit what its loss says."""
    comparison, promised = spec.performance[metric]
    mean, error, blur = float(of.mean[w]), float(of.error[w]), float(of.blur[w])
    bound, over = bound_of(spec, metric), limit * error + blur
    value, at_limit = mean, promised + over
    if metric in _MORE_IS_BETTER:
        value, at_limit = 1.0 - mean, promised - over
    elif metric == "rmse":
        value, error, at_limit = (
            math.sqrt(mean),
            error / (2 * math.sqrt(mean) or 1.0),
            math.sqrt(bound + over),
        )
    elif metric == "ece":
        value = max(mean, 0.0)
    chance = WARNING_AT * error
    detail = (
        f"{IN_WORDS.get(metric, metric)} {value:.3g}{_BEYOND.get(metric, '')}, promised {comparison} {promised:g}, "
        f"chance alone ±{chance:.2g}, {int(of.n[w]):,} labelled predictions"
    )
    evidence = (mean - bound) / max(over, 1e-300)
    return ColumnVerdict(
        metric, PROMISE, Verdict.DRIFT, metric, value, at_limit, chance, detail, evidence
    )  # fmt: skip
