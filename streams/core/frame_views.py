"""Reading a frame without copying its columns: they stay where they are in the message, and arrays look at them there.

A general Avro decoder makes a new object of every column, which costs as much as finding the bins of its values. This
reads frames of the current contracts; whatever it does not expect is not its business: it returns None, and a general
decoder says what is wrong. The two ways may differ in speed, never in result.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any

from seawall.contracts import contract
from seawall.wire import HEADER_BYTES, MARKER

#: Reads a value at a place; returns it and the place after it.
_Read = Callable[[memoryview, int], tuple[Any, int]]
_DOUBLE = struct.Struct("<d")


class _Unexpected(Exception):  # noqa: N818 - never leaves this module
    pass


def read_frame(name: str, value: bytes) -> dict[str, Any] | None:
    """Read a message of frame contract `name`, its columns as views of `value`; None for a general decoder's case."""
    if value[:HEADER_BYTES] != MARKER + contract(name).fingerprint:
        return None
    view = memoryview(value)
    try:
        record, at = _reader_of(name)(view, HEADER_BYTES)
    except (_Unexpected, IndexError, struct.error, UnicodeDecodeError):
        return None
    return record if at == len(value) else None


@cache
def _reader_of(name: str) -> _Read:
    return _reader(contract(name).schema, {})


def _reader(schema: Any, named: dict[str, _Read]) -> _Read:
    """Make a reader of a parsed schema."""
    if isinstance(schema, list):
        return _union([None if branch == "null" else _reader(branch, named) for branch in schema])
    kind = schema if isinstance(schema, str) else schema["type"]
    if kind == "record":
        fields = [(field["name"], _reader(field["type"], named)) for field in schema["fields"]]
        made = named[schema["name"]] = _record(fields)
        return made
    if kind == "array":
        return _array(_reader(schema["items"], named))
    return named[kind] if kind in named else _PRIMITIVES[kind]


def _record(fields: list[tuple[str, _Read]]) -> _Read:
    def read(view: memoryview, at: int) -> tuple[Any, int]:
        out = {}
        for name, field in fields:
            out[name], at = field(view, at)
        return out, at

    return read


def _array(item: _Read) -> _Read:
    def read(view: memoryview, at: int) -> tuple[Any, int]:
        out: list[Any] = []
        while True:
            count, at = _long(view, at)
            if count == 0:
                return out, at
            if not 0 < count <= len(view):
                raise _Unexpected
            for _ in range(count):
                value, at = item(view, at)
                out.append(value)

    return read


def _union(branches: list[_Read | None]) -> _Read:
    def read(view: memoryview, at: int) -> tuple[Any, int]:
        branch, at = _long(view, at)
        if not 0 <= branch < len(branches):
            raise _Unexpected
        found = branches[branch]
        return (None, at) if found is None else found(view, at)

    return read


def _long(view: memoryview, at: int) -> tuple[int, int]:
    byte = view[at]
    number, shift = byte & 0x7F, 7
    at += 1
    while byte & 0x80:
        if shift > 28:
            raise _Unexpected  # nothing in a frame is that long
        byte = view[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
    return (number >> 1) ^ -(number & 1), at


def _bytes(view: memoryview, at: int) -> tuple[memoryview, int]:
    length, at = _long(view, at)
    if not 0 <= length <= len(view) - at:
        raise _Unexpected
    return view[at : at + length], at + length


def _text(view: memoryview, at: int) -> tuple[str, int]:
    found, at = _bytes(view, at)
    return str(found, "utf-8"), at


def _double(view: memoryview, at: int) -> tuple[float, int]:
    return _DOUBLE.unpack_from(view, at)[0], at + 8


_PRIMITIVES: dict[str, _Read] = {
    "int": _long,
    "long": _long,
    "bytes": _bytes,
    "string": _text,
    "double": _double,
}
