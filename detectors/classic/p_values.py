"""Limits for a stated p-value: beyond which a statistic of independent values lies with that probability."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy import special

from detectors.classic.statistics import Sizes

#: Percentage points of the limiting distributions: level to value. Tables 1 and 4.
#: Anderson, T. W., & Darling, D. A. (1952), https://doi.org/10.1214/aoms/1177729437;
#: Lewis, P. A. W. (1961), https://doi.org/10.1214/aoms/1177704850
_CRAMER_VON_MISES = {
    0.25: 0.20939,
    0.1: 0.34730,
    0.05: 0.46136,
    0.025: 0.58061,
    0.01: 0.74346,
    0.001: 1.16786,
}
_ANDERSON_DARLING = {0.25: 1.2479, 0.1: 1.9330, 0.05: 2.4924, 0.025: 3.0775, 0.01: 3.8781, 0.001: 5.9694}
#: Levels between which those tables reach; others are taken as they are.
TABLED = {"cramer_von_mises": (0.001, 0.25), "anderson_darling": (0.001, 0.25)}


def limit_at(name: str, sizes: Sizes, p: float) -> float:
    """Return the limit of a statistic for a p-value.

    Parameters
    ----------
    name
        One of `P_VALUES`.
    sizes
        Of the window and its reference.
    p
        Above 0 and below 1; within `TABLED` where that has the name.

    Raises
    ------
    ValueError
        When the statistic has no p-value, or the table does not reach so far.

    Examples
    --------
    >>> round(limit_at("mann_whitney", Sizes(100.0, 1000.0, 10, 1.0), 0.01), 3)
    2.576
    """
    if name not in P_VALUES:
        msg = f"name: {name!r} has no p-value, want one of {', '.join(P_VALUES)}"
        raise ValueError(msg)
    least, most = TABLED.get(name, (0.0, 1.0))
    if not (least <= p <= most and 0.0 < p < 1.0):
        msg = f"p: {p!r}, want a probability from {least:g} to {most:g} for {name}"
        raise ValueError(msg)
    return P_VALUES[name](sizes, p)


def _ks(sizes: Sizes, p: float) -> float:
    return float(np.sqrt(-0.5 * np.log(p / 2.0) * (1.0 / sizes.n + 1.0 / sizes.m)))


def _chi_squared(sizes: Sizes, p: float) -> float:
    return float(special.chdtri(max(sizes.cells - 1, 1), p))


def _z(sizes: Sizes, p: float) -> float:
    return float(special.ndtri(1.0 - 0.5 * p / (sizes.cells if sizes.cells > 2 else 1)))


def _tabled(table: Mapping[float, float]) -> Callable[[Sizes, float], float]:
    """Interpolate: the tail is close to exponential, so values are close to linear in the logarithm of the level."""
    levels = np.log(np.array(sorted(table)))
    values = np.array([table[level] for level in sorted(table)])
    return lambda sizes, p: float(np.interp(np.log(p), levels, values))


P_VALUES: Mapping[str, Callable[[Sizes, float], float]] = {
    "ks": _ks,
    "chi2": _chi_squared,
    "g_test": _chi_squared,
    "fisher": lambda sizes, p: -float(np.log10(p)),
    "z_test": _z,
    "mann_whitney": lambda sizes, p: float(special.ndtri(1.0 - 0.5 * p)),
    "cramer_von_mises": _tabled(_CRAMER_VON_MISES),
    "anderson_darling": _tabled(_ANDERSON_DARLING),
}
