"""The health page of ``seawall up``: for a person at ``/``, for a machine at ``/health``, on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from seawall.errors import Unavailable
from streams.io.status import Status

#: A page that reloads itself, or several of them, must not load the store.
CACHE_S = 2.0
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1c2733; background: #fbfcfd; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid #dde4ea; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: #a3262a; font-weight: 600; } .good { color: #1d6b45; font-weight: 600; }
@media (prefers-color-scheme: dark) { body { color: #dbe4ec; background: #12181f; }
  th, td { border-color: #2b3742; } .bad { color: #ff8f8f; } .good { color: #6fd3a0; } }
"""


class HealthPage:
    """Serves `read` (cached for `CACHE_S`) from a thread of its own."""

    def __init__(self, port: int, read: Callable[[], Status]) -> None:
        self._read, self._port = read, port
        self._lock = threading.Lock()
        self._last: tuple[float, Status] | None = None
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Begin to serve.

        Raises
        ------
        Unavailable
            The port is in use.
        """
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", self._port), partial(_Handler, self))
        except OSError as error:
            msg = (
                f"health page: port {self._port} is in use; stop what listens there "
                "or set SEAWALL_HEALTH_PORT (or --health-port) to a free port"
            )
            raise Unavailable(msg) from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="health-page", daemon=True).start()

    def stop(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def status(self) -> Status:
        """Return the status, at most `CACHE_S` old."""
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > CACHE_S:
                self._last = (time.monotonic(), self._read())
            return self._last[1]


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "seawall", ""

    def __init__(self, page: HealthPage, *arguments: object) -> None:
        self._page = page
        super().__init__(*arguments)  # type: ignore[arg-type]  # handed through from the server

    def do_GET(self) -> None:
        """Answer ``/`` and ``/health``."""
        path = self.path.partition("?")[0]
        host = self.headers.get("Host", "").rpartition(":")[0]
        # a name that was re-bound to this machine must not let a web page read this one
        if path not in {"/", "/health"} or host not in {"127.0.0.1", "localhost", "[::1]"}:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        status = self._page.status()
        is_well = status.broker == "ok" and status.store == "ok"
        body = render(status).encode() if path == "/" else json.dumps(status.to_json()).encode()
        self.send_response(HTTPStatus.OK if is_well or path == "/" else HTTPStatus.SERVICE_UNAVAILABLE)
        self.send_header("Content-Type", "text/html; charset=utf-8" if path == "/" else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal for what matters."""


def render(status: Status) -> str:
    """Write the page for a person."""
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>Seawall</title>",
        "<meta name=viewport content='width=device-width'><meta http-equiv=refresh content=10>",
        f"<style>{_STYLE}</style></head><body><h1>Seawall</h1>",
        f"<p>Broker {_state(status.broker)} · Store {_state(status.store)} · {escape(status.asked)}</p>",
        _table(
            "Models",
            ("Model", "Serving", "Last window of version", "Last window ended", "Open alarms"),
            [
                (m.model, m.current_version or "–", m.version, m.window_end, m.open_alarms)
                for m in status.models
            ],
            "No windows yet. Send predictions to the bus and declare a monitor.",
        ),
        _table(
            "Open alarms",
            ("Began", "Severity", "Model", "Version", "What"),
            [
                (a.onset or a.opened, a.severity, a.model, a.version, f"{a.summary}. {a.story}".rstrip(". "))
                for a in status.alarms
            ],
            "None.",
        ),
        _table("Lag", ("Topic", "Records behind"), list(status.lag.items()), "Unknown."),
    ]
    return "".join(parts) + "</body></html>"


def _state(text: str) -> str:
    return "<span class=good>ok</span>" if text == "ok" else f"<span class=bad>{escape(text)}</span>"


def _table(title: str, heads: tuple[str, ...], rows: list[tuple[object, ...]], empty: str) -> str:
    if not rows:
        return f"<h2>{title}</h2><p>{empty}</p>"
    head = "".join(f"<th scope=col>{escape(h)}</th>" for h in heads)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    head = f"<thead><tr>{head}</tr></thead>"
    return f"<h2>{title}</h2><table>{head}<tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    return f"<td{' class=number' if isinstance(value, int) else ''}>{escape(str(value))}</td>"
