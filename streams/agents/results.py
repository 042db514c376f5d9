"""Results go to the store: runs of every output and control topic become rows."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from seawall.errors import ContractError, SeawallError, Unavailable
from seawall.wire import decode
from streams.agents.worker import Worker
from streams.core import reports
from streams.io import metrics as m
from streams.io.clickhouse import Store, arrow_columns, arrow_concat, arrow_rows
from streams.io.kafka import Run
from streams.io.metrics import Metrics

log = logging.getLogger(__name__)
Tables = dict[str, list[pa.Table]]
#: Pause between attempts while the store is away; the partition is paused meanwhile, polling goes on.
_RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)
#: Pause between two lines of the log about the same insert.
_SAY_S = 60.0


class Sink:
    """Writes one topic's runs. `write` returns only when the rows are in the store."""

    def __init__(self, worker: Worker, topic: str, metrics: Metrics) -> None:
        self.worker = worker
        self.topic = topic
        self.metrics = metrics
        self.store = Store(worker.settings)
        self._known_layouts: set[str] = set()
        # Of its own: a store that hangs must not take the shared threads, in which names are looked up for alarms.
        self._thread = ThreadPoolExecutor(1, f"store-{topic}")

    async def write(self, run: Run) -> None:
        """Insert a run, trying again for as long as the store is away."""
        loop = asyncio.get_running_loop()
        tables = await loop.run_in_executor(self._thread, self.tables, run.records)
        span = f"{run.records[0].offset}|{run.records[-1].offset}|{self.worker.settings.log_epoch}"
        token = f"{self.topic}|{run.tp.partition}|{span}"
        attempt = 0
        began_s = say_at_s = time.monotonic()
        while True:
            try:
                await loop.run_in_executor(self._thread, self._insert, tables, token)
                self.metrics.set(m.STORE_UP, 1)
                if attempt:
                    log.info(
                        "store: %s are written again, after %.0f s", self.topic, time.monotonic() - began_s
                    )
                return
            except Unavailable as error:
                self.metrics.set(m.STORE_UP, 0)
                if time.monotonic() >= say_at_s:
                    # Whether it is away or refuses these very rows only its words can tell: they are said again.
                    log.warning(
                        "store: %s; tried for %.0f s, and again until it takes them",
                        error,
                        time.monotonic() - began_s,
                    )
                    say_at_s = time.monotonic() + _SAY_S
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1

    def _insert(self, tables: Tables, token: str) -> None:
        for name, parts in tables.items():
            if parts:
                table = arrow_concat(parts)
                started = time.monotonic()
                self.store.insert(name, table, token)
                self.metrics.observe(m.STORE_INSERT_SECONDS, time.monotonic() - started, table=name)
                self.metrics.add(m.STORE_INSERT_ROWS, table.num_rows, table=name)

    def tables(self, records: Iterable[Any]) -> Tables:
        """Make rows of a run's records."""
        make = _MAKERS[self.topic]
        # In this order they are written: whoever reads a window must find what its counts stand for.
        out: Tables = {"layouts": []}
        for record in records:
            try:
                for table, rows in make(self, record):
                    if rows.num_rows:
                        out.setdefault(table, []).append(rows)
            except SeawallError as error:
                # Only a foreign producer can cause this; our own results are of our own making.
                log.error("%s offset %d cannot be stored: %s", self.topic, record.offset, error)
        return out

    def window_tables(self, record: Any) -> Iterable[tuple[str, pa.Table]]:
        """Rows of a window report."""
        report = decode(record.value, ("window_report",))[1]
        if report["layout_id"] and report["layout_id"] not in self._known_layouts:
            yield "layouts", arrow_rows(reports.layout_rows(report))
            self._known_layouts.add(report["layout_id"])
        windows, columns = reports.window_rows(report), reports.column_rows(report)
        if windows:
            yield "windows", arrow_columns(windows, report["windows"])
        if columns:
            yield "window_columns", arrow_columns(columns, len(columns["end"]))
        if relations := reports.joint_rows(report):
            yield "window_relations", arrow_columns(relations, report["windows"])
        if report["late"]:
            yield "late_events", arrow_rows(reports.late_rows(report))


def _alarms(_: Sink, record: Any) -> Iterable[tuple[str, pa.Table]]:
    a = decode(record.value, ("alarm",))[1]
    row = {
        k: a[k] for k in ("alarm_id", "model", "version", "segment", "kind", "state", "severity", "revision")
    }
    row |= {
        "opened": a["opened_us"],
        "updated": a["updated_us"],
        "resolved": a["resolved_us"],
        "emitted": a["emitted_us"],
    }
    row |= {"summary": a["summary"], "window_start": a["window_start_us"], "window_end": a["window_end_us"]}
    row |= {"horizon_us": a["horizon_us"], "rows": a["rows"], "features": [f["name"] for f in a["features"]]}
    row |= {
        "evidence": json.dumps(a["features"]),
        "attribution": a["attribution"],
        "attribution_why": a["attribution_why"],
        "incident_id": a["incident_id"] or a["alarm_id"],
        "onset": a["onset_us"],
        "moved": a["moved"],
        "story": a["story"],
        "context": json.dumps(
            {k: a[k] for k in ("onset_why", "only_in", "near", "beside", "coincides", "members")}
        ),
    }
    yield "alarms", _typed(row, {"features": pa.list_(pa.string())})


def _rollbacks(sink: Sink, record: Any) -> Iterable[tuple[str, pa.Table]]:
    r = decode(record.value, ("rollback",))[1]
    row = {k: v for k, v in r.items() if k != "emitted_us"}
    yield (
        "rollbacks",
        arrow_rows([{**row, "emitted": r["emitted_us"], "evidence": json.dumps(r["evidence"])}]),
    )


def _registry(sink: Sink, record: Any) -> Iterable[tuple[str, pa.Table]]:
    e = decode(record.value, ("registry_event",))[1]
    row = {**e, "lineage": json.dumps(e["lineage"])}
    row |= {k: e[k] or "" for k in ("parent", "replaces", "rollback_id")}
    yield "registry_events", arrow_rows([row])
    yield from _control(sink, record)


def _control(sink: Sink, record: Any) -> Iterable[tuple[str, pa.Table]]:
    # Registry and rollbacks are logs, not tables: every event is kept, under a key of its own.
    key = (record.key or b"").decode(errors="replace")
    if sink.topic == "registry":
        key = decode(record.value, ("registry_event",))[1]["event_id"]
    elif sink.topic == "rollbacks":
        step = decode(record.value, ("rollback",))[1]
        key = f"{step['rollback_id']}/{step['seq']:06d}"
    payload = base64.b64encode(record.value or b"").decode()
    row = {"topic": sink.topic, "key": key, "payload": payload, "published": (record.timestamp or 0) * 1000}
    yield "control", arrow_rows([row])


def _dead(_: Sink, record: Any) -> Iterable[tuple[str, pa.Table]]:
    h = {k: (v or b"").decode(errors="replace") for k, v in record.headers or ()}
    if "seawall.replay" in h:
        return  # a note about a letter that is stored already
    row = {
        "topic": h.get("seawall.topic", ""),
        "partition": _whole(h, "partition", -1, 2**31 - 1),
        "offset": _whole(h, "offset", -1, 2**63 - 1),
        "reason": h.get("seawall.reason", ""),
        "log_epoch": _whole(h, "log_epoch", 0),
        "topic_id": h.get("seawall.topic_id", ""),
        "detail": h.get("seawall.detail", ""),
        "events": _whole(h, "events", 1),
        "bytes": _whole(h, "bytes", len(record.value or b"")),
        "sha256": h.get("seawall.sha256", ""),
        "seen": (record.timestamp or 0) * 1000,
    }
    yield "dead_letters", arrow_rows([row])


def _whole(headers: Mapping[str, str], name: str, otherwise: int, most: int = 2**32 - 1) -> int:
    """Read a number from a header: anybody can write to the topic, and a wrong one must not stop its reader."""
    text = headers.get(f"seawall.{name}", str(otherwise))
    if text.removeprefix("-").isdecimal() and min(otherwise, 0) <= int(text) <= most:
        return int(text)
    msg = f"header seawall.{name}: {text[:80]!r}, expected a whole number up to {most}"
    raise ContractError(msg)


def _typed(row: dict[str, Any], types: dict[str, pa.DataType]) -> pa.Table:
    table = arrow_rows([row])
    for name, kind in types.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table.column(name).cast(kind))
    return table


_MAKERS: dict[str, Callable[[Sink, Any], Iterable[tuple[str, pa.Table]]]] = {
    "windows": Sink.window_tables,
    "alarms": _alarms,
    "rollbacks": _rollbacks,
    "registry": _registry,
    "monitors": _control,
    "baselines": _control,
    "dead-letters": _dead,
}
