"""Why an alarm is open: since when, with what, whether inputs or the score moved, who else sees it, and how it looks.

Everything comes from what the decisions keep anyway: the panes of the longest window, the registry, and what the
windows of other versions said. So an explanation is a function of the log like the alarm that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.joint.relations import standard_products
from detectors.joint.sums import means_of
from detectors.layout import MISSING, Column, Layout
from detectors.onset import estimate_onset, estimate_relation_onset
from seawall.baseline import Baseline
from seawall.monitor import DAY_US, HOUR_US, MonitorSpec
from streams.core.alarm_steps import ACROSS, ONSET_OF_WINDOW, AlarmStep, Culprit
from streams.core.changes import ChangeLog
from streams.core.drift_history import VersionDrift, VersionEvidence
from streams.core.histograms import Histogram, bars_of
from streams.core.incidents import Beside, Coincidence
from streams.core.judge import Judge, Reference
from streams.core.layouts import Control
from streams.core.merge import ModelMerge, widths
from streams.core.registry import RegistryView
from streams.core.series import Dense
from streams.core.verdicts import Verdict, WindowVerdict
from streams.core.words import SILENCE, list_text, utc_text

Floats = npt.NDArray[np.float64]
#: Culprits that are drawn and dated, worst first.
MAX_EXPLAINED = 5
MAX_COINCIDENCES = 5
#: A column is gone when at least this share of its rows lacks it, and it was there in half of them before.
_GONE, _WAS_THERE = 0.95, 0.5
#: Kinds that are about columns of one source of traffic.
_OF_COLUMNS = ("drift", "classic", "loss")
_OUTPUTS = ("score", "prediction")


@dataclass(frozen=True, slots=True)
class Scene:
    """What an explanation is drawn from: everything that is known of one model."""

    merge: ModelMerge
    judge: Judge
    control: Control
    registry: RegistryView
    changes: ChangeLog
    evidence: VersionEvidence
    """Of the alarm's kind."""


class _Panes(NamedTuple):
    """The panes behind an alarm, in one layout."""

    layout: Layout
    dense: Dense
    first: int
    """Number of the first pane."""
    is_cut: bool
    """Whether there may have been traffic before it."""
    reference: Reference
    told: Mapping[str, tuple[Baseline, int]]
    """Column key to the baseline that describes it, and where."""


def explain(step: AlarmStep, verdict: WindowVerdict, spec: MonitorSpec, scene: Scene) -> AlarmStep:
    """Add to a step what is known of why it is there."""
    if verdict.kind not in _OF_COLUMNS:
        onset_us, why = _onset_of_traffic(step, verdict)
        step = replace(step, onset_us=step.onset_us or onset_us, onset_why=step.onset_why or why)
        return replace(step, coincides=_coincidences(step, spec, scene, []), beside=_beside(step, scene))
    panes = list(_panes_of(verdict, spec, scene))
    features, schema = _explained(step.features, verdict, spec, panes)
    step = replace(step, features=features, moved=_moved(step.moved, verdict, panes))
    step = _dated(step, verdict, spec, panes)
    return replace(step, coincides=_coincidences(step, spec, scene, schema), beside=_beside(step, scene))


def with_importance(verdict: WindowVerdict, baseline: Baseline | None) -> WindowVerdict:
    """Say of each column how much the model makes of it, where the baseline knows."""
    if baseline is None or not verdict.columns:
        return verdict
    known = baseline.importances
    if not known:
        return verdict
    return replace(verdict, columns=tuple(replace(c, importance=known.get(c.key)) for c in verdict.columns))


def _onset_of_traffic(step: AlarmStep, verdict: WindowVerdict) -> tuple[int | None, str]:
    if verdict.kind == "volume":
        return step.opened_us - step.horizon_us, "the first hour of it"
    if verdict.kind == "freshness":
        silent_s = next((c.value for c in verdict.columns if c.statistic == SILENCE), 0.0)
        return verdict.end_us - int(silent_s * 1e6), "the last prediction before"
    return None, ""


def _panes_of(verdict: WindowVerdict, spec: MonitorSpec, scene: Scene) -> Iterator[_Panes]:
    """Lay out the panes up to the end of a window, as far back as the longest one reaches, layout by layout."""
    width = max(widths(spec))
    end = verdict.end_us // spec.pane_us
    baseline = scene.control.baselines.get((verdict.model, verdict.version))
    told = {f"{c.role}/{c.name}": (baseline, i) for i, c in enumerate(baseline.columns)} if baseline else {}
    for key, series in sorted(scene.merge.series.items()):
        if (key[0], key[1], key[3]) != (verdict.version, verdict.source, verdict.segment):
            continue
        reference = scene.judge.reference_of(spec, key, series.baseline_id, series.layout)
        if reference is None:
            continue
        first = max(end - width, scene.merge.first_pane(key))
        if first >= end:
            continue
        dense = scene.merge.dense(key, first, end - first)
        if dense.rows.any():
            yield _Panes(series.layout, dense, first, first == end - width, reference, told)


def _explained(
    features: tuple[Culprit, ...], verdict: WindowVerdict, spec: MonitorSpec, panes: list[_Panes]
) -> tuple[tuple[Culprit, ...], list[Coincidence]]:
    """Date and draw the worst columns; what only a change of schema explains is named as one."""
    out: list[Culprit] = []
    schema: list[Coincidence] = []
    start = verdict.start_us // spec.pane_us
    for n, culprit in enumerate(features):
        history = _history_of(culprit.key, panes, verdict, spec)
        if n >= MAX_EXPLAINED or history is None or culprit.role in {"segment", *ACROSS}:
            related = _related(culprit, verdict, panes, spec) if n < MAX_EXPLAINED else None
            out.append(
                replace(culprit, onset_us=_onset_of_pair(*related, start, spec)) if related else culprit
            )
            continue
        found, counts = history.panes, history.counts
        column, at = history.column, found.layout.slice_of(found.layout.index[culprit.key])
        starts = (history.first + np.arange(len(counts), dtype=np.int64)) * spec.pane_us
        seasons = found.reference.seasons
        expected = seasons.shares[seasons.slot_of(starts)][:, at]
        onset = estimate_onset(counts, expected, found.reference.rows, start=max(start - history.first, 0))
        told = found.told.get(culprit.key)
        onset_us = (history.first + onset) * spec.pane_us
        dated = replace(culprit, onset_us=onset_us)
        if told is not None:
            # What is drawn is what was judged: the window as one layout has it.
            seen = found.dense.counts[max(start - found.first, 0) :, at]
            rows = seen.sum(axis=1, keepdims=True)
            usual = (rows * expected[-len(seen) :]).sum(axis=0) / max(int(rows.sum()), 1)
            bars = bars_of(column, told[0].columns[told[1]], usual, seen.sum(axis=0))
            usual_mean = None if verdict.segment else told[0].columns[told[1]].mean
            dated = replace(
                dated,
                bins=bars.labels,
                before=bars.reference,
                after=bars.current,
                detail=_in_words(culprit, bars, usual_mean),
            )
        out.append(dated)
        if _is_gone(column, expected[onset:], counts[onset:]):
            schema.append(Coincidence("schema", onset_us, f"{culprit.name} all but ceasing to arrive"))
    return tuple(out), schema


def _in_words(culprit: Culprit, bars: Histogram, usual_mean: float | None) -> str:
    """Say of a distance what went where: the mean of a number beside the usual one, the value that moved most."""
    if culprit.statistic != "js" or culprit.role == "loss":
        return culprit.detail
    said, *limits = culprit.detail.split("; ")
    if said.startswith("mean ") and usual_mean is not None:
        return "; ".join([f"{said}, usually {usual_mean:.4g}", *limits])
    if not said and bars.labels:
        most = max(range(len(bars.labels)), key=lambda i: abs(bars.current[i] - bars.reference[i]))
        return f"{bars.labels[most]} {bars.current[most]:.1%}, usually {bars.reference[most]:.1%}"
    return culprit.detail


class _History(NamedTuple):
    """What panes of all layouts that hold a column alike counted of it."""

    column: Column
    counts: npt.NDArray[np.int64]
    """[panes, slots]"""
    first: int
    """Number of the first pane."""
    panes: _Panes
    """Those of the layout that was judged."""


def _history_of(key: str, panes: list[_Panes], verdict: WindowVerdict, spec: MonitorSpec) -> _History | None:
    """Put together what was counted of a column before and after its sender began to send others beside it.

    Panes of one layout alone are not enough: a fault that comes with other columns divides them just where it began.
    """
    holding = [p for p in panes if key in p.layout.index]
    if not holding:
        return None
    found = _judged(holding, verdict, spec)
    column = found.layout.columns[found.layout.index[key]]
    alike = [p for p in holding if p.layout.columns[p.layout.index[key]] == column]
    first = min(p.first for p in alike)
    counts = np.zeros((found.first - first + len(found.dense.counts), column.slots), dtype=np.int64)
    for p in alike:
        counts[p.first - first :] += p.dense.counts[:, p.layout.slice_of(p.layout.index[key])]
    return _History(column, counts, first, found)


def _judged(panes: list[_Panes], verdict: WindowVerdict, spec: MonitorSpec) -> _Panes:
    """Return the panes of the layout that a verdict is about, known by its rows; else those with most rows in it."""
    start = verdict.start_us // spec.pane_us
    seen = [int(p.dense.rows[max(start - p.first, 0) :].sum()) for p in panes]
    return panes[max(range(len(panes)), key=lambda i: (seen[i] == verdict.rows, seen[i]))]


def _is_gone(column: Column, expected: Floats, counts: npt.NDArray[np.int64]) -> bool:
    total = counts.sum()
    return bool(
        total
        and counts[:, MISSING].sum() / total >= _GONE
        and expected[:, MISSING].mean() <= 1 - _WAS_THERE
        and column.slots > 1
    )


def _related(
    culprit: Culprit, verdict: WindowVerdict, panes: list[_Panes], spec: MonitorSpec
) -> tuple[tuple[int, int], _Panes] | None:
    """Find both codes of a pair, and the panes with their sums."""
    column = next((c for c in verdict.columns if (c.key, c.detail) == (culprit.key, culprit.detail)), None)
    if column is None or len(column.codes) != 2:
        return None
    summed = [p for p in panes if _has_sums(p)]
    return ((column.codes[0], column.codes[1]), _judged(summed, verdict, spec)) if summed else None


def _has_sums(panes: _Panes) -> bool:
    joint, sums = panes.reference.joint, panes.dense.joint
    return joint is not None and sums is not None and sums.shape[1] == joint.plan.width and bool(sums.any())


def _onset_of_pair(pair: tuple[int, int], panes: _Panes, start: int, spec: MonitorSpec) -> int:
    """Date a changed relation by the sums that each pane keeps across columns."""
    joint, sums = panes.reference.joint, panes.dense.joint
    assert joint is not None  # noqa: S101 - `_related` gives no others
    assert sums is not None  # noqa: S101
    starts = (panes.first + np.arange(len(sums), dtype=np.int64)) * spec.pane_us
    usual = means_of(joint.per_slot[joint.seasons.slot_of(starts)], joint.plan)
    products, correlation = standard_products(sums, usual, pair)
    onset = estimate_relation_onset(sums[:, 0], products, correlation, start=start - panes.first)
    return (panes.first + onset) * spec.pane_us


def _dated(step: AlarmStep, verdict: WindowVerdict, spec: MonitorSpec, panes: list[_Panes]) -> AlarmStep:
    """Date the incident by its worst column. What was once estimated is kept: later windows know no better."""
    worst = next((c for c in step.culprits if c.onset_us is not None), None)
    if step.onset_us is not None:
        return step
    if worst is None:
        if not any(c.role in ACROSS for c in step.culprits):
            return step
        return replace(step, onset_us=step.opened_us - verdict.horizon_us, onset_why=ONSET_OF_WINDOW)
    related = _related(worst, verdict, panes, spec)
    history = None if related else _history_of(worst.key, panes, verdict, spec)
    first = history.first if history else related[1].first if related else None
    why = f"estimated from the panes of {worst.name}"
    if first is not None and worst.onset_us == first * spec.pane_us:
        is_cut = any(p.is_cut for p in panes if p.first == first)
        why = "or before: no older panes are kept" if is_cut else f"with the first traffic of {step.version}"
    return replace(step, onset_us=worst.onset_us, onset_why=why)


def _moved(before: str, verdict: WindowVerdict, panes: list[_Panes]) -> str:
    """Tell inputs from outputs, where both are watched. What relations show says less than what columns did before."""
    watched = {p.layout.columns[i].role for p in panes for i in np.flatnonzero(p.reference.known).tolist()}
    if "feature" not in watched or not watched & set(_OUTPUTS):
        return before
    drifted = [c for c in verdict.columns if c.verdict is Verdict.DRIFT]
    roles = {c.role for c in drifted if c.role not in ACROSS}
    if not roles and before:
        return before
    plan = next((p.reference.joint.plan for p in panes if p.reference.joint is not None), None)
    if not roles and plan is not None:
        keys = {key for c in drifted for key in ([c.odd] if c.odd else (plan.keys[code] for code in c.codes))}
        roles = {key.split("/", 1)[0] for key in keys}
    inputs, outputs = "feature" in roles, bool(roles & set(_OUTPUTS))
    if inputs and outputs:
        return "both"
    return "inputs" if inputs else "score" if outputs else before


def _coincidences(
    step: AlarmStep, spec: MonitorSpec, scene: Scene, schema: list[Coincidence]
) -> tuple[Coincidence, ...]:
    """Return what else happened when it began, nearest first."""
    if step.onset_us is None:
        return ()
    onset_us = step.onset_us
    near_us = max(HOUR_US, 2 * spec.pane_us)
    found = [c for c in scene.changes.between(onset_us - near_us, onset_us + near_us) if c.kind != step.kind]
    # A column that is gone long after it began is news, and told by its numbers; it did not begin with it.
    found += [c for c in schema if abs(c.at_us - onset_us) <= near_us]
    for event in scene.registry.as_of(step.model, step.window_end_us).events(step.model):
        at_us = int(event["ts"])
        if event["action"] != "promoted" or abs(at_us - onset_us) > near_us:
            continue
        # Services run a version before the registry hears of it; another one did not begin before it was there.
        if event["version"] != step.version and at_us >= onset_us + 2 * spec.pane_us:
            continue
        kind, said = (
            ("rollback", "the rollback to") if event.get("rollback_id") else ("release", "the release of")
        )
        found.append(Coincidence(kind, at_us, f"{said} {event['version']} at {utc_text(at_us)}"))
    distinct = dict.fromkeys(sorted(found, key=lambda c: (abs(c.at_us - onset_us), c)))
    return tuple(distinct)[:MAX_COINCIDENCES]


def _beside(step: AlarmStep, scene: Scene) -> Beside | None:
    """Tell whether another version sees it: the one in production, or of that one the one before."""
    registry = scene.registry.as_of(step.model, step.window_end_us)
    current = registry.current(step.model)
    name = registry.previous(step.model) if step.version == current else current
    if not name or not step.version or step.segment or not step.culprits:
        return None
    other = scene.evidence.of(name)
    since_us = step.onset_us if step.onset_us is not None else step.opened_us - step.horizon_us
    # Of an alarm that has been open for months it matters what the other version sees now.
    since_us = max(since_us, step.window_start_us - DAY_US)
    # A window in the place of the first one that drifted here has seen as much of it, unless that version served alone
    # until a release in its midst: then it has seen nothing.
    from_us = step.opened_us - step.horizon_us
    if step.version == current:
        from_us = max(from_us, min(registry.released_us(step.model) or from_us, step.opened_us))
    return Beside(name, *_seen_by(name, other, step, since_us, from_us))


def _seen_by(name: str, other: VersionDrift, step: AlarmStep, since_us: int, from_us: int) -> tuple[str, str]:
    """Return whether a version sees it (yes, partly, no, unknown), and the sentence that says so.

    A stable window from `from_us` on says that it does not.
    """
    shared = [c.name for c in step.culprits if _drifts(other, c.key, since_us)]
    alone = [c.name for c in step.culprits if c.name not in shared]
    if shared and not alone:
        return "yes", f"{name} sees it too, on {list_text(shared)}"
    if shared:
        return "partly", f"{name} sees {list_text(shared)} move too, but not {list_text(alone)}"
    if other.stable_from_us is not None and other.stable_from_us >= from_us:
        return "no", f"{name} is stable on the traffic of the same time"
    before_us = since_us - DAY_US
    if not other.was_judged_since(before_us):
        return "unknown", f"{name} was not watched at the time"
    if other.was_judged_since(step.window_end_us):
        return "unknown", f"{name} does not show it, but its windows reach back to before it"
    seen = (
        "drifted on the same"
        if any(_drifts(other, c.key, before_us) for c in step.culprits)
        else "saw none of it"
    )
    return "unknown", f"{name} has had no window to judge since, and {seen} the day before"


def _drifts(other: VersionDrift, key: str, since_us: int) -> bool:
    span = other.columns.get(key)
    return span is not None and span.last_us >= since_us
