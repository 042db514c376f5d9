"""Framing: how an event lies in a message.

Three framings are read. Avro single-object encoding (``C3 01`` and the writer schema's CRC-64-AVRO
fingerprint, Avro specification 1.11, "Single-object encoding") is what Seawall writes. Confluent framing
(``00`` and a four-byte schema id) is read when a schema registry resolves the id. A JSON object is read for
people with ``kcat`` and ``curl``; a field ``"type"`` may name the contract when a topic carries several.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import fastavro

from seawall.contracts import Contract, contract, contracts_by_fingerprint
from seawall.errors import UnknownSchema, WireError
from seawall.plain import plain_event

MARKER = b"\xc3\x01"
HEADER_BYTES = 10
CONFLUENT_BYTES = 5
_ADDRESS = re.compile(r" from <[^>]* at 0x[0-9a-f]+>")
#: How a registry knows a schema: a number, or a GUID in lower case with dashes.
SchemaId = int | str
#: Resolves a schema id to (contract name, writer schema). May raise `UnknownSchema`.
Resolver = Callable[[SchemaId], tuple[str, Any]]


def encode(name: str, record: dict[str, Any]) -> bytes:
    """Encode a record as contract `name`, in single-object encoding."""
    c = contract(name)
    buffer = io.BytesIO()
    buffer.write(MARKER)
    buffer.write(c.fingerprint)
    fastavro.schemaless_writer(buffer, c.schema, record)
    return buffer.getvalue()


def decode(
    payload: bytes,
    accept: tuple[str, ...],
    resolver: Resolver | None = None,
    schema_id: SchemaId | None = None,
) -> tuple[str, dict[str, Any]]:
    """Decode a message into (contract name, record).

    Parameters
    ----------
    payload
        The message's value.
    accept
        Contract names that this topic carries; anything else is an error. The first is what a bare JSON
        object is.
    resolver
        Looks up Confluent schema ids; without one, Confluent framing is refused.
    schema_id
        The writer's schema when a header of the message names it; the value is then a bare datum, or one in
        single-object encoding, which no datum of an event can be mistaken for.

    Raises
    ------
    WireError
        With a reason: ``empty``, ``alien_bytes``, ``unknown_schema``, ``wrong_contract``, ``truncated``,
        ``trailing_bytes``, ``bad_json``, ``bad_field``.
    """
    if not payload:
        raise WireError("empty", "the message has no value")
    if payload[:2] == MARKER:
        return _decode_single_object(payload, accept)
    named = schema_of(payload, schema_id)
    if named is not None:
        return _decode_registered(payload, accept, resolver, *named)
    if payload[:1] == b"{":
        return _decode_json(payload, accept)
    raise WireError("alien_bytes", f"starts with {payload[:4].hex()}, expected c301, 00 or an opening brace")


def _decode_single_object(payload: bytes, accept: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    if len(payload) < HEADER_BYTES:
        raise WireError("truncated", f"{len(payload)} bytes, the header alone has {HEADER_BYTES}")
    c = contracts_by_fingerprint().get(payload[2:HEADER_BYTES])
    if c is None:
        raise UnknownSchema("unknown_schema", f"fingerprint {payload[2:HEADER_BYTES].hex()}")
    _check_accepted(c.name, accept)
    return c.name, _read(c.schema, contract(c.name), payload, HEADER_BYTES)


def schema_of(payload: bytes, schema_id: SchemaId | None = None) -> tuple[SchemaId, int] | None:
    """Id of a registered writer's schema, and where the datum begins; None when the message names none.

    `schema_id` is what a header says. Single-object encoding needs no registry, whatever a header says.
    """
    if not payload or payload[:2] == MARKER:
        return None
    if schema_id is not None:
        return schema_id, 0
    if payload[:1] == b"\x00" and len(payload) >= CONFLUENT_BYTES:
        return int.from_bytes(payload[1:CONFLUENT_BYTES], "big"), CONFLUENT_BYTES
    return None


def header_schema_id(value: bytes) -> SchemaId | None:
    """Read a ``__value_schema_id`` header: ``00`` and four bytes of id, or ``01`` and a GUID's sixteen."""
    if len(value) == CONFLUENT_BYTES and value[:1] == b"\x00":
        return int.from_bytes(value[1:], "big")
    if len(value) == 17 and value[:1] == b"\x01":
        return str(UUID(bytes=value[1:]))
    return None


def _decode_registered(
    payload: bytes, accept: tuple[str, ...], resolver: Resolver | None, schema_id: SchemaId, start: int
) -> tuple[str, dict[str, Any]]:
    if resolver is None:
        raise UnknownSchema("unknown_schema", f"schema id {schema_id}, and no schema registry is configured")
    name, writer = resolver(schema_id)
    _check_accepted(name, accept)
    return name, _read(writer, contract(name), payload, start)


def _read(writer: Any, reader: Contract, payload: bytes, start: int) -> dict[str, Any]:
    buffer = io.BytesIO(payload)
    buffer.seek(start)
    try:
        same = writer is reader.schema
        record: Any = fastavro.schemaless_reader(buffer, writer, None if same else reader.schema)
    except Exception as error:  # fastavro raises EOFError, IndexError, struct.error, UnicodeDecodeError, …
        # fastavro's text may name an object by its address, which says nothing and differs every time.
        why = _printable(_ADDRESS.sub("", str(error)), 300)
        raise WireError("truncated", f"not a {reader.name}: {type(error).__name__}: {why}") from error
    if buffer.tell() != len(payload):
        raise WireError("trailing_bytes", f"{len(payload) - buffer.tell()} bytes after the {reader.name}")
    return dict(record)


def _decode_json(payload: bytes, accept: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    try:
        record = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise WireError("bad_json", str(error)) from error
    name = record.pop("type", accept[0])
    if not isinstance(name, str):
        raise WireError("wrong_contract", f"type is a {type(name).__name__}, expected the name of a contract")
    _check_accepted(name, accept)
    for field in contract(name).schema["fields"]:
        if field["name"] not in record and "default" in field:
            record[field["name"]] = field["default"]
    plain = plain_event(name, record)
    if plain is not None:
        return name, plain
    try:
        fastavro.validate(record, contract(name).schema, strict=False)
        # Through the encoder, so that what a JSON writer may say is exactly what an Avro writer may say.
        return name, _read(contract(name).schema, contract(name), encode(name, record), HEADER_BYTES)
    except WireError:
        raise
    except Exception as error:
        raise WireError("bad_field", _printable(str(error), 500)) from error


def _check_accepted(name: str, accept: tuple[str, ...]) -> None:
    if name not in accept:
        detail = f"a {_printable(name, 100)} on a topic that carries {' or '.join(accept)}"
        raise WireError("wrong_contract", detail)


def _printable(text: str, length: int) -> str:
    """Shorten a stranger's text and make it fit for UTF-8: an error's detail is published again."""
    return " ".join(text[:length].encode("utf-8", "backslashreplace").decode().split())[:length]
