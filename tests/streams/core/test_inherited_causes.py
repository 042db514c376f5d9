"""What is known of one version is not paged anew for the next, and hides nothing of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.monitor import DAY_US, HOUR_US
from streams.core.alarm_steps import AlarmStep, Attribution
from streams.core.alarms import AlarmBook
from streams.core.verdicts import WindowVerdict
from tests.streams.core.test_known_causes import SPEC, T0_US, column, pages, pair, run, window

#: When the first version no longer serves, in hours: two days after it was known to drift.
GONE = 96


def known_in_v1(**options: str) -> AlarmBook:
    book = AlarmBook("m")
    assert len(pages(run(book, *(window(h, column("a"), **options) for h in range(48))))) == 1
    return AlarmBook.restore(json.loads(json.dumps(book.snapshot())))


def restored(book: AlarmBook) -> AlarmBook:
    return AlarmBook.restore(json.loads(json.dumps(book.snapshot())))


def retire(book: AlarmBook, version: str, hour: int) -> list[AlarmStep]:
    return book.retire(version, T0_US + hour * HOUR_US)


def told(steps: list[AlarmStep]) -> list[tuple[str, str]]:
    return [(s.state, s.version) for s in steps if s.notify]


def test_a_new_version_that_shows_it_is_a_member_and_the_page_outlives_the_old_one() -> None:
    book = known_in_v1()
    steps = run(book, *(window(h, column("a"), version="v2") for h in range(48, GONE)))
    assert told(steps) == [("updated", "v1")], "whoever was paged hears that the new version shows it too"
    book = restored(book)
    assert retire(book, "v1", GONE) == []
    assert [s.version for s in book.open_alarms] == ["v2"]
    assert [s.version for s in book.settled_alarms] == ["v1"]
    end = run(restored(book), *(window(h, version="v2") for h in range(GONE, GONE + 4)))
    assert [(s.state, s.version, bool(s.notify)) for s in end] == [
        ("resolved", "v2", False),
        ("resolved", "v1", True),
    ]


def test_it_goes_from_release_to_release() -> None:
    book, steps = known_in_v1(), []
    for n in range(2, 7):
        first = 48 * (n - 1)
        steps += run(book, *(window(first + h, column("a"), version=f"v{n}") for h in range(48)))
        steps += retire(book, f"v{n - 1}", first + 48)
        book = restored(book)
    assert {(s.state, s.version) for s in steps if s.notify} == {("updated", "v1")}
    assert [s.version for s in book.open_alarms] == ["v6"]
    assert told(run(book, *(window(h, version="v6") for h in range(288, 292)))) == [("resolved", "v1")]
    assert book.open_alarms == book.settled_alarms == []
    assert {key[3] for key, _ in book.snapshot()["tracks"]} == {""}, "nothing is kept of what is over"


@pytest.mark.parametrize(
    "shown",
    [column("c"), column("a", 4.0), column("a", 1.0, "missing_share"), pair("c", "d")],
    ids=["another column", "four times as far", "missing", "another pair"],
)
@pytest.mark.parametrize("is_beside", [True, False], ids=["beside the known one", "alone"])
def test_what_it_does_not_explain_pages(shown: object, *, is_beside: bool) -> None:
    book = known_in_v1()
    columns = [*([column("a")] if is_beside and shown.name != "a" else []), shown]  # type: ignore[attr-defined]
    steps = run(book, *(window(h, *columns, version="v2") for h in range(48, 52)))  # type: ignore[arg-type]
    assert pages(steps) == [[shown.name]]  # type: ignore[attr-defined]


def test_what_is_put_down_to_the_new_version_pages_though_it_is_explained() -> None:
    def blame(step: AlarmStep) -> Attribution:
        return Attribution("version", "v1 is stable on it")

    book = known_in_v1()
    steps = [s for h in range(48, 52) for s in book.step(window(h, column("b"), version="v2"), SPEC, blame)]
    assert pages(steps) == [["b"]]


def test_a_version_that_does_not_show_it_ends_it_with_the_old_one_and_inherits_nothing() -> None:
    book = known_in_v1()
    run(book, *(window(h, version="v2") for h in range(48, 52)))
    assert told(retire(book, "v1", GONE)) == [("resolved", "v1")]
    later = run(restored(book), *(window(h, column("a"), version="v2") for h in range(GONE, GONE + 4)))
    assert pages(later) == [["a"]]


def test_it_is_open_for_a_version_of_which_too_little_is_known_until_that_is_gone_too() -> None:
    book = known_in_v1()
    run(book, window(48, version="v2"))
    assert retire(book, "v1", GONE) == []
    assert told(retire(restored(book), "v2", GONE + 48)) == [("resolved", "v1")]
    quiet = run(restored(book), *(window(h, version="v2") for h in range(GONE, GONE + 4)))
    assert [(s.state, s.version) for s in quiet] == [("resolved", "v1")]


def test_what_stops_in_the_old_version_is_not_inherited_any_more() -> None:
    book = known_in_v1()
    run(book, window(48, version="v2"))
    assert told(run(book, *(window(h) for h in range(49, 53)))) == [("resolved", "v1")]
    assert pages(run(book, *(window(h, column("a"), version="v2") for h in range(53, 57)))) == [["a"]]


def test_what_is_known_of_two_causes_is_inherited_of_both() -> None:
    book = known_in_v1()
    assert pages(run(book, *(window(h, column("a"), column("c")) for h in range(48, GONE)))) == [["c"]]
    steps = run(book, *(window(h, column("a"), column("c"), version="v2") for h in range(GONE, GONE + 8)))
    assert pages(steps) == []
    opened = [[c.name for c in s.culprits] for s in steps if s.state == "open"]
    assert opened == [["a"], ["c"]]


def test_a_version_that_comes_back_finds_what_it_left_to_others() -> None:
    book = known_in_v1()
    run(book, *(window(h, column("a"), version="v2") for h in range(48, GONE)))
    retire(book, "v1", GONE)
    assert run(book, *(window(GONE + 2 + h, column("a")) for h in range(8))) == []
    assert {s.version for s in book.open_alarms} == {"v1", "v2"}
    assert book.settled_alarms == []


def test_a_canary_that_saw_it_begin_pages_no_second_time_when_the_old_version_goes() -> None:
    book = AlarmBook("m")
    steps = run(book, *(window(h, column("a"), version=v) for h in range(48) for v in ("v1", "v2")))
    assert len(pages(steps)) == 1
    assert told(retire(book, "v1", GONE)) == []


def test_of_segments_it_is_inherited_too() -> None:
    book = known_in_v1(segment="origin=JFK")
    steps = run(book, *(window(h, column("a"), version="v2", segment="origin=JFK") for h in range(48, GONE)))
    assert pages(steps) == []
    assert told(retire(book, "v1", GONE)) == []
    assert pages(run(book, window(GONE, column("a"), version="v2", segment="origin=LGA"))) == []


STORY = st.lists(
    st.tuples(
        st.sampled_from([1, 3, 30]),
        st.sampled_from(["", "a", "a", "a", "b", "a c", "c"]),
        st.sampled_from([1.0, 1.0, 5.0]),
        st.sampled_from(["v1", "v1", "v2", "v3"]),
        st.sampled_from(["", "", "", "origin=JFK"]),
        st.sampled_from([False, False, False, False, False, True]),
    ),
    max_size=80,
)


@given(STORY)
def test_whatever_the_versions_do_every_page_is_ended_once_and_nothing_is_kept_of_what_is_over(
    story: list[tuple[int, str, float, str, str, bool]],
) -> None:
    book, hour, heard = AlarmBook("m"), 0, set[str]()

    def hear(steps: list[AlarmStep]) -> None:
        for s in steps:
            if s.notify and s.state == "resolved":
                heard.remove(s.alarm_id)
            elif s.notify:
                heard.add(s.alarm_id)
        alarms = [*book.open_alarms, *book.settled_alarms]
        assert heard == {s.alarm_id for s in alarms if not s.is_joined}
        assert {s.incident_id for s in alarms} <= heard

    for step, names, moved, version, segment, is_retirement in story:
        hour += step
        said: WindowVerdict = window(
            hour, *(column(n, moved) for n in names.split()), version=version, segment=segment
        )
        twin = restored(book)
        steps = book.step(said, SPEC)
        assert steps == twin.step(said, SPEC)
        hear(steps)
        if is_retirement:
            hear(book.retire(version, T0_US + hour * HOUR_US))
    for version in ("v1", "v2", "v3"):
        hear(book.retire(version, T0_US + hour * HOUR_US + DAY_US))
    assert heard == set()
    assert book.snapshot()["tracks"] == []
