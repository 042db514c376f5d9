"""The worker's page for machines: ``/metrics``, ``/health`` and ``/ready``, on loopback."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any

from aiohttp import web

from seawall.settings import SECRETS, Settings
from streams.io.http import redact
from streams.io.metrics import Metrics

log = logging.getLogger(__name__)

Status = Mapping[str, Any]
"""``reasons``: why the worker is unwell, empty when it is well; ``ready``: whether it takes part in the work;
anything else is shown as it is."""


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Collect the values that must never be shown, longest first so that none is left in part.

    Short values are left out: blotting out every ``x`` would make the page unreadable and hide nothing.
    """
    found: set[str] = set()
    for field in fields(settings):
        if field.name in SECRETS:
            value = str(getattr(settings, field.name))
            parts = value.replace(",", " ").split()
            found.update((value, *parts, *(part.partition("=")[2] for part in parts)))
    return tuple(sorted((value for value in found if len(value) >= 4), key=len, reverse=True))


class HealthServer:
    """Serves the page from the worker's own event loop, so that a loop which hangs answers nobody.

    Parameters
    ----------
    status
        Called for every request; must not block. If it fails the answer is 503 and names the error's type.
    secrets
        Values that are blotted out of everything served (see `secrets_of`).
    port
        0 takes any free port.
    """

    def __init__(
        self, status: Callable[[], Status], metrics: Metrics, *, port: int, secrets: Collection[str] = ()
    ) -> None:
        self._status = status
        self._metrics = metrics
        self._port = port
        self._secrets = secrets
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to listen.

        Raises
        ------
        OSError
            The port is taken.
        """
        app = web.Application()
        app.router.add_get("/metrics", self._get_metrics)
        app.router.add_get("/health", self._get_health)
        app.router.add_get("/ready", self._get_ready)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._port = runner.addresses[0][1]

    @property
    def port(self) -> int:
        """Where it listens, once started."""
        return self._port

    async def stop(self) -> None:
        """Stop listening. Blocks up to a second for requests under way."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _get_metrics(self, request: web.Request) -> web.Response:
        # a label's value is served escaped, and so would be a secret in it
        escaped = [
            secret.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") for secret in self._secrets
        ]
        text = redact(self._metrics.render().decode(), (*escaped, *self._secrets))
        return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _get_health(self, request: web.Request) -> web.Response:
        status = self._read()
        reasons = list(status.get("reasons", ()))
        shown = {**status, "status": "unwell" if reasons else "ok", "reasons": reasons}
        return self._json(shown, is_good=not reasons)

    async def _get_ready(self, request: web.Request) -> web.Response:
        is_ready = bool(self._read().get("ready", False))
        return self._json({"ready": is_ready}, is_good=is_ready)

    def _read(self) -> Status:
        try:
            return self._status()
        except Exception as error:  # a page that says so beats a page that fails
            log.warning("health: status failed: %s", type(error).__name__)
            return {"reasons": [f"status failed: {type(error).__name__}"], "ready": False}

    def _json(self, value: Status, *, is_good: bool) -> web.Response:
        # blotted out before encoding: a quote or backslash in a secret would look different afterwards
        text = json.dumps(_blot(value, self._secrets), default=str)
        return web.Response(text=text, status=200 if is_good else 503, content_type="application/json")


def _blot(value: Any, secrets: Collection[str]) -> Any:
    if isinstance(value, Mapping):
        return {redact(str(name), secrets): _blot(part, secrets) for name, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_blot(part, secrets) for part in value]
    if isinstance(value, int | float | bool) or value is None:
        return value
    return redact(str(value), secrets)
