"""Classic detectors by name in the worker: the registry's own verdicts, through the life of alarms."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from detectors.layout import Column
from detectors.registry import Calibration, column_detector, statistic
from seawall.monitor import ColumnRule, DetectorRule, MonitorSpec
from streams.core.alarm_steps import AlarmStep
from streams.core.classic import ClassicJudge
from streams.core.layouts import Control, baseline_layout
from streams.core.series import WindowBatch
from streams.core.verdicts import Verdict
from tests.streams.core.test_explain import AT, PANE, SPEC, at_us, baseline, history, shifted, told

PSI = DetectorRule("psi", above=0.2)
ADWIN = DetectorRule("adwin")
NAMED = replace(SPEC, detectors=(PSI,))


def of_kind(steps: list[AlarmStep], kind: str = "classic") -> list[AlarmStep]:
    return [s for s in steps if s.kind == kind]


def batch_of(counts: np.ndarray, width: int = 6, first_end: int = 100) -> WindowBatch:
    """Windows of `width` panes over consecutive panes of the baseline's layout."""
    built = baseline()
    layout = baseline_layout(built, "predictions")
    dense = counts.astype(np.int64)
    windows = np.array([dense[i : i + width].sum(axis=0) for i in range(len(dense) - width + 1)])
    first = layout.slice_of(0)
    rows = windows[:, first].sum(axis=1)
    n = len(windows)
    return WindowBatch(
        ("v1", "predictions", layout.layout_id, ""), layout, built.baseline_id, width, first_end, rows,
        rows.astype(float), windows, np.full((n, len(layout.numeric), 4), np.nan),
        np.zeros((n, len(layout.categorical), 256), np.uint8), np.zeros(n, np.int32), dense[:, first].sum(axis=1),
        pane_counts=dense,
    )  # fmt: skip


def panes(number: int, shift_from: int | None = None, seed: int = 0) -> np.ndarray:
    """Counts of panes drawn from the baseline; from one on, x is all in its highest bin."""
    built, rng = baseline(), np.random.default_rng(seed)
    layout = baseline_layout(built, "predictions")
    whole = built.pane_counts.sum(axis=0)
    out = np.zeros((number, layout.slots))
    known = baseline_layout(built)
    for i, column in enumerate(layout.columns):
        counts = whole[known.slice_of(known.index[column.key])]
        out[:, layout.slice_of(i)] = rng.multinomial(40, counts / counts.sum(), size=number)
        if column.name == "x" and shift_from is not None:
            moved = np.zeros(column.slots)
            moved[-2] = 40
            out[shift_from:, layout.slice_of(i)] = moved
    return out


def in_deciles(
    column: Column, reference: np.ndarray, counts: np.ndarray
) -> tuple[Column, np.ndarray, np.ndarray]:
    """Join bins the slow way: each to the tenth of the reference in which its upper end lies nearest."""
    inside = reference[3:-1].tolist()
    total = sum(inside)

    def nearest(share: float) -> int:
        return min(range(1, len(inside)), key=lambda e: abs(sum(inside[:e]) - total * share))

    cuts = [0, *sorted({nearest(tenth / 10) for tenth in range(1, 10)}), len(inside)]

    def joined(slots: np.ndarray) -> list[int]:
        bins = [int(slots[3 + a : 3 + b].sum()) for a, b in pairwise(cuts)]
        return [*slots[:3].tolist(), *bins, int(slots[-1])]

    coarse = Column(column.name, column.role, "numeric", tuple(column.edges[c] for c in cuts))
    return coarse, np.array(joined(reference)), np.array([joined(w) for w in counts])


def judge(spec: MonitorSpec, batch: WindowBatch) -> list:
    control = Control()
    control.set_monitor(spec)
    control.set_baseline(baseline())
    return ClassicJudge(control).judge(spec, batch)


@pytest.mark.parametrize(
    "rule",
    [
        PSI, DetectorRule("ks", p=0.01), DetectorRule("js", calibrated=0.02), DetectorRule("chi2"), DetectorRule("z_test"),
        DetectorRule("anderson_darling", p=0.001), DetectorRule("fisher"), DetectorRule("energy"),
    ],
    ids=lambda r: r.said,
)  # fmt: skip
def test_its_verdicts_are_the_registrys_on_the_same_counts(rule: DetectorRule) -> None:
    batch = batch_of(panes(40, shift_from=30))
    said = judge(replace(SPEC, detectors=(rule,)), batch)
    built = baseline()
    whole = baseline_layout(built)
    for i, column in enumerate(batch.layout.columns):
        if column.kind == "categorical" and rule.name in {"ks", "anderson_darling", "energy"}:
            continue
        reference = built.pane_counts[:, whole.slice_of(whole.index[column.key])].sum(axis=0)
        counts = batch.counts[:, batch.layout.slice_of(i)]
        if column.kind == "numeric" and not statistic(rule.name).is_exact_on_samples:
            column, reference, counts = in_deciles(column, reference, counts)  # noqa: PLW2901 - the same, coarser
        calibration = None if rule.calibrated is None else Calibration(rule.calibrated, 1000)
        detector = column_detector(
            rule.name, column, reference, threshold=rule.above, p=rule.p, calibration=calibration
        )
        expected = detector.counts_alarm(counts).tolist()
        assert [any(c.key == column.key for c in v.columns) for v in said] == expected
    assert said[-1].verdict is Verdict.DRIFT
    worst = next(c for c in said[-1].columns if c.name == "x")
    assert worst.value > worst.limit
    assert 0 < worst.chance < worst.value


def test_an_alarm_of_its_own_kind_says_that_it_is_outside_the_budget_and_pages_as_a_warning() -> None:
    # So large an effect is asked for that the evidence keeps quiet.
    steps = told(shifted(by=4.0), spec=replace(NAMED, effect=1.0))
    opened = of_kind(steps)[0]
    assert (opened.state, opened.severity, opened.incident_id) == ("open", "warning", opened.alarm_id)
    assert "outside the budget of false pages (psi " in opened.summary
    assert opened.notify == NAMED.notify
    assert opened.attribution == "unknown"
    assert opened.onset_us is not None
    assert abs(opened.onset_us - at_us(AT)) <= PANE
    assert opened.culprits[0].bins


def test_within_an_incident_of_the_budget_it_pages_nobody() -> None:
    steps = told(shifted(by=4.0), spec=replace(NAMED, notify=("log",)))
    drift = of_kind(steps, "drift")[0]
    later = [s for s in of_kind(steps) if s.updated_us > drift.updated_us and s.state != "resolved"]
    assert all(s.is_joined and not s.notify for s in later)


def test_quiet_traffic_and_no_detectors_say_nothing() -> None:
    quiet = history(0, 3000, 9)
    # At 120 rows a window PSI is above .2 by chance in one of 250; above .5 it never is.
    assert of_kind(told(quiet, spec=replace(SPEC, detectors=(DetectorRule("psi", above=0.5),)))) == []
    assert of_kind(told(shifted(by=4.0))) == []


def test_it_resolves_when_windows_are_back_below_the_limit() -> None:
    columns = history(0, 6000, 2)
    columns.numeric["x"][2000:2600] += 4.0
    states = [s.state for s in of_kind(told(columns, spec=replace(NAMED, effect=1.0)))]
    assert states[0] == "open"
    assert states[-1] == "resolved"


def test_a_columns_own_detectors_watch_that_column_alone() -> None:
    spec = replace(SPEC, effect=1.0, columns={"y": ColumnRule(detectors=(PSI,))})
    assert of_kind(told(shifted("x", 4.0), spec=spec)) == []
    assert {c.name for s in of_kind(told(shifted("y", 4.0), spec=spec)) for c in s.culprits} == {"y"}


def test_an_ignored_column_is_not_watched() -> None:
    spec = replace(NAMED, effect=1.0, columns={"x": ColumnRule(ignore=True)})
    assert of_kind(told(shifted("x", 4.0), spec=spec)) == []


def test_too_few_rows_are_not_enough_data() -> None:
    assert {v.verdict for v in judge(replace(NAMED, min_rows=10_000), batch_of(panes(10, 0)))} == {
        Verdict.NOT_ENOUGH_DATA
    }


def test_a_stream_detector_signals_a_change_within_the_longest_window_and_forgets_it_when_it_has_left() -> (
    None
):
    spec = replace(SPEC, horizons_us=(40 * PANE,), detectors=(ADWIN,))
    counts = panes(140)
    layout = baseline_layout(baseline(), "predictions")
    at = layout.slice_of(layout.index["feature/x"])
    moved = panes(140, shift_from=0)
    counts[60:, at] = moved[60:, at]
    said = judge(spec, batch_of(counts, 40))
    named = [any(c.statistic == "adwin" and c.name == "x" for c in v.columns) for v in said]
    # Window w holds panes w to w + 39: the change is inside from w = 21 on, and has left at w = 60.
    assert not any(named[:21])
    assert any(named[24:40])
    assert not any(named[60:])
    worst = next(c for v in said for c in v.columns if c.name == "x")
    assert worst.limit == 1.0
    assert worst.chance < 1.0


def test_stream_detectors_say_the_same_however_the_panes_are_batched() -> None:
    spec = replace(SPEC, horizons_us=(40 * PANE,), detectors=(ADWIN, DetectorRule("page_hinkley")))
    counts = panes(80, shift_from=50)
    whole = judge(spec, batch_of(counts, 40))
    parts = [v for i in range(41) for v in judge(spec, batch_of(counts[i : i + 40], 40, 100 + i))]
    assert [v.columns for v in whole] == [v.columns for v in parts]


def test_a_column_that_the_baseline_lacks_and_segments_are_left_alone() -> None:
    batch = batch_of(panes(10, 0))
    assert judge(NAMED, replace(batch, key=("v1", "predictions", "l", "origin=JFK"))) == []
    assert judge(NAMED, replace(batch, key=("v1", "features", "l", ""))) == []
    assert judge(NAMED, replace(batch, baseline_id="other")) == []
