"""Rows far beyond all that the baseline had: few of them, but each carries the mean a long way.

Counts in bins say that a row is out of range, and not how far. The exact moments of a window do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from detectors.layout import UNDERFLOW, Layout
from detectors.moments import M2, MAXIMUM, MEAN, MINIMUM

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
#: Rows that must be out of range, and as far: one may be a slip of anybody's, and is no reason to wake somebody up.
LEAST_ROWS = 2
#: A row so many standard deviations beyond the range counts as one: one in twenty of them moves the mean by 0.24, which
#: is what the smallest distance worth a page is as a shift (0.1 √(8 ln 2)).
UNIT = 0.1 * float(np.sqrt(8.0 * np.log(2.0))) / 0.05
#: A tail is never taken to be lighter than one whose variance is just infinite.
MOST_INDEX = 2.0
#: Sums of squares are right to so much of themselves, however they were put together.
_ROUNDING = 1e-9
#: Share of rows beyond the quantiles by which a tail is measured.
_BEYOND = 0.01


@dataclass(frozen=True, slots=True)
class Tail:
    """How far a column's values went in the baseline."""

    mean: float
    std: float
    """Of all values, not negative."""
    furthest: float
    """Distance of the furthest value from the mean."""
    index: float
    """How fast the tail falls: beyond c times the furthest are c^-index as many rows as beyond the furthest."""


#: Of a column of which nothing is known: no row is far.
UNKNOWN = Tail(0.0, 0.0, 0.0, 0.0)


class Far(NamedTuple):
    """What is far out of range in each column of each window, [W, C]."""

    weight: Floats
    """As how many rows one out of range counts, 1 or more."""
    score: Floats
    """Standard score of the chance that any row of a window goes so far; minus infinity where none did."""


def tail_of(
    mean: float, std: float, low: float, high: float, quantiles: tuple[float, float], rows: int
) -> Tail:
    r"""Measure the tail of a baseline's column.

    .. math:: \alpha = \min\left(2,\ \frac{\ln(0.01\, m)}{\ln(R / R_{99})}\right)

    Parameters
    ----------
    mean, std, low, high
        Of its values.
    quantiles
        Those of 1 % and 99 %.
    rows
        Values behind it, m.

    Returns
    -------
    Tail
        With R the distance of the furthest value from the mean and R₉₉ that of the further quantile. A tail that falls
        as a power of the distance has its furthest of m values where a fraction 1/m is left, so these two give its
        index, more or less; one that falls faster is taken for one of index 2.

    Examples
    --------
    >>> tail_of(0.0, 1.0, -4.4, 4.4, (-2.33, 2.33), 100_000).index
    2.0
    >>> round(tail_of(0.0, 60.0, -900.0, 10_000.0, (-9.0, 10.0), 100_000).index, 6)
    1.0
    """
    furthest = max(high - mean, mean - low)
    usual = max(quantiles[1] - mean, mean - quantiles[0])
    if not (std > 0 and furthest > usual > 0 and rows * _BEYOND > 1) or not np.isfinite(furthest):
        return Tail(mean, std, furthest, 0.0)
    index = float(np.log(_BEYOND * rows) / np.log(furthest / usual))
    return Tail(mean, std, furthest, min(index, MOST_INDEX))


class Tails:
    """The tails of a layout's numbers.

    Parameters
    ----------
    layout
        Says which slots are whose.
    tails
        One for each numeric column, in the order of `layout.numeric`.
    """

    def __init__(self, layout: Layout, tails: list[Tail]) -> None:
        self._columns = np.asarray(layout.numeric, dtype=np.intp)
        self._tails = tails
        self._shape = len(layout.columns)
        places = [layout.slice_of(i) for i in layout.numeric]
        self._under = np.array([p.start + UNDERFLOW for p in places], dtype=np.intp)
        self._over = np.array([p.stop - 1 for p in places], dtype=np.intp)
        self._squares = [
            _furthest_squares(layout.columns[i].edges, tail.mean)
            for i, tail in zip(layout.numeric, tails, strict=True)
        ]

    def far(self, counts: Ints, moments: Floats, reference_rows: float) -> Far:
        r"""Say what is far out of range in each window.

        .. math:: r^2 = \frac{\sum (x - \mu_0)^2 - \max (x - \mu_0)^2 - \sum_{in} (x - \mu_0)^2}{k - 1}

        .. math:: w = \max\left(1, \frac{r - R}{4.7\, \sigma_0}\right), \quad
                  z = -\Phi^{-1}\left(\frac{n}{m + 1} \left(\frac{r}{R}\right)^{-\alpha}\right)

        Parameters
        ----------
        counts
            Slot by slot, [W, S].
        moments
            [W, numeric columns, 4], as `detectors.moments` has them; NaN where nothing is known.
        reference_rows
            Rows of the baseline, m.

        Returns
        -------
        Far
            Of k rows out of range the furthest one is left out, and r is the root mean square of how far the others
            are from the baseline's mean: at least two rows are as far as that. What lies within the range is taken to
            be at the further ends of its bins, so r is never too great.

        Notes
        -----
        The chance is a union over the n rows of a window, so it holds however rows depend on each other: the next row
        is the furthest of all with a chance of 1/(m + 1), and c times as far with c^-α of that. Costs next to nothing
        where fewer than two rows are out of range. Values whose squares overflow say nothing.

        References
        ----------
        Embrechts, P., Klüppelberg, C., & Mikosch, T. (1997). Modelling Extremal Events, chapter 3 (regular variation).
        """
        weight = np.ones((len(counts), self._shape))
        score = np.full(weight.shape, -np.inf)
        outside = counts[:, self._under] + counts[:, self._over]
        hit = outside >= LEAST_ROWS
        for at in np.flatnonzero(hit.any(axis=0)).tolist():
            windows, tail = np.flatnonzero(hit[:, at]), self._tails[at]
            if not (tail.std > 0 and tail.furthest > 0):
                continue
            held = counts[windows, self._under[at] : self._over[at] + 1]
            n = held.sum(axis=1)
            mine = moments[windows, at]
            with np.errstate(invalid="ignore", over="ignore"):
                squares = mine[:, M2] + n * np.square(mine[:, MEAN] - tail.mean)
                most = np.square(np.fmax(mine[:, MAXIMUM] - tail.mean, tail.mean - mine[:, MINIMUM]))
                rest = squares - most - held[:, 1:-1] @ self._squares[at] - _ROUNDING * squares
                reach = np.sqrt(np.maximum(rest, 0.0) / (outside[windows, at] - 1))
            reach = np.nan_to_num(reach, nan=0.0, posinf=0.0)
            beyond = np.maximum(reach / tail.furthest, 1.0)
            chance = n / (reference_rows + 1.0) * beyond**-tail.index
            column = self._columns[at]
            weight[windows, column] = np.maximum((reach - tail.furthest) / (UNIT * tail.std), 1.0)
            score[windows, column] = np.where(beyond > 1.0, -ndtri(np.minimum(chance, 1.0)), -np.inf)
        return Far(weight, score)


def _furthest_squares(edges: tuple[float, ...], mean: float) -> Floats:
    """Return the square of how far from the mean a value of each bin can be, [bins]."""
    with np.errstate(over="ignore"):
        away = np.square(np.asarray(edges, np.float64) - mean)
    return np.maximum(away[:-1], away[1:]) if len(edges) > 1 else np.zeros(1)
