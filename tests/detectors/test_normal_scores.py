"""Location and spread on the baseline's scale of ranks, against the values themselves."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import integrate, stats

from detectors.evidence.normal_scores import NormalScores
from detectors.layout import FIRST_BIN, Column, Layout, slots_of_numeric

EDGES = tuple(np.linspace(-3, 3, 41).tolist())
LAYOUT = Layout.of(
    [Column("x", "feature", "numeric", EDGES), Column("c", "feature", "categorical", categories=("a", "b"))]
)
X = LAYOUT.index["feature/x"]
#: Rows of the reference that the tests are about.
M = 200_000


def counts_of(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Count values of x; the category stays empty."""
    out = np.zeros(LAYOUT.slots, dtype=np.int64)
    column = LAYOUT.columns[X]
    out[LAYOUT.slice_of(X)] = np.bincount(slots_of_numeric(column, values), minlength=column.slots)
    return out


@pytest.fixture(scope="module")
def totals() -> npt.NDArray[np.int64]:
    return counts_of(np.random.default_rng(0).normal(size=M))


@pytest.fixture(scope="module")
def scores(totals: npt.NDArray[np.int64]) -> NormalScores:
    return NormalScores(LAYOUT, totals)


def expected_of(totals: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return (totals / totals.sum())[None, :]


def test_scores_are_the_moments_of_a_normal_value_in_its_bin():
    held = np.zeros(LAYOUT.slots)
    bins = slice(LAYOUT.slice_of(X).start + FIRST_BIN, LAYOUT.slice_of(X).start + FIRST_BIN + 40)
    held[bins] = np.random.default_rng(1).integers(1, 50, 40)
    made = NormalScores(LAYOUT, held)
    mass = np.concatenate([[0.5], held[bins], [0.5]])
    below = np.concatenate([[0.0], np.cumsum(mass)]) / mass.sum()
    at = range(bins.start - 1, bins.stop + 1)
    for j, slot in enumerate(at):
        low, high = stats.norm.ppf(below[j]), stats.norm.ppf(min(below[j + 1], 1.0))
        for power, found in ((1, made.first), (2, made.second)):
            slow, _ = integrate.quad(
                lambda z, k=power: z**k * stats.norm.pdf(z), max(low, -12), min(high, 12)
            )
            assert found[slot] == pytest.approx(slow / (below[j + 1] - below[j]), abs=1e-6)


def test_moved_is_what_the_scores_of_single_values_give(scores: NormalScores, totals: npt.NDArray[np.int64]):
    values = np.random.default_rng(2).normal(0.4, 1.3, size=500)
    moved = scores.moved(counts_of(values)[None, :], scores.totals(expected_of(totals)), M)
    first = LAYOUT.slice_of(X).start
    of_value = slots_of_numeric(LAYOUT.columns[X], values) + first
    a, q = scores.first[of_value], scores.second[of_value]
    every = np.repeat(np.arange(LAYOUT.slots), totals)
    a_0, q_0 = scores.first[every], scores.second[every]
    inverse = stats.chi2.ppf(0.95, 1) * (1 / 500 + 1 / M)
    s_0 = q_0.mean() - a_0.mean() ** 2
    assert moved.location[0, X] == pytest.approx((a.mean() - a_0.mean()) ** 2)
    assert moved.location_chance[0, X] == pytest.approx(a_0.var() * inverse)
    assert moved.spread[0, X] == pytest.approx(math.log((q.mean() - a.mean() ** 2) / s_0) ** 2)
    assert moved.spread_chance[0, X] == pytest.approx((q_0 - 2 * a_0.mean() * a_0).var() / s_0**2 * inverse)


def test_independent_rows_pass_the_line_of_chance_in_one_of_twenty_windows(
    scores: NormalScores, totals: npt.NDArray[np.int64]
):
    rng = np.random.default_rng(3)
    windows = np.stack([counts_of(rng.normal(size=300)) for _ in range(4000)])
    moved = scores.moved(windows, scores.totals(expected_of(totals)), M)
    for value, chance in ((moved.location, moved.location_chance), (moved.spread, moved.spread_chance)):
        assert np.mean(value[:, X] > chance[:, X]) == pytest.approx(0.05, abs=0.012)


def test_a_shift_and_a_change_of_spread_are_told_apart(scores: NormalScores, totals: npt.NDArray[np.int64]):
    rng = np.random.default_rng(4)
    shifted, wider = (counts_of(v) for v in (rng.normal(0.5, 1, 20_000), rng.normal(0, 1.5, 20_000)))
    moved = scores.moved(np.stack([shifted, wider]), scores.totals(expected_of(totals)), M)
    assert math.sqrt(moved.location[0, X]) == pytest.approx(0.5, abs=0.03)
    assert math.sqrt(moved.spread[0, X]) < 0.05
    assert math.sqrt(moved.location[1, X]) < 0.03
    assert math.sqrt(moved.spread[1, X]) == pytest.approx(math.log(1.5**2), rel=0.1)


def test_scores_are_those_of_ranks_whatever_the_unit(scores: NormalScores, totals: npt.NDArray[np.int64]):
    """Any increasing function of the values, with the edges moved along, gives the same numbers."""
    values = np.random.default_rng(5).normal(0.2, 1, size=1000)
    warped = Layout.of([Column("x", "feature", "numeric", tuple(np.exp(np.array(EDGES)).tolist()))])
    column = warped.columns[0]
    counted = np.bincount(slots_of_numeric(column, np.exp(values)), minlength=column.slots)
    alone = totals[LAYOUT.slice_of(X)]
    bent = NormalScores(warped, alone)
    other = bent.moved(counted[None, :], bent.totals((alone / alone.sum())[None, :]), M)
    here = scores.moved(counts_of(values)[None, :], scores.totals(expected_of(totals)), M)
    assert other.location[0, 0] == pytest.approx(here.location[0, X])
    assert other.spread[0, 0] == pytest.approx(here.spread[0, X])


def test_a_category_and_an_empty_window_have_neither(scores: NormalScores, totals: npt.NDArray[np.int64]):
    moved = scores.moved(np.zeros((1, LAYOUT.slots)), scores.totals(expected_of(totals)), M)
    assert all(np.isnan(part).all() for part in moved)


def test_a_window_of_one_value_has_a_finite_spread(scores: NormalScores, totals: npt.NDArray[np.int64]):
    moved = scores.moved(counts_of(np.full(100, 0.1))[None, :], scores.totals(expected_of(totals)), M)
    assert np.isfinite(moved.spread[0, X])
    assert moved.spread[0, X] > 100 * moved.spread_chance[0, X]


def test_totals_of_a_mixture_are_mixed_from_those_of_its_parts() -> None:
    rng = np.random.default_rng(5)
    parts = rng.dirichlet(np.ones(LAYOUT.slots), size=3)
    scores = NormalScores(LAYOUT, rng.integers(1, 100, LAYOUT.slots))
    mixture = rng.dirichlet(np.ones(3), size=7)
    np.testing.assert_allclose(mixture @ scores.totals(parts), scores.totals(mixture @ parts), rtol=1e-12)
