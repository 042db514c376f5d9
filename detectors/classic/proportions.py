"""Tests of one share against another: the two-proportion z-test and Fisher's exact test.

A column of two values has one share to test. With more cells each is tested against the rest, and the strongest
counts, Bonferroni-corrected by the number of cells.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.classic.cells import pair_of

Floats = npt.NDArray[np.float64]


def two_proportion_z(counts: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    r"""Compute the largest ``|z|`` of any cell's share.

    .. math:: |z| = \max_b \frac{|q_b - p_b|}{\sqrt{\bar p_b (1 - \bar p_b) (1/n + 1/m)}}

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
    Normal for independent values and at least about five expected on either side; use Fisher's test below that.
    A cell that is empty, or full, on both sides has 0, and so has constant input.

    References
    ----------
    Agresti, A. (2013). Categorical Data Analysis, section 3.2. https://doi.org/10.1002/0471249688

    Examples
    --------
    >>> two_proportion_z([30, 70], [500, 500]).round(3).item()
    3.816
    """
    two = pair_of(counts, reference)
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = (two.counts + two.reference) / (two.n + two.m)
        error = np.sqrt(pooled * (1.0 - pooled) * (1.0 / two.n + 1.0 / two.m))
        z = np.abs(two.q - two.p) / np.where(error > 0.0, error, np.inf)
    empty = (two.n[..., 0] <= 0.0) | (two.m[..., 0] <= 0.0)
    return np.asarray(np.where(empty, np.nan, z.max(axis=-1)), np.float64)


def fisher_exact(counts: npt.ArrayLike, reference: npt.ArrayLike) -> Floats:
    r"""Compute ``-log10 p`` of Fisher's exact test, two-sided, of the cell that speaks loudest.

    .. math:: p_b = \sum_{k: P(k) \le P(c_b)} P(k), \qquad
              P(k) = \binom{n}{k} \binom{m}{c_b + r_b - k} \Big/ \binom{n + m}{c_b + r_b}

    Parameters
    ----------
    counts, reference
        Whole counts over the same cells, [..., B] and broadcastable to it.

    Returns
    -------
    Floats
        0 or more, [...], Bonferroni-corrected by the number of cells (two cells are one test): 1.301 is ``p =
        0.05``. NaN where a side is empty.

    Raises
    ------
    ValueError
        See `detectors.classic.cells.pair_of`.

    Notes
    -----
    Exact for independent values whatever the sizes, hence conservative: small tables alarm less often than stated.
    Constant input has 0. Cost: up to `n` terms for each distinct table.

    References
    ----------
    Fisher, R. A. (1922). J. R. Stat. Soc. 85, 87-94. https://doi.org/10.2307/2340521

    Examples
    --------
    >>> fisher_exact([8, 2], [1, 5]).round(4).item()  # p = 0.0350
    1.4564
    """
    two = pair_of(counts, reference)
    cells = two.counts.shape[-1]
    tables = np.stack(np.broadcast_arrays(two.counts, two.reference, two.n, two.m), axis=-1).reshape(-1, 4)
    distinct, place = np.unique(tables, axis=0, return_inverse=True)
    log_p = np.array([_fisher_log10(*map(float, table)) for table in distinct])[place.ravel()]
    strongest = -log_p.reshape(two.counts.shape).min(axis=-1)
    used = np.count_nonzero(two.counts + two.reference, axis=-1)
    tests = np.where(used > 2, np.minimum(used, cells), 1)
    empty = (two.n[..., 0] <= 0.0) | (two.m[..., 0] <= 0.0)
    corrected = np.maximum(strongest - np.log10(tests), 0.0)
    return np.asarray(np.where(empty, np.nan, corrected), np.float64)


def _fisher_log10(c: float, r: float, n: float, m: float) -> float:
    """log10 of the two-sided p-value of one table."""
    both = c + r
    k = np.arange(max(0.0, both - m), min(n, both) + 1.0)
    if len(k) < 2:
        return 0.0
    log_p = _log_choose(n, k) + _log_choose(m, both - k) - _log_choose(n + m, np.array([both]))
    # Equally likely tables differ by rounding.
    extreme = log_p[log_p <= log_p[int(c - k[0])] + 1e-7]
    return min(float(special.logsumexp(extreme)) / math.log(10.0), 0.0)


def _log_choose(n: float, k: Floats) -> Floats:
    found: Floats = special.gammaln(n + 1.0) - special.gammaln(k + 1.0) - special.gammaln(n - k + 1.0)
    return found
