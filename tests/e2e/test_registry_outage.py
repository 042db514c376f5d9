"""The schema registry is down: what needs it waits, what does not goes on, and nothing is dead or lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from seawall.contracts import contracts_dir
from seawall.settings import Settings
from seawall.wire import HEADER_BYTES
from streams.embedded.stack import Stack, running_stack
from streams.io.clickhouse import Store
from tests.e2e.produce import append, committed, singles
from tests.e2e.test_bad_partition import counted, dead, health
from tests.e2e.test_loop import until
from tests.streams.io.registry_server import ThreadedRegistry

pytestmark = pytest.mark.e2e
STARTED = replace(
    Settings(),
    replay=True,
    idle_timeout_s=1.5,
    publish_interval_s=0.3,
    save_interval_s=1.0,
    chunk_bytes=50_000,
)


@pytest.fixture
def registry() -> Iterator[ThreadedRegistry]:
    made = ThreadedRegistry()
    yield made
    made.close()


def stopped(stack: Stack) -> list[str]:
    try:
        return list(health(stack)["stopped"])
    except OSError:
        return []  # the worker is only starting


def confluent(first: int, end: int, schema_id: int) -> list[bytes]:
    return [b"\0" + schema_id.to_bytes(4, "big") + value[HEADER_BYTES:] for value in singles(first, end)]


def test_records_wait_for_the_registry_and_are_counted_when_it_answers(
    registry: ThreadedRegistry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    registry.server.register(7, json.loads((contracts_dir() / "prediction.avsc").read_text(encoding="utf-8")))
    settings = replace(
        STARTED, schema_registry_url=f"http://u:canary-password@127.0.0.1:{registry.server.port}"
    )
    directory = tmp_path_factory.mktemp("stack")
    with running_stack(directory, settings=settings) as stack:
        store = Store(stack.settings)
        append(stack.settings, "predictions", 0, confluent(0, 600, 7))
        until(lambda: bool(stopped(stack)), "the partition to wait")
        assert stopped(stack) == ["predictions/0 waits for the schema registry: schema id 7"]
        append(stack.settings, "predictions", 1, singles(600, 900))
        until(lambda: counted(store) == 300, "what needs no registry to be counted")
        assert committed(stack.settings, "predictions", 0) == 0

        registry.start()
        until(lambda: counted(store) == 900, "what waited to be counted", 90)
        assert stopped(stack) == []
        assert dead(store) == 0

        append(stack.settings, "predictions", 0, [*confluent(900, 910, 7), *confluent(910, 915, 8)])
        until(lambda: dead(store) == 5, "records of an unknown schema to be set aside")
        until(lambda: counted(store) == 910, "their neighbours to be counted")
    logs = "".join(path.read_text(errors="replace") for path in directory.rglob("*.log"))
    assert "waits for schema id 7" in logs
    assert "canary-password" not in logs
