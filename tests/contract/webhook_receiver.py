"""A webhook receiver in a thread, for tests in which the sender is another process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebhookReceiver:
    """Takes everything, or refuses everything while `is_down`, or accepts it and answers nothing while it `hangs`."""

    def __init__(self) -> None:
        self.is_down = False
        self.refused = 0
        self.hung = 0
        self._taken: list[dict[str, Any]] = []
        self._answers = threading.Event()
        self._answers.set()
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if receiver.hangs:
                    receiver.wait()
                    self.close_connection = True
                    return
                self.send_response(200 if receiver.take(body) else 503)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    @property
    def hangs(self) -> bool:
        """Whether requests are read and never answered; what hung is hung up on when that is over."""
        return not self._answers.is_set()

    @hangs.setter
    def hangs(self, hangs: bool) -> None:
        (self._answers.clear if hangs else self._answers.set)()

    def wait(self) -> None:
        """Let a request wait for as long as the receiver hangs."""
        with self._lock:
            self.hung += 1
        self._answers.wait()

    def take(self, body: bytes) -> bool:
        """Keep a message, unless down."""
        with self._lock:
            if self.is_down:
                self.refused += 1
                return False
            self._taken.append(json.loads(body))
            return True

    @property
    def taken(self) -> list[dict[str, Any]]:
        """Messages in the order in which they came."""
        with self._lock:
            return list(self._taken)


@contextmanager
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """Run a receiver in a thread."""
    receiver = WebhookReceiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.hangs = False
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join(5)
