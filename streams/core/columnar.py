"""A run of records to columns, many rows at a time, with the outcome of decoding them one by one.

Single events in Avro are read field by field for the whole run (`streams.core.shapes`): each row is walked
within its own bytes and must end exactly at its end, so that damage in one cannot reach another. Whatever the
walk does not recognise (poison, frames, JSON, a rare shape) goes to `decode_record`, which is the only judge of
what is wrong with a record. The two ways may differ in speed, never in result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from seawall.contracts import Contract, contract, contracts_by_fingerprint
from seawall.errors import WireError
from seawall.frames import FRAME_CONTRACT, Categorical, Columns, Source
from seawall.wire import HEADER_BYTES, MARKER, Resolver, schema_of
from streams.core.cursor import Buffer, Cursor, Ints
from streams.core.decode import (
    EARLIEST_US,
    FURTHEST_AHEAD_US,
    SINGLE_CONTRACT,
    DeadLetter,
    Record,
    Records,
    columns_of,
    decode_record,
    shape,
)
from streams.core.shapes import Plan, plan, walk
from streams.core.stitch import Group, stitch, take

#: A walk of fewer rows costs more than reading them one by one.
FEWEST_ROWS = 12
#: Give up on walks after so many more of them that found too little than that found enough.
_PATIENCE = 4
_U64 = np.uint64


@dataclass(slots=True)
class DecodedRun:
    """What a run of records held. Records are known by their place in the run."""

    rows: Ints
    """Events that each record claims to hold, good and bad: what the chunk rule counts."""
    frames: list[tuple[int, Columns]] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    """Single events of one shape each."""
    dead: list[tuple[int, DeadLetter]] = field(default_factory=list)
    read_singly: int = 0
    """How many records `decode_record` was asked about."""

    def part(self, first: int, after: int) -> list[tuple[Ints, Columns]]:
        """Columns of the records `first` up to `after`, with the record of each row: frames, then singles.

        They are what `gather` makes of these records alone.
        """
        out = [(np.full(c.rows, i), c) for i, c in self.frames if first <= i < after]
        parts = [g.part(first, after) for g in self.groups]
        return out + sorted((p for p in parts if len(p[0])), key=lambda p: int(p[0][0]))


def decode_run(source: Source, records: Sequence[Record], resolver: Resolver | None = None) -> DecodedRun:
    """Decode records. Never raises for bad input."""
    return _Run(source, Records.of(records), resolver).decoded()


class _Run:
    def __init__(self, source: Source, records: Records, resolver: Resolver | None) -> None:
        self.source: Source = source
        self.records = records
        self.resolver = resolver
        self.out = DecodedRun(np.ones(len(records), dtype=np.int64))
        self.singles: list[tuple[int, dict[str, Any]]] = []
        self.groups: list[Group] = []

    def decoded(self) -> DecodedRun:
        slow = np.ones(len(self.records), dtype=bool)
        frame = MARKER + contract(FRAME_CONTRACT[self.source]).fingerprint
        if len(self.records) >= FEWEST_ROWS and not all(v.startswith(frame) for v in self.records.values):
            self.buffer = Buffer(self.records.values)
            self.latest = self.records.timestamps_us + FURTHEST_AHEAD_US
            for rows, skip, of in _by_schema(self.source, self.records, self.buffer, self.resolver):
                slow[rows] = False
                left = self._rounds(of, rows, skip)
                slow[left] = True
        for i in np.flatnonzero(slow).tolist():
            self._one(i)
        self.out.frames.sort(key=lambda f: f[0])
        self.out.dead.sort(key=lambda d: d[0])
        self.out.groups = stitch([*self.groups, *self._gather()])
        return self.out

    def _one(self, i: int) -> dict[str, Any] | None:
        """Decode one record by itself; returns a single event, which is the caller's to keep."""
        self.out.read_singly += 1
        decoded = decode_record(self.source, self.records[i], self.resolver)
        self.out.rows[i] = decoded.rows
        self.out.dead += [(i, letter) for letter in decoded.dead]
        if decoded.single is not None:
            self.singles.append((i, decoded.single))
        elif decoded.columns is not None and decoded.columns.rows:
            self.out.frames.append((i, decoded.columns))
        return decoded.single

    def _rounds(self, of: Plan, rows: Ints, skip: int) -> Ints:
        """Walk rows of one schema, shape by shape; returns those that are to be read one by one."""
        doubtful: list[Ints] = []
        patience = _PATIENCE
        while len(rows) >= FEWEST_ROWS and patience:
            event = self._one(int(rows[0]))
            if event is None:
                rows = rows[1:]
                continue
            self.singles.pop()
            cursor = walk(of, event, self.buffer, self.buffer.starts[rows] + skip, self.buffer.ends[rows])
            found = rows[cursor.rows]
            patience += 1 if len(found) >= FEWEST_ROWS else -1
            if not len(found) or found[0] != rows[0]:
                # The leader itself is written in a way that the walk does not know.
                self.singles.append((int(rows[0]), event))
                rows = rows[1:]
                continue
            doubtful.append(self._accept(of, event, found, cursor))
            rest = np.ones(len(rows), dtype=bool)
            rest[cursor.rows] = False
            rows = rows[rest]
        left: Ints = np.concatenate([*doubtful, rows])
        return left

    def _accept(self, of: Plan, event: dict[str, Any], found: Ints, cursor: Cursor) -> Ints:
        """Check what a walk has read and turn it into groups; returns the rows in doubt."""
        taken: dict[Any, Any] = {**of.defaults, **cursor.taken}
        ts, weight = taken["ts"], np.broadcast_to(np.asarray(taken["weight"], dtype=np.float64), len(found))
        good = (ts >= EARLIEST_US) & (ts <= self.latest[found]) & np.isfinite(weight) & (weight > 0)
        for name, column in cursor.taken.items():
            if column.ndim == 2:
                taken[name], bad = _words(
                    self.buffer, column, unused=isinstance(name, tuple) and name[0] == "text"
                )
                good &= ~bad
        model, version = taken["model"], taken["version"]
        if isinstance(version, str):
            version = Categorical(np.zeros(len(found), dtype=np.int32), [version])
        if "" in model.dictionary:
            good &= model.codes != model.dictionary.index("")
        whole = _columns(self.source, event, taken)
        for rows in _split(np.flatnonzero(good), (model.codes, version.codes, weight)):
            columns = take(whole, rows)
            columns.model = model.dictionary[model.codes[rows[0]]]
            columns.version = version.dictionary[version.codes[rows[0]]]
            columns.weight = float(weight[rows[0]])
            head = {"model": columns.model, "version": columns.version, "weight": columns.weight}
            self.groups.append(Group(shape(self.source, {**event, **head}), found[rows], columns))
        doubtful: Ints = found[~good]
        return doubtful

    def _gather(self) -> list[Group]:
        """Single events that were read one by one, as groups."""
        by_shape: dict[Any, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        for i, event in sorted(self.singles, key=lambda s: s[0]):
            by_shape[shape(self.source, event)].append((i, event))
        return [
            Group(
                key, np.array([i for i, _ in found]), columns_of(self.source, [event for _, event in found])
            )
            for key, found in by_shape.items()
        ]


def _by_schema(
    source: Source, records: Records, buffer: Buffer, resolver: Resolver | None
) -> Iterator[tuple[Ints, int, Plan]]:
    """Rows whose writer's schema can be planned for, with the length of what precedes the datum."""
    reader = contract(SINGLE_CONTRACT[source])
    lengths = buffer.ends - buffer.starts
    framed = (buffer.words[buffer.starts] & _U64(0xFFFF)) == _U64(int.from_bytes(MARKER, "little"))
    rows = np.flatnonzero(framed & (lengths >= HEADER_BYTES))
    marks, place = np.unique(buffer.words[buffer.starts[rows] + len(MARKER)], return_inverse=True)
    for i, mark in enumerate(marks.tolist()):
        writer = contracts_by_fingerprint().get(mark.to_bytes(8, "little"))
        if writer is not None and writer.name == reader.name:
            found = plan_for(writer.schema, reader.schema)
            if found is not None:
                yield rows[place == i], HEADER_BYTES, found
    if resolver is not None:
        yield from _registered(records, buffer, resolver, reader)


def _registered(
    records: Records, buffer: Buffer, resolver: Resolver, reader: Contract
) -> Iterator[tuple[Ints, int, Plan]]:
    """Rows whose writer's schema a registry knows."""
    by_schema: dict[tuple[int | str, int], list[int]] = defaultdict(list)
    for i in np.flatnonzero(buffer.bytes[buffer.starts] != MARKER[0]).tolist():
        found = schema_of(records.values[i], records.schema_ids.get(i))
        if found is not None:
            by_schema[found].append(i)
    for (schema_id, skip), rows in by_schema.items():
        try:
            name, writer = resolver(schema_id)
        except WireError:
            continue
        found_plan = plan_for(writer, reader.schema) if name == reader.name else None
        if found_plan is not None:
            yield np.array(rows), skip, found_plan


_plans: dict[tuple[int, int], tuple[Any, Any, Plan | None]] = {}


def plan_for(writer: Any, reader: Any) -> Plan | None:
    """`plan`, remembered for as long as the two schema objects live."""
    key = (id(writer), id(reader))
    if key not in _plans:
        if len(_plans) > 1000:
            _plans.clear()
        _plans[key] = (writer, reader, plan(writer, reader))
    return _plans[key][2]


def _words(buffer: Buffer, span: Ints, *, unused: bool) -> tuple[Any, npt.NDArray[np.bool_]]:
    """Encode texts, and tell which of them are not UTF-8. Of unused ones only the latter."""
    present = span[1] >= 0
    some = span if present.all() else span[:, present]
    bad = np.zeros(len(present), dtype=bool)
    if unused:
        bad[present] = buffer.not_utf8(some)
        return None, bad
    codes = np.full(len(present), -1, dtype=np.int32)
    codes[present], dictionary = buffer.intern(some)
    damaged = [code for code, text in enumerate(dictionary) if text is None]
    if damaged:
        bad = np.isin(codes, damaged)
    return Categorical(codes, [text or "" for text in dictionary]), bad


def _columns(source: Source, event: Mapping[str, Any], taken: Mapping[Any, Any]) -> Columns:
    """Columns of all rows of a walk; model, version and weight are yet to come."""

    def named(field: str) -> dict[str, Any]:
        return {pair["name"]: taken[field, i] for i, pair in enumerate(event.get(field, ()))}

    columns = Columns(source, "", "", taken["ts"], segments=named("segments"))
    if source == "labels":
        columns.numeric = {} if event["value"] is None else {"label": taken["value"]}
        columns.predicted = None if event["predicted"] is None else taken["predicted"]
    else:
        columns.numeric = named("numeric")
        columns.categorical = named("categorical")
    if source != "features":
        columns.scores = named("scores")
    if source != "features" and event["label"] is not None:
        columns.label = taken["label"]
    return columns


def _split(rows: Ints, by: Sequence[npt.NDArray[Any]]) -> Iterator[Ints]:
    """Split rows into those that are equal in every array of `by`."""
    place = np.zeros(len(rows), dtype=np.int64)
    for values in by:
        of_rows = values[rows]
        if len(rows) and (of_rows != of_rows[0]).any():
            distinct, codes = np.unique(of_rows, return_inverse=True)
            place = np.unique(place * len(distinct) + codes, return_inverse=True)[1]
    order = np.argsort(place, kind="stable")
    return (part for part in np.split(rows[order], np.flatnonzero(np.diff(place[order])) + 1) if len(part))
