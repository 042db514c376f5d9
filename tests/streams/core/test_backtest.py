"""A backtest tells what the streaming path would have told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from seawall.errors import ContractError
from seawall.frames import Categorical, Columns, to_record
from seawall.monitor import ColumnRule, DetectorRule, MonitorSpec
from seawall.wire import encode
from streams.core.alarm_steps import AlarmStep
from streams.core.backtest import Backtest, Setting, in_time_order, rows_of
from streams.core.build_baseline import build_baseline
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.decode import Record
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.watermark import Watermarks
from streams.core.words import utc_text
from tests.streams.core.builders import MINUTE, T0, cut_after

SPEC = MonitorSpec(
    "m", pane_us=10 * MINUTE, horizons_us=(60 * MINUTE,), lateness_us=MINUTE, grace_us=30 * MINUTE,
    segments=("origin",), min_rows=30, open_after=2, resolve_after=2,
)  # fmt: skip
ROWS = 9000


def history(start: int, rows: int, seed: int) -> Columns:
    rng = np.random.default_rng(seed)
    return Columns(
        "predictions",
        "m",
        "v1",
        T0 + (start + np.arange(rows, dtype=np.int64)) * MINUTE // 2,
        numeric={"x": rng.normal(size=rows), "y": rng.normal(size=rows)},
        categorical={"origin": Categorical(rng.integers(0, 2, rows).astype(np.int32), ["JFK", "LGA"])},
        scores={"score": rng.random(rows)},
    )


BASELINE = build_baseline(history(-40_000, 40_000, 1), model="m", version="v1", now_us=0)


def drifting() -> Columns:
    """Two faults: all of x for five hours, and later y, but only of one origin."""
    columns = history(0, ROWS, 2)
    columns.numeric["x"][2000:2600] += 3.0
    later = np.arange(ROWS) >= 6000
    columns.numeric["y"][later & (columns.categorical["origin"].codes == 0)] *= -4.0
    return columns


def backtest(columns: Columns, settings: Sequence[Setting], rule: ChunkRule | None = None) -> Backtest:
    test = Backtest(settings, [BASELINE], rule)
    for part in in_time_order(columns, 1000):
        test.feed(part)
    test.finish()
    return test


def streamed(
    columns: Columns, frame_rows: Sequence[int], rule: ChunkRule, partitions: int = 1
) -> list[AlarmStep]:
    """What a worker does: frames of any length on partitions, a tick after each, an engine that reads it all."""
    control = Control()
    control.set_monitor(SPEC)
    control.set_baseline(BASELINE)
    engine = PartitionEngine(
        control, RegistryView(), Watermarks({"predictions": "predictions"}, 30_000_000, replay=True)
    )
    chunkers = [
        PartitionChunker("predictions", p, "predictions", LayoutBook(control), rule, None, partitions)
        for p in range(partitions)
    ]
    steps: list[AlarmStep] = []
    now = T0
    log: Iterator[int] = iter(range(10**9))

    def publish(summaries: list[dict[str, Any]]) -> None:
        for summary in summaries:
            steps.extend(engine.on_record(summary, next(log), now).alarms)

    for chunker in chunkers:
        chunker.start_at(0)
        publish([chunker.progress(caught_up=False)])
    start, turn = 0, 0
    while start < columns.rows:
        stop = min(start + frame_rows[turn % len(frame_rows)], columns.rows)
        frame = rows_of(columns, np.arange(start, stop))
        now = int(frame.ts.max())
        chunker = chunkers[turn % partitions]
        record = Record(chunker.next_offset, now, encode("prediction_frame", to_record(frame)))
        for cut in chunker.feed([record]):
            publish(cut.summaries)
        publish(chunker.provisional(caught_up=False))
        publish([chunker.progress(caught_up=False)])
        start, turn = stop, turn + 1
    now += 31_000_000
    for chunker in chunkers:
        publish([chunker.progress(caught_up=True)])
    return steps


def digits(steps: Sequence[AlarmStep]) -> list[Any]:
    """Everything about steps; distances to twelve digits, for the last bit of a matrix product depends on its size."""

    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: rounded(v) for k, v in value.items()}
        if isinstance(value, tuple | list):
            return [rounded(v) for v in value]
        return float(f"{value:.12g}") if isinstance(value, float) else value

    return [rounded(asdict(step)) for step in steps]


AS_WRITTEN = Setting("as written", SPEC)


@pytest.fixture(scope="module")
def told() -> Backtest:
    return backtest(drifting(), [AS_WRITTEN])


def test_it_pages_about_each_fault_and_says_when_and_why(told: Backtest) -> None:
    (outcome,) = told.outcomes
    pages = [p for p in outcome.pages if p.kind == "drift"]
    first = pages[0]
    assert [c.name for c in first.culprits] == ["x"]
    assert 0 < first.paged_us - (T0 + 1000 * MINUTE) <= 60 * MINUTE
    assert first.resolved_us is not None
    assert 0 < first.resolved_us - (T0 + 1300 * MINUTE) <= 120 * MINUTE
    second = next(p for p in pages if p.paged_us > T0 + 3000 * MINUTE)
    assert second.culprits[0].name == "y"
    assert second.resolved_us is None
    assert told.rows == ROWS
    assert told.dead_rows == 0


def test_a_page_lists_what_joined_its_alarm_later_and_when() -> None:
    columns = history(0, 4000, 2)
    columns.numeric["x"][1000:] += 3.0
    columns.numeric["y"][1060:] += 3.0
    (outcome,) = backtest(columns, [AS_WRITTEN]).outcomes
    (page,) = [p for p in outcome.pages if p.kind == "drift"]
    assert [c.name for c in page.culprits] == ["x"]
    assert [(j.name, j.role) for j in page.later if j.role == "feature"] == [("y", "feature")]
    (y,) = [j for j in page.later if j.name == "y"]
    assert 0 < y.at_us - (T0 + 530 * MINUTE) <= 60 * MINUTE
    assert f"y ({utc_text(y.at_us)})" in page.later_said


def test_a_page_to_which_nothing_was_added_says_so_with_silence(told: Backtest) -> None:
    page = next(p for p in told.outcomes[0].pages if p.kind == "drift")
    assert page.later == ()
    assert page.later_said == ""


@pytest.mark.parametrize(
    ("frame_rows", "rule"),
    [((1000,), cut_after(700)), ((137, 510, 15), cut_after(333)), ((400,), ChunkRule(offsets=3))],
)
def test_it_gives_the_same_alarms_as_the_streaming_path_whatever_the_batches(
    told: Backtest, frame_rows: tuple[int, ...], rule: ChunkRule
) -> None:
    assert digits(told.outcomes[0].steps) == digits(streamed(drifting(), frame_rows, rule))
    assert told.outcomes[0].steps


def test_it_gives_the_same_alarms_as_two_partitions(told: Backtest) -> None:
    assert digits(told.outcomes[0].steps) == digits(
        streamed(drifting(), (300, 100), cut_after(500), partitions=2)
    )


def test_the_chunk_rule_changes_nothing(told: Backtest) -> None:
    again = backtest(drifting(), [AS_WRITTEN], cut_after(777))
    assert digits(again.outcomes[0].steps) == digits(told.outcomes[0].steps)
    assert again.outcomes[0].timeline.drifted == told.outcomes[0].timeline.drifted
    assert again.outcomes[0].windows == told.outcomes[0].windows


def test_each_of_several_settings_gives_what_it_gives_alone(told: Backtest) -> None:
    deaf = Setting("deaf", replace(SPEC, columns={"x": ColumnRule(ignore=True)}))
    both = backtest(drifting(), [AS_WRITTEN, deaf])
    assert both.outcomes[0].steps == told.outcomes[0].steps
    assert both.outcomes[1].steps == backtest(drifting(), [deaf]).outcomes[0].steps
    assert len(both.outcomes[1].pages) < len(both.outcomes[0].pages)


def test_rows_in_any_order_are_put_in_the_order_of_time(told: Backtest) -> None:
    shuffled = rows_of(drifting(), np.random.default_rng(3).permutation(ROWS))
    assert backtest(shuffled, [AS_WRITTEN]).outcomes[0].steps == told.outcomes[0].steps


def test_quiet_history_has_no_drift_page_and_counts_the_time_all_the_same() -> None:
    (outcome,) = backtest(history(0, 3000, 4), [AS_WRITTEN]).outcomes
    assert [p for p in outcome.pages if p.kind == "drift"] == []
    assert outcome.end_us - outcome.start_us == 2999 * MINUTE // 2 + 1
    assert outcome.windows > 0


def test_pages_per_period_and_the_time_in_alarm_are_shares_of_the_span(told: Backtest) -> None:
    (outcome,) = told.outcomes
    days = (outcome.end_us - outcome.start_us) / (24 * 60 * MINUTE)
    assert outcome.pages_per_period == pytest.approx(len(outcome.budgeted) * 30 / days)
    slow = 0
    for minute in range(outcome.start_us, outcome.end_us, MINUTE):
        slow += any(p.paged_us <= minute < (p.resolved_us or outcome.end_us) for p in outcome.pages)
    assert outcome.alarmed_share == pytest.approx(
        slow * MINUTE / (outcome.end_us - outcome.start_us), abs=1e-3
    )


def test_pages_outside_the_budget_are_counted_apart() -> None:
    classic = replace(SPEC, detectors=(DetectorRule("psi", above=0.2),), freshness_us=30 * MINUTE)
    columns = drifting()
    gap = rows_of(columns, np.flatnonzero((np.arange(ROWS) < 3000) | (np.arange(ROWS) > 3400)))
    (outcome,) = backtest(gap, [Setting("classic", classic)]).outcomes
    assert outcome.others["freshness"] >= 1
    assert outcome.others["classic"] >= 1
    assert len(outcome.budgeted) + sum(outcome.others.values()) == len(outcome.pages)
    assert {p.kind for p in outcome.budgeted} == {"drift"}
    days = (outcome.end_us - outcome.start_us) / (24 * 60 * MINUTE)
    assert outcome.pages_per_period == pytest.approx(len(outcome.budgeted) * 30 / days)


def test_the_timeline_is_red_only_where_a_column_drifted(told: Backtest) -> None:
    timeline = told.outcomes[0].timeline
    hours = sorted(h for h, keys in timeline.drifted.items() if "feature/x" in keys)
    assert hours[0] >= T0 + 960 * MINUTE
    assert hours[-1] <= T0 + 1400 * MINUTE
    assert max(timeline.ratio[hours[1]].values()) == timeline.ratio[hours[1]]["feature/x"]


def test_segments_are_judged_by_a_baseline_without_times_too() -> None:
    def apart(columns: Columns, by: float) -> Columns:
        columns.numeric["y"] += np.where(columns.categorical["origin"].codes == 0, by, -by)
        return columns

    reference = apart(history(0, 40_000, 1), 2.0)
    reference.ts[:] = 0
    known = build_baseline(reference, model="m", version="v1", now_us=0)
    alone = Setting("column by column", replace(SPEC, multivariate=False))
    test = Backtest([alone], [known])
    test.feed(apart(history(0, ROWS, 2), -2.0))
    (outcome,) = test.finish()
    assert {s.segment for s in outcome.steps} == {"origin=JFK", "origin=LGA"}


def test_labels_with_segments_of_a_baseline_without_truths_are_counted_and_say_nothing() -> None:
    labels = Columns("labels", "m", "v1", history(0, ROWS, 2).ts, numeric={"label": np.zeros(ROWS)})
    labels.segments = {"origin": history(0, ROWS, 2).categorical["origin"]}
    test = Backtest([AS_WRITTEN], [BASELINE], sources=["labels"])
    test.feed(labels)
    (outcome,) = test.finish()
    assert outcome.windows > 0
    assert [p.kind for p in outcome.pages] == []


def test_nothing_to_read_gives_nothing() -> None:
    test = Backtest([AS_WRITTEN], [BASELINE])
    test.feed(history(0, 0, 1))
    assert test.finish()[0].pages == []


def test_rows_with_impossible_times_are_counted_as_dead() -> None:
    columns = history(0, 100, 5)
    columns.ts[:7] = 12
    assert backtest(columns, [AS_WRITTEN]).dead_rows == 7


@pytest.mark.parametrize("changed", [{"pane_us": MINUTE}, {"segments": ()}, {"model": "n"}])
def test_settings_that_count_differently_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=f"settings: 'other' has {next(iter(changed))}"):
        Backtest([AS_WRITTEN, Setting("other", replace(SPEC, **changed))], [BASELINE])


def test_no_setting_is_refused() -> None:
    with pytest.raises(ContractError, match="settings: there is none"):
        Backtest([], [BASELINE])
