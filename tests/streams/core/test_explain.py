"""Incidents explain themselves: on a stream with known faults, each explanation is held against what was done."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from seawall.baseline import Baseline
from seawall.frames import Categorical, Columns, to_record
from seawall.monitor import MonitorSpec
from seawall.wire import encode
from streams.core.alarm_steps import AlarmStep
from streams.core.alarms import AlarmBook
from streams.core.backtest import in_time_order, rows_of
from streams.core.build_baseline import build_baseline
from streams.core.chunks import PartitionChunker
from streams.core.decode import Record
from streams.core.drift_history import DriftHistory
from streams.core.engine import Effects, PartitionEngine
from streams.core.explain import Scene, explain
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView, make_event
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, T0, cut_after

PANE = 10 * MINUTE
SPEC = MonitorSpec(
    "m", pane_us=PANE, horizons_us=(60 * MINUTE, 360 * MINUTE), lateness_us=MINUTE, grace_us=30 * MINUTE,
    segments=("origin",), min_rows=30, open_after=2, resolve_after=2,
)  # fmt: skip
ROWS = 6000
#: Row, and so half minute, at which faults begin.
AT = 3000


def history(start: int, rows: int, seed: int, version: str = "v1") -> Columns:
    rng = np.random.default_rng(seed)
    return Columns(
        "predictions",
        "m",
        version,
        T0 + (start + np.arange(rows, dtype=np.int64)) * MINUTE // 2,
        numeric={"x": rng.normal(size=rows), "y": rng.normal(size=rows)},
        categorical={"origin": Categorical(rng.integers(0, 2, rows).astype(np.int32), ["JFK", "LGA"])},
        scores={"score": rng.random(rows)},
    )


def baseline(version: str = "v1", **importance: float) -> Baseline:
    return build_baseline(
        history(-40_000, 40_000, 1), model="m", version=version, importance=importance or None, now_us=0
    )


def told(columns: Columns | Iterable[Columns], **options: Any) -> list[AlarmStep]:
    """Return what an engine says about a history."""
    return [step for effects in effects_of(columns, **options) for step in effects.alarms]


def effects_of(
    columns: Columns | Iterable[Columns],
    *,
    baselines: list[Baseline] | None = None,
    registry: RegistryView | None = None,
    rows: int = 200,
    spec: MonitorSpec = SPEC,
) -> list[Effects]:
    """What an engine makes of a history, read in runs of some rows."""
    control = Control()
    control.set_monitor(spec)
    for each in baselines or [baseline()]:
        control.set_baseline(each)
    watermarks = Watermarks({"predictions": "predictions"}, 30_000_000, replay=True)
    engine = PartitionEngine(control, registry or RegistryView(), watermarks)
    chunker = PartitionChunker("predictions", 0, "predictions", LayoutBook(control), cut_after(500))
    chunker.start_at(0)
    made: list[Effects] = []
    offset = 0

    def publish(summaries: list[dict[str, Any]], now_us: int) -> None:
        nonlocal offset
        for summary in summaries:
            made.append(engine.on_record(summary, offset, now_us))
            offset += 1

    publish([chunker.progress(caught_up=False)], T0)
    parts = [columns] if isinstance(columns, Columns) else list(columns)
    now_us = T0
    for part in sorted((p for c in parts for p in in_time_order(c, rows)), key=lambda p: int(p.ts[0])):
        now_us = max(now_us, int(part.ts.max()))
        record = Record(chunker.next_offset, now_us, encode("prediction_frame", to_record(part)))
        for cut in chunker.feed([record]):
            publish(cut.summaries, now_us)
        publish(chunker.provisional(caught_up=False), now_us)
        publish([chunker.progress(caught_up=False)], now_us)
    publish([chunker.progress(caught_up=True)], now_us + 31_000_000)
    return made


def first(steps: list[AlarmStep], kind: str = "drift") -> AlarmStep:
    """Return how the first alarm about all traffic opened."""
    return next(s for s in steps if s.kind == kind and s.state == "open" and not s.segment)


def at_us(row: int) -> int:
    return T0 + row * MINUTE // 2


def shifted(column: str = "x", by: float = 2.0, only: int | None = None) -> Columns:
    columns = history(0, ROWS, 2)
    hit = np.arange(ROWS) >= AT
    if only is not None:
        hit &= columns.categorical["origin"].codes == only
    columns.numeric[column][hit] += by
    return columns


def test_the_onset_is_dated_to_the_pane_in_which_the_fault_began() -> None:
    step = first(told(shifted()))
    assert step.onset_us is not None
    assert abs(step.onset_us - at_us(AT)) <= PANE
    assert step.onset_us < step.opened_us
    assert step.onset_why == "estimated from the panes of x"
    assert step.culprits[0].onset_us == step.onset_us


@pytest.mark.parametrize("rows", [77, 1000, 6000])
def test_it_says_the_same_however_the_stream_was_batched(rows: int) -> None:
    """A replay closes days at once; what an alarm says must not depend on that."""

    def digits(steps: list[AlarmStep]) -> list[Any]:
        return [
            (
                s.alarm_id,
                s.revision,
                s.state,
                s.onset_us,
                s.moved,
                s.story,
                s.coincides,
                s.members,
                *tuple((c.key, c.onset_us, c.bins, c.before, c.after) for c in s.culprits),
            )
            for s in steps
        ]

    assert digits(told(shifted(), rows=rows)) == digits(told(shifted()))


def test_inputs_that_moved_are_told_from_a_score_that_did() -> None:
    assert first(told(shifted())).moved == "inputs"
    columns = history(0, ROWS, 2)
    columns.scores["score"][AT:] *= 0.3
    step = first(told(columns))
    assert (step.moved, step.culprits[0].name) == ("score", "score")
    columns.numeric["x"][AT:] += 2
    assert "both" in {s.moved for s in told(columns)}


def test_a_fault_of_one_segment_is_said_to_be_only_there() -> None:
    steps = told(shifted(by=3.0, only=0))
    assert any(s.only_in == ("origin=JFK",) for s in steps)
    assert any("Only in origin=JFK: other values of it are stable." in s.story for s in steps)
    assert len({s.alarm_id for s in steps if s.notify or not s.is_joined} - {s.alarm_id for s in steps if s.kind == "volume"}) == 1  # fmt: skip


def test_a_gross_fault_of_one_segment_is_said_to_be_only_there_though_all_traffic_pages_first() -> None:
    columns = history(0, ROWS, 2)
    hit = (np.arange(ROWS) >= AT) & (columns.categorical["origin"].codes == 0)
    columns.numeric["x"][hit] *= 1000
    steps = [s for s in told(columns) if s.kind == "drift" and not s.segment]
    assert [(s.state, s.only_in) for s in steps] == [("open", ()), ("updated", ("origin=JFK",))]


def test_a_fault_of_all_traffic_is_said_to_be_nowhere_in_particular() -> None:
    assert all(s.only_in == () for s in told(shifted(by=3.0)) if not s.segment)


def test_the_bars_before_are_the_baselines_and_those_after_are_the_windows() -> None:
    step = first(told(shifted(by=4.0)))
    worst = step.culprits[0]
    assert len(worst.bins) == len(worst.before) == len(worst.after)
    assert sum(worst.before) == pytest.approx(1.0, abs=2e-3)
    assert sum(worst.after) == pytest.approx(1.0, abs=2e-3)
    middle = len(worst.bins) // 2
    assert sum(worst.before[middle:]) == pytest.approx(0.5, abs=0.15)
    assert sum(worst.after[middle:]) > sum(worst.before[middle:])


def test_a_number_is_told_by_its_mean_and_the_usual_one_and_a_category_by_the_value_that_moved_most() -> None:
    columns = shifted(by=1.0)
    columns.categorical["origin"].codes[AT:] = 1
    steps = [s for s in told(columns) if s.kind == "drift" and not s.segment and s.state != "resolved"]
    details = {c.name: c.detail for s in steps for c in s.culprits if c.statistic == "js"}
    mean, usual = map(float, re.fullmatch(r"mean (\S+), usually (\S+)", details["x"]).groups())  # type: ignore[union-attr]
    assert 0.5 < mean < 1.1
    assert abs(usual) < 0.05
    now, before = re.fullmatch(r"(?:JFK|LGA) (\S+)%, usually (\S+)%", details["origin"]).groups()  # type: ignore[union-attr]
    assert abs(float(before) - 50) < 1
    assert abs(float(now) - 50) > 15
    assert any(c.detail in s.summary for s in steps for c in s.culprits[:1])


def test_what_is_missing_has_a_bar_of_its_own_and_is_a_change_of_schema() -> None:
    columns = history(0, ROWS, 2)
    columns.numeric["y"][AT:] = np.nan
    steps = told(columns)
    step = [s for s in steps if s.kind == "drift" and s.state != "resolved" and not s.segment][-1]
    worst = next(c for c in step.culprits if c.name == "y")
    assert worst.bins[0] == "missing"
    assert worst.before[0] == 0
    assert worst.after[0] > 0.1
    assert "y all but ceasing to arrive" in [c.what for c in step.coincides if c.kind == "schema"]


def test_a_release_at_the_time_is_named_and_one_long_before_is_not() -> None:
    registry = RegistryView()
    registry.observe(make_event("m", "v0", "promoted", at_us(0)))
    registry.observe(make_event("m", "v1", "promoted", at_us(AT) + 3 * MINUTE))
    step = first(told(shifted(), registry=registry))
    assert [(c.kind, c.at_us) for c in step.coincides] == [("release", at_us(AT) + 3 * MINUTE)]
    assert "together with the release of v1 at" in step.story


@pytest.mark.parametrize(("released", "named"), [("v1", ["release"]), ("v2", [])])
def test_a_release_after_it_began_is_named_only_where_it_is_of_the_version_that_shows_it(
    released: str, named: list[str]
) -> None:
    """A version may serve before the registry hears of it; what the old one showed did not come with the new one."""
    registry = RegistryView()
    for version, at in (("v2" if released == "v1" else "v1", at_us(0)), (released, at_us(AT) + 40 * MINUTE)):
        registry.observe(make_event("m", version, "promoted", at))
    columns = shifted(by=0.5)
    steps = [s for s in told(columns, registry=registry) if s.kind == "drift" and not s.segment]
    assert steps
    assert steps[0].updated_us > at_us(AT) + 40 * MINUTE
    assert [c.kind for c in steps[0].coincides] == named


def test_other_columns_at_the_time_are_named() -> None:
    before, after = rows_of(shifted(), np.arange(AT)), rows_of(shifted(), np.arange(AT, ROWS))
    after.numeric["novel"] = np.ones(after.rows)
    step = first(told([before, after]))
    assert ("schema", "other columns: v1 sends novel for the first time") in [
        (c.kind, c.what) for c in step.coincides
    ]


def test_the_other_version_on_the_same_traffic_is_asked() -> None:
    registry = RegistryView()
    registry.observe(make_event("m", "v1", "promoted", at_us(0)))
    registry.observe(make_event("m", "v2", "promoted", at_us(200)))
    both = [baseline("v1"), baseline("v2")]
    second = replace(history(0, ROWS, 5, "v2"))
    second.numeric["x"][AT:] += 2
    alone = [
        s for s in told([history(0, ROWS, 6), second], baselines=both, registry=registry) if s.version == "v2"
    ]
    beside = first(alone).beside
    assert beside is not None
    assert (beside.version, beside.sees) == ("v1", "no")
    shared = told([shifted(), second], baselines=both, registry=registry)
    seen = [
        s.beside for s in shared if s.version == "v2" and s.kind == "drift" and s.beside and not s.segment
    ]
    assert {b.sees for b in seen} & {"yes"}


def test_importance_decides_between_columns_that_moved_about_as_far() -> None:
    columns = shifted(by=2.0)
    columns.numeric["y"][AT:] += 2.2
    names = [c.name for c in first(told(columns)).culprits[:2]]
    weighed = first(told(columns, baselines=[baseline(x=0.7, y=0.1)]))
    assert [c.name for c in weighed.culprits[:2]] == ["x", "y"]
    assert weighed.culprits[0].importance == 0.7
    assert sorted(names) == ["x", "y"]
    assert "of what moved the model makes most of x (0.7), y (0.1)" in weighed.story


def test_a_silence_is_dated_to_the_last_prediction_before_it() -> None:
    columns = history(0, ROWS, 2)
    kept = rows_of(columns, np.flatnonzero((np.arange(ROWS) < AT) | (np.arange(ROWS) >= AT + 800)))
    step = first(told(kept, spec=replace(SPEC, freshness_us=60 * MINUTE)), "freshness")
    assert step.onset_us is not None
    assert abs(step.onset_us - at_us(AT)) <= PANE


def test_a_column_that_goes_hours_after_the_incident_began_did_not_begin_with_it() -> None:
    columns = shifted("x", 4.0)
    columns.numeric["y"][AT + 600 :] = np.nan
    steps = [s for s in told(columns) if s.kind == "drift" and not s.segment and s.state != "resolved"]
    last = steps[-1]
    assert {"x", "y"} <= {c.name for c in last.culprits} | {c.name for s in steps for c in s.culprits}
    assert abs((last.onset_us or 0) - at_us(AT)) <= PANE
    assert [c for s in steps for c in s.coincides if c.kind == "schema"] == []


def test_a_column_that_goes_once_the_cause_is_known_is_an_incident_of_its_own() -> None:
    columns = shifted("x", 4.0)
    columns.numeric["y"][AT + 2000 :] = np.nan
    steps = [s for s in told(columns) if s.kind == "drift" and not s.segment and s.state == "open"]
    assert [[c.name for c in s.culprits] for s in steps] == [["x"], ["y"]]
    assert [s.incident_id for s in steps] == [s.alarm_id for s in steps]
    assert abs((steps[1].onset_us or 0) - at_us(AT + 2000)) <= PANE
    assert [c.kind for c in steps[1].coincides] == ["schema"]


def test_what_another_version_saw_long_ago_is_not_what_it_sees() -> None:
    """v2 drifted on x for an hour and was taken back; days later v1 still drifts, and v2 sees nothing of it."""
    history_, day = DriftHistory(), 24 * 60 * MINUTE
    column = ColumnVerdict("x", "feature", Verdict.DRIFT, "js", 0.5, 0.1, 0.02)

    def window(version: str, end_us: int) -> WindowVerdict:
        return WindowVerdict(
            "m",
            version,
            "predictions",
            "",
            PANE,
            end_us - PANE,
            end_us,
            100,
            Verdict.DRIFT,
            "drift",
            (column,),
        )

    for version, at in (("v2", T0 + PANE), ("v1", T0 + PANE), ("v1", T0 + 9 * day)):
        history_.observe(window(version, at))
    registry = RegistryView()
    registry.observe(make_event("m", "v2", "promoted", T0 - day))
    registry.observe(make_event("m", "v1", "promoted", T0))
    control = Control()
    engine = PartitionEngine(control, registry, Watermarks({"predictions": "predictions"}, 30_000_000))
    state = engine.state("m")
    scene = Scene(state.merge, engine.judge, control, registry, state.changes, history_.evidence())
    step = replace(first(told(shifted())), version="v1", onset_us=T0)
    for at, sees in ((T0 + PANE, "yes"), (T0 + 9 * day, "unknown")):
        now = replace(step, window_start_us=at - PANE, window_end_us=at, opened_us=T0 + PANE)
        beside = explain(now, window("v1", at), SPEC, scene).beside
        assert beside is not None
        assert (beside.version, beside.sees) == ("v2", sees)


def related(start: int, rows: int, seed: int, turned: int | None = None, beside: str = "") -> Columns:
    """Three numbers that go together, and a fourth beside them; from some row on the first is turned round."""
    columns = history(start, rows, seed)
    rng = np.random.default_rng(seed + 1000)
    common = rng.normal(size=rows)
    made = {name: common + rng.normal(size=rows) / 3 for name in ("a", "b", *beside.split())}
    if turned is not None:
        made["a"][turned:] *= -1
    return replace(columns, numeric={**columns.numeric, **made})


def pages_of(
    beside: str = "", turned: int | None = AT, registry: RegistryView | None = None
) -> list[AlarmStep]:
    known = build_baseline(related(-40_000, 40_000, 1, beside=beside), model="m", version="v1", now_us=0)
    steps = told(related(0, ROWS, 2, turned, beside), baselines=[known], registry=registry)
    return [s for s in steps if s.kind == "drift" and not s.segment]


def test_a_changed_relation_is_dated_and_what_happened_at_that_time_is_named() -> None:
    registry = RegistryView()
    registry.observe(make_event("m", "v0", "promoted", at_us(0)))
    registry.observe(make_event("m", "v1", "promoted", at_us(AT) + 3 * MINUTE))
    step = pages_of(registry=registry)[0]
    assert [c.role for c in step.culprits] == ["relation"]
    assert step.onset_us is not None
    assert abs(step.onset_us - at_us(AT)) <= PANE
    assert step.culprits[0].onset_us == step.onset_us
    assert step.onset_why == "estimated from the panes of a and b"
    assert [c.kind for c in step.coincides] == ["release"]
    assert step.moved == "inputs"
    assert "together with the release of v1 at" in step.story
    assert "How inputs go together changed, and the score did not." in step.story


@pytest.mark.parametrize("rows", [77, 3000])
def test_a_changed_relation_is_explained_the_same_however_the_stream_was_batched(rows: int) -> None:
    known = build_baseline(related(-40_000, 40_000, 1), model="m", version="v1", now_us=0)
    one, other = (told(related(0, ROWS, 2, AT), baselines=[known], rows=n) for n in (200, rows))
    said = [
        [(s.alarm_id, s.revision, s.summary, s.onset_us, s.moved, s.story) for s in steps]
        for steps in (one, other)
    ]
    assert said[0] == said[1]


def test_of_a_pair_the_column_that_goes_differently_with_others_too_is_the_odd_one() -> None:
    step = pages_of("c d")[-1]
    assert {c.name for c in step.culprits} == {"a and b", "a and c", "a and d"}
    others = {"b", "c", "d"} - set(step.culprits[0].name.split(" and "))
    assert f"a is the odd one: it goes differently with {', '.join(sorted(others))} too" in step.summary
    assert all("a is the odd one" in c.detail for c in step.culprits)


def test_of_a_pair_alone_neither_column_is_called_the_odd_one() -> None:
    assert "odd one" not in pages_of()[-1].summary


def test_what_all_columns_show_together_is_dated_to_the_first_window_that_shows_it() -> None:
    control = Control()
    engine = PartitionEngine(control, RegistryView(), Watermarks({"predictions": "predictions"}, 30_000_000))
    state = engine.state("m")
    scene = Scene(
        state.merge, engine.judge, control, RegistryView(), state.changes, DriftHistory().evidence()
    )
    column = ColumnVerdict("all columns", "joint", Verdict.DRIFT, "mmd", 0.5, 0.1, 0.02)
    verdict = WindowVerdict(
        "m", "v1", "predictions", "", 6 * PANE, T0, T0 + 6 * PANE, 100, Verdict.DRIFT, "drift", (column,)
    )  # fmt: skip
    step = AlarmBook("m").step(replace(verdict, sudden=True), SPEC, None, None)[0]
    step = explain(step, verdict, SPEC, scene)
    assert (step.onset_us, step.onset_why) == (T0, "the start of the first window that shows it")


def test_what_moved_is_not_forgotten_when_only_a_relation_is_left() -> None:
    """x moves for an hour; then only how a and b go together is left."""
    columns = related(0, ROWS, 2, AT)
    columns.numeric["x"][AT : AT + 400] += 4
    known = build_baseline(related(-40_000, 40_000, 1), model="m", version="v1", now_us=0)
    spec = replace(SPEC, horizons_us=(60 * MINUTE,), resolve_after=100)
    steps = [s for s in told(columns, baselines=[known], spec=spec) if s.kind == "drift" and not s.segment]
    assert "x" in {c.name for s in steps[:2] for c in s.culprits}
    later = [s for s in steps if s.state == "updated" and {c.role for c in s.culprits} == {"relation"}]
    assert later
    assert all(s.moved == "inputs" and "Inputs moved and the score did not." in s.story for s in later)


def test_a_column_renamed_by_its_sender_is_dated_and_drawn_from_what_is_sent_now() -> None:
    """What is sent from then on has another layout: panes of the old one know nothing of the fault."""
    columns = history(0, ROWS, 2)
    before, after = rows_of(columns, np.arange(AT)), rows_of(columns, np.arange(AT, ROWS))
    after.numeric["y_renamed"] = after.numeric.pop("y")
    step = first(told([before, after]))
    (gone,) = step.culprits
    assert (gone.name, gone.statistic, gone.value) == ("y", "missing_share", 1.0)
    assert step.onset_us is not None
    assert abs(step.onset_us - at_us(AT)) <= PANE
    assert (gone.bins[0], gone.before[0], gone.after[0]) == ("missing", 0.0, 1.0)


def test_a_version_that_was_replaced_at_the_release_is_not_said_to_be_stable_on_the_traffic_since() -> None:
    registry = RegistryView()
    registry.observe(make_event("m", "v1", "promoted", at_us(0)))
    registry.observe(make_event("m", "v2", "promoted", at_us(AT)))
    old = rows_of(history(0, ROWS, 2), np.arange(AT))
    new = rows_of(history(0, ROWS, 3, "v2"), np.arange(AT, ROWS))
    new.numeric["x"] *= 60
    steps = told([old, new], baselines=[baseline(), baseline("v2")], registry=registry)
    told_of = [s for s in steps if s.version == "v2" and s.kind == "drift" and not s.segment and s.beside]
    assert told_of
    assert {s.beside.sees for s in told_of if s.beside} == {"unknown"}
    assert "v1 does not show it, but its windows reach back to before it." in told_of[0].story
    assert told_of[0].attribution == "version"
