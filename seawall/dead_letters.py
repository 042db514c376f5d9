"""The dead letters as they lie in their topic, and sending them again.

A replay leaves notes in the same topic, under the letter's key: ``begun`` before the original bytes are sent to
where they came from, ``done`` when the broker has them. A letter with either note is not sent by a second replay:
one that was begun and not done, because the replay was killed, may have been sent, and only a person can say. One that
the broker refused for its size has ``refused`` behind ``begun``: it was not sent, and waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Literal

from seawall.bus import each_message
from seawall.errors import Unavailable
from seawall.settings import Settings
from seawall.transport import kafka_config

TOPIC = "dead-letters"
DEADLINE_S = 300.0
#: Letters that share one round of notes: what a killed replay leaves uncertain at most.
BATCH = 200
#: What the client refuses by itself. How large a message may be is the topic's to say: letters lay in it once.
_CLIENT_MAX_BYTES = 256 << 20
_KEPT = "seawall.header."
Status = Literal["waiting", "replayed", "uncertain"]
_STATUS: Mapping[bytes, Status] = {b"done": "replayed", b"refused": "waiting"}


@dataclass(slots=True)
class Letter:
    """A record, or some rows of one, that could not be counted."""

    key: str
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    events: int
    seen_us: int
    size_bytes: int
    sha256: str
    fingerprint: str
    schema_id: str
    """Of the writer's schema in a schema registry, where the record names one."""
    is_partial: bool
    """Other rows of the same record were counted: sent again as it is, these would be counted twice."""
    is_buried: bool
    """The bytes, which the topic of dead letters refused, are only where they came from."""
    original_key: bytes | None
    headers: dict[str, bytes]
    """The original ones."""
    topic_id: str = ""
    """The broker's, of the topic that `offset` is of: one that is made again under the same name has another."""
    status: Status = "waiting"
    is_settled: bool = False
    """The cut behind it is made. Before that, whoever starts next reads the record again, and may count it."""
    replayed_us: int = 0

    @property
    def place(self) -> str:
        """Topic, partition and offset, as typed on the command line."""
        return f"{self.topic}/{self.partition}/{self.offset}"


Wanted = Callable[[Letter], bool]


def read_letters(settings: Settings) -> list[Letter]:
    """Read every dead letter, without its bytes, in the order in which they were first seen.

    Blocks up to `DEADLINE_S`. A letter that was written twice, because a worker was killed, is listed once.

    Raises
    ------
    Unavailable
        The broker cannot be reached.
    """
    letters: dict[str, Letter] = {}
    settled: set[str] = set()
    for message in each_message(settings, TOPIC, deadline_s=DEADLINE_S):
        key, headers = _key(message), _headers(message)
        note = headers.get("seawall.replay")
        if note == b"settled":
            settled.update((message.value() or b"").decode(errors="replace").split("\n"))
        elif note is None:
            letters.setdefault(key, _letter(key, headers, message))
        elif key in letters:
            letters[key].status = _STATUS.get(note, "uncertain")
            letters[key].replayed_us = int(headers.get("seawall.replayed_us", b"0"))
    for key in settled & letters.keys():
        letters[key].is_settled = True
    return list(letters.values())


def each_value(settings: Settings, letters: Iterable[Letter]) -> Iterator[tuple[Letter, bytes]]:
    """Yield the letters with their original bytes, one at a time. Fails as `read_letters` does."""
    wanted = {letter.key: letter for letter in letters}
    if not wanted:
        return
    for message in each_message(settings, TOPIC, deadline_s=DEADLINE_S):
        if "seawall.replay" not in _headers(message):
            letter = wanted.pop(_key(message), None)
            if letter is not None:
                yield letter, message.value() or b""


def replay(settings: Settings, letters: Iterable[tuple[Letter, bytes]]) -> tuple[int, list[Letter]]:
    """Send letters to the topics they came from, bytes and keys as they were.

    Returns how many were sent, and those that a topic takes no longer because of their size. Blocks until the
    broker has everything. Not for two callers at once: both would send.

    Raises
    ------
    Unavailable
        The broker did not take a message. What it took is noted; the rest of the batch is `uncertain`.
    """
    rest, sent = iter(letters), 0
    refused: list[Letter] = []
    while batch := list(islice(rest, BATCH)):
        _send(settings, [_note(letter, b"begun") for letter, _ in batch])
        too_large = _send(settings, [_original(letter, value) for letter, value in batch])
        notes = [_note(x, b"refused" if i in too_large else b"done") for i, (x, _) in enumerate(batch)]
        _send(settings, notes)
        refused += [batch[i][0] for i in sorted(too_large)]
        sent += len(batch) - len(too_large)
    return sent, refused


_Message = tuple[str, bytes | None, bytes, dict[str, bytes]]


def _original(letter: Letter, value: bytes) -> _Message:
    headers = {**letter.headers, "seawall.replay_of": letter.key.encode()}
    return letter.topic, letter.original_key, value, headers


def _note(letter: Letter, state: bytes) -> _Message:
    now_us = time.time_ns() // 1000
    return (
        TOPIC,
        letter.key.encode(),
        b"",
        {"seawall.replay": state, "seawall.replayed_us": str(now_us).encode()},
    )


def _send(settings: Settings, messages: Sequence[_Message]) -> set[int]:
    """Send messages; returns the places of those that are too large for their topic."""
    refused = _refused_for_size(settings, messages)
    if len(messages) == 1:
        return refused
    # The broker refuses batches: what shared one with a message that is too large is sent by itself.
    return {i for i in sorted(refused) if _refused_for_size(settings, [messages[i]])}


def _refused_for_size(settings: Settings, messages: Sequence[_Message]) -> set[int]:
    from confluent_kafka import KafkaError, KafkaException, Producer  # noqa: PLC0415 - not needed for `--help`

    refused: set[int] = set()
    failed: list[str] = []
    config: dict[str, Any] = {
        **kafka_config(settings),
        "enable.idempotence": True,
        "acks": "all",
        "message.max.bytes": _CLIENT_MAX_BYTES,
        "message.timeout.ms": 30_000,
        "partitioner": "murmur2_random",
        "allow.auto.create.topics": False,
        "log_level": 0,
    }

    def on_delivery(i: int, error: Any, _message: Any) -> None:
        if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            refused.add(i)
        elif error is not None:
            failed.append(error.str())

    left = 0
    try:
        producer = Producer(config)
        for i, (topic, key, value, headers) in enumerate(messages):
            told = partial(on_delivery, i)
            try:
                producer.produce(
                    settings.topic(topic), value, key, headers=[*headers.items()], on_delivery=told
                )
            except KafkaException as error:  # what the client itself refuses
                told(error.args[0], None)
            producer.poll(0)
        left = producer.flush(35)
    except KafkaException as error:
        failed.append(error.args[0].str())
    if failed or left:
        msg = f"broker {settings.broker}: {len(failed) + left} of {len(messages)} messages not taken: "
        raise Unavailable(msg + (failed[0] if failed else "no answer"))
    return refused


def _key(message: Any) -> str:
    return str((message.key() or b"").decode(errors="replace"))


def _headers(message: Any) -> dict[str, bytes]:
    return {name: value or b"" for name, value in message.headers() or ()}


def _letter(key: str, headers: dict[str, bytes], message: Any) -> Letter:
    def text(name: str) -> str:
        return headers.get(f"seawall.{name}", b"").decode(errors="replace")

    def number(name: str, otherwise: int) -> int:
        found = text(name)
        return int(found) if found.lstrip("-").isdigit() else otherwise

    return Letter(
        key=key,
        topic=text("topic"),
        partition=number("partition", -1),
        offset=number("offset", -1),
        reason=text("reason"),
        detail=text("detail"),
        events=number("events", 1),
        seen_us=message.timestamp()[1] * 1000,
        size_bytes=number("bytes", len(message.value() or b"")),
        sha256=text("sha256"),
        fingerprint=text("fingerprint"),
        schema_id=text("schema_id"),
        is_partial="seawall.partial" in headers,
        is_buried="seawall.buried" in headers,
        original_key=headers.get("seawall.key"),
        headers={
            name.removeprefix(_KEPT): value for name, value in headers.items() if name.startswith(_KEPT)
        },
        topic_id=text("topic_id"),
    )
