"""The tables of bins against the binary search that they replace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.bins import BLOCK_VALUES, Bins
from detectors.grid import Grid, suits
from detectors.layout import (
    FIRST_BIN,
    INVALID,
    MISSING,
    OCTAVE_EDGES,
    UNDERFLOW,
    Column,
    Layout,
    slots_of_numeric,
)

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


def below(edges: list[tuple[float, ...]], values: np.ndarray) -> np.ndarray:
    """What `Bins` counts of the same values in every column."""
    table = np.tile(values, (len(edges), 1))
    out = np.empty(table.shape, dtype=np.int64)
    Bins(edges, OCTAVE_EDGES).edges_below(slice(0, len(edges)), table, out)
    return out


@given(EDGES, st.lists(FINITE, max_size=100))
def test_a_table_finds_the_bins_that_a_search_finds(edges: tuple[float, ...], drawn: list[float]) -> None:
    values = around(edges, drawn)
    assert (below([edges], values)[0] + UNDERFLOW == searched(edges, values)).all()


@given(
    st.lists(st.one_of(EDGES, st.just(OCTAVE_EDGES)), min_size=1, max_size=6), st.lists(FINITE, max_size=20)
)
def test_columns_of_every_kind_side_by_side_are_found_as_each_by_itself(
    edges: list[tuple[float, ...]], drawn: list[float]
) -> None:
    values = np.concatenate([around(edges[0], drawn), around(edges[-1], [0.0, -0.0, 5e-324, -5e-324])])
    found = below(edges, values)
    for column, of_column in zip(edges, found, strict=True):
        assert (of_column + UNDERFLOW == searched(column, values)).all()


@given(st.lists(FINITE, max_size=100), st.integers(0, len(OCTAVE_EDGES) - 1))
def test_octaves_are_told_by_the_upper_bits_of_a_number(drawn: list[float], near: int) -> None:
    edge = OCTAVE_EDGES[near]
    values = np.concatenate(
        [around(OCTAVE_EDGES, drawn), edge * np.linspace(0.5, 2, 97), [5e-324, -5e-324, -0.0]]
    )
    assert (below([OCTAVE_EDGES], values)[0] + UNDERFLOW == searched(OCTAVE_EDGES, values)).all()


@given(EDGES, st.lists(st.floats(), max_size=100))
def test_slots_do_not_depend_on_how_many_values_there_are(
    edges: tuple[float, ...], drawn: list[float]
) -> None:
    column = Column("x", "feature", "numeric", edges)
    values = np.concatenate([around(edges, []), drawn])
    many = np.tile(values, BLOCK_VALUES // len(values) + 1)
    expected = searched(edges, values)
    assert (slots_of_numeric(column, values) == expected).all()
    assert (slots_of_numeric(column, many) == np.tile(expected, BLOCK_VALUES // len(values) + 1)).all()


@given(st.lists(EDGES, min_size=1, max_size=4), st.lists(st.floats(), min_size=1, max_size=30))
def test_a_layout_finds_the_slots_of_all_its_numbers_at_once(
    edges: list[tuple[float, ...]], drawn: list[float]
) -> None:
    columns = [Column(f"x{i}", "feature", "numeric", e) for i, e in enumerate(edges)]
    words = Column("w", "feature", "categorical", (), ("a", "b"))
    layout = Layout((columns[0], words, *columns[1:]))
    table = np.stack([np.roll(np.array(drawn), i) for i in range(len(edges))])
    slots, are_finite = layout.slots_of_numbers(table)
    for i, column in enumerate(columns):
        first = layout.first_slots[layout.numeric[i]]
        assert (slots[i] == slots_of_numeric(column, table[i]) + first).all()
        assert (slots[i] == searched(column.edges, table[i]) + first).all()
    assert not (are_finite & ~np.isfinite(table).all(axis=1)).any()


@pytest.mark.parametrize(
    "edges",
    [
        tuple(np.linspace(-4, 4, 65).tolist()),
        tuple(np.unique(np.random.default_rng(0).normal(size=64)).tolist()),
        tuple(np.unique(np.random.default_rng(1).lognormal(0, 1, size=32)).tolist()),
        tuple(float(k) for k in range(-3, 60)),
    ],
)
def test_the_bins_of_common_distributions_have_a_table(edges: tuple[float, ...]) -> None:
    assert suits(edges)


@pytest.mark.parametrize(
    "edges",
    [(1.0,), (-1.7e308, 1.7e308), (0.0, 5e-324), OCTAVE_EDGES],
    ids=["one", "endless", "tiny", "octaves"],
)
def test_edges_that_do_not_suit_a_table_have_none(edges: tuple[float, ...]) -> None:
    assert not suits(edges)


def test_a_single_edge_belongs_to_what_lies_above_it() -> None:
    column = Column("x", "feature", "numeric", (1.0,))
    found = slots_of_numeric(column, np.array([np.nan, np.inf, 0.5, 1.0, 2.0]))
    assert found.tolist() == [MISSING, INVALID, UNDERFLOW, FIRST_BIN, FIRST_BIN]


def test_a_grid_is_made_of_edges_that_have_a_table() -> None:
    with pytest.raises(ValueError, match="without a table"):
        Grid([(0.0, 1.0), (1.0,)])
