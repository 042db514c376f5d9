"""What a discrepancy naturally is, learnt from the baseline: from a distance to a standard score."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]

#: Mean over 95 % line of chi-squared with one degree of freedom: no statistic here has less chance in it.
LEAST_CHANCE = 0.26
#: Mean and standard deviation of the cube root of chi-squared with one degree of freedom. Of all degrees it
#: has the widest cube root, so it stands in where nothing could be learnt.
UNKNOWN_MEAN, UNKNOWN_STD = 0.80, 0.43
#: What an estimate of the spread of one quantity weighs against what is usual among quantities of its family.
_PRIOR = 12.0
#: Smallest spread believed, relative to a mean of one: 90 degrees of freedom.
_LEAST_STD = 0.05


@dataclass(frozen=True, slots=True)
class Scale:
    r"""How discrepancies behave without change, per quantity. Arrays are [Q].

    .. math:: y = \left( \frac{d}{a \, c(n) + b} \right)^{1/3}, \quad z = \frac{y - \mu}{\sigma}

    with d the discrepancy (a squared distance) and c(n) its 95 % line of chance for n rows. `chance` (a) is
    what chance contributes, more than for independent rows where rows resemble their neighbours; `wander` (b)
    is what the traffic wanders by however many rows there are.
    """

    chance: Floats
    wander: Floats
    mean: Floats
    std: Floats
    finest: npt.ArrayLike = 0.0
    """The least line of chance that is believed: that of the usual rows of the windows learnt from.

    Windows with more are judged as if they had no more. A wander that is small beside chance cannot be told from it,
    and it is all there is where rows are many.
    """

    def score(self, discrepancy: Floats, chance: Floats) -> Floats:
        """Return the standard score of each discrepancy, [W, Q]; NaN where it is, and where it and its scale are 0."""
        # Nothing over nothing, as of a constant column, is no number: NaN is what is meant.
        with np.errstate(invalid="ignore", divide="ignore"):
            out: Floats = (np.cbrt(discrepancy / self._usual(chance)) - self.mean) / self.std
        return out

    def limit(self, score: npt.ArrayLike, chance: Floats) -> Floats:
        """Return the discrepancy that has this score: the inverse of `score`."""
        out: Floats = self._usual(chance) * np.maximum(self.mean + np.asarray(score) * self.std, 0.0) ** 3
        return out

    def _usual(self, chance: Floats) -> Floats:
        out: Floats = self.chance * np.fmax(chance, self.finest) + self.wander
        return out

    def widened(self, factor: float) -> Scale:
        """Return a scale with `factor` times the wander, for windows shorter than any in the baseline."""
        return replace(self, wander=self.wander * factor)


def unknown_scale(quantities: int, wander: npt.ArrayLike = 0.0) -> Scale:
    """Return the scale of independent rows, for a baseline that has no panes to learn from."""
    one = np.ones(quantities)
    return Scale(LEAST_CHANCE * one, np.asarray(wander) * one, UNKNOWN_MEAN * one, UNKNOWN_STD * one)


def fit_scale(
    discrepancy: Floats, chance: Floats, fold: Ints, effective: float, family: Ints | None = None
) -> Scale:
    """Learn the scale from windows of the baseline.

    Parameters
    ----------
    discrepancy, chance
        [W, Q]: of windows compared with a reference that they are no part of. NaN is left out.
    fold
        Which stretch of time each window is in, [W].
    effective
        How many independent windows these are worth.
    family
        Quantities of one family, [Q], lend each other their spread. All are one by default.

    Returns
    -------
    Scale
        Of quantities with fewer than ten windows: that of `unknown_scale`.

    Notes
    -----
    Chance and wander are a weighted least-squares line through discrepancy over chance, held to a ≥ 0.26 and
    b ≥ 0. To b come two standard errors, from the spread between stretches: a wander that the baseline was
    too noisy to show may be there. Cost: a few passes over the arrays.

    References
    ----------
    Wilson, E. B., & Hilferty, M. M. (1931). The distribution of chi-square. PNAS 17, 684-688.
    https://doi.org/10.1073/pnas.17.12.684
    """
    quantities = discrepancy.shape[1]
    usable = np.isfinite(discrepancy) & np.isfinite(chance) & (chance > 0)
    n = usable.sum(axis=0)
    a, b = _line(np.where(usable, discrepancy, 0.0), np.where(usable, chance, 1.0), usable)
    c = np.where(usable, chance, 1.0)
    excess = np.where(usable, discrepancy - a * c - b, 0.0)
    b = b + 2.0 * _standard_error(excess, usable, fold)
    y = np.where(usable, np.cbrt(np.where(usable, discrepancy, 0.0) / (a * c + b)), 0.0)
    total = np.maximum(n, 1)
    mean = y.sum(axis=0) / total
    variance = (np.where(usable, y - mean, 0.0) ** 2).sum(axis=0) / total
    known = n >= 10
    families = np.zeros(quantities, dtype=np.intp) if family is None else family
    usual = np.ones(quantities) * UNKNOWN_STD**2
    for name in np.unique(families):
        members = known & (families == name)
        if members.any():
            usual[families == name] = np.mean(variance[members])
    variance = (effective * variance + _PRIOR * usual) / (effective + _PRIOR)
    std = np.maximum(np.sqrt(variance), _LEAST_STD * np.maximum(mean, 1.0))
    unknown = unknown_scale(quantities)
    rows = np.where(usable, 1 / c, 0.0).sum(axis=0) / total
    return Scale(
        np.where(known, a, unknown.chance),
        np.where(known, b, unknown.wander),
        np.where(known, mean, unknown.mean),
        np.where(known, std, unknown.std),
        np.where(known, 1 / np.maximum(rows, 1e-300), 0.0),
    )


def _line(d: Floats, c: Floats, usable: Bools) -> tuple[Floats, Floats]:
    """Weighted least squares of ``d = a c + b`` with weights 1 / c², a and b bounded from below."""
    n = np.maximum(usable.sum(axis=0), 1)
    ratio = np.where(usable, d / c, 0.0).sum(axis=0) / n
    inverse = np.where(usable, 1 / c, 0.0)
    mean = inverse.sum(axis=0) / n
    spread = np.where(usable, (inverse - mean) ** 2, 0.0).sum(axis=0) / n
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(usable, (inverse - mean) * (d / c), 0.0).sum(axis=0) / n / spread
    # Where all windows have about the same size, the two cannot be told apart: half of each.
    slope = np.where(
        spread > 1e-4 * mean**2, slope, 0.5 * np.maximum(ratio - LEAST_CHANCE, 0.0) / np.maximum(mean, 1e-300)
    )
    b = np.clip(slope, 0.0, np.maximum(ratio - LEAST_CHANCE, 0.0) / np.maximum(mean, 1e-300))
    a = np.maximum(ratio - b * mean, LEAST_CHANCE)
    return a, b


def _standard_error(excess: Floats, usable: Bools, fold: Ints) -> Floats:
    """Return the standard error of the mean excess, from the means of stretches of time."""
    folds = int(fold.max(initial=-1)) + 1
    if folds < 2:
        return np.zeros(excess.shape[1])
    member = (fold == np.arange(folds)[:, None]).astype(np.float64)
    means = (member @ excess) / np.maximum(member @ usable, 1.0)
    out: Floats = means.std(axis=0, ddof=1) / np.sqrt(folds)
    return out


def folds_of(panes: int, width: int, per_day: int, most: int = 8) -> Ints:
    """Cut consecutive panes into stretches of whole days, at least four windows long: [panes] of 0 … K - 1.

    Parameters
    ----------
    panes
        How many panes.
    width
        Of a window, in panes.
    per_day
        Panes of a day; 1 where a pane is longer.
    most
        Stretches at most.

    Returns
    -------
    Ints
        All zero where there are too few panes for two stretches.

    Examples
    --------
    >>> folds_of(6, 1, 1, 3).tolist()
    [0, 0, 0, 0, 1, 1]
    """
    least = max(-(-4 * width // per_day), 1) * per_day
    length = max(-(-panes // (most * per_day)) * per_day, least)
    fold = np.arange(panes) // length
    if fold[-1] == 0:
        return np.zeros(panes, dtype=np.intp)
    return fold.astype(np.intp)
