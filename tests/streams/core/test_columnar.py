"""Decoding a run at once has the outcome of decoding it one by one, to the bit."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import fastavro
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.contracts import contract
from seawall.errors import UnknownSchema
from seawall.frames import Categorical, Columns, Source
from seawall.wire import HEADER_BYTES, encode
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.columnar import DecodedRun, decode_run
from streams.core.decode import SINGLE_CONTRACT, DeadLetter, Record, Records, decode_record, gather
from streams.core.layouts import Control, LayoutBook
from tests.streams.core.builders import NOW, T0, frame, records, single

SOURCES: tuple[Source, ...] = ("predictions", "features", "labels")


def one_by_one(source: Source, run: Sequence[Record], resolver: Any = None) -> tuple[Any, Any, Any]:
    decoded = [decode_record(source, r, resolver) for r in run]
    columns = [d.columns for d in decoded if d.columns is not None and d.columns.rows]
    columns += gather(source, [d.single for d in decoded if d.single is not None])
    return (
        [bits(c) for c in columns],
        [letter for d in decoded for letter in d.dead],
        [d.rows for d in decoded],
    )


def at_once(found: DecodedRun, first: int, after: int) -> tuple[Any, list[DeadLetter], list[int]]:
    return (
        [bits(c) for _, c in found.part(first, after)],
        [letter for i, letter in found.dead if first <= i < after],
        found.rows[first:after].tolist(),
    )


def bits(value: Any) -> Any:
    """Everything of a value, comparable: numbers by their bits, mappings with their order."""
    if isinstance(value, Columns):
        return {k: bits(v) for k, v in asdict(value).items()}
    if isinstance(value, Categorical):
        return bits(value.codes), value.dictionary
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tobytes()
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, dict):
        return [(k, bits(v)) for k, v in value.items()]
    return value


names = st.sampled_from(["x", "delay", "größe", "", "a-rather-long-name-of-a-column"])
texts = st.one_of(
    st.sampled_from(["JFK", "EWR", "LGA", "", "\0", "a\0"]),
    st.text(max_size=12),
    st.text(alphabet="aé漢🛬", min_size=7, max_size=90),
)
numbers = st.one_of(
    st.none(), st.floats(), st.sampled_from([-0.0, 1e308, 5e-324, float("inf"), float("nan")])
)
# A quiet NaN with a payload, and a signalling one: bits that arithmetic would change.
payloads = st.sampled_from([0x7FF8000000000001, 0xFFF4000000000000]).map(
    lambda b: struct.unpack("<d", struct.pack("<Q", b))[0]
)
times = st.sampled_from([T0 + i for i in range(30)] + [0, -1, 2**62, -(2**63), NOW + 10**13])
weights = st.sampled_from([1.0] * 12 + [2.0, 0.0, -1.0, float("nan"), float("inf"), 5e-324])


def values(of: st.SearchStrategy[Any], columns: list[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.tuples(*(of for _ in columns)).map(
        lambda found: [{"name": n, "value": v} for n, v in zip(columns, found, strict=True)]
    )


@st.composite
def events(draw: st.DrawFn, source: Source) -> list[dict[str, Any]]:
    """Events of a few shapes, mostly of one."""
    columns = st.lists(names, max_size=3, unique_by=draw(st.sampled_from([lambda n: n] * 5 + [None])))
    shapes = draw(
        st.lists(
            st.tuples(columns, columns, columns, columns, st.booleans(), st.booleans()),
            min_size=1,
            max_size=2,
        )
    )
    models = st.sampled_from(["m"] * 8 + draw(st.lists(texts, min_size=1, max_size=3)))
    out = []
    for _ in range(draw(st.integers(10, 36))):
        numeric, categorical, scores, segments, labelled, predicted = draw(
            st.sampled_from([*shapes[:1] * 4, *shapes])
        )
        event: dict[str, Any] = {
            "event_id": draw(texts),
            "model": draw(models),
            "version": draw(st.sampled_from(["v1", "v2", ""])),
            "ts": draw(times),
            "entity_id": draw(st.none() | texts),
            "numeric": draw(values(numbers | payloads, numeric)),
            "categorical": draw(values(st.none() | texts, categorical)),
            "scores": draw(values(numbers, scores)),
            "segments": draw(values(st.none() | texts, segments)),
            "label": draw(texts) if labelled else None,
            "value": draw(numbers) if source == "labels" else None,
            "predicted": draw(texts) if predicted else None,
            "weight": draw(weights),
        }
        out.append(event)
    return out


@st.composite
def damaged(draw: st.DrawFn, payload: bytes, neighbour: bytes) -> bytes:
    """A datum as it is, mostly; else cut short, made longer, with a bit flipped, or with a neighbour's start."""
    how = draw(st.sampled_from(["whole"] * 20 + ["cut", "longer", "bit", "spliced", "alien"]))
    at = draw(st.integers(0, len(payload) - 1))
    if how == "cut":
        return payload[:at]
    if how == "longer":
        return payload + draw(st.sampled_from([b"\0", b"!", neighbour, payload[HEADER_BYTES:]]))
    if how == "bit":
        return payload[:at] + bytes([payload[at] ^ (1 << draw(st.integers(0, 7)))]) + payload[at + 1 :]
    if how == "spliced":
        return payload[:at] + neighbour[HEADER_BYTES:]
    return draw(st.binary(max_size=40)) if how == "alien" else payload


@st.composite
def runs(draw: st.DrawFn, source: Source) -> list[Record]:
    payloads = [encode(SINGLE_CONTRACT[source], e) for e in draw(events(source))]
    out = [draw(damaged(p, payloads[i - 1])) for i, p in enumerate(payloads)]
    return records(out, draw(st.integers(0, 100)))


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_run_is_what_its_records_are(source: Source, data: st.DataObject) -> None:
    run = data.draw(runs(source))
    first = data.draw(st.integers(0, len(run)))
    after = data.draw(st.integers(first, len(run)))
    found = decode_run(source, run)
    assert at_once(found, 0, len(run)) == one_by_one(source, run)
    assert at_once(found, first, after) == one_by_one(source, run[first:after])


@pytest.mark.parametrize("at", range(len(single(T0, 1.0))))
def test_no_damaged_byte_reaches_a_neighbour(at: int) -> None:
    good = [single(T0 + i, float(i), event_id=f"event-{i}") for i in range(30)]
    damaged = single(T0, 1.0)
    run = records(
        [*good[:15], damaged[:at], damaged[:at] + bytes([damaged[at] ^ 0xFF]) + damaged[at + 1 :], *good[15:]]
    )
    assert at_once(decode_run("predictions", run), 0, len(run)) == one_by_one("predictions", run)


def test_json_frames_and_avro_may_lie_side_by_side() -> None:
    event = {"event_id": "e", "model": "m", "version": "v1", "ts": T0}
    values = [
        *(single(T0 + i, float(i)) for i in range(20)),
        frame([T0, T0 + 1], [1.0, 2.0], ["LGA", "JFK"]),
        json.dumps(
            {
                **event,
                "numeric": [{"name": "x", "value": 7}],
                "categorical": [{"name": "origin", "value": "EWR"}],
                "scores": [{"name": "score", "value": 0.5}],
            }
        ).encode(),
        frame([5], [1.0]),
        *(single(T0 + i, None) for i in range(20)),
    ]
    found = decode_run("predictions", records(values))
    assert at_once(found, 0, len(values)) == one_by_one("predictions", records(values))
    assert [c.rows for _, c in found.part(0, len(values))] == [2, 41]


def test_a_column_named_twice_is_dead_in_every_row() -> None:
    twice = [{"name": "x", "value": 1.0}, {"name": "x", "value": 2.0}]
    run = records(
        [
            encode("prediction", {"event_id": "e", "model": "m", "version": "1", "ts": T0, "numeric": twice})
            for _ in range(30)
        ]
    )
    found = decode_run("predictions", run)
    assert [letter.reason for _, letter in found.dead] == ["duplicate_column"] * 30
    assert at_once(found, 0, 30) == one_by_one("predictions", run)


@pytest.mark.parametrize("models", [1, 3, 40, 200])
def test_many_models_and_shapes_in_one_run_are_kept_apart(models: int) -> None:
    def event(i: int) -> bytes:
        return encode(
            "prediction",
            {
                "event_id": str(i),
                "model": f"m{i % models}",
                "version": "v1",
                "ts": T0 + i,
                "numeric": [{"name": f"x{i % models % 7}", "value": float(i)}],
            },
        )

    run = records([event(i) for i in range(400)])
    assert at_once(decode_run("predictions", run), 0, 400) == one_by_one("predictions", run)


def test_runs_of_one_shape_are_read_without_looking_at_single_records() -> None:
    """Guards the speed: the fast way is taken, for every row, also with nulls and several models."""
    run = records(
        [single(T0 + i, None if i % 3 else 1.0, model=f"m{i % 2}", event_id=f"é{i}") for i in range(500)]
    )
    poisoned = [Record(r.offset, r.timestamp_us, b"" if i == 99 else r.value) for i, r in enumerate(run)]
    assert decode_run("predictions", run).read_singly == 1
    assert decode_run("predictions", poisoned).read_singly == 2


OLDER = {f["name"]: f for f in contract("prediction").schema["fields"]}


def writer(*fields: Any) -> Any:
    return fastavro.parse_schema({"type": "record", "name": "io.seawall.Prediction", "fields": list(fields)})


def without(*missing: str) -> list[Any]:
    return [f for name, f in OLDER.items() if name not in missing]


WRITERS: dict[str, Any] = {
    "the same": contract("prediction").schema,
    "older, without weight and label": writer(*without("weight", "label")),
    "older, without arrays": writer(*without("categorical", "segments", "scores")),
    "newer, with an optional text": writer(*without(), {"name": "region", "type": ["null", "string"], "default": None}),
    "newer, with a number in the middle": writer(
        *list(OLDER.values())[:3], {"name": "latency", "type": "double", "default": 0.0}, *list(OLDER.values())[3:]
    ),
    "newer, with an array": writer(
        *without(), {"name": "tags", "type": {"type": "array", "items": "string"}, "default": []}
    ),
    "null last": writer(
        *without("entity_id"), {"name": "entity_id", "type": ["string", "null"], "default": ""}
    ),
    "integer time": writer(*without("ts"), {"name": "ts", "type": "int"}),
    "plain label": writer(*without("label"), {"name": "label", "type": "string"}),
    "no model": writer(*without("model")),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_older_and_newer_writers_are_read_the_same_either_way(kind: str) -> None:
    import io

    schema = WRITERS[kind]

    def datum(i: int) -> bytes:
        out = io.BytesIO()
        event = {
            "event_id": f"e{i}", "model": "m", "version": "v1", "ts": 2_000_000_000 if kind == "integer time" else T0 + i,
            "entity_id": "p" if i % 2 else None, "numeric": [{"name": "x", "value": float(i)}], "label": "late",
            "region": "north" if i % 3 else None, "latency": 1.0, "tags": ["a"],
        }  # fmt: skip
        if kind == "null last":
            event["entity_id"] = event["entity_id"] or ""
        fastavro.schemaless_writer(out, schema, event)
        return out.getvalue()

    def resolver(schema_id: int | str) -> tuple[str, Any]:
        if schema_id != 7:
            raise UnknownSchema("unknown_schema", f"schema id {schema_id}")
        return "prediction", schema

    run = records(
        [b"\0\0\0\0\7" + datum(i) for i in range(30)] + [b"\0\0\0\0\x08" + datum(1), b"\0\0\0", b"\0"]
    )
    run += [Record(100 + i, NOW, datum(i), schema_id=7) for i in range(30)]
    found = decode_run("predictions", run, resolver)
    expected = one_by_one("predictions", run, resolver)
    assert at_once(found, 0, len(run)) == expected
    if kind not in ("no model", "integer time"):
        assert sum(c.rows for _, c in found.part(0, len(run))) == 60
    if kind not in ("no model", "integer time", "newer, with an array"):
        assert found.read_singly < 10


@given(st.lists(st.tuples(st.integers(0, 50), st.binary(max_size=3), st.sampled_from([None, 7, "guid"]))))
def test_records_laid_out_field_by_field_are_the_same_records(
    drawn: list[tuple[int, bytes, int | str | None]],
) -> None:
    run = [Record(offset, NOW + offset, value, value or None, sid) for offset, value, sid in drawn]
    laid_out = Records.of(run)
    assert list(laid_out) == run
    assert list(laid_out[1:]) == run[1:]
    assert list(laid_out.take(np.arange(len(run))[::-1])) == run[::-1]


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(0, 10))
def test_a_record_that_comes_again_is_taken_once(offsets: list[int], start: int) -> None:
    chunker = PartitionChunker("predictions", 0, "predictions", LayoutBook(Control()), ChunkRule())
    chunker.start_at(start)
    list(chunker.feed([Record(offset, NOW, b"{") for offset in offsets]))
    taken: list[int] = []
    for offset in offsets:
        if offset >= (taken[-1] + 1 if taken else start):
            taken.append(offset)
    assert [letter.offset for letter in chunker.dead] == taken
    assert chunker.records_seen == len(taken)
