"""What a known cause explains, and what is heard beside it: nothing that drifts is heard by nobody."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.monitor import DAY_US, HOUR_US, MonitorSpec
from streams.core.alarm_steps import AlarmStep
from streams.core.alarms import AlarmBook, in_order
from streams.core.known_causes import FAR, Known, held_by, part_of, without
from streams.core.track_table import MAX_KNOWN
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict

SPEC = MonitorSpec("m", pane_us=HOUR_US, horizons_us=(HOUR_US, DAY_US), resolve_after=3, notify=("log",))
T0_US = 1_370_268_000_000_000
DRIFT, STABLE, WARNING = Verdict.DRIFT, Verdict.STABLE, Verdict.WARNING


def column(
    name: str, moved: float | None = 1.0, statistic: str = "js", role: str = "feature"
) -> ColumnVerdict:
    beside = {"a": ("feature/b",), "b": ("feature/a",)}.get(name, ())
    return ColumnVerdict(name, role, DRIFT, statistic, 0.2, 0.1, 0.02, moved=moved, goes_with=beside)


def pair(one: str, other: str) -> ColumnVerdict:
    of = (f"feature/{one}", f"feature/{other}")
    return ColumnVerdict(f"{one} and {other}", "relation", DRIFT, "correlation", 0.4, 0.2, 0.1, of=of)


ALL_COLUMNS = ColumnVerdict("all columns", "joint", DRIFT, "mmd", 0.05, 0.04, 0.03)


def window(
    hour: int,
    *columns: ColumnVerdict,
    kind: str = "drift",
    segment: str = "",
    version: str = "v1",
    warned: tuple[str, ...] = (),
) -> WindowVerdict:
    end_us = T0_US + hour * HOUR_US
    said = DRIFT if columns else WARNING if warned else STABLE
    return WindowVerdict(
        "m", version, "predictions", segment, HOUR_US, end_us - HOUR_US, end_us, 500, said, kind, columns, warned=warned
    )  # fmt: skip


def known(*columns: ColumnVerdict) -> Known:
    out = Known()
    out.learn(window(0, *columns), {c.key for c in columns})
    return out


@pytest.mark.parametrize(
    ("said", "shown", "is_explained"),
    [
        ("what was named", column("a", 1.0), True),
        ("a little further", column("a", FAR), True),
        ("much further", column("a", FAR + 0.1), False),
        ("what goes with it", column("b", 2.0), True),
        ("what goes with it, much further", column("b", FAR + 0.1), False),
        ("another column", column("c", 0.5), False),
        ("a named column that goes missing", column("a", 1.0, "missing_share"), False),
        ("one that goes with it and goes missing", column("b", 1.0, "missing_share"), False),
        ("a pair of a named column", pair("a", "c"), True),
        ("a pair of others", pair("c", "d"), False),
        ("all columns together", ALL_COLUMNS, True),
    ],
)
def test_what_a_cause_explains(said: str, shown: ColumnVerdict, *, is_explained: bool) -> None:
    assert known(column("a")).explains(shown) is is_explained, said


def test_a_column_known_to_be_missing_may_stay_so_and_losses_are_one_cause() -> None:
    gone = known(column("a", 2.5, "missing_share"))
    assert gone.explains(column("a", 2.5, "missing_share"))
    assert gone.explains(column("a", 1.0))
    losses = known(column("error", 0.3, role="loss"))
    assert losses.explains(column("brier", 0.6, role="loss"))
    assert not losses.explains(column("brier", 3.0, role="loss"))


def test_a_pair_explains_its_columns() -> None:
    assert known(pair("c", "d")).explains(column("d", 2.0))


def test_what_drifted_but_was_not_named_is_not_known() -> None:
    out = Known()
    out.learn(window(0, column("a"), column("c")), {"feature/a"})
    assert not out.explains(column("c"))


NAMES = st.sampled_from("abcde")
COLUMNS = st.one_of(
    st.builds(
        column, NAMES, st.sampled_from([0.3, 1.0, 9.0, None]), st.sampled_from(["js", "missing_share"])
    ),
    st.builds(pair, NAMES, NAMES),
    st.just(ALL_COLUMNS),
)
LISTS = st.lists(COLUMNS, max_size=4)


@given(LISTS, st.lists(LISTS, max_size=3), st.booleans())
def test_nothing_that_drifts_is_heard_by_nobody(
    shown: list[ColumnVerdict], named: list[list[ColumnVerdict]], sudden: bool
) -> None:
    causes = [known(*columns) for columns in named]
    columns = tuple(replace(c, sudden=sudden) for c in shown)
    whole = replace(window(9, *columns), sudden=sudden and bool(columns))
    parts = [part_of(whole, cause, causes[:n]) for n, cause in enumerate(causes)]
    rest = without(whole, causes)
    heard = [c for said in (*parts, rest) for c in said.columns]
    assert {c.key for c in heard} == {c.key for c in columns}
    assert all((said.verdict is DRIFT) == bool(said.columns) for said in (*parts, rest))
    assert all(not said.sudden or any(c.sudden for c in said.columns) for said in (*parts, rest))
    assert not any(cause.explains(c) for cause in causes for c in rest.columns)
    again = [Known.restore(json.loads(json.dumps(cause.snapshot()))) for cause in causes]
    assert again == causes
    assert without(whole, []) is whole


def test_a_warning_is_of_the_cause_that_named_it_or_of_the_rest() -> None:
    cause = known(column("a"))
    of_a, of_c = window(1, warned=("feature/a",)), window(1, warned=("feature/c",))
    assert (part_of(of_a, cause).verdict, without(of_a, [cause]).verdict) == (WARNING, STABLE)
    assert (part_of(of_c, cause).verdict, without(of_c, [cause]).verdict) == (STABLE, WARNING)
    unmeasured = replace(window(1), verdict=Verdict.NOT_ENOUGH_DATA)
    assert part_of(unmeasured, cause) == without(unmeasured, [cause]) == unmeasured


def test_a_named_pair_near_its_limit_makes_a_stable_window_a_warning_for_its_alarm_alone() -> None:
    near = replace(window(1), warned=("relation/c and d",))
    assert held_by(near, known(pair("c", "d"))).verdict is WARNING
    assert held_by(near, known(column("a"))).verdict is STABLE


def run(book: AlarmBook, *verdicts: WindowVerdict) -> list[AlarmStep]:
    return [s for v in in_order(verdicts) for s in book.step(v, SPEC)]


def pages(steps: list[AlarmStep]) -> list[list[str]]:
    return [[c.name for c in s.culprits] for s in steps if s.state == "open" and s.notify]


def open_for_two_days(**options: str) -> AlarmBook:
    book = AlarmBook("m")
    assert pages(run(book, *(window(h, column("a"), **options) for h in range(48)))) == [["a"]]
    return AlarmBook.restore(json.loads(json.dumps(book.snapshot())))


def test_a_new_column_pages_and_ends_while_the_known_one_goes_on() -> None:
    book = open_for_two_days()
    steps = run(book, *(window(h, column("a"), column("c")) for h in range(48, 72)))
    steps += run(book, *(window(h, column("a")) for h in range(72, 96)))
    assert [(s.state, [c.name for c in s.culprits]) for s in steps] == [("open", ["c"]), ("resolved", ["c"])]
    assert [s.culprits[0].name for s in book.open_alarms] == ["a"]
    assert [s.state for s in run(book, *(window(h) for h in range(96, 99)))] == ["resolved"]
    assert {key[3] for key, _ in book.snapshot()["tracks"]} == {""}, "nothing is kept of what is over"


def test_what_joins_while_the_longest_window_fills_is_an_update() -> None:
    book = AlarmBook("m")
    steps = run(book, *(window(h, column("a"), *([column("c")] if h > 20 else [])) for h in range(60)))
    assert [s.state for s in steps] == ["open", "updated"]


def test_a_single_window_of_a_new_column_opens_nothing_though_the_known_one_is_proof_by_itself() -> None:
    book = open_for_two_days()
    loud = replace(window(48, replace(column("a"), sudden=True), column("c")), sudden=True)
    assert run(book, loud, window(49, column("a"))) == []


def test_volume_that_was_down_pages_when_it_is_gone() -> None:
    def rows(times: float) -> ColumnVerdict:
        return ColumnVerdict("volume", "feature", DRIFT, "rows", 10.0, 25.0, 80.0, evidence=times)

    book = AlarmBook("m")
    few = run(book, *(window(h, rows(2.5), kind="volume", version="") for h in range(48)))
    none = run(book, *(window(h, rows(50.0), kind="volume", version="") for h in range(48, 72)))
    assert pages(few) == pages(none) == [["volume"]]


def test_traffic_that_is_gone_by_night_is_not_gone_again_by_day() -> None:
    def gone(usual: float) -> ColumnVerdict:
        return ColumnVerdict("volume", "feature", DRIFT, "rows", 0.0, usual / 4, usual, evidence=usual)

    book = AlarmBook("m")
    night, day = (
        [window(h, gone(u), kind="volume", version="") for h in at]
        for u, at in ((60.0, range(48)), (600.0, range(48, 72)))
    )
    assert pages(run(book, *night)) == [["volume"]]
    assert run(book, *day) == []


@pytest.mark.parametrize("kind", ["classic", "freshness"])
def test_classic_detectors_and_silence_have_one_alarm(kind: str) -> None:
    book = open_for_two_days(kind=kind)
    steps = run(book, *(window(h, column("a"), column("c"), kind=kind) for h in range(48, 72)))
    assert [s.state for s in steps] == ["updated"]


def test_at_most_so_many_causes_are_told_apart() -> None:
    book = AlarmBook("m")
    names = [f"x{n}" for n in range(MAX_KNOWN + 4)]
    steps = []
    for day in range(2 * len(names)):
        steps += run(
            book, *(window(24 * day + h, *(column(n) for n in names[: day // 2 + 1])) for h in range(24))
        )
    assert len(pages(steps)) == MAX_KNOWN + 1
    assert steps[-1].state == "updated"


def test_what_is_known_is_known_of_segments_too_and_where_it_spreads_is_told() -> None:
    book, steps = AlarmBook("m"), []
    for hour in range(72):
        lga = (column("a"),) if hour > 60 else ()
        verdicts = [
            window(hour, column("a")),
            window(hour, column("a"), segment="origin=JFK"),
            window(hour, *lga, segment="origin=LGA"),
        ]
        steps += run(book, *verdicts)
        book = AlarmBook.restore(json.loads(json.dumps(book.snapshot())))
    assert [(s.state, s.segment) for s in steps if s.state == "open"] == [("open", "")]
    assert steps[-1].updated_us == T0_US + 63 * HOUR_US
    assert steps[-1].only_in == ()


def test_one_segment_alone_pages_beside_what_is_known_of_all_traffic() -> None:
    book, steps = open_for_two_days(), []
    for hour in range(48, 52):
        jfk = window(hour, column("a"), column("c"), segment="origin=JFK")
        steps += run(book, window(hour, column("a")), jfk, window(hour, segment="origin=LGA"))
    opened = [s for s in steps if s.state == "open"]
    assert [(s.segment, [c.name for c in s.culprits]) for s in opened] == [("origin=JFK", ["c"])]


def test_another_version_that_sees_a_known_column_break_anew_pages() -> None:
    book = AlarmBook("m")
    run(book, *(window(h, column("a"), version=v) for h in range(48) for v in ("v1", "v2")))
    steps = run(book, *(window(h, column("a", 2.5, "missing_share"), version="v2") for h in range(48, 52)))
    assert pages(steps) == [["a"]]


def test_skew_on_a_column_that_is_known_to_drift_pages() -> None:
    book = open_for_two_days()
    assert pages(run(book, *(window(h, column("a"), kind="skew") for h in range(48, 52)))) == [["a"]]
    early = AlarmBook("m")
    run(early, *(window(h, column("a")) for h in range(4)))
    assert pages(run(early, *(window(h, column("a"), kind="skew") for h in range(4, 8)))) == []


def test_a_column_that_drifts_for_weeks_does_not_keep_the_alarm_about_a_day_without_it_open() -> None:
    book = open_for_two_days()
    gone = run(book, *(window(h, column("a", 2.5, "missing_share")) for h in range(48, 48 + 30)))
    back = run(book, *(window(h, column("a")) for h in range(78, 90)))
    assert [s.state for s in gone + back] == ["open", "resolved"]
    assert [c.statistic for s in book.open_alarms for c in s.culprits] == ["js"]


def hours_of_a_fault_in_one_segment(far: list[float]) -> list[AlarmStep]:
    """BOS has a tenth of the traffic: what happens there goes ten times as far as all traffic shows."""
    book, steps = AlarmBook("m"), []
    for hour, moved in enumerate(far):
        verdicts = [
            window(hour, *([column("a", moved / 10)] if moved else [])),
            window(hour, *([column("a", moved)] if moved else []), segment="origin=BOS"),
            window(hour, segment="origin=JFK"),
        ]
        for verdict in in_order(verdicts):
            steps += book.step(verdict, SPEC)
        book = AlarmBook.restore(json.loads(json.dumps(book.snapshot())))
    return steps


def test_a_fault_that_lives_in_a_small_segment_pages_once_though_it_goes_further_there_than_in_all_traffic() -> (
    None
):
    steps = hours_of_a_fault_in_one_segment([5.0] * 60 + [0.0] * 9)
    assert [(s.state, s.segment) for s in steps if s.state != "updated"] == [("open", ""), ("resolved", "")]


def test_what_goes_three_times_as_far_in_that_segment_is_another_fault() -> None:
    steps = hours_of_a_fault_in_one_segment([5.0] * 40 + [5.0 * FAR + 1] * 9)
    pages = [s for s in steps if s.state == "open" and s.notify]
    assert [(s.segment, (s.updated_us - T0_US) // HOUR_US) for s in pages] == [("", 1), ("", 41)]
