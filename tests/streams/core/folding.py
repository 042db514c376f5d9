"""A small log of summaries, engines that fold it, and what comes out of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from seawall.frames import Columns
from seawall.monitor import MonitorSpec
from streams.core.build_baseline import build_baseline
from streams.core.chunks import PartitionChunker
from streams.core.engine import Effects, PartitionEngine
from streams.core.judge import Judge
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.reports import window_rows
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, T0, cut_after, frame, records

SPEC = MonitorSpec(
    "m", pane_us=MINUTE, horizons_us=(4 * MINUTE,), lateness_us=MINUTE, grace_us=3 * MINUTE, segments=("origin",),
    min_rows=3, open_after=2, resolve_after=2,
)  # fmt: skip


def _control() -> Control:
    rng = np.random.default_rng(1)
    made = Control()
    made.set_monitor(SPEC)
    reference = Columns(
        "predictions", "m", "v1", T0 + np.arange(2000) * MINUTE, numeric={"x": rng.normal(size=2000)},
        scores={"score": np.full(2000, 0.5)},
    )  # fmt: skip
    made.set_baseline(build_baseline(reference, model="m", version="v1", now_us=0))
    return made


CONTROL = _control()


JUDGE = Judge(CONTROL)


def engine() -> PartitionEngine:
    marks = Watermarks({"predictions": "predictions"}, 30_000_000, replay=True)
    made = PartitionEngine(CONTROL, RegistryView(), marks)
    made.judge = JUDGE  # what it remembers follows from the baseline, and takes a while to work out
    return made


def summaries(
    schedule: list[tuple[int, list[int], float]], chunk_rows: int = 7, message_bytes: int = 1 << 20
) -> list[dict[str, Any]]:
    """A log of summaries of two partitions: frames of minutes, each with a value shifted by so much."""
    rng = np.random.default_rng(0)
    rule = replace(cut_after(chunk_rows), message_bytes=message_bytes)
    chunkers = [
        PartitionChunker("predictions", p, "predictions", LayoutBook(CONTROL), rule, None, 2) for p in (0, 1)
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
    """What the store ends up with: of each row the one with the greatest `ver`, whichever came last.

    Deciders that overlap tell of the same record twice, the second after what the first told of later records. Rows
    of one record are equal whoever made them.
    """
    windows: dict[Any, tuple[int, Any]] = {}
    late: dict[Any, tuple[int, Any]] = {}

    def put(table: dict[Any, tuple[int, Any]], key: Any, ver: int, row: Any) -> None:
        held = table.get(key)
        assert held is None or held[0] != ver or held[1] == row, key
        if held is None or held[0] < ver:
            table[key] = ver, row

    for report in (r for e in effects for r in e.reports):
        rows = window_rows(report) if report["windows"] else {"end": []}
        for w, end in enumerate(rows["end"]):
            put(
                windows,
                (report["segment"], report["horizon_us"], int(end)),
                report["ver"],
                (
                    int(rows["rows"][w]),
                    rows["counts"][w].tolist(),
                    int(rows["verdict"][w]),
                    int(rows["revision"][w]),
                ),
            )
        for event in report["late"]:
            key = (event["partition"], event["first_offset"], event["pane_start"])
            put(late, key, report["ver"], event["rows"])
    alarms: dict[Any, Any] = {}
    for step in (s for e in effects for s in e.alarms):
        told = (step.state, step.updated_us, step.summary, step.incident_id, step.onset_us, step.story)
        assert alarms.setdefault((step.alarm_id, step.revision), told) == told
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
