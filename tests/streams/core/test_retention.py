"""Records that retention takes before anybody could seal them: counted once by whoever read them, and never twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seawall.monitor import MonitorSpec
from seawall.wire import decode, encode
from streams.core.chunks import PartitionChunker
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.reports import window_rows
from streams.core.state import claim_of, restore, save
from streams.core.tally import Tally, is_news
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, T0, cut_after, records, single

SPEC = MonitorSpec(
    "m",
    pane_us=MINUTE,
    horizons_us=(5 * MINUTE,),
    lateness_us=0,
    grace_us=100_000 * MINUTE,
    segments=("origin",),
)
A_DAY = 24 * 60 * MINUTE


class Kept:
    """One partition of a topic with retention, its owners, and the reader of what they publish.

    `keeps_offsets`: the place where the first owner began, and each cut, are committed; without, nothing ever is.
    """

    def __init__(self, spec: MonitorSpec = SPEC, cut: int = 1000, *, keeps_offsets: bool = True) -> None:
        self.spec = spec
        self.control = Control()
        self.control.set_monitor(spec)
        self.rule = cut_after(cut)
        self.keeps_offsets = keeps_offsets
        self.log: list[int] = []
        self.begins = 0
        self.committed: int | None = None
        self.told: set[int] = set()
        """Offsets that were in a picture."""
        self.offset = 0
        self.engine = self.new_engine()
        self.tally = Tally()
        self.rows: Counter[int] = Counter()
        self.late: Counter[tuple[int, int]] = Counter()
        self.torn = 0
        self.own()

    def new_engine(self) -> PartitionEngine:
        marks = Watermarks({"predictions": "predictions"}, replay=True)
        return PartitionEngine(self.control, RegistryView(), marks)

    def own(self) -> None:
        """Let a new owner begin, as `Ingest` does."""
        self.chunker = PartitionChunker(
            "predictions", 0, "predictions", LayoutBook(self.control), self.rule, None, 1
        )
        if self.keeps_offsets:
            self.committed = self.begins if self.committed is None else self.committed
            self.chunker.start_at(self.committed)

    def write(self, minutes: Sequence[int]) -> None:
        self.log += minutes

    def expire(self, upto: int) -> None:
        self.begins = max(self.begins, min(upto, len(self.log)))

    def read(self) -> None:
        """Read to the end of the log, and publish."""
        first = max(self.begins, self.chunker.next_offset)
        values = [single(T0 + minute * MINUTE, 1.0) for minute in self.log[first:]]
        for cut in self.chunker.feed(records(values, first, timestamp_us=T0 + A_DAY)):
            for summary in cut.summaries:
                self.take(summary)
            if self.keeps_offsets:
                self.committed = cut.next_offset
        for summary in self.chunker.provisional(caught_up=True):
            self.take(summary)
        self.take(self.chunker.progress(caught_up=True))
        self.told |= set(range(first, len(self.log)))

    def take(self, summary: dict[str, Any]) -> None:
        plain = decode(encode("chunk_summary", summary), ("chunk_summary",))[1]
        news = is_news(self.engine, plain, self.offset)
        effects = self.engine.on_record(plain, self.offset, T0 + A_DAY + self.offset * 40_000_000)
        self.offset += 1
        if news:
            self.tally.take(plain, effects.late_rows)
        self.torn += effects.torn_chunks
        for report in effects.reports:
            for late in report["late"]:
                self.late[late["first_offset"], late["pane_start"]] = late["rows"]
            if report["horizon_us"] == MINUTE and report["segment"] == "" and report["windows"]:
                found = window_rows(report)
                for end, rows in zip(found["end"], found["rows"], strict=True):
                    self.rows[(int(end) - T0) // MINUTE - 1] = int(rows)

    def restart(self) -> None:
        """The reader of summaries starts again from what was saved."""
        stages = save(self.engine, self.offset - 1, claim_of(1, "a"))
        self.engine = self.new_engine()
        restore(self.engine, {key: value for stage in stages for key, value in stage if value})

    def finish(self) -> None:
        """Close all panes."""
        for _ in range(2):
            self.take(self.chunker.progress(caught_up=True))

    @property
    def counted(self) -> dict[int, int]:
        return {minute: rows for minute, rows in self.rows.items() if rows}


@pytest.mark.parametrize("keeps_offsets", [True, False])
def test_what_retention_took_of_a_chunk_that_never_filled_stays_counted_once(keeps_offsets: bool) -> None:
    kept = Kept(keeps_offsets=keeps_offsets)
    kept.write(range(100))
    kept.read()
    for expired in (20, 50, 100):
        kept.expire(expired)
        kept.own()
        kept.read()
        kept.restart()
        kept.write([len(kept.log)])
        kept.read()
    kept.finish()
    assert kept.counted == dict.fromkeys(range(103), 1)
    assert not kept.late
    assert kept.tally.counted["predictions"] <= 103 or not keeps_offsets


def test_a_chunk_that_lost_its_beginning_is_sealed_with_it() -> None:
    kept = Kept(cut=50)
    kept.write(range(40))
    kept.read()
    kept.expire(30)
    kept.own()
    kept.write(range(40, 200))
    kept.read()
    kept.own()
    kept.read()
    kept.finish()
    assert kept.counted == dict.fromkeys(range(200), 1)
    assert kept.torn == 0


def test_when_everything_that_was_read_is_gone_what_comes_is_added_to_it() -> None:
    kept = Kept()
    kept.write([0, 1, 1])
    kept.read()
    kept.write([1] * 5)  # nobody reads these in time
    kept.expire(8)
    kept.own()
    kept.write([1, 2])
    kept.read()
    kept.finish()
    assert kept.counted == {0: 1, 1: 3, 2: 1}


def test_a_chunk_that_was_sealed_but_never_committed_is_not_made_twice_when_its_beginning_is_gone() -> None:
    kept = Kept(cut=50)
    kept.write(range(60))
    kept.read()
    kept.committed = 0  # the worker was killed before it could commit
    kept.expire(50)
    kept.own()
    kept.read()
    kept.finish()
    assert kept.counted == dict.fromkeys(range(60), 1)
    assert kept.torn == 0


def test_offsets_that_expired_make_nobody_count_an_open_chunk_again() -> None:
    kept = Kept(cut=50)
    kept.write(range(80))
    kept.read()
    kept.committed = None  # the group was away for longer than the broker keeps its offsets
    kept.expire(55)
    kept.own()
    kept.read()
    kept.write(range(80, 200))
    kept.read()
    kept.finish()
    assert kept.counted == dict.fromkeys(range(200), 1)


def test_events_that_were_final_before_their_records_expired_are_not_late() -> None:
    spec = MonitorSpec("m", pane_us=MINUTE, horizons_us=(5 * MINUTE,), lateness_us=0, grace_us=10 * MINUTE)
    for keeps_offsets in (True, False):
        kept = Kept(spec, keeps_offsets=keeps_offsets)
        kept.write(range(100))
        kept.read()
        kept.expire(20)
        kept.own()
        kept.write([30, 30, 100])  # two that are late indeed
        kept.read()
        kept.expire(60)
        kept.own()
        kept.read()
        kept.restart()
        kept.write([101])
        kept.read()
        kept.finish()
        assert kept.counted == dict.fromkeys(range(102), 1)
        assert sum(kept.late.values()) == 2


moves = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.lists(st.integers(0, 6), min_size=1, max_size=9)),
        st.tuples(st.just("read"), st.none()),
        st.tuples(st.just("expire"), st.integers(0, 30)),
        st.tuples(st.just("own"), st.none()),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("forget"), st.none()),
    ),
    max_size=30,
)


def play(kept: Kept, drawn: Sequence[tuple[str, Any]], minute_of: Any) -> None:
    for what, value in drawn:
        if what == "write":
            kept.write([minute_of(len(kept.log) + i, minute) for i, minute in enumerate(value)])
        elif what == "expire":
            kept.expire(kept.begins + value)
        elif what == "forget":
            kept.committed = None
        elif what != "restart" or kept.offset:
            getattr(kept, what)()
    kept.own()
    kept.read()
    kept.finish()


@settings(max_examples=120, deadline=None)
@given(moves, st.booleans(), st.sampled_from([5, 12, 1000]))
@example([("write", [0] * 9), ("read", None), ("expire", 4), ("own", None), ("write", [0] * 9)], False, 12)
def test_no_event_is_counted_twice_whatever_is_kept_of_log_and_offsets(
    drawn: list[tuple[str, Any]], keeps_offsets: bool, cut: int
) -> None:
    kept = Kept(cut=cut, keeps_offsets=keeps_offsets)
    play(kept, drawn, lambda _, minute: minute)
    sent = Counter(kept.log[offset] for offset in kept.told)
    assert all(rows <= sent[minute] for minute, rows in kept.counted.items())


@settings(max_examples=120, deadline=None)
@given(moves, st.sampled_from([5, 12, 1000]))
def test_every_event_that_was_ever_read_is_counted_once_where_offsets_are_kept(
    drawn: list[tuple[str, Any]], cut: int
) -> None:
    """Panes follow the log, so none has events before and after a stretch that two owners have read."""
    kept = Kept(cut=cut)
    play(kept, [move for move in drawn if move[0] != "forget"], lambda offset, _: offset)
    assert kept.counted == dict.fromkeys(sorted(kept.told), 1)
    assert kept.torn == 0
