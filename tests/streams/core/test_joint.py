"""What no single column shows: from events over summaries and windows to the alarm that names the pair."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm, rankdata

from detectors.joint.sums import joint_sums
from detectors.summary import summarise
from seawall.baseline import Baseline
from seawall.frames import Categorical, Columns, to_record
from seawall.monitor import DAY_US, HOUR_US, ColumnRule, Effects, MonitorSpec
from seawall.wire import encode
from streams.core.backtest import Backtest, Outcome, Setting, in_time_order, rows_of
from streams.core.build_baseline import MAX_SUMS, build_baseline
from streams.core.chunks import ChunkRule, PartitionChunker, block_record, read_sums
from streams.core.decode import Record
from streams.core.engine import PartitionEngine
from streams.core.joint import plan_of
from streams.core.layouts import Control, LayoutBook, baseline_layout
from streams.core.registry import RegistryView
from streams.core.reports import joint_rows
from streams.core.rows import to_rows
from streams.core.state import claim_of, restore, save
from streams.core.verdicts import Verdict
from streams.core.watermark import Watermarks
from tests.streams.core.builders import T0, cut_after

SPEC = MonitorSpec(
    "m", pane_us=HOUR_US, horizons_us=(HOUR_US, 6 * HOUR_US), lateness_us=60_000_000, min_rows=30
)
ROWS_AN_HOUR = 60
ONSET_US = T0 + 3 * DAY_US
WORDS = ["low", "middle", "high"]


def traffic(first_us: int, days: int, seed: int, fault: str = "", from_us: int = ONSET_US) -> Columns:
    """Two numbers that go together, one alone, a word that follows the third number, and a score of all."""
    rng = np.random.default_rng(seed)
    n = days * 24 * ROWS_AN_HOUR
    ts = first_us + np.sort(rng.integers(0, days * DAY_US, n))
    bad = ts >= from_us
    common, x = rng.normal(size=n), rng.normal(size=(n, 3))
    a, b = common + x[:, 0] / 8, common + x[:, 1] / 8
    c = x[:, 2]
    score = 1 / (1 + np.exp(-a - c))
    word = np.digitize(c + rng.normal(size=n) / 2, [-0.5, 0.5]).astype(np.int32)
    if fault == "rotated":
        a, b = np.where(bad, b, a), np.where(bad, -a, b)
    elif fault == "decorrelated":
        b = np.where(bad, rng.permutation(b), b)
    elif fault == "word":
        word = np.where(bad, rng.permutation(word), word).astype(np.int32)
    elif fault == "shifted":
        b = np.where(bad, rng.permutation(b) + 2.0, b)
    return Columns(
        "predictions", "m", "v1", ts, {"a": a, "b": np.exp(b), "c": 1e6 * c},
        {"word": Categorical(word, WORDS)}, {"score": score},
    )  # fmt: skip


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    built = build_baseline(traffic(T0 - 28 * DAY_US, 28, 1), model="m", version="v1", now_us=0)
    return Baseline.from_bytes(built.to_bytes())


def backtest(
    baseline: Baseline, fault: str, spec: MonitorSpec = SPEC, rule: ChunkRule | None = None
) -> Outcome:
    test = Backtest([Setting("s", spec)], [baseline], rule)
    for part in in_time_order(traffic(T0, 5, 2, fault)):
        test.feed(part)
    return test.finish()[0]


@pytest.mark.parametrize(
    ("fault", "pair", "said"),
    [
        ("rotated", "a and b", "correlation -0.98, usually 0.98"),
        ("decorrelated", "a and b", "usually 0.98"),
        ("word", "c and word", "usually -0.80"),
    ],
)
def test_a_pair_that_relates_differently_is_paged_and_named_though_no_column_moved(
    baseline: Baseline, fault: str, pair: str, said: str
):
    (page,) = backtest(baseline, fault).pages
    assert ONSET_US < page.paged_us <= ONSET_US + 3 * HOUR_US
    first = page.culprits[0]
    assert (first.name, first.role, first.statistic) == (pair, "relation", "correlation")
    assert first.value > first.limit >= 0.2 > first.chance
    assert said in first.detail
    assert f"{pair} go together differently than in their baseline (correlation" in page.summary
    assert all(c.role in {"relation", "joint"} for c in page.culprits)


def test_a_score_that_parts_from_one_of_a_pair_does_not_make_that_one_odd(baseline: Baseline):
    """The score follows what the model makes most of, right or wrong: had a been turned instead, it would part too."""
    (page,) = backtest(baseline, "rotated").pages
    assert {c.name for c in page.culprits} == {"a and b", "b and score"}
    assert not any("odd one" in c.detail for c in page.culprits)
    assert "; b goes differently with score too, a does not" in page.summary


def test_without_the_switch_nobody_is_paged_and_nothing_is_summed(baseline: Baseline):
    assert backtest(baseline, "rotated", replace(SPEC, multivariate=False)).pages == []
    control = known(baseline, replace(SPEC, multivariate=False))
    assert all(read_sums(block) is None for s in summaries(control, "") for block in s["blocks"])


def test_the_smallest_changes_across_columns_are_the_owners(baseline: Baseline):
    nothing = Effects(correlation=2.0, mmd=2.0, reconstruction=1.0)
    assert backtest(baseline, "rotated", replace(SPEC, effects=nothing)).pages == []
    (page,) = backtest(baseline, "rotated", replace(SPEC, effects=replace(nothing, mmd=0.03))).pages
    assert {c.statistic for c in page.culprits} == {"mmd"}


def test_quiet_traffic_pages_nobody(baseline: Baseline):
    assert backtest(baseline, "").pages == []


def test_what_a_column_shows_is_told_of_the_column(baseline: Baseline):
    (page,) = backtest(baseline, "shifted").pages
    assert [c.key for c in page.culprits] == ["feature/b"]


def test_an_ignored_column_is_in_no_pair(baseline: Baseline):
    spec = replace(SPEC, columns={"b": ColumnRule(ignore=True)})
    assert backtest(baseline, "rotated", spec).pages == []


def known(baseline: Baseline, spec: MonitorSpec = SPEC) -> Control:
    control = Control()
    control.set_monitor(spec)
    control.set_baseline(baseline)
    return control


def summaries(control: Control, fault: str, rows: int = 500, days: int = 4) -> list[dict[str, Any]]:
    chunker = PartitionChunker("predictions", 0, "predictions", LayoutBook(control), cut_after(rows))
    chunker.start_at(0)
    log = [chunker.progress(caught_up=False)]
    for part in in_time_order(traffic(T0, days, 3, fault), 700):
        payload = encode("prediction_frame", to_record(part))
        record = Record(chunker.next_offset, int(part.ts.max()), payload)
        log += [s for cut in chunker.feed([record]) for s in cut.summaries]
        log += chunker.provisional(caught_up=False)
        log.append(chunker.progress(caught_up=True))
    return log


def engine(control: Control, *, replay: bool = True) -> PartitionEngine:
    marks = Watermarks({"predictions": "predictions"}, 30_000_000, replay=replay)
    return PartitionEngine(control, RegistryView(), marks)


def told(reports: list[dict[str, Any]]) -> dict[Any, Any]:
    """What each window says across columns, as the table has it."""
    out = {}
    for report in reports:
        rows = joint_rows(report)
        for w, end in enumerate(rows.get("end", ())):
            said = {
                k: np.asarray(rows[k])[w].tolist()
                for k in ("verdict", "first", "second", "correlation", "mmd", "reconstruction")
            }
            out[report["horizon_us"], int(end)] = said
    return out


def test_windows_say_the_same_however_the_log_was_cut(baseline: Baseline):
    control = known(baseline)
    found = []
    for rows in (500, 5000):
        e = engine(control)
        found.append(
            told(
                [
                    r
                    for i, s in enumerate(summaries(control, "rotated", rows))
                    for r in e.on_record(s, i, i).reports
                ]
            )
        )
    assert found[0] == found[1]
    assert {s["verdict"] for s in found[0].values()} >= {Verdict.STABLE, Verdict.DRIFT}


def test_a_restart_from_saved_state_says_the_same(baseline: Baseline):
    control = known(baseline)
    log = summaries(control, "rotated")
    straight = engine(control)
    expected = told([r for i, s in enumerate(log) for r in straight.on_record(s, i, i).reports])
    found: dict[Any, Any] = {}
    e, stored = engine(control), {}
    for i, summary in enumerate(log):
        found |= told(e.on_record(summary, i, i).reports)
        if i % 50 == 49:
            for stage in save(e, i, claim_of(i, "x")):
                stored |= dict(stage)
            e = engine(control)
            assert restore(e, {k: v for k, v in stored.items() if v}) == i
    assert found == expected


def test_a_chunk_that_still_fills_when_all_its_panes_are_final_does_not_keep_a_worker_from_starting(
    baseline: Baseline,
):
    # One partition falls silent in the middle of a chunk; the other goes on until the grace is over.
    control = known(baseline, replace(SPEC, grace_us=HOUR_US))
    parts = list(in_time_order(traffic(T0, 2, 3), 700))
    chunkers = [
        PartitionChunker("predictions", p, "predictions", LayoutBook(control), ChunkRule(), None, 2)
        for p in (0, 1)
    ]
    log: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        chunker = chunkers[min(number, 1)]
        record = Record(chunker.next_offset, int(part.ts.max()), encode("prediction_frame", to_record(part)))
        log += [s for cut in chunker.feed([record]) for s in cut.summaries]
        log += chunker.provisional(caught_up=True)
        log += [c.progress(caught_up=True) for c in chunkers]
    e = engine(control, replay=False)
    for i, summary in enumerate(log):
        e.on_record(summary, i, int(parts[-1].ts.max()) + i * 60_000_000)
    (left,) = [part for (where, _), part in e.models["m"].merge.open.items() if where.partition == 0]
    assert left.cells
    assert all(not len(cells.panes) for cells in left.cells.values())
    parts_saved = {k: v for stage in save(e, len(log) - 1, claim_of(1, "x")) for k, v in stage if v}
    assert restore(engine(control), parts_saved) == len(log) - 1


def test_summaries_of_workers_that_sum_nothing_are_judged_column_by_column(baseline: Baseline):
    control = known(baseline)
    e = engine(control)
    for i, summary in enumerate(summaries(control, "rotated")):
        bare = [{**block, "joint": b"", "joint_panes": b""} for block in summary["blocks"]]
        effects = e.on_record({**summary, "blocks": bare}, i, i)
        assert all(r["joint"] is None for r in effects.reports)
        assert effects.alarms == []


def test_windows_of_which_a_part_was_not_summed_are_not_judged_across_columns(baseline: Baseline):
    control = known(baseline)
    e = engine(control)
    for i, summary in enumerate(summaries(control, "rotated", rows=100)):
        if i % 2:
            summary["blocks"] = [{**block, "joint": b"", "joint_panes": b""} for block in summary["blocks"]]
        for said in told(e.on_record(summary, i, i).reports).values():
            assert said["verdict"] == Verdict.STABLE


def test_sums_travel_in_a_summary_as_they_are(baseline: Baseline):
    layout = baseline_layout(baseline, "predictions")
    plan = plan_of(baseline)
    bound = plan.bound_to(layout) if plan else None
    assert bound is not None
    columns = traffic(T0, 1, 4)
    rows = to_rows(columns, layout, SPEC, baseline)
    sums = joint_sums(rows.slots, rows.panes, bound)
    record = block_record("v1", "predictions", baseline.baseline_id, summarise(rows), sums)
    again = read_sums(record)
    assert again is not None
    assert again.panes.tolist() == sums.panes.tolist()
    assert again.sums.tolist() == sums.sums.tolist()


def test_a_baseline_holds_the_sums_of_its_rows_pane_by_pane(baseline: Baseline):
    layout = baseline_layout(baseline, "predictions")
    plan = plan_of(baseline)
    bound = plan.bound_to(layout) if plan else None
    assert baseline.joint is not None
    assert bound is not None
    columns = traffic(T0 - 28 * DAY_US, 28, 1)
    rows = to_rows(columns, layout, SPEC, baseline)
    sums = joint_sums(rows.slots, rows.panes, bound)
    assert sums.panes.tolist() == baseline.pane_starts.tolist()
    assert sums.sums.tolist() == baseline.joint.unpacked(len(baseline.pane_starts)).tolist()


def test_a_baseline_watches_fewer_columns_together_where_it_has_many_panes():
    rng = np.random.default_rng(5)
    n = 4000 * 5
    ts = T0 + np.arange(n, dtype=np.int64) * HOUR_US // 5
    numbers = {f"x{i:02}": rng.normal(size=n) for i in range(30)}
    built = build_baseline(Columns("predictions", "m", "v1", ts, numbers), model="m", version="v1", now_us=0)
    assert built.joint is not None
    sums = built.joint.unpacked(len(built.pane_starts))
    assert sums.size <= MAX_SUMS
    assert len(set(built.joint.columns)) >= 16


def test_a_baseline_of_one_column_has_nothing_to_watch_together():
    columns = Columns(
        "predictions",
        "m",
        "v1",
        np.zeros(500, dtype=np.int64),
        {"x": np.random.default_rng(6).normal(size=500)},
    )
    built = build_baseline(columns, model="m", version="v1", now_us=0)
    assert built.joint is None
    assert Baseline.from_bytes(built.to_bytes()).joint is None
    assert plan_of(built) is None


def test_a_baseline_without_times_pages_only_for_gross_changes_of_relation(baseline: Baseline):
    columns = traffic(T0 - 28 * DAY_US, 28, 1)
    timeless = build_baseline(
        replace(columns, ts=np.zeros(columns.rows, dtype=np.int64)), model="m", version="v1", now_us=0
    )
    (page,) = backtest(timeless, "rotated").pages
    assert page.culprits[0].name == "a and b"
    assert "the baseline has no times" in page.culprits[0].detail
    assert backtest(timeless, "").pages == []


def test_windows_of_a_few_rows_say_nothing_of_several_columns_whatever_min_rows_is():
    """Of three rows any two columns may go together perfectly, which a transform of Fisher's makes infinite."""
    rng = np.random.default_rng(3)
    ts = np.sort(rng.integers(T0 - 42 * DAY_US, T0 + 30 * DAY_US, 72 * 24 * 5))
    every = Columns("predictions", "m", "v1", ts, {f"x{i}": rng.normal(size=len(ts)) for i in range(5)})
    past, live = (rows_of(every, np.flatnonzero(of)) for of in (ts < T0, ts >= T0))
    test = Backtest(
        [Setting("s", replace(SPEC, min_rows=1))],
        [build_baseline(past, model="m", version="v1", now_us=0)],
    )
    for part in in_time_order(live):
        test.feed(part)
    assert [c.name for page in test.finish()[0].pages for c in page.culprits] == []


def test_a_plan_that_does_not_fit_its_baseline_is_not_used(baseline: Baseline):
    assert baseline.joint is not None
    broken = replace(baseline, joint=replace(baseline.joint, codes=baseline.joint.codes[:-1]))
    assert plan_of(broken) is None
    missing = replace(baseline, columns=baseline.columns[1:])
    assert plan_of(missing) is None


def slow_correlation(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    scores = [norm.ppf((rankdata(v) - 0.5) / len(v)) for v in (x, y)]
    return float(np.corrcoef(*scores)[0, 1])


def test_correlations_of_windows_are_close_to_those_of_exact_ranks(baseline: Baseline):
    """What binning and the baseline's ranks cost: a hundredth."""
    control = known(baseline)
    e = engine(control)
    found = told([r for i, s in enumerate(summaries(control, "")) for r in e.on_record(s, i, i).reports])
    columns = traffic(T0, 4, 3)
    for hour in (10, 50):
        at = (columns.ts >= T0 + hour * HOUR_US) & (columns.ts < T0 + (hour + 6) * HOUR_US)
        said = found[6 * HOUR_US, T0 + (hour + 6) * HOUR_US]
        for a, b, r in zip(said["first"], said["second"], said["correlation"], strict=True):
            values = {
                "feature/a": columns.numeric["a"],
                "feature/b": columns.numeric["b"],
                "feature/c": columns.numeric["c"],
                "score/score": columns.scores["score"],
            }
            if a in values and b in values:
                assert r == pytest.approx(slow_correlation(values[a][at], values[b][at]), abs=0.03)
