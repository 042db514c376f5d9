"""Events that each name other columns: counted as one, at a bounded price."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.layout import MISSING
from seawall.monitor import MonitorSpec
from seawall.wire import encode
from streams.core.chunks import ChunkRule, PartitionChunker, read_block
from streams.core.layouts import Control, LayoutBook
from streams.core.pool import MAX_COLUMNS, MAX_SETS
from tests.streams.core.builders import MINUTE, T0, records

Event = tuple[int, str, frozenset[str]]


def written(event: Event) -> bytes:
    minute, origin, names = event
    return encode(
        "prediction",
        {
            "event_id": "",
            "model": "m",
            "version": "v1",
            "ts": T0 + minute * MINUTE,
            "numeric": [{"name": name, "value": float(minute)} for name in sorted(names)],
            "categorical": [{"name": "origin", "value": origin}],
            "scores": [],
        },
    )


def chunker(spec: MonitorSpec = MonitorSpec("m", segments=("origin",))) -> PartitionChunker:  # noqa: B008
    control = Control()
    control.set_monitor(spec)
    return PartitionChunker("predictions", 0, "predictions", LayoutBook(control), ChunkRule(1 << 30, 1 << 20))


def found(summaries: list[dict[str, Any]]) -> tuple[Counter[Any], Counter[Any]]:
    """Rows by (segment, pane), and events that have a column by (segment, pane, column)."""
    rows, present = Counter[Any](), Counter[Any]()
    for record in (b for s in summaries for b in s["blocks"]):
        block = read_block(record)
        for cell in range(block.cells):
            at = (block.segments[cell], int(block.panes[cell]))
            rows[at] += int(block.rows[cell])
            for i, column in enumerate(block.layout.columns):
                counts = block.counts[cell, block.layout.slice_of(i)]
                assert counts.sum() == block.rows[cell]
                present[*at, column.name] += int(counts.sum() - counts[MISSING])
    return rows, +present


def naive(events: list[Event], segment_of: Any = lambda origin: f"origin={origin}") -> Any:
    rows, present = Counter[Any](), Counter[Any]()
    for minute, origin, names in events:
        for segment in ("", segment_of(origin)):
            at = (segment, T0 + minute * MINUTE)
            rows[at] += 1
            for name in ("origin", *names):
                present[*at, name] += 1
    return rows, present


events = st.lists(
    st.tuples(
        st.integers(0, 3), st.sampled_from("abc"), st.frozensets(st.sampled_from("pqrstuvw"), max_size=8)
    ),
    min_size=1,
    max_size=80,
)


@settings(max_examples=25, deadline=None)
@given(events, st.data())
def test_however_many_column_sets_a_chunk_has_it_counts_what_a_loop_counts(made, data):
    c, values, offset = chunker(), [written(e) for e in made], 0
    while offset < len(values):
        size = data.draw(st.integers(1, len(values) - offset))
        list(c.feed(records(values[offset : offset + size], offset)))
        offset += size
        if data.draw(st.booleans()):
            c.provisional(caught_up=True)
    c._dirty.add("m")
    (summary,) = c.provisional(caught_up=True)
    assert found([summary]) == naive(made)
    sets = {names for _, _, names in made}
    assert len(summary["blocks"]) == (len(sets) if len(sets) <= MAX_SETS else 1)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=30, max_size=60), st.data())
def test_which_segments_are_too_many_does_not_depend_on_how_the_events_came(made, data):
    spec = MonitorSpec("m", segments=("origin",), max_segments=4)
    values = [written((0, f"o{origin}", frozenset({f"x{name}"}))) for origin, name in made]
    whole = chunker(spec)
    list(whole.feed(records(values)))
    (at_once,) = whole.provisional(caught_up=True)
    pieces, offset = chunker(spec), 0
    while offset < len(values):
        size = data.draw(st.integers(1, len(values) - offset))
        list(pieces.feed(records(values[offset : offset + size], offset)))
        pieces.provisional(caught_up=True)
        offset += size
    pieces._dirty.add("m")
    (bit_by_bit,) = pieces.provisional(caught_up=True)
    assert found([bit_by_bit]) == found([at_once])
    first = list(dict.fromkeys(f"o{origin}" for origin, _ in made))[:4]
    expected = naive(
        [(0, f"o{origin}", frozenset({f"x{name}"})) for origin, name in made],
        lambda origin: f"origin={origin if origin in first else '(other)'}",
    )
    assert found([at_once]) == expected


def test_columns_that_most_events_have_are_counted_whatever_names_are_made_up():
    made = [(0, "a", frozenset({"age", "fare", f"user_{i}"})) for i in range(1000)]
    c = chunker()
    list(c.feed(records([written(e) for e in made])))
    (summary,) = c.provisional(caught_up=True)
    (block,) = [read_block(b) for b in summary["blocks"]]
    names = {column.name for column in block.layout.columns}
    assert {"age", "fare", "origin"} <= names
    assert len(names) == MAX_COLUMNS
    rows, present = found([summary])
    assert rows["", T0] == present["", T0, "age"] == present["", T0, "fare"] == 1000


@pytest.mark.parametrize("minutes", [1, 60])
def test_sparse_features_make_a_summary_of_a_bounded_size(minutes):
    rng = random.Random(1)
    made = [
        (
            rng.randrange(minutes),
            f"c{rng.randrange(20)}",
            frozenset(f"kw{j}" for j in rng.sample(range(2000), 24)),
        )
        for _ in range(1500)
    ]
    c = chunker()
    list(c.feed(records([written(e) for e in made])))
    (summary,) = c.provisional(caught_up=True)
    rows, _ = found([summary])
    assert rows == naive(made)[0]
    assert len(encode("chunk_summary", summary)) < 8 << 20
