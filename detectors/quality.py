"""How good predictions were, measured on the reference: one function per metric.

All functions take equal-length arrays without missing values and return NaN where the metric is not defined
(no rows, or one class only for `roc_auc`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

#: A probability of exactly 0 or 1 that turns out wrong would cost infinity; it is taken as this close.
EPSILON = 1e-15


def roc_auc(truth: Bools, score: Floats) -> float:
    """Probability that a positive outranks a negative, ties counted half.

    References
    ----------
    Hanley & McNeil (1982), doi:10.1148/radiology.143.1.7063747.

    Examples
    --------
    >>> roc_auc(np.array([False, True, True]), np.array([0.1, 0.9, 0.1]))
    0.75
    """
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(score)
    above = float(ranks[truth].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def log_loss(truth: Bools, probability: Floats) -> float:
    """Mean negative log-likelihood of a binary outcome, in nats. Probabilities are clipped to 1e-15."""
    if not len(truth):
        return float("nan")
    clipped = np.clip(probability, EPSILON, 1 - EPSILON)
    return float(-np.mean(np.where(truth, np.log(clipped), np.log1p(-clipped))))


def log_loss_of_classes(truth: npt.NDArray[np.intp], probabilities: Floats) -> float:
    """Mean negative log-likelihood of the true class. `probabilities` is [rows, classes]; rows sum to 1."""
    if not len(truth):
        return float("nan")
    chosen = probabilities[np.arange(len(truth)), truth]
    return float(-np.mean(np.log(np.clip(chosen, EPSILON, 1.0))))


def brier(truth: Bools, probability: Floats) -> float:
    """Mean squared difference of probability and outcome, 0..1.

    Examples
    --------
    >>> brier(np.array([True, False]), np.array([0.5, 0.5]))
    0.25
    """
    return float(np.mean((probability - truth) ** 2)) if len(truth) else float("nan")


def calibration_error(truth: Bools, probability: Floats, bins: int = 15) -> float:
    """Measure the expected calibration error over equal-width bins of the probability.

    The mean, by mass, of each bin's |observed rate − mean probability|.

    References
    ----------
    Guo et al. (2017), On Calibration of Modern Neural Networks, section 2.

    Examples
    --------
    >>> calibration_error(np.array([True, False]), np.array([0.5, 0.5]))
    0.0
    """
    if not len(truth):
        return float("nan")
    place = np.clip((probability * bins).astype(np.int64), 0, bins - 1)
    gaps = np.bincount(place, weights=truth - probability, minlength=bins)
    return float(np.abs(gaps).sum() / len(truth))


def rmse(truth: Floats, prediction: Floats) -> float:
    """Root mean squared error, in the unit of the label."""
    return float(np.sqrt(np.mean((prediction - truth) ** 2))) if len(truth) else float("nan")


def mae(truth: Floats, prediction: Floats) -> float:
    """Mean absolute error, in the unit of the label."""
    return float(np.mean(np.abs(prediction - truth))) if len(truth) else float("nan")
