"""What the agents of one worker share: settings, control state, the bus, and how to die."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from seawall.settings import Settings
from seawall.wire import encode
from streams.core.holds import HoldBook
from streams.core.layouts import Control
from streams.core.registry import RegistryView
from streams.core.rollback import RollbackDesk
from streams.io.kafka import RunApp, begin

log = logging.getLogger(__name__)
#: (topic, contract, record, key, partition)
Message = tuple[str, str, dict[str, Any], str, int | None]
#: Exit code for an error that nobody foresaw: the supervisor starts the worker again.
EXIT_UNEXPECTED = 70


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
    partitions: dict[str, int] = field(default_factory=dict)
    """Partition count by short topic name."""

    def topic(self, name: str) -> str:
        """Full name of a topic."""
        return self.settings.topic(name)

    def desk(self, model: str) -> RollbackDesk:
        """Return the registrar's desk of a model."""
        return self.desks.setdefault(model, RollbackDesk(model))

    def model_partition(self, model: str) -> int:
        """Summaries partition of a model. Stable across processes."""
        return zlib.crc32(model.encode()) % max(self.partitions.get("summaries", 1), 1)

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

    async def guard(self, where: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run an agent's or a service's work; an error that nobody foresaw ends the process.

        Faust would acknowledge the failing message and go on (faust-streaming 315, 527).
        """
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if self.app.should_stop:
                return
            self.die(where, error)
