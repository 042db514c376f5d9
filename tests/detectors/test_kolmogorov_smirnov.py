from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from detectors.kolmogorov_smirnov import kolmogorov_smirnov, kolmogorov_smirnov_chance
from detectors.layout import Column, slots_of_numeric
from detectors.reference import choose_edges

from .null_windows import SIZES, exceeded, null_windows


def test_a_shifted_normal_has_its_closed_form() -> None:
    edges = np.linspace(-8, 9, 2001)
    p, q = (np.diff(stats.norm.cdf(edges, loc)) for loc in (0.0, 1.0))
    want = 2 * stats.norm.cdf(0.5) - 1
    assert kolmogorov_smirnov(q * 1e9, p) == pytest.approx(want, abs=1e-5)


def test_the_binned_distance_is_within_one_bins_mass_of_the_exact_one() -> None:
    rng = np.random.default_rng(0)
    for trial in range(300):
        draw: Any = [rng.normal, rng.exponential, rng.uniform][trial % 3]
        a = draw(size=500)
        b = a[rng.integers(0, 500, 200)] * rng.uniform(0.7, 1.3) + rng.normal() * 0.3
        if trial % 5 == 0:
            a, b = a.round(1), b.round(1)
        column = Column("x", "feature", "numeric", choose_edges(a, 64))
        p = np.bincount(slots_of_numeric(column, a), minlength=column.slots)[2:]
        c = np.bincount(slots_of_numeric(column, b), minlength=column.slots)[2:]
        exact = stats.ks_2samp(a, b, method="asymp").statistic
        binned = kolmogorov_smirnov(c, p / 500)
        assert binned <= exact + 1e-12
        assert exact - binned <= max(p.max() / 500, c.max() / 200) + 1e-12


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("bins", [5, 10, 20, 64])
@pytest.mark.parametrize("m", [10_000, np.inf])
def test_the_line_is_exceeded_in_five_percent_of_quiet_windows(n: int, bins: int, m: float) -> None:
    counts, reference = null_windows(np.full(bins, 1 / bins), n, m)
    assert exceeded(kolmogorov_smirnov(counts, reference), kolmogorov_smirnov_chance(n, m, reference))


@pytest.mark.parametrize(
    "p", [[0.98, *[0.001] * 20], [*[0.02] * 20, 0.6], [*[0.02] * 10, 0.6, *[0.02] * 10], [0.02, 0.98]]
)
def test_ties_make_the_line_conservative_never_too_low(p: list[float]) -> None:
    counts, reference = null_windows(np.array(p), 1000, 10_000)
    share = np.mean(
        kolmogorov_smirnov(counts, reference) > kolmogorov_smirnov_chance(1000, 10_000, reference)
    )
    assert share <= 0.07


def test_constant_and_empty_input_is_defined() -> None:
    values = kolmogorov_smirnov([[0, 5], [0, 0]], [[0.0, 1.0]])
    assert values[0] == 0.0
    assert np.isnan(values[1])
    assert np.isnan(kolmogorov_smirnov([1, 2], [0.0, 0.0]))
    assert kolmogorov_smirnov_chance(10, np.inf, [1.0, 0.0]) == 0.0
    assert np.isnan(kolmogorov_smirnov_chance(0, np.inf, [0.5, 0.5]))
