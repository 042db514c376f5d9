"""Errors of panes in an order that is drawn: as many as there were, the same at each replay, fair in what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.layout import OCTAVE_EDGES, Column, slots_of_numeric
from detectors.reference import choose_edges
from streams.core.error_streams import in_some_order, most_of_pane, wrong_and_right

panes = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=20)


@given(panes, st.integers(0, 10**8), st.integers(1, 80))
def test_a_pane_is_laid_out_alike_whichever_panes_come_with_it(
    counts: list[tuple[int, int]], first: int, most: int
) -> None:
    wrong, right = (np.array(column) for column in zip(*counts, strict=True))
    whole = [e.tolist() for e in in_some_order(first, wrong, right, most)]
    alone = [
        next(in_some_order(first + k, wrong[k : k + 1], right[k : k + 1], most)).tolist()
        for k in range(len(counts))
    ]
    assert whole == alone
    for errors, (ones, zeros) in zip(whole, counts, strict=True):
        assert len(errors) == min(ones + zeros, most)
        assert set(errors) <= {0, 1}
        if ones + zeros <= most:
            assert sum(errors) == ones


def test_what_is_left_out_is_no_choice_and_no_place_is_favoured() -> None:
    n = 4000
    drawn = np.array([*in_some_order(0, np.full(n, 30), np.full(n, 70), 50)], dtype=float)
    assert drawn.mean() == pytest.approx(0.3, abs=0.005)
    assert drawn.mean(axis=0) == pytest.approx(np.full(50, 0.3), abs=0.04)


@pytest.mark.parametrize("seen", [[0.0, 1.0], [0.0], [1.0], []], ids=["both", "right", "wrong", "none"])
def test_errors_are_told_apart_whatever_the_baseline_has_seen(seen: list[float]) -> None:
    edges = choose_edges(np.repeat(np.array(seen), 50)) if seen else OCTAVE_EDGES
    column = Column("error", "loss", "numeric", edges)
    slots = slots_of_numeric(column, np.array([1.0, 0.0, 1.0, np.nan, 0.0, 1.0]))
    counts = np.bincount(slots, minlength=column.slots)[None, :]
    wrong, right = wrong_and_right(column, counts)
    assert (wrong.tolist(), right.tolist()) == ([3], [2])


def test_long_windows_lay_out_fewer_of_each_pane() -> None:
    assert [most_of_pane(width) for width in (1, 24, 168, 1440, 20_160)] == [200, 200, 59, 6, 1]
