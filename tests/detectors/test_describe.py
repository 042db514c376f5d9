from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors.describe import LEVELS, describe
from detectors.layout import Column, Layout, slots_of_numeric
from detectors.moments import group_moments
from detectors.reference import choose_edges


def of_values(values: Any, edges: tuple[float, ...]) -> tuple[Any, Any, Layout]:
    column = Column("x", "feature", "numeric", edges)
    counts = np.bincount(slots_of_numeric(column, values), minlength=column.slots)[None]
    _, moments = group_moments(values, np.zeros(len(values), dtype=int), 1)
    return counts, moments[None], Layout.of([column])


@pytest.mark.parametrize("shift", [0.0, 0.7, 50.0, -50.0])
def test_quantiles_are_within_one_bins_mass(shift: float) -> None:
    rng = np.random.default_rng(0)
    edges = choose_edges(rng.normal(size=5000), 64)
    values = rng.normal(loc=shift, size=3000)
    counts, moments, layout = of_values(values, edges)
    told = describe(counts, moments, layout)
    for level, quantile in zip(LEVELS, told.quantiles[0, 0], strict=True):
        below, at_most = np.mean(values < quantile), np.mean(values <= quantile)
        mass = counts[0].max() / 3000
        assert below - mass <= level <= at_most + mass
    assert (np.diff(told.quantiles[0, 0]) >= 0).all()
    assert told.quantiles.min() >= values.min()
    assert told.quantiles.max() <= values.max()


def test_uniform_values_have_uniform_quantiles() -> None:
    values = (np.arange(1000) + 0.5) / 1000
    told = describe(*of_values(values, tuple(np.linspace(0, 1, 65))), levels=(0.0, 0.1, 0.5, 1.0))
    np.testing.assert_allclose(told.quantiles[0, 0], [0.0005, 0.1, 0.5, 0.9995], atol=2e-3)
    assert told.mean[0, 0] == pytest.approx(values.mean())
    assert told.std[0, 0] == pytest.approx(values.std())


def test_a_constant_column_is_that_constant_everywhere() -> None:
    told = describe(*of_values(np.full(9, 7.0), (0.0, 5.0, 10.0)))
    assert told.quantiles[0, 0].tolist() == [7.0] * len(LEVELS)
    assert (told.std[0, 0], told.minimum[0, 0], told.maximum[0, 0]) == (0.0, 7.0, 7.0)


def test_a_window_is_told_the_same_alone_and_among_many() -> None:
    rng = np.random.default_rng(2)
    layout = Layout.of([Column(n, "feature", "numeric", (0.0, 1.0, 2.0, 4.0)) for n in "ab"])
    counts = rng.integers(0, 30, (600, layout.slots)) * rng.integers(0, 2, (600, 1))
    moments = np.tile([1.0, 50.0, -3.0, 9.0], (600, 2, 1))
    many = describe(counts, moments, layout).quantiles
    for w in (0, 1, 300, 599):
        alone = describe(counts[w : w + 1], moments[w : w + 1], layout).quantiles
        np.testing.assert_array_equal(alone[0], many[w])


def test_windows_without_finite_values_are_undefined_and_counted() -> None:
    layout = Layout.of(
        [Column("c", "feature", "categorical", (), ("a",)), Column("x", "feature", "numeric", (0.0, 1.0))]
    )
    told = describe([[1, 2, 3, 4, 5, 0, 0, 0], [0] * 8], np.full((2, 1, 4), np.nan), layout)
    assert told.present.tolist() == [[5, 0], [0, 0]]
    assert told.missing.tolist() == [[1, 4], [0, 0]]
    assert told.invalid.tolist() == [[0, 5], [0, 0]]
    for values in (told.mean, told.std, told.minimum, told.maximum, told.quantiles):
        assert np.isnan(values).all()


def test_no_windows_and_no_columns_give_empty_arrays() -> None:
    assert describe(np.zeros((0, 0), int), np.zeros((0, 0, 4)), Layout.of([])).quantiles.shape == (0, 0, 7)


def test_what_does_not_fit_is_refused() -> None:
    counts, moments, layout = of_values(np.ones(3), (0.0, 2.0))
    with pytest.raises(ValueError, match="moments"):
        describe(counts, moments[:, :, :3], layout)
    with pytest.raises(ValueError, match="levels"):
        describe(counts, moments, layout, levels=(1.5,))
