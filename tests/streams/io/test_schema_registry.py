"""Lookups against a real server: what is found, what is final, and what is worth waiting for."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import fastavro
import pytest

from seawall.contracts import contract, contracts_dir
from seawall.errors import ConfigError, UnknownSchema
from seawall.wire import header_schema_id
from streams.core.columnar import decode_run
from streams.core.decode import Record
from streams.io.schema_registry import CONNECTIONS, MOST_AT_ONCE, Patience, SchemaRegistry
from tests.streams.core.builders import NOW, T0
from tests.streams.io.registry_server import RegistryServer

PREDICTION = json.loads((contracts_dir() / "prediction.avsc").read_text(encoding="utf-8"))
GUID = "00112233-4455-6677-8899-aabbccddeeff"
QUICK = Patience(reply_s=5.0, first_wait_s=0.01, max_wait_s=0.02)


@pytest.fixture
async def server() -> AsyncIterator[RegistryServer]:
    async with RegistryServer() as running:
        yield running


@pytest.fixture
async def registry(server: RegistryServer) -> AsyncIterator[SchemaRegistry]:
    client = SchemaRegistry(server.url, QUICK)
    yield client
    await client.close()


def why(registry: SchemaRegistry, schema_id: int | str) -> str:
    with pytest.raises(UnknownSchema) as refused:
        registry.resolve(schema_id)
    assert refused.value.reason == "unknown_schema"
    return refused.value.detail


async def test_an_id_is_asked_for_once_and_remembered(
    server: RegistryServer, registry: SchemaRegistry
) -> None:
    server.register(7, PREDICTION)
    assert await registry.prepare([7, 7], 5) == set()
    assert await registry.prepare([7], 5) == set()
    assert server.asked == ["ids/7"]
    assert registry.resolve(7) == ("prediction", contract("prediction").schema)


async def test_a_guid_is_looked_up_as_one(server: RegistryServer, registry: SchemaRegistry) -> None:
    server.register(GUID, PREDICTION)
    schema_id = header_schema_id(b"\x01" + bytes.fromhex(GUID.replace("-", "")))
    assert schema_id == GUID
    assert await registry.prepare([schema_id], 5) == set()
    assert registry.resolve(GUID)[0] == "prediction"


async def test_an_unknown_id_is_final_after_some_attempts(
    server: RegistryServer, registry: SchemaRegistry
) -> None:
    assert await registry.prepare([9], 5) == set()
    assert server.asked == ["ids/9"] * QUICK.attempts_if_unknown
    assert why(registry, 9) == "schema id 9 is not in the schema registry"


async def test_an_id_that_comes_a_little_late_is_found(
    server: RegistryServer, registry: SchemaRegistry
) -> None:
    waiting = asyncio.create_task(registry.prepare([7], 5))
    while not server.asked:
        await asyncio.sleep(0)
    server.register(7, PREDICTION)
    assert await waiting == set()
    assert registry.resolve(7)[0] == "prediction"


async def test_an_unknown_id_is_asked_for_anew_after_a_while(server: RegistryServer) -> None:
    now = [0.0]
    registry = SchemaRegistry(server.url, QUICK, clock=lambda: now[0])
    await registry.prepare([7], 5)
    server.register(7, PREDICTION)
    await registry.prepare([7], 5)
    why(registry, 7)
    now[0] = QUICK.unknown_for_s + 1
    assert await registry.prepare([7], 5) == set()
    assert registry.resolve(7)[0] == "prediction"
    await registry.close()


@pytest.mark.parametrize("status", [500, 503, 429, 401, 302, 404])
async def test_an_outage_is_no_answer_and_ends_by_itself(
    server: RegistryServer, registry: SchemaRegistry, status: int
) -> None:
    """404 among them: what a proxy says about a path is not what the registry says about an id."""
    server.register(7, PREDICTION)
    server.status = status
    assert await registry.prepare([7], 0.1) == {7}
    while not registry.trouble:
        await asyncio.sleep(0)
    server.status = 200
    assert await registry.prepare([7], 30) == set()
    assert registry.resolve(7)[0] == "prediction"
    assert not registry.trouble


async def test_a_registry_that_is_not_there_is_waited_for(server: RegistryServer) -> None:
    server.register(7, PREDICTION)
    await server.stop()
    registry = SchemaRegistry(server.url, QUICK)
    assert await registry.prepare([7], 0.1) == {7}
    await server.start()
    assert await registry.prepare([7], 5) == set()
    await registry.close()
    assert registry.resolve(7)[0] == "prediction"


async def test_thousands_of_ids_that_mean_nothing_take_few_connections_and_leave_nothing_behind(
    server: RegistryServer, registry: SchemaRegistry
) -> None:
    """Garbage that begins with a zero byte names an id with every record: it used to take a connection for each."""
    ids = set(range(4 * MOST_AT_ONCE))
    rounds = 0
    while missing := await registry.prepare(ids, 5):
        rounds += 1
        assert len(missing) == len(ids) - rounds * MOST_AT_ONCE, "so many at once, and no more"
    assert rounds == 3
    assert server.most_connections == CONNECTIONS
    assert len(server.asked) == len(ids) * QUICK.attempts_if_unknown
    assert registry._lookups == {}
    assert why(registry, 1000) == "schema id 1000 is not in the schema registry"


async def test_closing_ends_the_lookups_and_the_connections(server: RegistryServer) -> None:
    registry = SchemaRegistry(server.url, QUICK)
    server.register(1, PREDICTION)
    assert await registry.prepare([1], 5) == set()
    server.status = 500
    assert await registry.prepare([2], 0.0) == {2}
    await registry.close()
    assert registry._lookups == {}
    assert registry._session is None


async def test_what_is_known_needs_no_registry(server: RegistryServer, registry: SchemaRegistry) -> None:
    server.register(7, PREDICTION)
    await registry.prepare([7], 5)
    await server.stop()
    assert await registry.prepare([7], 0) == set()


@pytest.mark.parametrize(
    ("schema", "more", "said"),
    [
        ({"type": "record", "name": "Order", "namespace": "com.shop", "fields": []}, {}, "com.shop.Order"),
        ({"type": "object"}, {"schemaType": "JSON"}, "is JSON, not Avro"),
        ("string", {}, "no event of Seawall"),
        ({"type": "record"}, {}, "no usable schema"),
        (PREDICTION, {"references": [{"name": "x", "subject": "y", "version": 1}]}, "other schemas"),
    ],
)
async def test_a_schema_that_is_no_event_is_final(
    server: RegistryServer, registry: SchemaRegistry, schema: Any, more: dict[str, Any], said: str
) -> None:
    server.register(7, schema, **more)
    assert await registry.prepare([7], 5) == set()
    assert said in why(registry, 7)


async def test_user_and_password_are_sent_and_never_shown(
    server: RegistryServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.password = ("ops", "canary:s3cret")
    server.register(7, PREDICTION)
    good = SchemaRegistry(server.url.replace("//", "//ops:canary%3As3cret@"), QUICK)
    assert await good.prepare([7], 5) == set()
    await good.close()
    wrong = SchemaRegistry(server.url.replace("//", "//ops:canary-wrong@"), QUICK)
    assert await wrong.prepare([7], 0.1) == {7}
    while not wrong.trouble:
        await asyncio.sleep(0)
    await wrong.close()
    assert "status 401" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize("url", ["registry:8081", "ftp://u:canary@h", "http://", "http://u:canary@[h"])
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        SchemaRegistry(url)
    assert "SEAWALL_SCHEMA_REGISTRY_URL" in str(refused.value)
    assert "canary" not in str(refused.value)


async def test_records_in_both_confluent_framings_are_read(
    server: RegistryServer, registry: SchemaRegistry
) -> None:
    older = {
        **PREDICTION,
        "fields": [f for f in PREDICTION["fields"] if f["name"] not in ("weight", "label")],
    }
    newer = {
        **PREDICTION,
        "fields": [*PREDICTION["fields"], {"name": "region", "type": ["null", "string"], "default": None}],
    }
    server.register(1, older)
    server.register(2, newer)
    assert await registry.prepare([1, 2, 3], 5) == set()

    def datum(schema: Any, i: int) -> bytes:
        out = io.BytesIO()
        event = {"event_id": f"e{i}", "model": "m", "version": "v1", "ts": T0, "region": "north"}
        fastavro.schemaless_writer(
            out, fastavro.parse_schema(schema), {**event, "numeric": [{"name": "x", "value": i}]}
        )
        return out.getvalue()

    run = [Record(i, NOW, b"\0\0\0\0\1" + datum(older, i)) for i in range(20)]
    run += [Record(20 + i, NOW, datum(newer, i), schema_id=2) for i in range(20)]
    run += [Record(40, NOW, b"\0\0\0\0\3" + datum(newer, 1))]
    found = decode_run("predictions", run, registry.resolve)
    assert [(letter.offset, letter.reason) for _, letter in found.dead] == [(40, "unknown_schema")]
    assert [c.rows for _, c in found.part(0, 41)] == [40]
    assert found.read_singly < 5
