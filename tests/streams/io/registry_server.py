"""A schema registry on loopback: real HTTP, and whatever trouble a test wants."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from streams.embedded.processes import free_port


class RegistryServer:
    """Answers as Confluent's registry does."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.schemas: dict[str, dict[str, Any]] = {}
        """Replies by path below ``/schemas``, such as ``ids/7``."""
        self.status = 200
        """Anything else is answered to every request."""
        self.password: tuple[str, str] | None = None
        self.asked: list[str] = []
        self.most_connections = 0
        self._runner: web.AppRunner | None = None

    def register(self, schema_id: int | str, schema: Any, **more: Any) -> None:
        kind = "ids" if isinstance(schema_id, int) else "guids"
        self.schemas[f"{kind}/{schema_id}"] = {"schema": json.dumps(schema), **more}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> Self:
        app = web.Application()
        app.router.add_get("/schemas/{kind}/{id}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _answer(self, request: web.Request) -> web.Response:
        path = f"{request.match_info['kind']}/{request.match_info['id']}"
        self.asked.append(path)
        assert self._runner is not None
        assert self._runner.server is not None
        self.most_connections = max(self.most_connections, len(self._runner.server.connections))
        if self.status != 200:
            return web.Response(status=self.status, text="<html>trouble</html>", headers={"Location": "/"})
        if self.password is not None:
            wanted = base64.b64encode(":".join(self.password).encode()).decode()
            if request.headers.get("Authorization") != f"Basic {wanted}":
                return web.json_response({"error_code": 401, "message": "Unauthorized"}, status=401)
        if path not in self.schemas:
            return web.json_response({"error_code": 40403, "message": "Schema not found"}, status=404)
        return web.json_response(self.schemas[path])


class ThreadedRegistry:
    """A registry server in a thread of its own; not started yet."""

    def __init__(self) -> None:
        self.server = RegistryServer(free_port())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def start(self) -> None:
        self._do(self.server.start())

    def stop(self) -> None:
        self._do(self.server.stop())

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
