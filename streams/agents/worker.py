"""What the agents of one worker share: settings, control state, the bus, and how to die."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from seawall.settings import Settings
from seawall.wire import encode
from streams.core.control import apply_control
from streams.core.holds import HoldBook
from streams.core.layouts import Control
from streams.core.registry import RegistryView
from streams.core.rollback import RollbackDesk
from streams.io.kafka import RunApp, begin
from streams.io.topic_ids import TopicIds
from streams.io.topics import STAMPED_BY_BROKER

log = logging.getLogger(__name__)
#: (topic, contract, record, key, partition)
Message = tuple[str, str, dict[str, Any], str, int | None]
#: Exit code for an error that nobody foresaw: the supervisor starts the worker again.
EXIT_UNEXPECTED = 70
#: Exit code when a broker, or whatever a worker cannot do without, refuses it: the same as at the start.
EXIT_REFUSED = 1
Result = TypeVar("Result")
#: Kafka's word for a timestamp that the producer gave; 1 is the broker's own.
_CREATE_TIME = 0


def now_us() -> int:
    """Wall clock, microseconds."""
    return time.time_ns() // 1000


@dataclass
class Worker:
    """Shared by the agents of one process."""

    settings: Settings
    app: RunApp
    control: Control = field(default_factory=Control)
    registry: RegistryView = field(default_factory=RegistryView)
    rollback_steps: list[dict[str, Any]] = field(default_factory=list)
    """Every step seen on the bus, in order: a whole-topic view, as small as the number of rollbacks."""
    desks: dict[str, RollbackDesk] = field(default_factory=dict)
    """The registrar's own fold of the rollbacks topic, by model."""
    control_ready: asyncio.Event = field(default_factory=asyncio.Event)
    holds: HoldBook = field(default_factory=HoldBook)
    """Partitions that were stopped, by anybody."""
    stopped: dict[str, list[str]] = field(default_factory=dict)
    """Why partitions of this worker are stopped, by short topic name."""
    waiting: set[str] = field(default_factory=set)
    """Short names of topics that are paused because what was read of them is not stored or told yet."""
    clocks: dict[str, str] = field(default_factory=dict)
    """What is wrong with the clocks that records are stamped by, by short topic name."""
    partitions: dict[str, int] = field(default_factory=dict)
    """Partition count by short topic name."""
    topic_ids: TopicIds = field(init=False)
    _deciding: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "decide"))
    _undecided: int = 0
    _control_waiting: list[tuple[str, bytes, bytes | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.topic_ids = TopicIds(self.settings)

    def topic(self, name: str) -> str:
        """Full name of a topic."""
        return self.settings.topic(name)

    def desk(self, model: str) -> RollbackDesk:
        """Return the registrar's desk of a model."""
        return self.desks.setdefault(model, RollbackDesk(model))

    def model_partition(self, model: str) -> int:
        """Summaries partition of a model. Stable across processes."""
        return zlib.crc32(model.encode()) % max(self.partitions.get("summaries", 1), 1)

    def on_control(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Fold a control record, now or as soon as nothing is being decided."""
        if self._undecided:
            self._control_waiting.append((topic, key, value))
            return
        problem = apply_control(self, topic, key, value)
        if problem:
            log.error("ignored: %s", problem)

    def note_stamps(self, topic: str, record: Any) -> None:
        """See from a record whose clock a topic's timestamps are; says so once when it is not the broker's."""
        if record.timestamp_type != _CREATE_TIME:
            self.clocks.pop(topic, None)
        elif topic not in self.clocks:
            wrong = f"{topic}: {STAMPED_BY_BROKER[topic]}"
            self.clocks[topic] = (
                f"{wrong}. The topic's message.timestamp.type is CreateTime; `seawall migrate` says how to change it"
            )
            log.warning("%s", self.clocks[topic])

    @property
    def is_deciding(self) -> bool:
        """Whether something is being decided, or waits to be."""
        return self._undecided > 0

    async def decide(self, work: Callable[[], Result]) -> Result:
        """Run pure work in a thread of its own, while the control state stands still.

        Judging a batch of windows takes a good part of a second. Meanwhile the event loop reads, publishes and keeps
        its place in the group: numpy lets go of the interpreter. One call at a time; whoever is cancelled while it
        waits has to forget what `work` was changing, for the thread goes on.
        """
        self._undecided += 1
        future = self._deciding.submit(work)
        try:
            return await asyncio.wrap_future(future)
        finally:
            if future.done():
                self._end_deciding()
            else:
                loop = asyncio.get_running_loop()
                future.add_done_callback(lambda _: tell(loop, self._end_deciding))

    def _end_deciding(self) -> None:
        self._undecided -= 1
        if self._undecided:
            return
        waiting, self._control_waiting = self._control_waiting, []
        for record in waiting:
            self.on_control(*record)

    async def send(self, messages: Iterable[Message]) -> None:
        """Publish messages and wait for every acknowledgement."""
        for acknowledged in await self.begin(messages):
            await acknowledged

    async def begin(self, messages: Iterable[Message]) -> list[Awaitable[Any]]:
        """Publish messages, in order; returns what to wait for until each is acknowledged."""
        return await begin(
            self.app,
            (
                (self.topic(topic), key.encode(), encode(contract, record), partition)
                for topic, contract, record, key, partition in messages
            ),
        )

    def die(self, where: str, error: BaseException) -> None:
        """Stop at once. Nothing more is committed, so whatever was under way is read again by the next start."""
        log.critical(
            "%s: unexpected %s; the worker stops before anything is committed",
            where,
            type(error).__name__,
            exc_info=error,
        )
        logging.shutdown()
        os._exit(EXIT_UNEXPECTED)

    def end(self, why: str) -> None:
        """Stop at once for a reason that is known and that only another start can mend, with one line and no trace.

        What a stop would save or commit needs the very broker that does not let us in.
        """
        log.error("%s; the worker ends, and has committed nothing that is not durable", why)
        logging.shutdown()
        os._exit(EXIT_REFUSED)

    async def guard(self, where: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run an agent's or a service's work; an error that nobody foresaw ends the process.

        Faust would acknowledge the failing message and go on (faust-streaming 315, 527). While the worker stops, its
        parts go away under what is still at work, and an error is no reason to die; but Faust commits once more when
        its agents have stopped. So whoever failed then does not return: it stands still until it is cancelled with
        everything else, and nothing that it was given counts as done. Raising would not do: Faust starts an agent
        that raised again, and that one would take the next run.
        """
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if not self.app.should_stop:
                self.die(where, error)
            log.warning("%s: not done before the stop, so not committed", where, exc_info=error)
            await asyncio.Event().wait()


def tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    """Call something in the loop's thread; a loop that is closed meanwhile has no use for it."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(what)
