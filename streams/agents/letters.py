"""Dead letters on their way to their topic: the original bytes, and headers that say where they were and why.

All letters of a run are handed to the producer before the first is waited for: one at a time they take a round trip
each, and a partition full of them would take hours. They are acknowledged, all of them, before anything that needs
them is published.

A letter is somewhat larger than its record, and the topic may take less than the one that the record came from. One
that is refused for its size is buried without its bytes: the headers say where these still are.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from seawall.wire import MARKER, schema_of
from streams.agents.schemas import schema_id_of
from streams.core.decode import DeadLetter
from streams.core.lives import UNNAMED, LogName
from streams.io.kafka import RunApp, begin, is_for_size, publish

log = logging.getLogger(__name__)
#: Prefix of a dead letter's original headers.
KEPT = "seawall.header."
#: Reason of a letter that had to be buried without its bytes.
TOO_LARGE = "too_large"
_DETAIL_CHARS = 1000
Headers = Sequence[tuple[str, bytes | None]]


async def publish_letters(
    app: RunApp,
    to: str,
    source: str,
    partition: int,
    letters: Sequence[DeadLetter],
    headers: Mapping[int, Headers],
    log_name: LogName = UNNAMED,
) -> list[tuple[int, bytes]]:
    """Write dead letters to the topic `to`; returns offset and key of each when the broker has all of them.

    Parameters
    ----------
    headers
        The original ones, by offset.
    log_name
        Of the log whose offsets these are.
    """
    whole = [dead_headers(source, partition, x, headers.get(x.offset, ()), log_name) for x in letters]
    kept = [h | kept_headers(headers.get(x.offset, ())) for x, h in zip(letters, whole, strict=True)]
    under_way = [
        await _begin(app, to, dead_key(source, partition, x, log_name), x.value, h)
        for x, h in zip(letters, kept, strict=True)
    ]
    published: list[tuple[int, bytes]] = []
    outcomes = await asyncio.gather(*under_way, return_exceptions=True)
    for letter, of_letter, everything, outcome in zip(letters, whole, kept, outcomes, strict=True):
        key = dead_key(source, partition, letter, log_name)
        if isinstance(outcome, BaseException):
            if not is_for_size(outcome):
                raise outcome
            # It may have been in one batch with what is too large, and the broker refuses batches.
            if not await _is_taken(app, to, key, letter.value, everything):
                key = dead_key(source, partition, replace(letter, reason=TOO_LARGE), log_name)
                await publish(app, [(to, key, b"", None)], buried_headers(of_letter, letter))
        published.append((letter.offset, key))
    _say(source, partition, letters)
    return published


async def _is_taken(app: RunApp, to: str, key: bytes, value: bytes, headers: Mapping[str, bytes]) -> bool:
    """Write one letter by itself. False when it is too large."""
    try:
        await publish(app, [(to, key, value, None)], headers)
    except Exception as error:
        if not is_for_size(error):
            raise
        return False
    return True


async def _begin(
    app: RunApp, to: str, key: bytes, value: bytes, headers: Mapping[str, bytes]
) -> Awaitable[Any]:
    """Hand one message to the producer; what it refuses by itself fails like what the broker refuses."""
    try:
        (acknowledged,) = await begin(app, [(to, key, value, None)], headers)
    except Exception as error:
        if not is_for_size(error):
            raise
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_exception(error)
    return acknowledged


def _say(source: str, partition: int, letters: Sequence[DeadLetter]) -> None:
    """Log one letter of each reason: a run may hold thousands."""
    found = Counter(letter.reason for letter in letters)
    for letter in {x.reason: x for x in reversed(letters)}.values():
        more = f" (and {found[letter.reason] - 1} more of this run)" if found[letter.reason] > 1 else ""
        log.warning(
            "dead letter: %s/%d offset %d: %s: %s%s",
            source, partition, letter.offset, letter.reason, letter.detail[:200], more,
        )  # fmt: skip


def dead_key(topic: str, partition: int, letter: DeadLetter, log_name: LogName = UNNAMED) -> bytes:
    """Natural key of a dead letter: a record read twice is dead once.

    An offset names a record only as long as its log lives, so the log's name is in it where it has one.
    """
    life = "" if log_name == UNNAMED else f"/{log_name.epoch}.{log_name.topic_id}"
    return f"{topic}/{partition}/{letter.offset}/{letter.reason}{life}".encode()


def kept_headers(headers: Iterable[tuple[str, bytes | None]] | None) -> dict[str, bytes]:
    """Original headers under names of their own, so that a replay can put them back."""
    return {f"{KEPT}{name}": value or b"" for name, value in headers or ()}


def dead_headers(
    topic: str,
    partition: int,
    letter: DeadLetter,
    headers: Headers | None = None,
    log_name: LogName = UNNAMED,
) -> dict[str, bytes]:
    """Where a dead letter came from and why; its value is the original, untouched.

    Parameters
    ----------
    headers
        The original ones: the schema's id may be among them.
    log_name
        Of the log whose offset the letter has.
    """
    named = schema_of(letter.value, schema_id_of(headers or ()))
    return {
        "seawall.topic": topic.encode(),
        "seawall.partition": str(partition).encode(),
        "seawall.offset": str(letter.offset).encode(),
        "seawall.reason": letter.reason.encode(),
        "seawall.detail": letter.detail[:_DETAIL_CHARS].encode(errors="replace"),
        "seawall.events": str(letter.events).encode(),
        "seawall.sha256": hashlib.sha256(letter.value).hexdigest().encode(),
        **({"seawall.log_epoch": str(log_name.epoch).encode()} if log_name.epoch else {}),
        **({"seawall.topic_id": log_name.topic_id.encode()} if log_name.topic_id else {}),
        **({"seawall.key": letter.key} if letter.key is not None else {}),
        **({"seawall.partial": b"1"} if letter.is_partial else {}),
        "seawall.fingerprint": letter.value[2:10].hex().encode() if letter.value[:2] == MARKER else b"",
        **({"seawall.schema_id": str(named[0]).encode()} if named is not None else {}),
    }


def buried_headers(headers: Mapping[str, bytes], letter: DeadLetter) -> dict[str, bytes]:
    """Headers of a letter without its bytes; the original key and headers, which may be large, are left out too."""
    said = f"{letter.reason}, and {len(letter.value)} bytes are more than the dead letters' topic takes: "
    return {
        **{name: value for name, value in headers.items() if name != "seawall.key"},
        "seawall.reason": TOO_LARGE.encode(),
        "seawall.detail": (said + letter.detail)[:_DETAIL_CHARS].encode(errors="replace"),
        "seawall.bytes": str(len(letter.value)).encode(),
        "seawall.buried": letter.reason.encode(),
    }
