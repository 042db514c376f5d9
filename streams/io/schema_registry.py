"""Writers' schemas from a Confluent-compatible schema registry.

Looking up is asynchronous and may take for ever; deciding is synchronous and pure. `SchemaRegistry.prepare` looks
up ids before their records are decoded and tells which of them the registry could not answer for;
`SchemaRegistry.resolve` only knows what was found. A registry that is down is no fault of a record: the caller
waits, and the lookups go on by themselves. An id that the registry does not have, or that stands for something
else than an event of Seawall, is final, and the record's own fault.

What an id stands for never changes, so it is remembered for ever. That an id is unknown is forgotten after a while.

Garbage that begins with a zero byte names an id with every record. So few requests are under way at once, over
connections that are kept, and few ids are looked up at once: the others wait for their turn.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import aiohttp
import fastavro

from seawall.contracts import contract, contracts_dir
from seawall.errors import ConfigError, UnknownSchema
from seawall.wire import SchemaId

log = logging.getLogger(__name__)
_REPLY_BYTES = 1 << 20
_NOT_FOUND = 404
#: Ids that are remembered as unknown: more than the records of a run in each of a worker's topics.
_MOST_UNKNOWN = 20_000
#: Connections to the registry, and so requests at once.
CONNECTIONS = 8
#: Ids that are looked up at once. Most of the time of an unknown one goes into waiting before it is asked for again.
MOST_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try."""

    reply_s: float = 5.0
    """Of one request."""
    first_wait_s: float = 0.25
    """Before the second attempt; doubles from then on."""
    max_wait_s: float = 15.0
    attempts_if_unknown: int = 4
    """An id may be written before every node of the registry has it."""
    unknown_for_s: float = 300.0
    """When an unknown id is asked for anew."""


class SchemaRegistry:
    """Client of a schema registry. For one event loop.

    Parameters
    ----------
    url
        Base URL; user and password may be part of it and are shown to nobody.
    patience
        How long to try.
    clock
        Seconds, monotonic.
    sleep
        Waits the given seconds between attempts.
    """

    def __init__(
        self,
        url: str,
        patience: Patience | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._base, self._headers = _without_secret(url)
        self._patience = patience or Patience()
        self._clock = clock
        self._sleep = sleep
        self._known: dict[SchemaId, tuple[str, Any]] = {}
        self._unknown: dict[SchemaId, tuple[str, float]] = {}
        self._lookups: dict[SchemaId, asyncio.Task[None]] = {}
        """Those under way."""
        self._session: aiohttp.ClientSession | None = None
        # The session has such a limit too, but a request that waits for it is already being timed.
        self._turn = asyncio.Semaphore(CONNECTIONS)
        self.trouble = ""
        """Why the registry did not answer last; empty when it does."""

    def resolve(self, schema_id: SchemaId) -> tuple[str, Any]:
        """Contract name and parsed writer's schema of an id that was prepared.

        Raises
        ------
        UnknownSchema
            The registry does not have it, or it is no event of Seawall.
        """
        found = self._known.get(schema_id)
        if found is not None:
            return found
        why, _ = self._unknown.get(schema_id, ("was not looked up", 0.0))
        raise UnknownSchema("unknown_schema", f"schema id {schema_id} {why}")

    async def prepare(self, ids: Iterable[SchemaId], within_s: float) -> set[SchemaId]:
        """Look ids up; return those that the registry has not answered for within the time.

        The lookups of these go on, with growing pauses, until they are answered. No more than `MOST_AT_ONCE` are
        begun; for the others it takes another call.
        """
        wanted = set(ids)
        for schema_id in wanted:
            if len(self._lookups) >= MOST_AT_ONCE:
                break
            if not self._is_settled(schema_id) and schema_id not in self._lookups:
                self._begin(schema_id)
        under_way = [self._lookups[i] for i in wanted if i in self._lookups]
        if under_way:
            await asyncio.wait(under_way, timeout=within_s)
        return {i for i in wanted if not self._is_settled(i)}

    async def close(self) -> None:
        """Stop looking, and close the connections."""
        tasks = list(self._lookups.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _begin(self, schema_id: SchemaId) -> None:
        task = self._lookups[schema_id] = asyncio.create_task(self._look_up(schema_id))
        task.add_done_callback(lambda _: self._lookups.pop(schema_id))

    def _is_settled(self, schema_id: SchemaId) -> bool:
        if schema_id in self._known:
            return True
        return schema_id in self._unknown and self._unknown[schema_id][1] > self._clock()

    async def _look_up(self, schema_id: SchemaId) -> None:
        absent = attempts = 0
        while not self._is_settled(schema_id):
            status, body = await self._ask(schema_id)
            attempts += 1
            if status == 200:
                self._take(schema_id, body)
                continue
            absent += status == _NOT_FOUND
            if absent >= self._patience.attempts_if_unknown:
                self._refuse(schema_id, "is not in the schema registry")
                continue
            wait_s = self._patience.first_wait_s * 2.0 ** min(attempts - 1, 32)
            await self._sleep(min(wait_s, self._patience.max_wait_s))

    async def _ask(self, schema_id: SchemaId) -> tuple[int, bytes]:
        """Status and body; status 0 when there was no answer."""
        kind = "ids" if isinstance(schema_id, int) else "guids"
        url = f"{self._base}/schemas/{kind}/{quote(str(schema_id), safe='')}"
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=self._patience.reply_s),
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._turn, self._session.get(url, allow_redirects=False) as answer:
                body = await answer.content.read(_REPLY_BYTES)
                while not answer.content.at_eof() and len(body) < _REPLY_BYTES:
                    body += await answer.content.read(_REPLY_BYTES)
                status = answer.status
        except TimeoutError:
            self._say(f"no answer within {self._patience.reply_s:g} s")
            return 0, b""
        except (aiohttp.ClientError, OSError) as error:
            self._say(type(error).__name__)
            return 0, b""
        # 404 is an answer only in the registry's own words; a proxy's is an outage like any other.
        if status == _NOT_FOUND and not _is_registry_error(body):
            status = 502
        self._say("" if status in (200, _NOT_FOUND) else f"status {status}")
        return status, body

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            log.warning(
                "schema registry %s: %s; trying again, records that need it wait", self._base, trouble
            )
        elif self.trouble and not trouble:
            log.info("schema registry %s answers again", self._base)
        self.trouble = trouble

    def _take(self, schema_id: SchemaId, body: bytes) -> None:
        try:
            self._known[schema_id] = read_registered(body)
            self._unknown.pop(schema_id, None)
        except UnknownSchema as error:
            self._refuse(schema_id, error.detail)

    def _refuse(self, schema_id: SchemaId, why: str) -> None:
        self._unknown.pop(schema_id, None)
        if len(self._unknown) >= _MOST_UNKNOWN:
            # Noise on a topic must not fill the memory. The oldest goes: somebody may wait for the newest.
            del self._unknown[next(iter(self._unknown))]
        self._unknown[schema_id] = why, self._clock() + self._patience.unknown_for_s
        log.warning("schema registry %s: schema id %s %s", self._base, schema_id, why)


def read_registered(body: bytes) -> tuple[str, Any]:
    """Read a registry's reply as (contract name, parsed schema). Raises `UnknownSchema`."""
    try:
        reply = json.loads(body)
        kind, text, references = reply.get("schemaType", "AVRO"), reply["schema"], reply.get("references")
        if kind != "AVRO" or references:
            why = (
                "refers to other schemas, which is not supported"
                if references
                else f"is {kind!s:.20}, not Avro"
            )
            raise UnknownSchema("unknown_schema", why)
        parsed = fastavro.parse_schema(json.loads(text))
        name = parsed["name"] if isinstance(parsed, dict) else str(parsed)
    except UnknownSchema:
        raise
    except Exception as error:  # whatever json and fastavro raise for a stranger's text
        raise UnknownSchema("unknown_schema", f"is no usable schema: {type(error).__name__}") from error
    known = _contract_by_record().get(name)
    if known is None:
        raise UnknownSchema("unknown_schema", f"is {name[:100]!a}, which is no event of Seawall")
    return known, parsed


@cache
def _contract_by_record() -> dict[str, str]:
    names = [path.stem for path in contracts_dir().glob("*.avsc")]
    return {contract(name).schema["name"]: name for name in names}


def _is_registry_error(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body)["error_code"], int)
    except (ValueError, KeyError, TypeError):
        return False


def _without_secret(url: str) -> tuple[str, dict[str, str]]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        host, port, parts = "", "", urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(
            "SEAWALL_SCHEMA_REGISTRY_URL: not a URL such as https://user:password@registry:8081"
        )
    host = f"[{host}]" if ":" in host else host
    base = urlunsplit((parts.scheme, host + port, parts.path.rstrip("/"), "", ""))
    if parts.username is None:
        return base, {}
    said = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return base, {"Authorization": f"Basic {base64.b64encode(said.encode()).decode()}"}
