"""One scale for how far columns moved: the same shift comes to the same number, whatever kind of column shows it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

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


def test_movement_is_the_mean_way_of_values_in_standard_deviations_or_what_shares_come_to():
    """(9), a window and a column at a time, from slots: 0 missing, 1 invalid, then underflow, bins and overflow."""
    rng = np.random.default_rng(3)
    edges = (0.0, 1.0, 2.0, 4.0)
    layout = Layout.of(
        [
            Column("n", "feature", "numeric", edges=edges),
            Column("c", "feature", "categorical", categories=("a", "b")),
        ]
    )
    number, category = (layout.slice_of(layout.index[f"feature/{name}"]) for name in "nc")
    places = [0.0, 0.5, 1.5, 3.0, 4.0]
    windows = rng.integers(0, 900, (40, layout.slots))
    windows[::3, [number.start, category.start]] = 0
    for w in windows:  # as many rows in both
        w[category.start + 2] += max(w[number].sum() - w[category].sum(), 0)
        w[number.start + 3] += max(w[category].sum() - w[number].sum(), 0)
    before = rng.integers(200, 900, layout.slots).astype(float)
    before[[number.start + 1, number.start + 2, number.stop - 1, category.start + 1]] = 0
    expected = np.zeros(layout.slots)
    for at in (number, category):
        expected[at] = before[at] / before[at].sum()
    found = movement(compare(windows, expected[None, :], 1e9, layout))
    columns = [layout.index[key] for key in ("feature/n", "feature/c")]
    for w, (of_number, of_category) in zip(windows, found[:, columns].tolist(), strict=True):
        p, q = expected[number][2:] / expected[number][2:].sum(), w[number][2:] / w[number][2:].sum()
        mean = sum(a * x for a, x in zip(p, places, strict=True))
        sigma = sum(a * (x - mean) ** 2 for a, x in zip(p, places, strict=True)) ** 0.5
        way = stats.wasserstein_distance(places, places, p, q) / sigma
        rows = w[number].sum()
        shares = max(abs(w[number][0] / rows - expected[number][0]), w[number][1] / rows)
        assert of_number == pytest.approx(max(way, math.sqrt(2 * math.pi) * shares))
        p, q = expected[category][1:] / expected[category][1:].sum(), w[category][1:] / w[category][1:].sum()
        distance = jensenshannon(p, q, 2)
        shares = max(abs(w[category][0] / w[category].sum() - expected[category][0]), abs(q[0] - p[0]))
        assert of_category == pytest.approx(
            max(math.sqrt(8 * math.log(2)) * distance, math.sqrt(2 * math.pi) * shares)
        )


def test_what_is_not_known_has_not_moved():
    number = Column("x", "feature", "numeric", edges=GRID)
    layout = Layout.of([number])
    nothing = compare(np.zeros((1, layout.slots), dtype=int), np.zeros((1, layout.slots)), 100, layout)
    assert movement(nothing).tolist() == [[0.0]]
