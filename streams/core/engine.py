"""The deciding half, for one partition of the summaries topic: merge, judge, alarm, attribute, ask for rollback.

A pure fold over the log: what comes out depends on the records and their timestamps alone, so that reading the log
again gives the same windows, alarms and rollbacks, with the same ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from seawall.frames import Source
from seawall.monitor import MonitorSpec
from streams.core.alarm_steps import AlarmStep, Attribution
from streams.core.alarms import AlarmBook, in_order
from streams.core.attribution import attribute
from streams.core.changes import ChangeLog
from streams.core.classic import ClassicJudge
from streams.core.drift_history import DriftHistory
from streams.core.explain import Scene, explain, with_importance
from streams.core.judge import Judge, Judgement
from streams.core.layouts import Control
from streams.core.lives import Beginning, Lives, Place, name_of
from streams.core.merge import ModelMerge
from streams.core.promises import judge_promises
from streams.core.registry import RegistryView
from streams.core.reports import late_record, report_record
from streams.core.rollback import RollbackDesk
from streams.core.rollback_steps import RollbackStep
from streams.core.rows import known_values
from streams.core.series import Series, SeriesKey, WindowBatch
from streams.core.slices import Slices
from streams.core.traffic import Traffic
from streams.core.verdicts import WindowVerdict
from streams.core.watermark import Partition, Watermarks

#: Forgotten models of which it is still known what is final.
DEPARTED = 1000
#: Why the alarms of a forgotten model end.
_SILENT = "the model has been silent for longer than any window looks back, and nobody declared it"


@dataclass(slots=True)
class Effects:
    """What is to be published, in this order: windows before the alarms that they explain."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    alarms: list[AlarmStep] = field(default_factory=list)
    rollbacks: list[RollbackStep] = field(default_factory=list)
    closed_windows: int = 0
    revised_windows: int = 0
    late_rows: int = 0
    torn_chunks: int = 0
    """Left out although a part of them was new: the log was cut elsewhere before."""
    strange_chunks: int = 0
    """Left out although their events are new: another log under the same name, and nothing tells the two apart."""
    forgotten: list[str] = field(default_factory=list)
    """Models of which nothing is left."""

    def extend(self, other: Effects) -> None:
        """Append another's effects."""
        self.reports += other.reports
        self.alarms += other.alarms
        self.rollbacks += other.rollbacks
        self.closed_windows += other.closed_windows
        self.revised_windows += other.revised_windows
        self.late_rows += other.late_rows
        self.torn_chunks += other.torn_chunks
        self.strange_chunks += other.strange_chunks
        self.forgotten += other.forgotten


@dataclass(slots=True)
class ModelState:
    """Everything that is known of one model."""

    merge: ModelMerge
    book: AlarmBook
    desk: RollbackDesk
    traffic: Traffic
    history: DriftHistory = field(default_factory=DriftHistory)
    changes: ChangeLog = field(default_factory=ChangeLog)
    last_window_us: dict[str, int] = field(default_factory=dict)
    """Last judged window end by version."""
    through: int = -1
    """Log offset up to which this state is complete."""
    saved_through: int = -1


class PartitionEngine:
    """All models whose summaries come through one partition.

    Parameters
    ----------
    log_epoch
        Orders what is written before and after a log began anew.
    on_report
        Given each report as soon as there is one; without it they are among the effects. One record may close
        months of windows, and what they say need not wait for the last of them. Reports come before the alarms
        that they explain, and are the same again when a record is taken again.
    judge
        One that other partitions use too, in the same thread: it remembers what baselines teach.
    """

    def __init__(
        self,
        control: Control,
        registry: RegistryView,
        watermarks: Watermarks,
        log_epoch: int = 0,
        on_report: Callable[[dict[str, Any]], None] | None = None,
        judge: Judge | None = None,
    ) -> None:
        self.control = control
        self.registry = registry
        self.watermarks = watermarks
        self.judge = judge or Judge(control)
        self.classic = ClassicJudge(control)
        self.models: dict[str, ModelState] = {}
        self.departed: dict[str, dict[Source, int]] = {}
        """Event time (microseconds) before which everything was final, of models that were forgotten."""
        self.lives = Lives()
        self.sealed_upto: dict[Partition, Place] = {}
        """Offset before which all chunks of forgotten models were sealed: one below it is told again."""
        self.gone: dict[str, dict[SeriesKey, Series]] = {}
        """What was saved of forgotten models, until it is deleted."""
        self.slices = Slices()
        """How what was saved lies there."""
        self.rest_pages: dict[str, int] = {}
        """Models whose record is too large for one message, and which of two pages holds what was saved of them."""
        self._ver_base = log_epoch << 32
        self._on_report = on_report
        self._rollback_steps_seen = 0

    def state(self, model: str) -> ModelState:
        """Return a model's state, made when first asked for."""
        found = self.models.get(model)
        if found is None:
            merge = ModelMerge(model, self.watermarks, partial(self._known_values, model))
            merge.sealed_upto = dict(self.sealed_upto)
            merge.buried = self.gone.pop(model, {})
            merge.final_us.update(self.departed.pop(model, {}))
            found = self.models[model] = ModelState(
                merge, AlarmBook(model), RollbackDesk(model), Traffic(model)
            )
        return found

    def _known_values(self, model: str, version: str, column: str) -> frozenset[str]:
        return known_values(column, self.control.baselines.get((model, version)))

    def forget(self, model: str) -> None:
        """Forget a model, but for what makes it exact should it come back: what is final, and what was counted."""
        merge = self.models.pop(model).merge
        self.departed[model] = dict(merge.final_us)
        if len(self.departed) > DEPARTED:
            del self.departed[next(iter(self.departed))]
        for partition, place in merge.sealed_upto.items():
            self.sealed_upto[partition] = max(place, self.sealed_upto.get(partition, place))
        self.gone[model] = merge.buried
        self.watermarks.forget(model)

    def on_record(self, summary: dict[str, Any], offset: int, stamp_us: int) -> Effects:
        """Take one summary or progress message; `stamp_us` is the record's own timestamp."""
        return self.on_records((summary,), offset, stamp_us)

    def on_records(self, summaries: Iterable[dict[str, Any]], offset: int, stamp_us: int) -> Effects:
        """Take several as one record, then decide: windows of all sources that they close are taken by their ends."""
        effects, asked = Effects(), dict[str, None]()
        are_all_asked = False
        now_us = stamp_us
        for summary in summaries:
            now_us = self.watermarks.clock.hear(summary["topic"], summary["partition"], stamp_us, offset)
            where = Partition(summary["topic"], summary["partition"])
            life = self.lives.hear(where, name_of(summary), summary["first_offset"])
            if life is None:
                effects.strange_chunks += self._is_strange(summary, where)
                continue
            if not summary["model"]:
                self._heard(summary, life, offset, now_us)
                are_all_asked = True
                continue
            state = self.state(summary["model"])
            if offset <= state.through:
                continue  # read again after a restart: the saved state has it
            merge, source = state.merge, self.watermarks.sources[summary["topic"]]
            torn, strange = merge.torn, merge.strange
            merge.on_summary(summary, source, self.control.monitor(summary["model"]), now_us, life)
            effects.torn_chunks += merge.torn - torn
            effects.strange_chunks += merge.strange - strange
            asked[summary["model"]] = None
        for model in list(self.models) if are_all_asked else asked:
            state = self.models[model]
            if offset <= state.through:
                continue
            effects.extend(self.advance(model, offset, now_us))
            if are_all_asked and self._is_over(model, state):
                effects.alarms += state.book.close(state.merge.known_upto_us, _SILENT)
                self.forget(model)
                effects.forgotten.append(model)
        return effects

    def _heard(self, progress: dict[str, Any], life: Beginning, offset: int, now_us: int) -> None:
        where = Partition(progress["topic"], progress["partition"])
        self.watermarks.heard(
            where,
            progress["partitions"],
            progress["max_ts"],
            progress["next_offset"],
            progress["caught_up"],
            now_us,
            progress["resting"],
            life.life,
        )
        for state in self.models.values():
            if offset > state.through:
                state.merge.begin_life(where, life)

    def _is_strange(self, summary: dict[str, Any], where: Partition) -> bool:
        """Tell whether what is left out, of a log that is over, holds events newer than all that was counted."""
        is_new = summary["max_ts"] > self.watermarks.newest(summary["model"], where)
        return bool(summary["model"] and summary["sealed"] and is_new)

    def on_rollback_step(self, record: dict[str, Any]) -> None:
        """Fold a rollback step that was seen on the bus."""
        self.state(record["model"]).desk.on_step(record)

    def advance(self, model: str, offset: int, now_us: int) -> Effects:
        """Close and revise windows of one model, and decide."""
        state, spec = self.models[model], self.control.monitor(model)
        if not state.merge.has_news(spec, now_us):
            # Every second each model is asked what is new; a pane closes once a minute.
            state.through = offset
            return Effects()
        effects, verdicts = Effects(), []
        rows_by_pane: Counter[int] = Counter()
        ver = self._ver_base + offset
        for batch in state.merge.advance(spec, now_us):
            judgement = self.judge.judge(spec, batch, self._served(state, batch) if spec.skew else None)
            self._report(effects, report_record(model, spec.pane_us, ver, judgement))
            effects.closed_windows += batch.windows
            effects.revised_windows += int(np.count_nonzero(batch.revisions))
            verdicts += judgement.windows
            verdicts += self.classic.judge(spec, batch)
            verdicts += judge_promises(spec, batch)
            if batch.width == 1 and not batch.key[3]:
                self._note_layout(state, batch, spec.pane_us)
                if batch.key[1] == "predictions":
                    rows_by_pane.update(_fresh_panes(batch, spec.pane_us))
        closed_us = state.merge.closed_us.get("predictions")
        if closed_us is not None:
            verdicts += state.traffic.advance(spec, rows_by_pane, closed_us)
        late = state.merge.take_late()
        if late:
            self._report(effects, late_record(model, ver, late))
            effects.late_rows += sum(e.rows for e in late)
        self._decide(state, spec, verdicts, effects)
        state.through = offset
        return effects

    def _is_over(self, model: str, state: ModelState) -> bool:
        """Whether nobody declared a model, and all its windows are final and longer ago than any can look back.

        A rollback that may be asked for again stays. Alarms end with the model: no window is left to end them.
        """
        return state.merge.is_over and model not in self.control.monitors and state.desk.is_empty

    def _report(self, effects: Effects, report: dict[str, Any]) -> None:
        if self._on_report is None:
            effects.reports.append(report)
        else:
            self._on_report(report)

    def _served(self, state: ModelState, batch: WindowBatch) -> npt.NDArray[np.int64] | None:
        """Return what predictions carried in the windows of a batch of feature vectors, in the batch's layout."""
        version, source, _, segment = batch.key
        if source != "features":
            return None
        out = np.zeros((batch.windows, batch.layout.slots), dtype=np.int64)
        found = False
        for key in [k for k in state.merge.series if k[:2] == (version, "predictions") and k[3] == segment]:
            served = state.merge.window_counts(key, batch.width, batch.first_end, batch.windows)
            if served is None:
                continue
            counts, series = served
            for i, column in enumerate(batch.layout.columns):
                j = series.layout.index.get(column.key)
                if j is not None and series.layout.columns[j] == column:
                    out[:, batch.layout.slice_of(i)] += counts[:, series.layout.slice_of(j)]
                    found = True
        return out if found else None

    def _decide(
        self, state: ModelState, spec: MonitorSpec, verdicts: Iterable[WindowVerdict], effects: Effects
    ) -> None:
        for end_us, same_end in groupby(in_order(verdicts), key=lambda v: v.end_us):
            for said in same_end:
                verdict = with_importance(said, self.control.baselines.get((spec.model, said.version)))
                state.history.observe(verdict)
                state.changes.saw_verdict(verdict)
                state.desk.watch(verdict)
                if verdict.version and not verdict.segment:
                    state.last_window_us[verdict.version] = max(
                        state.last_window_us.get(verdict.version, 0), end_us
                    )
                steps = state.book.step(
                    verdict,
                    spec,
                    partial(self._attribution, state, spec),
                    partial(self._explained, state, spec),
                )
                effects.alarms += steps
                for step in steps:
                    if step.state == "resolved":
                        effects.rollbacks += self._consider(state, spec, step, end_us)
            # An alarm held up by a cooldown, or by a registry event that had yet to come, is taken up again.
            for alarm in state.book.open_alarms:
                effects.rollbacks += self._consider(state, spec, alarm, end_us)
            # One that is open only for others of its incident asks for nothing any more.
            for alarm in state.book.settled_alarms:
                effects.rollbacks += self._consider(state, spec, replace(alarm, state="resolved"), end_us)
            effects.rollbacks += state.desk.expire(end_us, spec)
            # Labels may be read days ahead of predictions: until these have come as far, what they show is not missing.
            seen_us = state.merge.closed_us.get("predictions")
            effects.rollbacks += state.desk.verify(min(end_us, seen_us or 0), self.registry, spec)
            self._retire(state, spec, end_us if seen_us is None else min(end_us, seen_us), effects)

    def _consider(
        self, state: ModelState, spec: MonitorSpec, alarm: AlarmStep, now_us: int
    ) -> list[RollbackStep]:
        return state.desk.consider(alarm, self.registry, spec, state.history.evidence(alarm.kind), now_us)

    def _attribution(self, state: ModelState, spec: MonitorSpec, step: AlarmStep) -> Attribution:
        return attribute(step, self.registry, spec, state.history.evidence(step.kind)).attribution

    def _explained(
        self, state: ModelState, spec: MonitorSpec, step: AlarmStep, verdict: WindowVerdict
    ) -> AlarmStep:
        evidence = state.history.evidence(step.kind)
        scene = Scene(state.merge, self.judge, self.control, self.registry, state.changes, evidence)
        return explain(step, verdict, spec, scene)

    def _note_layout(self, state: ModelState, batch: WindowBatch, pane_us: int) -> None:
        version, source, _, _ = batch.key
        first = np.flatnonzero(batch.rows)
        if len(first):
            known = {
                k[2]: s.layout
                for k, s in state.merge.series.items()
                if k[:2] == (version, source) and not k[3]
            }
            start_us = (batch.first_end - 1 + int(first[0])) * pane_us
            state.changes.saw_layout(version, source, batch.layout, start_us, known)

    def _retire(self, state: ModelState, spec: MonitorSpec, at_us: int, effects: Effects) -> None:
        """Resolve the alarms of versions that serve nothing any more: nobody can act on them."""
        for version, end in list(state.last_window_us.items()):
            if at_us - end > max(spec.horizons_us):
                for step in state.book.retire(version, at_us):
                    effects.alarms.append(step)
                    effects.rollbacks += self._consider(state, spec, step, at_us)
                del state.last_window_us[version]


def _fresh_panes(batch: WindowBatch, pane_us: int) -> dict[int, int]:
    """Rows by pane start, of panes that closed just now: revised ones were told before."""
    first = batch.first_end - 1
    return {
        (first + w) * pane_us: int(rows)
        for w, rows in enumerate(batch.rows)
        if rows and not batch.revisions[w]
    }


__all__ = ["Effects", "Judgement", "ModelState", "PartitionEngine"]
