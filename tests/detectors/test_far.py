"""Rows far out of range, from counts and moments, beside what the rows themselves say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from detectors.evidence.far import UNIT, UNKNOWN, Far, Tail, Tails, tail_of
from detectors.layout import Column, Layout, slots_of_numeric
from detectors.moments import group_moments

EDGES = tuple(np.linspace(-4.0, 4.0, 33).tolist())
NUMBER = Column("x", "feature", "numeric", edges=EDGES)
LAYOUT = Layout.of([NUMBER, Column("w", "feature", "categorical", categories=("a",))])
AT = LAYOUT.index["feature/x"]
TAIL = Tail(mean=0.5, std=1.0, furthest=4.5, index=2.0)
ROWS = 10_000


def far(windows: list[np.ndarray], tail: Tail = TAIL) -> tuple[np.ndarray, np.ndarray]:
    """Weight and score of each window's values, as a judge sees them."""
    counts = np.zeros((len(windows), LAYOUT.slots), dtype=np.int64)
    for counted, values in zip(counts, windows, strict=True):
        counted[LAYOUT.slice_of(AT)] = np.bincount(slots_of_numeric(NUMBER, values), minlength=NUMBER.slots)
    group = np.repeat(np.arange(len(windows)), [len(w) for w in windows])
    _, moments = group_moments(np.concatenate(windows), group, len(windows))
    found: Far = Tails(LAYOUT, [tail]).far(counts, moments[:, None], ROWS)
    others = [i for i in range(len(LAYOUT.columns)) if i != AT]
    assert (found.weight[:, others] == 1).all()
    assert (found.score[:, others] == -np.inf).all()
    return found.weight[:, AT], found.score[:, AT]


def slowly(values: np.ndarray, tail: Tail = TAIL) -> tuple[float, float]:
    """The same from the values: what is in range at the further ends of its bins, and all but the furthest of the rest."""
    squares, within = sorted((x - tail.mean) ** 2 for x in values), 0.0
    outside = 0
    for x in values:
        if EDGES[0] <= x <= EDGES[-1]:
            bin_ = min(int(np.searchsorted(EDGES, x, side="right")) - 1, len(EDGES) - 2)
            within += max((EDGES[bin_] - tail.mean) ** 2, (EDGES[bin_ + 1] - tail.mean) ** 2)
        else:
            outside += 1
    if outside < 2:
        return 1.0, -np.inf
    # Sums of squares are only believed to a thousand-millionth of them.
    reach = (max(sum(squares[:-1]) - within - 1e-9 * sum(squares), 0.0) / (outside - 1)) ** 0.5
    weight = max((reach - tail.furthest) / (UNIT * tail.std), 1.0)
    if reach <= tail.furthest:
        return weight, -np.inf
    chance = len(values) / (ROWS + 1) * (reach / tail.furthest) ** -tail.index
    return weight, float(-norm.ppf(min(chance, 1.0)))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-4, 4), min_size=1, max_size=40),
    st.lists(st.floats(5, 1e6) | st.floats(-1e6, -5), max_size=6),
)
def test_it_is_what_the_rows_themselves_say(inside: list[float], outside: list[float]):
    values = np.array([*inside, *outside])
    weight, score = far([values])
    expected = slowly(values)
    assert weight[0] == pytest.approx(expected[0], rel=1e-3, abs=1e-3)
    assert score[0] == pytest.approx(expected[1], rel=1e-3, abs=1e-2) or abs(expected[1]) > 30


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-4, 4), min_size=1, max_size=40),
    st.lists(st.floats(5, 1e9) | st.floats(-1e9, -5), min_size=2, max_size=6),
)
def test_rows_never_count_as_further_than_the_second_furthest_of_them(inside, outside):
    second = sorted(abs(x - TAIL.mean) for x in outside)[-2]
    weight, score = far([np.array([*inside, *outside])])
    n = len(inside) + len(outside)
    chance = n / (ROWS + 1) * max(second / TAIL.furthest, 1.0) ** -TAIL.index
    assert weight[0] <= max((second - TAIL.furthest) / UNIT, 1.0) * (1 + 1e-9)
    assert score[0] <= -norm.ppf(min(chance, 1.0)) + 1e-9


@pytest.mark.parametrize("far_away", [10.0, 1e6, -1e12])
def test_one_row_is_a_slip_however_far_it_is_and_two_are_not(far_away: float):
    usual = np.zeros(98)
    weight, score = far([np.append(usual, [far_away]), np.append(usual, [far_away, far_away])])
    assert weight[0] == 1
    assert score[0] == -np.inf
    assert weight[1] > 1
    assert score[1] > 2


def test_a_slip_beside_a_row_just_out_of_range_counts_for_no_more_than_that_row():
    alone, beside = far([np.append(np.zeros(98), [4.6, 4.6]), np.append(np.zeros(98), [4.6, 1e9])])[0]
    assert alone == beside == 1


def test_rows_on_both_sides_do_not_cancel_each_other():
    both, one = far([np.append(np.zeros(98), [-99.0, 101.0]), np.append(np.zeros(98), [101.0, 101.0])])[1]
    assert both == pytest.approx(one, rel=0.02)


def test_units_make_no_difference_to_a_tail():
    quantiles = (-2.3, 2.3)
    one = tail_of(0.0, 1.0, -40.0, 60.0, quantiles, 10_000)
    other = tail_of(7.0, 1000.0, 7 - 40_000.0, 7 + 60_000.0, (7 - 2300.0, 7 + 2300.0), 10_000)
    assert other.index == pytest.approx(one.index)
    assert other.furthest / other.std == pytest.approx(one.furthest / one.std)


@pytest.mark.parametrize(
    "tail",
    [
        UNKNOWN,
        tail_of(1.0, 0.0, 1.0, 1.0, (1.0, 1.0), 10_000),
        Tail(0.5, 1.0, float("inf"), 2.0),
    ],
    ids=["nothing is known", "a constant", "a range without end"],
)
def test_where_there_is_no_scale_no_row_is_far(tail: Tail):
    weight, score = far([np.append(np.zeros(98), [1e6, 1e6])], tail)
    assert weight[0] == 1
    assert score[0] == -np.inf


@pytest.mark.parametrize("huge", [1e160, 1e308])
def test_values_whose_squares_overflow_say_nothing(huge: float):
    weight, score = far([np.append(np.zeros(98), [huge, -huge])])
    assert weight[0] == 1
    assert score[0] == -np.inf


def test_a_column_with_a_value_in_one_row_of_a_hundred_has_no_tail_to_measure():
    assert tail_of(0.001, 0.1, 0.0, 9.0, (0.0, 0.0), 10_000).index < 1
    assert tail_of(0.0, 1.0, -3.0, 3.0, (-2.3, 2.3), 50).index == 0


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(size=n),
        lambda rng, n: rng.standard_t(2.0, size=n),
        lambda rng, n: rng.pareto(1.0, size=n),
        lambda rng, n: rng.pareto(2.0, size=n),
        lambda rng, n: np.exp(2.0 * rng.normal(size=n)),
    ],
    ids=["normal", "t2", "Pareto 1", "Pareto 2", "log-normal 2"],
)
def test_windows_without_change_score_no_higher_than_normal_ones_whatever_the_tail(draw):
    """A hundred thousand windows of a hundred rows, over baselines of ten thousand: two rows far out are never by chance."""
    rng = np.random.default_rng(7)
    windows, high = 0, 0
    for _ in range(50):
        x = draw(rng, ROWS)
        low, top = np.quantile(x, [0.01, 0.99])
        tail = tail_of(x.mean(), x.std(), x.min(), x.max(), (low, top), ROWS)
        edges = (x.min(), *np.quantile(x, np.linspace(0, 1, 33)[1:-1]), x.max())
        column = Column("x", "feature", "numeric", edges=tuple(float(e) for e in edges))
        layout = Layout.of([column])
        y = draw(rng, 2000 * 100)
        slots = slots_of_numeric(column, y)
        group = np.repeat(np.arange(2000), 100)
        counts = np.zeros((2000, layout.slots), dtype=np.int64)
        np.add.at(counts, (group, slots), 1)
        _, moments = group_moments(y, group, 2000)
        score = Tails(layout, [tail]).far(counts, moments[:, None], ROWS).score
        windows, high = windows + 2000, high + int((score >= 3).sum())
    assert windows == 100_000
    assert high <= windows * norm.sf(3)
