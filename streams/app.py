"""Composition root: one worker process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from threadpoolctl import threadpool_limits

from seawall.contracts import topics
from seawall.errors import SeawallError, Unavailable
from seawall.frames import Source
from seawall.settings import Settings
from streams.agents.announce import Announcer
from streams.agents.decide import Decider
from streams.agents.fanout import FanOut, Handle, Handler
from streams.agents.ingest import Ingest
from streams.agents.registrar import carry_out
from streams.agents.results import Sink
from streams.agents.worker import Worker, now_us
from streams.io import metrics as m
from streams.io.broker import ask, until_refused
from streams.io.control import ControlReader
from streams.io.health import HealthServer, secrets_of
from streams.io.kafka import Run, make_app
from streams.io.metrics import Metrics
from streams.io.repeats import Repeats
from streams.io.schema_registry import SchemaRegistry

log = logging.getLogger("seawall.worker")
SOURCES: tuple[Source, ...] = ("predictions", "features", "labels")
#: Between two looks at whether a topic was made again.
LOOK_S = 5.0
CONTROL = ("monitors", "baselines", "registry", "rollbacks", "holds")


def run(settings: Settings) -> int:
    """Run a worker until it is told to stop; returns the exit code."""
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("aiokafka", "faust", "mode", "kafka"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    for handler in logging.getLogger().handlers:
        handler.addFilter(Repeats(["aiokafka"]))
    # A worker scales by processes. BLAS's own threads gain nothing on matrices as small as ours, and spin on every
    # core between two products: half of a worker's processor time went there.
    threadpool_limits(limits=1, user_api="blas")
    try:
        return asyncio.run(_main(settings))
    except SeawallError as error:
        log.error("%s", error)
        return 1


async def _main(settings: Settings) -> int:
    metrics = Metrics()
    app = make_app(settings)
    worker = Worker(settings, app)
    url = settings.schema_registry_url
    registry = SchemaRegistry(url) if url else None
    worker.partitions = await asyncio.to_thread(partition_counts, settings)
    announcer = Announcer(worker, metrics)
    decider = Decider(worker, metrics)
    services = _wire(worker, metrics, announcer, decider, registry)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    health = HealthServer(
        lambda: _status(worker), metrics, port=settings.worker_health_port, secrets=secrets_of(settings)
    )
    metrics.set(m.BUILD_INFO, 1, version=_version())
    await health.start()
    tasks = [asyncio.create_task(worker.guard(name, work)) for name, work in services.items()]
    try:
        await app.start()
        _collect_less()
        log.info(
            "worker started: broker %s, store %s, group %s",
            settings.broker,
            settings.store_url,
            settings.group,
        )
        await _until(stop, worker)
        log.info("stopping")
        with contextlib.suppress(asyncio.TimeoutError):  # then the next owner reads a little more
            await asyncio.wait_for(decider.save_all(), 10)
        await asyncio.wait_for(app.stop(), 20)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(announcer.close(), 2)
        if registry is not None:
            await registry.close()
        await health.stop()
    return 0


def _collect_less() -> None:
    """Look for unreachable cycles seldom: a run of records is thousands of objects, and none of them is in one.

    With Python's own thresholds the collector takes as long as parsing the records does.
    """
    gc.collect()
    gc.freeze()  # what is there now stays: modules, settings, baselines
    gc.set_threshold(50_000, 20, 50)


async def _until(stop: asyncio.Event, worker: Worker) -> None:
    """Wait for the signal to stop. A part of Faust that crashed would otherwise leave a worker that does nothing."""
    app = worker.app
    crashed = asyncio.ensure_future(app._crashed.wait())
    stopping = asyncio.ensure_future(stop.wait())
    done, waiting = await asyncio.wait({crashed, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    if crashed in done:
        worker.die("faust", app._crash_reason or RuntimeError("crashed without a reason"))


def _wire(
    worker: Worker,
    metrics: Metrics,
    announcer: Announcer,
    decider: Decider,
    registry: SchemaRegistry | None,
) -> dict[str, Callable[[], Awaitable[None]]]:
    """Attach agents to topics; returns the background work by name."""
    services: dict[str, Callable[[], Awaitable[None]]] = {}
    for source in SOURCES:
        ingest = Ingest(worker, source, metrics, registry)
        _agent(worker, source, ingest.on_run)
        services[f"log {source}"] = lambda ingest=ingest: _looking(worker, ingest)  # type: ignore[misc]
        services[f"tick {source}"] = lambda ingest=ingest: _ticking(worker, ingest)  # type: ignore[misc]
    _agent(worker, "summaries", decider.on_run)
    services["save"] = lambda: _saving(worker, decider)
    services["prepare"] = lambda: _preparing(worker, decider)
    for topic in ("windows", "registry", "monitors", "baselines", "dead-letters"):
        _fan_out(worker, metrics, topic, services, [Handler(Sink(worker, topic, metrics).write, joins=True)])
    for topic in ("alarms", "rollbacks"):

        async def announce(run: Run, topic: str = topic) -> None:
            await announcer.on_run(run, topic)

        # A receiver that is down for a day must hold back neither the store nor the registry, and a store that is
        # down must hold back neither of the others: what bounds these topics is bytes, not runs.
        told = Handler(announce, overlapping=True, room=10_000)
        handlers = [Handler(Sink(worker, topic, metrics).write, joins=True, room=10_000), told]
        if topic == "rollbacks":
            handlers.append(Handler(lambda run: carry_out(worker, run)))
        _fan_out(worker, metrics, topic, services, handlers)
    reader = ControlReader(worker.settings, CONTROL, worker.on_control)
    worker.control_ready = reader.ready
    services["control"] = reader.run
    services["refusals"] = lambda: _ending_when_refused(worker)
    return services


def _agent(worker: Worker, topic: str, on_run: Callable[[Run], Awaitable[None]]) -> None:
    channel = worker.app.topic(
        worker.topic(topic), key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )

    async def agent(stream: Any) -> None:
        async for event in stream.events():
            run: Run = event.message.value
            await worker.guard(topic, lambda run=run: on_run(run))  # type: ignore[misc]

    worker.app.agent(channel, name=f"seawall.{topic}")(agent)


def _fan_out(
    worker: Worker,
    metrics: Metrics,
    topic: str,
    services: dict[str, Callable[[], Awaitable[None]]],
    handlers: list[Handler],
) -> None:
    async def guard(handle: Handle, run: Run) -> None:
        await worker.guard(topic, lambda: handle(run))

    def show(paused: int) -> None:
        metrics.set(m.PARTITIONS_PAUSED, paused, topic=topic, reason="backlog")
        if bool(paused) == (topic in worker.waiting):
            return
        if paused:
            worker.waiting.add(topic)
            log.warning("%s: reading waits: results come faster than they are stored or told", topic)
        else:
            worker.waiting.remove(topic)
            log.info("%s: reading goes on", topic)

    fan = FanOut(worker.app, handlers, guard, on_paused=show)
    _agent(worker, topic, fan.put)
    for i in range(len(handlers)):
        services[f"{topic} {i}"] = lambda i=i: fan.work(i)  # type: ignore[misc]


async def _ending_when_refused(worker: Worker) -> None:
    worker.end(await until_refused(worker.settings))


async def _ticking(worker: Worker, ingest: Ingest) -> None:
    await worker.control_ready.wait()
    while True:
        await asyncio.sleep(worker.settings.publish_interval_s)
        if worker.app.runs.flow_active:
            await ingest.tick()


async def _looking(worker: Worker, ingest: Ingest) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        if worker.app.runs.flow_active:
            await ingest.look_at_log()


async def _saving(worker: Worker, decider: Decider) -> None:
    while True:
        await asyncio.sleep(worker.settings.save_interval_s)
        if worker.app.runs.flow_active:
            await decider.save_all()


async def _preparing(worker: Worker, decider: Decider) -> None:
    while True:
        await asyncio.sleep(worker.settings.publish_interval_s)
        if worker.app.runs.flow_active:
            await decider.prepare()


def partition_counts(settings: Settings) -> dict[str, int]:
    """Ask the broker how many partitions each topic has. Raises `Unavailable` when one is missing."""
    found = ask(settings, 10.0).topics
    missing = [settings.topic(t) for t in topics() if settings.topic(t) not in found]
    if missing:
        msg = f"broker {settings.broker} has no topic {', '.join(missing)}; `seawall migrate` creates them"
        raise Unavailable(msg)
    return {t: len(found[settings.topic(t)].partitions) for t in topics()}


def _status(worker: Worker) -> dict[str, Any]:
    ready = worker.control_ready.is_set()
    return {
        "reasons": [] if ready else ["control topics are not read yet"],
        "ready": ready,
        "assignments": worker.app.runs.current.epoch,
        # Not among the reasons: starting the worker again would not help, and would stop the other partitions.
        "stopped": [why for topic in sorted(worker.stopped) for why in worker.stopped[topic]],
        # Nor are these: what is counted is right as long as the clocks are.
        "clocks": [worker.clocks[topic] for topic in sorted(worker.clocks)],
        "waiting": [
            f"{topic}: reading waits: results come faster than they are stored or told"
            for topic in sorted(worker.waiting)
        ],
        "models": sorted(worker.control.monitors),
        "baselines": sorted("/".join(k) for k in worker.control.baselines),
        "now_us": now_us(),
    }


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415

    return version("seawall")


__all__ = ["run"]
