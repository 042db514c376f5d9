"""What the feature store says and what predictions carried are compared when both are known."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from detectors.layout import Column, Layout
from seawall.frames import Columns, Source, to_record
from seawall.monitor import ColumnRule, MonitorSpec
from seawall.wire import encode
from streams.core.build_baseline import build_baseline
from streams.core.chunks import PartitionChunker
from streams.core.engine import PartitionEngine
from streams.core.judge import _distance_from
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, T0, cut_after, records

SPEC = MonitorSpec(
    "m",
    pane_us=MINUTE,
    horizons_us=(5 * MINUTE,),
    lateness_us=MINUTE,
    grace_us=2 * MINUTE,
    min_rows=30,
    open_after=2,
)
CONTRACT = {"predictions": "prediction_frame", "features": "feature_frame"}
MINUTES, PER_MINUTE = 60, 40


class Loop:
    def __init__(self, spec: MonitorSpec = SPEC) -> None:
        rng = np.random.default_rng(0)
        self.control = Control()
        self.control.set_monitor(spec)
        reference = Columns(
            "predictions", "m", "v1", T0 + np.arange(3000) * MINUTE, numeric={"x": rng.normal(size=3000)}
        )
        self.control.set_baseline(build_baseline(reference, model="m", version="v1", now_us=0))
        sources: tuple[Source, ...] = ("predictions", "features")
        marks = Watermarks({s: s for s in sources}, 30_000_000, replay=True)
        self.engine = PartitionEngine(self.control, RegistryView(), marks)
        self.chunkers = {
            s: PartitionChunker(s, 0, s, LayoutBook(self.control), cut_after(400), None, 1) for s in sources
        }
        self.alarms: list[Any] = []
        self.offset = 0

    def send(self, source: Source, minutes: range, values: np.ndarray) -> None:
        chunker = self.chunkers[source]
        for m in minutes:
            ts = T0 + m * MINUTE + np.arange(PER_MINUTE) * 1000
            columns = Columns(source, "m", "v1", ts, numeric={"x": values[m]}, frame_id="f")
            frame = encode(CONTRACT[source], to_record(columns))
            for cut in chunker.feed(records([frame], chunker.next_offset)):
                self.take(cut.summaries)
        self.take([*chunker.provisional(caught_up=True), chunker.progress(caught_up=True)])

    def take(self, summaries: list[dict[str, Any]]) -> None:
        for summary in summaries:
            self.alarms += self.engine.on_record(summary, self.offset, T0 + self.offset).alarms
            self.offset += 1

    def skews(self) -> list[Any]:
        return [a for a in self.alarms if a.kind == "skew"]


def values(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(MINUTES, PER_MINUTE))


def test_a_store_that_agrees_to_the_last_value_has_no_distance_and_one_that_does_not_has():
    counts = np.array([[0, 0, 0, 5, 5, 0], [0, 0, 0, 9, 1, 0], [3, 0, 0, 0, 0, 0]])
    served = np.array([[0, 0, 0, 5, 5, 0], [0, 0, 0, 1, 9, 0], [3, 0, 0, 0, 0, 0]])
    layout = Layout.of([Column("x", "feature", "numeric", (0.0, 1.0, 2.0))])
    rows, js, _ = _distance_from(served, SimpleNamespace(layout=layout, counts=counts))  # type: ignore[arg-type]
    assert rows.tolist() == [10, 10, 3]
    assert js[0, 0] == 0.0
    assert js[1, 0] > 0.5
    assert np.isnan(js[2, 0])  # nothing is there


def test_a_feature_stream_far_behind_is_no_skew():
    loop, x = Loop(), values()
    loop.send("features", range(1), x)
    loop.send("predictions", range(MINUTES), x)
    loop.send("features", range(1, MINUTES), x)
    assert loop.skews() == []


def test_a_feature_stream_far_ahead_is_no_skew():
    loop, x = Loop(), values()
    loop.send("features", range(MINUTES), x)
    for m in range(MINUTES):
        loop.send("predictions", range(m, m + 1), x)
    assert loop.skews() == []


def test_a_service_that_reads_another_unit_is_a_skew():
    loop, x = Loop(), values()
    for m in range(MINUTES):
        loop.send("features", range(m, m + 1), x)
        loop.send("predictions", range(m, m + 1), x * 60)
    (alarm,) = [a for a in loop.skews() if a.state == "open"]
    assert alarm.features[0].name == "x"
    assert alarm.features[0].statistic == "skew_js"


def test_a_monitor_that_does_not_ask_for_skew_is_told_of_none():
    loop, x = Loop(replace(SPEC, skew=False)), values()
    for m in range(MINUTES):
        loop.send("predictions", range(m, m + 1), x * 60)
        loop.send("features", range(m, m + 1), x)
    assert loop.skews() == []
    assert [a.kind for a in loop.alarms if a.state == "open"] == ["drift"]


def test_a_skew_below_the_columns_own_effect_is_none():
    shifted, x = {}, values()
    for effect in (None, 0.9):
        loop = Loop(replace(SPEC, columns={"x": ColumnRule(effect=effect)}))
        for m in range(MINUTES):
            loop.send("features", range(m, m + 1), x)
            loop.send("predictions", range(m, m + 1), x + 1)
        shifted[effect] = bool(loop.skews())
    assert shifted == {None: True, 0.9: False}
