"""The promise, measured: quiet traffic pages within its budget, gross faults within three panes.

Short and seeded; `python -m benchmarks.detection.arl` is the long version, with intervals and delays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from benchmarks.detection.arl import ONSET_HOUR, SPEC, garwood
from benchmarks.detection.play import batches, play
from benchmarks.detection.traffic import HOUR_US, QUIET, T0_US, Fault, Floats, Ints, Traffic, with_features
from detectors.summary import REGISTERS
from seawall.baseline import Baseline
from seawall.frames import Categorical
from streams.core.judge import Judge
from streams.core.layouts import Control, baseline_layout
from streams.core.merge import ModelMerge
from streams.core.series import Cells, Series
from streams.core.verdicts import Verdict
from streams.core.watermark import Watermarks

DAYS = 60
KINDS = [QUIET[0], QUIET[3], QUIET[5], QUIET[8]]
LEVEL = KINDS[2]


@pytest.fixture(scope="module")
def baselines() -> dict[str, Baseline]:
    return {t.name: t.baseline(42, 1) for t in KINDS}


@pytest.fixture(scope="module")
def judges(baselines: dict[str, Baseline]) -> dict[str, Judge]:
    return {name: judge_of(baseline) for name, baseline in baselines.items()}


def judge_of(baseline: Baseline) -> Judge:
    control = Control()
    control.set_baseline(baseline)
    return Judge(control)


def test_quiet_traffic_pages_within_its_budget(baselines: dict[str, Baseline], judges: dict[str, Judge]):
    """All kinds together, so that few days prove something: at most one page in 30 days, beyond doubt."""
    pages = 0
    for traffic in KINDS:
        baseline = baselines[traffic.name]
        layout, counts = traffic.counts(baseline, DAYS, 2)
        pages += len(play(baseline, layout, counts, SPEC, judges[traffic.name]).opened)
    budget = len(KINDS) * DAYS / 30
    assert garwood(pages)[1] <= 2 * budget
    assert pages <= budget


@pytest.mark.parametrize(
    "fault",
    [Fault("unit", 1000.0, ONSET_HOUR), Fault("swap", 0.0, ONSET_HOUR), Fault("missing", 1.0, ONSET_HOUR, 2)],
)
def test_a_gross_fault_is_paged_within_three_panes(
    fault: Fault, baselines: dict[str, Baseline], judges: dict[str, Judge]
):
    for traffic in KINDS:
        baseline = baselines[traffic.name]
        layout, counts = traffic.counts(baseline, 8, 3, (fault,))
        page = play(baseline, layout, counts, SPEC, judges[traffic.name]).first_page_after(ONSET_HOUR)
        assert page is not None
        assert page.updated_us <= T0_US + (ONSET_HOUR + 3) * HOUR_US
        assert page.features[0].name == f"x{fault.feature:03}"


@pytest.mark.parametrize("level_std", [0.2, 0.3])
def test_a_baseline_of_two_days_keeps_the_budget_where_a_level_wanders_for_hours(level_std: float):
    """Two days are some five looks at such a level, which may be close together: 7 pages in 30 days, once."""
    traffic = replace(LEVEL, level_std=level_std)
    pages = 0
    for seed in range(3):
        baseline = traffic.baseline(2, 100 + seed)
        layout, counts = traffic.counts(baseline, 30, 200 + seed)
        across = traffic.joint(baseline, 30, 200 + seed)
        pages += len(play(baseline, layout, counts, SPEC, joint=across).opened)
    assert pages <= 3


@pytest.mark.parametrize("days", [1, 2])
@pytest.mark.parametrize(
    "fault",
    [
        Fault("unit", 1000.0, 30),
        Fault("swap", 0.0, 30),
        Fault("missing", 1.0, 30, 2),
        Fault("missing", 0.6, 30, 2),
    ],
)
def test_a_gross_fault_is_paged_within_three_panes_however_short_the_baseline_is(fault: Fault, days: int):
    for traffic in (KINDS[0], LEVEL):
        baseline = traffic.baseline(days, 100)
        layout, counts = traffic.counts(baseline, 2, 200, (fault,))
        page = play(baseline, layout, counts, SPEC).first_page_after(30)
        assert page is not None
        assert page.updated_us <= T0_US + 33 * HOUR_US
        assert page.features[0].name == f"x{fault.feature:03}"


@pytest.mark.parametrize("kind", [3, 5, 8])
def test_a_baseline_without_times_keeps_the_budget_however_alike_rows_are_and_however_levels_wander(
    kind: int,
):
    """It shows neither. Rows that resemble their neighbours (3) paged once or twice in 30 days, once."""
    traffic = QUIET[kind]
    pages = 0
    for seed in range(2):
        baseline = traffic.baseline(42, 300 + seed, times=False)
        layout, counts = traffic.counts(baseline, 120, 400 + seed)
        pages += len(play(baseline, layout, counts, SPEC).opened)
    assert pages <= 2


@pytest.mark.parametrize(
    "fault", [Fault("unit", 1000.0, 33), Fault("swap", 0.0, 33), Fault("missing", 1.0, 33, 2)]
)
def test_a_gross_fault_is_paged_within_three_panes_by_a_baseline_without_times(fault: Fault):
    for traffic in KINDS:
        baseline = traffic.baseline(28, 100, times=False)
        layout, counts = traffic.counts(baseline, 2, 200, (fault,))
        page = play(baseline, layout, counts, SPEC).first_page_after(33)
        assert page is not None
        assert page.updated_us <= T0_US + 36 * HOUR_US
        assert page.features[0].name == f"x{fault.feature:03}"


@dataclass(frozen=True)
class NearlyEmpty(Traffic):
    """Traffic of which 99 values in a hundred are missing, in every column."""

    def _column(
        self, i: int, seed: int, hour: Ints, common: Floats, faults: tuple[Fault, ...] = ()
    ) -> Floats | Categorical:
        values = super()._column(i, seed, hour, common, faults)
        gone = np.random.default_rng([seed, 9, i]).random(len(hour)) < 0.99
        if isinstance(values, Categorical):
            return Categorical(np.where(gone, -1, values.codes).astype(np.int32), values.dictionary)
        return np.where(gone, np.nan, values)


@pytest.mark.parametrize(("days", "times"), [(1, True), (2, True), (28, False)])
def test_a_nearly_empty_column_keeps_the_budget_of_a_baseline_that_cannot_teach_it(days: int, times: bool):
    """One value in an hour is anywhere, and a distance of one: 5 pages in 30 days of one day's baseline, and 11 of none."""
    pages = 0
    for seed in range(2):
        traffic = NearlyEmpty("nearly empty")
        baseline = traffic.baseline(days, 500 + seed, times=times)
        layout, counts = traffic.counts(baseline, 30, 600 + seed)
        pages += len(play(baseline, layout, counts, SPEC).opened)
    assert pages <= 1


@pytest.mark.parametrize(("days", "times"), [(1, True), (28, False)])
def test_a_nearly_empty_column_whose_unit_changes_is_paged_once_there_are_enough_values(
    days: int, times: bool
):
    """Six values an hour: there are twenty of them after four."""
    traffic = NearlyEmpty("nearly empty", rows=600.0)
    baseline = traffic.baseline(days, 500, times=times)
    layout, counts = traffic.counts(baseline, 2, 600, (Fault("unit", 1000.0, 30),))
    page = play(baseline, layout, counts, SPEC).first_page_after(30)
    assert page is not None
    assert page.features[0].name == "x000"
    assert page.updated_us <= T0_US + 37 * HOUR_US


def test_what_a_short_baseline_shows_itself_is_not_gross():
    """A value that is missing for two hours of each day, in the baseline too."""
    traffic, name = KINDS[0], "feature/x000"
    baseline = traffic.baseline(2, 1)
    layout, counts = traffic.counts(baseline, 12, 2)
    panes, of_baseline = baseline.pane_counts.copy(), baseline_layout(baseline)
    for hours in (
        panes[:, of_baseline.slice_of(of_baseline.index[name])],
        counts[:, layout.slice_of(layout.index[name])],
    ):
        for night in (hours[3::24], hours[4::24]):
            rows = night.sum(axis=1)
            night[:] = 0
            night[:, 0] = rows
    assert play(replace(baseline, pane_counts=panes, joint=None), layout, counts, SPEC).opened == []


def test_traffic_that_is_fifty_times_as_dense_as_its_baseline_keeps_the_budget():
    """What a level wanders by is hidden by chance in hours of twenty rows, and is all there is to see in a thousand."""
    sparse = replace(LEVEL, rows=20.0, level_std=0.1)
    dense = replace(sparse, rows=1000.0)
    pages = 0
    for seed in range(3):
        baseline = sparse.baseline(42, 100 + seed)
        layout, counts = dense.counts(baseline, 30, 200 + seed)
        across = dense.joint(baseline, 30, 200 + seed)
        pages += len(play(baseline, layout, counts, SPEC, joint=across).opened)
    assert pages <= 3


def test_a_window_far_beyond_what_a_single_one_may_pages_without_waiting_for_a_second(
    baselines: dict[str, Baseline], judges: dict[str, Judge]
):
    """All values missing where one in a hundred usually is: one hour of that is proof."""
    traffic = KINDS[0]
    fault = Fault("missing", 1.0, ONSET_HOUR, 2)
    layout, counts = traffic.counts(baselines[traffic.name], 8, 3, (fault,))
    played = play(baselines[traffic.name], layout, counts, SPEC, judges[traffic.name])
    page = played.first_page_after(ONSET_HOUR)
    assert page is not None
    assert page.updated_us == T0_US + (ONSET_HOUR + 1) * HOUR_US
    assert all(v.sudden for v in played.verdicts if v.end_us == page.updated_us and v.horizon_us == HOUR_US)


def test_only_drift_is_sudden_and_a_single_window_needs_at_least_as_much_as_a_run(
    baselines: dict[str, Baseline], judges: dict[str, Judge]
):
    for traffic in KINDS:
        baseline = baselines[traffic.name]
        layout, counts = traffic.counts(baseline, 2, 5)
        judge = judges[traffic.name]
        for width in (1, 6, 24):
            batch = next(iter(batches(layout, counts, width, baseline.baseline_id)))
            reference = judge.reference(SPEC, batch)
            assert reference is not None
            calibration = judge.calibration(SPEC, batch, reference)
            assert calibration.sudden >= calibration.limit.score
            assert not any(v.sudden and v.verdict != Verdict.DRIFT for v in judge.judge(SPEC, batch).windows)


def test_a_change_of_spread_is_paged_under_a_wandering_level(
    baselines: dict[str, Baseline], judges: dict[str, Judge]
):
    """The level wanders by itself and hides a distance; the spread does not."""
    traffic = next(t for t in KINDS if t.level_std and not t.daily)
    layout, counts = traffic.counts(baselines[traffic.name], 10, 4, (Fault("scale", 1.5, ONSET_HOUR, 0),))
    page = play(baselines[traffic.name], layout, counts, SPEC, judges[traffic.name]).first_page_after(
        ONSET_HOUR
    )
    assert page is not None
    assert page.updated_us <= T0_US + (ONSET_HOUR + 24) * HOUR_US


def test_a_small_lasting_shift_is_paged_although_quiet_traffic_is_not(
    baselines: dict[str, Baseline], judges: dict[str, Judge]
):
    traffic = KINDS[0]
    layout, counts = traffic.counts(baselines[traffic.name], 9, 4, (Fault("mean", 0.5, ONSET_HOUR),))
    page = play(baselines[traffic.name], layout, counts, SPEC, judges[traffic.name]).first_page_after(
        ONSET_HOUR
    )
    assert page is not None
    assert page.updated_us <= T0_US + (ONSET_HOUR + 12) * HOUR_US


def test_correlated_columns_and_segments_share_one_budget(baselines: dict[str, Baseline]):
    """The limit rises with what shares the budget: horizons, and segments."""
    traffic = KINDS[0]
    baseline = baselines[traffic.name]
    judge = judge_of(baseline)
    layout, counts = traffic.counts(baseline, 2, 5)
    batch = next(iter(batches(layout, counts, 6, baseline.baseline_id)))
    reference = judge.reference(SPEC, batch)
    assert reference is not None

    def limit(**changes: object) -> float:
        return judge.calibration(replace(SPEC, **changes), batch, reference).limit.score  # type: ignore[arg-type]

    assert limit(horizons_us=(6 * HOUR_US,)) < limit() < limit(segments=("x004",))
    assert limit(false_pages=10.0) < limit() < limit(false_pages=0.1)


def test_the_direct_path_makes_the_windows_that_merging_makes():
    traffic = with_features(Traffic("small", rows=20.0), 3)
    baseline = traffic.baseline(8, 1)
    layout, counts = traffic.counts(baseline, 4, 2)
    merge = ModelMerge("m", Watermarks({"predictions": "predictions"}, 0, replay=True))
    key = ("v1", "predictions", layout.layout_id, "")
    merge.follow(SPEC)
    series = merge.series[key] = Series(layout, baseline.baseline_id, HOUR_US)
    starts = np.arange(len(counts), dtype=np.int64) * HOUR_US + T0_US
    rows = np.add.reduceat(counts, layout.first_slots, axis=1).max(axis=1).astype(np.int64)
    n = len(starts)
    empty = np.full((n, len(layout.numeric), 4), np.nan)
    distinct = np.zeros((n, len(layout.categorical), REGISTERS), dtype=np.uint8)
    series.add(Cells(starts, rows, rows.astype(np.float64), counts.astype(np.int64), empty, distinct))
    merge.first_us["v1", "predictions"] = T0_US
    for width in (1, 6, 24):
        direct = list(batches(layout, counts, width, baseline.baseline_id))
        first = T0_US // HOUR_US + 1
        merged = list(merge._batches(key, width, first, first + n))
        assert len(direct) == len(merged)
        for a, b in zip(direct, merged, strict=True):
            assert (a.first_end, a.width, a.first_pane) == (b.first_end, b.width, b.first_pane)
            np.testing.assert_array_equal(a.counts, b.counts)
            np.testing.assert_array_equal(a.rows, b.rows)
            np.testing.assert_array_equal(a.pane_rows, b.pane_rows)


def test_a_warning_about_relations_is_rare_where_nothing_changes():
    """Rows that resemble their neighbours: the furthest of 190 pairs is within 0.8 of its limit in a quarter of hours."""
    traffic = with_features(QUIET[3], 20)
    baseline = traffic.baseline(28, 1)
    layout, counts = traffic.counts(baseline, 20, 2)
    across = traffic.joint(baseline, 20, 2)
    judge = judge_of(baseline)
    warned = []
    for batch in batches(layout, counts, 1, baseline.baseline_id, across):
        found = judge.judge(SPEC, batch).joint
        assert found is not None
        near = found.evidence.max(axis=1) >= 0.8
        warned.append(np.stack([found.verdicts >= Verdict.WARNING, near], axis=1))
    by_rarity, by_share = np.concatenate(warned).mean(axis=0)
    assert by_rarity <= 0.03
    assert by_share > 0.1, "the traffic no longer shows what the rule is for"


def test_a_relation_that_gives_way_is_more_than_a_warning():
    traffic = with_features(QUIET[3], 20)
    baseline = traffic.baseline(28, 1)
    hit = (Fault("decorrelate", 1.0, 24, 0),)
    layout, counts = traffic.counts(baseline, 4, 2, hit)
    across = traffic.joint(baseline, 4, 2, hit)
    judge = judge_of(baseline)
    said = [
        found.verdicts
        for batch in batches(layout, counts, 6, baseline.baseline_id, across)
        if (found := judge.judge(SPEC, batch).joint) is not None
    ]
    assert np.mean(np.concatenate(said)[30:] == Verdict.DRIFT) > 0.9


@pytest.mark.parametrize(
    ("kind", "rows", "expected"),
    [(0, 8, Verdict.DRIFT), (3, 8, Verdict.STABLE), (3, 60, Verdict.DRIFT), (5, 60, Verdict.DRIFT)],
    ids=[
        "independent rows",
        "rows like their neighbours",
        "most of the rows",
        "most, of a level that wanders",
    ],
)
def test_a_burst_out_of_range_is_news_only_where_rows_do_not_come_in_bursts(
    kind: int, rows: int, expected: Verdict, baselines: dict[str, Baseline], judges: dict[str, Judge]
):
    """Eight rows of a hundred beyond all that was seen: one excursion of a value that remembers where it was."""
    traffic = QUIET[kind]
    baseline = baselines[traffic.name]
    layout, counts = traffic.counts(baseline, 2, 6)
    hour = 30
    at = layout.slice_of(layout.index["feature/x000"])
    column = counts[hour, at]
    column[-1] += rows
    while rows:  # from the highest values that there are
        highest = int(np.flatnonzero(column[:-1])[-1])
        taken = min(rows, int(column[highest]))
        column[highest] -= taken
        rows -= taken
    (batch,) = batches(layout, counts, 1, baseline.baseline_id)
    judgement = judges[traffic.name].judge(SPEC, batch)
    assert judgement.comparison is not None
    found = judgement.column_verdicts[hour, layout.index["feature/x000"]]
    assert judgement.comparison.out_of_range_share[hour, layout.index["feature/x000"]] > 0.05
    assert found == expected
