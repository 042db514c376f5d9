"""What became of every event, and the few words that the product should hear about it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from dataclasses import dataclass

_log = logging.getLogger("seawall.client")
_REMIND_AFTER_S = 300.0


@dataclass(frozen=True)
class ClientStats:
    """What became of the events, in rows. ``logged`` is the sum of the others."""

    logged: int = 0
    """Events that the product handed over."""
    sampled_out: int = 0
    """Left out on purpose."""
    queued: int = 0
    """In this process, not yet with the transport."""
    in_flight: int = 0
    """With the transport, not yet acknowledged."""
    sent: int = 0
    """Acknowledged by the broker."""
    dropped: int = 0
    """The buffer was full, or the client closed."""
    invalid: int = 0
    """Not what an event may be; the first reason was logged."""
    failed: int = 0
    """The broker did not take them in time, or a single row was too large."""
    queued_bytes: int = 0
    """Estimated size of what is queued."""
    frames: int = 0
    """Frames handed to the transport."""


class Tally:
    """Counters in which every event is in exactly one place, and notices that are logged once.

    Noting is the product's thread's business and costs an assignment; logging is the sender's thread's.
    """

    def __init__(self) -> None:
        # Reentrant, because a signal handler of the product may log while the same thread is inside.
        self.lock = threading.RLock()
        #: Told whenever the buffer gets smaller.
        self.room = threading.Condition(self.lock)
        #: Open to the sender, whose hot path cannot afford a call for each.
        self.counts = dict.fromkeys(ClientStats.__dataclass_fields__, 0)
        #: Rows that left the buffer, ever.
        self.left_rows = 0
        self._notices: dict[str, str] = {}
        self._told_s: dict[str, float] = {}

    def stats(self) -> ClientStats:
        """Return one consistent reading."""
        with self.lock:
            return ClientStats(**self.counts)

    def add(self, counter: str, rows: int) -> None:
        """Count events that are new."""
        with self.lock:
            self.counts["logged"] += rows
            self.counts[counter] += rows

    def move(self, source: str, target: str, rows: int, notice: str = "") -> None:
        """Move events from one counter to another."""
        with self.room:
            self.counts[source] -= rows
            self.counts[target] += rows
            self.left_rows += rows * ((source == "queued") - (target == "queued"))
            if notice:
                self.note(target, notice)
            if source == "queued":
                self.room.notify_all()

    def release(self, size_bytes: int) -> None:
        """Give back room in the buffer."""
        with self.room:
            self.counts["queued_bytes"] -= size_bytes
            self.room.notify_all()

    def note(self, kind: str, text: str) -> bool:
        """Keep what is to be said of a kind of trouble; True when it is the first of its kind."""
        with self.lock:
            self._notices.setdefault(kind, text)
            return kind not in self._told_s

    def has_note(self, kind: str) -> bool:
        """Whether something of this kind waits to be said."""
        return kind in self._notices

    def tell(self) -> None:
        """Log what waits: each kind once, and losses again when they come back much later."""
        while True:
            with self.lock:
                if not self._notices:
                    return
                kind, text = self._notices.popitem()
                now_s, told_s = time.monotonic(), self._told_s.get(kind)
                is_news = told_s is None or (kind != "invalid" and now_s - told_s > _REMIND_AFTER_S)
                if is_news:
                    self._told_s[kind] = now_s
            if is_news:
                with contextlib.suppress(Exception):  # a product's logging filter is not ours to trust
                    _log.warning("seawall: %s", text)
