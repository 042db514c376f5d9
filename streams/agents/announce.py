"""Alarms and rollbacks are told to people, each receiver at its own pace."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from seawall.errors import Unavailable, WireError
from seawall.wire import decode
from streams.agents.worker import Worker
from streams.core.notify import NotificationRow, Result
from streams.io import metrics as m
from streams.io.clickhouse import Store, arrow_rows
from streams.io.http import HttpPoster
from streams.io.kafka import Run
from streams.io.ledger import Ledger
from streams.io.metrics import Metrics
from streams.io.outbox import Outbox
from streams.io.receivers import Receivers

log = logging.getLogger(__name__)
#: Contracts of the topics that are announced.
CONTRACTS: Mapping[str, str] = {"alarms": "alarm", "rollbacks": "rollback"}


class Announcer:
    """Delivers what one worker's partitions of ``alarms`` and ``rollbacks`` hold."""

    def __init__(self, worker: Worker, metrics: Metrics) -> None:
        self.worker = worker
        self.metrics = metrics
        self.poster = HttpPoster(allow_private=worker.settings.webhook_allow_private)
        self.store = Store(worker.settings)
        self.outbox = Outbox(
            Receivers(worker.settings, self.poster), Ledger(self._told), on_outcome=self._on_outcome
        )
        self._epoch = -1
        # Not the shared threads: these look names up, and a store that hangs would keep alarms from being sent.
        self._loads = ThreadPoolExecutor(2, "store-ledger")
        self._inserts = ThreadPoolExecutor(2, "store-notifications")

    def _on_outcome(self, receiver: str, result: Result) -> None:
        self.metrics.add(m.NOTIFICATIONS, 1, receiver=receiver, outcome=str(result))

    async def on_run(self, run: Run, topic: str) -> None:
        """Deliver every step of a run; returns when each has an outcome on record.

        Deliveries are begun before the first wait, so runs may overlap and still be told in order.
        """
        if self.worker.app.runs.current.epoch != self._epoch:
            self._epoch = self.worker.app.runs.current.epoch
            self.outbox.distrust_ledger()
        steps = []
        for record in run.records:
            try:
                steps.append(decode(record.value or b"", (CONTRACTS[topic],))[1])
            except WireError as error:
                log.error("%s offset %d is not ours (%s)", topic, record.offset, error)
        deliveries = [asyncio.ensure_future(self.outbox.deliver(s, self._receivers(s))) for s in steps]
        self._show_pending()
        rows = [row for result in await asyncio.gather(*deliveries) for row in result]
        self._show_pending()
        await self._record(rows)

    def _show_pending(self) -> None:
        for receiver, pending in self.outbox.pending().items():
            self.metrics.set(m.NOTIFICATIONS_PENDING, pending, receiver=receiver)

    def _receivers(self, step: Mapping[str, Any]) -> tuple[str, ...] | None:
        if "notify" in step:
            return None
        return self.worker.control.monitor(step["model"]).notify or ("log",)

    async def _record(self, rows: list[NotificationRow]) -> None:
        if not rows:
            return
        # The same steps may have another outcome the next time, and that is another row.
        token = hashlib.sha256(repr(rows).encode()).hexdigest()
        table = arrow_rows(
            {
                "alarm_id": r.alarm_id,
                "receiver": r.receiver,
                "revision": r.revision,
                "outcome": str(r.outcome),
                "detail": r.detail,
                "sent": r.sent_us,
            }
            for r in rows
        )
        while True:
            try:
                await asyncio.get_running_loop().run_in_executor(
                    self._inserts, self.store.insert, "notifications", table, token
                )
            except Unavailable:
                await asyncio.sleep(1.0)
            else:
                return

    async def _told(self, alarm_id: str) -> list[NotificationRow]:
        rows = await asyncio.get_running_loop().run_in_executor(
            self._loads,
            self.store.query,
            "SELECT * FROM notifications FINAL WHERE alarm_id = %(id)s",
            {"id": alarm_id},
        )
        return [
            NotificationRow(
                r["alarm_id"],
                r["receiver"],
                r["revision"],
                r["outcome"],
                r["detail"],
                int(r["sent"].replace(tzinfo=dt.UTC).timestamp() * 1e6),
            )
            for r in rows
        ]

    async def close(self) -> None:
        """Stop sending."""
        await self.outbox.close()
        await self.poster.close()
