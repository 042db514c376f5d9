"""Where a window's values lie and how spread out they are, on the baseline's own scale of ranks, from counts alone.

A distance over ten groups of bins looks in every direction at once, which is paid for in power. A shift and a change of
spread are what most faults come to, and each has one number that sees it with almost all the power there is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from detectors.layout import UNDERFLOW, Layout

Floats = npt.NDArray[np.float64]
#: 95 % of chi-squared with one degree of freedom.
_LINE = 3.841458820694124
#: Least variance believed, of a unit one: a window of one value has none.
_LEAST_VARIANCE = 1e-6


class Moved(NamedTuple):
    """Discrepancies of location and spread with their lines of chance, [W, C]; NaN for a category."""

    location: Floats
    location_chance: Floats
    spread: Floats
    spread_chance: Floats


class NormalScores:
    r"""Normal scores of the bins of every numeric column, and what windows' counts come to on them.

    .. math:: a_j = E[Z \mid Z \in B_j] = \frac{\varphi(l_j) - \varphi(u_j)}{p_j}, \quad
              q_j = E[Z^2 \mid Z \in B_j] = 1 + \frac{l_j \varphi(l_j) - u_j \varphi(u_j)}{p_j}

    with Z standard normal and B_j the part of it, from l to u, that has the mass p_j of bin j in the baseline, in the
    same order: values as they would be if the baseline were normal.

    Parameters
    ----------
    layout
        Says which slots are whose.
    totals
        What the baseline holds, slot by slot, [S] counts. Half a row is added to each outer bin, so that what lies
        out of range has a finite score.

    Notes
    -----
    The mean of normal scores has all the power of the t-test against a shift of normal values, and at least as much
    for any other distribution (Chernoff & Savage 1958); the mean of their squares is Klotz's statistic for a change of
    spread (1962). Both are sums over slots, so they merge as counts do.

    References
    ----------
    Chernoff, H., & Savage, I. R. (1958). Asymptotic normality and efficiency of certain nonparametric test statistics.
    Ann. Math. Stat. 29, 972-994. https://doi.org/10.1214/aoms/1177706436
    Klotz, J. (1962). Nonparametric tests for scale. Ann. Math. Stat. 33, 498-512.
    https://doi.org/10.1214/aoms/1177704576
    """

    def __init__(self, layout: Layout, totals: npt.ArrayLike) -> None:
        held = np.asarray(totals, np.float64)
        self._firsts = np.asarray(layout.first_slots, dtype=np.intp)
        self.present: Floats = np.zeros(layout.slots)
        """1 for slots of numeric values that are there, [S]."""
        self.first: Floats = np.zeros(layout.slots)
        """a, [S]."""
        self.second: Floats = np.zeros(layout.slots)
        """q, [S]."""
        for i in layout.numeric:
            at = layout.slice_of(i)
            values = slice(at.start + UNDERFLOW, at.stop)
            self.present[values] = 1.0
            self.first[values], self.second[values] = _scores(held[values])

    def totals(self, expected: npt.ArrayLike) -> Floats:
        """Add up what `moved` needs of shares: they are sums, so those of a mixture are mixed from its parts'.

        Parameters
        ----------
        expected
            Shares of each column's rows, [R, S].

        Returns
        -------
        Floats
            [R, 6 C]: of what is present, of a, q, a², a q and q², column by column.
        """
        known = np.asarray(expected, np.float64)
        a, q = self.first, self.second
        return np.concatenate(
            [self._total(known, w) for w in (self.present, a, q, a**2, a * q, q**2)], axis=1
        )

    def moved(self, counts: npt.ArrayLike, totals: Floats, reference_rows: float) -> Moved:
        r"""Say how far windows have moved from what is expected of them.

        .. math:: d_{location} = (\bar a - \bar a_0)^2, \quad c = \chi^2_1(0.95) \, v_0 \, (1/n + 1/m)

        .. math:: d_{spread} = \left( \ln \frac{s}{s_0} \right)^2, \quad
                  c = \chi^2_1(0.95) \, \frac{\mathrm{Var}(q - 2 \bar a_0 a)}{s_0^2} (1/n + 1/m), \quad
                  s = \bar q - \bar a^2

        Parameters
        ----------
        counts
            Slot by slot, [W, S].
        totals
            What `totals` says of what is expected of them, [W, 6 C] or [1, 6 C].
        reference_rows
            Rows behind it, m; may be infinite.

        Returns
        -------
        Moved
            [W, C]. The lines hold for independent rows.
        """
        n, mean, square = self._means(np.asarray(counts, np.float64))
        mass, *sums = np.split(totals, 6, axis=1)
        mass = np.where(mass > 0, mass, np.nan)
        mean_0, square_0, variance, cross, of_square = (total / mass for total in sums)
        s_0 = np.maximum(square_0 - mean_0**2, _LEAST_VARIANCE)
        variance -= mean_0**2
        cross -= mean_0 * square_0
        about = of_square - square_0**2 - 4 * mean_0 * cross + 4 * mean_0**2 * variance
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = _LINE * (1.0 / n + 1.0 / reference_rows)
            s = np.maximum(square - mean**2, _LEAST_VARIANCE)
            return Moved(
                (mean - mean_0) ** 2,
                np.maximum(variance, _LEAST_VARIANCE) * inverse,
                np.log(s / s_0) ** 2,
                np.maximum(about / s_0**2, _LEAST_VARIANCE) * inverse,
            )

    def _total(self, counts: Floats, weights: Floats) -> Floats:
        out: Floats = np.add.reduceat(counts * weights, self._firsts, axis=1)
        return out

    def _means(self, counts: Floats) -> tuple[Floats, Floats, Floats]:
        """Return values present (NaN for none), and the means of a and q, [W, C]."""
        n = self._total(counts, self.present)
        n[n <= 0] = np.nan
        return n, self._total(counts, self.first) / n, self._total(counts, self.second) / n


def _scores(held: Floats) -> tuple[Floats, Floats]:
    """Return a and q of one column's bins, [B]."""
    mass = held.copy()
    mass[0] += 0.5
    mass[-1] += 0.5
    edges = np.concatenate([[0.0], np.cumsum(mass) / mass.sum()])
    edges[-1] = 1.0
    share = np.diff(edges)
    z = ndtri(edges)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)  # 0 at both ends
    moment = np.where(np.isfinite(z), z, 0.0) * density
    empty = share <= 1e-12
    safe = np.where(empty, 1.0, share)
    first = np.where(empty, z[:-1], (density[:-1] - density[1:]) / safe)
    second = np.where(empty, z[:-1] ** 2, 1.0 + (moment[:-1] - moment[1:]) / safe)
    return first, second
