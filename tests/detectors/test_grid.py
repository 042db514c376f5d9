"""The table of cells against the binary search that it replaces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.grid import FEWEST_FOR_GRID, grid_of
from detectors.layout import FIRST_BIN, INVALID, MISSING, OCTAVE_EDGES, UNDERFLOW, Column, slots_of_numeric

FINITE = st.floats(allow_nan=False, allow_infinity=False)
UNEVEN = st.lists(FINITE, min_size=2, max_size=80, unique=True).map(lambda e: tuple(sorted(e)))
EVEN = st.builds(
    lambda low, width, bins: tuple(np.linspace(low, low + width, bins + 1).tolist()),
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
    st.integers(1, 200),
)
EDGES = st.one_of(UNEVEN, EVEN)


def around(edges: tuple[float, ...], drawn: list[float]) -> np.ndarray:
    """Numbers that were drawn, every edge, and the numbers next to it."""
    at = np.array(edges)
    with np.errstate(over="ignore"):
        near = np.concatenate([at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf), drawn])
    return near[np.isfinite(near)]


def searched(edges: tuple[float, ...], values: np.ndarray) -> np.ndarray:
    """One value after the other, as the layout says it."""
    slots = []
    for value in values.tolist():
        if np.isnan(value):
            slots.append(MISSING)
        elif np.isinf(value):
            slots.append(INVALID)
        elif value == edges[-1]:
            slots.append(FIRST_BIN + len(edges) - 2)
        else:
            slots.append(UNDERFLOW + sum(edge <= value for edge in edges))
    return np.array(slots)


@given(EDGES, st.lists(FINITE, max_size=100))
def test_a_table_finds_the_bins_that_a_search_finds(edges: tuple[float, ...], drawn: list[float]) -> None:
    grid = grid_of(edges)
    if grid is not None:
        values = around(edges, drawn)
        assert (grid.edges_below(values) + UNDERFLOW == searched(edges, values)).all()


@given(EDGES, st.lists(st.floats(), max_size=100))
def test_slots_do_not_depend_on_how_many_values_there_are(
    edges: tuple[float, ...], drawn: list[float]
) -> None:
    column = Column("x", "feature", "numeric", edges)
    values = np.concatenate([around(edges, []), drawn])
    many = np.tile(values, FEWEST_FOR_GRID)
    assert (slots_of_numeric(column, values) == searched(edges, values)).all()
    assert (slots_of_numeric(column, many) == np.tile(searched(edges, values), FEWEST_FOR_GRID)).all()


@pytest.mark.parametrize(
    "edges",
    [
        tuple(np.linspace(-4, 4, 65).tolist()),
        tuple(np.unique(np.random.default_rng(0).normal(size=64)).tolist()),
        tuple(np.unique(np.random.default_rng(1).lognormal(0, 1, size=32)).tolist()),
    ],
)
def test_the_bins_of_common_distributions_have_a_table(edges: tuple[float, ...]) -> None:
    assert grid_of(edges) is not None


@pytest.mark.parametrize(
    "edges",
    [(1.0,), (-1.7e308, 1.7e308), (0.0, 5e-324), OCTAVE_EDGES],
    ids=["one", "endless", "tiny", "octaves"],
)
def test_edges_that_do_not_suit_a_table_have_none(edges: tuple[float, ...]) -> None:
    assert grid_of(edges) is None
