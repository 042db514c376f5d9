r"""A kernel mean embedding in whole numbers: random Fourier features whose sums are exact.

A row's features are the cosine and sine of K random linear combinations of its codes. The phase is computed in whole
numbers and looked up in a table of whole numbers, so every machine gets the same sums; a library's cosine would
differ in its last digit from one processor to the next.

.. math:: \varphi_k(x) = \left(\cos \omega_k^\top x, \sin \omega_k^\top x\right), \quad
          \mathrm{MMD}^2(P, Q) \approx \frac1K \sum_k \left\| \bar\varphi_k(P) - \bar\varphi_k(Q) \right\|^2
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from detectors.joint.plan import TURN

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]

#: A cosine of one is this whole number.
AMPLITUDE = 127
_COSINES = np.rint(AMPLITUDE * np.cos(2 * np.pi * np.arange(TURN) / TURN)).astype(np.int64)
#: Sine in the upper half and cosine in the lower half of one number: one look-up and one sum for both.
_PACKED = (np.roll(_COSINES, TURN // 4) << 32) + _COSINES
#: Rows of one matrix product: so few that no library spreads it over threads, for which it would wait longer.
_BLOCK = 512


def wave_sums(codes: Singles, starts: npt.NDArray[np.intp], frequencies: Singles) -> Ints:
    """Sum the waves of runs of rows.

    Parameters
    ----------
    codes
        Whole numbers, [rows, M].
    starts
        First row of each run, ascending, the first 0.
    frequencies
        Whole numbers, [M, K], `TURN`-ths of a turn a unit of code.

    Returns
    -------
    Ints
        [runs, 2 K]: sums of cosines, then of sines, times `AMPLITUDE`.
    """
    k = frequencies.shape[1]
    out = np.zeros((len(starts), 2 * k), dtype=np.int64)
    for first in range(0, len(codes), _BLOCK):
        part = codes[first : first + _BLOCK]
        low = int(np.searchsorted(starts, first, side="right")) - 1
        high = int(np.searchsorted(starts, first + len(part)))
        # Less than 2**24 in magnitude, so exact; a negative one wraps like any other.
        phase = (frequencies.T @ part.T).astype(np.int32) & (TURN - 1)
        both = _PACKED.take(phase, mode="clip")
        if high - low == 1:
            packed = both.sum(axis=1, keepdims=True)
        else:
            packed = np.add.reduceat(both, np.maximum(starts[low:high] - first, 0), axis=1)
        cosines = packed.astype(np.int32).astype(np.int64)
        out[low:high, :k] += cosines.T
        out[low:high, k:] += ((packed - cosines) >> 32).T
    return out


def mean_discrepancy(waves: Floats, expected: Floats) -> Floats:
    r"""Squared distance of two mean embeddings, MMD².

    Parameters
    ----------
    waves, expected
        Mean cosines and sines, [..., 2 K].

    Returns
    -------
    Floats
        [...], 0 to 4; 0 for equal distributions.

    References
    ----------
    Gretton, A., Borgwardt, K. M., Rasch, M. J., Schölkopf, B., & Smola, A. (2012). A kernel two-sample test. JMLR 13.
    """
    out: Floats = np.square(waves - expected).sum(axis=-1) / (waves.shape[-1] // 2)
    return out


def mean_discrepancy_chance(n: npt.ArrayLike, m: npt.ArrayLike, expected: Floats, dof: float) -> Floats:
    r"""Say which MMD² chance alone exceeds in 5 % of windows.

    .. math:: \left(\frac1n + \frac1m\right) \left(1 - \frac1K \|\bar\varphi\|^2\right) \frac{\chi^2_\nu(0.95)}{\nu}

    Parameters
    ----------
    n, m
        Rows of the window and of the reference, broadcastable with ``expected[..., 0]``; m may be infinite.
    expected
        Mean cosines and sines of the reference, [..., 2 K].
    dof
        ν, from `chance_dof`.

    Notes
    -----
    By chance MMD² is a sum of chi-squares weighted by the eigenvalues of the features' covariance. Its mean is
    exact; the shape is Welch and Satterthwaite's, a chi-square with as many degrees of freedom as make the
    variance right.
    """
    spread = 1.0 - np.square(expected).sum(axis=-1) / (expected.shape[-1] // 2)
    size = 1.0 / np.maximum(np.asarray(n, np.float64), 1.0) + 1.0 / np.maximum(np.asarray(m, np.float64), 1.0)
    return np.asarray(size * np.maximum(spread, 0.0) * _line(dof), np.float64)


@lru_cache(maxsize=4096)
def _line(dof: float) -> float:
    return float(chi2.ppf(0.95, dof) / dof)


def chance_dof(codes: Singles, frequencies: Singles) -> float:
    r"""Degrees of freedom of MMD² by chance: :math:`(\mathrm{tr}\,\Sigma)^2 / \mathrm{tr}\,\Sigma^2`.

    Parameters
    ----------
    codes
        Rows of the reference, [rows, M].
    frequencies
        [M, K].
    """
    angle = (codes @ frequencies).astype(np.float64) * (2 * np.pi / TURN)
    features = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
    covariance = np.atleast_2d(np.cov(features, rowvar=False))
    square = float(np.square(covariance).sum())
    return max(float(np.trace(covariance)) ** 2 / square, 1.0) if square > 0 else 1.0
