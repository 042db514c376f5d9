"""Limits by p-value, against how often independent values exceed them, and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectors.classic.p_values import P_VALUES, TABLED, limit_at
from detectors.classic.statistics import STATISTICS, Sizes
from detectors.layout import Column
from detectors.registry import column_detector

SIZES = Sizes(400.0, 4000.0, 10, 1.0)


@pytest.mark.parametrize("name", sorted(P_VALUES))
def test_at_five_percent_it_is_the_textbooks_limit(name: str) -> None:
    assert limit_at(name, SIZES, 0.05) == pytest.approx(STATISTICS[name].limit(SIZES), rel=2e-3)


@pytest.mark.parametrize("name", sorted(P_VALUES))
def test_a_smaller_p_value_is_a_greater_limit(name: str) -> None:
    limits = [limit_at(name, SIZES, p) for p in (0.2, 0.1, 0.05, 0.02, 0.01, 0.002)]
    assert limits == sorted(limits)
    assert len(set(limits)) == len(limits)


@pytest.mark.parametrize("p", [0.1, 0.01])
@pytest.mark.parametrize("name", sorted(P_VALUES))
def test_independent_values_exceed_it_about_as_often_as_it_says(name: str, p: float) -> None:
    """Values on cells of a twentieth each: ordered statistics are a little conservative there, never much beyond."""
    rng = np.random.default_rng(7)
    column = Column("x", "feature", "numeric", tuple(np.linspace(0.0, 1.0, 21)))
    hits = 0
    for _ in range(20):
        slots = np.r_[0, 0, 0, rng.multinomial(20_000, np.full(20, 0.05)), 0]
        detector = column_detector(name, column, slots, p=p)
        windows = rng.multinomial(500, np.full(20, 0.05), size=60)
        counts = np.c_[np.zeros((60, 3), dtype=int), windows, np.zeros(60, dtype=int)]
        hits += int(detector.counts_alarm(counts).sum())
    assert hits / 1200 <= p + 4 * np.sqrt(p * (1 - p) / 1200)
    assert hits / 1200 >= p / 4


def test_the_tables_are_those_of_the_limiting_distributions() -> None:
    """By simulation on continuous values: the shares beyond the tabled points are the levels, within their scatter."""
    rng = np.random.default_rng(1)
    n, runs = 300, 4000
    u = np.sort(rng.random((runs, n)), axis=1)
    i = np.arange(1, n + 1)
    cvm = 1 / (12 * n) + np.square(u - (2 * i - 1) / (2 * n)).sum(axis=1)
    ad = -n - ((2 * i - 1) * (np.log(u) + np.log1p(-u[:, ::-1]))).sum(axis=1) / n
    for name, drawn in (("cramer_von_mises", cvm), ("anderson_darling", ad)):
        for p in (0.25, 0.1, 0.05, 0.025, 0.01):
            share = float(np.mean(drawn > limit_at(name, SIZES, p)))
            assert abs(share - p) <= 4 * np.sqrt(p * (1 - p) / runs), (name, p, share)


def test_chi_squared_agrees_with_scipy() -> None:
    assert limit_at("chi2", SIZES, 0.01) == pytest.approx(stats.chi2.isf(0.01, 9))
    assert limit_at("mann_whitney", SIZES, 0.01) == pytest.approx(stats.norm.isf(0.005))


@pytest.mark.parametrize(
    ("name", "p", "said"),
    [
        ("psi", 0.1, "'psi' has no p-value"),
        ("ks", 0.0, "want a probability from 0 to 1 for ks"),
        ("ks", 1.0, "want a probability"),
        ("anderson_darling", 1e-4, "from 0.001 to 0.25"),
    ],
)
def test_a_p_value_that_cannot_be_is_refused(name: str, p: float, said: str) -> None:
    assert TABLED
    with pytest.raises(ValueError, match=said):
        limit_at(name, SIZES, p)
