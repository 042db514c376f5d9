"""Alarms of one cause make one incident, which pages once; alarms of different causes do not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.monitor import DAY_US, HOUR_US, MINUTE_US, MonitorSpec
from streams.core.alarm_steps import ONSET_OF_WINDOW, AlarmStep, Attribution
from streams.core.alarms import AlarmBook, in_order
from streams.core.causes import MAX_MEMBERS, have_one_cause
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict

SPEC = MonitorSpec("m", open_after=2, resolve_after=2, notify=("slack:#a",))
T0_US = 1_370_268_000_000_000
DRIFT, STABLE = Verdict.DRIFT, Verdict.STABLE


def window(
    minute: int,
    verdict: Verdict = DRIFT,
    columns: str = "x",
    *,
    kind: str = "drift",
    segment: str = "",
    version: str = "v1",
    value: float = 0.15,
) -> WindowVerdict:
    end_us = T0_US + minute * MINUTE_US
    told = columns.split() if verdict is DRIFT else []
    return WindowVerdict(
        "m", version, "predictions", segment, 5 * MINUTE_US, end_us - 5 * MINUTE_US, end_us, 500, verdict, kind,
        tuple(ColumnVerdict(c, "feature", DRIFT, "js", value, 0.1, 0.02) for c in told),
    )  # fmt: skip


def run(book: AlarmBook, *verdicts: WindowVerdict) -> list[AlarmStep]:
    return [s for v in in_order(verdicts) for s in book.step(v, SPEC)]


def pages(steps: list[AlarmStep]) -> list[tuple[str, str, str]]:
    return [(s.state, s.kind, s.segment) for s in steps if s.notify]


def test_fifty_segments_of_one_cause_are_one_page() -> None:
    book = AlarmBook("m")
    steps = run(book, *(window(i, segment=f"origin={n}") for i in range(3) for n in range(50)))
    assert [s for s in pages(steps) if s[0] == "open"] == [("open", "drift", "origin=0")]
    assert len({s.alarm_id for s in steps}) == 50
    assert len(steps[-1].members) == MAX_MEMBERS


def test_a_volume_alarm_and_the_drift_that_began_with_it_are_one_page() -> None:
    book = AlarmBook("m")
    steps = run(
        book,
        *(window(i, kind="volume", version="", columns="volume") for i in (0, 1)),
        *(window(i, columns="x y") for i in (20, 21)),
    )
    assert pages(steps) == [("open", "volume", ""), ("updated", "volume", "")]
    (member,) = steps[-1].members
    assert (member.kind, member.version, member.columns, member.is_open) == ("drift", "v1", ("x", "y"), True)
    assert steps[-1].story.endswith("Part of the same incident: drift of v1.")


def test_what_begins_a_day_later_in_another_column_is_another_page() -> None:
    book = AlarmBook("m")
    day = DAY_US // MINUTE_US
    first = run(book, *(window(i, segment="origin=JFK") for i in (0, 1)))
    later = run(book, *(window(day + i, columns="y", segment="origin=LGA") for i in (0, 1)))
    assert pages(first + later) == [("open", "drift", "origin=JFK"), ("open", "drift", "origin=LGA")]


def test_the_same_column_in_another_segment_a_day_later_is_the_same_incident() -> None:
    book = AlarmBook("m")
    day = DAY_US // MINUTE_US
    run(book, *(window(i, segment="origin=JFK") for i in (0, 1)))
    later = run(book, *(window(day + i, segment="origin=LGA") for i in (0, 1)))
    assert pages(later) == [("updated", "drift", "origin=JFK")]


def test_another_version_with_another_column_is_another_incident() -> None:
    book = AlarmBook("m")
    steps = run(book, *(window(i, c, version=v) for i in (0, 1) for v, c in [("v1", DRIFT)]))
    steps += run(book, *(window(i, columns="y", version="v2") for i in (2, 3)))
    assert len([s for s in pages(steps) if s[0] == "open"]) == 2


def test_what_is_put_down_to_one_version_never_speaks_for_another() -> None:
    book = AlarmBook("m")

    def blame(step: AlarmStep) -> Attribution:
        return Attribution("version", "it began with it") if step.version == "v2" else Attribution()

    steps = [s for i in (0, 1) for v in ("v2", "v1") for s in book.step(window(i, version=v), SPEC, blame)]
    assert pages(steps) == [("open", "drift", ""), ("open", "drift", "")]


def test_a_worse_member_makes_the_incident_worse_and_lends_it_its_attribution() -> None:
    book = AlarmBook("m")
    blame = {"drift": Attribution("world", "v0 sees it too")}
    steps = []
    for verdict in in_order(
        [window(i, kind=k, value=v) for i, k, v in [(0, "volume", 0.15), (1, "volume", 0.15), (2, "drift", 0.5), (3, "drift", 0.5)]]
    ):  # fmt: skip
        steps += book.step(verdict, SPEC, lambda s: blame.get(s.kind, Attribution()))
    assert steps[-1].kind == "volume"
    assert (steps[-1].severity, steps[-1].attribution, steps[-1].attribution_why) == (
        "error",
        "world",
        "v0 sees it too",
    )


def test_an_incident_ends_when_the_last_of_its_alarms_does() -> None:
    book = AlarmBook("m")
    run(book, *(window(i, kind=k) for i in (0, 1) for k in ("drift", "skew")))
    speaker_is_over = run(book, *(window(i, STABLE, kind="drift") for i in (2, 3, 4)))
    assert speaker_is_over == []
    assert [s.kind for s in book.settled_alarms] == ["drift"]
    assert [s.kind for s in book.open_alarms] == ["skew"]
    end = run(book, *(window(i, STABLE, kind="skew") for i in (5, 6)))
    assert [(s.state, s.kind, bool(s.notify)) for s in end] == [
        ("resolved", "skew", False),
        ("resolved", "drift", True),
    ]
    assert book.open_alarms == book.settled_alarms == []


def test_a_settled_alarm_that_drifts_again_is_open_as_before() -> None:
    book = AlarmBook("m")
    run(book, *(window(i, kind=k) for i in (0, 1) for k in ("drift", "skew")))
    run(book, *(window(i, STABLE, kind="drift") for i in (2, 3)))
    assert len(book.settled_alarms) == 1
    assert pages(run(book, window(4, kind="drift"))) == []
    assert len(book.open_alarms) == 2


def test_when_the_speaker_is_retired_the_oldest_of_the_others_pages() -> None:
    book = AlarmBook("m")
    run(book, *(window(i, version=v) for i in (0, 1) for v in ("v1", "v2", "v3")))
    steps = book.retire("v1", T0_US + HOUR_US)
    assert [(s.version, s.state, s.notify) for s in steps[:2]] == [
        ("v1", "resolved", ("slack:#a",)),
        ("v2", "updated", ("slack:#a",)),
    ]
    assert [m.version for m in book.open_alarms[0].members if m.is_open] == ["v3"]
    assert all(s.incident_id == steps[1].alarm_id for s in book.open_alarms)


def test_segments_that_paged_apart_are_one_page_once_all_traffic_shows_what_both_do() -> None:
    book = AlarmBook("m")
    day = DAY_US // MINUTE_US
    run(book, *(window(i, segment="a=1") for i in (0, 1)))
    apart = run(book, *(window(day + i, columns="y", segment="a=2") for i in (0, 1)))
    assert pages(apart) == [("open", "drift", "a=2")]
    run(book, *(window(day + i, columns="y", kind="skew", segment="a=2") for i in (2, 3)))
    taken = run(book, *(window(day + i, columns="x y") for i in (4, 5)))
    # All traffic shows it a day after a=1 did, and with a=2.
    assert pages(taken)[:1] == [("resolved", "drift", "a=1")]
    assert set(pages(taken)[1:]) == {("updated", "drift", "a=2")}
    (speaker,) = (s for s in book.open_alarms if not s.is_joined)
    assert [(m.kind, m.segment) for m in sorted(speaker.members)] == [("drift", ""), ("skew", "a=2")]


def test_a_segment_whose_trouble_is_another_keeps_its_page_when_all_traffic_gets_one() -> None:
    book = AlarmBook("m")
    day = DAY_US // MINUTE_US
    run(book, *(window(i, segment="a=1") for i in (0, 1)))
    assert pages(run(book, *(window(day + i, columns="y") for i in (0, 1)))) == [("open", "drift", "")]
    assert {s.segment for s in book.open_alarms} == {"", "a=1"}


def test_an_alarm_within_the_budget_is_never_silenced_by_one_from_outside_it() -> None:
    book = AlarmBook("m")
    classic = run(book, *(window(i, kind="classic") for i in (0, 1)))
    drift = run(book, window(2), window(3))
    assert pages(classic) == [("open", "classic", "")]
    assert pages(drift) == [("open", "drift", ""), ("resolved", "classic", "")]
    assert pages(run(book, window(4, kind="classic"))) == [("updated", "drift", "")]
    overall = next(s for s in book.open_alarms if s.kind == "drift")
    assert [(m.kind, m.is_open) for m in overall.members] == [("classic", True)]


STORY = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(list(Verdict)),
        st.sampled_from(["x", "y", "x y"]),
        st.sampled_from(["drift", "skew", "volume", "classic"]),
        st.sampled_from(["", "a=1", "a=2"]),
        st.sampled_from(["v1", "v1", "v2"]),
        st.booleans(),
    ),
    max_size=80,
)


@given(STORY)
def test_every_page_has_one_speaker_and_its_end(
    story: list[tuple[int, Verdict, str, str, str, str, bool]],
) -> None:
    """What a receiver hears: opened once, updated while open, resolved once; and who is joined has a speaker."""
    book = AlarmBook("m")
    minute, heard, newest = 0, dict[str, str](), dict[str, int]()
    for step, verdict, columns, kind, segment, version, is_retirement in story:
        minute += step
        said = book.step(window(minute, verdict, columns, kind=kind, segment=segment, version=version), SPEC)
        if is_retirement:
            said = said + book.retire(version, T0_US + minute * MINUTE_US)
        for s in said:
            assert s.revision > newest.get(s.alarm_id, -1)
            newest[s.alarm_id] = s.revision
            if not s.notify:
                continue
            assert not s.is_joined
            if s.state == "resolved":
                assert heard.pop(s.alarm_id) != "resolved"
            else:
                heard[s.alarm_id] = s.state
        everything = {s.alarm_id: s for s in [*book.open_alarms, *book.settled_alarms]}
        speakers = {i for i, s in everything.items() if not s.is_joined}
        assert set(heard) == speakers
        assert {s.incident_id for s in everything.values()} == speakers
        for s in everything.values():
            named = {m.alarm_id for m in s.members if m.is_open}
            assert named <= set(everything)
        book = AlarmBook.restore(json.loads(json.dumps(book.snapshot())))


@given(STORY)
def test_belonging_to_an_incident_changes_no_alarms_beginning(
    story: list[tuple[int, Verdict, str, str, str, str, bool]],
) -> None:
    """Each kind alone, in a book of its own, opens when it opens among the others."""
    minute, verdicts = 0, []
    for step, verdict, columns, kind, _, version, _ in story:
        minute += step
        verdicts.append(window(minute, verdict, columns, kind=kind, version=version))
    together = AlarmBook("m")
    first = [s for v in verdicts for s in together.step(v, SPEC) if s.state == "open"]
    alone = set()
    for kind in ("drift", "skew", "volume"):
        for version in ("v1", "v2"):
            book = AlarmBook("m")
            mine = [v for v in verdicts if (v.kind, v.version) == (kind, version)]
            alone |= {s.alarm_id for v in mine for s in book.step(v, SPEC) if s.state == "open"}
    # A speaker that waits for its members does not open anew when its column comes back meanwhile.
    assert {s.alarm_id for s in first if s.kind != "classic"} <= alone


@pytest.mark.parametrize("lost", ["incident_id", "members", "beside", "coincides", "only_in", "story"])
def test_a_book_that_was_saved_before_there_were_incidents_is_read(lost: str) -> None:
    book = AlarmBook("m")
    run(book, window(0), window(1))
    saved = json.loads(json.dumps(book.snapshot()))
    for _, track in saved["tracks"]:
        del track["alarm"]["step"][lost], track["alarm"]["is_settled"]
        for name in ("evidence", "importance", "onset_us", "bins", "before", "after"):
            for feature in track["alarm"]["step"]["features"]:
                feature.pop(name, None)
    restored = AlarmBook.restore(saved)
    assert [s.state for s in run(restored, window(2, STABLE), window(3, STABLE))] == ["resolved"]


def test_an_unchanged_member_is_told_once() -> None:
    book = AlarmBook("m")
    run(book, *(window(i, kind=k) for i in (0, 1) for k in ("drift", "skew")))
    assert run(book, *(window(i, kind=k) for i in range(2, 9) for k in ("drift", "skew"))) == []
    more = run(book, *(window(i, kind="skew", columns="x y") for i in (9, 10)))
    assert pages(more) == [("updated", "drift", "")]
    assert more[-1].members[0].columns == ("x", "y")
    assert replace(more[-1], members=()).members == ()


def relation(*names: str) -> ColumnVerdict:
    keys = tuple(f"feature/{n}" for n in names)
    return ColumnVerdict(" and ".join(names), "relation", DRIFT, "correlation", 0.4, 0.2, 0.1, of=keys)


def test_a_pair_is_the_same_incident_as_either_of_its_columns() -> None:
    for column, expected in (("a", 1), ("b", 1), ("c", 2)):
        book = AlarmBook("m")
        steps = run(book, *(window(i, segment="s=1", columns=column) for i in (0, 1)))
        later = (replace(window(i), columns=(relation("a", "b"),)) for i in (30 * 60, 30 * 60 + 1))
        steps += run(book, *later)
        assert len([p for p in pages(steps) if p[0] == "open"]) == expected, column


def test_all_columns_together_are_the_same_incident_as_a_column_that_is_close_to_its_limit() -> None:
    together = ColumnVerdict("all columns", "joint", DRIFT, "mmd", 0.05, 0.04, 0.03)
    for near, expected in ((("a",), 1), (("c",), 2), ((), 2)):
        book = AlarmBook("m")
        steps = run(book, *(window(i, segment="s=1", columns="a") for i in (0, 1)))
        later = (replace(window(i), columns=(together,), near=near) for i in (30 * 60, 30 * 60 + 1))
        steps += run(book, *later)
        assert len([p for p in pages(steps) if p[0] == "open"]) == expected, near


def test_what_a_whole_window_shows_began_together_with_what_began_within_it() -> None:
    (first,) = run(AlarmBook("m"), *(window(i, columns="a") for i in (0, 1)))
    first = replace(first, onset_us=first.opened_us)
    for why, hours, expected in (
        (ONSET_OF_WINDOW, 5, True),
        (ONSET_OF_WINDOW, 8, False),
        ("estimated", 5, False),
    ):
        began = first.opened_us - hours * HOUR_US
        other = replace(first, features=(), onset_us=began, onset_why=why, opened_us=began + 6 * HOUR_US)
        assert have_one_cause(first, other) is expected, (why, hours)


@pytest.mark.parametrize(("outcome", "expected"), [("world", 1), ("unknown", 2), ("version", 2)])
def test_a_release_into_a_world_that_had_moved_pages_no_second_time(outcome: str, expected: int) -> None:
    book = AlarmBook("m")
    steps = run(book, *(window(i, version="v1", columns="a") for i in (0, 1)))
    for i in (30 * 60, 30 * 60 + 1):
        steps += book.step(window(i, version="v2", columns="a"), SPEC, lambda _: Attribution(outcome, "so"))
    assert len([p for p in pages(steps) if p[0] == "open"]) == expected


def test_what_another_version_says_of_its_fault_is_not_said_in_that_versions_words() -> None:
    def blame(step: AlarmStep) -> Attribution:
        return (
            Attribution("world", "v1 drifts on the same traffic") if step.version == "v2" else Attribution()
        )

    book = AlarmBook("m")
    steps = [s for i in (0, 1) for v in ("v1", "v2") for s in book.step(window(i, version=v), SPEC, blame)]
    last = [s for s in steps if s.notify][-1]
    assert (last.version, last.attribution, last.attribution_why) == ("v1", "world", "v2 drifts on the same")
    assert "Not the version's doing: v2 drifts on the same." in last.story
