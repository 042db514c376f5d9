"""A partition that is stopped in the middle of a backlog holds nobody else up, and loses nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from seawall.monitor import MonitorSpec
from seawall.wire import decode, encode
from streams.core.chunks import PartitionChunker
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.reports import window_rows
from streams.core.state import claim_of, restore, save
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, T0, cut_after, records, single

SPEC = MonitorSpec(
    "m", pane_us=MINUTE, horizons_us=(5 * MINUTE,), lateness_us=2 * MINUTE, grace_us=240 * MINUTE
)
BACKLOG = 10
"""Minutes that were read of the partition that is stopped."""


class Pair:
    """Two partitions of one topic, and the engine that folds what is said of them. One event a minute in each."""

    def __init__(self, events_a_chunk: int = 1000) -> None:
        self.control = Control()
        self.control.set_monitor(SPEC)
        self.rule = cut_after(events_a_chunk)
        self.engine = self.new_engine()
        self.flowing, self.other = self.chunker(0), self.chunker(1)
        self.cut = 0
        self.offset = 0
        self.rows: Counter[int] = Counter()
        self.late = 0

    def new_engine(self) -> PartitionEngine:
        return PartitionEngine(self.control, RegistryView(), Watermarks({"predictions": "predictions"}))

    def chunker(self, partition: int, start: int = 0) -> PartitionChunker:
        made = PartitionChunker(
            "predictions", partition, "predictions", LayoutBook(self.control), self.rule, None, 2
        )
        made.start_at(start)
        return made

    def take(self, summary: dict[str, Any], now_us: int) -> None:
        plain = decode(encode("chunk_summary", summary), ("chunk_summary",))[1]
        effects = self.engine.on_record(plain, self.offset, now_us)
        self.offset += 1
        self.late += effects.late_rows
        for report in effects.reports:
            if report["horizon_us"] == MINUTE and report["segment"] == "" and report["windows"]:
                found = window_rows(report)
                for end, rows in zip(found["end"], found["rows"], strict=True):
                    self.rows[int(end)] = int(rows)

    def feed(self, chunker: PartitionChunker, minutes: range, now_us: int) -> None:
        values = [single(T0 + minute * MINUTE, 1.0) for minute in minutes]
        for cut in chunker.feed(records(values, minutes.start, timestamp_us=now_us)):
            for summary in cut.summaries:
                self.take(summary, now_us)
            self.cut = cut.next_offset if chunker is self.other else self.cut
        for summary in chunker.provisional(caught_up=False):
            self.take(summary, now_us)

    def begin(self) -> None:
        """Both partitions have a backlog; of one, ten minutes are read."""
        self.feed(self.flowing, range(BACKLOG), T0 + BACKLOG * MINUTE)
        self.feed(self.other, range(BACKLOG), T0 + BACKLOG * MINUTE)
        for chunker in (self.flowing, self.other):
            self.take(chunker.progress(caught_up=False), T0 + BACKLOG * MINUTE)

    def flow(self, minutes: range, *, resting: bool) -> None:
        """One partition goes on; of the other, it is said where its worker would start reading."""
        for minute in minutes:
            now_us = T0 + minute * MINUTE
            self.feed(self.flowing, range(minute, minute + 1), now_us)
            self.take(self.flowing.progress(caught_up=True), now_us)
            self.take(self.other.progress(caught_up=False, resting=resting), now_us)

    def stop(self) -> None:
        self.other = self.chunker(1, self.cut)

    @property
    def closed(self) -> int:
        return self.engine.models["m"].merge.closed_us["predictions"] // MINUTE - T0 // MINUTE

    def restart(self) -> None:
        """Another worker takes over from what was saved."""
        stages = save(self.engine, self.offset - 1, claim_of(1, "a"))
        self.engine = self.new_engine()
        restore(self.engine, {key: value for stage in stages for key, value in stage if value})


@pytest.mark.parametrize("events_a_chunk", [1000, 4])
def test_a_partition_that_is_stopped_with_a_backlog_holds_nobody_up(events_a_chunk: int) -> None:
    pair = Pair(events_a_chunk)
    pair.begin()
    pair.flow(range(BACKLOG, 60), resting=False)
    assert pair.closed == BACKLOG - 3  # there is more to read, and it is read
    pair.stop()
    pair.flow(range(60, 120), resting=True)
    assert pair.closed == 117


def test_whoever_restarts_the_reader_of_summaries_finds_it_resting() -> None:
    pair = Pair()
    pair.begin()
    pair.stop()
    pair.flow(range(BACKLOG, 60), resting=True)
    pair.restart()
    now_us = T0 + 60 * MINUTE
    pair.feed(pair.flowing, range(60, 61), now_us)
    pair.take(pair.flowing.progress(caught_up=True), now_us)
    assert pair.closed == 58


@pytest.mark.parametrize("events_a_chunk", [1000, 4])
def test_when_it_goes_on_everything_is_counted_once(events_a_chunk: int) -> None:
    pair = Pair(events_a_chunk)
    pair.begin()
    pair.stop()
    pair.flow(range(BACKLOG, 60), resting=True)
    assert pair.rows[T0 + 5 * MINUTE] == 2  # what was read before the stop counts while it lasts
    assert pair.rows[T0 + 30 * MINUTE] == 1
    pair.restart()
    now_us = T0 + 60 * MINUTE
    pair.feed(pair.other, range(pair.cut, 61), now_us)
    pair.flow(range(60, 70), resting=False)
    assert {end: pair.rows[end] for end in sorted(pair.rows)} == {
        T0 + minute * MINUTE: 2 for minute in range(1, 58 + 1)
    }
    assert pair.late == 0
    assert pair.closed == 58  # it holds the watermark again


def test_one_that_is_stopped_again_and_again_by_its_next_owners_stays_at_rest() -> None:
    pair = Pair()
    pair.begin()
    for hour in range(1, 4):
        pair.stop()
        pair.flow(range(hour * 60, hour * 60 + 1), resting=False)  # read for a moment, until it waits again
        pair.flow(range(hour * 60 + 1, hour * 60 + 30), resting=True)
        assert pair.closed == hour * 60 + 27


def test_in_a_replay_a_stopped_partition_is_waited_for_like_an_idle_one() -> None:
    """Its events are history when it goes on, and would all be late."""
    pair = Pair()
    pair.engine.watermarks.replay = True
    pair.begin()
    pair.stop()
    pair.flow(range(BACKLOG, 60), resting=True)
    assert pair.closed == BACKLOG - 3
    pair.take(pair.flowing.progress(caught_up=True), T0 + 60 * MINUTE)
    assert pair.closed == 60
