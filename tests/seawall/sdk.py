"""What the client's tests share: transports that can be held, and a reader of what was sent."""

from __future__ import annotations

import threading
from typing import Any

from seawall import InMemoryTransport
from seawall.frames import Columns, Source, from_record
from seawall.transport import Delivered, MessageTooLarge
from seawall.wire import decode

SOURCES: dict[str, Source] = {
    "seawall.predictions": "predictions",
    "seawall.features": "features",
    "seawall.labels": "labels",
}


def read(transport: InMemoryTransport) -> list[Columns]:
    """The frames that were sent, each keyed by its id."""
    frames = []
    for topic, key, value in transport.messages:
        source = SOURCES[topic]
        record = decode(value, (f"{source[:-1]}_frame",))[1]
        assert key == record["frame_id"].encode()
        frames.append(from_record(source, record))
    return frames


def one(transport: InMemoryTransport) -> Columns:
    """The only frame that was sent."""
    (frame,) = read(transport)
    return frame


class HeldTransport(InMemoryTransport):
    """Has no room until it is opened, as a broker that is away."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.asked = threading.Event()

    def send(self, topic: str, key: bytes, value: bytes, delivered: Delivered) -> bool:
        self.asked.set()
        return self.opened.is_set() and super().send(topic, key, value, delivered)

    def poll(self, timeout_s: float) -> None:
        self.opened.wait(min(timeout_s, 0.01))


class RefusingTransport(InMemoryTransport):
    """Takes a message and reports that it failed, raises, or finds it too large."""

    def __init__(self, error: str | Exception = "", max_bytes: int = 1 << 30) -> None:
        super().__init__()
        self.error: str | Exception = error
        self.max_bytes = max_bytes

    def send(self, topic: str, key: bytes, value: bytes, delivered: Delivered) -> bool:
        if len(value) > self.max_bytes:
            raise MessageTooLarge(str(len(value)))
        if isinstance(self.error, Exception):
            raise self.error
        if self.error:
            delivered(self.error)
            return True
        return super().send(topic, key, value, delivered)


def total(stats: Any) -> int:
    """Sum of the places where an event may be; equals `logged` at any time."""
    return int(
        stats.sampled_out
        + stats.queued
        + stats.in_flight
        + stats.sent
        + stats.dropped
        + stats.invalid
        + stats.failed
    )
