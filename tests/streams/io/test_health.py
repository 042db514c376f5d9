"""The worker's page says how it is, and nothing that it must not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from seawall.settings import Settings
from streams.io.health import HealthServer, secrets_of
from streams.io.metrics import NOTIFICATIONS, Metrics

SETTINGS = Settings(
    broker_password="canary-broker",
    store_password='canary-"store\\',
    webhook_secret="whsec_canarynew whsec_canaryold",
    slack_webhook_url="#a=https://hooks.slack.com/services/canary",
    pagerduty_routing_key="ml=canarykey,canaryrest",
    grafana_token="canary-token",
)


class Worker:
    def __init__(self) -> None:
        self.status: dict[str, Any] = {"reasons": [], "ready": True, "partitions": [1, 2]}
        self.fault: Exception | None = None

    def __call__(self) -> Mapping[str, Any]:
        if self.fault:
            raise self.fault
        return self.status


async def get(server: HealthServer, path: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def test_a_well_worker_says_so() -> None:
    worker, metrics = Worker(), Metrics()
    metrics.add(NOTIFICATIONS, receiver="log", outcome="delivered")
    server = HealthServer(worker, metrics, port=0)
    await server.start()
    try:
        status, text = await get(server, "/health")
        assert status == 200
        assert '"status": "ok"' in text
        assert '"partitions": [1, 2]' in text
        assert (await get(server, "/ready"))[0] == 200
        status, text = await get(server, "/metrics")
        assert status == 200
        assert 'seawall_notifications_total{outcome="delivered",receiver="log"} 1.0' in text
        for path in ("/", "/table/", "/table/counts/", "/graph/", "/router/", "/stats/", "/performance/"):
            assert (await get(server, path))[0] == 404, "a page of Faust's web server, which is off"
    finally:
        await server.stop()


async def test_an_unwell_worker_says_why() -> None:
    worker = Worker()
    worker.status = {"reasons": ["store: no answer for 60 s"], "ready": True}
    server = HealthServer(worker, Metrics(), port=0)
    await server.start()
    try:
        status, text = await get(server, "/health")
        assert (status, "store: no answer for 60 s" in text) == (503, True)
        assert (await get(server, "/ready"))[0] == 200
        worker.status = {"reasons": [], "ready": False}
        assert (await get(server, "/health"))[0] == 200
        assert (await get(server, "/ready"))[0] == 503
        worker.fault = KeyError("canary")
        status, text = await get(server, "/health")
        assert (status, "status failed: KeyError" in text, "canary" in text) == (503, True, False)
    finally:
        await server.stop()


async def test_no_planted_secret_is_served(caplog: pytest.LogCaptureFixture) -> None:
    worker, metrics = Worker(), Metrics()
    planted = secrets_of(SETTINGS)
    worker.status = {
        "reasons": [f"broker refused {SETTINGS.broker_password}"],
        "ready": True,
        "settings": {
            "a": SETTINGS.store_password,
            "b": [SETTINGS.webhook_secret],
            "c": ValueError("canarykey"),
        },
        SETTINGS.grafana_token: 1,
    }
    for secret in planted:
        metrics.add(NOTIFICATIONS, receiver=secret, outcome="rejected")
    server = HealthServer(worker, metrics, port=0, secrets=planted)
    await server.start()
    try:
        shown = "".join([(await get(server, path))[1] for path in ("/health", "/ready", "/metrics")])
    finally:
        await server.stop()
    assert "[redacted]" in shown
    assert "canary" not in shown + caplog.text


def test_an_unset_or_tiny_secret_blots_out_nothing() -> None:
    assert secrets_of(Settings()) == ()
    assert secrets_of(Settings(store_password="x")) == ()


async def test_it_listens_on_loopback_and_frees_its_port() -> None:
    server = HealthServer(Worker(), Metrics(), port=0)
    await server.start()
    second = HealthServer(Worker(), Metrics(), port=server.port)
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    await server.stop()
    await second.start()
    await second.stop()
    await second.stop()
