"""Merging summaries is adding up, cell by cell."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.layout import Column, Layout
from detectors.summary import REGISTERS, Block, merge

LAYOUT = Layout.of(
    [
        Column("age", "feature", "numeric", (0.0, 1.0, 2.0)),
        Column("plan", "feature", "categorical", (), ("a",)),
    ]
)
CELLS = st.lists(
    st.tuples(st.sampled_from(["", "s=1", "s=2"]), st.integers(0, 3), st.integers(1, 9)),
    min_size=1,
    max_size=8,
)


def block_of(cells: list[tuple[str, int, int]]) -> Block:
    """Make a block of cells (segment, pane, rows), each with as many values of one bin and in one register."""
    counts = np.zeros((len(cells), LAYOUT.slots), dtype=np.int32)
    moments = np.full((len(cells), 1, 4), np.nan)
    distinct = np.zeros((len(cells), 1, REGISTERS), dtype=np.uint8)
    for i, (_, pane, rows) in enumerate(cells):
        counts[i, [LAYOUT.first_slots[0] + 3 + pane % 2, LAYOUT.first_slots[1] + pane % 3]] = rows
        moments[i, 0] = float(rows), 0.0, float(rows), float(rows)
        distinct[i, 0, pane] = rows
    rows_of = np.array([rows for *_, rows in cells], dtype=np.int64)
    panes = np.array([pane for _, pane, _ in cells], dtype=np.int64)
    return Block(
        LAYOUT,
        [name for name, *_ in cells],
        panes,
        rows_of,
        rows_of.astype(np.float64),
        counts,
        moments,
        distinct,
    )


@given(st.lists(CELLS, min_size=2, max_size=4))
def test_merged_blocks_are_their_cells_added_up_also_where_a_block_has_a_cell_twice(
    parts: list[list[tuple[str, int, int]]],
) -> None:
    merged = merge([block_of(part) for part in parts])
    found = {at: i for i, at in enumerate(zip(merged.segments, merged.panes.tolist(), strict=True))}
    every = [cell for part in parts for cell in part]
    assert len(found) == merged.cells
    assert set(found) == {cell[:2] for cell in every}
    for at, i in found.items():
        alone = [block_of([cell]) for cell in every if cell[:2] == at]
        assert merged.rows[i] == sum(b.rows[0] for b in alone)
        assert merged.weights[i] == sum(b.weights[0] for b in alone)
        assert merged.counts[i].tolist() == sum(b.counts[0].astype(int) for b in alone).tolist()
        assert merged.distinct[i].tolist() == np.max([b.distinct[0] for b in alone], axis=0).tolist()
        values = [float(b.rows[0]) for b in alone for _ in range(int(b.rows[0]))]
        spread = float(np.var(values)) * len(values)
        expected = [float(np.mean(values)), spread, min(values), max(values)]
        np.testing.assert_allclose(merged.moments[i, 0], expected, rtol=1e-9, atol=1e-9)
    assert merged.counts.dtype == np.int32
