"""What every receiver was told, remembered over restarts through the table ``notifications``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence

from streams.core.notify import LedgerEntry, NotificationRow, fold, told

log = logging.getLogger(__name__)

_LOADS_AT_ONCE = 8

LedgerLoader = Callable[[str], Awaitable[Sequence[NotificationRow]]]
"""Reads one alarm's rows back from the store."""


class Ledger:
    """What every receiver was told about the alarms of late; older ones are read from the store when needed.

    Parameters
    ----------
    load
        Reads one alarm's rows. It is given `load_timeout_s`; when it fails, the alarm is told without it and
        the store is left alone for `load_pause_s`: an outage of the store never holds an alarm back.
    max_alarms
        Alarms remembered; the least recently used is forgotten first, and read again when it returns.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        load: LedgerLoader | None = None,
        *,
        load_timeout_s: float = 5.0,
        load_pause_s: float = 30.0,
        max_alarms: int = 50_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._load_timeout_s = load_timeout_s
        self._load_pause_s = load_pause_s
        self._max_alarms = max_alarms
        self._clock = clock
        self._load_again_at_s = clock()
        self._alarms: OrderedDict[str, dict[str, LedgerEntry]] = OrderedDict()
        self._fresh: set[str] = set()
        self._loading: dict[str, asyncio.Lock] = {}
        self._loads = asyncio.Semaphore(_LOADS_AT_ONCE)

    async def entry(self, alarm_id: str, receiver: str) -> tuple[LedgerEntry | None, bool]:
        """Look up what `receiver` knows, and whether that is all there is to know.

        Blocks up to `load_timeout_s`, once for an alarm.
        """
        if alarm_id not in self._fresh and self._load is not None:
            async with self._loading.setdefault(alarm_id, asyncio.Lock()), self._loads:
                await self._refresh(alarm_id, self._load)
            self._loading.pop(alarm_id, None)
        is_complete = self._load is None or alarm_id in self._fresh
        return self._alarms.get(alarm_id, {}).get(receiver), is_complete

    def record(self, row: NotificationRow) -> None:
        """Remember `row`, whether or not it reaches the store."""
        entries = self._alarms.setdefault(row.alarm_id, {})
        entries[row.receiver] = told(entries.get(row.receiver), row)
        self._alarms.move_to_end(row.alarm_id)
        while len(self._alarms) > self._max_alarms:
            self._fresh.discard(self._alarms.popitem(last=False)[0])

    def distrust(self) -> None:
        """Read every alarm from the store again before its next use: another worker may have told more."""
        self._fresh.clear()

    async def _refresh(self, alarm_id: str, load: LedgerLoader) -> None:
        if alarm_id in self._fresh or self._clock() < self._load_again_at_s:
            return
        try:
            rows = await asyncio.wait_for(load(alarm_id), self._load_timeout_s)
        except Exception as error:  # whatever ails the store, people are told
            self._load_again_at_s = self._clock() + self._load_pause_s
            log.warning("ledger: not readable (%s); telling without it", type(error).__name__)
            return
        # what this worker did itself may not have reached the store yet: keep the newer of the two
        entries = self._alarms.setdefault(alarm_id, {})
        for receiver, entry in fold(rows).items():
            known = entries.get(receiver)
            if known is None or entry.revision > known.revision:
                entries[receiver] = entry
        self._fresh.add(alarm_id)
        self._alarms.move_to_end(alarm_id)
