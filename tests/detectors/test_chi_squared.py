from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectors.chi_squared import chi_squared, chi_squared_chance, chi_squared_line, chi_squared_p

from .null_windows import SIZES, exceeded, null_windows


def test_a_known_distribution_agrees_with_scipy_chisquare() -> None:
    counts = np.random.default_rng(0).multinomial(300, np.full(6, 1 / 6), 20)
    got = chi_squared(counts, np.full((1, 6), 1 / 6))
    want = stats.chisquare(counts, 50.0, axis=1)
    np.testing.assert_allclose(got, want.statistic)
    np.testing.assert_allclose(chi_squared_p(got, 6), want.pvalue)


def test_a_sampled_reference_agrees_with_scipy_contingency() -> None:
    rng = np.random.default_rng(1)
    for n, m in ((200, 5000), (5000, 200)):
        a, b = rng.multinomial(n, [0.2, 0.3, 0.5]), rng.multinomial(m, [0.25, 0.3, 0.45])
        want = stats.chi2_contingency([a, b], correction=False)
        got = chi_squared(a, b / m, m)
        assert got == pytest.approx(want.statistic)
        assert chi_squared_p(got, 3) == pytest.approx(want.pvalue)


def test_the_table_of_quantiles_is_close_to_scipy() -> None:
    whole = np.arange(1, 300)
    np.testing.assert_allclose(chi_squared_line(whole), stats.chi2.ppf(0.95, whole), rtol=1e-12)
    between = np.linspace(0.2, 300, 7001)
    np.testing.assert_allclose(chi_squared_line(between), stats.chi2.ppf(0.95, between), rtol=2e-3)
    assert chi_squared_line(-1.0) == 0.0
    assert np.isnan(chi_squared_line(np.nan))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("bins", [5, 10, 20])
@pytest.mark.parametrize("m", [10_000, np.inf])
def test_five_percent_of_quiet_windows_have_a_small_p(n: int, bins: int, m: float) -> None:
    counts, reference = null_windows(np.full(bins, 1 / bins), n, m)
    statistic = chi_squared(counts, reference, m)
    assert exceeded(-chi_squared_p(statistic, bins), -0.05)
    assert exceeded(statistic, chi_squared_chance(bins))


def test_one_value_in_an_all_but_impossible_cell_is_no_catastrophe() -> None:
    assert chi_squared([[99, 1]], [[0.9999, 0.0001]])[0] < 2.0


def test_constant_and_empty_input_is_defined() -> None:
    statistic = chi_squared([[5, 0], [0, 0]], [[1.0, 0.0]])
    assert statistic[0] == 0.0
    assert np.isnan(statistic[1])
    p = chi_squared_p(statistic, 1)
    assert p[0] == 1.0
    assert np.isnan(p[1])
    assert np.isnan(chi_squared([1, 2], [0.0, 0.0]))
