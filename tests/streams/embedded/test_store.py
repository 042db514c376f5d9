"""The embedded store as its clients meet it: clickhouse-connect, and plain HTTP as Grafana and curl do."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import lz4.frame  # type: ignore[import-untyped]  # it ships no types
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from seawall.errors import Unavailable
from seawall.settings import Settings
from streams.embedded.processes import free_port
from streams.embedded.statement import Insert, format_of, split_insert
from streams.embedded.store_process import start_store
from streams.io.clickhouse import connect

TABLE = """CREATE TABLE t (a UInt64, s LowCardinality(String), x Array(Float64), d DateTime64(6, 'UTC'),
    n Nullable(Float32)) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100"""
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


class Plain:
    """The interface without a client library."""

    def __init__(self, url: str, **headers: str) -> None:
        self._url, self._headers = urlsplit(url), headers

    def ask(
        self, body: bytes = b"", method: str = "POST", headers: dict[str, str] | None = None, **arguments: Any
    ) -> Any:
        assert self._url.hostname
        connection = http.client.HTTPConnection(self._url.hostname, self._url.port, timeout=60)
        connection.request(
            method, f"/?{urlencode(arguments)}", body or None, {**self._headers, **(headers or {})}
        )
        response = connection.getresponse()
        answer = (response.status, response.read(), response.headers)
        connection.close()
        return answer


@pytest.fixture
def client(store: Settings) -> Any:
    client = connect(store)
    client.command(TABLE)
    yield client
    client.close()


def test_rows_of_every_kind_come_back_as_they_went(client: Any) -> None:
    rows = [[1, "it's\t\\", [1.5, float("inf")], MOMENT, None], [2, "", [], MOMENT, 0.5]]
    assert client.insert("t", rows, column_names=["a", "s", "x", "d", "n"]).written_rows == 2
    found = client.query("SELECT a, s, x, d, n FROM t ORDER BY a").result_rows
    assert [tuple(r[:3]) + tuple(r[4:]) for r in found] == [tuple(r[:3]) + tuple(r[4:]) for r in rows]
    assert found[0][3].replace(tzinfo=UTC) == MOMENT


def test_parameters_are_bound_by_the_server(client: Any) -> None:
    values = {"x": 5, "s": "it's\t\\ \n", "a": ["p", "q'"], "d": MOMENT}
    row = client.query(
        "SELECT {x:UInt64} + 1, {s:String}, {a:Array(String)}, {d:DateTime64(6)}", parameters=values
    )
    assert row.result_rows[0][:3] == (6, values["s"], ["p", "q'"])
    assert client.query("SELECT %(v)s", parameters={"v": "x"}).result_rows == [("x",)]


def test_parameters_and_settings_end_with_their_query(client: Any) -> None:
    client.query("SELECT {x:UInt64}", parameters={"x": 5}, settings={"max_threads": 1})
    with pytest.raises(DatabaseError, match="456"):
        client.command("SELECT {x:UInt64}")
    assert client.command("SELECT getSetting('max_threads')") != 1


def test_an_insert_repeated_under_its_token_counts_once(client: Any) -> None:
    table = pa.table({"a": pa.array([1, 2], pa.uint64())})
    for token in ("k1", "k1", "k2"):
        client.insert_arrow("t", table, settings={"insert_deduplication_token": token})
    assert client.command("SELECT count() FROM t") == 4


def test_large_inserts_and_results_are_quick(client: Any) -> None:
    rows = 500_000
    table = pa.table({"a": pa.array(range(rows), pa.uint64()), "s": pa.array(["q"] * rows)})
    started = time.monotonic()
    assert client.insert_arrow("t", table).written_rows == rows
    assert len(client.query("SELECT number FROM numbers(1000000)").result_columns[0]) == 1_000_000
    assert client.query_df("SELECT a, s FROM t").shape == (rows, 2)
    assert client.query_arrow("SELECT a FROM t").num_rows == rows
    # an order of magnitude over what it takes on two slow cores
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip"])
def test_compression_both_ways(store: Settings, client: Any, compression: str) -> None:
    url = urlsplit(store.store_url)
    packed = clickhouse_connect.get_client(
        host=url.hostname, port=url.port, database=store.store_database, compress=compression
    )
    rows: list[list[Any]] = [[i, "x" * 100, [], MOMENT, None] for i in range(1000)]
    packed.insert("t", rows, column_names=["a", "s", "x", "d", "n"])
    assert packed.query("SELECT a FROM t ORDER BY a").result_columns[0] == [r[0] for r in rows]
    packed.close()


def test_errors_carry_the_engines_code_and_words(store_url: str) -> None:
    status, body, headers = Plain(store_url).ask(b"SELECT * FROM nowhere")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "60")
    assert body.startswith(b"Code: 60. DB::Exception:")


def test_an_error_leaves_nothing_for_the_next_query(store_url: str) -> None:
    plain = Plain(store_url)
    status, _, _ = plain.ask(b"SELECT number FROM numbers(1000000)", max_result_bytes=1000)
    assert status == 500
    assert plain.ask(b"SELECT 1")[1] == b"1\n"


def test_inserts_work_with_the_data_in_the_body_or_after_the_statement(store: Settings, client: Any) -> None:
    plain, database = Plain(store.store_url), store.store_database
    assert (
        plain.ask(b'{"a": 1}\n{"a": 2}\n', query="INSERT INTO t FORMAT JSONEachRow", database=database)[0]
        == 200
    )
    assert plain.ask(b"INSERT INTO t (a, s) FORMAT CSV\n3,x\n", database=database)[0] == 200
    assert plain.ask(b"INSERT INTO t (a, s) VALUES (4, 'FORMAT; --')", database=database)[0] == 200
    assert plain.ask(b"INSERT INTO t (a) SELECT 5", database=database)[:2] == (200, b"")
    written = plain.ask(
        (6).to_bytes(8, "little"), query="INSERT INTO t (a) FORMAT RowBinary", database=database
    )[2]
    assert json.loads(written["X-ClickHouse-Summary"])["written_rows"] == "1"
    for encoding, packed in (("gzip", gzip.compress(b"7\n")), ("lz4", lz4.frame.compress(b"8\n"))):
        headers = {"Content-Encoding": encoding}
        answer = plain.ask(packed, headers=headers, query="INSERT INTO t (a) FORMAT TSV", database=database)
        assert answer[0] == 200
    assert list(client.query("SELECT a FROM t ORDER BY a").result_columns[0]) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_formats_follow_the_clause_then_the_argument(store_url: str) -> None:
    plain = Plain(store_url)
    assert json.loads(plain.ask(b"SELECT 1 AS n FORMAT JSON", default_format="CSV")[1])["data"] == [{"n": 1}]
    _, body, headers = plain.ask(b"SELECT 1 AS n, 'x' AS s", default_format="JSONCompact")
    assert json.loads(body)["data"] == [[1, "x"]]
    assert headers["X-ClickHouse-Format"] == "JSONCompact"
    assert headers["Content-Type"] == "application/json"


def test_a_get_reads_and_never_writes(store_url: str) -> None:
    plain = Plain(store_url)
    assert plain.ask(method="GET", query="SELECT {x:UInt8}", param_x=3)[1] == b"3\n"
    _, _, headers = plain.ask(method="GET", query="CREATE DATABASE by_get")
    assert headers["X-ClickHouse-Exception-Code"] == "164"


def test_web_pages_are_refused(store_url: str) -> None:
    plain = Plain(store_url)
    assert plain.ask(b"SELECT 1", headers={"Origin": "https://evil.example"})[0] == 403
    assert plain.ask(b"SELECT 1", headers={"Host": "evil.example"})[0] == 403


def test_unknown_settings_are_refused_and_cannot_smuggle_sql(store_url: str) -> None:
    plain = Plain(store_url)
    for name in ("no_such_setting", "a = 1; DROP DATABASE x; --"):
        arguments: dict[str, Any] = {name: "1"}
        assert plain.ask(b"SELECT 1", **arguments)[2]["X-ClickHouse-Exception-Code"] == "115"


def test_a_slow_query_does_not_hold_up_the_others(store_url: str) -> None:
    slow = threading.Thread(target=Plain(store_url).ask, args=(b"SELECT sleepEachRow(1) FROM numbers(2)",))
    slow.start()
    started = time.monotonic()
    assert Plain(store_url).ask(b"SELECT 1")[1] == b"1\n"
    assert slow.is_alive(), f"answered only after {time.monotonic() - started:.1f} s"
    slow.join()


def test_a_password_is_asked_for_when_one_is_set(tmp_path: Path) -> None:
    port = free_port()
    child = start_store(tmp_path, port, tmp_path / "log", username="ada", password="s3cret-word")
    try:
        plain = Plain(f"http://127.0.0.1:{port}")
        assert plain.ask(b"SELECT 1")[0] == 403
        wrong = base64.b64encode(b"ada:wrong").decode()
        assert plain.ask(b"SELECT 1", headers={"Authorization": f"Basic {wrong}"})[0] == 403
        assert (
            plain.ask(b"SELECT 1", headers={"X-ClickHouse-User": "ada", "X-ClickHouse-Key": "s3cret-word"})[0]
            == 200
        )
        settings = Settings(
            store_url=f"http://127.0.0.1:{port}", store_username="ada", store_password="s3cret-word"
        )
        client = connect(settings, database="default")
        assert client.command("SELECT 1") == 1
        client.close()
        assert "s3cret-word" not in child.log_file.read_text()
        assert "s3cret-word" not in Path(f"/proc/{child.pid}/cmdline").read_text()
    finally:
        child.stop()


def test_a_second_opener_is_told_who_has_the_directory(tmp_path: Path) -> None:
    child = start_store(tmp_path, free_port(), tmp_path / "log")
    try:
        with pytest.raises(Unavailable, match="another process has it open"):
            start_store(tmp_path, free_port(), tmp_path / "second.log")
    finally:
        child.stop()


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    port = free_port()
    child = start_store(tmp_path, port, tmp_path / "log")
    plain = Plain(f"http://127.0.0.1:{port}")
    assert plain.ask(b"CREATE TABLE default.k (a UInt64) ENGINE = MergeTree ORDER BY a")[0] == 200
    for number in range(20):
        assert plain.ask(f"INSERT INTO default.k VALUES ({number})".encode())[0] == 200
    child.kill()
    child = start_store(tmp_path, port, tmp_path / "log")
    try:
        assert plain.ask(b"SELECT count(), sum(a) FROM default.k")[1] == b"20\t190\n"
    finally:
        assert child.stop()


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib\nfrom streams.embedded.processes import spawn\n"
        "c = spawn('x', ['/bin/sleep', '300'], pathlib.Path(sys.argv[1]), {})\n"
        "print(c.pid, flush=True)\nsys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"SELECT 1 FORMAT JSON", None),
        (b"INSERT INTO t SELECT * FROM u FORMAT Null", None),
        (b"INSERT INTO t FORMAT Native\n\x00\n\x01", Insert("INSERT INTO t", "Native", b"\x00\n\x01")),
        (b"-- note\nINSERT INTO `format` (`values`, \"b\") FORMAT CSV\n1,2", Insert("-- note\nINSERT INTO `format` (`values`, \"b\")", "CSV", b"1,2")),
        (b"insert into t (a) values (1)", Insert("insert into t (a)", "Values", b" (1)")),
        (b"INSERT INTO t (format)", Insert("INSERT INTO t (format)", "Values", b"")),
        (b"/* INSERT */ CREATE TABLE t (a UInt8)", None),
        (b"INSERT INTO t SETTINGS async_insert = 0 FORMAT TSV 1", Insert("INSERT INTO t SETTINGS async_insert = 0", "TSV", b"1")),
    ],
)  # fmt: skip
def test_inserts_are_split_where_the_data_begin(text: bytes, expected: Insert | None) -> None:
    assert split_insert(text) == expected


def test_the_output_format_is_read_off_the_end_of_the_query() -> None:
    assert format_of("SELECT 'FORMAT CSV' AS x", "TSV") == "TSV"
    assert format_of("SELECT 1\nFORMAT JSON ;", "TSV") == "JSON"
