"""A stretch of history in the store: panes' counts, layouts, baselines and registry events of one model."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from detectors.layout import Column, Layout
from seawall.baseline import Baseline
from seawall.durations import format_duration
from seawall.errors import ConfigError
from seawall.frames import Source
from seawall.monitor import DAY_US, MonitorSpec
from seawall.settings import Settings
from streams.core.stored_history import StoredPane
from streams.io.clickhouse import Store, utc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHERE = """
model = {model:String} AND ({version:String} = '' OR version = {version:String})
    AND start >= {since:DateTime64(6)} AND start < {until:DateTime64(6)}
"""
_PANE = f"""
SELECT min(horizon_us) AS pane_us, min(start) AS first, max(end) AS last, count() AS found
FROM windows WHERE {_WHERE} AND horizon_us = (SELECT min(horizon_us) FROM windows WHERE {_WHERE})
"""  # noqa: S608 - no value is put in
_SEGMENTS = (
    f"SELECT DISTINCT splitByChar('=', segment)[1] AS name FROM windows WHERE {_WHERE} AND segment != ''"  # noqa: S608
)
_PANES = f"""
SELECT source, version, segment, layout_id, baseline_id, start, rows, weight, counts FROM windows FINAL
WHERE {_WHERE} AND horizon_us = {{pane:Int64}} ORDER BY start, source, version, segment, layout_id
"""  # noqa: S608
_LAYOUTS = f"""
SELECT layout_id, name, role, kind, edges, categories FROM layouts FINAL
WHERE layout_id IN (SELECT layout_id FROM windows WHERE {_WHERE}) ORDER BY layout_id, column_index
"""  # noqa: S608
_REGISTRY = "SELECT * FROM registry_events FINAL WHERE model = {model:String} ORDER BY ts, event_id"
_BASELINES = """
SELECT payload FROM control FINAL WHERE topic = 'baselines' AND startsWith(key, concat({model:String}, '/'))
"""


@dataclass(frozen=True)
class StoredRange:
    """What the store has of one model in a stretch of time."""

    since_us: int
    until_us: int
    pane_us: int
    """Width of the stored panes."""
    layouts: dict[str, Layout]
    baselines: dict[str, Baseline]
    """By version, as last published."""
    registry: list[dict[str, Any]]
    """``registry_event`` records, by time."""


class StoredHistory:
    """Reads one model's history of predictions, labels and feature events. Blocking.

    Parameters
    ----------
    version
        Only of this one; empty for all.

    Raises
    ------
    ConfigError
        Nothing is stored, or not in panes and segments that the monitor can be run on.
    Unavailable
        The store does not answer.
    """

    sources: tuple[Source, ...] = ("predictions", "labels", "features")

    def __init__(
        self,
        settings: Settings,
        spec: MonitorSpec,
        since_us: int | None,
        until_us: int | None,
        version: str = "",
    ) -> None:
        self._store = Store(settings)
        self._spec = spec
        self._parameters = {
            "model": spec.model,
            "version": version,
            "since": utc(since_us or 0),
            "until": utc(until_us or 4_102_444_800_000_000),
        }
        (found,) = self._store.query(_PANE, self._parameters)
        if not found["found"]:
            of = f"{spec.model} {version}".strip()
            msg = f"--from-store: the store has no windows of {of} there; expected a model and a range that it has"
            raise ConfigError(msg)
        self._check(int(found["pane_us"]))
        layouts: dict[str, list[Column]] = {}
        for row in self._store.query(_LAYOUTS, self._parameters):
            column = Column(
                row["name"], row["role"], row["kind"], tuple(row["edges"]), tuple(row["categories"])
            )
            layouts.setdefault(row["layout_id"], []).append(column)
        payloads = self._store.query(_BASELINES, {"model": spec.model})
        known = [Baseline.from_bytes(base64.b64decode(r["payload"])) for r in payloads if r["payload"]]
        self.range = StoredRange(
            _us(found["first"]),
            _us(found["last"]),
            int(found["pane_us"]),
            {layout_id: Layout(tuple(columns)) for layout_id, columns in layouts.items()},
            {b.version: b for b in known if b.model == spec.model},
            [_event(row) for row in self._store.query(_REGISTRY, {"model": spec.model})],
        )

    def _check(self, stored_us: int) -> None:
        spec = self._spec
        if spec.pane_us % stored_us:
            msg = (
                f"windows.pane: {format_duration(spec.pane_us)}: expected a multiple of the stored panes, "
                f"{format_duration(stored_us)}"
            )
            raise ConfigError(msg)
        stored = {row["name"] for row in self._store.query(_SEGMENTS, self._parameters)}
        missing = [name for name in spec.segments if name not in stored]
        if missing:
            columns = ", ".join(sorted(stored)) or "there is none"
            msg = f"segments: {missing[0]!r}: expected a column by which traffic was stored: {columns}"
            raise ConfigError(msg)

    def days(self) -> Iterator[tuple[int, list[StoredPane]]]:
        """Read day by day; yields the time up to which it was read, and the panes, by their start."""
        step_us = max(DAY_US // self._spec.pane_us, 1) * self._spec.pane_us
        at_us = self.range.since_us // self._spec.pane_us * self._spec.pane_us
        while at_us < self.range.until_us:
            until_us = min(at_us + step_us, self.range.until_us)
            asked = {**self._parameters, "pane": self.range.pane_us}
            asked |= {"since": utc(max(at_us, self.range.since_us)), "until": utc(until_us)}
            yield until_us, [p for row in self._store.query(_PANES, asked) if self._wanted(p := _pane(row))]
            at_us += step_us

    def _wanted(self, pane: StoredPane) -> bool:
        return not pane.segment or pane.segment.split("=", 1)[0] in self._spec.segments


def _pane(row: dict[str, Any]) -> StoredPane:
    return StoredPane(
        row["version"],
        row["segment"],
        row["layout_id"],
        row["baseline_id"],
        _us(row["start"]),
        int(row["rows"]),
        float(row["weight"]),
        np.asarray(row["counts"], dtype=np.int64),
        row["source"],
    )


def _event(row: dict[str, Any]) -> dict[str, Any]:
    """Undo what the sink made of a registry event."""
    return {**row, "ts": _us(row["ts"]), "rollback_id": row["rollback_id"] or None, "replaces": row["replaces"] or None,
            "parent": row["parent"] or None, "lineage": {}}  # fmt: skip


def _us(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)
