"""When a change began, to the pane where it is plain, to a few where it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.onset import estimate_onset, estimate_relation_onset, likeliest_start

P = np.array([0.1, 0.2, 0.3, 0.4])
Q = np.array([0.4, 0.3, 0.2, 0.1])


def stream(rng: np.random.Generator, before: int, after: int, rows: int, q: np.ndarray = Q) -> np.ndarray:
    return np.vstack([rng.multinomial(rows, P, size=before), rng.multinomial(rows, q, size=after)])


@pytest.mark.parametrize(("before", "after"), [(20, 5), (5, 20), (1, 2), (40, 40)])
def test_a_plain_change_is_dated_to_the_pane(before: int, after: int) -> None:
    rng = np.random.default_rng(before * 100 + after)
    for _ in range(20):
        assert estimate_onset(stream(rng, before, after, 200), P[None], 1e4, start=before) == before


def test_where_the_first_round_starts_hardly_matters() -> None:
    rng = np.random.default_rng(3)
    counts = stream(rng, 30, 10, 100)
    found = {estimate_onset(counts, P[None], 1e4, start=start) for start in (0, 10, 25, 30, 38)}
    assert found == {30}


def test_a_small_change_is_dated_to_within_a_few_panes_most_of_the_time() -> None:
    rng = np.random.default_rng(4)
    mixed = 0.8 * P + 0.2 * Q
    off = [
        abs(estimate_onset(stream(rng, 48, 24, 200, mixed), P[None], 1e4, start=60) - 48) for _ in range(200)
    ]
    assert np.median(off) <= 1
    assert np.mean(np.array(off) <= 4) >= 0.9


def test_all_changed_is_pane_nought() -> None:
    rng = np.random.default_rng(5)
    assert estimate_onset(stream(rng, 0, 30, 100), P[None], 1e4, start=20) == 0


def test_a_silence_before_the_change_is_no_part_of_it() -> None:
    rng = np.random.default_rng(6)
    counts = np.vstack([rng.multinomial(100, P, 10), np.zeros((5, 4)), rng.multinomial(100, Q, 4)])
    assert estimate_onset(counts, P[None], 1e4, start=17) == 15


def test_what_is_expected_may_differ_from_pane_to_pane() -> None:
    """Days that alternate between two patterns are no change; leaving that pattern is one."""
    rng = np.random.default_rng(7)
    expected = np.array([P if t % 2 else Q for t in range(30)])
    counts = np.array([rng.multinomial(300, expected[t] if t < 22 else P) for t in range(30)])
    # Pane 22 is the first that is out of step; pane 21 expects what comes later too, and cannot tell.
    assert estimate_onset(counts, expected, 1e4, start=26) in {21, 22}


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40))
def test_no_start_has_a_greater_sum_to_the_end(gain: list[float]) -> None:
    found = likeliest_start(gain)
    assert math.fsum(gain[found:]) >= max(math.fsum(gain[k:]) for k in range(len(gain))) - 1e-9


def test_of_starts_that_are_equally_likely_the_latest_is_taken() -> None:
    assert likeliest_start([0.0, 0.0, 2.0]) == 2
    assert likeliest_start([1.0, 0.0, 2.0, 0.0]) == 0


@pytest.mark.parametrize("bins", [4, 16, 64])
@pytest.mark.parametrize("rows", [10, 20, 100])
def test_many_bins_and_few_rows_do_not_make_it_see_a_change_in_its_own_noise(bins: int, rows: int) -> None:
    """A third of the values goes missing: the window that raises the alarm holds two such panes and four before."""
    rng = np.random.default_rng(bins + rows)
    usual = np.r_[0.0, np.full(bins, 1 / bins)]
    gone = np.r_[0.34, np.full(bins, 0.66 / bins)]
    off = []
    for _ in range(100):
        counts = np.vstack([rng.multinomial(rows, usual, 30), rng.multinomial(rows, gone, 2)])
        off.append(abs(estimate_onset(counts, usual[None], 1e4, start=26) - 30))
    assert np.mean(np.array(off) <= 1) >= 0.9


@pytest.mark.parametrize(
    ("counts", "expected"),
    [(np.empty((0, 1)), [[1.0]]), ([[1, 2]], [[1.0]]), ([[1], [2], [3]], [[1.0], [1.0]]), ([1], [[1.0]])],
)
def test_what_does_not_fit_is_refused(counts: object, expected: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="counts"):
        estimate_onset(np.asarray(counts, dtype=float), expected, 1.0)


def together(
    rng: np.random.Generator, before: int, after: int, rows: int, r: tuple[float, float]
) -> np.ndarray:
    """Return sums of x², y² and x y of panes whose correlation changes."""
    out = []
    for t in range(before + after):
        x, z = rng.normal(size=(2, rows))
        now = r[t >= before]
        y = now * x + math.sqrt(1 - now**2) * z
        out.append([(x * x).sum(), (y * y).sum(), (x * y).sum()])
    return np.array(out)


@pytest.mark.parametrize("r", [(0.9, -0.9), (0.9, 0.0), (0.0, 0.7), (0.98, 0.6)])
@pytest.mark.parametrize("start", [0, 25, 38])
def test_a_pair_that_goes_together_differently_is_dated_to_the_pane(
    r: tuple[float, float], start: int
) -> None:
    rng = np.random.default_rng(8)
    rows = np.full(40, 60)
    found = [
        estimate_relation_onset(rows, together(rng, 30, 10, 60, r), [r[0]], start=start) for _ in range(20)
    ]
    assert np.median(found) == 30
    assert max(abs(f - 30) for f in found) <= 2


def test_a_relation_that_changed_before_the_first_pane_is_pane_nought() -> None:
    rng = np.random.default_rng(9)
    assert (
        estimate_relation_onset(np.full(20, 50), together(rng, 0, 20, 50, (0.8, 0.1)), [0.8], start=12) == 0
    )


def test_panes_without_rows_do_not_make_a_relation_older() -> None:
    rng = np.random.default_rng(10)
    sums = together(rng, 10, 4, 80, (0.9, 0.0))
    sums = np.vstack([sums[:10], np.zeros((5, 3)), sums[10:]])
    rows = np.array([80] * 10 + [0] * 5 + [80] * 4)
    assert estimate_relation_onset(rows, sums, np.full(19, 0.9), start=16) == 15


def test_relations_of_no_panes_or_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit rows"):
        estimate_relation_onset([], np.zeros((0, 3)), [0.5])
    with pytest.raises(ValueError, match="do not fit rows"):
        estimate_relation_onset([1, 2], np.zeros((2, 3)), [0.5, 0.5, 0.5])
