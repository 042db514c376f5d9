"""What to expect where in the Avro datums of single events, so that a whole batch is read field by field.

A `Plan` is made once for a writer's schema. Events of one *shape* name the same columns in the same order; a
`walk` reads all of a batch that have the shape of one of them. Names are compared, not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from streams.core.cursor import Buffer, Cursor, Ints

Kind = Literal["text", "bytes", "long", "double", "float", "boolean", "numbers", "words"]
#: Fields that every contract of single events may have, and what they must be.
KINDS: Mapping[str, tuple[Kind, ...]] = {
    "event_id": ("text",),
    "model": ("text",),
    "version": ("text",),
    "ts": ("long",),
    "entity_id": ("text",),
    "numeric": ("numbers",),
    "categorical": ("words",),
    "scores": ("numbers",),
    "segments": ("words",),
    "label": ("text",),
    "value": ("double",),
    "predicted": ("text",),
    "weight": ("double",),
}
#: Fields of which a shape says whether they are there.
_OPTIONAL = ("label", "value", "predicted")
_PRIMITIVES: Mapping[str, Kind] = {
    "string": "text", "bytes": "bytes", "long": "long", "int": "long",
    "double": "double", "float": "float", "boolean": "boolean",
}  # fmt: skip
_PAIRS: Mapping[tuple[str, str], Kind] = {
    ("io.seawall.NumericValue", "double"): "numbers",
    ("io.seawall.CategoricalValue", "text"): "words",
}


@dataclass(frozen=True, slots=True)
class _Type:
    """A type that a walk can read; `some` and `none` are the bytes of a union's branches, empty without one."""

    kind: Kind
    some: bytes = b""
    none: bytes = b""
    value: _Type | None = None
    """Of an array of names and values: the values' type."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Fields of a writer's schema in order, each with whether the reader knows it."""

    fields: tuple[tuple[str, _Type, bool], ...]
    defaults: Mapping[str, Any]
    """What the reader puts where the writer has no field."""


def plan(writer: Any, reader: Any) -> Plan | None:
    """Plan the walk for a parsed writer's schema; None when only a general decoder can read it."""
    try:
        return _plan(writer, reader)
    except _Unplannable:
        return None


class _Unplannable(Exception):  # noqa: N818 - never leaves this module
    pass


def _plan(writer: Any, reader: Any) -> Plan:
    named: dict[str, Any] = {}
    wanted = {f["name"]: _type(f["type"], named) for f in reader["fields"]}
    named = {}
    if writer.get("type") != "record" or writer["name"] != reader["name"]:
        raise _Unplannable
    fields = []
    for field in writer["fields"]:
        name, found = field["name"], _type(field["type"], named)
        known = name in wanted
        if known and (found.kind not in KINDS.get(name, ()) or found.kind != wanted[name].kind):
            raise _Unplannable
        if known and found.none and not wanted[name].none:
            raise _Unplannable  # a null where the reader has no place for one
        if not known and found.kind not in _SKIPPED:
            raise _Unplannable
        fields.append((name, found, known))
    written = {name for name, _, _ in fields}
    missing = [f for f in reader["fields"] if f["name"] not in written]
    if any(
        "default" not in f or f.get("aliases") or (isinstance(f["default"], list) and f["default"])
        for f in missing
    ):
        raise _Unplannable
    return Plan(tuple(fields), {f["name"]: f["default"] for f in missing})


def _type(schema: Any, named: dict[str, Any]) -> _Type:
    if isinstance(schema, list):
        return _nullable(schema, named)
    if isinstance(schema, str):
        if schema in _PRIMITIVES:
            return _Type(_PRIMITIVES[schema])
        schema = named.get(schema)
    if not isinstance(schema, dict) or "logicalType" in schema:
        raise _Unplannable
    if schema["type"] == "array":
        return _pairs(schema["items"], named)
    if isinstance(schema["type"], str) and schema["type"] in _PRIMITIVES:
        return _Type(_PRIMITIVES[schema["type"]])
    raise _Unplannable


def _nullable(schema: list[Any], named: dict[str, Any]) -> _Type:
    if len(schema) != 2 or schema.count("null") != 1:
        raise _Unplannable
    null = schema.index("null")
    inner = _type(schema[1 - null], named)
    if inner.none or inner.value:
        raise _Unplannable
    branches = (b"\x00", b"\x02")
    return _Type(inner.kind, branches[1 - null], branches[null])


def _pairs(items: Any, named: dict[str, Any]) -> _Type:
    """Type of an array of records of a name and a value."""
    if isinstance(items, str):
        items = named.get(items)
    if not isinstance(items, dict) or items.get("type") != "record" or items.get("aliases"):
        raise _Unplannable
    named[items["name"]] = items
    if [f["name"] for f in items["fields"]] != ["name", "value"]:
        raise _Unplannable
    name, value = (_type(f["type"], named) for f in items["fields"])
    if name != _Type("text") or (items["name"], value.kind) not in _PAIRS:
        raise _Unplannable
    return _Type(_PAIRS[items["name"], value.kind], value=value)


def walk(plan: Plan, event: Mapping[str, Any], buffer: Buffer, start: Ints, end: Ints) -> Cursor:
    """Read every row that has the shape of `event`; the others are dead in the cursor that is returned.

    Taken are ``model``, ``version``, ``ts``, ``weight``, ``value``, ``label`` and ``predicted`` as far as they were
    written, and ``(field, i)`` for the i-th column of an array; texts as spans. ``("text", i)`` are further spans
    that must be UTF-8.
    """
    cursor = Cursor(buffer, start, end)
    pending = b""
    for number, (field, found, known) in enumerate(plan.fields):
        if found.value is not None:
            pending = _walk_array(cursor, pending, field, found.value, event)
        elif not known:
            _skip(cursor, pending, found)
            pending = b""
        elif field in _OPTIONAL and found.none:
            # Whether there is one belongs to the shape.
            absent = event[field] is None
            pending += found.none if absent else found.some
            if not absent:
                _take(cursor, pending, field, found.kind)
                pending = b""
        elif found.none:
            span = cursor.nullable_span(pending, found.some, found.none)
            pending = b""
            cursor.taken["text", number] = span
        else:
            name = field if field in ("model", "version", "ts", "weight", *_OPTIONAL) else ("text", number)
            _take(cursor, pending, name, found.kind)
            pending = b""
        if not cursor.settle():
            return cursor
    cursor.expect(pending)
    cursor.alive &= cursor.pos == cursor.end
    cursor.settle(fully=True)
    return cursor


def _take(cursor: Cursor, before: bytes, name: Any, kind: Kind) -> None:
    cursor.expect(before)
    read: Callable[[], Any] = {"text": cursor.span, "long": cursor.long, "double": cursor.double}[kind]
    cursor.taken[name] = read()


def _walk_array(cursor: Cursor, before: bytes, field: str, value: _Type, event: Mapping[str, Any]) -> bytes:
    """Read the values of an array whose names are known; returns the bytes that must follow."""
    names = [pair["name"].encode() for pair in event.get(field, ())]
    if names:
        before += zigzag(len(names))
    for i, name in enumerate(names):
        before += zigzag(len(name)) + name
        if value.kind == "double" and value.none:
            cursor.taken[field, i] = cursor.nullable_double(before, value.some, value.none)
        elif value.none:
            cursor.taken[field, i] = cursor.nullable_span(before, value.some, value.none)
        else:
            _take(cursor, before, (field, i), value.kind)
        before = b""
        if not cursor.settle():
            return b""
    return before + b"\x00"


def _skip(cursor: Cursor, before: bytes, found: _Type) -> None:
    """Pass over a field that the reader does not know."""
    if found.none:
        cursor.optional(before, found.some, found.none, _SKIPPED[found.kind])
    else:
        cursor.expect(before)
        _SKIPPED[found.kind](cursor)


def _float(cursor: Cursor) -> Any:
    cursor.skip(4)
    return cursor.pos


#: How to pass over a value of a kind without looking into it.
_SKIPPED: Mapping[Kind, Callable[[Cursor], Any]] = {
    "text": Cursor.span,
    "bytes": Cursor.span,
    "long": Cursor.long,
    "double": Cursor.double,
    "float": _float,
}


def zigzag(number: int) -> bytes:
    """Avro's encoding of a whole number."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
