"""Names of models that somebody made up once are forgotten, in memory and on the bus; a model that returns is exact."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from seawall.frames import Columns
from streams.core.build_baseline import build_baseline
from streams.core.chunks import PartitionChunker
from streams.core.engine import DEPARTED, Effects, PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.log_clock import LogClock
from streams.core.registry import RegistryView
from streams.core.reports import window_rows
from streams.core.state import restore, save
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, T0, cut_after, frame, records, single
from tests.streams.core.folding import SPEC, whole

#: The defaults' longest horizon is a day, their grace an hour: a step is two hours, so that twenty are enough.
STEP = 120 * MINUTE
LONG = 20


class Log:
    """Single events of several models on one partition; each makes a sealed chunk and a report of progress."""

    def __init__(self) -> None:
        self.control = Control()
        self.control.set_monitor(replace(SPEC, segments=()))
        self.chunker = PartitionChunker(
            "predictions", 0, "predictions", LayoutBook(self.control), cut_after(1)
        )
        self.records: list[dict[str, Any]] = []

    def send(self, model: str, step: int) -> None:
        self.tell(single(T0 + step * STEP, 1.0, model=model))

    def tell(self, value: bytes) -> None:
        for cut in self.chunker.feed(records([value], self.chunker.next_offset)):
            self.records += cut.summaries
        self.records.append(self.chunker.progress(caught_up=True))

    def engine(self) -> PartitionEngine:
        # Workers speak every few seconds; here a record may be hours after the one before, and time passes all the same.
        marks = Watermarks({"predictions": "predictions"}, 30_000_000, clock=LogClock(STEP))
        return PartitionEngine(self.control, RegistryView(), marks)


def clock(offset: int) -> int:
    """Time of a record of the log: two are a step, a summary and the progress."""
    return T0 + offset * STEP // 2


def fold(e: PartitionEngine, log: list[dict[str, Any]], first: int = 0) -> Effects:
    out = Effects()
    for offset in range(first, len(log)):
        out.extend(e.on_record(log[offset], offset, clock(offset)))
    return out


def panes(effects: Effects, model: str) -> list[tuple[int, int]]:
    """Hours and rows of a model's own panes, in the order in which they were told."""
    found = []
    for report in effects.reports:
        if report["model"] == model and report["windows"] and report["horizon_us"] == MINUTE:
            rows = window_rows(report)
            found += [(int(end), int(n)) for end, n in zip(rows["end"], rows["rows"], strict=True) if n]
    return found


def late(effects: Effects, model: str) -> int:
    return sum(
        row["rows"] for report in effects.reports if report["model"] == model for row in report["late"]
    )


def once_and_again() -> Log:
    log = Log()
    log.send("once", 0)
    for step in range(1, LONG):
        log.send("m", step)
    log.send("once", LONG)
    for step in range(LONG + 1, 2 * LONG):
        log.send("m", step)
    return log


def test_a_model_without_traffic_or_a_monitor_is_forgotten_and_may_come_back() -> None:
    log, stored, seen = once_and_again(), {}, []
    live, told = log.engine(), Effects()
    for offset, record in enumerate(log.records):
        told.extend(live.on_record(record, offset, clock(offset)))
        stored.update(part for stage in save(live, offset, "1-a") for part in stage)
        seen.append("once" in live.models)
        on_the_bus = any(b"once" in key for key, value in stored.items() if value)
        assert on_the_bus == seen[-1]
        again = log.engine()
        assert restore(again, whole(stored)) == offset
        assert again.models.keys() == live.models.keys()
        assert again.departed == live.departed
    changes = [now for before, now in zip([False, *seen], seen, strict=False) if before != now]
    assert changes == [True, False, True, False]
    assert told.forgotten == ["once", "once"]
    assert len(panes(told, "once")) == 2
    assert "m" in live.models, "it has a monitor"


def test_what_is_read_again_from_any_save_forgets_and_tells_the_same() -> None:
    log = once_and_again()
    whole_story = fold(log.engine(), log.records)
    for saved in range(0, len(log.records), 3):
        first = log.engine()
        told = fold(first, log.records[: saved + 1])
        parts = {k: v for stage in save(first, saved, "1-a") for k, v in stage if v}
        second = log.engine()
        assert restore(second, parts) == saved
        told.extend(fold(second, log.records, saved + 1))
        assert told.forgotten == whole_story.forgotten
        assert panes(told, "once") == panes(whole_story, "once")


def test_an_event_of_long_ago_is_late_although_its_model_was_forgotten() -> None:
    log = Log()
    log.send("once", 0)
    for step in range(1, LONG):
        log.send("m", step)
    log.send("once", 0)
    log.send("m", LONG)
    told = fold(log.engine(), log.records)
    assert told.forgotten[:1] == ["once"]
    assert late(told, "once") == 1
    assert len(panes(told, "once")) == 1, "the window that is stored is not replaced by what came late"


def test_a_chunk_of_a_forgotten_model_that_is_told_again_is_not_counted_again() -> None:
    log = Log()
    log.send("once", 0)
    again = list(log.records)
    for step in range(1, LONG):
        log.send("m", step)
    log.records += again
    log.send("m", LONG)
    told = fold(log.engine(), log.records)
    assert told.forgotten == ["once", "once"]
    assert late(told, "once") == 0
    assert len(panes(told, "once")) == 1


def test_the_memory_of_who_was_forgotten_is_bounded() -> None:
    e = Log().engine()
    for n in range(DEPARTED + 50):
        e.state(f"made-up-{n}")
        e.forget(f"made-up-{n}")
    assert len(e.departed) == DEPARTED
    assert not e.models


def test_a_model_that_nobody_declared_has_defaults_that_are_not_kept() -> None:
    control = Control()
    assert control.monitor("made-up").model == "made-up"
    assert control.monitors == {}


def test_the_alarm_of_a_silent_model_that_nobody_declared_ends_with_the_model() -> None:
    log = Log()
    rng = np.random.default_rng(1)
    usual = Columns(
        "predictions", "once", "v1", T0 + np.arange(2000) * MINUTE, numeric={"x": rng.normal(size=2000)},
        scores={"score": np.full(2000, 0.5)},
    )  # fmt: skip
    log.control.set_baseline(build_baseline(usual, model="once", version="v1", now_us=0))
    log.tell(frame([T0 + i * MINUTE // 10 for i in range(600)], [50.0] * 600, model="once"))
    for step in range(1, 2 * LONG):
        log.send("m", step)
    whole_story = fold(log.engine(), log.records)
    assert whole_story.forgotten == ["once"]
    told = [a for a in whole_story.alarms if a.kind == "drift"]
    assert next(a.state for a in told) == "open"
    (end,) = [a for a in told if a.state == "resolved"]
    assert end.alarm_id == told[0].alarm_id
    assert end.summary.endswith(
        "the model has been silent for longer than any window looks back, and nobody declared it"
    )
    assert end.resolved_us > T0 + 24 * 60 * MINUTE
    for saved in range(0, len(log.records), 7):
        first = log.engine()
        alarms = fold(first, log.records[: saved + 1]).alarms
        parts = {k: v for stage in save(first, saved, "1-a") for k, v in stage if v}
        second = log.engine()
        assert restore(second, parts) == saved
        assert alarms + fold(second, log.records, saved + 1).alarms == whole_story.alarms
