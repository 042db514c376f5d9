"""The counting half: dead letters and summaries on their way out, and what may be committed after them."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)
from faust.types import TP
from prometheus_client.parser import text_string_to_metric_families

from seawall.bus import each_message
from seawall.dead_letters import each_value, read_letters
from seawall.settings import Settings
from seawall.wire import HEADER_BYTES, decode
from streams.agents.ingest import Ingest
from streams.agents.results import Sink
from streams.agents.worker import Worker
from streams.io import metrics as m
from streams.io.kafka import Assignment, Run, RunApp, make_app
from streams.io.metrics import Metric, Metrics
from streams.io.schema_registry import Patience, SchemaRegistry
from streams.io.topic_ids import TopicIds
from streams.io.topics import create_topics
from tests.conftest import TEST_BROKER
from tests.streams.core.builders import NOW, T0, single
from tests.streams.io.registry_server import RegistryServer

POISON = b"\xc3\x01\x00\x11\x22\x33\x44\x55\x66\x77?"


@dataclass
class Runs:
    """What ingestion sees of the consumer."""

    current: Assignment
    ledger: dict[TP, int] = field(default_factory=dict)
    rewinds: dict[TP, int] = field(default_factory=dict)
    paused: set[TP] = field(default_factory=set)
    end: int | None = None

    def durable(self, tp: TP) -> int | None:
        return self.ledger.get(tp, self.current.starts.get(tp))

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        self.paused |= set(tps)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        self.paused -= set(tps)

    def highwater(self, tp: TP) -> int | None:
        return self.end

    def reached(self, tp: TP, taken: int) -> int:
        return taken

    async def rewind(self, tp: TP) -> None:
        assert tp in self.paused, "what is resumed before it is sought is read from where it stood"
        self.rewinds[tp] = self.rewinds.get(tp, 0) + 1

    async def begin_anew(self, tp: TP) -> None:
        self.rewinds[tp] = self.rewinds.get(tp, 0) + 1
        self.current.starts[tp] = self.ledger[tp] = 0


@dataclass
class Ids:
    """What the broker says of topics' ids: it has none, unless it is told."""

    found: dict[str, str] = field(default_factory=dict)

    def ask(self, names: Sequence[str]) -> dict[str, str]:
        return {name: self.found.get(name, "") for name in names}


@dataclass
class Bench:
    """An ingest of predictions with one partition, and what it publishes with."""

    settings: Settings
    producer: Any
    partition: int = 0
    registry: SchemaRegistry | None = None

    def __post_init__(self) -> None:
        self.tp = TP(self.settings.topic("predictions"), self.partition)
        self.runs = Runs(Assignment(1, {self.tp: None}))
        self.worker = Worker(
            self.settings,
            cast("RunApp", SimpleNamespace(runs=self.runs, producer=self.producer)),
            partitions={"summaries": 1, "predictions": 4},
        )
        self.ids = Ids()
        self.worker.topic_ids = cast("TopicIds", self.ids)
        self.worker.control_ready.set()
        self.metrics = Metrics()
        self.ingest = Ingest(self.worker, "predictions", self.metrics, self.registry)

    def shown(self, metric: Metric, **labels: str | int) -> float | None:
        """What Prometheus would be told, None where there is no such series."""
        wanted = {name: str(value) for name, value in labels.items()}
        families = text_string_to_metric_families(self.metrics.render().decode())
        suffix = "_count" if metric.kind == "histogram" else ""
        found = [
            s.value
            for f in families
            for s in f.samples
            if s.name == metric.name + suffix and s.labels == wanted
        ]
        return found[0] if found else None

    def run_of(self, first: int, values: Sequence[bytes], highwater: int | None = None, **more: Any) -> Run:
        made = [
            SimpleNamespace(
                offset=first + i,
                timestamp=NOW // 1000,
                timestamp_type=more.get("timestamp_type", 1),
                key=more.get("key"),
                value=v,
                headers=more.get("headers", ()),
            )
            for i, v in enumerate(values)
        ]
        return Run(self.tp, made, self.runs.current.epoch, highwater, self.runs.rewinds.get(self.tp, 0))


@dataclass
class Slow:
    """A producer whose messages are acknowledged when the test says so."""

    begun: list[str] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    under_way: list[asyncio.Future[None]] = field(default_factory=list)

    async def send(self, topic: str, key: bytes, *_: Any) -> asyncio.Future[None]:
        self.begun.append(topic.rsplit(".", 1)[-1])
        self.keys.append(key)
        future = asyncio.get_running_loop().create_future()
        self.under_way.append(future)
        return future

    def acknowledge(self) -> None:
        for future in self.under_way:
            future.set_result(None)
        self.under_way.clear()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_all_letters_of_a_run_are_under_way_before_the_first_is_acknowledged() -> None:
    """One at a time they take a round trip each, and a partition full of them takes hours."""
    slow = Slow()
    bench = Bench(Settings(chunk_offsets=500, bad_ratio_limit=1.0), slow)
    counting = asyncio.create_task(bench.ingest.on_run(bench.run_of(0, [POISON] * 499 + [single(T0, 1.0)])))
    await settle()
    assert slow.begun == ["dead-letters"] * 499, "and the cut that needs them is not published yet"
    assert bench.runs.ledger == {}
    slow.under_way[0].set_result(None)
    del slow.under_way[0]
    await settle()
    assert len(slow.begun) == 499, "one of them does not stand for all"

    slow.acknowledge()
    await settle()
    assert slow.begun[499:] == ["summaries"]
    assert bench.runs.ledger == {}
    slow.acknowledge()
    await settle()
    assert slow.begun[500:] == ["dead-letters"], "a note says that the letters are final"
    slow.acknowledge()
    await counting
    assert bench.runs.ledger == {bench.tp: 500}


async def test_a_letter_that_cannot_be_written_lets_nothing_be_committed() -> None:
    slow = Slow()
    bench = Bench(Settings(chunk_offsets=10, bad_ratio_limit=1.0), slow)
    counting = asyncio.create_task(bench.ingest.on_run(bench.run_of(0, [POISON] * 10)))
    await settle()
    slow.under_way[7].set_exception(ConnectionError("gone"))
    del slow.under_way[7]
    slow.acknowledge()
    with pytest.raises(ConnectionError, match="gone"):
        await counting
    assert set(slow.begun) == {"dead-letters"}
    assert bench.runs.ledger == {}


@asynccontextmanager
async def faust_producer(settings: Settings, max_request_bytes: int | None = None) -> AsyncIterator[Any]:
    """The worker's own producer."""
    app = make_app(settings)
    if max_request_bytes is not None:
        app.conf.producer_max_request_size = max_request_bytes
    producer = await app.maybe_start_producer()
    yield producer
    await producer.stop()


async def test_the_headers_of_a_letter_say_where_it_was_why_it_is_dead_and_which_schema_it_names(
    settings: Settings,
) -> None:
    create_topics(settings, ["predictions", "dead-letters", "summaries", "alarms", "holds"])
    datum = single(T0, 1.0)[HEADER_BYTES:]
    framed, bare = b"\0\0\0\0\x07" + datum, datum
    header = [("__value_schema_id", b"\0\0\0\0\x08"), ("trace", b"t1")]
    async with faust_producer(settings) as producer:
        bench = Bench(settings, producer, partition=3)
        await bench.ingest.on_run(bench.run_of(41, [POISON, framed, b"{"], key=b"k"))
        await bench.ingest.on_run(bench.run_of(50, [bare], headers=header))
    found = await asyncio.to_thread(lambda: list(each_message(settings, "dead-letters")))
    said = {m.key(): (m.value(), dict(m.headers())) for m in found}

    def common(offset: int, value: bytes) -> dict[str, bytes]:
        return {
            "seawall.topic": b"predictions",
            "seawall.partition": b"3",
            "seawall.offset": b"%d" % offset,
            "seawall.events": b"1",
            "seawall.sha256": hashlib.sha256(value).hexdigest().encode(),
        }

    none = b"and no schema registry is configured"
    assert said == {
        b"predictions/3/41/unknown_schema": (
            POISON,
            common(41, POISON)
            | {
                "seawall.reason": b"unknown_schema",
                "seawall.detail": b"fingerprint 0011223344556677",
                "seawall.fingerprint": b"0011223344556677",
                "seawall.key": b"k",
            },
        ),
        b"predictions/3/42/unknown_schema": (
            framed,
            common(42, framed)
            | {
                "seawall.reason": b"unknown_schema",
                "seawall.detail": b"schema id 7, " + none,
                "seawall.fingerprint": b"",
                "seawall.schema_id": b"7",
                "seawall.key": b"k",
            },
        ),
        b"predictions/3/43/bad_json": (
            b"{",
            common(43, b"{")
            | {
                "seawall.reason": b"bad_json",
                "seawall.detail": b"Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
                "seawall.fingerprint": b"",
                "seawall.key": b"k",
            },
        ),
        b"predictions/3/50/unknown_schema": (
            bare,
            common(50, bare)
            | {
                "seawall.reason": b"unknown_schema",
                "seawall.detail": b"schema id 8, " + none,
                "seawall.fingerprint": b"",
                "seawall.schema_id": b"8",
                "seawall.header.__value_schema_id": b"\0\0\0\0\x08",
                "seawall.header.trace": b"t1",
            },
        ),
    }


async def test_letters_of_a_topic_that_was_made_again_lie_beside_those_of_the_old_one(
    settings: Settings,
) -> None:
    """Each life of the log has a letter at the same place, for the same reason, and reads it twice."""
    create_topics(settings, ["predictions", "dead-letters", "summaries", "alarms", "holds"])
    lives = [(0, "A"), (0, "B"), (2, "B"), (2, "B")]
    async with faust_producer(settings) as producer:
        for epoch, topic_id in lives:
            bench = Bench(replace(settings, log_epoch=epoch, chunk_offsets=1), producer, partition=3)
            bench.ids.found = {bench.tp.topic: topic_id}
            await bench.ingest.tick()
            await bench.ingest.on_run(bench.run_of(7, [POISON + topic_id.encode()]))
    letters = await asyncio.to_thread(read_letters, settings)
    assert [(x.place, x.topic_id, x.is_settled) for x in letters] == [
        ("predictions/3/7", topic_id, True) for topic_id in "ABB"
    ]
    sink: Any = SimpleNamespace(topic="dead-letters")
    found = await asyncio.to_thread(lambda: list(each_message(settings, "dead-letters")))
    rows = [
        SimpleNamespace(value=m.value(), offset=m.offset(), timestamp=m.timestamp()[1], headers=m.headers())
        for m in found
    ]
    stored = {
        (r["topic"], r["partition"], r["offset"], r["reason"], r["log_epoch"], r["topic_id"])
        for t in Sink.tables(sink, rows)["dead_letters"]
        for r in t.to_pylist()
    }
    assert sorted(stored) == [("predictions", 3, 7, "unknown_schema", *life) for life in sorted(set(lives))]


async def test_a_letter_that_is_too_large_for_its_topic_is_buried_without_its_bytes(
    settings: Settings,
) -> None:
    """It used to end the worker, which read the record again and ended again."""
    create_topics(settings, ["predictions", "dead-letters", "summaries", "alarms", "holds"])
    large = POISON + bytes(5000)
    async with faust_producer(settings, max_request_bytes=4000) as producer:
        bench = Bench(settings, producer, partition=3)
        run = bench.run_of(7, [POISON, large, POISON], key=b"k", headers=[("trace", b"t1")])
        await bench.ingest.on_run(run)
    letters = await asyncio.to_thread(read_letters, settings)
    assert sorted((x.place, x.reason, x.is_buried, x.size_bytes) for x in letters) == [
        ("predictions/3/7", "unknown_schema", False, len(POISON)),
        ("predictions/3/8", "too_large", True, len(large)),
        ("predictions/3/9", "unknown_schema", False, len(POISON)),
    ]
    (buried,) = [x for x in letters if x.is_buried]
    assert buried.sha256 == hashlib.sha256(large).hexdigest()
    assert buried.fingerprint == "0011223344556677"
    assert (buried.original_key, buried.headers) == (None, {}), "these may be what is too large"
    assert buried.detail.startswith("unknown_schema, and 5011 bytes are more than")
    assert [v for x, v in await asyncio.to_thread(lambda: list(each_value(settings, [buried])))] == [b""]


@pytest.mark.skipif(TEST_BROKER != "kafka", reason="the embedded broker takes messages of any size")
async def test_a_letter_that_the_broker_refuses_is_buried_without_its_bytes(settings: Settings) -> None:
    create_topics(settings, ["predictions", "dead-letters", "summaries", "alarms", "holds"])
    limit = ConfigResource(
        ResourceType.TOPIC,
        settings.topic("dead-letters"),
        incremental_configs=[
            ConfigEntry("max.message.bytes", "4000", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    admin = AdminClient({"bootstrap.servers": settings.broker})
    for future in admin.incremental_alter_configs([limit]).values():
        await asyncio.to_thread(future.result)
    large = POISON + os.urandom(5000)
    async with faust_producer(settings) as producer:
        bench = Bench(settings, producer)
        await bench.ingest.on_run(bench.run_of(7, [POISON, large]))
    letters = await asyncio.to_thread(read_letters, settings)
    assert sorted((x.place, x.reason, x.is_buried) for x in letters) == [
        ("predictions/0/7", "unknown_schema", False),
        ("predictions/0/8", "too_large", True),
    ]


async def test_what_was_refused_in_one_batch_is_sent_by_itself_before_it_is_buried() -> None:
    slow = Slow()
    bench = Bench(Settings(bad_ratio_limit=1.0), slow)
    counting = asyncio.create_task(bench.ingest.on_run(bench.run_of(0, [POISON] * 3)))
    await settle()
    slow.under_way.pop().set_exception(MessageSizeTooLargeError())
    slow.under_way.pop().set_exception(MessageSizeTooLargeError())
    slow.acknowledge()
    await settle()
    slow.acknowledge()  # the first of the two is taken by itself
    await settle()
    slow.under_way.pop().set_exception(MessageSizeTooLargeError())
    await settle()
    assert not counting.done()
    slow.acknowledge()
    await counting
    assert slow.keys[3:] == [
        b"predictions/0/1/unknown_schema",
        b"predictions/0/2/unknown_schema",
        b"predictions/0/2/too_large",
    ]


class Quick:
    """A producer whose messages are acknowledged at once."""

    async def send(self, *_: Any) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


async def test_the_lag_of_a_partition_that_went_to_another_worker_is_no_longer_shown() -> None:
    bench = Bench(Settings(), Quick())
    bench.runs.current.starts[TP(bench.tp.topic, 1)] = None
    await bench.ingest.on_run(bench.run_of(0, [single(T0, 1.0)]))
    await bench.ingest.tick()
    assert bench.shown(m.LAG, topic="predictions", partition=0) == 0
    assert bench.shown(m.LAG, topic="predictions", partition=1) == 0
    bench.runs.current = Assignment(2, {bench.tp: None})
    await bench.ingest.tick()
    assert bench.shown(m.LAG, topic="predictions", partition=0) == 0
    assert bench.shown(m.LAG, topic="predictions", partition=1) is None


async def test_each_run_that_is_counted_is_timed() -> None:
    bench = Bench(Settings(), Quick())
    await bench.ingest.on_run(bench.run_of(0, [single(T0, 1.0)]))
    await bench.ingest.on_run(bench.run_of(1, [single(T0, 1.0)]))
    assert bench.shown(m.DECODE_SECONDS, topic="predictions") == 2


async def test_a_partition_that_waits_for_the_schema_registry_is_shown_as_paused() -> None:
    paused = {"topic": "predictions", "reason": "schema_registry"}
    async with RegistryServer() as server:
        registry = SchemaRegistry(server.url, Patience(first_wait_s=0.01, max_wait_s=0.02))
        server.status = 500
        bench = Bench(Settings(bad_ratio_limit=1.0), Quick(), registry=registry)
        await bench.ingest.tick()
        assert bench.shown(m.PARTITIONS_PAUSED, **paused) == 0
        while not registry.trouble:  # from here on nothing waits for an answer
            await registry.prepare([7], 0.0)
            await asyncio.sleep(0)
        await bench.ingest.on_run(bench.run_of(0, [b"\0\0\0\0\x07?"]))
        assert bench.runs.paused == {bench.tp}
        assert bench.shown(m.PARTITIONS_PAUSED, **paused) == 1
        server.status = 200
        while bench.runs.paused:
            await bench.ingest.tick()
            await asyncio.sleep(0)
        assert bench.shown(m.PARTITIONS_PAUSED, **paused) == 0
        assert bench.runs.rewinds == {bench.tp: 1}
        await registry.close()


class Told(Quick):
    """A producer that remembers what was said of how far a partition was read."""

    def __init__(self) -> None:
        self.progress: list[dict[str, Any]] = []

    async def send(self, topic: str, key: Any, value: bytes, *_: Any) -> asyncio.Future[None]:
        if topic.endswith("summaries"):
            said = decode(value, ("chunk_summary",))[1]
            self.progress += [] if said["model"] else [said]
        return await super().send()

    def last(self) -> tuple[int, bool, bool]:
        said = self.progress[-1]
        return said["next_offset"], said["caught_up"], said["resting"]


async def test_a_partition_that_is_held_with_a_backlog_says_that_it_rests_until_it_goes_on() -> None:
    told = Told()
    bench = Bench(Settings(bad_ratio_min=10), told)
    bench.runs.current.starts[bench.tp] = 0
    bench.runs.end = 1000
    await bench.ingest.on_run(bench.run_of(0, [single(T0, 1.0)] * 100))
    await bench.ingest.tick()
    assert told.last() == (100, False, False)
    await bench.ingest.on_run(bench.run_of(100, [POISON] * 300))
    await bench.ingest.tick()
    assert told.last() == (0, False, True)
    bench.runs.current = Assignment(2, {bench.tp: 0})  # as its next owner is given it
    await bench.ingest.tick()
    assert told.last() == (0, False, True)
    bench.worker.holds.observe(bench.ingest.brake.held[bench.tp].resumed(1000, "somebody", 1))
    await bench.ingest.tick()
    assert told.last() == (0, False, False)


async def test_a_partition_that_waits_for_the_registry_says_that_it_rests_whoever_is_given_it() -> None:
    async with RegistryServer() as server:
        registry = SchemaRegistry(server.url, Patience(first_wait_s=0.01, max_wait_s=0.02))
        server.status = 500
        told = Told()
        bench = Bench(Settings(bad_ratio_limit=1.0, idle_timeout_s=0.0), told, registry=registry)
        bench.runs.current.starts[bench.tp] = 0
        bench.runs.end = 1000
        await bench.ingest.on_run(bench.run_of(0, [single(T0, 1.0)] * 100))
        await bench.ingest.tick()
        assert told.last() == (100, False, False)
        while not registry.trouble:
            await registry.prepare([7], 0.0)
            await asyncio.sleep(0)
        for epoch in (2, 3):
            bench.runs.current = Assignment(epoch, {bench.tp: 0})
            await bench.ingest.tick()
            assert told.last() == (0, False, False)
            await bench.ingest.on_run(bench.run_of(0, [b"\0\0\0\0\x07?"]))
            await bench.ingest.tick()
            assert told.last() == (0, False, True)
        await registry.close()


async def test_a_topic_that_bears_its_producers_clocks_is_told_of_once_and_until_it_is_changed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench(Settings(), Quick())
    for first in range(3):
        await bench.ingest.on_run(bench.run_of(first, [single(T0, 1.0)], timestamp_type=0))
    (said,) = [r.getMessage() for r in caplog.records if "CreateTime" in r.getMessage()]
    assert said.startswith("predictions: records bear their producers' clocks")
    assert bench.worker.clocks == {"predictions": said}
    await bench.ingest.on_run(bench.run_of(3, [single(T0, 1.0)]))
    assert bench.worker.clocks == {}


def names_of(told: Told) -> list[tuple[str, int]]:
    """Topic ids and first offsets of what was said of the partition, each once."""
    return list(dict.fromkeys((p["topic_id"], p["first_offset"]) for p in told.progress))


async def test_where_a_partition_is_read_from_is_said_before_anything_that_it_holds() -> None:
    """A log may begin anew there, and readers of summaries know it by this."""
    slow = Slow()
    bench = Bench(Settings(chunk_offsets=5, log_epoch=3), slow)
    bench.ids.found = {bench.tp.topic: "A"}
    bench.runs.current.starts[bench.tp] = 40
    counting = asyncio.create_task(bench.ingest.on_run(bench.run_of(40, [single(T0, 1.0)] * 5)))
    while not slow.begun:
        await asyncio.sleep(0)
    await settle()
    assert (slow.begun, slow.keys) == (["summaries"], [b""]), "the cut waits until it is acknowledged"
    slow.acknowledge()
    await settle()
    assert slow.keys == [b"", b"m"]
    slow.acknowledge()
    await counting
    assert bench.runs.ledger == {bench.tp: 45}


async def test_a_topic_that_is_made_again_is_read_from_its_beginning_under_its_new_id() -> None:
    told = Told()
    bench = Bench(Settings(chunk_offsets=10), told)
    bench.ids.found = {bench.tp.topic: "A"}
    bench.runs.current.starts[bench.tp] = 0
    before = bench.run_of(0, [single(T0, 1.0)] * 25)
    await bench.ingest.on_run(before)
    await bench.ingest.look_at_log()
    assert bench.runs.ledger == {bench.tp: 20}, "it is the same topic"
    bench.ids.found = {}
    await bench.ingest.look_at_log()
    assert bench.runs.ledger == {bench.tp: 20}, "that the broker says nothing does not make it another"
    bench.ids.found = {bench.tp.topic: "B"}
    await bench.ingest.look_at_log()
    assert bench.runs.ledger == {bench.tp: 0}
    assert not bench.runs.paused
    await bench.ingest.on_run(replace(before, rewinds=0))
    assert bench.runs.ledger == {bench.tp: 0}, "what was fetched of the old topic is dropped"
    await bench.ingest.on_run(bench.run_of(0, [single(T0, 1.0)] * 12))
    await bench.ingest.tick()
    assert bench.runs.ledger == {bench.tp: 10}
    assert names_of(told) == [("A", 0), ("B", 0), ("B", 10)]


async def test_what_is_committed_of_a_topic_that_is_no_more_is_not_where_the_next_one_is_read_from() -> None:
    """A worker that does not know yet commits once more when its partition is taken away."""
    told = Told()
    bench = Bench(Settings(chunk_offsets=10), told)
    bench.ids.found = {bench.tp.topic: "A"}
    bench.runs.current.starts[bench.tp] = 0
    await bench.ingest.on_run(bench.run_of(0, [single(T0, 1.0)] * 25))
    bench.ids.found = {bench.tp.topic: "B"}
    bench.runs.current, bench.runs.ledger = Assignment(2, {bench.tp: 20}), {}
    await bench.ingest.tick()
    assert bench.runs.ledger == {bench.tp: 0}
    await bench.ingest.on_run(bench.run_of(0, [single(T0, 1.0)] * 12))
    bench.runs.current, bench.runs.ledger = Assignment(3, {bench.tp: 10}), {}
    await bench.ingest.on_run(bench.run_of(10, [single(T0, 1.0)] * 10))
    await bench.ingest.look_at_log()
    assert bench.runs.ledger == {bench.tp: 20}, "that is committed of the new one"
    assert names_of(told) == [("A", 0), ("B", 0), ("B", 10)]


async def test_a_partition_that_is_given_again_while_it_begins_anew_begins_anew_once_more() -> None:
    bench = Bench(Settings(chunk_offsets=10), Quick())
    bench.ids.found = {bench.tp.topic: "A"}
    bench.runs.current.starts[bench.tp] = 0
    await bench.ingest.on_run(bench.run_of(0, [single(T0, 1.0)] * 25))
    bench.ids.found = {bench.tp.topic: "B"}
    begin_anew, begun = bench.runs.begin_anew, []

    async def overtaken(tp: TP) -> None:
        begun.append(bench.runs.current.epoch)
        if len(begun) == 1:
            bench.runs.current, bench.runs.ledger = Assignment(2, {tp: 20}), {}
        else:
            await begin_anew(tp)

    bench.runs.begin_anew = overtaken  # type: ignore[method-assign]
    await bench.ingest.look_at_log()
    await bench.ingest.tick()
    assert begun == [1, 2]
    assert bench.runs.ledger == {bench.tp: 0}


async def test_a_log_that_was_cut_short_after_its_last_cut_is_read_again_from_there() -> None:
    """The client goes to where the log begins when it is told that there is no such offset."""
    told = Told()
    bench = Bench(Settings(chunk_offsets=10), told)
    bench.runs.current.starts[bench.tp] = 0
    await bench.ingest.on_run(bench.run_of(0, [single(T0, 1.0)] * 25, highwater=25))
    await bench.ingest.on_run(bench.run_of(0, [single(T0, 1.0)] * 22, highwater=22))
    assert bench.runs.rewinds == {bench.tp: 1}
    assert not bench.runs.paused
    await bench.ingest.on_run(bench.run_of(20, [single(T0, 1.0)] * 11, highwater=31))
    assert bench.runs.ledger == {bench.tp: 30}, "offsets 22 to 24 were read again, of other events"
    assert not bench.worker.stopped["predictions log"]


@pytest.mark.parametrize("is_told_by_the_client", [True, False], ids=["told by the client", "looked at"])
async def test_a_log_that_ends_before_what_is_committed_is_stopped_until_it_is_assigned_again(
    is_told_by_the_client: bool, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    bench = Bench(Settings(chunk_offsets=10), told)
    bench.runs.current.starts[bench.tp] = 100
    await bench.ingest.tick()
    bench.runs.end = 30
    if is_told_by_the_client:
        await bench.ingest.on_run(bench.run_of(0, [single(T0, 1.0)] * 30, highwater=30))
    else:
        for _ in range(2):
            await bench.ingest.look_at_log()
            assert not bench.runs.paused, "a new leader may need a moment to know where its log ends"
        await bench.ingest.look_at_log()
    assert bench.runs.paused == {bench.tp}
    (why,) = bench.worker.stopped["predictions log"]
    assert why.startswith("predictions/0 is stopped: its log ends at offset 30, before offset 100, ")
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [why]
    assert bench.shown(m.PARTITIONS_PAUSED, topic="predictions", reason="log_cut_short") == 1
    await bench.ingest.tick()
    assert told.last() == (100, True, True)
    bench.runs.end = 500
    await bench.ingest.on_run(bench.run_of(100, [single(T0, 1.0)] * 400, highwater=500))
    assert bench.runs.ledger == {}, "that the log has grown since makes nothing right"

    bench.runs.current = Assignment(2, {bench.tp: 30})
    await bench.ingest.on_run(bench.run_of(30, [single(T0, 1.0)] * 12, highwater=42))
    assert bench.runs.ledger == {bench.tp: 40}
    assert bench.worker.stopped["predictions log"] == []
    assert not bench.runs.paused
