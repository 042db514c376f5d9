"""A decider that is killed anywhere, and starts again from what it saved, decides the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.frames import Columns
from seawall.monitor import MonitorSpec
from streams.core.build_baseline import build_baseline
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.engine import Effects, PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.reports import window_rows
from streams.core.state import claim_of, restore, save, superseded
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, T0, frame, records

SPEC = MonitorSpec(
    "m", pane_us=MINUTE, horizons_us=(4 * MINUTE,), lateness_us=MINUTE, grace_us=3 * MINUTE, segments=("origin",),
    min_rows=3, open_after=2, resolve_after=2,
)  # fmt: skip


def control() -> Control:
    rng = np.random.default_rng(1)
    made = Control()
    made.set_monitor(SPEC)
    reference = Columns(
        "predictions", "m", "v1", T0 + np.arange(2000) * MINUTE, numeric={"x": rng.normal(size=2000)},
        scores={"score": np.full(2000, 0.5)},
    )  # fmt: skip
    made.set_baseline(build_baseline(reference, model="m", version="v1", now_us=0))
    return made


CONTROL = control()


def engine() -> PartitionEngine:
    marks = Watermarks({"predictions": "predictions"}, 30_000_000, replay=True)
    return PartitionEngine(CONTROL, RegistryView(), marks)


def summaries(schedule: list[tuple[int, list[int], float]]) -> list[dict[str, Any]]:
    """A log of summaries of two partitions: frames of minutes, each with a value shifted by so much."""
    rng = np.random.default_rng(0)
    chunkers = [
        PartitionChunker("predictions", p, "predictions", LayoutBook(CONTROL), ChunkRule(rows=7), None, 2)
        for p in (0, 1)
    ]
    log: list[dict[str, Any]] = [c.progress(caught_up=True) for c in chunkers]
    for partition, minutes, shift in schedule:
        c = chunkers[partition]
        ts = [T0 + m * MINUTE for m in minutes]
        for cut in c.feed(records([frame(ts, rng.normal(shift, 1, len(ts)).tolist())], c.next_offset)):
            log += cut.summaries
        log += c.provisional(caught_up=True)
        log.append(c.progress(caught_up=True))
    return log


def outcome(effects: list[Effects]) -> tuple[Any, ...]:
    windows, late = {}, {}
    for report in (r for e in effects for r in e.reports):
        rows = window_rows(report) if report["windows"] else {"end": []}
        for w, end in enumerate(rows["end"]):
            key = (report["segment"], report["horizon_us"], int(end))
            windows[key] = (
                int(rows["rows"][w]),
                rows["counts"][w].tolist(),
                int(rows["verdict"][w]),
                int(rows["revision"][w]),
            )
        for event in report["late"]:
            late[event["partition"], event["first_offset"], event["pane_start"]] = event["rows"]
    alarms = {(s.alarm_id, s.revision): (s.state, s.updated_us, s.summary) for e in effects for s in e.alarms}
    return windows, late, alarms


def whole(stored: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    return {k: v for k, v in stored.items() if v}


def run(log: list[dict[str, Any]]) -> tuple[Any, ...]:
    e = engine()
    return outcome([e.on_record(summary, offset, T0 + offset) for offset, summary in enumerate(log)])


schedules = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.lists(st.integers(0, 25), min_size=1, max_size=8),
        st.sampled_from([0.0, 0.0, 6.0]),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=12, deadline=None)
@given(schedules, st.data())
def test_a_restart_from_saved_state_changes_nothing(schedule, data):
    log = summaries(schedule)
    stored: dict[bytes, bytes | None] = {}
    committed, offset, effects, starts = 0, 0, [], 1
    current = engine()
    while offset < len(log):
        effects.append(current.on_record(log[offset], offset, T0 + offset))
        event = data.draw(st.sampled_from(["go", "go", "save", "torn save", "kill"]))
        if event in ("save", "torn save"):
            parts = [part for stage in save(current, offset, claim_of(starts, "a")) for part in stage]
            written = len(parts) if event == "save" else data.draw(st.integers(0, len(parts) - 1))
            stored.update(parts[:written])
            if event == "save":
                committed = offset + 1
            else:
                event = "kill"
        if event == "kill":
            current = engine()
            starts += 1
            through = restore(current, whole(stored))
            assert through in (-1, committed - 1)
            offset = committed
            continue
        offset += 1
        if len(effects) > 4 * len(log) + 50:  # enough killing
            break
    effects += [current.on_record(log[rest], rest, T0 + rest) for rest in range(offset, len(log))]
    assert outcome(effects) == run(log)


class Owner:
    """One decider of a partition: the one that the group means, or one that has not heard that it was replaced."""

    def __init__(
        self, log: list[dict[str, Any]], stored: dict[bytes, bytes | None], start: int, generation: int
    ) -> None:
        self.log, self.stored = log, stored
        self.engine = engine()
        self.claim = claim_of(generation, "a")
        self.gone = superseded(whole(stored), self.claim)
        self.through = restore(self.engine, whole(stored))
        assert start <= self.through + 1  # what was committed is covered
        self.offset = start

    def go(self) -> list[Effects]:
        if self.offset == len(self.log):
            return []
        effects = self.engine.on_record(self.log[self.offset], self.offset, T0 + self.offset)
        self.through = max(self.through, self.offset)
        self.offset += 1
        return [effects]

    def save(self, parts: int | None = None) -> int:
        """Write everything, or the first `parts`; returns what may be committed."""
        listed = [part for stage in save(self.engine, self.through, self.claim) for part in stage]
        listed += [(key, None) for key in self.gone]
        self.stored.update(listed[:parts])
        self.gone = []
        return self.through + 1


@settings(max_examples=40, deadline=None)
@given(schedules, st.data())
def test_a_replaced_decider_that_goes_on_saving_harms_nothing(schedule, data):
    log = summaries(schedule)
    stored: dict[bytes, bytes | None] = {}
    committed, generation = 0, 1
    owner, zombie = Owner(log, stored, 0, 1), None
    effects: list[Effects] = []
    for _ in range(6 * len(log)):
        match data.draw(
            st.sampled_from(
                ["go", "go", "go", "save", "replace", "zombie goes", "zombie saves", "zombie dies"]
            )
        ):
            case "go":
                effects += owner.go()
            case "save":
                committed = max(committed, owner.save())
            case "replace":
                generation += 1
                zombie, owner = owner, Owner(log, stored, committed, generation)
            case "zombie goes" if zombie:
                effects += zombie.go()
            case "zombie saves" if zombie:
                zombie.save()
            case "zombie dies" if zombie:
                zombie.save(data.draw(st.integers(0, 6)))
                zombie = None
    last = Owner(log, stored, committed, generation + 1)
    while last.offset < len(log):
        effects += last.go()
    assert outcome(effects) == run(log)


def test_a_state_that_lost_a_part_is_no_state():
    e, log = engine(), summaries([(0, [0, 1, 2, 3, 4, 5, 6, 7], 0.0)])
    for offset, summary in enumerate(log):
        e.on_record(summary, offset, T0)
    parts = {k: v for stage in save(e, len(log) - 1, "1-a") for k, v in stage if v}
    assert restore(engine(), parts) == len(log) - 1
    for key in parts:
        assert restore(engine(), {k: v for k, v in parts.items() if k != key}) == -1, key


def test_the_state_that_reaches_furthest_is_taken_whoever_wrote_it():
    e, log = engine(), summaries([(0, [0, 1, 2], 0.0), (1, [3, 4], 0.0)])
    parts: dict[bytes, bytes] = {}
    for offset, summary in enumerate(log):
        e.on_record(summary, offset, T0)
        fresh = engine()
        for again in range(offset + 1):
            fresh.on_record(log[again], again, T0)
        claim = claim_of(100 - offset, "a")
        parts |= {k: v for stage in save(fresh, offset, claim) for k, v in stage if v}
    assert restore(engine(), parts) == len(log) - 1


def test_parts_of_a_later_assignment_are_not_deleted():
    keys = [
        b"0000000001-a\tmodel\tm",
        b"0000000001-a\tpartition",
        b"0000000002-b\tpartition",
        b"0000000003-c\tpartition",
    ]
    assert superseded(keys, "0000000002-z") == [keys[1], keys[2], keys[0]]


def test_a_drift_opens_an_alarm_and_its_end_resolves_it():
    minutes = [[m] * 8 for m in range(40)]
    log = summaries([(m[0] % 2, m, 6.0 if 10 <= m[0] < 20 else 0.0) for m in minutes])
    alarms = run(log)[2]
    assert next(state for state, _, _ in alarms.values()) == "open"
    assert [state for state, _, _ in alarms.values()][-1] == "resolved"
    assert any("x" in summary for _, _, summary in alarms.values())


def test_what_did_not_change_is_not_saved_again():
    e = engine()
    log = summaries([(0, [0, 1, 2], 0.0)])
    for offset, summary in enumerate(log):
        e.on_record(summary, offset, T0)
    assert sum(len(stage) for stage in save(e, len(log) - 1, "1-a")) > 1
    assert [len(stage) for stage in save(e, len(log) - 1, "1-a")] == [0, 0, 1]
