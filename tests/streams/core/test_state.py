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
from streams.core.state import restore, save
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
    committed, offset, effects = 0, 0, []
    current = engine()
    while offset < len(log):
        effects.append(current.on_record(log[offset], offset, T0 + offset))
        event = data.draw(st.sampled_from(["go", "go", "save", "torn save", "kill"]))
        if event in ("save", "torn save"):
            parts = [part for stage in save(current, offset) for part in stage]
            written = len(parts) if event == "save" else data.draw(st.integers(0, len(parts) - 1))
            stored.update(parts[:written])
            if event == "save":
                committed = offset + 1
            else:
                event = "kill"
        if event == "kill":
            current = engine()
            through = restore(current, [v for v in stored.values() if v])
            assert through in (-1, committed - 1)
            offset = committed
            continue
        offset += 1
        if len(effects) > 4 * len(log) + 50:  # enough killing
            break
    effects += [current.on_record(log[rest], rest, T0 + rest) for rest in range(offset, len(log))]
    assert outcome(effects) == run(log)


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
    assert sum(len(stage) for stage in save(e, len(log) - 1)) > 1
    assert [len(stage) for stage in save(e, len(log) - 1)] == [0, 0, 1]
