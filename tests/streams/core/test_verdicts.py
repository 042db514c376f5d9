"""The five verdicts: what each means, and that every number comes with what chance alone would give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detectors.evidence.shares import share_at_chance
from seawall.monitor import ColumnRule, Effects, MonitorSpec
from streams.core.alarms import AlarmBook, in_order
from streams.core.build_baseline import build_baseline
from streams.core.judge import Judge
from streams.core.layouts import Control
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict
from tests.streams.core.test_classic import batch_of, panes
from tests.streams.core.test_explain import AT, PANE, SPEC, baseline, effects_of, history, told


def judged(spec: MonitorSpec, batch, *, of: str = "v1", **importance: float):
    control = Control()
    control.set_monitor(spec)
    control.set_baseline(baseline(of, **importance))
    return Judge(control).judge(spec, batch)


def test_without_a_baseline_there_is_not_enough_data() -> None:
    batch = replace(batch_of(panes(10)), baseline_id="")
    assert set(judged(SPEC, batch, of="v2").verdicts.tolist()) == {Verdict.NOT_ENOUGH_DATA}


def test_a_baseline_that_does_not_fit_what_was_counted_is_an_error_and_too_few_rows_are_none() -> None:
    batch = replace(batch_of(panes(10)), baseline_id="of yesterday")
    found = judged(SPEC, batch)
    assert set(found.verdicts.tolist()) == {Verdict.ERROR}
    assert {w.verdict for w in found.windows} == {Verdict.ERROR}
    few = replace(SPEC, min_rows=10**6)
    assert set(judged(few, batch).verdicts.tolist()) == {Verdict.NOT_ENOUGH_DATA}


def test_stable_drift_and_not_enough_are_told_apart_column_by_column() -> None:
    batch = batch_of(panes(10, shift_from=0))
    found = judged(SPEC, batch)
    at = batch.layout.index["feature/x"]
    assert set(found.column_verdicts[:, at].tolist()) == {Verdict.DRIFT}
    assert Verdict.DRIFT not in found.column_verdicts[:, batch.layout.index["feature/y"]]
    ignoring = replace(SPEC, columns={})
    assert set(judged(ignoring, batch).verdicts.tolist()) == {Verdict.DRIFT}


def _drifted(spec: MonitorSpec, missing: float) -> set[str]:
    """Columns that drift when a share of y, and the same share of x, is missing."""
    batch = batch_of(panes(10, seed=4))
    for name in ("x", "y"):
        at = batch.layout.slice_of(batch.layout.index[f"feature/{name}"])
        gone = np.random.default_rng(5).binomial(batch.counts[:, at], missing)
        batch.counts[:, at] -= gone
        batch.counts[:, at.start] += gone.sum(axis=1)
    verdicts = judged(spec, batch).column_verdicts
    return {c.name for i, c in enumerate(batch.layout.columns) if (verdicts[:, i] == Verdict.DRIFT).all()}


def test_the_smallest_missing_share_that_drifts_is_the_owners_for_all_columns_and_for_one() -> None:
    plain = replace(SPEC, columns={})
    assert _drifted(plain, 0.2) == {"x", "y"}
    assert _drifted(replace(plain, effects=Effects(missing=0.3)), 0.2) == set()
    assert _drifted(replace(plain, columns={"y": ColumnRule(effects={"missing": 0.3})}), 0.2) == {"x"}
    only_y = replace(plain, effects=Effects(missing=0.3), columns={"y": ColumnRule(effects={"missing": 0.1})})
    assert _drifted(only_y, 0.2) == {"y"}


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.DRIFT])
def test_nothing_but_drift_opens(verdict: Verdict) -> None:
    assert all(not s for s in _told([verdict] * 9))


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.STABLE])
def test_nothing_but_stable_closes(verdict: Verdict) -> None:
    states = [s.state for steps in _told([Verdict.DRIFT, Verdict.DRIFT, *[verdict] * 20]) for s in steps]
    assert states == ["open"]


def _told(verdicts: list[Verdict]):
    book, spec = AlarmBook("m"), MonitorSpec("m", open_after=2, resolve_after=2)
    column = ColumnVerdict("x", "feature", Verdict.DRIFT, "js", 0.3, 0.1, 0.02)
    windows = [
        WindowVerdict("m", "v", "predictions", "", PANE, i * PANE, (i + 1) * PANE, 99, v, "drift", (column,))
        for i, v in enumerate(verdicts, 1)
    ]
    return [book.step(w, spec) for w in in_order(windows)]


@pytest.mark.parametrize(("usual", "rows"), [(0.0, 100), (0.01, 300), (0.2, 50), (0.5, 1000), (1.0, 40)])
def test_chance_seldom_passes_the_share_that_is_told_for_it_on_either_side(usual: float, rows: int) -> None:
    rng = np.random.default_rng(rows)
    drawn = rng.binomial(rows, usual, 20_000) / rows
    assert np.mean(drawn > share_at_chance(usual, rows, above=True)) <= 0.055
    assert np.mean(drawn < share_at_chance(usual, rows, above=False)) <= 0.055
    assert share_at_chance(usual, rows, above=False) <= usual + 1 / rows
    assert share_at_chance(usual, rows, above=True) >= usual - 1 / rows


def test_every_number_that_is_told_comes_with_what_chance_gives() -> None:
    """Distances, missing shares, silences and volumes: chance is a number, and on the near side of the limit."""
    columns = history(0, 6000, 2)
    columns.numeric["y"][AT:] = np.nan
    columns.numeric["x"][AT:] += 3
    steps = told(columns, spec=replace(SPEC, freshness_us=60 * 60_000_000))
    features = [f for s in steps for f in s.features if f.role != "segment"]
    assert {f.statistic for f in features} >= {"js", "missing_share"}
    for f in features:
        assert 0 < f.chance < f.limit
        assert f.ratio >= 1


def test_a_share_that_falls_is_ranked_by_how_far_it_fell() -> None:
    """Of a column that is half missing in its baseline nothing is missing any more: far from usual, below the limit."""
    rng = np.random.default_rng(3)
    columns = history(0, 6000, 2)
    reference = history(-40_000, 40_000, 1)
    reference.numeric["y"][rng.random(40_000) < 0.5] = np.nan
    built = build_baseline(reference, model="m", version="v1", now_us=0)
    steps = [s for e in effects_of(columns, baselines=[built]) for s in e.alarms if s.kind == "drift"]
    worst = next(f for s in steps for f in s.culprits if f.statistic == "missing_share")
    assert (worst.name, worst.value) == ("y", 0.0)
    assert worst.value < worst.limit
    assert worst.limit < worst.chance < 0.5
    assert worst.ratio == pytest.approx((0.5 - worst.value) / (0.5 - worst.limit), rel=0.01)


def test_relations_near_their_limit_are_no_warning_for_the_window() -> None:
    """Of many pairs of columns the furthest is always near its limit. Were that a warning, no alarm would end."""
    reports = [
        r
        for e in effects_of(history(0, 6000, 9))
        for r in e.reports
        if r["stats"] and not r["segment"] and r["source"] == "predictions"
    ]
    warned = 0
    for report in reports:
        windows = np.frombuffer(report["verdicts"], "i1")
        columns = np.frombuffer(report["column_verdicts"], "i1").reshape(len(windows), -1)
        worst = np.where(columns == Verdict.NOT_ENOUGH_DATA, -1, columns).max(axis=1)
        warned += int(np.count_nonzero((windows == Verdict.WARNING) & (worst < Verdict.WARNING)))
    assert reports
    assert warned == 0


def test_the_first_missing_values_need_a_tenth_of_the_effect_unless_the_owner_says_how_many() -> None:
    plain = replace(SPEC, columns={})
    assert _drifted(plain, 0.04) == {"x", "y"}
    assert _drifted(replace(plain, effects=Effects(missing=0.06)), 0.04) == set()
    own = {"y": ColumnRule(effects={"missing": 0.05})}
    assert _drifted(replace(plain, columns=own), 0.04) == {"x"}
