"""Reading dead letters as a worker would now, with the schema registry that the workers ask."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from seawall.dead_letters import Letter
from seawall.errors import UnknownSchema
from seawall.settings import Settings
from seawall.wire import SchemaId, header_schema_id

if TYPE_CHECKING:
    from streams.io.schema_registry import SchemaRegistry

#: The schema registry did not say what a letter's id stands for, so nobody knows whether it can be read.
UNANSWERED = "registry_unavailable"
#: The letter's topic did not take the record's bytes.
BURIED = "too_large"
_HEADER = "__value_schema_id"
_PATIENCE_S = 5.0


class Reader:
    """A context in which letters are read; the registry is asked once for each id."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.schema_registry_url
        self._runner = asyncio.Runner()
        self._registry: SchemaRegistry | None = None

    def __enter__(self) -> Self:
        if self._url:
            from streams.io.schema_registry import SchemaRegistry

            self._registry = SchemaRegistry(self._url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._registry is not None:
            self._runner.run(self._registry.close())
        self._runner.close()

    def read(self, letter: Letter, value: bytes) -> tuple[str, object]:
        """Try to read a letter's bytes; returns why not, or nothing and the content."""
        from streams.core.decode import SINGLE_CONTRACT, Record, decode_record

        if letter.is_buried:
            return BURIED, f"the bytes are not here: {letter.place} has them while that topic keeps them"
        if letter.topic not in SINGLE_CONTRACT:
            return "unknown_topic", f"{letter.topic!r} is not a topic that events come from"
        source = next(name for name in SINGLE_CONTRACT if name == letter.topic)
        named = header_schema_id(letter.headers.get(_HEADER, b""))
        resolver = None if self._registry is None else partial(self._resolve, self._registry)
        record = Record(letter.offset, time.time_ns() // 1000, value, schema_id=named)
        decoded = decode_record(source, record, resolver)
        if decoded.dead:
            return decoded.dead[0].reason, decoded.dead[0].detail
        if decoded.single is not None:
            return "", decoded.single
        columns = decoded.columns
        if columns is None:
            return "empty", "no rows"
        names = [*columns.numeric, *columns.categorical, *columns.scores]
        return "", {
            "model": columns.model,
            "version": columns.version,
            "rows": columns.rows,
            "columns": names,
        }

    def _resolve(self, registry: SchemaRegistry, schema_id: SchemaId) -> tuple[str, Any]:
        # One that did not answer once is not waited for again, letter by letter.
        within_s = 0.0 if registry.trouble else _PATIENCE_S
        if self._runner.run(registry.prepare([schema_id], within_s)):
            why = registry.trouble or "no answer"
            raise UnknownSchema(UNANSWERED, f"schema id {schema_id}: the schema registry gave {why}")
        return registry.resolve(schema_id)


__all__ = ["BURIED", "UNANSWERED", "Reader"]
