from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from detectors.layout import Column, slots_of_numeric
from detectors.reference import choose_edges
from detectors.wasserstein import positions_of, wasserstein, wasserstein_chance

from .null_windows import SIZES, exceeded, null_windows


def test_a_shifted_distribution_is_at_the_distance_of_the_shift() -> None:
    edges = np.linspace(-10, 11, 2101)
    p, q = (np.diff(stats.norm.cdf(edges, loc)) for loc in (0.0, 1.0))
    got = wasserstein(np.r_[0, q * 1e9, 0], np.r_[0, p, 0], positions_of(edges))
    assert got == pytest.approx(1.0, abs=1e-6)


def test_it_agrees_with_scipy_on_the_positions() -> None:
    rng = np.random.default_rng(0)
    x = np.sort(rng.normal(size=12))
    for _ in range(50):
        c, p = rng.integers(0, 9, 12) + 1, rng.dirichlet(np.ones(12))
        assert wasserstein(c, p, x) == pytest.approx(stats.wasserstein_distance(x, x, c, p), rel=1e-9)


def test_the_binned_distance_is_within_half_a_bin_of_the_exact_one() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        (p1, q1), (p2, q2) = rng.uniform(0.5, 3, (2, 2)).tolist()
        a, b = rng.beta(p1, q1, 500), rng.beta(p2, q2, 200)
        edges = np.array(choose_edges(a, 64))
        b = b.clip(edges[0], edges[-1])
        column = Column("x", "feature", "numeric", tuple(edges))
        p = np.bincount(slots_of_numeric(column, a), minlength=column.slots)[2:] / 500
        c = np.bincount(slots_of_numeric(column, b), minlength=column.slots)[2:]
        half = np.r_[0, np.diff(edges) / 2, 0]
        bound = (half * (p + c / 200)).sum()
        got = wasserstein(c, p, positions_of(edges))
        assert abs(got - stats.wasserstein_distance(a, b)) <= bound + 1e-12


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("bins", [5, 20, 64])
@pytest.mark.parametrize("shape", [stats.uniform, stats.norm, stats.lognorm(1.5)])
def test_the_line_is_exceeded_in_five_percent_of_quiet_windows(n: int, bins: int, shape: Any) -> None:
    positions = shape.ppf((np.arange(bins) + 0.5) / bins)
    counts, reference = null_windows(np.full(bins, 1 / bins), n, 10_000)
    lines = wasserstein_chance(n, 10_000, reference, positions)
    assert exceeded(wasserstein(counts, reference, positions), lines)


@pytest.mark.parametrize("p", [[*[0.02] * 20, 0.6], [0.1, 0.9], [*[0.02] * 10, 0.6, *[0.02] * 10]])
def test_the_line_holds_with_ties(p: list[float]) -> None:
    positions = np.arange(len(p)) ** 2.0
    counts, reference = null_windows(np.array(p), 1000, 10_000)
    lines = wasserstein_chance(1000, 10_000, reference, positions)
    assert exceeded(wasserstein(counts, reference, positions), lines)


def test_constant_and_empty_input_is_defined() -> None:
    x = positions_of([3.0])
    assert wasserstein([0, 9, 0], [0.0, 1.0, 0.0], x) == 0.0
    assert wasserstein_chance(9, 9, [0.0, 1.0, 0.0], x) == 0.0
    assert np.isnan(wasserstein([0, 0, 0], [0.0, 1.0, 0.0], x))
    assert np.isnan(wasserstein([0, 1, 0], [0.0, 0.0, 0.0], x))
    assert np.isnan(wasserstein_chance(0, 9, [0.5, 0.5, 0.0], [0.0, 1.0, 2.0]))


def test_huge_edges_do_not_overflow() -> None:
    assert np.isfinite(positions_of([-1.7e308, 0.0, 1.7e308])).all()
