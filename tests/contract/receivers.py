"""Real local servers that hold a sender to what PagerDuty and Slack document, and that fail on request.

Rules: PagerDuty/developer-docs, docs/events-API-v2/01 and 02; docs.slack.dev, incoming webhooks, rate limits
and Block Kit; slackapi/bolt-js#2509 for the undocumented total.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Trouble = int | str
"""A status to answer with, ``hang``, ``close``, ``lost`` (acted upon, then no answer), or ``ok``."""


class ContractServer:
    """Takes everything; subclasses know the rules. `script` holds what to do to the next requests."""

    def __init__(self) -> None:
        self.script: deque[Trouble] = deque()
        self.default: Trouble = "ok"
        self.retry_after: str | None = None
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.accepted: list[Any] = []
        self.url = ""
        self._stop = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=4_000_000)
        app.router.add_post("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        assert self._runner is not None
        await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(({name.lower(): value for name, value in request.headers.items()}, body))
        trouble = self.script.popleft() if self.script else self.default
        if trouble == "hang":
            await self._stop.wait()
        if trouble in ("close", "lost"):
            if trouble == "lost":
                self.judge(body)
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if isinstance(trouble, int):
            headers = {"Retry-After": self.retry_after} if self.retry_after else {}
            if 300 <= trouble < 400:
                headers["Location"] = str(self.default)
            return web.Response(status=trouble, headers=headers, text="as scripted")
        status, text, headers = self.judge(body)
        return web.Response(status=status, text=text, headers=headers)

    def judge(self, body: bytes) -> tuple[int, str, dict[str, str]]:
        self.accepted.append(body)
        return 200, "ok", {}


class PagerDuty(ContractServer):
    """The Events API v2. `alerts` holds the routing key under which each dedup key is open."""

    def __init__(self, routing_keys: set[str]) -> None:
        super().__init__()
        self.routing_keys = routing_keys
        self.alerts: dict[str, str] = {}
        self.incidents_opened = 0
        self.most_open_for_one_key = 0

    def judge(self, body: bytes) -> tuple[int, str, dict[str, str]]:
        problem = self._problem(body)
        if problem:
            return 400, json.dumps({"status": "invalid event", "errors": [problem]}), {}
        event = json.loads(body)
        key = event["dedup_key"]
        if event["event_action"] == "trigger" and key not in self.alerts:
            self.alerts[key] = event["routing_key"]
            self.incidents_opened += 1
        elif event["event_action"] == "resolve":
            self.alerts.pop(key, None)
        self.accepted.append(event)
        return 202, json.dumps({"status": "success", "dedup_key": key}), {}

    def _problem(self, body: bytes) -> str:  # noqa: PLR0911 - one line a rule
        if len(body) > 512 * 1024:
            return "event is larger than 512 KB"
        event = json.loads(body)
        if event.get("routing_key") not in self.routing_keys:
            return "routing_key is missing or invalid"
        if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            return "event_action is invalid"
        key = event.get("dedup_key")
        if not isinstance(key, str) or not 0 < len(key) <= 255:
            return "dedup_key is invalid"
        if event["event_action"] == "resolve":
            # stricter than the real one, which takes the event and ignores it
            opened_by = self.alerts.get(key, event["routing_key"])
            return "" if opened_by == event["routing_key"] else "resolve under another routing_key"
        payload = event.get("payload", {})
        summary = payload.get("summary")
        if not summary or len(summary) > 1024:
            return "summary is missing or longer than 1024"
        if not payload.get("source"):
            return "source is missing"
        if payload.get("severity") not in ("critical", "error", "warning", "info"):
            return "severity is invalid"
        return ""


class Slack(ContractServer):
    """One incoming webhook: a message a second, Block Kit's limits."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._last_s: float | None = None
        self.throttled = 0

    def judge(self, body: bytes) -> tuple[int, str, dict[str, str]]:
        if self._clock is not None:
            now_s = self._clock()
            if self._last_s is not None and now_s - self._last_s < 1 - 1e-6:
                self.throttled += 1
                return 429, "rate_limited", {"Retry-After": "1"}
            self._last_s = now_s
        message = json.loads(body)
        problem = slack_problem(message)
        if problem:
            return 400, problem, {}
        self.accepted.append(message)
        return 200, "ok", {}


def slack_problem(message: dict[str, Any]) -> str:
    """What Slack would say against this message; nothing when it would take it."""
    blocks = message.get("blocks", [])
    if not message.get("text") or len(blocks) > 50:
        return "invalid_blocks"
    total = 0
    for block in blocks:
        if block["type"] == "header":
            texts, limit, kind = [block["text"]], 150, "plain_text"
        elif block["type"] == "section":
            texts, limit, kind = [block["text"]], 3000, "mrkdwn"
        elif block["type"] == "context":
            texts, limit, kind = block["elements"], 3000, "mrkdwn"
            if len(texts) > 10:
                return "invalid_blocks"
        else:
            return "invalid_blocks"
        for text in texts:
            if text["type"] != kind or not text["text"].strip() or len(text["text"]) > limit:
                return "invalid_blocks"
            total += len(text["text"])
    return "msg_blocks_too_long" if total > 13_000 else ""
