"""Pearson's chi-squared test of a window against a reference, and the quantiles that the other lines need."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.sums import row_sums

Floats = npt.NDArray[np.float64]

_LEVEL = 0.95
# 95 % points on a grid that holds every whole number: exact there, and within 0.1 % between them above one.
# A table, because scipy's inverse costs a microsecond a value and every column of every window asks for it.
_DOF = np.concatenate(
    [np.linspace(0.0, 1.0, 65), np.arange(1.125, 64.0, 0.125), np.arange(64.0, 4097.0, 1.0)],
)
_POINT = np.concatenate([[0.0], special.chdtri(_DOF[1:], 1.0 - _LEVEL)])


def chi_squared_line(dof: npt.ArrayLike) -> Floats:
    """Say which value a chi-squared variable exceeds in 5 % of cases.

    Parameters
    ----------
    dof
        Degrees of freedom, any shape, 0 to 4096; fractions are allowed (see Notes).

    Returns
    -------
    Floats
        The 95 % point, same shape. Negative degrees of freedom give that of zero, 0; NaN gives NaN.

    Notes
    -----
    Fractions arise where a cell expects less than one value: it then counts as that fraction of a cell.

    References
    ----------
    Patnaik, P. B. (1949). The non-central chi-squared and F-distributions and their applications.
    Biometrika 36, 202-232. https://doi.org/10.2307/2332542

    Examples
    --------
    >>> chi_squared_line([1, 9]).round(2).tolist()
    [3.84, 16.92]
    """
    return np.asarray(np.interp(np.asarray(dof, np.float64), _DOF, _POINT), np.float64)


def chi_squared(
    counts: npt.ArrayLike, expected: npt.ArrayLike, m: npt.ArrayLike = np.inf, *, floor: float = 1.0
) -> Floats:
    r"""Compare observed counts with a reference that is itself a sample (test of homogeneity).

    .. math:: X^2 = \frac{m}{n+m} \sum_b \frac{(c_b - n p_b)^2}{\max(n \bar p_b, floor)}, \qquad
              \bar p_b = \frac{c_b + m p_b}{n + m}

    For finite `m` it is the statistic of the 2 by B table; for infinite `m` Pearson's goodness of fit.

    Parameters
    ----------
    counts
        Observed counts, [..., B].
    expected
        Probabilities under the reference, broadcastable to [..., B]; rows sum to one.
    m
        Size of the reference sample, broadcastable to [...]; infinite for a known distribution.
    floor
        Least expected count in a denominator. One value where 0.01 were expected is a one in a hundred
        event, not the hundred of Pearson's formula; with the floor it adds about one.

    Returns
    -------
    Floats
        The statistic, [...]. NaN where there are no counts, or where `expected` is all zeros.

    Notes
    -----
    Constant input (all mass in one cell on both sides) gives 0. Cells that are empty on both sides add
    nothing, so rows may be padded with zeros. Values are assumed independent; autocorrelated traffic
    inflates the statistic. Cost: five passes over [..., B].

    References
    ----------
    Pearson, K. (1900). Philosophical Magazine 50, 157-175. https://doi.org/10.1080/14786440009463897
    Cochran, W. G. (1954). Some methods for strengthening the common chi-squared tests. Biometrics 10,
    417-451. https://doi.org/10.2307/3001616

    Examples
    --------
    >>> chi_squared([[30, 10, 20]], [[1/3, 1/3, 1/3]]).round(3).tolist()
    [10.0]
    """
    c = np.asarray(counts, np.float64)
    p = np.asarray(expected, np.float64)
    n = row_sums(c)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = n / np.asarray(m, np.float64)[..., None]
        wanted = n * p
        pooled = (ratio * c + wanted) / (1.0 + ratio)
        value = row_sums(np.square(c - wanted) / np.maximum(pooled, floor)) / (1.0 + ratio[..., 0])
    undefined = (n[..., 0] <= 0.0) | ~(row_sums(p) > 0.0)
    return np.asarray(np.where(undefined, np.nan, value), np.float64)


def chi_squared_p(statistic: npt.ArrayLike, bins: npt.ArrayLike) -> Floats:
    """Say how often chance alone gives a statistic at least this large.

    Parameters
    ----------
    statistic
        What `chi_squared` returned, any shape.
    bins
        Number of cells, broadcastable to it; fractions for cells that expect less than one value.

    Returns
    -------
    Floats
        p-value in 0..1. One cell (a constant column) leaves nothing to test: 1 when the statistic is 0, and 0
        otherwise. NaN in, NaN out.

    Notes
    -----
    Asymptotic: pool cells until nearly all expect five or more. Assumes independent values. About a third of
    a microsecond a value.

    References
    ----------
    Cochran, W. G. (1954). Biometrics 10, 417-451. https://doi.org/10.2307/3001616

    Examples
    --------
    >>> chi_squared_p([10.0], 3).round(4).tolist()
    [0.0067]
    """
    dof = np.maximum(np.asarray(bins, np.float64) - 1.0, 1e-9)
    x = np.asarray(statistic, np.float64)
    return np.asarray(np.where(x <= 0.0, 1.0, special.chdtrc(dof, x)), np.float64)


def chi_squared_chance(bins: npt.ArrayLike) -> Floats:
    """Say which statistic chance alone exceeds in 5 % of windows: the 95 % point for ``bins - 1``.

    Parameters
    ----------
    bins
        Number of cells, any shape, fractions allowed.

    Returns
    -------
    Floats
        The line, same shape; it does not depend on the sample sizes. 0 for one cell.

    Notes
    -----
    Asymptotic, for independent values; see `chi_squared_p`.

    References
    ----------
    Pearson, K. (1900). Philosophical Magazine 50, 157-175. https://doi.org/10.1080/14786440009463897

    Examples
    --------
    >>> chi_squared_chance(10).round(2).item()
    16.92
    """
    return chi_squared_line(np.asarray(bins, np.float64) - 1.0)
