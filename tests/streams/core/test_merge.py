"""Whatever happens to workers on the way, windows hold every event once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.monitor import MonitorSpec
from streams.core.chunks import PartitionChunker
from streams.core.layouts import Control, LayoutBook
from streams.core.merge import ModelMerge
from streams.core.watermark import Partition, Watermarks
from tests.streams.core.builders import MINUTE, T0, cut_after, frame, records

SPEC = MonitorSpec(
    "m",
    pane_us=MINUTE,
    horizons_us=(3 * MINUTE,),
    lateness_us=2 * MINUTE,
    grace_us=1000 * MINUTE,
    segments=("origin",),
)
WALL = T0 + 10_000 * MINUTE


class Log:
    """Two input partitions, their chunkers, and what a reader of their summaries makes of them."""

    def __init__(
        self, spec: MonitorSpec = SPEC, rows: int = 5, partitions: int = 2, message_bytes: int = 1 << 20
    ) -> None:
        self.spec = spec
        self.control = Control()
        self.control.set_monitor(spec)
        self.rule = replace(cut_after(rows), message_bytes=message_bytes)
        self.partitions = partitions
        self.log: list[list[bytes]] = [[] for _ in range(partitions)]
        self.committed = [0] * partitions
        self.chunkers = [self.new_chunker(p) for p in range(partitions)]
        self.merge = ModelMerge("m", Watermarks({"predictions": "predictions"}, 30_000_000, replay=True))
        self.windows: dict[tuple[str, int, int], Any] = {}
        self.revisions: dict[tuple[str, int, int], int] = {}
        self.late: Counter[tuple[int, int, int]] = Counter()
        self.messages: list[dict[str, Any]] = []

    def new_chunker(self, p: int) -> PartitionChunker:
        return PartitionChunker(
            "predictions", p, "predictions", LayoutBook(self.control), self.rule, None, self.partitions
        )

    def write(self, p: int, minutes: list[int], origin: str = "JFK") -> None:
        ts = [T0 + m * MINUTE for m in minutes]
        self.log[p].append(frame(ts, [float(m) for m in minutes], [origin] * len(ts)))

    def read(self, p: int, *, commit: bool = True) -> None:
        chunker = self.chunkers[p]
        fresh = records(self.log[p])[chunker.next_offset :]
        for cut in chunker.feed(fresh):
            for summary in cut.summaries:
                self.send(summary)
            if commit:
                self.committed[p] = cut.next_offset

    def publish(self, p: int, *, caught_up: bool = False, wall_us: int = WALL) -> None:
        for summary in self.chunkers[p].provisional(caught_up=caught_up):
            self.send(summary, wall_us)
        self.send(self.chunkers[p].progress(caught_up=caught_up), wall_us)

    def crash(self, p: int) -> None:
        self.chunkers[p] = self.new_chunker(p)
        self.chunkers[p].start_at(self.committed[p])

    def send(self, summary: dict[str, Any], wall_us: int = WALL) -> None:
        self.messages.append(summary)
        self.take(summary, wall_us)

    def take(self, summary: dict[str, Any], wall_us: int = WALL) -> None:
        if summary["model"]:
            self.merge.on_summary(summary, "predictions", self.spec, wall_us)
        else:
            where = Partition("predictions", summary["partition"])
            self.merge.watermarks.heard(
                where,
                self.partitions,
                summary["max_ts"],
                summary["next_offset"],
                summary["caught_up"],
                wall_us,
            )
        for batch in self.merge.advance(self.spec, wall_us):
            for w in range(batch.windows):
                key = (batch.key[3], batch.width, (batch.first_end + w) * MINUTE)
                assert batch.revisions[w] >= self.revisions.get(key, 0)
                self.revisions[key] = int(batch.revisions[w])
                self.windows[key] = (int(batch.rows[w]), batch.counts[w].copy(), batch.moments[w].copy())
        for event in self.merge.take_late():
            self.late[event.partition.partition, event.first_offset, event.pane_start_us] = event.rows

    def finish(self) -> None:
        """Read and publish everything, and let all partitions fall silent."""
        for p in range(self.partitions):
            self.read(p)
        for wall in (WALL, WALL + 60_000_000, WALL + 120_000_000):
            for p in range(self.partitions):
                self.publish(p, caught_up=True, wall_us=wall)

    def rows(self) -> dict[tuple[str, int, int], int]:
        return {k: v[0] for k, v in self.windows.items()}


def naive_windows(events: list[tuple[int, str]], widths: tuple[int, ...]) -> Counter[tuple[str, int, int]]:
    found: Counter[tuple[str, int, int]] = Counter()
    for minute, origin in events:
        for width in widths:
            for end in range(minute + 1, minute + width + 1):
                for segment in ("", f"origin={origin}"):
                    found[segment, width, T0 + end * MINUTE] += 1
    return found


def upto(found: dict[tuple[str, int, int], int], end_us: int) -> dict[tuple[str, int, int], int]:
    return {k: v for k, v in found.items() if k[2] <= end_us and v}


def test_a_window_closes_when_the_watermark_passes_its_end():
    log = Log(partitions=1)
    log.write(0, [0, 0, 1])
    log.read(0)
    log.publish(0)
    assert log.windows == {}
    log.write(0, [3])  # the watermark is two minutes behind: minute one is over, minute two is not
    log.read(0)
    log.publish(0)
    assert log.rows()["", 1, T0 + MINUTE] == 2
    assert ("", 1, T0 + 2 * MINUTE) not in log.windows


def test_a_partition_that_was_not_heard_from_holds_windows_open():
    log = Log(partitions=2)
    log.write(0, [0, 50])
    log.read(0)
    log.publish(0)
    assert log.windows == {}
    log.write(1, [0, 40])
    log.read(1)
    log.publish(1)
    assert log.rows()["", 1, T0 + MINUTE] == 2


def test_an_idle_partition_does_not_hold_the_others_back():
    log = Log(partitions=2)
    log.write(0, [0, 50])
    log.read(0)
    log.publish(0)
    log.publish(1, caught_up=True)
    assert log.rows()["", 1, T0 + MINUTE] == 1


def test_a_late_event_within_the_grace_period_revises_its_windows():
    log = Log(partitions=1)
    log.write(0, [0, 50])
    log.read(0)
    log.publish(0)
    assert log.rows()["", 3, T0 + 2 * MINUTE] == 1
    log.write(0, [1])
    log.read(0)
    log.publish(0)
    assert log.rows()["", 3, T0 + 2 * MINUTE] == 2
    assert log.revisions["", 3, T0 + 2 * MINUTE] == 1
    assert log.revisions["", 1, T0 + MINUTE] == 0


def test_an_event_after_the_grace_period_is_counted_late_and_nowhere_else():
    spec = MonitorSpec("m", pane_us=MINUTE, horizons_us=(3 * MINUTE,), lateness_us=0, grace_us=5 * MINUTE)
    log = Log(spec, partitions=1)
    log.write(0, [0, 0, 50])
    log.read(0)
    log.publish(0)
    before = upto(log.rows(), T0 + 40 * MINUTE)
    log.write(0, [0, 1, 1])
    log.read(0)
    log.publish(0)
    assert upto(log.rows(), T0 + 40 * MINUTE) == before
    assert sum(log.late.values()) == 3
    log.finish()
    assert sum(log.late.values()) == 3
    counted = sum(v for k, v in log.rows().items() if k[0] == "" and k[1] == 1)
    assert counted + sum(log.late.values()) == 6


def test_a_sealed_chunk_that_comes_twice_is_counted_once():
    log = Log(partitions=1)
    log.write(0, [0, 1, 2, 3, 4])
    log.read(0)
    for message in list(log.messages):
        log.take(message)
    log.finish()
    last = T0 + 5 * MINUTE
    assert upto(log.rows(), last) == upto(naive_windows([(m, "JFK") for m in range(5)], (1, 3)), last)


def test_an_older_picture_of_an_open_chunk_does_not_replace_a_newer_one():
    log = Log(partitions=1, rows=100)
    log.write(0, [0])
    log.read(0)
    log.publish(0)
    older = [m for m in log.messages if m["model"]][-1]
    log.write(0, [0])
    log.read(0)
    log.publish(0)
    log.take(older)
    log.finish()
    assert log.rows()["", 1, T0 + MINUTE] == 2


def test_a_silent_year_costs_no_memory():
    log = Log(partitions=1)
    log.write(0, [0])
    log.read(0)
    log.write(0, [365 * 24 * 60])
    log.finish()
    series = log.merge.series[next(k for k in log.merge.series if k[3] == "")]
    assert len(series.rows) <= 8
    assert len(log.windows) == 2 * 2 * (1 + 3) - 2 * 2  # the last pane closes two of its three windows later


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("write"),
            st.integers(0, 1),
            st.lists(st.integers(0, 30), min_size=1, max_size=6),
            st.sampled_from(["JFK", "EWR"]),
        ),
        st.tuples(st.just("read"), st.integers(0, 1), st.booleans()),
        st.tuples(st.just("publish"), st.integers(0, 1)),
        st.tuples(st.just("crash"), st.integers(0, 1)),
        st.tuples(st.just("again"), st.integers(0, 200)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from([1, 4000, 1 << 20]))
def test_under_crashes_replays_and_zombies_every_event_is_in_every_window_once(schedule, message_bytes):
    log = Log(message_bytes=message_bytes)
    events: list[tuple[int, str]] = []
    for step in schedule:
        if step[0] == "write":
            log.write(step[1], step[2], step[3])
            events += [(m, step[3]) for m in step[2]]
        elif step[0] == "read":
            log.read(step[1], commit=step[2])
        elif step[0] == "publish":
            log.publish(step[1])
        elif step[0] == "crash":
            log.crash(step[1])
        elif log.messages:
            log.take(log.messages[step[1] % len(log.messages)])
    log.finish()
    if not events:
        return
    assert log.late == {}
    assert {(Partition(p.topic, p.partition), p.first_offset) for p in log.merge.waiting.parts} <= set(
        log.merge.open
    )
    last = T0 + (max(m for m, _ in events) + 1) * MINUTE
    assert upto(log.rows(), last) == upto(naive_windows(events, (1, 3)), last)
    for (segment, width, end), (_, _, moments) in log.windows.items():
        values = [
            m
            for m, o in events
            if end - width * MINUTE <= T0 + m * MINUTE < end and segment in ("", f"origin={o}")
        ]
        layout = next(iter(log.merge.series.values())).layout
        x = [layout.columns[i].name for i in layout.numeric].index("x")
        if end <= last and values:
            np.testing.assert_allclose(
                moments[x],
                [np.mean(values), np.var(values) * len(values), min(values), max(values)],
                rtol=1e-9,
                atol=1e-9,
            )
