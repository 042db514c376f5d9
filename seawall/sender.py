"""The buffer between a product's threads and the broker, and the thread that empties it.

A product's thread appends and goes on. One daemon thread batches, encodes and hands over. The buffer is
bounded in events and in bytes; what does not fit is dropped and counted, never waited for. Every event is
in exactly one of the counters of `ClientStats` at any time.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from seawall.batching import SIZE, Event, Kinds, columns_of, events_of, group_key
from seawall.cutting import frames_of, halves
from seawall.frames import Columns
from seawall.tally import ClientStats, Tally
from seawall.transport import MessageTooLarge, Transport

_log = logging.getLogger("seawall.client")
_POLL_S = 0.1
#: While the thread is at work nobody needs to wake it.
_NEVER = 1 << 62
#: A batch of columns this short is taken apart and joins the single events of its kind.
_SHORT_ROWS = 64
#: Work between two naps takes some 0.2 ms: this many events to take in, values to forget, or a column to build.
_BREATH_EVENTS, _BREATH_VALUES = 100, 4000
_NAP_S = 20e-6
#: When much is queued, the product gives the thread a turn every so many events.
_TURN_EVENTS = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """Columns that the product handed over in one piece, at most a frame long."""

    columns: Columns
    size_bytes: int

    @property
    def rows(self) -> int:
        """Number of events."""
        return self.columns.rows


class _Mark:
    """A place in the queue; set when everything before it is with the transport."""

    def __init__(self) -> None:
        self.reached = threading.Event()


class Sender:
    """A bounded buffer and its thread."""

    def __init__(
        self,
        transport: Transport,
        topic_of: Callable[[str], str],
        *,
        linger_s: float,
        max_events: int,
        max_bytes: int,
        max_frame_rows: int,
    ) -> None:
        self.transport = transport
        self._topic_of = topic_of
        self._linger_s = linger_s
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._max_frame_rows = max_frame_rows
        self.is_closed = False
        self._start_afresh()
        self._start_thread()  # now, and not on the first event's time; a forked child has no choice
        _living.add(self)

    def _start_afresh(self) -> None:
        self._tally = Tally()
        self._lock, self._room, self._counts = self._tally.lock, self._tally.room, self._tally.counts
        self._work = threading.RLock()  # held while the buffer is emptied, by its thread or at the very end
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._pending: deque[Event | Batch | _Mark] = deque()
        self._groups: dict[tuple[object, ...], list[Event]] = {}
        self._oldest_s: float | None = None
        self._kinds = Kinds()
        self._wake_at = 1
        self._thread: threading.Thread | None = None
        self._give_up_at_s: float | None = None
        # Made anew after a fork, or two children would give out the same ids.
        self._id_prefix, self._id_counter = os.urandom(8).hex(), itertools.count()

    # The product's side: nothing here encodes, does input and output, or waits unless asked to.

    def new_id(self) -> str:
        """Make an id that no other process makes, at a tenth of the cost of a UUID."""
        return f"{self._id_prefix}-{next(self._id_counter):x}"

    def put(self, event: Event, size_bytes: int) -> None:
        """Append one event, or drop it when the buffer is full.

        A buffer that fills faster than its thread can empty it costs some calls a fraction of a millisecond: the
        thread is given a turn. It would take one otherwise, and not give it back for five (`sys.getswitchinterval`).
        """
        counts = self._counts
        with self._lock:
            counts["logged"] += 1
            size = counts["queued_bytes"] + size_bytes
            if counts["queued"] >= self._max_events or size > self._max_bytes or self.is_closed:
                self._drop(1)
                if self.is_closed:
                    self._tally.tell()
                return
            counts["queued"] += 1
            counts["queued_bytes"] = size
            self._append(event)
            is_turn = counts["logged"] % _TURN_EVENTS == 0 and self._is_pressed()
        if is_turn:
            time.sleep(_NAP_S)

    def put_batch(self, batch: Batch, wait_s: float) -> None:
        """Append columns, waiting for room at most `wait_s`."""
        with self._room:
            self._counts["logged"] += batch.rows
            if not self._room.wait_for(lambda: self.is_closed or self._fits(batch), wait_s) or self.is_closed:
                self._drop(batch.rows)
                return
            self._counts["queued"] += batch.rows
            self._counts["queued_bytes"] += batch.size_bytes
            self._append(batch)

    def count(self, counter: str, rows: int, notice: str = "") -> None:
        """Count events that end before the buffer: ``invalid`` or ``sampled_out``."""
        self._tally.add(counter, rows)
        if notice and self._tally.note(counter, notice):
            with self._lock:
                self._wake()

    def stats(self) -> ClientStats:
        """Return one consistent reading of the counters."""
        return self._tally.stats()

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything logged before was delivered or given up; False when time ran out."""
        deadline_s = time.monotonic() + timeout_s
        mark = _Mark()
        with self._lock:
            self._pending.append(mark)
            self._wake()
        if self._thread is None or not self._thread.is_alive():
            self._give_up_at_s = deadline_s
            self._cycle(is_urgent=True)  # no thread can be had any more: the interpreter is going down
        reached = mark.reached.wait(max(0.0, deadline_s - time.monotonic()))
        return self.transport.flush(max(0.0, deadline_s - time.monotonic())) and reached

    def close(self, timeout_s: float) -> bool:
        """Flush, stop the thread and let go of the transport; False when something was left behind."""
        deadline_s = time.monotonic() + timeout_s
        with self._lock:
            was_closed, self.is_closed = self.is_closed, True
            self._room.notify_all()
        if was_closed:
            return True
        is_flushed = self.flush(timeout_s)
        with self._lock:
            self._give_up_at_s = deadline_s
            self._wake()
        if self._thread is not None:
            self._thread.join(max(0.5, deadline_s - time.monotonic()))
        self.transport.close(max(0.0, deadline_s - time.monotonic()))
        with self._lock:
            left = self._counts["queued"]
            self._counts["queued"] = self._counts["queued_bytes"] = 0
            if left:
                self._drop(left)
        self._tally.tell()
        _living.discard(self)
        return is_flushed and not left

    def after_fork(self) -> None:
        """In a forked child: start empty, with a transport of its own. The parent sends what it had."""
        self._start_afresh()
        try:
            self.transport.after_fork()
        except Exception:
            _log.exception("seawall: the transport did not survive a fork; this process logs nothing")
            self.is_closed = True

    def _fits(self, batch: Batch) -> bool:
        queued, size = self._counts["queued"], self._counts["queued_bytes"]
        return queued + batch.rows <= self._max_events and size + batch.size_bytes <= self._max_bytes

    def _drop(self, rows: int) -> None:
        self._counts["dropped"] += rows
        if not self._tally.has_note("dropped"):
            queued, size = self._counts["queued"], self._counts["queued_bytes"]
            limits = f"{queued} events of {self._max_events}, {size} bytes of {self._max_bytes}"
            why = f"the buffer is full ({limits})"
            why = "the client is closed" if self.is_closed else why
            self._tally.note("dropped", f"dropping events: {why}; the product goes on")

    def _append(self, item: Event | Batch) -> None:
        self._pending.append(item)
        if len(self._pending) >= self._wake_at or (self._wake_at != _NEVER and self._is_pressed()):
            self._wake()

    def _is_pressed(self) -> bool:
        """Whether so much is queued that keeping up comes before full frames."""
        queued, size = self._counts["queued"], self._counts["queued_bytes"]
        return queued * 4 > self._max_events or size * 4 > self._max_bytes

    def _wake(self) -> None:
        self._wake_at = _NEVER
        if self._thread is None:
            self._start_thread()
        self._bell.put(None)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._run, name="seawall-sender", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is going down; close() drains without a thread
            return
        self._thread = thread

    # The thread's side.

    def _run(self) -> None:
        while True:
            self._wait()
            self._cycle(is_urgent=False)
            with self._lock:
                if self._give_up_at_s is not None and not self._pending:
                    return

    def _wait(self) -> None:
        with self._lock:
            if self._oldest_s is not None:
                wait_s: float | None = max(0.0, self._oldest_s + self._linger_s - time.monotonic())
                self._wake_at = self._max_frame_rows
            else:
                wait_s, self._wake_at = None, 1
            if self._counts["in_flight"]:
                wait_s = _POLL_S if wait_s is None else min(wait_s, _POLL_S)
            if len(self._pending) >= self._wake_at or (self._pending and self._is_pressed()):
                return
        try:
            self._bell.get(timeout=wait_s)
            while True:
                self._bell.get_nowait()
        except queue.Empty:
            pass

    def _cycle(self, *, is_urgent: bool) -> None:
        """Take in what is pending, send the groups whose time has come, and serve delivery reports."""
        with self._work:
            taken = 0
            while self._pending:
                self._take_in(self._pending.popleft())
                taken += 1
                if taken % _BREATH_EVENTS == 0:
                    self._breathe()
            is_due = self._oldest_s is not None and time.monotonic() >= self._oldest_s + self._linger_s
            if is_due or is_urgent or self._is_pressed():
                self._send_groups()
            self.transport.poll(0.0)
            self._tally.tell()

    def _breathe(self) -> None:
        """Let the product's threads have the interpreter.

        A thread that works on is asked for the interpreter's lock only after `sys.getswitchinterval` (5 ms),
        and the product would wait that long. A nap of some microseconds hands it over at once.
        """
        time.sleep(_NAP_S)

    def _take_in(self, item: Event | Batch | _Mark) -> None:
        if isinstance(item, _Mark):
            self._send_groups()
            item.reached.set()
        elif isinstance(item, Batch) and item.rows > _SHORT_ROWS:
            # What waits for company was logged earlier: it must not be overtaken, or it may come late.
            self._send_groups()
            self._send_guarded(item.rows, item.size_bytes, partial(self._send_columns, item.columns))
        elif isinstance(item, Batch):
            for event in events_of(item.columns, item.size_bytes):
                self._group(event)
        else:
            self._group(item)

    def _group(self, event: Event) -> None:
        try:
            key = group_key(event)
            group = self._groups.setdefault(key, [])
        except Exception as error:
            self._tally.release(event[SIZE])
            self._tally.move("queued", "invalid", 1, f"an event was left out: {error}")
            return
        group.append(event)
        if self._oldest_s is None:
            self._oldest_s = time.monotonic()
        if len(group) >= self._max_frame_rows:
            self._send_group(self._groups.pop(key))

    def _send_groups(self) -> None:
        groups, self._groups, self._oldest_s = self._groups, {}, None
        for group in groups.values():
            self._send_group(group)

    def _send_group(self, group: list[Event]) -> None:
        self._breathe()
        size = sum(event[SIZE] for event in group)
        self._send_guarded(len(group), size, partial(self._send_events, group))

    def _send_guarded(self, rows: int, size_bytes: int, send: Callable[[], None]) -> None:
        """Run one sending; whatever goes wrong in it costs the rows it had left, and nothing else."""
        self._tally.release(size_bytes)
        before = self._tally.left_rows
        try:
            send()
        except Exception as error:
            self._tally.move(
                "queued",
                "failed",
                rows - (self._tally.left_rows - before),
                f"a batch could not be sent: {error!r}",
            )

    def _send_events(self, group: list[Event]) -> None:
        built, rejected = columns_of(group, self._kinds, self._breathe)
        if rejected.rows:
            self._tally.move("queued", "invalid", rejected.rows, f"an event was left out: {rejected.reason}")
        step = max(1, _BREATH_VALUES // len(group[0]))
        while group:  # to let go of everything at once takes longer than the product should wait
            del group[-step:]
            self._breathe()
        for columns in built:
            self._breathe()
            self._send_columns(columns)

    def _send_columns(self, columns: Columns) -> None:
        for part, payload in frames_of(columns, self._max_frame_rows, breathe=self._breathe):
            if payload is None:
                self._tally.move(
                    "queued", "failed", part.rows, "an event is larger than a frame may be (900 kB)"
                )
            else:
                self._hand_over(part, payload)

    def _hand_over(self, columns: Columns, payload: bytes) -> None:
        """Give a frame to the transport, waiting while it has no room: the buffer behind us is bounded."""
        rows = columns.rows
        topic, key = self._topic_of(columns.source), columns.frame_id.encode()
        self._tally.move("queued", "in_flight", rows)
        try:
            while not self.transport.send(topic, key, payload, partial(self._delivered, rows)):
                if self._give_up_at_s is not None and time.monotonic() >= self._give_up_at_s:
                    self._tally.move(
                        "in_flight", "dropped", rows, "dropping events: closed before the broker had room"
                    )
                    return
                self.transport.poll(_POLL_S)
                self._tally.tell()
        except MessageTooLarge as error:
            if rows == 1:
                self._tally.move("in_flight", "failed", 1, f"an event is too large for the broker: {error}")
                return
            self._tally.move("in_flight", "queued", rows)
            for half in halves(columns):
                self._send_columns(half)
        except Exception:
            self._tally.move("in_flight", "queued", rows)
            raise
        else:
            self._counts["frames"] += 1

    def _delivered(self, rows: int, error: str | None) -> None:
        if error is None:
            self._tally.move("in_flight", "sent", rows)
        else:
            self._tally.move("in_flight", "failed", rows, f"the broker did not take a frame: {error}")


_living: weakref.WeakSet[Sender] = weakref.WeakSet()
#: How long all clients together may hold up the end of the process.
EXIT_TIMEOUT_S = 5.0


def _after_fork() -> None:
    for sender in list(_living):
        sender.after_fork()


def _at_exit() -> None:
    deadline_s = time.monotonic() + EXIT_TIMEOUT_S
    for sender in list(_living):
        sender.close(max(0.1, deadline_s - time.monotonic()))


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
