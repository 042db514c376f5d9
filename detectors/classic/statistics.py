"""The classic two-sample statistics by name: how each is computed, and the fixed limit that textbooks give it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from detectors.chi_squared import chi_squared
from detectors.classic.ordered import anderson_darling, cramer_von_mises, energy_distance, mann_whitney
from detectors.classic.proportions import fisher_exact, two_proportion_z
from detectors.classic.shares import g_test, hellinger, total_variation
from detectors.jensen_shannon import jensen_shannon
from detectors.kolmogorov_smirnov import kolmogorov_smirnov
from detectors.psi import psi
from detectors.wasserstein import wasserstein

Floats = npt.NDArray[np.float64]
#: (counts of windows [..., B], counts of the reference [B], positions [B]) to values [...].
OfCounts = Callable[[Floats, Floats, Floats], Floats]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a fixed limit may depend on: values on either side, cells with any, the reference's spread."""

    n: float
    m: float
    cells: int
    std: float


@dataclass(frozen=True, slots=True)
class Statistic:
    """One statistic: the larger, the further the window is from its reference.

    Attributes
    ----------
    of_counts
        Computes it from counts over the same cells.
    needs_order
        Whether the cells must lie on an axis: not for categories.
    is_exact_on_samples
        Whether raw samples are compared value by value; otherwise in the reference's fixed bins.
    limit
        The usual fixed limit at given sizes; a window beyond it alarms.
    limit_said
        The same in words.
    """

    name: str
    title: str
    of_counts: OfCounts
    needs_order: bool
    is_exact_on_samples: bool
    limit: Callable[[Sizes], float]
    limit_said: str


def shares_of(reference: Floats) -> tuple[Floats, Floats]:
    """Return shares of reference counts, [..., B], and their sum, [...]; no counts give shares of zero.

    Examples
    --------
    >>> [side.tolist() for side in shares_of(np.array([1.0, 3.0]))]
    [[0.25, 0.75], 4.0]
    """
    m = reference.sum(axis=-1)
    return reference / np.where(m > 0.0, m, 1.0)[..., None], m


def _psi(counts: Floats, reference: Floats, positions: Floats) -> Floats:
    shares, m = shares_of(reference)
    return psi(counts, shares, m)


def _chi_squared(counts: Floats, reference: Floats, positions: Floats) -> Floats:
    shares, m = shares_of(reference)
    return chi_squared(counts, shares, m)


def _of_shares(formula: Callable[[Floats, Floats], Floats]) -> OfCounts:
    return lambda counts, reference, positions: formula(counts, shares_of(reference)[0])


def _of_both(formula: Callable[[Floats, Floats], Floats]) -> OfCounts:
    return lambda counts, reference, positions: formula(counts, reference)


def _wasserstein(counts: Floats, reference: Floats, positions: Floats) -> Floats:
    return wasserstein(counts, shares_of(reference)[0], positions)


def _always(value: float) -> Callable[[Sizes], float]:
    return lambda sizes: value


def _chi_squared_limit(sizes: Sizes) -> float:
    return float(special.chdtri(max(sizes.cells - 1, 1), 0.05))


def _z_limit(sizes: Sizes) -> float:
    return float(special.ndtri(1.0 - 0.025 / (sizes.cells if sizes.cells > 2 else 1)))


def _ks_limit(sizes: Sizes) -> float:
    return float(1.3581 * np.sqrt(1.0 / sizes.n + 1.0 / sizes.m))


STATISTICS: Mapping[str, Statistic] = {
    s.name: s
    for s in (
        Statistic("psi", "population stability index", _psi, False, False, _always(0.2), "0.2, the folklore"),
        Statistic(
            "ks", "Kolmogorov-Smirnov", _of_shares(kolmogorov_smirnov), True, True, _ks_limit, "p < 0.05"
        ),
        Statistic("chi2", "chi-squared", _chi_squared, False, False, _chi_squared_limit, "p < 0.05"),
        Statistic(
            "js", "Jensen-Shannon distance", _of_shares(jensen_shannon), False, False, _always(0.1), "0.1"
        ),
        Statistic("hellinger", "Hellinger distance", _of_both(hellinger), False, False, _always(0.1), "0.1"),
        Statistic(
            "wasserstein",
            "Wasserstein distance",
            _wasserstein,
            True,
            True,
            lambda sizes: 0.1 * sizes.std,
            "0.1 standard deviations",
        ),
        Statistic(
            "cramer_von_mises",
            "Cramér-von Mises",
            _of_both(cramer_von_mises),
            True,
            True,
            _always(0.46136),
            "p < 0.05",
        ),
        Statistic(
            "anderson_darling",
            "Anderson-Darling",
            _of_both(anderson_darling),
            True,
            True,
            _always(2.492),
            "p < 0.05",
        ),
        Statistic(
            "energy",
            "energy distance",
            energy_distance,
            True,
            True,
            lambda sizes: 0.075 * float(np.sqrt(sizes.std)),
            "that of a shift of 0.1 standard deviations",
        ),
        Statistic(
            "total_variation",
            "total variation",
            _of_both(total_variation),
            False,
            False,
            _always(0.1),
            "0.1",
        ),
        Statistic("g_test", "G-test", _of_both(g_test), False, False, _chi_squared_limit, "p < 0.05"),
        Statistic(
            "fisher",
            "Fisher's exact test",
            _of_both(fisher_exact),
            False,
            False,
            _always(-float(np.log10(0.05))),
            "p < 0.05",
        ),
        Statistic(
            "z_test", "two-proportion z-test", _of_both(two_proportion_z), False, False, _z_limit, "p < 0.05"
        ),
        Statistic(
            "mann_whitney", "Mann-Whitney", _of_both(mann_whitney), True, True, _always(1.95996), "p < 0.05"
        ),
    )
}
