"""ClickHouse's Native format as newer clients ask for it (``client_protocol_version``).

Such a client (Grafana's data source is one) expects a header before each block and a flag after each
column's type. The engine in this process writes neither, so they are put in here, which takes walking over
the columns' data to find where each one ends. Clients that ask for an older protocol detect its absence and
get the data as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from seawall.errors import SeawallError

#: From this protocol on a column's type is followed by a byte: whether its serialization is a custom one.
CUSTOM_SERIALIZATION = 54454
#: Field 1: not an overflow row; field 2: bucket -1; end.
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_WIDTHS = {
    1: "UInt8 Int8 Bool Enum8 Nothing",
    2: "UInt16 Int16 Enum16 Date BFloat16",
    4: "UInt32 Int32 Float32 Date32 DateTime Time IPv4 Decimal32",
    8: "UInt64 Int64 Float64 DateTime64 Time64 Decimal64",
    16: "UInt128 Int128 UUID IPv6 Decimal128",
    32: "UInt256 Int256 Decimal256",
}
_WIDTH = {name: width for width, names in _WIDTHS.items() for name in names.split()}
_PART = re.compile(r"""'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[(),]|[^'`(),]+""")
_FIELD_NAME = re.compile(r"(?:`(?:[^`\\]|\\.)*`|[A-Za-z_][A-Za-z0-9_]*)\s+(?=[A-Z])")


class UnsupportedType(SeawallError):  # noqa: N818 - reads as what it is
    """A column of a type whose layout is not known here."""


def with_block_info(body: bytes, revision: int) -> bytes:
    """Return `body`, Native blocks of protocol 0, as blocks of protocol `revision`.

    Raises
    ------
    UnsupportedType
        A column is of a type such as JSON or AggregateFunction; convert it to String in the query.
    """
    if revision < CUSTOM_SERIALIZATION:
        return body
    walker = _Walker(body)
    pieces = []
    while walker.position < len(body):
        pieces.append(_BLOCK_INFO)
        start = walker.position
        columns, rows = walker.varint(), walker.varint()
        for _ in range(columns):
            walker.string()
            kind = walker.string().decode()
            pieces += (body[start : walker.position], b"\x00")
            start = walker.position
            if rows:
                parsed = _parse(kind)
                walker.prefix(parsed)
                walker.data(parsed, rows)
            pieces.append(body[start : walker.position])
            start = walker.position
        pieces.append(body[start : walker.position])
    return b"".join(pieces)


@dataclass(frozen=True)
class _Type:
    name: str
    arguments: tuple[str, ...]

    def inner(self, index: int = 0) -> _Type:
        return _parse(self.arguments[index])

    def fields(self) -> list[_Type]:
        return [_parse(_FIELD_NAME.sub("", argument, count=1)) for argument in self.arguments]


def _parse(text: str) -> _Type:
    name, opened, rest = text.strip().partition("(")
    if not opened:
        return _Type(name, ())
    arguments, depth = [""], 0
    for part in _PART.findall(rest[:-1]):
        depth += {"(": 1, ")": -1}.get(part, 0)
        if part == "," and depth == 0:
            arguments.append("")
        else:
            arguments[-1] += part
    return _Type(name, tuple(argument.strip() for argument in arguments if argument.strip()))


def _width(kind: _Type) -> int | None:
    """Bytes of one value, or None when that differs from row to row."""
    if kind.name == "FixedString":
        return int(kind.arguments[0])
    if kind.name == "Decimal":
        precision = int(kind.arguments[0])
        return 4 if precision <= 9 else 8 if precision <= 18 else 16 if precision <= 38 else 32
    return 8 if kind.name.startswith("Interval") else _WIDTH.get(kind.name)


class _Walker:
    """A position in Native data that knows how to pass over a column."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.position = 0

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._body[self.position]
            self.position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def string(self) -> bytes:
        length = self.varint()
        self.position += length
        return self._body[self.position - length : self.position]

    def _uint64(self) -> int:
        self.position += 8
        return int.from_bytes(self._body[self.position - 8 : self.position], "little")

    def prefix(self, kind: _Type) -> None:
        """Pass over what a column writes before its data: the version of each LowCardinality inside it."""
        if kind.name == "LowCardinality":
            self.position += 8
        elif kind.name in {"Array", "Nullable"}:
            self.prefix(kind.inner())
        elif kind.name in {"Tuple", "Map", "Nested"}:
            for field in kind.fields():
                self.prefix(field)
        elif kind.name == "SimpleAggregateFunction":
            self.prefix(kind.inner(1))

    def data(self, kind: _Type, rows: int) -> None:
        """Pass over `rows` values of a column."""
        width = _width(kind)
        if width is not None:
            self.position += width * rows
        elif kind.name == "String":
            self._strings(rows)
        elif kind.name == "Nullable":
            self.position += rows
            self.data(kind.inner(), rows)
        elif kind.name in {"Array", "Map", "Nested"}:
            self.position += 8 * (rows - 1) if rows else 0
            items = self._uint64() if rows else 0
            for field in [kind.inner()] if kind.name == "Array" else kind.fields():
                self.data(field, items)
        elif kind.name == "Tuple":
            for field in kind.fields():
                self.data(field, rows)
            self.position += 0 if kind.arguments else rows
        elif kind.name == "LowCardinality":
            self._low_cardinality(kind.inner(), rows)
        elif kind.name == "SimpleAggregateFunction":
            self.data(kind.inner(1), rows)
        else:
            msg = f"column type: {kind.name!r} cannot be sent to this client; convert it with toString()"
            raise UnsupportedType(msg)

    def _strings(self, rows: int) -> None:
        body, position = self._body, self.position
        for _ in range(rows):
            length = body[position]
            if length < 0x80:  # nearly always; the call below costs five times as much
                position += 1 + length
            else:
                self.position = position
                self.string()
                position = self.position
        self.position = position

    def _low_cardinality(self, kind: _Type, rows: int) -> None:
        if not rows:
            return
        index_width = 1 << (self._uint64() & 0xF)
        keys = self._uint64()
        self.data(kind.inner() if kind.name == "Nullable" else kind, keys)
        self.position += 8 + index_width * rows
