from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectors.psi import psi, psi_chance

from .null_windows import SIZES, exceeded, null_windows


def test_a_shift_of_one_standard_deviation_tends_to_one() -> None:
    edges = stats.norm.ppf(np.linspace(0, 1, 100_001))
    p = np.diff(stats.norm.cdf(edges))
    q = np.diff(stats.norm.cdf(edges - 1.0))
    assert psi(np.round(q * 1e12), p)[()] == pytest.approx(1.0, abs=1e-3)


def test_a_shift_of_one_standard_deviation_is_093_on_deciles() -> None:
    edges = stats.norm.ppf(np.linspace(0, 1, 11))
    q = np.diff(stats.norm.cdf(edges - 1.0))
    direct = ((q - 0.1) * np.log(q / 0.1)).sum()
    assert direct == pytest.approx(0.93, abs=0.005)
    assert psi(q * 1e9, np.full(10, 0.1))[()] == pytest.approx(direct, rel=1e-6)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("bins", [5, 10, 20])
@pytest.mark.parametrize("m", [10_000, np.inf])
def test_the_line_is_exceeded_in_five_percent_of_quiet_windows(n: int, bins: int, m: float) -> None:
    counts, reference = null_windows(np.full(bins, 1 / bins), n, m)
    assert exceeded(psi(counts, reference, m), psi_chance(n, m, bins))


@pytest.mark.parametrize("n", [1000, 10_000])
def test_the_line_holds_with_ties(n: int) -> None:
    p = np.array([0.6, *np.full(8, 0.05)])
    counts, reference = null_windows(p, n, 10_000)
    assert exceeded(psi(counts, reference, 10_000), psi_chance(n, 10_000, len(p)))


def test_an_empty_bin_is_finite_and_smoothing_alone_is_no_shift() -> None:
    p = np.array([0.5, 0.5, 0.0])
    assert np.isfinite(psi([[0, 100, 0], [0, 0, 100]], p)).all()
    assert psi([[50, 50, 0]], p).tolist() == [0.0]


def test_padding_with_empty_bins_changes_nothing() -> None:
    p, c = np.array([0.2, 0.8]), np.array([30, 70])
    assert psi(np.append(c, [0, 0]), np.append(p, [0, 0]), 500) == psi(c, p, 500)


def test_empty_windows_and_missing_references_are_undefined() -> None:
    assert np.isnan(psi([[0, 0], [1, 1]], [[0.5, 0.5], [0.0, 0.0]])).all()
    assert np.isnan(psi_chance(0, 10, 5))


def test_constant_stays_zero() -> None:
    assert psi([[7, 0]], [[1.0, 0.0]], 100).tolist() == [0.0]


def test_input_is_left_as_it_was() -> None:
    counts, p = np.array([[3, 0]]), np.array([[1.0, 0.0]])
    psi(counts, p)
    assert counts.tolist() == [[3, 0]]
    assert p.tolist() == [[1.0, 0.0]]
