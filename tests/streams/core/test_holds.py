"""A stopped partition on the wire, in the book, and as an alarm."""

from __future__ import annotations

from dataclasses import replace

from seawall.wire import decode, encode
from streams.core.holds import Hold, HoldBook, alarm_step

HELD = Hold(
    topic="predictions",
    partition=3,
    state="held",
    offset=8192,
    passed_at=9100,
    records=1000,
    bad=812,
    limit=0.5,
    opened_us=1_700_000_000_000_000,
    until_us=1_700_000_060_000_000,
    at_us=1_700_000_061_000_000,
    reasons={"unknown_schema": 800, "truncated": 12},
    sample="fingerprint 0011",
    notify=("pagerduty:ml",),
)


def test_a_hold_survives_the_wire() -> None:
    assert (
        Hold.from_record(decode(encode("partition_hold", HELD.to_record()), ("partition_hold",))[1]) == HELD
    )


def test_the_book_knows_the_last_word_about_each_partition() -> None:
    book = HoldBook()
    book.observe(HELD)
    book.observe(replace(HELD, partition=1))
    assert [h.partition for h in book.held()] == [1, 3]
    book.observe(HELD.resumed(20_000, "ann", HELD.at_us + 1))
    assert [h.partition for h in book.held()] == [1]
    said = book.get("predictions", 3)
    assert said is not None
    assert (said.state, said.accepted_before) == ("resumed", 20_000)


def test_stopping_again_at_the_same_place_is_the_same_alarm() -> None:
    again = replace(HELD, at_us=HELD.at_us + 5, passed_at=9200, bad=900)
    assert alarm_step(again).alarm_id == alarm_step(HELD).alarm_id == "dead_letters/predictions/3/8192"
    assert alarm_step(replace(HELD, offset=16_384)).alarm_id != alarm_step(HELD).alarm_id


def test_the_alarm_says_what_is_wrong_and_what_to_do() -> None:
    step = alarm_step(HELD)
    assert (step.kind, step.severity, step.state, step.revision) == ("dead_letters", "error", "open", 0)
    assert step.notify == ("pagerduty:ml",)
    assert "812 of 1000" in step.summary
    assert "seawall dlq resume predictions 3" in step.summary
    assert [c.name for c in step.features] == ["unknown_schema", "truncated"]
    decode(encode("alarm", step.to_record(HELD.at_us)), ("alarm",))


def test_going_on_resolves_the_alarm() -> None:
    over = alarm_step(HELD.resumed(20_000, "ann", HELD.at_us + 1))
    assert (over.alarm_id, over.state, over.revision) == (alarm_step(HELD).alarm_id, "resolved", 1)
    assert over.resolved_us == HELD.at_us + 1
    assert "ann" in over.summary
