"""chdb, ClickHouse's engine in this process, as a store that several threads may ask at once.

A chdb connection runs one statement at a time and, after a failed one, may hand the rest of its output to the
next; connections of one process share the data and run in parallel. So every request gets a connection of its
own (opening one costs about 2 ms), which is also what makes its settings and parameters end with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seawall.errors import SeawallError, Unavailable
from streams.embedded.statement import format_of, split_insert

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_CODE = re.compile(r"Code: (\d+)\.")
#: A result is built in memory before it is sent; larger ones are refused with ClickHouse's own error.
MAX_RESULT_BYTES = 1 << 30


class QueryFailed(SeawallError):  # noqa: N818 - reads as what it is
    """The engine refused a statement. `code` is ClickHouse's number, such as 60 for an unknown table."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        found = _CODE.search(message)
        self.code = code if code is not None else int(found.group(1)) if found else 1002


@dataclass(frozen=True)
class Request:
    """One statement with everything that the HTTP interface may say about it."""

    text: bytes
    data: bytes = b""
    default_format: str = "TabSeparated"
    database: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    query_id: str = ""
    is_readonly: bool = False


@dataclass(frozen=True)
class Reply:
    """What the engine answered."""

    body: bytes
    data_format: str
    query_id: str
    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0


class Engine:
    """The chdb directory, opened once. Safe to call from several threads; `execute` blocks its caller's."""

    def __init__(self, directory: Path) -> None:
        # imported here: the module loads a 400 MB library that only the store's process needs
        from chdb.state.sqlitelike import Connection  # noqa: PLC0415

        directory.mkdir(parents=True, exist_ok=True)
        self._connect: Callable[[], Any] = lambda: Connection(str(directory))
        try:
            # held open for the life of the process: the engine closes with its last connection
            self._anchor = self._connect()
        except RuntimeError as error:
            # the engine says why on stderr only; a directory in use is by far the usual reason
            is_in_use = "EmbeddedServer" in str(error)
            hint = "another process has it open (is `seawall up` running?)" if is_in_use else str(error)
            msg = f"store: cannot open {str(directory)!r}: {hint}"
            raise Unavailable(msg) from error
        answer = self._anchor.query("SELECT version(), timezone()", "TabSeparated").bytes()
        self.version, self.timezone = answer.decode().split()

    def close(self) -> None:
        """Close the directory; what was acknowledged is already on disk."""
        self._anchor.close()

    def execute(self, request: Request) -> Reply:
        """Run one statement.

        Raises
        ------
        QueryFailed
            With the engine's own message and code.
        """
        connection = self._connect()
        try:
            self._prepare(connection, request)
            return self._insert(connection, request) or self._query(connection, request)
        except RuntimeError as error:
            raise QueryFailed(_message(error)) from error
        except Exception as error:
            if type(error).__name__ != "ChdbError":
                raise
            raise QueryFailed(_message(error)) from error
        finally:
            connection.close()

    def _prepare(self, connection: Any, request: Request) -> None:
        if request.database:
            connection.query(f"USE {_identifier(request.database)}", "Null")
        values = {"max_result_bytes": str(MAX_RESULT_BYTES), **request.settings}
        for name in values:
            if not _NAME.match(name):
                msg = f"Code: 115. DB::Exception: Unknown setting {name!r}. (UNKNOWN_SETTING)"
                raise QueryFailed(msg)
        assignments = [f"{name} = {_string(value)}" for name, value in values.items()]
        if request.is_readonly:
            assignments.append("readonly = 2")
        connection.query(f"SET {', '.join(assignments)}", "Null")

    def _insert(self, connection: Any, request: Request) -> Reply | None:
        insert = split_insert(request.text)
        if insert is None:
            return None
        data = insert.data + request.data if insert.data else request.data
        for name, value in request.parameters.items():
            # a streamed insert takes no parameters of its own
            if not _NAME.match(name):
                msg = f"Code: 36. DB::Exception: {name!r} is not the name of a parameter. (BAD_ARGUMENTS)"
                raise QueryFailed(msg)
            connection.query(f"SET param_{name} = {_string(value)}", "Null")
        inserter = connection.send_insert(insert.head, insert.data_format)
        try:
            inserter.append(data)
            result = inserter.finish()
        finally:
            inserter.close()
        return Reply(
            b"",
            "TabSeparated",
            request.query_id,
            written_rows=result.rows_written,
            written_bytes=result.bytes_written,
        )

    def _query(self, connection: Any, request: Request) -> Reply:
        sql = (request.text + request.data).decode("utf-8", "replace")
        result = connection.query(sql, request.default_format, params=dict(request.parameters))
        return Reply(
            result.bytes(),
            format_of(sql, request.default_format),
            request.query_id,
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
        )


def _message(error: BaseException) -> str:
    text = str(error)
    return text[text.find("Code:") :] if "Code:" in text else text


def _string(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _identifier(value: str) -> str:
    return "`" + value.replace("\\", "\\\\").replace("`", "\\`") + "`"
