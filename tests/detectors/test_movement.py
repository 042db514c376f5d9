"""One scale for how far columns moved: the same shift comes to the same number, whatever kind of column shows it."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.compare import compare
from detectors.layout import Column, Layout, slots_of_numeric
from detectors.movement import movement

GRID = tuple(np.linspace(-4, 4, 65).tolist())


def moved(column: Column, before: np.ndarray, after: np.ndarray) -> float:
    """How far a column has moved when its slots change so."""
    layout = Layout.of([column])
    expected = np.bincount(before, minlength=layout.slots)[None, :] / len(before)
    counts = np.bincount(after, minlength=layout.slots)[None, :]
    return float(movement(compare(counts, expected, len(before), layout))[0, 0])


def normal(shift: float = 0.0, scale: float = 1.0, rows: int = 40_000) -> np.ndarray:
    return shift + scale * np.random.default_rng(1).normal(size=rows)


@pytest.mark.parametrize("shift", [0.1, 0.25, 0.5, 1.0])
def test_a_number_moves_by_its_shift_in_standard_deviations(shift: float):
    number = Column("x", "feature", "numeric", edges=GRID)
    slots = [slots_of_numeric(number, normal(s)) for s in (0.0, shift)]
    assert moved(number, *slots) == pytest.approx(shift, rel=0.1)


@pytest.mark.parametrize("shift", [0.1, 0.25, 0.5, 1.0])
def test_a_category_cut_from_a_number_moves_about_as_far_as_the_number(shift: float):
    words = tuple("abcdefghij")
    category = Column("x", "feature", "categorical", categories=words)
    cuts = np.quantile(normal(), np.linspace(0, 1, 11)[1:-1])
    slots = [2 + np.digitize(normal(s), cuts) for s in (0.0, shift)]
    assert moved(category, *slots) == pytest.approx(shift, rel=0.15)


@pytest.mark.parametrize("shift", [0.1, 0.25, 0.5])
def test_a_share_moves_as_far_as_the_shift_that_changes_as_many_rows(shift: float):
    number = Column("x", "feature", "numeric", edges=GRID)
    values = normal()
    before = slots_of_numeric(number, values)
    # Half of the rows that differ between two normal distributions are on either side of the middle.
    share = np.mean(np.abs(values) <= shift / 2)
    values[: int(share * len(values))] = np.nan
    assert moved(number, before, slots_of_numeric(number, values)) == pytest.approx(shift, rel=0.1)


def test_a_number_that_leaves_its_range_moves_by_how_far_it_went_and_not_by_how_rare_that_is():
    uniform = np.random.default_rng(2).uniform(0, 12**0.5, 40_000)
    bounded = Column("x", "feature", "numeric", edges=tuple(np.linspace(0, 12**0.5, 65).tolist()))
    slots = [slots_of_numeric(bounded, uniform + shift) for shift in (0.0, 0.5)]
    inside = Column("y", "feature", "numeric", edges=GRID)
    others = [slots_of_numeric(inside, normal(shift)) for shift in (0.0, 1.0)]
    assert moved(bounded, *slots) < 0.6 * moved(inside, *others)


def test_what_is_not_known_has_not_moved():
    number = Column("x", "feature", "numeric", edges=GRID)
    layout = Layout.of([number])
    nothing = compare(np.zeros((1, layout.slots), dtype=int), np.zeros((1, layout.slots)), 100, layout)
    assert movement(nothing).tolist() == [[0.0]]
