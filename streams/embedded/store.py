"""A ClickHouse for a laptop: chdb behind enough of ClickHouse's HTTP interface for its usual clients.

``python -m streams.embedded.store --data-dir .seawall --port 18123`` serves clickhouse-connect, Grafana's
ClickHouse data source (protocol HTTP) and ``curl``. Queries run in threads, `CONCURRENCY` at a time; the
others wait. Requests that a web page could have sent are refused, because SQL can read this machine's files.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gzip
import hmac
import json
import os
import signal
import sys
import time
import uuid
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lz4.frame  # type: ignore[import-untyped]  # it ships no types
from aiohttp import hdrs, web

from seawall.errors import SeawallError, Unavailable
from streams.embedded.engine import Engine, QueryFailed, Reply, Request
from streams.embedded.native import UnsupportedType, with_block_info

CONCURRENCY = 4
MAX_BODY_BYTES = 1 << 30
#: Parameters of the interface itself; any other one is a setting of the query.
_INTERFACE = frozenset(
    {
        "query",
        "database",
        "default_format",
        "user",
        "password",
        "quota_key",
        "query_id",
        "role",
        "stacktrace",
        "session_id",
        "session_timeout",
        "session_check",
        "compress",
        "decompress",
        "enable_http_compression",
        "client_protocol_version",
        "wait_end_of_query",
        "buffer_size",
        "http_write_exception_in_output_format",
    }
)
_CONTENT_TYPES = (
    ("json", "application/json"),
    ("tab", "text/tab-separated-values"),
    ("tsv", "text/tab-separated-values"),
    ("csv", "text/csv"),
    ("pretty", "text/plain"),
    ("vertical", "text/plain"),
)
#: ClickHouse's own mapping, for the codes that a client meets.
_STATUS = {
    **dict.fromkeys((6, 26, 27, 33, 36, 38, 41, 42, 43, 44, 53, 62, 72, 117, 128, 130, 131, 456, 457), 400),
    **dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 99, 115, 336), 404),
    **dict.fromkeys((48,), 501),
    **dict.fromkeys((159,), 408),
    **dict.fromkeys((192, 193, 194, 497, 516), 403),
}
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class StoreServer:
    """The HTTP interface of one engine."""

    def __init__(self, engine: Engine, username: str = "default", password: str = "") -> None:
        self._engine = engine
        self._username, self._password = username, password
        self._threads = ThreadPoolExecutor(CONCURRENCY, "store")

    def application(self) -> web.Application:
        """Build the aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._guard])
        app.router.add_get("/ping", self._ping)
        app.router.add_get("/replicas_status", self._ping)
        app.router.add_route("*", "/", self._statement)
        return app

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(text="Ok.\n")

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse web pages (cross-site posts, rebound names), wrong passwords; word errors as ClickHouse."""
        host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
        if host not in _LOOPBACK_HOSTS or hdrs.ORIGIN in request.headers:
            return _failure(
                "Code: 516. DB::Exception: Local programs only, not web pages.",
                516,
            )
        if request.path == "/" and not self._is_allowed(request):
            return _failure(
                "Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)",
                516,
            )
        try:
            return await handler(request)
        except QueryFailed as error:
            return _failure(str(error), error.code)
        except UnsupportedType as error:
            return _failure(f"Code: 48. DB::Exception: {error}. (NOT_IMPLEMENTED)", 48)
        except web.HTTPRequestEntityTooLarge:
            return _failure(
                f"Code: 307. DB::Exception: The body exceeds {MAX_BODY_BYTES} bytes. (TOO_MANY_BYTES)",
                307,
                413,
            )

    def _is_allowed(self, request: web.Request) -> bool:
        if not self._password:
            return True
        user = request.headers.get("X-ClickHouse-User", request.query.get("user", "default"))
        key = request.headers.get("X-ClickHouse-Key", request.query.get("password", ""))
        scheme, _, encoded = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() == "basic":
            try:
                user, _, key = base64.b64decode(encoded, validate=True).decode().partition(":")
            except ValueError:
                return False
        # both are compared, always, so that the time taken tells nothing
        good_user = hmac.compare_digest(user.encode(), self._username.encode())
        return hmac.compare_digest(key.encode(), self._password.encode()) and good_user

    async def _statement(self, request: web.Request) -> web.Response:
        arguments = request.query
        if _is_on(arguments.get("compress")) or _is_on(arguments.get("decompress")):
            raise QueryFailed(
                "Code: 48. DB::Exception: ClickHouse block compression (compress=1) is not served; "
                "use HTTP compression or none. (NOT_IMPLEMENTED)"
            )
        body = await self._body(request)
        query = arguments.get("query", "").encode()
        if query:
            text, data = query, body
            if body and not query.lstrip()[:6].upper().startswith(b"INSERT"):
                text, data = query + b"\n" + body, b""
        else:
            text, data = body, b""
        if not text.strip():
            return web.Response(text="Ok.\n")
        default_format = (
            arguments.get("default_format") or request.headers.get("X-ClickHouse-Format") or "TabSeparated"
        )
        statement = Request(
            text,
            data,
            default_format=default_format,
            database=arguments.get("database", "") or request.headers.get("X-ClickHouse-Database", ""),
            parameters={k.removeprefix("param_"): v for k, v in arguments.items() if k.startswith("param_")},
            settings={
                k: v for k, v in arguments.items() if k not in _INTERFACE and not k.startswith("param_")
            },
            query_id=arguments.get("query_id") or str(uuid.uuid4()),
            is_readonly=request.method in {hdrs.METH_GET, hdrs.METH_HEAD},
        )
        started = time.monotonic_ns()
        reply = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._engine.execute, statement
        )
        elapsed_ns = time.monotonic_ns() - started
        return await self._respond(request, reply, elapsed_ns)

    async def _respond(self, request: web.Request, reply: Reply, elapsed_ns: int) -> web.Response:
        body = reply.body
        revision = request.query.get("client_protocol_version", "0")
        if reply.data_format == "Native" and revision.isdecimal() and int(revision) > 0:
            body = await asyncio.to_thread(with_block_info, body, int(revision))
        summary = {
            "read_rows": reply.read_rows, "read_bytes": reply.read_bytes, "written_rows": reply.written_rows,
            "written_bytes": reply.written_bytes, "total_rows_to_read": 0, "result_rows": reply.written_rows,
            "result_bytes": len(body), "elapsed_ns": elapsed_ns,
        }  # fmt: skip
        headers = {
            "X-ClickHouse-Query-Id": reply.query_id,
            "X-ClickHouse-Timezone": self._engine.timezone,
            "X-ClickHouse-Format": reply.data_format,
            "X-ClickHouse-Server-Display-Name": "seawall",
            "X-ClickHouse-Summary": json.dumps({k: str(v) for k, v in summary.items()}),
            hdrs.CONTENT_TYPE: _content_type(reply.data_format),
        }
        encoding = _accepted_encoding(request)
        if encoding and len(body) > 1024:
            body = await asyncio.to_thread(_compress, body, encoding)
            headers[hdrs.CONTENT_ENCODING] = encoding
        return web.Response(body=body, headers=headers)

    async def _body(self, request: web.Request) -> bytes:
        """Read the body. aiohttp itself undoes gzip, deflate and zstd; lz4 it does not know."""
        body = await request.read()
        if request.headers.get(hdrs.CONTENT_ENCODING, "").lower() != "lz4":
            return body
        return await asyncio.to_thread(_decompress_lz4, body)


def _decompress_lz4(body: bytes) -> bytes:
    decompressor = lz4.frame.LZ4FrameDecompressor()
    try:
        data = decompressor.decompress(body, MAX_BODY_BYTES)
    except RuntimeError as error:
        msg = f"Code: 354. DB::Exception: The body is not an LZ4 frame: {error}. (ZLIB_INFLATE_FAILED)"
        raise QueryFailed(msg) from error
    if not decompressor.eof:
        msg = (
            f"Code: 307. DB::Exception: LZ4 frame cut short or over {MAX_BODY_BYTES} bytes. (TOO_MANY_BYTES)"
        )
        raise QueryFailed(msg)
    return bytes(data)


def _accepted_encoding(request: web.Request) -> str:
    if not _is_on(request.query.get("enable_http_compression")):
        return ""
    accepted = {
        part.split(";")[0].strip().lower()
        for part in request.headers.get(hdrs.ACCEPT_ENCODING, "").split(",")
    }
    return next((name for name in ("lz4", "gzip", "deflate") if name in accepted), "")


def _compress(body: bytes, encoding: str) -> bytes:
    if encoding == "lz4":
        return bytes(lz4.frame.compress(body))
    return gzip.compress(body, 1) if encoding == "gzip" else zlib.compress(body, 1)


def _content_type(data_format: str) -> str:
    lowered = data_format.lower()
    return next(
        (kind for prefix, kind in _CONTENT_TYPES if lowered.startswith(prefix)), "application/octet-stream"
    )


def _is_on(value: str | None) -> bool:
    return (value or "0").lower() not in {"0", "false", "off"}


def _failure(message: str, code: int, status: int | None = None) -> web.Response:
    return web.Response(
        status=status or _STATUS.get(code, 500),
        text=message + "\n",
        headers={"X-ClickHouse-Exception-Code": str(code), "X-ClickHouse-Server-Display-Name": "seawall"},
    )


async def serve(data_dir: Path, port: int, username: str = "default", password: str = "") -> None:
    """Serve the store of `data_dir` on loopback until SIGTERM or SIGINT."""
    engine = Engine(data_dir / "store")
    # after the engine, which sets handlers of its own
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(StoreServer(engine, username, password).application(), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError as error:
        msg = f"store: port {port} cannot be used ({error.strerror}); set SEAWALL_STORE_PORT to a free one"
        raise Unavailable(msg) from error
    print(f"store: {data_dir / 'store'} (engine {engine.version}) on http://127.0.0.1:{port}", flush=True)
    await stop.wait()
    await runner.cleanup()
    engine.close()


def main() -> int:
    """Run the store as a process of its own. The password comes by environment, never by argument."""
    parser = argparse.ArgumentParser(prog="python -m streams.embedded.store", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    os.environ["TZ"] = "UTC"  # the engine's dates must not depend on the laptop's time zone
    time.tzset()
    username = os.environ.get("SEAWALL_STORE_USERNAME", "default")
    password = os.environ.get("SEAWALL_STORE_PASSWORD", "")
    try:
        asyncio.run(serve(arguments.data_dir, arguments.port, username, password))
    except SeawallError as error:
        print(f"seawall: {error}", file=sys.stderr)
        return 1
    # the engine's background threads may outlast the interpreter's shutdown and crash in it
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
