"""``seawall dlq`` on a real broker: what is listed, shown and sent again, and that nothing is sent twice."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import Producer

from seawall import dead_letters
from seawall.bus import each_message, read_records
from seawall.cli import main
from seawall.contracts import contracts_dir
from seawall.dead_letters import each_value, read_letters
from seawall.errors import Unavailable
from seawall.settings import Settings
from seawall.wire import HEADER_BYTES, encode
from streams.agents.letters import TOO_LARGE, buried_headers, dead_headers, dead_key, kept_headers
from streams.core.decode import DeadLetter, Record, decode_record
from streams.core.holds import Hold
from streams.io.topics import create_topics
from tests.streams.core.builders import NOW, T0, frame, single
from tests.streams.io.registry_server import ThreadedRegistry

_numbers = itertools.count(1)
POISON = b"\xc3\x01\x00\x11\x22\x33\x44\x55\x66\x77?"


@pytest.fixture
def bus(broker: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = Settings(broker=broker, topic_prefix=f"dlq_{os.getpid()}_{next(_numbers)}.")
    create_topics(settings, ["predictions", "labels", "dead-letters", "holds", "alarms"])
    for name, value in settings.to_env().items():
        monkeypatch.setenv(name, value)
    return settings


def bury(
    settings: Settings,
    value: bytes,
    offset: int,
    *,
    topic: str = "predictions",
    key: bytes | None = b"k",
    reason: str = "unknown_schema",
    is_partial: bool = False,
    headers: list[tuple[str, bytes | None]] | None = None,
    is_settled: bool = True,
) -> None:
    """Write a dead letter as a worker does."""
    letter = DeadLetter(offset, reason, f"why {offset}", 1, value, key, is_partial)
    producer = Producer({"bootstrap.servers": settings.broker, "message.max.bytes": 16 << 20})
    producer.produce(
        settings.topic("dead-letters"),
        value,
        dead_key(topic, 1, letter),
        headers=[*dead_headers(topic, 1, letter, headers).items(), *kept_headers(headers).items()],
    )
    if is_settled:
        key = dead_key(topic, 1, letter)
        producer.produce(
            settings.topic("dead-letters"), key, b"settled/" + key, headers={"seawall.replay": b"settled"}
        )
    assert producer.flush(10) == 0


def run(capsys: pytest.CaptureFixture[str], words: str) -> Any:
    assert main(["dlq", *words.split(), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def sent(settings: Settings, topic: str = "predictions") -> list[Any]:
    return list(each_message(settings, topic))


def test_letters_are_counted_by_topic_and_reason(bus: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for offset in range(5):
        bury(bus, POISON, offset)
    bury(bus, POISON, 2)  # written again by a worker that was killed
    bury(bus, b"{", 9, topic="labels", reason="bad_json")
    groups = run(capsys, "list")["groups"]
    assert [(g["topic"], g["reason"], g["letters"], g["waiting"], g["samples"]) for g in groups] == [
        ("labels", "bad_json", 1, 1, ["1/9"]),
        ("predictions", "unknown_schema", 5, 5, ["1/0", "1/1", "1/2"]),
    ]
    assert [g["topic"] for g in run(capsys, "list --topic labels")["groups"]] == ["labels"]
    assert [g["topic"] for g in run(capsys, "list --reason bad_json --since 1h")["groups"]] == ["labels"]
    assert run(capsys, "list --since 2100-01-01")["groups"] == []
    assert main(["dlq", "list"]) == 0
    assert "unknown_schema" in capsys.readouterr().out


def test_one_letter_is_shown_with_its_bytes_and_what_reading_it_now_gives(
    bus: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(bus, POISON, 7)
    bury(bus, single(T0, 1.0, event_id="e8"), 8)
    (poison,) = run(capsys, "show predictions/1/7")["letters"]
    assert (poison["reason"], poison["detail"], bytes.fromhex(poison["value"])) == (
        "unknown_schema",
        "why 7",
        POISON,
    )
    assert poison["now"]["reason"] == "unknown_schema"
    (good,) = run(capsys, "show predictions/1/8")["letters"]
    assert good["now"]["reads_as"]["event_id"] == "e8"
    assert main(["dlq", "show", "predictions/1/7"]) == 0
    shown = capsys.readouterr().out
    assert "c3 01 00 11" in shown
    assert main(["dlq", "show", "predictions/1/99"]) == 1


def test_a_dry_run_says_what_would_become_of_the_letters_and_sends_nothing(
    bus: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(bus, POISON, 1)
    bury(bus, single(T0, 1.0), 2)
    done = run(capsys, "replay --dry-run")
    assert done == {
        "dry_run": True,
        "sent": 1,
        "outcomes": {"dead again: unknown_schema": 1, "readable": 1},
    }
    assert sent(bus) == []
    assert {x.status for x in read_letters(bus)} == {"waiting"}


def test_a_replay_sends_the_original_bytes_key_and_headers_once(
    bus: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    values = [single(T0 + i, float(i), event_id=f"e{i}") for i in range(3)]
    for offset, value in enumerate(values):
        bury(bus, value, offset, key=f"key{offset}".encode(), headers=[("trace", b"t1")])
    bury(bus, values[0], 8, key=None, topic="labels", reason="wrong_contract")
    assert run(capsys, "replay --topic predictions")["sent"] == 3
    assert run(capsys, "replay --topic predictions") == {
        "dry_run": False,
        "sent": 0,
        "outcomes": {"replayed": 3},
    }
    messages = sent(bus)
    assert sorted(m.value() for m in messages) == sorted(values)
    assert sorted(m.key() for m in messages) == [b"key0", b"key1", b"key2"]
    assert all(dict(m.headers())["trace"] == b"t1" for m in messages)
    (group,) = [g for g in run(capsys, "list")["groups"] if g["topic"] == "predictions"]
    assert (group["waiting"], group["replayed"]) == (0, 3)
    assert sent(bus, "labels") == []


def test_a_letter_that_the_next_worker_may_yet_count_is_sent_only_by_force(
    bus: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(bus, single(T0, 1.0), 1, is_settled=False)
    assert run(capsys, "replay") == {"dry_run": False, "sent": 0, "outcomes": {"unsettled": 1}}
    assert run(capsys, "replay --force")["sent"] == 1


def test_only_the_letters_that_were_named_are_sent(bus: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    for offset in range(3):
        bury(bus, single(T0, 1.0, event_id=f"e{offset}"), offset)
    assert run(capsys, "replay predictions/1/1")["sent"] == 1
    assert [x.status for x in read_letters(bus)] == ["waiting", "replayed", "waiting"]
    assert main(["dlq", "replay", "predictions/1/77"]) == 1
    assert "predictions/1/77" in capsys.readouterr().err


def test_what_would_be_dead_again_is_sent_only_by_force(
    bus: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    bury(bus, POISON, 1)
    assert run(capsys, "replay")["sent"] == 0
    assert run(capsys, "replay --force")["sent"] == 1
    assert [m.value() for m in sent(bus)] == [POISON]


def test_rows_of_a_frame_whose_other_rows_were_counted_are_never_sent(
    bus: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    value = frame([T0, 5], [1.0, 2.0])
    (letter,) = decode_record("predictions", Record(3, NOW, value)).dead
    assert letter.is_partial
    bury(bus, value, 3, reason=letter.reason, is_partial=letter.is_partial)
    assert run(capsys, "replay --force") == {"dry_run": False, "sent": 0, "outcomes": {"partial": 1}}
    assert sent(bus) == []


def test_a_letter_without_its_bytes_is_shown_with_its_place_and_never_sent(
    bus: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = DeadLetter(4, "bad_timestamp", "ts is 5", 3, bytes(9), b"k")
    key = dead_key("predictions", 1, replace(letter, reason=TOO_LARGE))
    producer = Producer({"bootstrap.servers": bus.broker})
    producer.produce(
        bus.topic("dead-letters"),
        b"",
        key,
        headers=[*buried_headers(dead_headers("predictions", 1, letter), letter).items()],
    )
    assert producer.flush(10) == 0
    (shown,) = run(capsys, "show predictions/1/4")["letters"]
    assert (shown["reason"], shown["bytes"], shown["value"]) == ("too_large", 9, "")
    assert (
        shown["detail"] == "bad_timestamp, and 9 bytes are more than the dead letters' topic takes: ts is 5"
    )
    assert "predictions/1/4 has them" in shown["now"]["detail"]
    assert run(capsys, "replay --force") == {"dry_run": False, "sent": 0, "outcomes": {"buried": 1}}
    assert sent(bus) == []


@pytest.fixture
def registry() -> Iterator[ThreadedRegistry]:
    made = ThreadedRegistry()
    yield made
    made.close()


def test_a_letter_whose_schema_was_registered_since_can_be_read_and_sent(
    bus: Settings,
    registry: ThreadedRegistry,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    datum = single(T0, 1.0, event_id="late")[HEADER_BYTES:]
    bury(bus, b"\0\0\0\0\x07" + datum, 1)
    bury(bus, datum, 2, headers=[("__value_schema_id", b"\0\0\0\0\x07")])
    bury(bus, b"\0\0\0\0\x09" + datum, 3)
    (alone,) = run(capsys, "show predictions/1/1")["letters"]
    assert (alone["schema_id"], alone["now"]["reason"]) == ("7", "unknown_schema")
    assert "no schema registry is configured" in alone["now"]["detail"]

    monkeypatch.setenv("SEAWALL_SCHEMA_REGISTRY_URL", registry.server.url)
    away = run(capsys, "replay --dry-run")
    assert away == {"dry_run": True, "sent": 0, "outcomes": {"registry_unavailable": 3}}

    registry.start()
    registry.server.register(7, json.loads((contracts_dir() / "prediction.avsc").read_text(encoding="utf-8")))
    for place in ("predictions/1/1", "predictions/1/2"):
        (shown,) = run(capsys, f"show {place}")["letters"]
        assert shown["schema_id"] == "7"
        assert shown["now"]["reads_as"]["event_id"] == "late"
    assert run(capsys, "replay") == {
        "dry_run": False,
        "sent": 2,
        "outcomes": {"readable": 2, "dead again: unknown_schema": 1},
    }
    assert [x.status for x in read_letters(bus)] == ["replayed", "replayed", "waiting"]


def test_a_frame_none_of_whose_rows_were_counted_is_not_partial() -> None:
    (letter,) = decode_record("predictions", Record(3, NOW, frame([5, 6], [1.0, 2.0]))).dead
    assert not letter.is_partial


def test_a_replay_that_is_cut_short_leaves_its_letters_uncertain_and_not_sent_twice(
    bus: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for offset in range(2):
        bury(bus, single(T0, 1.0, event_id=f"e{offset}"), offset)
    rounds: list[int] = []
    whole = dead_letters._send

    def cut(settings: Settings, messages: Any) -> set[int]:
        rounds.append(len(messages))
        if len(rounds) == 3:  # the letters are sent, the notes that say so are not
            raise Unavailable("killed")
        return whole(settings, messages)

    monkeypatch.setattr(dead_letters, "_send", cut)
    assert main(["dlq", "replay"]) == 1
    monkeypatch.undo()
    for name, value in bus.to_env().items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()
    assert run(capsys, "replay") == {"dry_run": False, "sent": 0, "outcomes": {"uncertain": 2}}
    assert len(sent(bus)) == 2
    assert run(capsys, "replay --uncertain")["sent"] == 2
    assert {x.status for x in read_letters(bus)} == {"replayed"}


def test_many_letters_are_sent_in_rounds(bus: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "BATCH", 3)
    for offset in range(8):
        bury(bus, single(T0, 1.0, event_id=f"e{offset}"), offset)
    assert main(["dlq", "replay", "--json"]) == 0
    assert len(sent(bus)) == 8
    assert len(list(each_value(bus, read_letters(bus)))) == 8


def test_a_letter_is_as_large_as_its_topic_takes_it(
    bus: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    large = frame([T0 + i for i in range(150_000)], [float(i) for i in range(150_000)])
    assert len(large) > 1_100_000
    bury(bus, large, 0)
    assert run(capsys, "replay") == {"dry_run": False, "sent": 1, "outcomes": {"readable": 1}}
    assert [m.value() for m in sent(bus)] == [large]


def test_a_letter_that_its_topic_takes_no_longer_waits_and_its_neighbours_are_sent(
    bus: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [single(T0, 1.0, event_id="x" * size) for size in (10, 5000, 20)]
    for offset, value in enumerate(values):
        bury(bus, value, offset)
    monkeypatch.setattr(dead_letters, "_CLIENT_MAX_BYTES", 4000)
    assert run(capsys, "replay") == {
        "dry_run": False, "sent": 2, "outcomes": {"readable": 3, "too large": 1},
    }  # fmt: skip
    assert [x.status for x in read_letters(bus)] == ["replayed", "waiting", "replayed"]
    monkeypatch.undo()
    for name, value in bus.to_env().items():
        monkeypatch.setenv(name, value)
    assert run(capsys, "replay")["sent"] == 1
    assert sorted(m.value() for m in sent(bus)) == sorted(values)


def test_resuming_accepts_what_is_there_now_and_resolves_the_alarm(
    bus: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    hold = Hold("predictions", 1, "held", 100, 250, 200, 180, 0.5, 1, 2, 3, notify=("log",))
    producer = Producer({"bootstrap.servers": bus.broker})
    producer.produce(bus.topic("holds"), encode("partition_hold", hold.to_record()), hold.key.encode())
    assert producer.flush(10) == 0
    (stopped,) = run(capsys, "list")["stopped"]
    assert (stopped["topic"], stopped["partition"], stopped["bad"]) == ("predictions", 1, 180)
    said = run(capsys, "resume predictions 1")
    assert (said["state"], said["accepted_before"]) == ("resumed", 251)
    (alarm,) = read_records(bus, "alarms")
    assert (alarm["alarm_id"], alarm["state"], alarm["revision"]) == (
        "dead_letters/predictions/1/100",
        "resolved",
        1,
    )
    assert run(capsys, "list")["stopped"] == []
    assert main(["dlq", "resume", "predictions", "1"]) == 1
    assert "not stopped" in capsys.readouterr().err
