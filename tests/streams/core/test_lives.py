"""A log that begins anew has other events at offsets that were counted: what a topic holds that was deleted and made again."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.monitor import MonitorSpec
from seawall.wire import decode, encode
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.lives import REMEMBERED, Beginning, Lives, LogName
from streams.core.registry import RegistryView
from streams.core.reports import window_rows
from streams.core.state import claim_of, restore, save
from streams.core.tally import Tally, is_news
from streams.core.watermark import Partition, Watermarks
from tests.streams.core.builders import MINUTE, T0, records, single

P0 = Partition("predictions", 0)
MODELS = ("busy", "quiet")
CUT = 5
"""Offsets of a chunk: few, so that chunks of one life begin where those of another do."""
A_DAY = 24 * 60 * MINUTE


class Log:
    """One partition's log, in one life of its topic."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        """Model and minute, by offset."""
        self.committed = 0
        self.told = 0
        """Offset before which all was told of while the log lived."""


class Reader:
    """A worker's share of a log; it begins with a word about where."""

    def __init__(self, bus: Bus, log: Log, name: LogName) -> None:
        self.bus, self.log = bus, log
        book = LayoutBook(bus.control)
        rule = ChunkRule(offsets=CUT)
        self.chunker = PartitionChunker("predictions", 0, "predictions", book, rule, None, 1, name)
        self.chunker.start_at(log.committed)
        bus.take(self.chunker.progress(caught_up=False))

    def read(self, *, commits: bool = True) -> None:
        first = self.chunker.next_offset
        values = [single(T0 + minute * MINUTE, 1.0, model=model) for model, minute in self.log.events[first:]]
        for cut in self.chunker.feed(records(values, first, timestamp_us=T0 + A_DAY)):
            for summary in cut.summaries:
                self.bus.take(summary)
            if commits:
                self.log.committed = max(self.log.committed, cut.next_offset)
        for summary in self.chunker.provisional(caught_up=True):
            self.bus.take(summary)
        self.bus.take(self.chunker.progress(caught_up=True))
        if self.chunker.log == self.bus.name:
            self.log.told = max(self.log.told, self.chunker.next_offset)


class Bus:
    """The log of the day, those before it, who reads them, and who reads what they say."""

    def __init__(self, grace_us: int = 100_000 * MINUTE) -> None:
        self.control = Control()
        for model in MODELS:
            spec = MonitorSpec(
                model, pane_us=MINUTE, horizons_us=(5 * MINUTE,), lateness_us=0, grace_us=grace_us
            )
            self.control.set_monitor(spec)
        self.engine = self._new_engine()
        self.tally = Tally()
        self.offset = self.minute = 0
        self.rows: Counter[tuple[str, int]] = Counter()
        self.late: dict[tuple[Any, ...], int] = {}
        """Late rows as the store has them: the last one of each key."""
        self.strange = self.torn = 0
        self.said: list[dict[str, Any]] = []
        self.name, self.log = LogName(0, "A"), Log()
        self.logs = [self.log]
        self.owner = Reader(self, self.log, self.name)
        self.zombies: list[Reader] = []

    def _new_engine(self) -> PartitionEngine:
        marks = Watermarks({"predictions": "predictions"}, replay=True)
        return PartitionEngine(self.control, RegistryView(), marks)

    def write(self, models: str, minute: int | None = None) -> None:
        """Append an event of each model: ``b`` or ``q``."""
        for letter in models:
            self.minute += 1
            model = MODELS["bq".index(letter)]
            self.log.events.append((model, self.minute if minute is None else minute))

    def replace_owner(self) -> None:
        """The partition goes to another worker, and the one that had it does not know yet."""
        self.zombies.append(self.owner)
        self.owner = Reader(self, self.log, self.name)

    def begin(self, name: LogName) -> None:
        """The topic is made again, under another name."""
        self.name, self.log = name, Log()
        self.logs.append(self.log)
        self.replace_owner()

    def go_on(self, name: LogName) -> None:
        """The same log is read under another name."""
        self.name = name
        self.replace_owner()

    def take(self, summary: dict[str, Any]) -> None:
        self.said.append(summary)
        plain = decode(encode("chunk_summary", summary), ("chunk_summary",))[1]
        news = is_news(self.engine, plain, self.offset)
        effects = self.engine.on_record(plain, self.offset, T0 + A_DAY + self.offset * 40_000_000)
        self.offset += 1
        if news:
            self.tally.take(plain, effects.late_rows)
        self.torn += effects.torn_chunks
        self.strange += effects.strange_chunks
        for report in effects.reports:
            for late in report["late"]:
                key = (report["model"], late["version"], late["pane_start"], late["partition"])
                self.late[*key, late["first_offset"]] = late["rows"]
            if report["horizon_us"] == MINUTE and report["windows"]:
                found = window_rows(report)
                for end, rows in zip(found["end"], found["rows"], strict=True):
                    self.rows[report["model"], (int(end) - T0) // MINUTE - 1] = int(rows)

    def restart(self) -> None:
        """The reader of summaries starts again from what was saved."""
        stages = save(self.engine, self.offset - 1, claim_of(1, "a"))
        self.engine = self._new_engine()
        restore(self.engine, {key: value for stage in stages for key, value in stage if value})

    @property
    def counted(self) -> dict[tuple[str, int], int]:
        """Rows by model and minute, when all that is left has been read."""
        self.owner.read()
        self.owner.read()
        return {at: rows for at, rows in self.rows.items() if rows}

    @property
    def naive(self) -> dict[tuple[str, int], int]:
        """What each log held, as far as it was told of while it was the log of the day."""
        return dict(Counter(event for log in self.logs for event in log.events[: log.told]))


NEW_NAMES = [LogName(1, ""), LogName(0, "B"), LogName(1, "B")]


@pytest.mark.parametrize("name", NEW_NAMES, ids=str)
@pytest.mark.parametrize("before", [0, 3, 5, 12], ids="{} before".format)
@pytest.mark.parametrize("after", [1, 4, 5, 30], ids="{} after".format)
def test_a_log_that_begins_anew_is_counted_from_its_beginning(name: LogName, before: int, after: int) -> None:
    bus = Bus()
    bus.write("b" * before)
    bus.owner.read()
    bus.begin(name)
    bus.write("b" * after)
    bus.restart()
    assert bus.counted == bus.naive
    assert sum(bus.counted.values()) == before + after
    assert (bus.torn, bus.strange, bus.late) == (0, 0, {})
    assert bus.tally.counted["predictions"] == before + after


@pytest.mark.parametrize("before", range(12))
def test_a_log_that_goes_on_while_the_epoch_is_raised_is_counted_once(before: int) -> None:
    """The epoch is raised for another topic's sake."""
    bus = Bus()
    bus.write("b" * before)
    bus.owner.read()
    bus.go_on(LogName(1, "A"))
    bus.write("bbb")
    bus.restart()
    assert bus.counted == bus.naive
    assert (bus.torn, bus.strange) == (0, 0)


@pytest.mark.parametrize("before", range(CUT, 3 * CUT))
def test_a_log_that_is_copied_with_the_groups_offsets_is_counted_once(before: int) -> None:
    """The copy of a topic has another id, and its records the same offsets."""
    bus = Bus()
    bus.write("b" * before)
    bus.owner.read()
    bus.go_on(LogName(0, "copy"))
    bus.write("bbb")
    assert bus.counted == bus.naive
    assert (bus.torn, bus.strange) == (0, 0)


def test_a_log_that_was_cut_short_is_counted_on_from_where_a_person_says() -> None:
    bus = Bus()
    bus.write("b" * 12)
    bus.owner.read()
    kept = bus.log.events[:8]
    bus.log.events, bus.log.committed = list(kept), 8
    bus.write("bbb")
    bus.go_on(LogName(1, "A"))
    assert bus.counted == {("busy", minute): 1 for minute in range(1, 16)}
    assert (bus.torn, bus.strange) == (0, 0)


def test_a_log_that_was_cut_short_after_its_last_cut_is_counted_as_it_is_now() -> None:
    bus = Bus()
    bus.write("b" * 14)
    bus.owner.read()
    del bus.log.events[12:]
    bus.write("bbbb")
    bus.replace_owner()
    assert bus.counted == {("busy", minute): 1 for minute in range(1, 19) if minute not in {13, 14}}


def test_what_a_zombie_says_of_a_log_that_is_over_is_ignored() -> None:
    bus = Bus()
    bus.write("bbbbbbb")
    bus.owner.read()
    said = list(bus.said)
    bus.write("bbbbbbbb")
    bus.begin(LogName(0, "B"))
    bus.write("bb")
    bus.owner.read()
    for summary in said:
        bus.take(summary)
    assert bus.strange == 0, "what it repeats was counted"
    bus.zombies[0].read(commits=False)
    assert bus.counted == bus.naive
    assert sum(bus.counted.values()) == 9
    assert bus.strange == 0


def test_it_is_told_when_the_epoch_is_lowered() -> None:
    bus = Bus()
    bus.go_on(LogName(2, "A"))
    bus.write("bb")
    bus.owner.read()
    bus.go_on(LogName(1, "A"))
    bus.write("b" * 4)
    bus.owner.read()
    assert bus.strange == 1


def test_it_is_told_when_the_log_of_the_day_is_taken_for_one_that_is_over() -> None:
    """Ids have no order: a zombie of a log that nobody had heard of would have to say so first."""
    bus = Bus()
    bus.write("bb")
    bus.owner.read()
    Reader(bus, Log(), LogName(0, "older"))
    bus.write("bbb")
    bus.owner.read()
    assert bus.strange == 1


def test_a_chunk_of_the_new_log_that_begins_where_an_open_one_of_the_old_did_is_another() -> None:
    """Chunks are cut at like places, and a model may have no event in those before."""
    bus = Bus()
    bus.write("bbbbbqqq")
    bus.owner.read()
    bus.begin(LogName(0, "B"))
    bus.write("bbbbbq")
    assert bus.counted == bus.naive
    assert bus.rows["quiet", 6] == 1


def test_a_log_that_begins_anew_under_the_same_name_is_told_of() -> None:
    bus = Bus()
    bus.write("b" * 20)
    bus.owner.read()
    bus.begin(LogName(0, "A"))
    bus.write("b" * 12)
    bus.owner.read()
    assert bus.strange == 3, "chunks, not pictures of them"
    assert bus.torn == 0


def test_chunks_that_are_told_again_are_not_strange() -> None:
    bus = Bus()
    bus.write("b" * 20)
    bus.owner.read()
    for summary in list(bus.said):
        bus.take(summary)
    bus.replace_owner()
    bus.write("b" * 12)
    bus.zombies[0].read(commits=False)
    bus.owner.read()
    assert (bus.strange, bus.torn) == (0, 0)


def test_partitions_whose_readers_give_other_epochs_are_each_counted() -> None:
    """Workers are replaced one by one."""
    lives = Lives()
    p1 = Partition("predictions", 1)
    assert lives.hear(P0, LogName(0, "A"), 0) == Beginning(0, 0)
    assert lives.hear(p1, LogName(0, "A"), 0) == Beginning(0, 0)
    assert lives.hear(P0, LogName(1, "A"), 40) == Beginning(1, 40)
    assert lives.hear(p1, LogName(0, "A"), 0) == Beginning(0, 0)
    assert lives.hear(P0, LogName(0, "A"), 0) is None


def test_a_reader_that_cannot_tell_a_topics_id_reads_the_log_of_the_day() -> None:
    lives = Lives()
    assert lives.hear(P0, LogName(3), 0) == Beginning(0, 0)
    assert lives.hear(P0, LogName(3, "A"), 9) == Beginning(0, 0)
    assert lives.hear(P0, LogName(3), 9) == Beginning(0, 0)
    assert lives.hear(P0, LogName(3, "B"), 5) == Beginning(1, 5)
    assert lives.hear(P0, LogName(3, "A"), 0) is None
    assert lives.hear(P0, LogName(2, "B"), 0) is None


def test_what_is_remembered_of_lives_has_a_bound_and_survives_a_restart() -> None:
    lives = Lives()
    for n in range(3 * REMEMBERED):
        assert lives.hear(P0, LogName(0, str(n)), n) == Beginning(n, n)
    (saved,) = lives.snapshot()
    assert len(saved[2]) == REMEMBERED
    again = Lives.restore([saved])
    last = 3 * REMEMBERED - 1
    assert again.hear(P0, LogName(0, str(last)), 0) == Beginning(last, last)
    assert again.hear(P0, LogName(0, str(last - 1)), 0) is None


def test_nothing_waits_for_the_rest_of_a_log_that_is_over() -> None:
    """Neither an open chunk nor a part of one: a model of which something is left is never forgotten."""
    bus = Bus()
    bus.write("bbq")
    bus.owner.read()
    part = next(s for s in bus.said if s["model"] == "quiet")
    bus.take({**part, "part": 0, "parts": 2, "digest": 7, "next_offset": 4})
    merge = bus.engine.models["quiet"].merge
    assert merge.open
    assert merge.waiting
    bus.begin(LogName(0, "B"))
    assert not merge.open
    assert not merge.waiting
    assert bus.counted == bus.naive


def test_late_events_of_two_lives_are_both_stored() -> None:
    bus = Bus(grace_us=0)
    for name in (LogName(0, "A"), LogName(0, "B")):
        if name != bus.name:
            bus.begin(name)
        bus.write("bb", minute=1000)
        bus.owner.read()
        bus.owner.read()
        bus.write("b", minute=1)
        bus.owner.read()
    late = [rows for (_, _, start, *_), rows in bus.late.items() if start == T0 + MINUTE]
    assert late == [1, 1]


def test_what_was_saved_before_a_log_could_begin_anew_is_of_its_first_life() -> None:
    bus = Bus()
    bus.write("b" * 7)
    bus.owner.read()
    (whole,) = [
        v for stage in save(bus.engine, bus.offset, "c") for k, v in stage if k.endswith(b"partition")
    ]
    assert b'"lives"' in whole
    bus.engine.lives = Lives()  # none were saved
    bus.restart()
    bus.name = LogName(7, "A")
    bus.replace_owner()
    bus.write("bb")
    assert bus.counted == bus.naive


def test_a_partition_whose_log_began_anew_is_at_its_end_when_it_says_so() -> None:
    marks = Watermarks({"predictions": "predictions"})
    marks.heard(P0, 1, T0, 600, caught_up=True, now_us=T0)
    marks.heard(P0, 1, T0, 10, caught_up=False, now_us=T0, life=1)
    marks.heard(P0, 1, T0, 20, caught_up=True, now_us=T0, life=1)
    assert marks.progress[P0].caught_up


STEPS = st.one_of(
    st.text("bq", min_size=1, max_size=9),
    st.sampled_from(["read", "read", "replace owner", "restart", "raise, and go on", "raise", "make again"]),
    st.integers(0, 9),  # a zombie reads
)


@settings(max_examples=150)
@given(st.lists(STEPS, max_size=30))
def test_every_event_of_every_life_is_counted_once_whatever_happens(steps: list[str | int]) -> None:
    bus = Bus()
    for step in steps:
        if isinstance(step, int):
            if step < len(bus.zombies):
                bus.zombies[step].read(commits=False)
        elif step == "read":
            bus.owner.read()
        elif step == "replace owner":
            bus.replace_owner()
        elif step == "restart":
            bus.restart()
        elif step == "raise, and go on":
            if not bus.name.topic_id and not bus.log.committed:
                continue  # nothing tells it from another log
            bus.owner.read()  # workers are stopped in order: what is sealed is committed
            bus.go_on(bus.name._replace(epoch=bus.name.epoch + 1))
        elif step == "raise":
            bus.begin(LogName(bus.name.epoch + 1))
        elif step == "make again":
            epoch = bus.name.epoch + (not bus.name.topic_id)
            bus.begin(LogName(epoch, f"{len(bus.logs)}"))
        else:
            bus.write(step)
    assert bus.counted == bus.naive
    assert not bus.late
    assert bus.torn == 0
