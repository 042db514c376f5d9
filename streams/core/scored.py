"""Metrics of windows that are no means over single predictions: from scores by truth, counted in fixed bins.

Labels that carry what was predicted have their score in one of two columns (`streams.core.losses.SCORED`), so all that
is needed of a pane are two rows of integers, added up like any others: what a metric is does not depend on the order in
which labels came, on how they were cut into chunks or on who counted them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors import calibration_gap, roc
from detectors.layout import UNDERFLOW
from streams.core.losses import SCORED
from streams.core.series import WindowBatch

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
#: Labels of either class from which an AUC has a known error.
LEAST_OF_A_CLASS = 10
#: Panes from which their scatter is believed.
LEAST_PANES = 10
#: From so many standard errors beyond the bound on, a window is no longer one that keeps the promise.
WARNING_AT = 1.96


@dataclass(frozen=True, slots=True)
class Measured:
    """What is judged of windows, [windows] each; less is better.

    NaN where nothing can be said.
    """

    n: Floats
    """Labelled predictions that it is of."""
    mean: Floats
    error: Floats
    """Its standard error by chance."""
    blur: Floats
    """How far the mean may be off because scores are counted in bins, at most."""


def ranked(batch: WindowBatch, bound: float) -> Measured:
    """Measure one less the ROC AUC; NaN with fewer than `LEAST_OF_A_CLASS` labels of either class.

    The standard error is DeLong's, or that of a model whose AUC is as promised where this is greater: a window with few
    labels of a class does not show how much chance there is. It is as many times that as panes scatter further than
    independent rows (`detectors.roc.scatter`).
    """
    positive, negative = _by_truth(batch, batch.counts)
    n, m = (counts.sum(axis=1).astype(np.float64) for counts in (positive, negative))
    enough = np.minimum(n, m) >= LEAST_OF_A_CLASS
    mean = np.where(enough, 1.0 - roc.auc(positive, negative), np.nan)
    used = np.flatnonzero((positive + negative).any(axis=0))
    of_window = roc.delong_variance(positive[:, used], negative[:, used])
    variance = np.fmax(of_window, roc.usual_variance(1.0 - bound, n, m))
    if batch.pane_counts is not None and batch.width >= LEAST_PANES:
        panes = _by_truth(batch, batch.pane_counts)
        # Whatever scatters only widens: where independent rows would be no news, none are.
        near = mean - bound > WARNING_AT * np.sqrt(variance)
        for w in np.flatnonzero(near).tolist():
            variance[w] *= roc.scatter(*(of[w : w + batch.width] for of in panes))
    return Measured(n + m, mean, np.sqrt(variance), np.zeros(batch.windows))


def calibrated(batch: WindowBatch, bound: float) -> Measured:
    """Measure the expected calibration error less what chance adds to it; NaN where a score is no probability.

    What chance adds grows with the scatter of panes, as the standard error does (`detectors.calibration_gap`).
    """
    positive, negative = _by_truth(batch, batch.counts)
    gap = calibration_gap.calibration_gap(positive, negative)
    spread = np.ones(batch.windows)
    if batch.pane_counts is not None and batch.width >= LEAST_PANES:
        panes = _by_truth(batch, batch.pane_counts)
        near = gap.plain - gap.bias - bound > WARNING_AT * gap.error
        for w in np.flatnonzero(near).tolist():
            spread[w] = calibration_gap.scatter(*(of[w : w + batch.width] for of in panes)) ** 0.5
    n = (positive.sum(axis=1) + negative.sum(axis=1)).astype(np.float64)
    return Measured(n, gap.plain - spread * gap.bias, spread * gap.error, gap.blur)


def why_not(metric: str, of_positives: Floats, of_negatives: Floats) -> str:
    """Say why nothing can be said of labels with these scores; empty where something can.

    Examples
    --------
    >>> why_not("roc_auc", np.full(40, 0.7), np.array([]))
    'of 40 labels with a score 40 are of the class that it speaks for: expected 10 or more of each class'
    >>> why_not("ece", np.array([0.5, 3.0]), np.array([0.1]))
    '1 of 3 scores is outside 0..1: expected probabilities'
    """
    scores = np.concatenate([of_positives, of_negatives])
    scores = scores[np.isfinite(scores)]
    positives = int(np.isfinite(of_positives).sum())
    if not len(scores):
        return "expected labels with a score, and known of which class it speaks (a baseline says so, or its name)"
    if metric == "roc_auc" and min(positives, len(scores) - positives) < LEAST_OF_A_CLASS:
        return (
            f"of {len(scores):,} labels with a score {positives:,} are of the class that it speaks for: "
            f"expected {LEAST_OF_A_CLASS} or more of each class"
        )
    outside = int(np.count_nonzero((scores < 0) | (scores > 1)))
    if metric == "ece" and outside:
        are = "is" if outside == 1 else "are"
        return f"{outside:,} of {len(scores):,} scores {are} outside 0..1: expected probabilities"
    return ""


def _by_truth(batch: WindowBatch, counts: Ints) -> tuple[Ints, Ints]:
    """Return the counts of scores of positives and of negatives, [..., bins + 2] each."""
    columns = (batch.layout.index[f"scored/{name}"] for name in SCORED)
    positive, negative = (counts[:, batch.layout.slice_of(i)][:, UNDERFLOW:] for i in columns)
    return positive.astype(np.int64), negative.astype(np.int64)
