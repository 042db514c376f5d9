"""From the bytes of a run of records to columns: what is counted, and what is a dead letter and why.

Nothing here raises for bad input. A record, or a row of a frame, that cannot be counted becomes a `DeadLetter`;
its neighbours are untouched.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from seawall.errors import WireError
from seawall.frames import FRAME_CONTRACT, Categorical, Columns, Source, from_record
from seawall.wire import Resolver, SchemaId, decode
from streams.core.frame_views import read_frame
from streams.core.layouts import MAX_COLUMNS

SINGLE_CONTRACT: dict[Source, str] = {"predictions": "prediction", "features": "feature", "labels": "label"}
#: An event time before 1980 is a unit error (milliseconds read as microseconds), not an old event.
EARLIEST_US = 315_532_800_000_000
#: One further ahead of the broker's clock than this is a broken clock.
FURTHEST_AHEAD_US = 2 * 86_400_000_000


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a partition, as fetched."""

    offset: int
    timestamp_us: int
    """The broker's or producer's clock, not event time."""
    value: bytes
    key: bytes | None = None
    schema_id: SchemaId | None = None
    """Writer's schema when a header names it and not the value."""


@dataclass(frozen=True, slots=True)
class Records(Sequence[Record]):
    """Records of a partition, field by field: most of them are never looked at one by one."""

    offsets: npt.NDArray[np.int64]
    timestamps_us: npt.NDArray[np.int64]
    values: list[bytes]
    keys: list[bytes | None]
    schema_ids: dict[int, SchemaId] = field(default_factory=dict)
    """By place, where a header names one."""

    @classmethod
    def of(cls, records: Sequence[Record]) -> Records:
        """Lay records out field by field."""
        if isinstance(records, Records):
            return records
        return cls(
            np.array([r.offset for r in records], dtype=np.int64),
            np.array([r.timestamp_us for r in records], dtype=np.int64),
            [r.value for r in records],
            [r.key for r in records],
            {i: r.schema_id for i, r in enumerate(records) if r.schema_id is not None},
        )

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Records: ...
    def __getitem__(self, place: int | slice) -> Record | Records:
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        return Record(
            int(self.offsets[place]),
            int(self.timestamps_us[place]),
            self.values[place],
            self.keys[place],
            self.schema_ids.get(place),
        )

    def take(self, places: npt.NDArray[np.int64]) -> Records:
        """Return the records at these places, in this order."""
        at = places.tolist()
        ids = {new: self.schema_ids[old] for new, old in enumerate(at) if old in self.schema_ids}
        return Records(
            self.offsets[places],
            self.timestamps_us[places],
            [self.values[i] for i in at],
            [self.keys[i] for i in at],
            ids,
        )


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record, or some rows of one, that cannot be counted."""

    offset: int
    reason: str
    detail: str
    events: int
    value: bytes
    key: bytes | None
    is_partial: bool = False
    """Other rows of the same record were counted."""


@dataclass(slots=True)
class Decoded:
    """What one record held."""

    offset: int
    rows: int
    """Events that it claims to hold, good and bad: what the chunk rule counts."""
    columns: Columns | None = None
    single: dict[str, Any] | None = None
    dead: list[DeadLetter] = field(default_factory=list)


def decode_record(source: Source, record: Record, resolver: Resolver | None = None) -> Decoded:
    """Decode one record. Never raises for bad input."""
    single, frame = SINGLE_CONTRACT[source], FRAME_CONTRACT[source]
    try:
        content = read_frame(frame, record.value)
        name = frame
        if content is None:
            name, content = decode(record.value, (single, frame), resolver, record.schema_id)
        if not content["model"]:
            raise WireError("empty_model", "model is an empty string")
        weight = content["weight"]
        if not (math.isfinite(weight) and weight > 0):
            raise WireError("bad_weight", f"weight is {weight!r}, expected a positive number")
        if name == frame:
            return _frame(source, record, content)
        _check_single(source, content, record)
        return Decoded(record.offset, 1, single=content)
    except WireError as error:
        return Decoded(record.offset, 1, dead=[_dead(record, error.reason, error.detail, 1)])


def _dead(record: Record, reason: str, detail: str, events: int, *, is_partial: bool = False) -> DeadLetter:
    return DeadLetter(record.offset, reason, detail, events, record.value, record.key, is_partial)


def _frame(source: Source, record: Record, content: dict[str, Any]) -> Decoded:
    columns = from_record(source, content, ids=False)
    if len(columns.numeric) + len(columns.categorical) + len(columns.scores) > MAX_COLUMNS:
        raise WireError("too_many_columns", f"more than {MAX_COLUMNS} columns")
    rows = columns.rows
    latest = record.timestamp_us + FURTHEST_AHEAD_US
    good = (columns.ts >= EARLIEST_US) & (columns.ts <= latest)
    decoded = Decoded(record.offset, rows, columns)
    if not good.all():
        bad = columns.ts[~good]
        detail = f"{len(bad)} of {rows} rows, such as ts {int(bad[0])}: expected {EARLIEST_US} to {latest} microseconds"
        decoded.dead.append(_dead(record, "bad_timestamp", detail, len(bad), is_partial=bool(good.any())))
        decoded.columns = _take(columns, np.flatnonzero(good)) if good.any() else None
    return decoded


def _take(columns: Columns, keep: Any) -> Columns:
    return Columns(
        columns.source,
        columns.model,
        columns.version,
        columns.ts[keep],
        {n: v[keep] for n, v in columns.numeric.items()},
        {n: Categorical(c.codes[keep], c.dictionary) for n, c in columns.categorical.items()},
        {n: v[keep] for n, v in columns.scores.items()},
        None if columns.label is None else Categorical(columns.label.codes[keep], columns.label.dictionary),
        {n: Categorical(c.codes[keep], c.dictionary) for n, c in columns.segments.items()},
        columns.weight,
        predicted=None
        if columns.predicted is None
        else Categorical(columns.predicted.codes[keep], columns.predicted.dictionary),
    )


def _check_single(source: Source, content: dict[str, Any], record: Record) -> None:
    ts = content["ts"]
    if not EARLIEST_US <= ts <= record.timestamp_us + FURTHEST_AHEAD_US:
        latest = record.timestamp_us + FURTHEST_AHEAD_US
        raise WireError("bad_timestamp", f"ts is {ts}: expected {EARLIEST_US} to {latest} microseconds")
    for kind in ("numeric", "categorical", "scores"):
        names = [v["name"] for v in content.get(kind, ())]
        if len(names) > MAX_COLUMNS:
            raise WireError(
                "too_many_columns", f"{len(names)} {kind} columns, expected at most {MAX_COLUMNS}"
            )
        if len(set(names)) != len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise WireError("duplicate_column", f"{kind} names {twice!r} more than once")


def gather(source: Source, singles: Iterable[dict[str, Any]]) -> list[Columns]:
    """Turn single events into columns, one object per (model, version, weight, set of column names)."""
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for event in singles:
        groups[shape(source, event)].append(event)
    return [columns_of(source, events) for events in groups.values()]


def shape(source: Source, event: dict[str, Any]) -> tuple[Any, ...]:
    """Events of one shape share a `Columns` object."""
    head = (event["model"], event["version"], event["weight"], tuple(s["name"] for s in event["segments"]))
    if source == "labels":
        known = tuple(event[k] is not None for k in ("value", "label", "predicted"))
        return (*head, *known, tuple(v["name"] for v in event["scores"]))
    names = tuple(tuple(v["name"] for v in event.get(k, ())) for k in ("numeric", "categorical", "scores"))
    return (*head, *names, event.get("label") is not None)


def columns_of(source: Source, events: Sequence[dict[str, Any]]) -> Columns:
    """Columns of events of one shape."""
    first = events[0]
    ts = np.fromiter((e["ts"] for e in events), dtype=np.int64, count=len(events))
    columns = Columns(source, first["model"], first["version"], ts, weight=first["weight"])
    columns.segments = _words(events, "segments")
    if source == "labels":
        if first["value"] is not None:
            columns.numeric["label"] = np.array([e["value"] for e in events], dtype=np.float64)
        if first["predicted"] is not None:
            columns.predicted = Categorical.of([e["predicted"] for e in events])
    else:
        columns.numeric = _numbers(events, "numeric")
        columns.categorical = _words(events, "categorical")
    if source != "features":
        columns.scores = _numbers(events, "scores")
    if source != "features" and first["label"] is not None:
        columns.label = Categorical.of([e["label"] for e in events])
    return columns


def _numbers(events: Sequence[dict[str, Any]], kind: str) -> dict[str, Any]:
    names = [v["name"] for v in events[0][kind]]
    flat = [math.nan if v["value"] is None else v["value"] for e in events for v in e[kind]]
    table = np.array(flat, dtype=np.float64).reshape(len(events), len(names))
    return {name: table[:, i] for i, name in enumerate(names)}


def _words(events: Sequence[dict[str, Any]], kind: str) -> dict[str, Categorical]:
    names = [v["name"] for v in events[0][kind]]
    return {n: Categorical.of([e[kind][i]["value"] for e in events]) for i, n in enumerate(names)}
