"""Chunks are a pure function of the log."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.monitor import MonitorSpec
from streams.core.chunks import ChunkRule, PartitionChunker, read_block
from streams.core.decode import Record
from streams.core.layouts import Control, LayoutBook
from tests.streams.core.builders import MINUTE, NOW, T0, cut_after, frame, records, single


def chunker(rule: ChunkRule = ChunkRule(), control: Control | None = None) -> PartitionChunker:  # noqa: B008
    return PartitionChunker("predictions", 0, "predictions", LayoutBook(control or Control()), rule)


def rows_of(summaries: list[dict]) -> Counter[tuple[str, str, str, int]]:
    found: Counter[tuple[str, str, str, int]] = Counter()
    for summary in summaries:
        for record in summary["blocks"]:
            block = read_block(record)
            for segment, pane, rows in zip(block.segments, block.panes, block.rows, strict=True):
                found[summary["model"], record["version"], segment, int(pane)] += int(rows)
    return found


def test_an_open_chunk_is_described_by_a_provisional_summary():
    c = chunker()
    assert list(c.feed(records([single(T0, 1.0), single(T0 + MINUTE, 2.0)]))) == []
    (summary,) = c.provisional(caught_up=True)
    assert not summary["sealed"]
    assert (summary["first_offset"], summary["next_offset"]) == (0, 2)
    assert rows_of([summary]) == {("m", "v1", "", T0): 1, ("m", "v1", "", T0 + MINUTE): 1}


def test_a_provisional_summary_is_published_again_only_when_something_changed():
    c = chunker()
    list(c.feed(records([single(T0, 1.0)])))
    assert c.provisional(caught_up=True)
    assert c.provisional(caught_up=True) == []


def test_a_chunk_is_cut_after_so_many_rows_whatever_the_fetches_were():
    values = [single(T0 + i, float(i)) for i in range(10)]
    whole = [cut for c in [chunker(cut_after(4))] for cut in c.feed(records(values))]
    pieces, c = [], chunker(cut_after(4))
    for i, value in enumerate(values):
        pieces += list(c.feed(records([value], i)))
    assert [c.next_offset for c in whole] == [c.next_offset for c in pieces] == [4, 8]
    assert [rows_of(c.summaries) for c in whole] == [rows_of(c.summaries) for c in pieces]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1)), min_size=1, max_size=40), st.integers(1, 7))
def test_a_chunk_has_one_summary_a_model_with_its_versions_in_order_however_its_rows_came(
    events: list[tuple[int, int]], run: int
):
    values = [
        single(T0 + i, float(i), model=f"m{model}", version=f"v{version}")
        for i, (model, version) in enumerate(events)
    ]
    c = chunker(ChunkRule(offsets=len(values)))
    cuts = [cut for at in range(0, len(values), run) for cut in c.feed(records(values[at : at + run], at))]
    (cut,) = cuts
    expected = sorted(set(events))
    assert [
        (summary["model"], block["version"]) for summary in cut.summaries for block in summary["blocks"]
    ] == [(f"m{model}", f"v{version}") for model, version in expected]
    assert len(cut.summaries) == len({model for model, _ in events})
    assert rows_of(cut.summaries) == Counter((f"m{m}", f"v{v}", "", T0) for m, v in events)


def test_a_gap_of_ten_million_offsets_costs_one_cut():
    values = [single(T0 + i, float(i)) for i in range(6)]
    beyond = [*records(values[:3]), *records(values[3:], 10_000_000)]
    c = chunker(cut_after(100, offsets=1000))
    cuts = list(c.feed(beyond))
    assert [cut.next_offset for cut in cuts] == [10_000_001]
    assert sum(rows_of(cuts[0].summaries).values()) == 4
    assert sum(rows_of(c.provisional(caught_up=True)).values()) == 2


def test_a_worker_that_starts_again_from_the_commit_makes_the_same_bytes():
    values = [frame([T0 + i, T0 + MINUTE * i], [i, -i], ["JFK", "EWR"]) for i in range(9)]
    first = chunker(cut_after(6))
    cuts = list(first.feed(records(values)))
    again = chunker(cut_after(6))
    again.start_at(cuts[0].next_offset)
    repeated = list(again.feed(records(values)[cuts[0].next_offset :]))
    assert [c.next_offset for c in repeated] == [c.next_offset for c in cuts[1:]]
    assert [c.summaries for c in repeated] == [c.summaries for c in cuts[1:]]


def test_records_that_were_taken_already_are_skipped():
    c = chunker()
    list(c.feed(records([single(T0, 1.0), single(T0, 2.0)])))
    list(c.feed(records([single(T0, 2.0), single(T0, 3.0)], 1)))
    assert sum(rows_of(c.provisional(caught_up=True)).values()) == 3


def test_segments_are_counted_beside_all_traffic():
    control = Control()
    control.set_monitor(MonitorSpec("m", segments=("origin",)))
    c = chunker(control=control)
    list(c.feed(records([frame([T0, T0, T0], [1, 2, 3], ["JFK", "EWR", None])])))
    assert rows_of(c.provisional(caught_up=True)) == {
        ("m", "v1", "", T0): 3,
        ("m", "v1", "origin=JFK", T0): 1,
        ("m", "v1", "origin=EWR", T0): 1,
    }


def test_a_flood_of_segment_values_shares_one_segment():
    control = Control()
    control.set_monitor(MonitorSpec("m", segments=("origin",), max_segments=3))
    c = chunker(control=control)
    list(c.feed(records([frame([T0] * 100, [0.0] * 100, [f"o{i}" for i in range(100)])])))
    found = rows_of(c.provisional(caught_up=True))
    assert found["m", "v1", "origin=(other)", T0] == 97
    assert len(found) == 5


def test_two_models_of_one_partition_have_a_summary_each():
    c = chunker()
    list(c.feed(records([single(T0, 1.0, model="a"), single(T0, 1.0, model="b")])))
    assert [s["model"] for s in c.provisional(caught_up=True)] == ["a", "b"]


def test_a_clock_far_ahead_does_not_carry_the_watermark_with_it():
    c = chunker(ChunkRule(max_future_skew_us=5 * MINUTE))
    list(c.feed([Record(0, T0, single(T0 + 24 * 60 * MINUTE, 1.0))]))
    assert c.provisional(caught_up=True)[0]["max_ts"] == T0 + 5 * MINUTE


POISON = {
    "empty": b"",
    "alien_bytes": b"\xde\xad\xbe\xef" * 4,
    "truncated": single(T0, 1.0)[:-3],
    "trailing_bytes": single(T0, 1.0) + b"!",
    "unknown_schema": b"\xc3\x01" + b"\x00" * 20,
    "wrong_contract": b'{"type": "label", "event_id": "e", "model": "m", "ts": 1}',
    "bad_json": b"{" * 50_000,
    "bad_field": b'{"event_id": "e", "model": "m", "version": "v1", "ts": 1700000000000000, "numeric": [{"name": "x", "value": "1"}]}',
    "bad_timestamp": single(253_370_764_800_000_000, 1.0),  # year 9999
    "empty_model": single(T0, 1.0, model=""),
}


@pytest.mark.parametrize("reason", POISON)
def test_poison_is_a_dead_letter_and_its_neighbours_are_untouched(reason: str):
    c = chunker()
    list(c.feed(records([single(T0, 1.0), POISON[reason], single(T0, 2.0)])))
    assert [(d.offset, d.reason, d.events) for d in c.dead] == [(1, reason, 1)]
    assert c.dead[0].value == POISON[reason]
    (summary,) = c.provisional(caught_up=True)
    assert sum(rows_of([summary]).values()) == 2
    block = read_block(summary["blocks"][0])
    x = [block.layout.columns[i].name for i in block.layout.numeric].index("x")
    assert block.moments[0, x].tolist() == [1.5, 0.5, 1.0, 2.0]


def test_bad_rows_of_a_frame_are_dead_and_the_others_are_counted():
    c = chunker()
    list(c.feed(records([frame([T0, 5, NOW + 10 * 24 * 60 * MINUTE], [1, 2, 3])])))
    assert [(d.reason, d.events) for d in c.dead] == [("bad_timestamp", 2)]
    assert sum(rows_of(c.provisional(caught_up=True)).values()) == 1


def test_nan_is_missing_and_infinity_is_invalid():
    c = chunker()
    list(c.feed(records([frame([T0] * 4, [1.0, np.nan, np.inf, -np.inf])])))
    block = read_block(c.provisional(caught_up=True)[0]["blocks"][0])
    x = block.layout.slice_of(block.layout.index["feature/x"])
    assert block.counts[0, x][:2].tolist() == [1, 2]


def test_a_million_categories_take_one_slot_and_are_estimated():
    c = chunker(cut_after(1 << 30))
    for start in range(0, 50_000, 5_000):
        names = [f"user-{i}" for i in range(start, start + 5_000)]
        list(c.feed(records([frame([T0] * 5_000, [0.0] * 5_000, names)], start // 5_000)))
    block = read_block(c.provisional(caught_up=True)[0]["blocks"][0])
    origin = block.layout.slice_of(block.layout.index["feature/origin"])
    assert block.counts[0, origin].tolist() == [0, 50_000]


events = st.lists(
    st.tuples(
        st.integers(0, 20),
        st.one_of(st.floats(-100, 100), st.just(float("nan"))),
        st.sampled_from(["JFK", "EWR", "LGA"]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(events, st.integers(1, 17), st.data())
def test_any_batching_counts_what_a_loop_over_the_events_counts(all_events, rows_per_chunk, data):
    control = Control()
    control.set_monitor(MonitorSpec("m", segments=("origin",)))
    c = chunker(cut_after(rows_per_chunk), control)
    summaries, offset, left = [], 0, list(all_events)
    while left:
        size = data.draw(st.integers(1, len(left)))
        batch, left = left[:size], left[size:]
        value = frame(
            [T0 + m * MINUTE for m, _, _ in batch], [x for _, x, _ in batch], [o for _, _, o in batch]
        )
        for cut in c.feed(records([value], offset)):
            summaries += cut.summaries
        offset += 1
    naive: Counter[tuple[str, str, str, int]] = Counter()
    for minute, _, origin in all_events:
        naive["m", "v1", "", T0 + minute * MINUTE] += 1
        naive["m", "v1", f"origin={origin}", T0 + minute * MINUTE] += 1
    assert rows_of([*summaries, *c.provisional(caught_up=True)]) == naive
