from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from detectors.layout import FIRST_BIN, INVALID, MISSING, OCTAVE_EDGES, Column, slots_of_numeric
from detectors.reference import (
    MAX_BINS,
    categorical_statistics,
    choose_categories,
    choose_edges,
    numeric_statistics,
)

any_floats = hnp.arrays(np.float64, st.integers(1, 300), elements=st.floats(width=64))
few_floats = hnp.arrays(
    np.float64, st.integers(1, 300), elements=st.sampled_from([0.0, -0.0, 1.0, 2.0, 5e-324, 1e300])
)


def column(edges: tuple[float, ...]) -> Column:
    return Column("x", "feature", "numeric", edges)


def bin_counts(values: np.ndarray, edges: tuple[float, ...]) -> np.ndarray:
    slots = slots_of_numeric(column(edges), values)
    return np.bincount(slots, minlength=len(edges) + 3)[FIRST_BIN:-1]


@given(any_floats | few_floats)
def test_every_finite_reference_value_falls_inside_a_bin(values: np.ndarray) -> None:
    edges = choose_edges(values)
    slots = slots_of_numeric(column(edges), values)
    finite = np.isfinite(values)
    assert (slots[finite] >= FIRST_BIN).all()
    assert (slots[finite] < FIRST_BIN + len(edges) - 1).all()
    assert (slots[np.isnan(values)] == MISSING).all()
    assert (slots[np.isinf(values)] == INVALID).all()


@given(any_floats | few_floats)
def test_edges_are_strictly_ascending_and_span_the_finite_values(values: np.ndarray) -> None:
    edges = choose_edges(values)
    assert 2 <= len(edges) <= max(MAX_BINS + 1, len(OCTAVE_EDGES))
    assert all(a < b for a, b in pairwise(edges))
    finite = values[np.isfinite(values)]
    if len(np.unique(finite)) > 1:
        assert (edges[0], edges[-1]) == (finite.min(), finite.max())


@given(any_floats | few_floats)
def test_no_bin_of_the_reference_is_empty(values: np.ndarray) -> None:
    if np.isfinite(values).any():
        assert (bin_counts(values, choose_edges(values)) > 0).all()


@given(any_floats, st.randoms())
def test_bins_do_not_depend_on_the_order_of_the_reference(values: np.ndarray, random: object) -> None:
    shuffled = values.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis hands out a random.Random
    assert choose_edges(shuffled) == choose_edges(values)


def test_continuous_values_get_bins_of_equal_mass() -> None:
    values = np.random.default_rng(0).normal(size=6400)
    counts = bin_counts(values, choose_edges(values))
    assert len(counts) == 64
    assert counts.min() >= 99
    assert counts.max() <= 101


def test_each_of_few_values_has_a_bin_of_its_own() -> None:
    values = np.repeat(np.arange(60.0), 10)
    counts = bin_counts(values, choose_edges(values))
    assert counts.tolist() == [10] * 60


def test_the_zeros_of_a_zero_inflated_column_have_a_bin_of_their_own() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([np.zeros(8000), rng.normal(size=2000)])
    edges = choose_edges(values)
    counts = bin_counts(values, edges)
    assert 8000 in counts
    assert len(counts) > 40
    assert np.sort(counts)[-2] < 60


def test_many_atoms_between_light_values_stay_within_the_bins() -> None:
    values = np.concatenate([np.repeat(np.arange(0, 200, 2.0), 50), np.arange(1, 200, 2.0)])
    counts = bin_counts(values, choose_edges(values))
    assert len(counts) <= MAX_BINS
    assert counts.sum() == len(values)
    assert counts.max() <= 4 * len(values) / MAX_BINS


def test_a_value_in_single_precision_stays_in_its_bin() -> None:
    values = np.repeat([0.1, 0.2, 0.3, 0.7], 100)
    edges = choose_edges(values)
    inner = np.array([0.2, 0.3])
    single = inner.astype(np.float32).astype(np.float64)
    assert (slots_of_numeric(column(edges), single) == slots_of_numeric(column(edges), inner)).all()


@pytest.mark.parametrize("value", [0.0, -3.5, 1e-320, np.finfo(float).max, -np.finfo(float).max])
def test_a_constant_column_tells_its_value_from_any_other(value: float) -> None:
    edges = choose_edges(np.full(50, value))
    assert len(edges) == 2
    others = np.array([value, value / 2 - 1, value / 2 + 1])
    assert slots_of_numeric(column(edges), others).tolist()[0] == FIRST_BIN
    assert FIRST_BIN not in slots_of_numeric(column(edges), others).tolist()[1:]


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf, -np.inf, np.nan]])
def test_a_column_without_a_finite_value_gets_octaves(values: list[float]) -> None:
    assert choose_edges(np.array(values, dtype=float)) == OCTAVE_EDGES


def test_a_tiny_sample_gets_few_bins() -> None:
    assert len(choose_edges(np.random.default_rng(2).normal(size=40))) == 9


def test_neighbouring_floats_at_the_top_share_a_bin() -> None:
    top = 1.0
    assert choose_edges(np.array([0.0, np.nextafter(top, 0), top])) == (0.0, np.nextafter(0.5, 0), 1.0)


def test_choosing_bins_does_not_touch_the_values() -> None:
    values = np.array([3.0, 1.0, np.nan, 2.0])
    before = values.copy()
    choose_edges(values)
    np.testing.assert_array_equal(values, before)


def test_categories_come_by_frequency_then_name() -> None:
    assert choose_categories(["b", "c", "a", "z"], np.array([2, 9, 2, 0])) == ("c", "a", "b")


def test_rare_categories_and_those_beyond_the_limit_have_no_slot() -> None:
    names = [f"n{i:03}" for i in range(300)]
    assert len(choose_categories(names, np.arange(1, 301))) == 200
    assert choose_categories(["common", "rare"], np.array([99_999, 1])) == ("common",)


@given(any_floats)
def test_statistics_are_finite_and_within_range(values: np.ndarray) -> None:
    found = numeric_statistics(values)
    finite = values[np.isfinite(values)]
    assert found.count == len(finite)
    assert found.missing == np.isnan(values).sum()
    assert found.distinct == len(np.unique(finite))
    if len(finite):
        assert found.minimum <= found.mean <= found.maximum
        assert np.isfinite(found.std)
        assert list(found.quantiles) == sorted(found.quantiles)


def test_statistics_of_ordinary_values_are_numpys() -> None:
    values = np.random.default_rng(3).gamma(2, size=1000)
    found = numeric_statistics(values)
    assert found.mean == pytest.approx(values.mean())
    assert found.std == pytest.approx(values.std())
    assert found.quantiles[4] == pytest.approx(np.median(values))


def test_statistics_of_codes_count_what_is_present() -> None:
    found = categorical_statistics(np.array([0, 3, 3, -1], dtype=np.int32))
    assert (found.count, found.missing, found.distinct) == (3, 1, 2)
