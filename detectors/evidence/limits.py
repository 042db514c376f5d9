"""The score that quiet traffic exceeds no more often than a budget of false pages allows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, ndtri

Floats = npt.NDArray[np.float64]

#: Blocks below which a tail fitted to them is not believed.
LEAST_BLOCKS = 10
#: How much further the limit is at least where the baseline is too short to check it.
WIDENED = 1.5
#: How often the wander that so few stretches of time show is less than it is by more than the limit allows for.
_UNDERRATED = 0.05
#: The budget is aimed at this many times over, for what the baseline does not show.
SAFETY = 2.0
#: About where limits are: the level at which looks at a sliding window are told apart.
_LEVEL = 5.0


class Limit(NamedTuple):
    """A limit on the greatest score, and a sentence on what it could not be based on."""

    score: float
    warning: str


def looks(steps: float) -> float:
    r"""Say how many independent windows a window that slides past its own length in so many steps is worth.

    .. math:: \min\left(m,\ \max\left(1,\ h^2 \exp\left(-0.583\, h \sqrt{2/m}\right)\right)\right)

    Parameters
    ----------
    steps
        m, 1 or more: the window's length in panes.

    Returns
    -------
    float
        1 to 25, which is h² for h = 5.

    Notes
    -----
    Sums over a sliding window of independent values have a correlation that falls linearly with the distance. Such a
    normal process rises above a high level h in :math:`h\, \varphi(h)` clumps for each length of a window, where single
    windows are above it with a probability of :math:`\varphi(h)/h`: h² times as often. The exponential is what is
    missed between one step and the next.

    References
    ----------
    Pickands, J. (1969). Upcrossing probabilities for stationary Gaussian processes. Trans. AMS 145, 51-73.
    Siegmund, D. (1985). Sequential Analysis, chapter X (the correction for steps). doi:10.1007/978-1-4757-1862-1

    Examples
    --------
    >>> looks(1), round(looks(5), 1), round(looks(60), 1), round(looks(1440), 1)
    (1.0, 4.0, 14.7, 22.4)
    """
    clumps = _LEVEL**2 * np.exp(-0.583 * _LEVEL * np.sqrt(2.0 / steps))
    return float(min(max(clumps, 1.0), steps))


def widening(stretches: int) -> float:
    r"""Say how many times as far the limit is where the baseline is too short to check it.

    .. math:: \max\left(1.5,\ \left(\frac{k}{\chi^2_k(0.05)}\right)^{1/3}\right)

    Parameters
    ----------
    stretches
        k: days of the baseline, or windows where these are longer; 0 where that is not known.

    Returns
    -------
    float
        1.5 for seven days and more, and for 0; 2.7 for two, 6.3 for one.

    Notes
    -----
    Where a level wanders for hours, a day is about one look at it. The mean square of k of them is less than
    :math:`\chi^2_k(0.05)/k` of the true one in 5 % of baselines, and a score is a cube root of a square.

    Examples
    --------
    >>> [round(widening(days), 2) for days in (0, 1, 2, 4, 7)]
    [1.5, 6.34, 2.69, 1.78, 1.5]
    """
    if not stretches:
        return WIDENED
    return max(WIDENED, float(np.cbrt(stretches / chdtri(stretches, 1.0 - _UNDERRATED))))


def underrated(looks_taken: int) -> float:
    r"""Say how many times its estimate a standard deviation may be, which so many independent looks were taken at.

    .. math:: \sqrt{\frac{k}{\chi^2_k(0.05)}},\quad k = \text{looks} - 1

    Returns
    -------
    float
        Above 1: of normal looks the true one is greater in 5 % of cases. Infinite below two looks.

    Examples
    --------
    >>> round(underrated(4), 2), round(underrated(56), 2)
    (2.92, 1.19)
    """
    degrees = looks_taken - 1
    return float(np.sqrt(degrees / chdtri(degrees, 1.0 - _UNDERRATED))) if degrees > 0 else float("inf")


def union_limit(probability: float, quantities: int) -> float:
    r"""Return the normal score with :math:`P(\max_q z_q > h) \le p` whatever the dependence of quantities.

    .. math:: h = \Phi^{-1}(1 - p / Q)

    Examples
    --------
    >>> round(union_limit(0.05, 10), 3)
    2.576
    """
    return float(-ndtri(min(probability, 1.0) / max(quantities, 1)))


def tail_limit(maxima: npt.ArrayLike, probability: float) -> float:
    r"""Extrapolate the maxima of blocks to the level that a block exceeds with a small probability.

    .. math:: h^2 = m^2 + s \left(1 + \frac{1}{\sqrt{B / 2}}\right) \ln \frac{1/2}{p}

    Parameters
    ----------
    maxima
        Greatest score of each of B blocks; a negative one counts as 0.
    probability
        p; one half and above give the median.

    Returns
    -------
    float
        With m the median of the maxima, and s the mean of the squares of those above it less m².

    Notes
    -----
    The square of a normal score has an exponential tail with mean 2, and so have maxima of dependent ones; s
    is greater where scores have a heavier tail than that, which the limit then follows. One standard error
    of s is added.

    References
    ----------
    Coles, S. (2001). An Introduction to Statistical Modeling of Extreme Values, chapters 3 and 4.
    https://doi.org/10.1007/978-1-4471-3675-0

    Examples
    --------
    >>> tail_limit([1.0, 2.0, 3.0, 4.0], 0.5)
    2.5
    """
    values = np.maximum(np.asarray(maxima, np.float64), 0.0)
    median = float(np.median(values))
    excess = float(np.mean(np.square(values[values >= median]) - median**2))
    caution = 1 + 1 / np.sqrt(len(values) / 2)
    return float(np.sqrt(median**2 + excess * caution * np.log(0.5 / min(probability, 0.5))))


def score_limit(
    scores: Floats,
    *,
    block: int,
    pages_per_pane: float,
    quantities: int,
    independent: float = 1.0,
    run: int = 1,
    stretches: int = 0,
) -> Limit:
    """Choose the limit on the greatest score of a model's windows of one length.

    Parameters
    ----------
    scores
        Greatest score over quantities of each window of the baseline that could be judged, [W], in time
        order, from windows compared with a reference that they are no part of; NaN where not.
    block
        Windows in a block: a day, or two windows' length if that is longer.
    pages_per_pane
        The budget, for one step of a window.
    quantities
        How many scores the greatest is of.
    independent
        Independent windows in a step: 1, or less where windows overlap.
    run
        Windows in a row that must exceed the limit before somebody is paged.
    stretches
        Days of the baseline, or windows where these are longer: see `widening`.

    Returns
    -------
    Limit
        The greater of `tail_limit` of the blocks and `union_limit`; with too few blocks `union_limit`,
        widened, and a warning.
    """
    rate = pages_per_pane / SAFETY
    union = union_limit(rate / independent, quantities)
    blocks = _block_maxima(_least_of_runs(scores, run), block)
    if len(blocks) < LEAST_BLOCKS:
        wider = widening(stretches)
        warning = (
            f"the baseline has {len(blocks)} blocks of time to learn from, {LEAST_BLOCKS} are needed: "
            f"limits are {wider:.2g} times as wide"
        )
        return Limit(wider * max(union, max(blocks, default=0.0)), warning)
    return Limit(max(union, tail_limit(blocks, min(rate * block, 0.5))), "")


def _block_maxima(scores: Floats, block: int) -> list[float]:
    cut = (scores[i : i + block] for i in range(0, len(scores), block))
    return [float(np.max(part[np.isfinite(part)])) for part in cut if np.isfinite(part).mean() > 0.25]


def _least_of_runs(scores: Floats, run: int) -> Floats:
    """Least of every `run` consecutive scores: what a limit must be below for all of them to exceed it."""
    out = scores.copy()
    for back in range(1, min(run, len(scores))):
        out[back:] = np.minimum(out[back:], scores[:-back])  # NaN where any is
    return out
