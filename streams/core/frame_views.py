"""Reading a frame without copying its columns: they stay where they are in the message, and arrays look at them there.

A general Avro decoder makes a new object of every column, which costs as much as finding the bins of its values. This
reads frames of the current contracts; whatever it does not expect is not its business: it returns None, and a general
decoder says what is wrong. The two ways may differ in speed, never in result.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from seawall.contracts import contract
from seawall.wire import HEADER_BYTES, MARKER

#: Reads a value at a place; returns it and the place after it.
_Read = Callable[[memoryview, int], tuple[Any, int]]
_DOUBLE = struct.Struct("<d")
#: Bytes of names that are remembered, with what Python's objects around them take, for each contract.
_MOST_REMEMBERED = 1 << 25
_OF_AN_OBJECT = 160
#: Versions of a model may differ in a column that is not the first.
_MOST_ALIKE = 4
#: What lies before the length of each column's values, and the name in it.
_Between = list[tuple[bytes, str]]


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
        read = _array(_reader(schema["items"], named))
        is_numbers = (
            not isinstance(schema["items"], str) and schema["items"]["name"] == "io.seawall.NumericColumn"
        )
        return _numbers(read) if is_numbers else read
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


class Remembered:
    """What lay between the values of arrays that began alike: a few of each beginning, and of all so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        """Begin with nothing."""
        self.most_bytes = most_bytes
        self.bytes = 0
        self._found: dict[bytes, list[_Between]] = {}

    def of(self, begin: bytes) -> Sequence[_Between]:
        """Return what is remembered of a beginning, the last that was added first."""
        return self._found.get(begin, ())

    def add(self, begin: bytes, between: _Between) -> None:
        """Remember one more; all others are forgotten when there is no room."""
        size = len(begin) + sum(2 * len(piece) + _OF_AN_OBJECT for piece, _ in between)
        if self.bytes + size > self.most_bytes:
            self._found.clear()
            self.bytes = 0
        if between and size <= self.most_bytes:
            # Those that a beginning lets go of are counted until all are forgotten.
            self.bytes += size
            self._found[begin] = [between, *self.of(begin)[: _MOST_ALIKE - 1]]


def _numbers(general: _Read) -> _Read:
    """Make a reader of an array of numeric columns: those of a model have the same names frame after frame.

    What lies between the values is compared with what lay there in an earlier frame that began alike. Where it is the
    same, so is what it says; where it is not, it is read as any array.
    """
    earlier = Remembered(_MOST_REMEMBERED)

    def read(view: memoryview, at: int) -> tuple[Any, int]:
        count, place = _long(view, at)
        if count == 0:
            return [], place
        _, place = _bytes(view, place)
        begin = bytes(view[at:place])
        for before in earlier.of(begin):
            found = _as_before(view, at, before)
            if found is not None:
                return found
        out, after = general(view, at)
        earlier.add(begin, _between(view, at))
        return out, after

    return read


def _between(view: memoryview, at: int) -> _Between:
    """Copy what lies before the length of each column's values, with its name; nothing where a column has nulls."""
    found, start = [], at
    count, at = _long(view, at)
    for _ in range(count):
        name, at = _text(view, at)
        found.append((bytes(view[start:at]), name))
        _, at = _bytes(view, at)
        start = at
        nulls, at = _bytes(view, at)
        if len(nulls):
            return []
    return found if view[at] == 0 else []


def _as_before(view: memoryview, at: int, before: _Between) -> tuple[Any, int] | None:
    """Read columns that are named as `before`, have no nulls and are equally long; None when they are not."""
    value: bytes = view.obj  # type: ignore[assignment]  # it was made of bytes
    length_at = at + len(before[0][0])
    length, after = _long(view, length_at)
    if length < 0:
        return None
    written = bytes(view[length_at:after])
    out: list[Any] = []
    for piece, name in before:
        after = at + len(piece)
        if not (value.startswith(piece, at) and value.startswith(written, after)):
            return None
        after += len(written)
        at = after + length
        out.append({"name": name, "values": view[after:at], "nulls": b""})
    # The last one's nulls, and the array's end. Nothing starts so beyond the end of the message.
    return (out, at + 2) if value.startswith(b"\0\0", at) else None


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
