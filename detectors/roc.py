"""ROC AUC from counts: how often a positive outranks a negative, and how far chance takes that.

All functions take integer counts of scores by bin, ascending, of the positives and of the negatives, [..., bins]. What
lies in one bin is tied, and counts half (midranks). Sums of such counts are exact, in any order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, owens_t

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Placements(NamedTuple):
    """Of each bin: the share of the other class that a score there is on the right side of, ties half, [..., bins]."""

    of_positives: Floats
    of_negatives: Floats


def placements(positive: Ints, negative: Ints) -> Placements:
    """Return the placement values of scores in each bin; NaN where a class is missing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        below = np.cumsum(negative, axis=-1) - negative / 2
        upto = np.cumsum(positive, axis=-1) - positive / 2
        n, m = (np.sum(of, axis=-1, keepdims=True).astype(np.float64) for of in (negative, positive))
        return Placements(below / n, 1.0 - upto / m)


def auc_of_bins(positive: Ints, negative: Ints) -> Floats:
    """Return the probability that a positive outranks a negative, ties counted half, [...]; NaN without both.

    Examples
    --------
    >>> float(auc_of_bins(np.array([1, 0, 1]), np.array([1, 0, 0])))
    0.75
    """
    below = np.cumsum(negative, axis=-1) - negative
    twice = (positive * (2 * below + negative)).sum(axis=-1)
    pairs = positive.sum(axis=-1, dtype=np.float64) * negative.sum(axis=-1, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        auc: Floats = twice / (2.0 * pairs)
    return auc


def auc(positive: Ints, negative: Ints) -> Floats:
    r"""Return the AUC with what binning takes from it given back, [...]; NaN without both classes.

    .. math:: \hat A = A + \max(A - A_2, 0) / 3

    with :math:`A_2` the same of bins joined two by two.

    Notes
    -----
    Ties that binning makes count half, and would not have: where positives score higher within bins too, A is too low,
    by an amount that grows with the square of their width, as the trapezoid rule's error does under a concave curve.
    Bins twice as wide lose four times as much, so a third of the difference is what A lacks (Richardson 1911). Scores
    that are equal, or two bins and more apart, are tied in both or in neither, and nothing is given.
    """
    found = auc_of_bins(positive, negative)
    lacks = np.fmax(found - auc_of_bins(_two_by_two(positive), _two_by_two(negative)), 0.0) / 3.0
    return np.minimum(found + lacks, 1.0)


def _two_by_two(counts: Ints) -> Ints:
    even = counts.shape[-1] // 2 * 2
    joined = counts[..., :even].reshape(*counts.shape[:-1], -1, 2).sum(axis=-1)
    return np.concatenate([joined, counts[..., even:]], axis=-1)


def delong_variance(positive: Ints, negative: Ints) -> Floats:
    r"""Return the variance of an AUC of independent rows, [...]; NaN where a class has fewer than two.

    .. math:: S_{10}/m + S_{01}/n

    with S the variances of the placement values of the m positives and of the n negatives.

    References
    ----------
    DeLong, E. R., DeLong, D. M., & Clarke-Pearson, D. L. (1988). Comparing the areas under two or more correlated
    receiver operating characteristic curves. Biometrics 44. doi:10.2307/2531595
    """
    found = np.zeros(positive.shape[:-1])
    centre = auc_of_bins(positive, negative)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        for counts, values in zip((positive, negative), placements(positive, negative), strict=True):
            n = counts.sum(axis=-1).astype(np.float64)
            squares = (counts * np.square(values - centre)).sum(axis=-1)
            found = found + np.where(n > 1, squares / (n * (n - 1)), np.nan)
    return found


def usual_variance(value: float, positives: Floats, negatives: Floats) -> Floats:
    r"""Return the variance of an AUC of so much, of normal scores alike in spread: what is usual for so many, [...].

    .. math:: \frac{A (1 - A) + (m + n - 2)(Q - A^2)}{m n}

    with Q the probability that a positive outranks two negatives, :math:`\Phi_2(a, a; 1/2)` with :math:`\Phi(a) = A`.

    References
    ----------
    Hanley, J. A., & McNeil, B. J. (1982). The meaning and use of the area under a ROC curve. Radiology 143.
    doi:10.1148/radiology.143.1.7063747
    Owen, D. B. (1956). Tables for computing bivariate normal probabilities. doi:10.1214/aoms/1177728074

    Examples
    --------
    >>> round(float(usual_variance(0.893, np.array(51.0), np.array(58.0))) ** 0.5, 3)
    0.03
    """
    of_two = value - 2.0 * float(owens_t(ndtri(value), 3.0**-0.5)) if 0.0 < value < 1.0 else value
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = value * (1.0 - value) + (positives + negatives - 2.0) * (of_two - value * value)
        found: Floats = spread / (positives * negatives)
    return found


def scatter(positive: Ints, negative: Ints) -> float:
    r"""Say how many times as far as independent rows the AUC of rows in groups goes: D, at least 1.

    .. math:: D = \frac{G}{G-1} \sum_g t_g^2 \Big/ (S_{10}/m + S_{01}/n)

    with :math:`t_g` what group g adds to the AUC beyond its share: the sum of its placement values less the AUC, over m
    and over n.

    Parameters
    ----------
    positive, negative
        [groups, bins].

    References
    ----------
    Obuchowski, N. A. (1997). Nonparametric analysis of clustered ROC curve data. Biometrics 53. doi:10.2307/2533958
    """
    used = np.flatnonzero((positive + negative).any(axis=0))
    positive, negative = positive[:, used], negative[:, used]
    groups = int(np.count_nonzero((positive + negative).any(axis=1)))
    of_all = positive.sum(axis=0), negative.sum(axis=0)
    chance = float(delong_variance(*of_all))
    if groups < 2 or not chance > 0:
        return 1.0
    centre = float(auc_of_bins(*of_all))
    up, down = placements(*of_all)
    adds = positive @ (up - centre) / of_all[0].sum() + negative @ (down - centre) / of_all[1].sum()
    return max(groups / (groups - 1) * float(np.square(adds).sum()) / chance, 1.0)
