"""Distances between shares that ask for no order: Hellinger, total variation, and the G-test."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.classic.cells import pair_of
from detectors.sums import row_sums

Floats = npt.NDArray[np.float64]


def hellinger(counts: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    r"""Measure the Hellinger distance, 0 (same) to 1 (disjoint).

    .. math:: H = \sqrt{\tfrac12 \sum_b \left( \sqrt{q_b} - \sqrt{p_b} \right)^2}

    Parameters
    ----------
    counts, reference
        Counts over the same cells, [..., B] and broadcastable to it.

    Returns
    -------
    Floats
        [...]; NaN where a side is empty.

    Raises
    ------
    ValueError
        See `detectors.classic.cells.pair_of`.

    Notes
    -----
    Assumes nothing, but for independent values ``8 H² n m / (n + m)`` is about chi-squared with B - 1 degrees of
    freedom when nothing changed, so a fixed limit means less the smaller the window. Constant input has 0.

    References
    ----------
    Hellinger, E. (1909). J. reine angew. Math. 136, 210-271. https://doi.org/10.1515/crll.1909.136.210

    Examples
    --------
    >>> hellinger([[5, 5], [10, 0]], [50, 50]).round(3).tolist()
    [0.0, 0.541]
    """
    two = pair_of(counts, reference)
    total = row_sums(np.square(np.sqrt(two.q) - np.sqrt(two.p)))
    return np.asarray(np.sqrt(np.minimum(0.5 * total, 1.0)), np.float64)


def total_variation(counts: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    r"""Measure which share of the values would have to change: the total variation distance, 0..1.

    .. math:: TV = \tfrac12 \sum_b | q_b - p_b |

    Parameters
    ----------
    counts, reference
        Counts over the same cells, [..., B] and broadcastable to it.

    Returns
    -------
    Floats
        [...]; NaN where a side is empty.

    Raises
    ------
    ValueError
        See `detectors.classic.cells.pair_of`.

    Notes
    -----
    The easiest of all to explain. By chance alone it is about ``Σ √(p (1-p) / (2π)) · √(1/n + 1/m)``, so it grows
    with the number of cells. Constant input has 0.

    References
    ----------
    Levin, D. A., & Peres, Y. (2017). Markov Chains and Mixing Times, chapter 4. https://doi.org/10.1090/mbk/107

    Examples
    --------
    >>> total_variation([30, 70], [50, 50]).round(3).item()
    0.2
    """
    two = pair_of(counts, reference)
    return np.asarray(np.minimum(0.5 * row_sums(np.abs(two.q - two.p)), 1.0), np.float64)


def g_test(counts: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    r"""Compute the likelihood-ratio statistic of the 2 by B table of the two sides.

    .. math:: G = 2 \sum_b \left( c_b \ln \frac{c_b}{n \bar p_b} + r_b \ln \frac{r_b}{m \bar p_b} \right),
              \qquad \bar p_b = \frac{c_b + r_b}{n + m}

    Parameters
    ----------
    counts, reference
        Counts over the same cells, [..., B] and broadcastable to it.

    Returns
    -------
    Floats
        0 or more, [...]; NaN where a side is empty.

    Raises
    ------
    ValueError
        See `detectors.classic.cells.pair_of`.

    Notes
    -----
    Chi-squared with B - 1 degrees of freedom for independent values when most cells expect five or more. Cells
    empty on both sides add nothing; constant input has 0.

    References
    ----------
    Wilks, S. S. (1938). Ann. Math. Stat. 9, 60-62. https://doi.org/10.1214/aoms/1177732360

    Examples
    --------
    >>> g_test([30, 10, 20], [200, 200, 200]).round(2).item()
    9.56
    """
    two = pair_of(counts, reference)
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (two.counts + two.reference) / (two.n + two.m)
        parts = special.xlogy(two.counts, np.where(two.counts > 0, two.q / pooled, 1.0))
        parts += special.xlogy(two.reference, np.where(two.reference > 0, two.p / pooled, 1.0))
    empty = (two.n[..., 0] <= 0.0) | (two.m[..., 0] <= 0.0)
    return np.asarray(np.where(empty, np.nan, np.maximum(2.0 * row_sums(parts), 0.0)), np.float64)
