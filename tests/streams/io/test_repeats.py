"""What a client library says with every attempt is read once a minute; what we say is always read."""

from __future__ import annotations

import logging

from streams.io.repeats import Repeats


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def record(name: str, text: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "", 0, text, arguments, None)


def test_the_same_text_is_said_once_a_minute_with_how_often_it_was_left_out() -> None:
    clock = Clock()
    quiet = Repeats(["aiokafka"], clock=clock)
    assert quiet.filter(record("aiokafka.client", "no node %s", 1))
    for _ in range(3):
        clock.now_s += 10
        assert not quiet.filter(record("aiokafka.client", "no node %s", 1))
    assert quiet.filter(record("aiokafka.client", "no node %s", 2)), "another text"
    assert quiet.filter(record("aiokafka.consumer", "no node %s", 1)), "another part of it"
    clock.now_s += 30
    again = record("aiokafka.client", "no node %s", 1)
    assert quiet.filter(again)
    assert again.getMessage() == "no node 1 (and 3 times more since)"
    clock.now_s += 60
    alone = record("aiokafka.client", "no node %s", 1)
    assert quiet.filter(alone)
    assert alone.getMessage() == "no node 1"


def test_what_others_say_is_never_left_out() -> None:
    quiet = Repeats(["aiokafka"], clock=Clock())
    for name in ("seawall.worker", "aiokafkaesque"):
        assert all(quiet.filter(record(name, "again")) for _ in range(3))


def test_it_remembers_a_bounded_number_of_texts() -> None:
    quiet = Repeats(["aiokafka"], clock=Clock())
    for n in range(3000):
        assert quiet.filter(record("aiokafka", "%s", n))
    assert quiet.filter(record("aiokafka", "%s", 0)), "it was forgotten"
    assert not quiet.filter(record("aiokafka", "%s", 2999))
