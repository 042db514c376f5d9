"""A store or a receiver that is away: nothing is lost or doubled, memory is bounded, and alarms go out."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer

from seawall.bus import append_records, each_message, read_records
from seawall.errors import Unavailable
from seawall.settings import Settings
from seawall.transport import kafka_config
from seawall.wire import decode
from streams.core.holds import Hold, alarm_step
from streams.embedded.stack import Stack, running_stack
from streams.io.clickhouse import Store
from streams.io.offsets import end_offsets
from tests.contract.store_proxy import StoreProxy, store_proxy
from tests.contract.webhook_receiver import WebhookReceiver, webhook_receiver
from tests.e2e.produce import append, committed, singles
from tests.e2e.test_bad_partition import metric
from tests.e2e.test_loop import until

pytestmark = pytest.mark.e2e
SESSION_TIMEOUT_S = 6.0
OUTAGE_S = 2 * SESSION_TIMEOUT_S
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, receiver: WebhookReceiver) -> Iterator[Stack]:
    settings = Settings(
        replay=True,
        idle_timeout_s=1.5,
        publish_interval_s=0.3,
        save_interval_s=1.0,
        chunk_bytes=4_000,
        store_timeout_s=5.0,
        broker_session_timeout_s=SESSION_TIMEOUT_S,
        webhook_url=receiver.url,
        webhook_allow_private=True,
    )
    with running_stack(tmp_path_factory.mktemp("stack"), workers=0, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(stack: Stack) -> Iterator[StoreProxy]:
    with store_proxy(stack.settings.store_url) as running:
        yield running


@pytest.fixture
def worker(stack: Stack, proxy: StoreProxy, receiver: WebhookReceiver) -> Iterator[psutil.Process]:
    """One worker, which reaches the store through the proxy."""
    direct = stack.supervisor.settings
    proxy.script.clear()
    receiver.is_down = False
    stack.supervisor.settings = replace(direct, store_url=proxy.url)
    stack.start_worker()
    stack.supervisor.settings = direct
    until(lambda: health(stack).get("ready", False), "the worker", 60)
    yield psutil.Process(stack.worker_pid())
    if stack.supervisor.is_alive("worker-0"):
        stack.kill_worker()


def health(stack: Stack) -> dict[str, Any]:
    url = f"http://127.0.0.1:{stack.settings.worker_health_port}/health"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return dict(json.load(answer))
    except OSError:
        return {}


def counted(store: Store, model: str) -> int:
    sql = "SELECT sum(rows) AS n FROM windows FINAL WHERE model = %(m)s AND segment = '' AND horizon_us = 60000000"
    return int(store.query(sql, {"m": model})[0]["n"])


def stored_alarms(store: Store) -> int:
    return int(store.query("SELECT count() AS n FROM alarms FINAL")[0]["n"])


def alarms_of(name: str, number: int) -> list[dict[str, Any]]:
    """Open and resolve of an alarm that goes to the webhook."""
    held = Hold(
        name,
        number,
        "held",
        0,
        1,
        10,
        9,
        0.5,
        1_700_000_000_000_000,
        1_700_000_001_000_000,
        1_700_000_002_000_000,
    )
    held = replace(held, notify=("webhook",))
    return [alarm_step(h).to_record(1) for h in (held, held.resumed(5, "test", held.at_us + 1))]


def raise_alarms(settings: Settings, name: str, numbers: range) -> None:
    """Publish alarms one at a time, so that each is a run of its own."""
    for number in numbers:
        pair = alarms_of(name, number)
        append_records(settings, "alarms", pair[0]["alarm_id"], pair)


def told(receiver: WebhookReceiver, name: str) -> dict[str, list[str]]:
    """States that the receiver was told, by alarm, each repetition left out."""
    out: dict[str, list[str]] = {}
    for message in receiver.taken:
        data = message["data"]
        if data["alarm_id"].split("/")[1] == name:
            states = out.setdefault(data["alarm_id"], [])
            if data["state"] not in states:
                states.append(data["state"])
    return out


def lag(settings: Settings, topic: str) -> int:
    ends = end_offsets(settings, [(settings.topic(topic), p) for p in range(4)])
    return sum(end - (committed(settings, topic, p) or 0) for (_, p), end in ends.items())


class Load:
    """Events of one model, half a second of event time apart, over all partitions."""

    def __init__(self, settings: Settings, model: str) -> None:
        self.settings = settings
        self.model = model
        self.sent = 0

    def send(self, count: int = 100) -> None:
        values = singles(self.sent, self.sent + count, self.model)
        for partition in range(4):
            append(self.settings, "predictions", partition, values[partition::4])
        self.sent += count

    def for_seconds(self, seconds: float, also: Callable[[], None] = lambda: None) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.send()
            also()
            time.sleep(0.3)


def clog(settings: Settings, topic: str, megabytes: int) -> None:
    """Fill a result topic with records that the sink must hold until it gets to them."""
    producer = Producer({**kafka_config(settings), "linger.ms": 0, "queue.buffering.max.kbytes": 64 << 10})
    for i in range(megabytes * 10 // 9):
        while True:
            try:
                producer.produce(settings.topic(topic), os.urandom(900_000), partition=i % 4)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(60) == 0


def test_a_store_that_hangs_stops_neither_alarms_nor_the_group_and_costs_bounded_memory(
    stack: Stack, worker: psutil.Process, receiver: WebhookReceiver
) -> None:
    settings, store, load = stack.settings, Store(stack.settings), Load(stack.settings, "hangs")
    backlog = 'seawall_partitions_paused{reason="backlog",topic="windows"}'
    load.send(400)
    until(lambda: counted(store, "hangs") == 400, "the first events")
    assignments = health(stack)["assignments"]
    store_pid = stack.supervisor.pid("store")
    before = worker.memory_info().rss
    most = before

    def watch() -> None:
        nonlocal most
        most = max(most, worker.memory_info().rss)

    os.kill(store_pid, signal.SIGSTOP)
    try:
        load.for_seconds(2, watch)
        clog(settings, "windows", 300)
        until(lambda: metric(stack, backlog) == 4, "the topic's partitions to be shown as paused")
        load.for_seconds(OUTAGE_S / 2, watch)
        # more alarms than a handler of few runs would take
        raise_alarms(settings, "hangs", range(80))
        load.for_seconds(OUTAGE_S / 2, watch)
        until(lambda: len(told(receiver, "hangs")) == 80, "alarms while the store hangs", 60)
        watch()
        assert lag(settings, "windows") > 0
        assert lag(settings, "alarms") > 0, "what is not stored is not committed"
    finally:
        os.kill(store_pid, signal.SIGCONT)
    print(f"resident {before / MEGABYTE:.0f} MB before, at most {most / MEGABYTE:.0f} MB in the outage")
    until(lambda: counted(store, "hangs") == load.sent, f"{load.sent} events", 120)
    until(lambda: stored_alarms(store) >= 160, "the alarms in the store")
    until(lambda: lag(settings, "windows") == 0, "no lag", 60)
    assert metric(stack, backlog) == 0
    assert all(states == ["open", "resolved"] for states in told(receiver, "hangs").values())
    assert health(stack)["assignments"] == assignments, "the group was rebalanced"
    assert most - before < 200 * MEGABYTE


def test_a_store_that_is_killed_and_comes_back_has_everything(
    stack: Stack, worker: psutil.Process, receiver: WebhookReceiver
) -> None:
    settings, store, load = stack.settings, Store(stack.settings), Load(stack.settings, "killed")
    load.send(400)
    until(lambda: counted(store, "killed") == 400, "the first events")
    assignments = health(stack)["assignments"]
    os.kill(stack.supervisor.pid("store"), signal.SIGKILL)
    load.for_seconds(OUTAGE_S / 2)
    raise_alarms(settings, "killed", range(5))
    until(lambda: len(told(receiver, "killed")) == 5, "alarms while there is no store", 60)
    load.for_seconds(OUTAGE_S / 2)
    deadline = time.monotonic() + 60
    stack.supervisor.watch()
    while not stack.supervisor.is_alive("store") and time.monotonic() < deadline:
        stack.supervisor.watch()
        time.sleep(0.2)
    until(lambda: _answers(store) and counted(store, "killed") == load.sent, f"{load.sent} events", 120)
    assert health(stack)["assignments"] == assignments


def _answers(store: Store) -> bool:
    try:
        return bool(store.query("SELECT 1"))
    except Unavailable:
        return False


def test_an_insert_that_was_applied_although_its_answer_was_lost_is_not_doubled(
    stack: Stack, worker: psutil.Process, proxy: StoreProxy
) -> None:
    store, load = Store(stack.settings), Load(stack.settings, "lost")
    proxy.script.extend(["lost", "ok", "500", "ok", "refused", "ok"] * 6)
    deadline = time.monotonic() + 90
    while proxy.script:
        assert time.monotonic() < deadline, f"{len(proxy.script)} troubles were not met"
        load.for_seconds(1)
    until(lambda: counted(store, "lost") == load.sent, f"{load.sent} events", 120)
    assert min(proxy.done[t] for t in ("lost", "500", "refused")) == 6
    doubled = "SELECT count() - uniqExact(segment, source, horizon_us, end, layout_id, ver) AS n FROM windows WHERE model = 'lost'"
    assert store.query(doubled)[0]["n"] == 0
    columns = doubled.replace("layout_id, ver", "layout_id, column, role, revision").replace(
        "windows", "window_columns"
    )
    assert store.query(columns)[0]["n"] == 0


def test_a_receiver_that_is_down_holds_nothing_back_and_is_told_everything_in_order_afterwards(
    stack: Stack, worker: psutil.Process, receiver: WebhookReceiver
) -> None:
    settings, store, load = stack.settings, Store(stack.settings), Load(stack.settings, "silent")
    receiver.is_down = True
    before = stored_alarms(store)
    load.for_seconds(3)
    raise_alarms(settings, "silent", range(20))
    load.for_seconds(5)
    until(lambda: counted(store, "silent") == load.sent, f"{load.sent} events", 60)
    until(lambda: stored_alarms(store) == before + 40, "alarms in the store while nobody is told")
    assert told(receiver, "silent") == {}
    assert receiver.refused > 0
    assert lag(settings, "alarms") > 0, "what was not told is not committed"
    receiver.is_down = False
    until(lambda: sum(len(s) for s in told(receiver, "silent").values()) == 40, "every alarm to be told", 120)
    assert all(states == ["open", "resolved"] for states in told(receiver, "silent").values())
    until(lambda: lag(settings, "alarms") == 0, "no lag", 60)


def test_what_is_committed_is_durable_at_every_poll_while_workers_are_killed(
    stack: Stack, worker: psutil.Process
) -> None:
    settings, store, load = stack.settings, Store(stack.settings), Load(stack.settings, "polls")
    polls: Counter[str] = Counter()

    def poll() -> None:
        # the committed offset first: what is durable only grows
        told_upto = {p: committed(settings, "alarms", p) or 0 for p in range(4)}
        dead_upto = committed(settings, "dead-letters", 0) or 0
        read_upto = {p: committed(settings, "predictions", p) or 0 for p in range(4)}
        alarms = {
            (r["alarm_id"], r["revision"]) for r in store.query("SELECT alarm_id, revision FROM alarms FINAL")
        }
        dead = {
            (r["partition"], r["offset"])
            for r in store.query("SELECT partition, offset FROM dead_letters FINAL")
        }
        for message in each_message(settings, "alarms"):
            if message.offset() < told_upto[message.partition()]:
                step = decode(message.value(), ("alarm",))[1]
                assert (step["alarm_id"], step["revision"]) in alarms
                polls["alarms"] += 1
        for message in each_message(settings, "dead-letters"):
            if message.offset() < dead_upto:
                headers = dict(message.headers() or ())
                if "seawall.partition" not in headers:
                    continue  # a note about letters, not a letter
                assert (int(headers["seawall.partition"]), int(headers["seawall.offset"])) in dead
                polls["dead letters"] += 1
        sealed: Counter[int] = Counter()
        for summary in read_records(settings, "summaries"):
            if summary["sealed"] and summary["topic"] == "predictions":
                sealed[summary["partition"]] = max(sealed[summary["partition"]], summary["next_offset"])
        for partition, offset in read_upto.items():
            assert offset <= sealed[partition]
            polls["predictions"] += offset > 0

    for kill in range(4):
        append(settings, "predictions", kill, [b"{", b"\xff"])
        raise_alarms(settings, f"polls{kill}", range(3))
        load.for_seconds(2, poll)
        stack.kill_worker()
        poll()
        stack.start_worker()
    until(lambda: counted(store, "polls") == load.sent, f"{load.sent} events", 120)
    until(lambda: any(committed(settings, "predictions", p) for p in range(4)), "a commit at a cut", 60)
    poll()
    assert min(polls[what] for what in ("alarms", "dead letters", "predictions")) > 0, polls
