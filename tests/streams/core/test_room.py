"""Made-up segments and columns share a place, and every event is still counted once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.layout import MISSING
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.merge import ModelMerge
from streams.core.pool import MAX_SETS
from streams.core.registry import RegistryView
from streams.core.room import MAX_LAYOUTS
from streams.core.state import restore, save
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, NOW, T0, frame, records
from tests.streams.core.test_column_sets import written
from tests.streams.core.test_merge import SPEC, Log, steps, upto

FEW = replace(SPEC, max_segments=3)


def segments(merge: ModelMerge) -> set[str]:
    return {key[3].partition("=")[2] for key in merge.series if key[3]}


def test_the_first_values_of_a_model_stay_their_own_and_others_share_one():
    log = Log(FEW, partitions=1)
    for chunk in range(12):
        log.write(0, [chunk] * 6, "a" if chunk % 3 else f"user-{chunk}")
        log.read(0)
        log.publish(0)
    log.finish()
    assert segments(log.merge) == {"user-0", "a", "user-3", "(other)"}
    rows = Counter[str]()
    for (segment, width, _), (n, *_) in log.windows.items():
        rows[segment] += n if width == 1 else 0
    assert rows == {"": 72, "origin=a": 48, "origin=user-0": 6, "origin=user-3": 6, "origin=(other)": 12}


def test_a_value_that_was_not_seen_for_as_long_as_anything_is_kept_makes_room():
    log = Log(replace(FEW, grace_us=5 * MINUTE), partitions=1)
    for origin in "abcd":
        log.write(0, [0] * 6, origin)
    for minute in range(1, 60, 2):
        log.write(0, [minute] * 6, "a")
        log.read(0)
        log.publish(0)
    log.write(0, [60] * 6, "e")
    log.write(0, [70] * 6, "a")
    log.read(0)
    log.finish()
    rows = log.rows()
    assert rows["origin=(other)", 1, T0 + MINUTE] == 6
    assert rows["origin=e", 1, T0 + 61 * MINUTE] == 6


@settings(max_examples=60, deadline=None)
@given(steps, st.lists(st.sampled_from("abcdefgh"), min_size=60, max_size=60))
def test_under_crashes_replays_and_zombies_segments_add_up_to_the_whole(schedule, names):
    log, origins = Log(FEW), iter(names)
    minutes: list[int] = []
    for step in schedule:
        if step[0] == "write":
            log.write(step[1], step[2], next(origins))
            minutes += step[2]
        elif step[0] == "read":
            log.read(step[1], commit=step[2])
        elif step[0] == "publish":
            log.publish(step[1])
        elif step[0] == "crash":
            log.crash(step[1])
        elif log.messages:
            log.take(log.messages[step[1] % len(log.messages)])
    log.finish()
    if not minutes:
        return
    assert len(segments(log.merge) - {"(other)"}) <= 3
    whole, parts = Counter[Any](), Counter[Any]()
    for (segment, width, end), n in upto(log.rows(), T0 + (max(minutes) + 1) * MINUTE).items():
        (parts if segment else whole)[width, end] += n
    assert whole == parts
    panes = Counter(T0 + (minute + 1) * MINUTE for minute in minutes)
    assert {end: n for (width, end), n in whole.items() if width == 1} == panes


names = st.lists(
    st.tuples(st.integers(0, 3), st.frozensets(st.sampled_from("pqrstuvw"), min_size=1, max_size=8)),
    min_size=30,
    max_size=90,
)


@settings(max_examples=15, deadline=None)
@given(names)
def test_however_many_column_sets_come_they_share_few_layouts_and_no_value_is_lost(made):
    log = Log(replace(SPEC, segments=()), partitions=1)
    log.rule = ChunkRule(1 << 30, offsets=3)
    log.chunkers = [log.new_chunker(0)]
    # Every column is there before the sets are too many.
    made = [(0, frozenset("pqrstuvw")), *made]
    log.log[0] = [written((minute, "a", columns)) for minute, columns in made]
    log.read(0)
    log.finish()
    assert len(log.merge.series) <= MAX_SETS + 1 <= MAX_LAYOUTS
    rows, present = 0, Counter[str]()
    for series in log.merge.series.values():
        cells = series.dense(
            T0 // MINUTE,
            10,
            [p.cells[k] for p in log.merge.open.values() for k in p.cells if log.merge.series[k] is series],
        )
        rows += int(cells.rows.sum())
        for i, column in enumerate(series.layout.columns):
            counts = cells.counts[:, series.layout.slice_of(i)]
            present[column.name] += int(counts.sum() - counts[:, MISSING].sum())
    assert rows == len(made)
    assert +present == Counter(name for _, columns in made for name in ("origin", *columns))


def test_a_restart_from_saved_state_finds_the_same_places():
    control = Control()
    control.set_monitor(replace(FEW, grace_us=5 * MINUTE))

    def fresh() -> PartitionEngine:
        return PartitionEngine(
            control, RegistryView(), Watermarks({"predictions": "predictions"}, replay=True)
        )

    rng = np.random.default_rng(0)
    chunker = PartitionChunker("predictions", 0, "predictions", LayoutBook(control), ChunkRule(offsets=2))
    live, again = fresh(), fresh()
    stored: dict[bytes, bytes | None] = {}
    for minute in range(40):
        values = [frame([T0 + minute * MINUTE], [1.0], [f"o{rng.integers(12)}"])]
        made = [s for cut in chunker.feed(records(values, minute)) for s in cut.summaries]
        for at, summary in enumerate(
            [*made, *chunker.provisional(caught_up=True), chunker.progress(caught_up=True)]
        ):
            offset = minute * 10 + at
            live.on_record(summary, offset, NOW + offset)
            again.on_record(summary, offset, NOW + offset)
        stored.update(part for stage in save(again, offset, f"{minute:05}-a") for part in stage)
        again = fresh()
        assert restore(again, {k: v for k, v in stored.items() if v}) == offset
        kept = live.models["m"].merge
        assert {k for k in kept.series if kept._holds(k)} == set(again.models["m"].merge.series)
        assert len(segments(kept)) <= 4
