"""A model gets worse though nothing that it sees has changed: told from label events, on a virtual clock.

Predictions and, an hour later, labels that carry what was predicted go through the real chunks, merge, judge and
alarms. What was predicted is right in nine cases of ten, until a share of the truths is turned over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from seawall.baseline import Baseline
from seawall.frames import FRAME_CONTRACT, Categorical, Columns, Source, to_record
from seawall.monitor import DAY_US, HOUR_US, DetectorRule, MonitorSpec
from seawall.wire import encode
from streams.core.alarm_steps import AlarmStep
from streams.core.backtest import rows_of
from streams.core.build_baseline import build_baseline
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.decode import Record
from streams.core.engine import Effects, PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView, make_event
from streams.core.rollback_steps import RollbackStep
from streams.core.watermark import Watermarks
from tests.streams.core.builders import T0

PER_HOUR, DAYS_OF_BASELINE = 60, 28
SPEC = MonitorSpec(
    "m", pane_us=HOUR_US, horizons_us=(6 * HOUR_US, DAY_US), lateness_us=0, grace_us=HOUR_US, notify=("log",)
)  # fmt: skip
LAG_US = HOUR_US


class Rows:
    """What a model sees and says in some hours, and what turns out."""

    def __init__(
        self, first_us: int, hours: int, seed: int, flipped: float = 0.0, from_hour: int = 0
    ) -> None:
        rng = np.random.default_rng(seed)
        n = hours * PER_HOUR
        hour = np.repeat(np.arange(hours), PER_HOUR)
        self.ts = first_us + hour * HOUR_US + np.sort(rng.integers(0, HOUR_US, n).reshape(hours, -1)).ravel()
        self.x = rng.normal(size=n)
        self.score = 1 / (1 + np.exp(-3 * self.x - rng.normal(size=n)))
        self.late = rng.random(n) < self.score
        self.late ^= (rng.random(n) < flipped) & (hour >= from_hour)

    @property
    def predicted(self) -> Categorical:
        return Categorical.of(np.where(self.score > 0.5, "late", "on time").tolist())

    @property
    def truth(self) -> Categorical:
        return Categorical.of(np.where(self.late, "late", "on time").tolist())

    def predictions(self) -> Columns:
        return Columns(
            "predictions", "m", "v1", self.ts, numeric={"x": self.x}, scores={"late": self.score},
            label=self.predicted, frame_id="p",
        )  # fmt: skip

    def labels(self, *, with_predictions: bool = True) -> Columns:
        labels = Columns("labels", "m", "v1", self.ts + LAG_US, label=self.truth, frame_id="l")
        if with_predictions:
            labels.scores, labels.predicted = {"late": self.score}, self.predicted
        return labels


@cache
def reference() -> Baseline:
    rows = Rows(T0 - DAYS_OF_BASELINE * DAY_US, DAYS_OF_BASELINE * 24, seed=0)
    return build_baseline(
        rows.predictions(), model="m", version="v1", labels=rows.truth, task="binary_classification", now_us=0
    )


def happens(
    rows: Rows,
    spec: MonitorSpec = SPEC,
    *,
    cut_bytes: int = 1 << 20,
    bare: bool = False,
    known: Sequence[Baseline] | None = None,
) -> list[AlarmStep]:
    """Every step of every alarm, when these rows come hour by hour."""
    return [s for e in effects_of(rows, spec, cut_bytes=cut_bytes, bare=bare, known=known) for s in e.alarms]


def effects_of(
    rows: Rows,
    spec: MonitorSpec = SPEC,
    *,
    cut_bytes: int = 1 << 20,
    bare: bool = False,
    known: Sequence[Baseline] | None = None,
    features: Columns | None = None,
    labels_ahead_us: int = 0,
    registry: RegistryView | None = None,
    rollback: RollbackStep | None = None,
) -> list[Effects]:
    """Everything that comes of these rows, and of what a feature store says beside them, hour by hour."""
    sent = {"predictions": rows.predictions(), "labels": rows.labels(with_predictions=not bare)}
    if features is not None:
        sent["features"] = features
    topics: dict[str, Source] = {columns.source: columns.source for columns in sent.values()}
    engine = PartitionEngine(
        control_of(spec, known), registry or RegistryView(), Watermarks(topics, HOUR_US, replay=True)
    )
    if rollback:
        engine.on_rollback_step(rollback.to_record(0))
    rule = ChunkRule(bytes=cut_bytes)
    chunkers = {s: PartitionChunker(s, 0, topics[s], LayoutBook(engine.control), rule) for s in topics}
    found: list[Effects] = []
    offset = 0

    def publish(summaries: list[dict[str, Any]], now_us: int) -> None:
        nonlocal offset
        for summary in summaries:
            found.append(engine.on_record(summary, offset, now_us))
            offset += 1

    for chunker in chunkers.values():
        chunker.start_at(0)
    first_us = int(rows.ts.min()) // HOUR_US * HOUR_US
    last_us = int(rows.ts.max()) + LAG_US
    # Labels that are read ahead come hours before the predictions of the same time.
    hours = [(at_us, source) for at_us in range(first_us, last_us + HOUR_US, HOUR_US) for source in sent]
    hours.sort(key=lambda hour: hour[0] - (labels_ahead_us if hour[1] == "labels" else 0))
    for start_us, source in hours:
        now_us, columns, chunker = start_us + HOUR_US, sent[source], chunkers[source]
        at = np.flatnonzero((columns.ts >= start_us) & (columns.ts < now_us))
        value = encode(FRAME_CONTRACT[columns.source], to_record(rows_of(columns, at)))
        records = [Record(chunker.next_offset, now_us, value)] if len(at) else []
        for cut in chunker.feed(records):
            publish(cut.summaries, now_us)
        publish(chunker.provisional(caught_up=True), now_us)
        publish([chunker.progress(caught_up=True)], now_us)
    return found


def control_of(spec: MonitorSpec, known: Sequence[Baseline] | None) -> Control:
    control = Control()
    control.set_monitor(spec)
    for baseline in (reference(),) if known is None else known:
        control.set_baseline(baseline)
    return control


def test_flipped_labels_open_an_incident_that_names_the_error_and_no_feature() -> None:
    steps = happens(Rows(T0, 4 * 24, seed=1, flipped=0.15, from_hour=48))
    opened = [s for s in steps if s.state == "open"]
    assert {s.kind for s in opened} == {"loss"}
    first = opened[0]
    assert T0 + 48 * HOUR_US < first.updated_us <= T0 + 72 * HOUR_US
    roles = {c.role for s in opened for c in s.culprits}
    assert roles == {"loss"}
    assert "error rate" in first.summary or "Brier" in first.summary or "log loss" in first.summary
    assert "usually" in first.summary
    assert "error" in {c.name for s in steps for c in s.culprits}


def test_while_nothing_changes_nobody_is_told() -> None:
    assert happens(Rows(T0, 10 * 24, seed=2)) == []


def test_labels_without_predictions_are_no_news() -> None:
    assert happens(Rows(T0, 4 * 24, seed=1, flipped=0.15, from_hour=48), bare=True) == []


def test_a_model_that_errs_less_pages_nobody() -> None:
    rows = Rows(T0, 4 * 24, seed=3)
    sure = np.arange(len(rows.late)) >= 48 * PER_HOUR
    rows.late = np.where(sure, rows.score > 0.5, rows.late)
    assert [s for s in happens(rows) if s.kind == "loss"] == []


def promising(metric: str, comparison: str, bound: float) -> MonitorSpec:
    return replace(SPEC, performance={metric: (comparison, bound)})


def test_a_broken_promise_says_so_with_its_numbers_in_the_incident_of_the_losses() -> None:
    rows = Rows(T0, 4 * 24, seed=1, flipped=0.15, from_hour=48)
    steps = happens(rows, promising("accuracy", ">=", 0.82))
    (broken,) = [s for s in steps if s.kind == "promise" and s.state == "open"]
    assert re.search(
        r"m v1: a promise is broken: accuracy 0\.7\d*, promised >= 0\.82, chance alone ±0\.0\d+, 1,\d{3} labelled predictions since",
        broken.summary,
    )
    assert broken.severity == "warning"
    assert broken.is_joined or any(s.is_joined for s in steps if s.kind == "loss")
    paged = {s.incident_id for s in steps}
    assert len(paged) == 1


def test_a_promise_that_is_kept_says_nothing() -> None:
    assert happens(Rows(T0, 6 * 24, seed=2), promising("accuracy", ">=", 0.82)) == []


BOTH = replace(SPEC, performance={"roc_auc": (">=", 0.85), "accuracy": (">=", 0.78)})


def test_scores_that_rank_the_wrong_way_within_each_side_break_the_auc_while_accuracy_holds() -> None:
    rows = Rows(T0, 4 * 24, seed=1)
    turned = np.arange(len(rows.late)) >= 48 * PER_HOUR
    said = rows.predicted
    rows.score = np.where(turned, np.where(rows.score > 0.5, 1.5 - rows.score, 0.5 - rows.score), rows.score)
    assert rows.predicted.codes.tolist() == said.codes.tolist()
    steps = [s for s in happens(rows, BOTH) if s.kind == "promise"]
    assert {c.name for s in steps for c in s.culprits} == {"roc_auc"}
    (opened,) = [s for s in steps if s.state == "open"]
    assert T0 + 48 * HOUR_US < opened.updated_us <= T0 + 72 * HOUR_US
    assert re.search(
        r"a promise is broken: ROC AUC 0\.[78]\d*, promised >= 0\.85, chance alone ±0\.0\d+, 1,\d{3} labelled predictions",
        opened.summary,
    )
    assert happens(rows, BOTH, cut_bytes=3000) == happens(rows, BOTH)


def test_scores_that_are_too_sure_break_calibration_and_no_rank() -> None:
    rows = Rows(T0, 4 * 24, seed=1)
    margin = np.log(rows.score / (1 - rows.score))
    sure = np.arange(len(rows.late)) >= 48 * PER_HOUR
    rows.score = 1 / (1 + np.exp(-np.where(sure, 4 * margin, margin)))
    spec = replace(BOTH, performance={**BOTH.performance, "ece": ("<=", 0.05)})
    steps = [s for s in happens(rows, spec) if s.kind == "promise"]
    assert {c.name for s in steps for c in s.culprits} == {"ece"}
    assert re.search(
        r"ECE 0\.\d+ beyond what chance adds, promised <= 0\.05, chance alone ±0\.0", steps[0].summary
    )


def test_while_nothing_changes_ranks_and_calibration_are_kept() -> None:
    spec = replace(SPEC, performance={"roc_auc": (">=", 0.85), "ece": ("<=", 0.05)})
    assert happens(Rows(T0, 6 * 24, seed=2), spec) == []
    few = Rows(T0, 6 * 24, seed=4)
    keep = np.arange(len(few.ts)) % 20 == 0
    few.ts, few.x, few.score, few.late = few.ts[keep], few.x[keep], few.score[keep], few.late[keep]
    assert [s for s in happens(few, spec, known=()) if s.kind == "promise"] == []


def test_a_promise_needs_no_baseline() -> None:
    rows = Rows(T0, 3 * 24, seed=1, flipped=0.3)
    steps = happens(rows, promising("accuracy", ">=", 0.8), known=())
    assert {(s.kind, s.version) for s in steps} == {("promise", "v1")}


def test_detectors_of_errors_signal_them_outside_the_budget() -> None:
    spec = replace(SPEC, detectors=(DetectorRule("hddm_a"),))
    rows = Rows(T0, 4 * 24, seed=1, flipped=0.3, from_hour=48)
    steps = happens(rows, spec)
    named = {c.statistic for s in steps if s.kind == "classic" for c in s.culprits}
    assert named == {"hddm_a"}
    assert all(c.key == "loss/error" for s in steps if s.kind == "classic" for c in s.culprits)
    assert all(s.updated_us > T0 + 48 * HOUR_US for s in steps if s.kind == "classic")
    assert happens(rows, spec, cut_bytes=3000) == steps


def test_the_same_log_cut_otherwise_tells_the_same() -> None:
    rows = Rows(T0, 4 * 24, seed=1, flipped=0.15, from_hour=48)
    assert happens(rows) == happens(rows, cut_bytes=3000)


def test_a_rollback_is_not_judged_before_predictions_are_read_as_far_as_labels() -> None:
    """After an outage labels, of which there is less to read, are days ahead: they show nothing of what was cured."""
    rows, at_us = Rows(T0, 5 * 24, seed=2), T0 + DAY_US
    registry = RegistryView()
    for version, action, when_us in (("v1", "promoted", T0 - DAY_US), ("v2", "promoted", at_us - HOUR_US)):
        registry.observe(make_event("m", version, action, when_us))  # type: ignore[arg-type]
    registry.observe(make_event("m", "v1", "promoted", at_us))
    evidence = {"kind": "drift", "culprits": '["feature/x"]'}
    applied = RollbackStep(
        "r", "m", "v2", "v1", "applied", "auto", 2, at_us, "", "seawall", evidence=evidence
    )
    found = effects_of(rows, labels_ahead_us=3 * DAY_US, registry=registry, rollback=applied)
    assert [s.state for e in found for s in e.rollbacks] == ["recovered"]
