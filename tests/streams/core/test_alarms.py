"""The life of alarms, against a naive model of hysteresis that counts from the beginning every time."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.errors import ContractError
from seawall.monitor import MonitorSpec
from seawall.wire import decode, encode
from streams.core.alarm_steps import AlarmStep, Attribution
from streams.core.alarms import MAX_RETIRED, AlarmBook, in_order
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict

MODEL = "late-arrival"
SPEC = MonitorSpec(MODEL, open_after=2, resolve_after=3, notify=("log",))
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
SHORT_US = 5 * MINUTE_US
T0_US = 1_370_268_000_000_000  # 2013-06-03 14:00 UTC

STABLE, WARNING, DRIFT = Verdict.STABLE, Verdict.WARNING, Verdict.DRIFT
UNKNOWN, ERROR = Verdict.NOT_ENOUGH_DATA, Verdict.ERROR


def window(
    minute: int,
    verdict: Verdict,
    *,
    horizon_us: int = SHORT_US,
    segment: str = "",
    version: str = "v2",
    kind: str = "drift",
    columns: dict[str, float] | None = None,
) -> WindowVerdict:
    """Return the verdict of the window that ends at a minute; `columns`: js of the drifted, limit 0.10."""
    if columns is None:
        columns = {"distance": 0.15} if verdict is DRIFT else {}
    end_us = T0_US + minute * MINUTE_US
    return WindowVerdict(
        MODEL,
        version,
        "predictions",
        segment,
        horizon_us,
        end_us - horizon_us,
        end_us,
        500,
        verdict,
        kind,
        tuple(ColumnVerdict(c, "feature", DRIFT, "js", v, 0.1, 0.02) for c, v in columns.items()),
    )


def run(*verdicts: WindowVerdict, book: AlarmBook | None = None) -> list[AlarmStep]:
    book = book or AlarmBook(MODEL)
    return [step for verdict in verdicts for step in book.step(verdict, SPEC)]


def states(*verdicts: Verdict) -> list[tuple[str, int]]:
    """Return each step's state and the position of the window that caused it."""
    steps = run(*(window(i, v) for i, v in enumerate(verdicts)))
    return [(s.state, (s.updated_us - T0_US) // MINUTE_US) for s in steps]


def test_a_window_that_is_proof_by_itself_opens_at_once_and_a_warning_never_does():
    sudden = replace(window(0, DRIFT), sudden=True)
    (opened,) = run(sudden)
    assert (opened.state, opened.opened_us, opened.updated_us) == ("open", sudden.end_us, sudden.end_us)
    assert run(window(0, DRIFT)) == []
    assert run(replace(window(0, WARNING), sudden=True)) == []


@pytest.mark.parametrize(
    ("said", "verdicts", "expected"),
    [
        ("one drifted window is not enough", [DRIFT], []),
        ("two in a row open", [DRIFT, DRIFT], [("open", 1)]),
        ("a stable window in between starts over", [DRIFT, STABLE, DRIFT], []),
        ("a warning in between starts over", [DRIFT, WARNING, DRIFT], []),
        ("what was not measured is passed over", [DRIFT, UNKNOWN, ERROR, DRIFT], [("open", 3)]),
        ("what was not measured never opens", [UNKNOWN, ERROR, UNKNOWN, ERROR], []),
        ("warnings never open", [WARNING] * 9, []),
        ("three stable resolve", [DRIFT, DRIFT, STABLE, STABLE, STABLE], [("open", 1), ("resolved", 4)]),
        ("a warning breaks a stable run", [DRIFT, DRIFT, STABLE, STABLE, WARNING, STABLE], [("open", 1)]),
        ("silence resolves nothing", [DRIFT, DRIFT, *[UNKNOWN] * 9], [("open", 1)]),
        (
            "silence leaves a stable run alone",
            [DRIFT, DRIFT, STABLE, UNKNOWN, STABLE, ERROR, STABLE],
            [("open", 1), ("resolved", 6)],
        ),
        ("drift that goes on is told once", [DRIFT] * 9, [("open", 1)]),
        ("drift that comes back is a new alarm", [DRIFT, DRIFT, STABLE, STABLE, STABLE, DRIFT, DRIFT],
         [("open", 1), ("resolved", 4), ("open", 6)]),
    ],
)  # fmt: skip
def test_only_drift_opens_and_only_stable_resolves(
    said: str, verdicts: list[Verdict], expected: list[tuple[str, int]]
) -> None:
    assert states(*verdicts) == expected, said


def test_an_update_says_first_what_is_new() -> None:
    (_, told) = run(
        window(0, DRIFT),
        window(1, DRIFT),
        *(window(i, DRIFT, columns={"distance": 0.3, "wind": 0.15}) for i in (2, 3)),
    )[:2]
    assert told.story == "New: it is an error now, not a warning any more."
    (*_, last) = run(
        window(0, DRIFT),
        window(1, DRIFT),
        *(window(i, DRIFT, columns={"distance": 0.15, "wind": 0.15}) for i in (2, 3)),
    )
    assert last.story == "New: wind joined."


def test_what_the_page_said_already_is_not_told_again_by_an_alarm_that_joined_it() -> None:
    """A fault of one segment that outweighs the others: all traffic names late and fetches up later, one at a time."""
    far, of_all = (
        {"delay": 0.5, "late": 0.4},
        [{"delay": 0.15}, {"delay": 0.15, "late": 0.15}, {"delay": 0.3, "late": 0.3}],
    )
    book, steps = AlarmBook(MODEL), []
    for minute in range(12):
        verdicts = [
            window(minute, DRIFT, columns=of_all[minute // 3 - 1]) if minute > 2 else window(minute, STABLE),
            window(minute, DRIFT, segment="origin=JFK", columns=far),
            window(minute, STABLE, segment="origin=LGA"),
        ]
        for verdict in in_order(verdicts):
            steps += book.step(verdict, SPEC)
        book = AlarmBook.restore(json.loads(json.dumps(book.snapshot())))
    assert [(s.state, s.revision) for s in steps if s.segment] == [("open", 0), ("updated", 1)]
    assert [s.severity for s in steps if not s.segment] == ["warning", "warning", "error"]


def test_a_pair_that_two_numbers_tell_of_is_named_once() -> None:
    pair = ColumnVerdict("a and b", "relation", DRIFT, "correlation", 0.5, 0.2, 0.1, "first", codes=(0, 1))
    drift = window(0, DRIFT)
    (opened,) = run(replace(drift, sudden=True, columns=(pair, replace(pair, detail="second", codes=(2, 3)))))
    assert opened.summary.count("a and b") == 1


@pytest.mark.parametrize(
    ("value", "limit", "said"),
    [
        (0.484, 0.065, "wind is missing more often than in its baseline (missing 48.4%, usually 3.0%; limit 6.5%, chance 0.8%)"),
        (0.004, 0.010, "wind is missing less often than in its baseline (missing 0.4%, usually 3.0%; limit 1.0%, chance 0.8%)"),
    ],
)  # fmt: skip
def test_a_share_is_told_in_percent_and_on_the_right_side_of_what_is_usual(
    value: float, limit: float, said: str
) -> None:
    detail = f"missing {value:.1%}, usually 3.0%; the limits are guesswork"
    column = ColumnVerdict(
        "wind", "feature", DRIFT, "missing_share", value, limit, 0.008, detail, evidence=3.0
    )
    (opened,) = run(replace(window(0, DRIFT), sudden=True, columns=(column,)))
    assert opened.summary.startswith(f"late-arrival v2: {said} since ")


def test_who_was_told_that_it_opened_hears_the_end_whoever_is_told_since() -> None:
    """A monitor that is changed, or withdrawn, while an alarm is open: an update must not lose those who wait for the end."""
    book = AlarmBook(MODEL)
    worse_yet = [window(i, DRIFT, columns={"distance": 0.5}) for i in (2, 3)]
    steps = [
        s for i in range(2) for s in book.step(window(i, DRIFT), replace(SPEC, notify=("pagerduty:old",)))
    ]
    steps += [s for w in worse_yet for s in book.step(w, replace(SPEC, notify=("slack:#new",)))]
    steps += [s for i in range(4, 8) for s in book.step(window(i, STABLE), replace(SPEC, notify=()))]
    assert [(s.state, s.notify) for s in steps] == [
        ("open", ("pagerduty:old",)),
        ("updated", ("slack:#new", "pagerduty:old")),
        ("resolved", ("slack:#new", "pagerduty:old")),
    ]


def test_the_end_says_of_which_incident_it_is() -> None:
    columns = {"distance": 0.5, "wind": 0.3}
    *_, end = run(
        *(window(i, DRIFT, columns=columns) for i in range(2)), *(window(i, STABLE) for i in (2, 3, 4))
    )
    assert end.summary.startswith("late-arrival v2: drift alarm on distance, wind resolved at ")


def ends(
    *parts: tuple[Verdict, int], columns: str = "a", every: int = 1, kind: str = "drift"
) -> list[tuple[int, int]]:
    """Return when each alarm opened and ended (-1: it is open), by windows that end every so many minutes.

    Drifted runs name a column in turn.
    """
    at, turn, found = 0, 0, []
    book, opened = AlarmBook(MODEL), 0
    for verdict, count in parts:
        named = {columns[turn % len(columns)]: 0.15} if verdict is DRIFT else {}
        turn += verdict is DRIFT
        for _ in range(count):
            for step in book.step(window(at * every, verdict, columns=named, kind=kind), SPEC):
                if step.state == "open":
                    opened = at
                if step.state == "resolved":
                    found.append((opened, at))
            at += 1
    return [*found, (opened, -1)] if book.open_alarms else found


def test_what_comes_back_ends_once_it_stayed_away_for_twice_as_long() -> None:
    """SPEC asks for three stable windows. Away for five minutes from drift to drift, then it has to be for ten."""
    assert ends((DRIFT, 2), (STABLE, 4), (DRIFT, 2), (STABLE, 9)) == [(1, 4), (7, -1)]
    assert ends((DRIFT, 2), (STABLE, 4), (DRIFT, 2), (STABLE, 10)) == [(1, 4), (7, 17)]


def test_what_comes_with_every_peak_pages_when_it_is_first_seen_and_when_it_is_first_back() -> None:
    hours, days = 60, 24 * 60
    daily = [part for _ in range(20) for part in ((DRIFT, 3), (STABLE, 21))]
    assert ends(*daily, every=hours) == [(1, 5), (25, -1)]
    weekdays = [part for _ in range(6) for part in (*[(DRIFT, 3), (STABLE, 21)] * 5, (STABLE, 48))]
    assert len(ends(*weekdays, every=hours)) == 3
    weekly = [part for _ in range(12) for part in ((DRIFT, 2), (STABLE, 5))]
    assert ends(*weekly, every=days) == [(1, 4), (8, -1)]
    last = 11 * 7 + 1
    assert ends(*weekly, (STABLE, 3), every=days) == [(1, 4), (8, last + 8)]


def test_each_silence_and_each_odd_hour_pages() -> None:
    nights = [part for _ in range(5) for part in ((DRIFT, 3), (STABLE, 21))]
    for kind in ("volume", "freshness"):
        assert len(ends(*nights, every=60, kind=kind)) == 5
    assert ends((DRIFT, 2), (STABLE, 4), (DRIFT, 2), (STABLE, 6), kind="volume") == [(1, 4), (7, 13)]


def test_what_was_away_for_longer_than_a_week_is_new() -> None:
    for away, expected in ((6, [3, 8]), (7, [3, 3])):
        lives = ends((DRIFT, 2), (STABLE, away), (DRIFT, 2), (STABLE, 9), every=24 * 60)
        assert [end - start for start, end in lives] == expected


def test_what_is_back_says_so() -> None:
    book = AlarmBook(MODEL)
    verdicts = [*[DRIFT] * 2, *[STABLE] * 3, *[DRIFT] * 2]
    first, _, again = run(*(window(i * 60, v) for i, v in enumerate(verdicts)), book=book)
    assert "back after" not in first.summary
    assert again.summary.endswith("; back after 4h")


def test_a_state_saved_before_visits_were_kept_goes_on() -> None:
    book = AlarmBook(MODEL)
    run(window(0, DRIFT), window(1, DRIFT), book=book)
    old = json.loads(json.dumps(book.snapshot()))
    for _, track in old["tracks"]:
        del track["visits"]
        for name in ("is_back", "hold_us", "drifted_us", "named_us", "known"):
            del track["alarm"][name]
    restored = AlarmBook.restore(old)
    assert [s.state for s in run(*(window(i, STABLE) for i in (2, 3, 4)), book=restored)] == ["resolved"]


def test_another_column_that_follows_soon_is_another_fault() -> None:
    parts = (DRIFT, 2), (STABLE, 4), (DRIFT, 2), (STABLE, 5)
    assert [end - start for start, end in ends(*parts, columns="ab")] == [3, 3]


def test_a_step_says_what_where_and_since_when() -> None:
    step = run(
        *(window(i, DRIFT, columns={"distance": 0.71, "dep_delay": 0.2, "carrier": 0.3}) for i in (0, 1))
    )[0]
    assert step.summary == (
        "late-arrival v2: distance is far from its baseline (js 0.71, limit 0.10, chance 0.02) "
        "since 2013-06-03 14:00 UTC; also carrier, dep_delay"
    )
    assert [c.name for c in step.culprits] == ["distance", "carrier", "dep_delay"]
    assert (step.opened_us, step.updated_us) == (T0_US, T0_US + MINUTE_US)
    assert (step.revision, step.notify, step.rows) == (0, ("log",), 500)


def test_an_alarm_without_columns_still_makes_a_sentence() -> None:
    step = run(*(window(i, DRIFT, kind="volume", columns={}) for i in (0, 1)))[0]
    assert step.summary == "late-arrival v2: traffic is far from its usual volume since 2013-06-03 14:00 UTC"
    assert step.severity == "warning"


def test_at_most_ten_columns_are_named_worst_first() -> None:
    columns = {f"f{i:02}": 0.11 + i / 100 for i in range(30)}
    step = run(*(window(i, DRIFT, columns=columns) for i in (0, 1)))[0]
    assert [c.name for c in step.culprits] == [f"f{i}" for i in range(29, 19, -1)]
    assert step.summary.endswith("also f28, f27, f26 and 26 more")


def test_twice_the_limit_is_an_error_and_less_a_warning() -> None:
    assert run(*(window(i, DRIFT, columns={"a": 0.19}) for i in (0, 1)))[0].severity == "warning"
    assert run(*(window(i, DRIFT, columns={"a": 0.20}) for i in (0, 1)))[0].severity == "error"
    assert run(*(window(i, DRIFT, kind="freshness", columns={}) for i in (0, 1)))[0].severity == "error"


def test_a_limit_of_nought_is_an_error_and_no_division() -> None:
    book = AlarmBook(MODEL)
    for minute in (0, 1):
        columns = (ColumnVerdict("x", "feature", DRIFT, "missing_share", 0.5, 0.0, 0.0),)
        steps = book.step(replace(window(minute, DRIFT), columns=columns), SPEC)
    assert steps[0].severity == "error"
    assert math.isinf(steps[0].features[0].ratio)
    json.dumps(book.snapshot(), allow_nan=False)


def test_severity_is_told_when_it_rises_and_never_falls() -> None:
    values = [0.15, 0.15, 0.25, 0.15, 0.25]
    steps = run(*(window(i, DRIFT, columns={"a": v}) for i, v in enumerate(values)))
    assert [(s.state, s.severity, s.revision) for s in steps] == [
        ("open", "warning", 0),
        ("updated", "error", 1),
    ]


def test_a_new_culprit_is_told_once_it_stayed_for_two_windows() -> None:
    one, two = {"a": 0.15}, {"a": 0.15, "b": 0.15}
    steps = run(*(window(i, DRIFT, columns=c) for i, c in enumerate([one, one, two, one, two, two, two])))
    assert [(s.state, s.window_end_us) for s in steps] == [
        ("open", T0_US + MINUTE_US),
        ("updated", T0_US + 5 * MINUTE_US),
    ]
    assert [c.name for c in steps[1].culprits] == ["a", "b"]


def test_a_change_of_attribution_is_told() -> None:
    book, outcome = AlarmBook(MODEL), {"now": Attribution("unknown", "nobody knows")}
    told = []
    for i in range(6):
        if i == 4:
            outcome["now"] = Attribution("world", "v1 sees it too")
        told += book.step(window(i, DRIFT), SPEC, lambda _: outcome["now"])
    assert [(s.state, s.attribution, s.attribution_why) for s in told] == [
        ("open", "unknown", "nobody knows"),
        ("updated", "world", "v1 sees it too"),
    ]


def test_what_was_once_known_of_the_cause_is_not_unlearned() -> None:
    book, outcomes = (
        AlarmBook(MODEL),
        [Attribution("version", "new in v2"), *[Attribution("unknown", "gone")] * 3],
    )
    for i in range(5):
        book.step(window(i, DRIFT), SPEC, lambda _: outcomes.pop(0))
    assert [(s.attribution, s.attribution_why, s.revision) for s in book.open_alarms] == [
        ("version", "new in v2", 0)
    ]


def test_every_horizon_that_drifted_has_to_be_stable_again() -> None:
    book = AlarmBook(MODEL)
    assert run(window(0, DRIFT), window(0, DRIFT, horizon_us=HOUR_US), window(1, DRIFT), book=book)
    assert not run(*(window(i, STABLE) for i in range(2, 9)), book=book)
    hourly = [window(i, STABLE, horizon_us=HOUR_US) for i in range(9, 12)]
    assert [s.state for s in run(*hourly, book=book)] == ["resolved"]


def test_a_horizon_that_never_drifted_has_no_say_in_the_resolution() -> None:
    steps = run(
        *(window(i, UNKNOWN, horizon_us=HOUR_US) for i in range(2)),
        *(window(i, DRIFT) for i in range(2)),
        *(window(i, STABLE) for i in range(2, 5)),
    )
    assert [s.state for s in steps] == ["open", "resolved"]


def test_versions_and_kinds_have_alarms_of_their_own_and_one_of_them_speaks_for_all() -> None:
    steps = run(
        *(
            window(i, DRIFT, version=v, kind=k)
            for i in (0, 1)
            for v in ("v1", "v2")
            for k in ("drift", "skew")
        )
    )
    assert len({s.alarm_id for s in steps}) == len([s for s in steps if s.state == "open"]) == 4
    first = steps[0]
    assert {s.incident_id for s in steps} == {first.alarm_id}
    assert {s.alarm_id for s in steps if s.notify} == {first.alarm_id}
    assert {(m.version, m.kind) for m in steps[-1].members} == {
        ("v1", "skew"),
        ("v2", "drift"),
        ("v2", "skew"),
    }


def test_an_alarm_keeps_its_id_over_its_life_and_over_a_replay() -> None:
    verdicts = [window(i, v) for i, v in enumerate([DRIFT, DRIFT, STABLE, STABLE, STABLE])]
    first, again = run(*verdicts), run(*verdicts)
    assert first == again
    assert len({s.alarm_id for s in first}) == 1


def test_one_incident_is_one_page() -> None:
    pages = []
    book = AlarmBook(MODEL)
    for minute in range(4):
        verdicts = [
            window(minute, DRIFT, segment=f"origin={i}", columns={"a": 0.2 + i / 100}) for i in range(50)
        ]
        for verdict in in_order([*verdicts, window(minute, DRIFT)]):
            pages += book.step(verdict, SPEC)
    assert [s.segment for s in pages] == [""]
    named = [c for c in pages[0].features if c.role == "segment"]
    assert [c.name for c in named] == [f"origin={i}" for i in (49, 48, 47, 46, 45)]
    assert named[0].detail == "feature/a"
    assert "origin" not in pages[0].summary  # what is everywhere is in no place


def test_a_segment_alone_gets_its_own_alarm() -> None:
    steps = run(
        *(v for i in range(2) for v in in_order([window(i, DRIFT, segment="origin=JFK"), window(i, STABLE)]))
    )
    assert [s.segment for s in steps] == ["origin=JFK"]
    assert steps[0].summary.startswith("late-arrival v2 [origin=JFK]: distance")


def test_where_a_gross_fault_lives_is_told_once_though_all_traffic_is_heard_before_its_segments() -> None:
    book, steps = AlarmBook(MODEL), []
    for minute in range(9):
        verdicts = [
            replace(window(minute, DRIFT, columns={"distance": 0.9}), sudden=True),
            window(minute, DRIFT, segment="origin=JFK", columns={"distance": 0.9}),
            window(minute, STABLE, segment="origin=LGA"),
        ]
        for verdict in in_order(verdicts):
            steps += book.step(verdict, SPEC)
    assert [(s.state, s.segment, s.severity, s.only_in, s.updated_us) for s in steps] == [
        ("open", "", "error", (), T0_US),
        ("updated", "", "error", ("origin=JFK",), T0_US + 2 * MINUTE_US),
    ]
    assert "Only in origin=JFK: other values of it are stable." in steps[-1].story


def test_that_a_fault_is_no_longer_only_in_one_segment_is_told_once_however_the_others_dance() -> None:
    book, steps = AlarmBook(MODEL), []
    for minute in range(24):
        others = DRIFT if minute >= 6 and minute % 6 < 3 else STABLE
        verdicts = [
            window(minute, DRIFT),
            window(minute, DRIFT, segment="origin=JFK"),
            window(minute, others, segment="origin=LGA"),
        ]
        for verdict in in_order(verdicts):
            steps += book.step(verdict, SPEC)
        book = AlarmBook.restore(json.loads(json.dumps(book.snapshot())))
    assert [(s.only_in, (s.updated_us - T0_US) // MINUTE_US) for s in steps] == [
        (("origin=JFK",), 1),
        ((), 8),
    ]


def test_a_segments_page_says_so_when_others_follow() -> None:
    book, steps = AlarmBook(MODEL), []
    for minute in range(12):
        verdicts = [
            window(minute, DRIFT if minute > 3 else STABLE),
            window(minute, DRIFT, segment="origin=JFK"),
            window(minute, DRIFT if minute > 7 else STABLE, segment="origin=LGA"),
        ]
        for verdict in in_order(verdicts):
            steps += book.step(verdict, SPEC)
    page = [s for s in steps if s.notify]
    assert {s.segment for s in page} == {"origin=JFK"}
    assert page[-1].summary.endswith("; now all traffic")
    assert page[-1].story == (
        "New: it is no longer only in origin=JFK. It was seen in origin=JFK first, and is in all traffic now."
    )
    assert [s.state for s in page] == ["open", "updated", "updated"]


def test_a_segment_that_drifted_in_one_window_is_not_yet_where_a_fault_lives() -> None:
    book, steps = AlarmBook(MODEL), []
    for minute in range(9):
        of_segment = DRIFT if minute % 3 == 0 else STABLE
        verdicts = [
            window(minute, DRIFT),
            window(minute, of_segment, segment="origin=JFK"),
            window(minute, STABLE, segment="origin=LGA"),
        ]
        for verdict in in_order(verdicts):
            steps += book.step(verdict, SPEC)
    assert [s.state for s in steps] == ["open"]


def test_long_windows_that_are_stable_still_do_not_say_that_a_segment_is_spared() -> None:
    book, steps = AlarmBook(MODEL), []
    for minute in range(6):
        verdicts = [
            window(minute, DRIFT),
            window(minute, DRIFT, segment="origin=JFK"),
            window(minute, UNKNOWN, segment="origin=LGA"),
            window(minute, STABLE, segment="origin=LGA", horizon_us=HOUR_US),
        ]
        for verdict in in_order(verdicts):
            steps += book.step(verdict, SPEC)
    assert [s.only_in for s in steps] == [()]


def test_a_fault_that_starts_in_a_segment_and_reaches_all_traffic_pages_once() -> None:
    book = AlarmBook(MODEL)
    (alone,) = run(*(window(i, DRIFT, segment="origin=JFK") for i in range(2)), book=book)
    joined, told = run(window(2, DRIFT), window(3, DRIFT), book=book)
    assert (joined.state, joined.segment, joined.incident_id, joined.notify) == (
        "open",
        "",
        alone.alarm_id,
        (),
    )
    assert (told.state, told.alarm_id, told.notify) == ("updated", alone.alarm_id, ("log",))
    assert told.summary == f"{alone.summary}; now all traffic"
    assert told.story == (
        "New: drift of v2 (distance) joined. It was seen in origin=JFK first, and is in all traffic now."
    )
    end = run(
        *(v for i in range(4, 9) for v in (window(i, STABLE), window(i, STABLE, segment="origin=JFK"))),
        book=book,
    )
    assert [(s.state, s.segment) for s in end] == [("resolved", ""), ("resolved", "origin=JFK")]


def test_a_fault_of_one_segment_that_outweighs_the_others_is_not_said_to_be_in_all_traffic() -> None:
    book = AlarmBook(MODEL)
    steps = []
    for minute in range(5):
        verdicts = [
            window(minute, DRIFT if minute > 2 else STABLE),
            window(minute, DRIFT, segment="origin=JFK"),
            window(minute, STABLE, segment="origin=LGA"),
        ]
        for verdict in in_order(verdicts):
            steps += book.step(verdict, SPEC)
    assert steps[-1].segment == "origin=JFK"
    assert steps[-1].summary.endswith("; so much that all traffic together shows it")
    assert "Only in origin=JFK: other values of it are stable." in steps[-1].story


def test_whose_fault_a_segments_page_is_follows_all_traffic_once_that_is_affected() -> None:
    book = AlarmBook(MODEL)

    def blame(step: AlarmStep) -> Attribution:
        return Attribution("unknown", "only JFK") if step.segment else outcome

    outcome = Attribution("unknown", "v1 was not watched")
    verdicts = [window(i, DRIFT, segment="origin=JFK") for i in range(2)]
    verdicts += [window(i, DRIFT, segment=s) for i in range(2, 5) for s in ("", "origin=JFK")]
    for verdict in verdicts:
        book.step(verdict, SPEC, blame)
    mine = next(s for s in book.open_alarms if s.segment)
    assert mine.attribution_why == "v1 was not watched"
    outcome = Attribution("version", "it began with the release")
    told = [
        s
        for v in (window(5, DRIFT), window(5, DRIFT, segment="origin=JFK"))
        for s in book.step(v, SPEC, blame)
    ]
    assert [(s.segment, s.attribution) for s in told] == [("", "version"), ("origin=JFK", "version")]


def test_a_page_of_a_segment_goes_on_after_the_alarm_on_all_traffic_is_over() -> None:
    book = AlarmBook(MODEL)
    steps = []
    for minute in range(9):
        overall = DRIFT if 2 <= minute < 4 else STABLE
        for verdict in in_order([window(minute, overall), window(minute, DRIFT, segment="origin=JFK")]):
            steps += book.step(verdict, SPEC)
    assert [(s.segment, s.state, s.revision) for s in steps] == [
        ("origin=JFK", "open", 0),
        ("", "open", 0),
        ("origin=JFK", "updated", 1),
        ("", "resolved", 1),
    ]
    assert [s.segment for s in book.open_alarms] == ["origin=JFK"]


def test_a_revision_of_the_newest_window_does_not_count_twice() -> None:
    assert not run(*(window(0, DRIFT) for _ in range(9)))
    assert len(run(window(0, DRIFT), window(1, DRIFT), *(window(1, DRIFT) for _ in range(9)))) == 1


def test_a_revision_that_flips_the_newest_window_is_counted_instead_of_it() -> None:
    assert not run(window(0, DRIFT), window(0, STABLE), window(1, DRIFT))
    assert [s.state for s in run(window(0, STABLE), window(0, DRIFT), window(1, DRIFT))] == ["open"]


def test_a_revision_of_an_older_window_changes_nothing() -> None:
    assert [s.state for s in run(window(0, DRIFT), window(1, DRIFT), window(0, STABLE))] == ["open"]
    assert not run(window(0, STABLE), window(1, DRIFT), window(0, DRIFT), window(0, DRIFT))


def test_an_alarm_that_a_revision_reopens_goes_on_counting() -> None:
    spec = MonitorSpec(MODEL, open_after=1, resolve_after=1)
    book = AlarmBook(MODEL)
    steps = [s for v in (DRIFT, STABLE, DRIFT) for s in book.step(window(0, v), spec)]
    assert [(s.state, s.revision) for s in steps] == [("open", 0), ("resolved", 1), ("open", 2)]
    assert len({s.alarm_id for s in steps}) == 1


def test_a_retired_version_has_no_alarms_left() -> None:
    book = AlarmBook(MODEL)
    run(*(window(i, DRIFT, version=v) for i in (0, 1) for v in ("v1", "v2")), book=book)
    steps = book.retire("v2", T0_US + HOUR_US, "v1 is in production again")
    assert [(s.version, s.state, s.resolved_us) for s in steps] == [("v2", "resolved", T0_US + HOUR_US)]
    assert steps[0].summary.endswith("after 1h: v1 is in production again")
    assert [s.version for s in book.open_alarms] == ["v1"]
    assert not book.retire("v2", T0_US + HOUR_US)


def test_the_long_windows_of_a_retired_version_open_nothing_until_it_serves_again() -> None:
    book = AlarmBook(MODEL)
    book.retire("v2", T0_US)
    left_over = [window(i, DRIFT, horizon_us=HOUR_US) for i in range(1, 60)]
    assert not run(*left_over, book=book)
    book = AlarmBook.restore(json.loads(json.dumps(book.snapshot())))
    assert not run(window(4, DRIFT), window(4, DRIFT), book=book)
    assert [s.state for s in run(window(5, DRIFT), window(6, DRIFT), book=book)] == ["open"]


def test_retired_versions_are_forgotten_in_time() -> None:
    book = AlarmBook(MODEL)
    for i in range(100):
        book.retire(f"v{i}", T0_US)
    assert len(book.snapshot()["retired_us"]) == MAX_RETIRED


def test_a_step_fits_the_contract() -> None:
    step = run(window(0, DRIFT), window(1, DRIFT))[0]
    _, record = decode(encode("alarm", step.to_record(7)), ("alarm",))
    assert record == step.to_record(7)
    assert AlarmStep.from_record(record) == step


def test_a_verdict_about_another_model_is_refused() -> None:
    with pytest.raises(ContractError, match="model: 'late-arrival' was given to the alarms of 'other'"):
        AlarmBook("other").step(window(0, DRIFT), SPEC)


VERDICTS = st.sampled_from(list(Verdict))
STREAMS = st.sampled_from([SHORT_US, HOUR_US])
#: (minutes since the last window, verdict, horizon); nought minutes is a revision, or another horizon's turn.
STORIES = st.lists(st.tuples(st.integers(-1, 2), VERDICTS, STREAMS), max_size=60)


def verdicts_of(story: list[tuple[int, Verdict, int]]) -> list[WindowVerdict]:
    minute, verdicts = 0, []
    for step, verdict, horizon_us in story:
        minute += step
        verdicts.append(window(minute, verdict, horizon_us=horizon_us))
    return verdicts


def naive(verdicts: list[WindowVerdict], spec: MonitorSpec) -> list[tuple[str, int]]:
    """Count every run from the beginning, every time."""
    seen: dict[int, dict[int, Verdict]] = {}
    said: list[tuple[str, int]] = []
    drifted: set[int] | None = None
    patience, last_drift, hold = 1, 0, 0
    period = 8 * 24 * HOUR_US
    for v in verdicts:
        ends = seen.setdefault(v.horizon_us, {})
        if ends and v.end_us < max(ends):
            continue
        ends[v.end_us] = v.verdict

        def last(horizon_us: int, wanted: Verdict) -> int:
            judged = [x for _, x in sorted(seen[horizon_us].items()) if x not in {UNKNOWN, ERROR}]
            return next((i for i, x in enumerate(reversed(judged)) if x is not wanted), len(judged))

        if drifted is None and v.verdict is DRIFT and last(v.horizon_us, DRIFT) >= spec.open_after:
            drifted = {h for h in seen if last(h, DRIFT)}
            run = [t for t, x in sorted(ends.items()) if x not in {UNKNOWN, ERROR}][
                -last(v.horizon_us, DRIFT) :
            ]
            is_back = bool(said) and run[0] < last_drift + period
            patience = 2 if is_back else 1
            hold = max(hold, min(2 * max(run[0] - last_drift, 0), period)) if is_back else 0
            said.append(("open", v.end_us))
        elif drifted is not None and v.verdict is DRIFT:
            drifted.add(v.horizon_us)
        elif (
            drifted is not None
            and v.verdict is STABLE
            and all(last(h, STABLE) >= spec.resolve_after * patience for h in drifted)
            and v.end_us - last_drift >= hold
        ):
            drifted = None
            said.append(("resolved", v.end_us))
        if drifted is not None and v.verdict is DRIFT:
            last_drift = max(last_drift, v.end_us)
    return said


@given(STORIES, st.integers(1, 3), st.integers(1, 3))
def test_hysteresis_agrees_with_counting_from_the_beginning(
    story: list[tuple[int, Verdict, int]], open_after: int, resolve_after: int
) -> None:
    spec = MonitorSpec(MODEL, open_after=open_after, resolve_after=resolve_after)
    verdicts, book = verdicts_of(story), AlarmBook(MODEL)
    steps = [(s.state, v.end_us) for v in verdicts for s in book.step(v, spec)]
    assert steps == naive(verdicts, spec)


MESSY = st.lists(
    st.tuples(
        st.integers(-1, 2),
        VERDICTS,
        STREAMS,
        st.sampled_from(["", "", "origin=JFK"]),
        st.dictionaries(st.sampled_from("abc"), st.sampled_from([0.15, 0.25]), min_size=1),
    ),
    max_size=60,
)


def messy(story: list[tuple[int, Verdict, int, str, dict[str, float]]]) -> list[WindowVerdict]:
    minute, verdicts = 0, []
    for step, verdict, horizon_us, segment, columns in story:
        minute += step
        drifted = columns if verdict is DRIFT else {}
        verdicts.append(window(minute, verdict, horizon_us=horizon_us, segment=segment, columns=drifted))
    return verdicts


@given(MESSY, st.integers(0, 60))
def test_saving_and_restoring_in_the_middle_changes_nothing(
    story: list[tuple[int, Verdict, int, str, dict[str, float]]], cut: int
) -> None:
    verdicts = messy(story)
    book = AlarmBook(MODEL)
    head = run(*verdicts[:cut], book=book)
    restored = AlarmBook.restore(json.loads(json.dumps(book.snapshot())))
    assert head + run(*verdicts[cut:], book=restored) == run(*verdicts)


@given(MESSY)
def test_every_life_is_opened_once_told_in_order_and_resolved_at_most_once(
    story: list[tuple[int, Verdict, int, str, dict[str, float]]],
) -> None:
    lives: dict[tuple[str, str], list[AlarmStep]] = {}
    for step in run(*messy(story)):
        lives.setdefault((step.segment, step.alarm_id), []).append(step)
    for steps in lives.values():
        assert [s.revision for s in steps] == list(range(len(steps)))
        assert steps[0].state == "open"
        for before, after in pairwise(steps):
            assert (before.state == "resolved") == (after.state == "open")
            assert after.updated_us >= before.updated_us


def across(minute: int, *columns: ColumnVerdict, near: tuple[str, ...] = (), **options: str) -> WindowVerdict:
    return replace(window(minute, DRIFT, **options), columns=columns, near=near)


ALL_COLUMNS = ColumnVerdict("all columns", "joint", DRIFT, "mmd", 0.05, 0.04, 0.03, "no column and no pair")


def pair(*names: str, value: float = 0.3) -> ColumnVerdict:
    keys = tuple(f"feature/{n}" for n in names)
    name = " and ".join(names)
    return ColumnVerdict(name, "relation", DRIFT, "correlation", value, 0.2, 0.1, "correlation 0.4", of=keys)


def test_a_column_that_was_named_stays_named_when_only_several_together_show_it() -> None:
    book = AlarmBook(MODEL)
    run(window(0, DRIFT), window(1, DRIFT), book=book)
    assert run(*(across(m, ALL_COLUMNS, pair("distance", "age")) for m in (2, 3, 4)), book=book) == []
    (worse,) = run(across(5, ALL_COLUMNS, pair("distance", "age", value=0.5)), book=book)
    assert [c.name for c in worse.culprits] == ["distance", "distance and age", "all columns"]
    assert worse.summary.startswith("late-arrival v2: distance is far from its baseline (js 0.15,")
    (other,) = run(*(across(m, pair("age", "hour"), ALL_COLUMNS) for m in (6, 7)), book=book)
    assert [c.name for c in other.culprits] == ["age and hour", "all columns"]


def test_what_several_show_together_is_told_first_while_no_column_was_named() -> None:
    book = AlarmBook(MODEL)
    told = run(*(across(m, ALL_COLUMNS) for m in (0, 1)), *(window(m, DRIFT) for m in (2, 3)), book=book)
    assert [s.culprits[0].name for s in told] == ["all columns", "distance"]
    assert AlarmStep.from_record(json.loads(json.dumps(told[-1].to_record(7)))) == told[-1]


@pytest.mark.parametrize(
    ("rows", "value", "expected"),
    [
        (500, 0.15, ("origin=JFK",)),
        (250, 0.15, ("origin=JFK",)),
        (100, 0.15, ()),
        (100, 0.3, ("origin=JFK",)),
    ],
)
def test_a_segment_too_small_to_show_a_fault_is_not_said_to_be_spared(
    rows: int, value: float, expected: tuple[str, ...]
) -> None:
    """JFK has 500 rows and is 1.5 or 3 times its limit; LGA is stable: with that many rows, would it be?"""
    book, steps = AlarmBook(MODEL), []
    for minute in range(6):
        stable = replace(window(minute, STABLE, segment="origin=LGA"), rows=rows)
        drifted = [window(minute, DRIFT, segment=s, columns={"distance": value}) for s in ("", "origin=JFK")]
        for verdict in in_order([stable, *drifted]):
            steps += book.step(verdict, SPEC)
    assert steps[-1].only_in == expected


def near_pair(minute: int, *keys: str) -> WindowVerdict:
    """A stable window in which some pairs are close to their limits."""
    return replace(window(minute, STABLE), warned=keys)


def test_a_pair_that_was_named_is_not_over_while_it_is_close_to_its_limit() -> None:
    """One pair of hundreds always is close to its limit, so that of another says nothing."""
    book = AlarmBook(MODEL)
    run(*(across(m, pair("distance", "age")) for m in (0, 1)), book=book)
    dancing = [near_pair(m, "relation/distance and age", "relation/age and hour") for m in range(2, 20)]
    assert run(*dancing, *(across(m, pair("distance", "age")) for m in (20, 21)), book=book) == []
    calm = run(*(near_pair(m, "relation/age and hour") for m in (22, 23, 24)), book=book)
    assert [s.state for s in calm] == ["resolved"]
    assert run(*(near_pair(m, "relation/distance and age") for m in range(25, 40)), book=book) == []
