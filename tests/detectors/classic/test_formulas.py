"""Every classic statistic against a closed form or scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detectors.classic.cells import cells_of_samples, pair_of
from detectors.classic.ordered import anderson_darling, cramer_von_mises, energy_distance, mann_whitney
from detectors.classic.proportions import fisher_exact, two_proportion_z
from detectors.classic.shares import g_test, hellinger, total_variation
from detectors.registry import window_detector

CONTINUOUS = tuple(np.random.default_rng(1).normal(size=n) + s for n, s in ((200, 0.0), (90, 0.2)))
TIED = tuple(np.random.default_rng(2).integers(0, 5, n).astype(float) for n in (120, 60))
TABLE = np.array([30, 10, 20]), np.array([50, 60, 40])


@pytest.mark.parametrize("pair", [CONTINUOUS, TIED], ids=["continuous", "tied"])
def test_mann_whitney_is_scipys(pair):
    counts, reference, _ = cells_of_samples(*pair)
    p = stats.mannwhitneyu(*pair, method="asymptotic", use_continuity=False).pvalue
    assert mann_whitney(counts, reference) == pytest.approx(stats.norm.isf(p / 2))


def test_cramer_von_mises_is_scipys_without_ties():
    counts, reference, _ = cells_of_samples(*CONTINUOUS)
    assert cramer_von_mises(counts, reference) == pytest.approx(
        stats.cramervonmises_2samp(*CONTINUOUS).statistic
    )


@pytest.mark.parametrize("pair", [CONTINUOUS, TIED], ids=["continuous", "tied"])
def test_anderson_darling_is_the_sum_of_scholz_and_stephens(pair):
    """Their equation 6, term by term."""
    pooled, total = np.sort(np.concatenate(pair)), sum(map(len, pair))
    values = np.unique(pooled)
    expected = 0.0
    for sample in pair:
        inner = 0.0
        for z in values[:-1]:
            ties, b = np.sum(pooled == z), np.sum(pooled <= z)
            inner += ties * (total * np.sum(sample <= z) - len(sample) * b) ** 2 / (b * (total - b))
        expected += inner / len(sample) / total
    counts, reference, _ = cells_of_samples(*pair)
    assert anderson_darling(counts, reference) == pytest.approx(expected)


@pytest.mark.parametrize("pair", [CONTINUOUS, TIED], ids=["continuous", "tied"])
def test_energy_wasserstein_and_ks_are_scipys(pair):
    counts, reference, values = cells_of_samples(*pair)
    assert energy_distance(counts, reference, values) == pytest.approx(stats.energy_distance(*pair))
    for name, theirs in (("wasserstein", stats.wasserstein_distance), ("ks", stats.ks_2samp)):
        expected = theirs(*pair)
        detector = window_detector(name, pair[0])
        assert detector.value(pair[1]) == pytest.approx(getattr(expected, "statistic", expected))


def test_g_test_is_scipys():
    expected = stats.chi2_contingency(np.stack(TABLE), lambda_="log-likelihood", correction=False).statistic
    assert g_test(*TABLE) == pytest.approx(expected)


def test_z_squared_of_two_cells_is_the_chi_squared_of_the_table():
    table = np.array([[30, 70], [260, 240]])
    expected = stats.chi2_contingency(table, correction=False).statistic
    assert two_proportion_z(*table) ** 2 == pytest.approx(expected)


@pytest.mark.parametrize(
    "table", [[[8, 2], [1, 5]], [[0, 9], [4, 4]], [[30, 70], [40, 55]], [[0, 3], [0, 8]]]
)
def test_fisher_is_scipys(table):
    expected = -np.log10(stats.fisher_exact(table).pvalue)
    assert fisher_exact(*table) == pytest.approx(expected, abs=1e-9)


def test_fisher_of_three_cells_is_the_strongest_of_three_corrected():
    each = [
        stats.fisher_exact([[c, TABLE[0].sum() - c], [r, TABLE[1].sum() - r]]).pvalue
        for c, r in zip(*TABLE, strict=True)
    ]
    assert fisher_exact(*TABLE) == pytest.approx(-np.log10(3 * min(each)))


def test_hellinger_and_total_variation_are_zero_when_equal_and_one_when_disjoint():
    for distance in (hellinger, total_variation):
        assert distance([2, 4], [1, 2]) == 0.0
        assert distance([2, 0], [0, 5]) == 1.0


def test_hellinger_of_normals_in_fine_cells_has_its_closed_form():
    edges = np.linspace(-9, 10, 4000)
    p, q = np.diff(stats.norm.cdf(edges)), np.diff(stats.norm.cdf(edges, 1.0))
    assert hellinger(q * 1e9, p * 1e9) == pytest.approx(np.sqrt(1 - np.exp(-1 / 8)), abs=1e-4)


def test_many_windows_at_once_are_what_each_is_alone():
    windows = np.random.default_rng(3).multinomial(50, [0.2, 0.3, 0.5], 7)
    reference = [20, 31, 49]
    for formula in (hellinger, total_variation, g_test, two_proportion_z, fisher_exact, mann_whitney,
                    cramer_von_mises, anderson_darling):  # fmt: skip
        together = formula(windows, reference)
        assert together.tolist() == [float(formula(w, reference)) for w in windows]


@pytest.mark.parametrize("counts", [[-1, 2], [np.nan, 2], [np.inf, 2]])
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match=r"^counts: holds"):
        pair_of(counts, [1, 1])


def test_sides_of_different_length_are_refused():
    with pytest.raises(ValueError, match="want the same number"):
        pair_of([1, 2, 3], [1, 1])
