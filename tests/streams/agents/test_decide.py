"""A decider on a real broker, when its state and the committed offset do not agree, or a save is cut short."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaProducer
from faust.types import TP

from seawall.monitor import MonitorSpec
from seawall.settings import Settings
from seawall.wire import encode
from streams.agents.decide import Decider
from streams.agents.worker import Worker
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.layouts import Control, LayoutBook
from streams.io.kafka import Assignment, Run, RunApp
from streams.io.metrics import Metrics
from streams.io.topics import create_topics
from tests.streams.core.builders import MINUTE, T0, frame, records

CHUNKS = 6


class Producer:
    """Faust's producer, as `publish` uses it. Closes its gate on the n-th message."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.producer = producer
        self.left = 1_000_000

    async def send(self, topic: str, key: bytes, value: bytes | None, partition: int | None, *_: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            await asyncio.Event().wait()
        return await self.producer.send(topic, value, key, partition)


@pytest.fixture
async def producer(settings: Settings) -> AsyncIterator[Producer]:
    client = AIOKafkaProducer(bootstrap_servers=settings.broker)
    await client.start()
    yield Producer(client)
    await client.stop()


def decider(
    settings: Settings, producer: Producer, start: int | None, generation: int = 1
) -> tuple[Decider, Any]:
    tp = TP(settings.topic("summaries"), 0)
    runs = SimpleNamespace(current=Assignment(1, {tp: start}, generation), ledger={})
    worker = Worker(
        settings, cast("RunApp", SimpleNamespace(runs=runs, producer=producer)), partitions={"summaries": 1}
    )
    worker.control_ready.set()
    return Decider(worker, Metrics()), runs


def log_of(settings: Settings) -> list[Any]:
    """Sealed summaries of chunks of three events each, a frame of them, as records."""
    create_topics(settings)
    chunker = PartitionChunker("predictions", 0, "predictions", LayoutBook(Control()), ChunkRule(offsets=1))
    values = []
    for k in range(CHUNKS):
        for cut in chunker.feed(records([frame([T0 + k * 100 * MINUTE] * 3, [1.0] * 3)], k)):
            values += [encode("chunk_summary", s) for s in cut.summaries]
    return [
        SimpleNamespace(offset=k, value=v, key=b"m", timestamp=T0 // 1000, timestamp_type=1)
        for k, v in enumerate(values)
    ]


def run_of(settings: Settings, taken: list[Any]) -> Run:
    return Run(TP(settings.topic("summaries"), 0), taken, 1, None)


def rows(one: Decider) -> int:
    (engine,) = one.engines.values()
    series = engine.models["m"].merge.series
    return sum(int(s.rows.sum()) for key, s in series.items() if key[3] == "")


async def test_a_worker_learns_from_the_newest_baseline_of_its_own_models_while_nothing_is_decided(
    settings: Settings, producer: Producer
) -> None:
    one, runs = decider(settings, producer, None)
    learnt: list[tuple[str, str]] = []
    one.judge = cast(
        "Any", SimpleNamespace(prepare=lambda spec, version: learnt.append((spec.model, version)))
    )
    for version, created_us in (("old", 1), ("new", 2)):
        one.worker.control.baselines["m", version] = cast(
            "Any", SimpleNamespace(model="m", version=version, created_us=created_us, baseline_id=version)
        )
    await one.prepare()
    await one.prepare()
    assert learnt == [("m", "new")]
    one.worker.control.set_monitor(replace(one.worker.control.monitor("m"), min_rows=7))
    await one.prepare()
    assert learnt == [("m", "new")] * 2
    runs.current = Assignment(2, {}, 2)  # the model's partition is somebody else's now
    one.worker.control.set_monitor(replace(one.worker.control.monitor("m"), min_rows=8))
    await one.prepare()
    assert len(learnt) == 2


def label(minute: int) -> bytes:
    said = {"event_id": f"e{minute}", "model": "m", "version": "v1", "ts": T0 + minute * MINUTE}
    return encode("label", {**said, "value": 1.0, "label": None})


async def test_events_are_shown_as_counted_or_late_under_their_topic_and_windows_as_closed_or_revised(
    settings: Settings, producer: Producer
) -> None:
    create_topics(settings)
    one, _ = decider(replace(settings, replay=True), producer, None)
    one.worker.control.set_monitor(
        MonitorSpec("m", pane_us=MINUTE, horizons_us=(MINUTE,), lateness_us=MINUTE, grace_us=3 * MINUTE)
    )
    chunker = PartitionChunker("labels", 0, "labels", LayoutBook(Control()), ChunkRule())
    log: list[dict[str, Any]] = []

    def read(*minutes: int) -> None:
        assert not list(chunker.feed(records([label(m) for m in minutes], chunker.next_offset)))
        log.extend(chunker.provisional(caught_up=False))
        log.append(chunker.progress(caught_up=False))

    read(0, 1, 18)
    read(20)  # minutes 0, 1 and 18 close; 0 and 1 are final
    read(1, 18)  # the one is late, the other revises its window
    read(20)
    taken = [
        SimpleNamespace(
            offset=k, value=encode("chunk_summary", s), key=b"m", timestamp=T0 // 1000 + k, timestamp_type=1
        )
        for k, s in enumerate(log)
    ]
    await one.on_run(run_of(settings, taken))
    shown = one.metrics.render().decode().splitlines()

    def value(series: str) -> float:
        (found,) = [float(line.rsplit(" ", 1)[1]) for line in shown if line.startswith(series)]
        return found

    assert value('seawall_events_counted_total{topic="labels"}') == 6
    assert value('seawall_events_late_total{topic="labels"}') == 1
    assert not any('topic="predictions"' in line for line in shown)
    assert value('seawall_windows_closed_total{model="m"}') == 3
    assert value('seawall_windows_revised_total{model="m"}') == 1
    assert value('seawall_watermark_timestamp_seconds{model="m"}') == (T0 + 19 * MINUTE) / 1e6


async def test_a_save_that_is_cut_short_is_forgotten_and_the_next_one_whole(
    settings: Settings, producer: Producer
) -> None:
    taken = log_of(settings)
    first, runs = decider(settings, producer, None)
    await first.on_run(run_of(settings, taken[:3]))
    producer.left = 1  # a page gets through, its model's record does not
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(first.save_all(), 1)
    assert runs.ledger == {}
    producer.left = 1_000_000
    await first.on_run(run_of(settings, taken))
    await first.save_all()
    assert list(runs.ledger.values()) == [CHUNKS]
    second, _ = decider(settings, producer, CHUNKS, generation=2)
    await second.on_run(run_of(settings, taken[-1:]))  # read again: the state has it
    assert rows(second) == 3 * CHUNKS


async def test_what_a_forgotten_engine_had_taken_is_read_again_before_what_comes_next(
    settings: Settings, producer: Producer
) -> None:
    taken = log_of(settings)
    for record in taken:
        await producer.producer.send_and_wait(settings.topic("summaries"), record.value, b"m", 0)
    one, _ = decider(settings, producer, None)
    await one.on_run(run_of(settings, taken[:3]))
    producer.left = 1
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(one.save_all(), 1)
    producer.left = 1_000_000
    await one.on_run(run_of(settings, taken[3:]))
    assert rows(one) == 3 * CHUNKS


async def test_state_that_ends_before_the_committed_offset_is_made_up_for_from_the_log(
    settings: Settings, producer: Producer
) -> None:
    taken = log_of(settings)
    for record in taken:
        await producer.producer.send_and_wait(settings.topic("summaries"), record.value, b"m", 0)
    lost, _ = decider(settings, producer, CHUNKS - 1)
    await lost.on_run(run_of(settings, taken[-1:]))
    assert rows(lost) == 3 * CHUNKS
