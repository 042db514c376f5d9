"""No worker's clock makes anybody's events late, and time passes all the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.monitor import MonitorSpec
from seawall.wire import decode, encode
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.log_clock import LONGEST_STEP_US, LogClock
from streams.core.registry import RegistryView
from streams.core.state import claim_of, restore, save
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, T0, records, single

SECOND = 1_000_000
HOUR = 60 * MINUTE
SPEC = MonitorSpec("m", pane_us=MINUTE, horizons_us=(5 * MINUTE,), lateness_us=MINUTE, grace_us=HOUR)


class Cluster:
    """Partitions of one topic, each with an event a minute, and workers whose clocks are as far ahead as told."""

    def __init__(self, partitions: int = 1) -> None:
        self.control = Control()
        self.control.set_monitor(SPEC)
        self.engine = self.new_engine()
        self.chunkers = [
            PartitionChunker(
                "predictions", p, "predictions", LayoutBook(self.control), ChunkRule(), None, partitions
            )
            for p in range(partitions)
        ]
        self.offset = 0
        self.late = 0

    def new_engine(self) -> PartitionEngine:
        return PartitionEngine(self.control, RegistryView(), Watermarks({"predictions": "predictions"}))

    def take(self, summary: dict[str, Any], stamp_us: int) -> None:
        plain = decode(encode("chunk_summary", summary), ("chunk_summary",))[1]
        self.late += self.engine.on_record(plain, self.offset, stamp_us).late_rows
        self.offset += 1

    def run(
        self, minutes: range, ahead_us: Callable[[int, int], int] = lambda p, m: 0, *, events: bool = True
    ) -> None:
        """Let minutes pass; `ahead_us` is of the clock of a partition's worker, in each of them."""
        for minute in minutes:
            now_us = T0 + minute * MINUTE
            for p, chunker in enumerate(self.chunkers):
                stamp_us = now_us + ahead_us(p, minute)
                if events:
                    value = single(now_us, 1.0)
                    list(chunker.feed(records([value], chunker.next_offset, timestamp_us=now_us)))
                for summary in chunker.provisional(caught_up=True):
                    self.take(summary, stamp_us)
                self.take(chunker.progress(caught_up=True), stamp_us)

    def restart(self) -> None:
        stages = save(self.engine, self.offset - 1, claim_of(1, "a"))
        self.engine = self.new_engine()
        restore(self.engine, {key: value for stage in stages for key, value in stage if value})

    @property
    def closed(self) -> int:
        return self.engine.models["m"].merge.closed_us["predictions"] // MINUTE - T0 // MINUTE


def test_one_record_of_a_clock_that_is_hours_ahead_makes_nothing_late() -> None:
    cluster = Cluster()
    cluster.run(range(30))
    cluster.run(range(30, 31), lambda p, m: 3 * HOUR, events=False)
    cluster.run(range(31, 150))
    assert cluster.late == 0
    assert cluster.closed == 148


@pytest.mark.parametrize("ahead_us", [3 * HOUR, -3 * HOUR])
@pytest.mark.parametrize("partitions", [1, 2, 3])
def test_a_worker_with_a_wrong_clock_takes_a_partition_and_gives_it_back(
    partitions: int, ahead_us: int
) -> None:
    cluster = Cluster(partitions)
    cluster.run(range(30))
    cluster.run(range(30, 300), lambda p, m: ahead_us if p == 0 else 0)
    cluster.restart()
    cluster.run(range(300, 400))
    assert cluster.late == 0
    assert cluster.closed == 398


def test_all_clocks_may_be_wrong_and_silence_lasts_as_long() -> None:
    """Nothing comes any more: event time passes at the pace of the wall clock."""
    right, wrong = Cluster(), Cluster()
    for cluster, ahead_us in ((right, 0), (wrong, 5 * HOUR)):
        cluster.run(range(30), lambda p, m, ahead_us=ahead_us: ahead_us)  # type: ignore[misc]
        cluster.run(range(30, 90), lambda p, m, ahead_us=ahead_us: ahead_us, events=False)  # type: ignore[misc]
    assert right.closed == wrong.closed == 88


def test_a_partition_that_is_idle_times_out_while_its_workers_clock_is_set() -> None:
    cluster = Cluster(2)
    cluster.run(range(30))
    silent = cluster.chunkers.pop()
    for minute in range(30, 60):
        ahead_us = HOUR if minute >= 40 else 0
        cluster.run(range(minute, minute + 1), lambda p, m, ahead_us=ahead_us: ahead_us)  # type: ignore[misc]
        cluster.take(silent.progress(caught_up=True), T0 + minute * MINUTE + ahead_us)
    assert cluster.closed == 58
    assert cluster.late == 0


def test_after_an_outage_of_all_workers_silence_begins_anew() -> None:
    """What producers sent meanwhile has yet to be read, or to come."""
    cluster = Cluster()
    cluster.run(range(30))
    cluster.run(range(300, 301), events=False)
    assert cluster.closed < 40
    chunker = cluster.chunkers[0]
    waited = single(T0 + 30 * MINUTE, 1.0)  # in its client, for all that time
    list(chunker.feed(records([waited], chunker.next_offset, timestamp_us=T0 + 301 * MINUTE)))
    for summary in chunker.provisional(caught_up=True):
        cluster.take(summary, T0 + 301 * MINUTE)
    assert cluster.late == 0
    cluster.run(range(301, 310))
    assert cluster.closed == 308


def test_records_that_are_read_again_move_no_time() -> None:
    stamps = [("t", k % 2, T0 + k * SECOND + (k % 3) * HOUR) for k in range(50)]
    clock = LogClock()
    for offset, (topic, partition, stamp_us) in enumerate(stamps):
        clock.hear(topic, partition, stamp_us, offset)
    again = LogClock()
    again.restore(clock.snapshot())
    for offset, (topic, partition, stamp_us) in enumerate(stamps):
        assert again.hear(topic, partition, stamp_us, offset) == clock.now_us
    assert again == clock


skews = st.sampled_from([0, 3 * HOUR, -3 * HOUR, 25 * HOUR])
steps = st.lists(
    st.tuples(st.integers(0, 2), st.one_of(st.none(), skews), st.integers(0, 5 * SECOND)), max_size=200
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_time_passes_no_faster_than_it_does_whoever_tells_it(
    drawn: list[tuple[int, int | None, int]],
) -> None:
    """Workers take partitions from one another, each with a clock of its own; no jump is time."""
    clock, true_us, ahead = LogClock(), T0, [0, 0, 0]
    clock.hear("t", 0, T0, 0)
    lost = 0
    for offset, (partition, taken_with, passed_us) in enumerate(drawn, 1):
        true_us += passed_us
        if taken_with is not None:
            lost += ahead[partition] != taken_with
            ahead[partition] = taken_with
        before = clock.now_us
        now_us = clock.hear("t", partition, true_us + ahead[partition], offset)
        assert before <= now_us <= true_us
    if not lost and {p for p, _, _ in drawn} == {0} and true_us - T0 < LONGEST_STEP_US:
        assert clock.now_us == true_us
