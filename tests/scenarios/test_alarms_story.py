"""What the person on call is paged for while something is wrong for weeks, told on a virtual clock.

Predictions of four features go hour by hour through the real chunks, merge, judge and alarms. Of the features `a` and
`b` go together, `c` and `d` go alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pytest

from seawall.baseline import Baseline
from seawall.frames import FRAME_CONTRACT, Categorical, Columns, to_record
from seawall.monitor import DAY_US, HOUR_US, MonitorSpec
from seawall.wire import encode
from streams.core.alarm_steps import AlarmStep
from streams.core.backtest import rows_of
from streams.core.build_baseline import build_baseline
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.decode import Record
from streams.core.engine import PartitionEngine
from streams.core.judge import Judge
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.state import restore, save
from streams.core.watermark import Watermarks
from tests.streams.core.builders import T0

PER_HOUR, WEEKS = 100, 5
SPEC = MonitorSpec(
    "m", pane_us=HOUR_US, horizons_us=(HOUR_US, 6 * HOUR_US, DAY_US), lateness_us=0, grace_us=HOUR_US, notify=("log",)
)  # fmt: skip
Floats = npt.NDArray[np.float64]
Fault = Callable[[Columns, Floats], None]
"""Changes rows in place, by the days since the story began."""


def rows(first_us: int, days: int, seed: int, version: str = "v1") -> Columns:
    rng = np.random.default_rng(seed)
    hours = days * 24
    ts = first_us + np.repeat(np.arange(hours), PER_HOUR) * HOUR_US
    ts = ts + np.sort(rng.integers(0, HOUR_US, (hours, PER_HOUR)), axis=1).ravel()
    common = rng.normal(size=len(ts))
    numeric = {
        name: np.sqrt(share) * common + np.sqrt(1 - share) * rng.normal(size=len(ts))
        for name, share in {"a": 0.7, "b": 0.7, "c": 0.0, "d": 0.0}.items()
    }
    origin = Categorical(rng.integers(0, 2, len(ts)).astype(np.int32), ["JFK", "LGA"])
    return Columns(
        "predictions", "m", version, ts, numeric=numeric, categorical={"origin": origin}, frame_id="p"
    )


@cache
def reference(version: str = "v1", *, is_newer: bool = False) -> Baseline:
    """What a version is compared with: weeks from before the story, or from after the change that is accepted."""
    columns = rows(T0 - WEEKS * 7 * DAY_US, WEEKS * 7, seed=0, version=version)
    if is_newer:
        columns.numeric["a"][:] += 1.0
    return build_baseline(columns, model="m", version=version, now_us=0)


@cache
def judge_for(segments: tuple[str, ...], horizons_us: tuple[int, ...]) -> Judge:
    """What the baseline teaches takes a while to work out."""
    control = Control()
    control.set_monitor(replace(SPEC, segments=segments, horizons_us=horizons_us))
    control.set_baseline(reference())
    control.set_baseline(reference("v2"))
    control.set_baseline(reference("v3", is_newer=True))
    return Judge(control)


def happens(
    days: int,
    *faults: Fault,
    spec: MonitorSpec = SPEC,
    restarts: bool = False,
    releases: Mapping[str, float] = MappingProxyType({}),
) -> list[AlarmStep]:
    """Every step of every alarm, when these faults befall the rows of so many days, hour by hour.

    `releases` says from which day on a version serves all traffic; the first one does before.
    """
    columns = rows(T0, days, seed=1)
    serving = ["v1"] * (days * 24)
    for version, day in releases.items():
        serving[int(day * 24) :] = [version] * (days * 24 - int(day * 24))
    for fault in faults:
        fault(columns, (columns.ts - T0) / DAY_US)
    engine = engine_for(spec)
    chunker = PartitionChunker("predictions", 0, "predictions", LayoutBook(engine.control), ChunkRule())
    chunker.start_at(0)
    steps: list[AlarmStep] = []
    offset = 0
    edges = np.searchsorted(columns.ts, T0 + np.arange(days * 24 + 1) * HOUR_US)
    for hour, (at, end) in enumerate(pairwise(edges.tolist())):
        now_us = T0 + (hour + 1) * HOUR_US
        sent = replace(rows_of(columns, np.arange(at, end)), version=serving[hour])
        value = encode(FRAME_CONTRACT["predictions"], to_record(sent))
        found = [
            s
            for cut in chunker.feed([Record(hour, now_us, value)] if end > at else [])
            for s in cut.summaries
        ]
        for summary in [*found, *chunker.provisional(caught_up=True), chunker.progress(caught_up=True)]:
            steps += engine.on_record(summary, offset, now_us).alarms
            offset += 1
        if restarts and hour % 31 == 0:
            saved = {k: v for stage in save(engine, offset - 1, "1-a") for k, v in stage if v}
            engine = engine_for(spec)
            assert restore(engine, saved) == offset - 1
    return steps


def engine_for(spec: MonitorSpec) -> PartitionEngine:
    judge = judge_for(spec.segments, spec.horizons_us)
    watermarks = Watermarks({"predictions": "predictions"}, HOUR_US, replay=True)
    return PartitionEngine(judge.control, RegistryView(), watermarks, judge=judge)


def pages(steps: list[AlarmStep]) -> list[tuple[float, list[str]]]:
    """The day of each page, and what it names."""
    return [
        (round((s.updated_us - T0) / DAY_US, 1), [c.name for c in s.culprits])
        for s in steps
        if s.state == "open" and s.notify
    ]


def moves(name: str, by: float, since: float, until: float = np.inf) -> Fault:
    def fault(columns: Columns, days: Floats) -> None:
        columns.numeric[name][(since <= days) & (days < until)] += by

    return fault


def goes_missing(name: str, since: float, until: float = np.inf, share: float = 1.0) -> Fault:
    def fault(columns: Columns, days: Floats) -> None:
        lost = np.random.default_rng(9).random(len(days)) < share
        columns.numeric[name][lost & (since <= days) & (days < until)] = np.nan

    return fault


def peaks(name: str, by: float, hours: tuple[int, int], days: set[int]) -> Fault:
    def fault(columns: Columns, days_since: Floats) -> None:
        hour = days_since % 1 * 24
        at = (hours[0] <= hour) & (hour < hours[1]) & np.isin(days_since.astype(int), list(days))
        columns.numeric[name][at] += by

    return fault


ACCEPTED = moves("a", 1.0, since=1)


def test_a_drift_that_nobody_resets_pages_once() -> None:
    assert len(pages(happens(10, ACCEPTED))) == 1


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (goes_missing("c", since=4), "c"),
        (moves("c", 0.7, since=4), "c"),
        (goes_missing("a", since=4), "a"),
        (moves("a", 50.0, since=4), "a"),
    ],
    ids=["another column is missing", "another column moves", "the column is missing", "its unit is wrong"],
)
def test_a_new_fault_pages_while_a_drift_is_open_for_weeks(fault: Fault, named: str) -> None:
    (_, first), (day, second) = pages(happens(5, ACCEPTED, fault))
    assert first[0] == "a"
    assert (second[0], 4 <= day <= 4.5) == (named, True)


def test_what_is_lived_with_pages_no_second_time_under_a_new_version_and_ends_with_the_last_that_shows_it() -> (
    None
):
    story = (moves("a", 1.0, since=1, until=9), goes_missing("c", since=6, until=7))
    steps = happens(12, *story, releases={"v2": 4})
    (_, first), (day, second) = pages(steps)
    assert (first[0], second[0], 6 <= day <= 6.5) == ("a", "c", True)
    known = next(s for s in steps if s.state == "open")
    in_v2 = next(s for s in steps if s.state == "open" and s.version == "v2")
    assert (in_v2.incident_id, in_v2.notify) == (known.alarm_id, ())
    (ended,) = [s.resolved_us for s in steps if s.alarm_id == known.alarm_id and s.state == "resolved"]
    assert ended is not None
    assert 9 <= (ended - T0) / DAY_US <= 10.5
    assert steps == happens(12, *story, releases={"v2": 4}, restarts=True)


@pytest.mark.parametrize(
    "fault", [moves("a", 50.0, since=6), goes_missing("a", since=6)], ids=["it goes further", "it is missing"]
)
def test_what_a_new_version_makes_of_it_pages(fault: Fault) -> None:
    (_, first), (day, second) = pages(happens(7, ACCEPTED, fault, releases={"v2": 4}))
    assert (first[0], second[0], 6 <= day <= 6.5) == ("a", "a", True)


def test_a_version_compared_with_newer_data_ends_it_and_pages_when_the_world_turns_back() -> None:
    steps = happens(10, moves("a", 1.0, since=1, until=8), releases={"v3": 4})
    assert [(round(day), named[0]) for day, named in pages(steps)] == [(1, "a"), (8, "a")]
    (ended,) = [s for s in steps if s.state == "resolved"]
    assert ended.version == "v1"
    assert 4 <= (ended.updated_us - T0) / DAY_US <= 7


def test_the_new_fault_ends_by_itself_and_the_known_one_stays_open() -> None:
    steps = happens(8, ACCEPTED, goes_missing("c", since=4, until=5))
    known, new = [s for s in steps if s.state == "open"]
    ended = {s.alarm_id: s for s in steps if s.state == "resolved"}
    assert set(ended) == {new.alarm_id}
    assert ended[new.alarm_id].resolved_us is not None
    assert known.alarm_id != new.alarm_id
    assert steps == happens(8, ACCEPTED, goes_missing("c", since=4, until=5), restarts=True)


def test_a_column_that_goes_with_the_known_one_follows_it_and_pages_nobody() -> None:
    steps = happens(6, ACCEPTED, moves("b", 0.8, since=4))
    assert len(pages(steps)) == 1
    assert "b" in {c.name for s in steps if s.state == "updated" for c in s.culprits}


def test_a_new_fault_of_one_segment_pages_while_all_traffic_drifts_on_another_column() -> None:
    def fault(columns: Columns, days: Floats) -> None:
        jfk = columns.categorical["origin"].codes == 0
        columns.numeric["c"][jfk & (days >= 4)] += 0.8

    spec = replace(SPEC, segments=("origin",))
    steps = happens(6, ACCEPTED, fault, spec=spec)
    later = [s for s in steps if s.state == "open" and s.notify and s.updated_us > T0 + 4 * DAY_US]
    assert len(later) == 1
    assert [c.name for c in later[0].culprits] == ["c"]
    last = [s for s in steps if s.alarm_id == later[0].alarm_id][-1]
    assert "origin=JFK" in {last.segment, *last.only_in}


def test_what_the_known_cause_does_in_segments_is_no_news() -> None:
    spec = replace(SPEC, segments=("origin",))
    assert len(pages(happens(5, ACCEPTED, spec=spec))) == 1


def test_a_peak_that_has_become_too_high_pages_when_it_is_seen_and_when_it_is_back_and_no_more() -> None:
    steps = happens(6, peaks("c", 1.5, (9, 13), {1, 2, 3, 4, 5}), spec=replace(SPEC, horizons_us=(HOUR_US,)))
    assert [round(day) for day, _ in pages(steps)] == [1, 2]
    assert (
        "back after" in next(s for s in steps if s.updated_us > T0 + 2 * DAY_US and s.state == "open").summary
    )
