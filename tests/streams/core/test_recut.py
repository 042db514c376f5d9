"""A chunk that is made again is the same chunk, whatever was learnt meanwhile; one that is not is told of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.contracts import contract
from seawall.errors import UnknownSchema
from seawall.frames import Categorical, Columns, to_record
from seawall.wire import Resolver, encode
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, NOW, T0, cut_after, frame, records, single

DAY = 24 * 60 * MINUTE


def unknown(_: Any) -> Any:
    raise UnknownSchema("unknown_schema", "nobody registered it yet")


def known(_: Any) -> Any:
    return "prediction_frame", contract("prediction_frame").schema


def chunker(rule: ChunkRule, resolver: Resolver | None = None) -> PartitionChunker:
    made = PartitionChunker("predictions", 0, "predictions", LayoutBook(Control()), rule, resolver, 1)
    made.start_at(0)
    return made


def folded(log: list[dict[str, Any]]) -> tuple[int, int]:
    """Rows that are counted, and chunks that were torn."""
    engine = PartitionEngine(
        Control(), RegistryView(), Watermarks({"predictions": "predictions"}, replay=True)
    )
    torn = sum(engine.on_record(s, i, NOW + i).torn_chunks for i, s in enumerate(log))
    merge = engine.models["m"].merge
    rows = sum(int(series.rows.sum()) for key, series in merge.series.items() if not key[3])
    rows += sum(int(c.rows.sum()) for p in merge.open.values() for key, c in p.cells.items() if not key[3])
    return rows, torn


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(0, 120))
def test_a_schema_that_is_known_at_the_second_reading_moves_no_cut(events: int, killed_at: int) -> None:
    """Frames of ten rows that nobody could read the first time: each was one bad record, and is ten events now."""
    unread = b"\0\0\0\0\x07" + frame([T0 + i for i in range(10)], [1.0] * 10)[10:]
    log = records([value for i in range(60) for value in (single(T0 + i * 1000, 1.0), unread)])
    first, again = chunker(cut_after(events), unknown), chunker(cut_after(events), known)
    cuts = list(first.feed(log[:killed_at]))
    assert [c.next_offset for c in again.feed(log)][: len(cuts)] == [c.next_offset for c in cuts]


def test_what_is_cut_elsewhere_than_before_is_left_out_and_told_of() -> None:
    """Somebody changed the rule while there was a lag: nothing is counted twice, and it is not kept quiet."""
    log = records([single(T0 + i * 1000, 1.0) for i in range(300)])
    before = [s for c in chunker(cut_after(100)).feed(log[:100]) for s in c.summaries]
    after = chunker(cut_after(150))
    changed = [s for c in after.feed(log) for s in c.summaries]
    assert folded([*before, *changed]) == (100 + 150, 1)
    same = chunker(cut_after(100))
    repeated = [s for c in same.feed(log) for s in c.summaries]
    assert folded([*before, *repeated]) == (300, 0)


@pytest.mark.parametrize("rows", [700, 4000])
def test_the_summary_of_a_backfill_over_a_month_is_no_larger_than_a_message_may_be(rows: int) -> None:
    """Every row in a pane of its own, 50 numbers and 10 words each: nearly all of its counts are zeros."""
    rng = np.random.default_rng(1)
    values = []
    for start in range(0, rows, 500):
        ts = T0 + np.sort(rng.integers(0, 30 * DAY, min(500, rows - start)))
        columns = Columns(
            "predictions",
            "m",
            "v1",
            ts,
            numeric={f"x{i}": rng.normal(size=len(ts)) for i in range(50)},
            categorical={
                f"c{i}": Categorical.of([f"w{k}" for k in rng.integers(0, 40, len(ts))]) for i in range(10)
            },
        )
        values.append(encode("prediction_frame", to_record(columns)))
    c = chunker(ChunkRule())
    summaries = [s for cut in c.feed(records(values)) for s in cut.summaries] + c.provisional(caught_up=True)
    largest = max(len(encode("chunk_summary", s)) for s in summaries)
    assert largest < 16 << 20
    assert folded(summaries) == (rows, 0)
