"""A proxy before the store that does to inserts what networks do: apply them and lose the answer, or take their time."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import unquote_plus, urlsplit

Trouble = Literal["ok", "lost", "500", "refused"]
"""``lost``: forwarded, then the connection is closed. ``500``: forwarded, then an error is answered. ``refused``: not
forwarded, and the connection is closed."""
_TIMEOUT_S = 60.0


class StoreProxy:
    """Forwards to the store. `script` holds what to do to the next inserts; queries pass.

    Each insert takes `delay_s` longer than the store needs.
    """

    def __init__(self, store_url: str) -> None:
        self._host = urlsplit(store_url).netloc
        self.script: deque[Trouble] = deque()
        self.done: Counter[Trouble] = Counter()
        self.delay_s = 0.0
        self.lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def next_trouble(self) -> Trouble:
        """Take what is to be done to this insert."""
        with self.lock:
            trouble = self.script.popleft() if self.script else "ok"
            self.done[trouble] += 1
            return trouble

    def forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask the store itself."""
        connection = http.client.HTTPConnection(self._host, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def serve(self) -> None:
        """Serve until `close`."""
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def store_proxy(store_url: str) -> Iterator[StoreProxy]:
    """Run a proxy in a thread."""
    proxy = StoreProxy(store_url)
    thread = threading.Thread(target=proxy.serve, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    owner: StoreProxy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._pass(self._read())

    def do_POST(self) -> None:
        body = self._read()
        is_insert = "INSERT INTO" in unquote_plus(self.path).upper() or body[:11].upper() == b"INSERT INTO"
        trouble = self.owner.next_trouble() if is_insert else "ok"
        if is_insert:
            time.sleep(self.owner.delay_s)
        if trouble == "ok":
            self._pass(body)
            return
        if trouble != "refused":
            self.owner.forward(self.command, self.path, self._headers(), body)
        if trouble == "500":
            self._answer(500, {}, b"Code: 210. DB::NetException: lost on the way")
        else:
            self.close_connection = True

    def _pass(self, body: bytes) -> None:
        try:
            status, headers, answer = self.owner.forward(self.command, self.path, self._headers(), body)
        except OSError:
            self.close_connection = True
            return
        self._answer(status, headers, answer)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        with contextlib.suppress(OSError):  # whoever asked has given up
            self._write(status, headers, body)

    def _write(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _headers(self) -> dict[str, str]:
        return {
            n: v
            for n, v in self.headers.items()
            if n.lower() not in {"host", "transfer-encoding", "content-length"}
        }

    def _read(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
