"""Writing results to ClickHouse (or the embedded store behind the same HTTP interface).

Inserts are synchronous and go through Arrow, column by column. Every insert carries a deduplication token made of
the input offsets behind it, and every table replaces by natural key, so that a write that was applied although its
reply was lost does no harm when it is repeated.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import numpy as np
import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from seawall.errors import ConfigError, Unavailable
from seawall.settings import Settings

#: Months are partitions, and an insert may touch a hundred unless told otherwise: a backfill's windows lie in more.
_ANY_MONTHS = {"max_partitions_per_insert_block": 0}
_NO_ANSWER = re.compile(r"\[Errno -?\d+\] [^'\"()]+|Failed to resolve '[^']+'|Connection to \S+ timed out")
_VERDICT_NAMES = pa.array(["stable", "warning", "drift", "not_enough_data", "error"])


def connect(settings: Settings, *, database: str | None = None) -> Client:
    """Connect to the store. Raises `Unavailable` when it cannot be reached, without any secret in the message."""
    url = urlsplit(settings.store_url)
    if url.scheme not in {"http", "https"} or not url.hostname:
        msg = f"SEAWALL_STORE_URL: {settings.store_url!r} is not an http(s) address"
        raise ConfigError(msg)
    try:
        return clickhouse_connect.get_client(
            host=url.hostname,
            port=url.port or (8443 if url.scheme == "https" else 8123),
            secure=url.scheme == "https",
            username=settings.store_username,
            password=settings.store_password,
            database=settings.store_database if database is None else database,
            compress=False,
            send_receive_timeout=settings.store_timeout_s,
            connect_timeout=5,
            autogenerate_session_id=False,
        )
    except (ClickHouseError, OSError) as error:
        msg = f"store at {url.scheme}://{url.hostname}:{url.port} (SEAWALL_STORE_URL): {_short(error)}"
        raise Unavailable(msg) from None


def _short(error: Exception) -> str:
    said = " ".join(str(error).split())
    # Around why nothing answers the client's library puts its pool, a query id and an object's address.
    why = _NO_ANSWER.search(said)
    return (why[0] if why else said)[:300] or type(error).__name__


class Store:
    """Inserts into the result tables. Blocking; call it from a thread.

    A failed insert raises `Unavailable`; the caller repeats it with the same token until it succeeds, and commits
    its input offset only then.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The connection, made when first needed."""
        if self._client is None:
            self._client = connect(self._settings)
        return self._client

    def insert(self, table: str, columns: pa.Table, token: str) -> None:
        """Insert an Arrow table under a deduplication token."""
        if not columns.num_rows:
            return
        try:
            self.client.insert_arrow(
                table, columns, settings={"insert_deduplication_token": f"{table}|{token}", **_ANY_MONTHS}
            )
        except (ClickHouseError, OSError) as error:
            self._client = None
            msg = f"insert of {columns.num_rows} rows into {table}: {_short(error)}"
            raise Unavailable(msg) from error

    def query(self, sql: str, parameters: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Run a query; rows as dictionaries."""
        try:
            return list(self.client.query(sql, parameters=parameters).named_results())
        except (ClickHouseError, OSError) as error:
            self._client = None
            msg = f"query: {_short(error)}"
            raise Unavailable(msg) from error


_TIME = pa.timestamp("us", tz="UTC")
_TIMES = frozenset(
    {
        "start",
        "end",
        "opened",
        "updated",
        "resolved",
        "onset",
        "emitted",
        "window_start",
        "window_end",
        "ts",
        "seen",
        "sent",
        "published",
        "pane_start",
    }
)


def arrow_columns(columns: dict[str, Any], rows: int) -> pa.Table:
    """Make an Arrow table of arrays and scalars.

    A scalar fills its column, a tuple of texts is repeated until it does, a matrix becomes an array column.
    """
    made = {name: _arrow(name, value, rows) for name, value in columns.items()}
    return pa.table(made)


def arrow_concat(tables: Sequence[pa.Table]) -> pa.Table:
    """Join tables of the same columns."""
    return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def _arrow(name: str, value: Any, rows: int) -> pa.Array:
    if name == "verdict":
        return pa.DictionaryArray.from_arrays(
            pa.array(np.asarray(value, dtype=np.int8)), _VERDICT_NAMES
        ).cast(pa.string())
    if isinstance(value, str):
        return pa.repeat(pa.scalar(value, pa.string()), rows)
    if isinstance(value, tuple):
        index = pa.array(np.resize(np.arange(len(value), dtype=np.int32), rows))
        return pa.DictionaryArray.from_arrays(index, pa.array(value, pa.string())).cast(pa.string())
    if isinstance(value, int):
        value = np.full(rows, value, dtype=np.int64)
    if isinstance(value, list):
        return pa.array(value)
    array = np.asarray(value)
    if array.ndim == 2:
        ends = np.arange(rows + 1, dtype=np.int32) * array.shape[1]
        return pa.ListArray.from_arrays(ends, pa.array(np.ascontiguousarray(array).ravel()))
    return pa.array(array).cast(_TIME) if name in _TIMES else pa.array(array)


def arrow_rows(rows: Iterable[dict[str, Any]]) -> pa.Table:
    """Make an Arrow table of dictionaries; times are integer microseconds, mappings become JSON."""
    listed = list(rows)
    names = list(listed[0]) if listed else []
    made = {}
    for name in names:
        values = [
            json.dumps(v, ensure_ascii=False) if isinstance(v := row[name], dict) else v for row in listed
        ]
        if name in _TIMES:
            made[name] = pa.array(values, type=pa.int64()).cast(_TIME)
        else:
            made[name] = pa.array(values)
    return pa.table(made)


def utc(us: int) -> dt.datetime:
    """Convert microseconds to an aware datetime."""
    return dt.datetime.fromtimestamp(us / 1e6, tz=dt.UTC)
