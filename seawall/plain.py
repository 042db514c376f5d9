"""JSON events that are plainly right, checked without a trip through Avro.

What a JSON writer may say is what an Avro writer may say, and the trip through the encoder and back is the judge of
that. It takes ten times as long as to parse the text. An event that says nothing unusual (each field of exactly the
type that its schema names, nothing to convert but whole numbers) comes back from the trip as it went; only the others
are sent on it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from seawall.contracts import contract

Check = Callable[[Any], Any]
_NULL = "null"
#: Whole numbers up to here are the same as doubles.
_EXACT = 1 << 53


class _Unusual(Exception):  # noqa: N818 - never leaves this module
    pass


def plain_event(name: str, record: dict[str, Any]) -> dict[str, Any] | None:
    """Return the event of contract `name` as the trip through Avro would; None where only the trip can tell.

    `record` is fresh from the parser, with defaults filled in, and may be changed.
    """
    checks = _checks(name)
    if checks is None:
        return None
    try:
        return {field: check(record[field]) for field, check in checks}
    except (_Unusual, KeyError, UnicodeEncodeError):
        return None


@lru_cache(maxsize=64)
def _checks(name: str) -> tuple[tuple[str, Check], ...] | None:
    """Check of each field; None for a contract with a type that is not known here, such as those of frames."""
    try:
        named: dict[str, Any] = {}
        return tuple((f["name"], _check(f["type"], named)) for f in contract(name).schema["fields"])
    except _Unusual:
        return None


def _check(schema: Any, named: dict[str, Any]) -> Check:
    if isinstance(schema, list):
        if len(schema) != 2 or schema[0] != _NULL:
            raise _Unusual
        check = _check(schema[1], named)
        return lambda value: None if value is None else check(value)
    if isinstance(schema, dict):
        if schema.get("logicalType"):
            raise _Unusual
        if schema["type"] == "record":
            named[schema["name"]] = schema
        if schema["type"] == "array":
            return _array(schema["items"], named)
        schema = schema["type"]
    if isinstance(schema, str) and schema in _SCALARS:
        return _SCALARS[schema]
    raise _Unusual


def _array(items: Any, named: dict[str, Any]) -> Check:
    """Check a list of pairs of a name and a value."""
    if isinstance(items, str):
        items = named.get(items)
    if not isinstance(items, dict) or [f["name"] for f in items.get("fields", ())] != ["name", "value"]:
        raise _Unusual
    named[items["name"]] = items
    if items["fields"][0]["type"] != "string":
        raise _Unusual
    check = _check(items["fields"][1]["type"], named)

    def pairs(values: Any) -> list[Any]:
        if type(values) is not list:
            raise _Unusual
        for pair in values:
            if type(pair) is not dict or len(pair) != 2:
                raise _Unusual
            _text(pair["name"])
            pair["value"] = check(pair["value"])
        return list(values)

    return pairs


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _Unusual
    if not value.isascii():
        value.encode()
    return value


def _long(value: Any) -> int:
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise _Unusual
    return value


def _double(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int and -_EXACT <= value <= _EXACT:
        return float(value)
    raise _Unusual


_SCALARS: dict[str, Check] = {"string": _text, "long": _long, "double": _double}
