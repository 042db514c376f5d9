"""The part of Grafana's HTTP API that publishing uses, with its authentication and its answers' shapes.

Written from https://grafana.com/docs/grafana/latest/developers/http_api/ (folders, data sources, dashboards).
"""

from __future__ import annotations

import asyncio
import hmac
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "glsa_contract_9f8e7d6c"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Grafana:
    """What the server holds, and what was asked of it."""

    plugins: list[str] = field(default_factory=lambda: ["grafana-clickhouse-datasource"])
    folders: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[str, dict[str, Any]] = field(default_factory=dict)
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)
    folder_of: dict[str, str] = field(default_factory=dict)
    provisioned: set[str] = field(default_factory=set)
    is_editor_only: bool = False
    broken: str = ""
    requests: list[str] = field(default_factory=list)
    url: str = ""

    @property
    def writes(self) -> list[str]:
        """Requests that may change something."""
        return [request for request in self.requests if not request.startswith("GET")]

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/grafana/api/plugins", self._plugins)
        app.router.add_get("/grafana/api/folders/{uid}", self._get_folder)
        app.router.add_post("/grafana/api/folders", self._post_folder)
        app.router.add_get("/grafana/api/datasources/uid/{uid}", self._get_source)
        app.router.add_post("/grafana/api/datasources", self._post_source)
        app.router.add_get("/grafana/api/dashboards/uid/{uid}", self._get_dashboard)
        app.router.add_post("/grafana/api/dashboards/db", self._post_dashboard)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if self.broken == "html":
            return web.Response(text="<h1>proxy</h1>", content_type="application/xhtml+xml")
        if self.broken == "500":
            return web.json_response({"message": f"boom, you sent {TOKEN}"}, status=500)
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given, f"Bearer {TOKEN}"):
            return web.json_response({"message": "Invalid API key"}, status=401)
        return await handler(request)

    async def _plugins(self, _: web.Request) -> web.Response:
        return web.json_response([{"id": one, "enabled": True} for one in self.plugins])

    async def _get_folder(self, request: web.Request) -> web.Response:
        return self._answer(self.folders, request, "folder not found")

    async def _post_folder(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["uid"] in self.folders:
            return web.json_response({"message": "a folder with that uid exists"}, status=412)
        self.folders[body["uid"]] = body
        return web.json_response(body)

    async def _get_source(self, request: web.Request) -> web.Response:
        return self._answer(self.sources, request, "Data source not found")

    async def _post_source(self, request: web.Request) -> web.Response:
        if self.is_editor_only:
            return web.json_response({"message": "You'll need additional permissions"}, status=403)
        body = await request.json()
        assert body["type"] in self.plugins
        assert isinstance(body["jsonData"]["port"], int)
        self.sources[body["uid"]] = body
        return web.json_response({"id": 1, "name": body["name"], "message": "Datasource added"})

    async def _get_dashboard(self, request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        if uid not in self.dashboards:
            return web.json_response({"message": "Dashboard not found"}, status=404)
        meta = {"folderUid": self.folder_of[uid], "provisioned": uid in self.provisioned}
        return web.json_response({"dashboard": self.dashboards[uid], "meta": meta})

    async def _post_dashboard(self, request: web.Request) -> web.Response:
        body = await request.json()
        dashboard = body["dashboard"]
        uid = dashboard["uid"]
        if uid in self.provisioned:
            return web.json_response({"message": "Cannot save provisioned dashboard"}, status=400)
        if body["folderUid"] not in self.folders:
            return web.json_response({"message": "folder not found"}, status=400)
        old = self.dashboards.get(uid)
        if old is not None and not body["overwrite"] and dashboard.get("version") != old["version"]:
            return web.json_response({"status": "version-mismatch", "message": "changed"}, status=412)
        version = old["version"] + 1 if old else 1
        self.dashboards[uid] = {**dashboard, "id": len(self.dashboards) + 1, "version": version}
        self.folder_of[uid] = body["folderUid"]
        return web.json_response({"uid": uid, "status": "success", "version": version, "url": f"/d/{uid}"})

    def _answer(self, known: dict[str, dict[str, Any]], request: web.Request, missing: str) -> web.Response:
        uid = request.match_info["uid"]
        if uid not in known:
            return web.json_response({"message": missing}, status=404)
        return web.json_response(known[uid])


@contextmanager
def serving(grafana: Grafana) -> Iterator[Grafana]:
    """Serve on a free loopback port, below a path as behind a proxy, from a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = web.AppRunner(grafana.application(), access_log=None, shutdown_timeout=0.5)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        grafana.url = f"http://127.0.0.1:{port}/grafana"
        yield grafana
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
