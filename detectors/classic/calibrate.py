"""Thresholds for a stated false-alarm rate, by resampling the reference.

The reference is itself a sample, so each resample first draws a *truth* from it (a bootstrap of the reference) and
then a window from that truth: the spread between window and reference is that of ``1/n + 1/m``, not of ``1/n``. Blocks
of neighbouring values keep the autocorrelation that a real stream has, which is what textbook limits forget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def check_calibration(rate: float, resamples: int, block: int) -> None:
    """Reject parameters that no threshold can follow from.

    Raises
    ------
    ValueError
        Naming the parameter.

    Examples
    --------
    >>> check_calibration(0.01, 10, 1)
    Traceback (most recent call last):
    ...
    ValueError: resamples: 10 cannot show a rate of 0.01, want at least 99
    """
    if not 0.0 < rate <= 0.5:
        msg = f"rate: {rate!r}, want a false-alarm rate above 0 and at most 0.5"
        raise ValueError(msg)
    if block < 1:
        msg = f"block: {block!r}, want 1 or more neighbouring values"
        raise ValueError(msg)
    if resamples < math.ceil(1.0 / rate - 1e-9) - 1:
        msg = f"resamples: {resamples} cannot show a rate of {rate:g}, want at least {math.ceil(1.0 / rate) - 1}"
        raise ValueError(msg)


def threshold_of(null: Floats, rate: float) -> float:
    """Return the value that a new draw exceeds with probability at most `rate`.

    Parameters
    ----------
    null
        Values without change, [R]; NaN counts as quiet.
    rate
        Above 0 and at most 0.5.

    Returns
    -------
    float
        The ``⌈(1 - rate) (R + 1)⌉``-th smallest: exact, not asymptotic, for exchangeable draws.

    Notes
    -----
    Ties make the true rate smaller, never larger.

    References
    ----------
    Davison, A. C., & Hinkley, D. V. (1997). Bootstrap Methods and their Application, section 4.2.
    https://doi.org/10.1017/CBO9780511802843

    Examples
    --------
    >>> threshold_of(np.arange(99.0), 0.05)
    94.0
    """
    ordered = np.sort(np.nan_to_num(null, nan=-np.inf))
    return float(ordered[min(math.ceil((1.0 - rate) * (len(ordered) + 1) - 1e-9), len(ordered)) - 1])


def null_counts(reference: Floats, n: int, resamples: int, rng: np.random.Generator) -> Floats:
    """Draw counts of windows without change, for independent values.

    Parameters
    ----------
    reference
        Counts of the reference, [B].
    n
        Values in a window.
    resamples
        Windows to draw.
    rng
        Source of chance.

    Returns
    -------
    Floats
        [R, B].

    Notes
    -----
    The truth is a Bayesian bootstrap of the reference, which for counts is a Dirichlet variable. Linear in ``R B``.

    References
    ----------
    Rubin, D. B. (1981). The Bayesian bootstrap. Ann. Stat. 9, 130-134. https://doi.org/10.1214/aos/1176345338

    Examples
    --------
    >>> null_counts(np.array([10.0, 0.0]), 5, 2, np.random.default_rng(0)).tolist()
    [[5.0, 0.0], [5.0, 0.0]]
    """
    truth = rng.gamma(np.broadcast_to(reference, (resamples, len(reference))))
    return rng.multinomial(n, truth / truth.sum(axis=1, keepdims=True)).astype(np.float64)


def null_places(m: int, n: int, resamples: int, block: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Draw, one window after the other, which values of an ordered reference a window without change holds.

    Parameters
    ----------
    m, n
        Values in the reference and in a window.
    resamples
        Windows to draw.
    block
        Neighbouring values drawn together; 1 for independent values. At most `m`.
    rng
        Source of chance.

    Yields
    ------
    Ints
        Places in the reference, [n].

    Notes
    -----
    Circular blocks: every value is as likely as any other. A block should be much longer than the correlation and
    much shorter than the reference; ten correlation times is a fair choice.

    References
    ----------
    Politis, D. N., & Romano, J. P. (1992). A circular block-resampling procedure for stationary data. In Exploring
    the Limits of Bootstrap, 263-270. Wiley.

    Examples
    --------
    >>> places = next(null_places(4, 4, 1, 4, np.random.default_rng(1)))
    >>> sorted(places.tolist())
    [0, 1, 2, 3]
    """
    length = min(block, m)
    inside = np.arange(length)
    for _ in range(resamples):
        truth = rng.integers(0, m, -(-m // length))
        starts = truth[rng.integers(0, len(truth), -(-n // length))]
        yield ((starts[:, None] + inside) % m).ravel()[:n]


def calibrate(statistic: Callable[[Ints], float], m: int, n: int, options: Calibration) -> float:
    """Return the threshold of a statistic of places in the reference.

    Parameters
    ----------
    statistic
        From the places that a window holds to its value.
    m, n
        Values in the reference and in a window.
    options
        Rate, resamples, block and seed.

    Returns
    -------
    float
        See `threshold_of`.

    Notes
    -----
    The same arguments give the same threshold: the seed is mixed with `n` alone.

    Examples
    --------
    >>> calibrate(lambda places: float(places.sum()), 10, 2, Calibration(rate=0.1, resamples=99)) > 9
    True
    """
    rng = options.rng(n)
    drawn = null_places(m, n, options.resamples, options.block, rng)
    return threshold_of(np.array([statistic(places) for places in drawn]), options.rate)


class Calibration:
    """How a threshold is found: the false-alarm rate per window, and the resampling behind it.

    Parameters
    ----------
    rate
        Share of windows without change that may alarm, above 0 and at most 0.5.
    resamples
        Windows drawn; at least ``1 / rate - 1``.
    block
        Neighbouring values drawn together; 1 for independent values.
    seed
        Of the draws.

    Raises
    ------
    ValueError
        Naming the parameter that is wrong.

    Examples
    --------
    >>> Calibration(rate=0.01).resamples
    1000
    """

    def __init__(self, rate: float = 0.01, resamples: int = 1000, block: int = 1, seed: int = 0) -> None:
        check_calibration(rate, resamples, block)
        self.rate, self.resamples, self.block, self.seed = rate, resamples, block, seed

    def rng(self, n: int) -> np.random.Generator:
        """Return the source of chance for windows of one size."""
        return np.random.default_rng([self.seed, n])
