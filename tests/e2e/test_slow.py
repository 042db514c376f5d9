"""A store that takes seconds for every insert and receivers that hang: everything else goes on as if they did not."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from seawall.bus import append_records
from seawall.settings import Settings
from streams.embedded.stack import Stack
from streams.io.clickhouse import Store
from tests.conftest import StartStack
from tests.contract.store_proxy import StoreProxy, store_proxy
from tests.contract.webhook_receiver import WebhookReceiver, webhook_receiver
from tests.e2e.test_backpressure import MEGABYTE, Load, alarms_of, counted, health, lag, stored_alarms
from tests.e2e.test_bad_partition import metric
from tests.e2e.test_loop import until

pytestmark = pytest.mark.e2e
INSERT_S = 2.0
#: Longer than an attempt is waited for.
TROUBLE_S = 16.0
BACKLOG = 'seawall_partitions_paused{reason="backlog",topic="windows"}'
MODELS = [f"slow{i}" for i in range(8)]


@pytest.fixture(scope="module")
def receivers() -> Iterator[dict[str, WebhookReceiver]]:
    with webhook_receiver() as webhook, webhook_receiver() as slack:
        yield {"webhook": webhook, "slack": slack}


@pytest.fixture(scope="module")
def stack(
    start_stack: StartStack, tmp_path_factory: pytest.TempPathFactory, receivers: dict[str, WebhookReceiver]
) -> Iterator[Stack]:
    settings = Settings(
        replay=True,
        idle_timeout_s=1.5,
        publish_interval_s=0.3,
        save_interval_s=1.0,
        chunk_bytes=4_000,
        webhook_url=receivers["webhook"].url,
        slack_webhook_url=receivers["slack"].url,
        webhook_allow_private=True,
    )
    with start_stack(tmp_path_factory.mktemp("stack"), workers=0, settings=settings) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(stack: Stack) -> Iterator[StoreProxy]:
    with store_proxy(stack.settings.store_url) as running:
        yield running


@pytest.fixture(scope="module")
def worker(stack: Stack, proxy: StoreProxy) -> psutil.Process:
    """One worker, which reaches the store through the proxy."""
    direct = stack.supervisor.settings
    stack.supervisor.settings = replace(direct, store_url=proxy.url)
    stack.start_worker()
    stack.supervisor.settings = direct
    until(lambda: health(stack).get("assignments", 0) > 0, "the worker to be assigned partitions", 60)
    return psutil.Process(stack.worker_pid())


def raise_alarms(settings: Settings, name: str, numbers: range, notify: tuple[str, ...]) -> list[str]:
    """Publish the life of each alarm; returns their ids."""
    ids = []
    for number in numbers:
        pair = [{**step, "notify": list(notify)} for step in alarms_of(name, number)]
        append_records(settings, "alarms", pair[0]["alarm_id"], pair)
        ids.append(pair[0]["alarm_id"])
    return ids


def by_alarm(receiver: WebhookReceiver, ids: list[str]) -> dict[str, list[str]]:
    """States that a webhook was told of these alarms, in order, repetitions included."""
    out: dict[str, list[str]] = {}
    for message in receiver.taken:
        if message["data"]["alarm_id"] in ids:
            out.setdefault(message["data"]["alarm_id"], []).append(message["data"]["state"])
    return out


def steps_told(receiver: WebhookReceiver, ids: list[str], since: int) -> int:
    """Count the steps in what was taken since: a webhook's are single, a Slack message may be a digest of many."""
    steps = 0
    for message in receiver.taken[since:]:
        if "data" in message:
            steps += message["data"]["alarm_id"] in ids
        else:
            digest = re.match(r"(\d+) messages: ", message["text"])
            steps += int(digest[1]) if digest else 1
    return steps


def test_a_store_that_is_slower_than_the_traffic_pauses_its_topic_and_nothing_else(
    stack: Stack, worker: psutil.Process, proxy: StoreProxy, receivers: dict[str, WebhookReceiver]
) -> None:
    settings, store = stack.settings, Store(stack.settings)
    loads = [Load(settings, model) for model in MODELS]

    def send() -> None:
        for load in loads:
            load.send(40)

    send()
    until(lambda: all(counted(store, load.model) == load.sent for load in loads), "the first events")
    assignments = health(stack)["assignments"]
    before = most = worker.memory_info().rss

    def is_paused() -> bool:
        nonlocal most
        send()
        most = max(most, worker.memory_info().rss)
        return metric(stack, BACKLOG) == 4

    proxy.delay_s = INSERT_S
    until(is_paused, "the topic's partitions to be shown as paused", 180)
    said = health(stack)
    assert said["status"] == "ok", "a slow store is no reason to start the worker again"
    assert any("windows" in why for why in said["waiting"])
    ids = raise_alarms(settings, "slow", range(20), ("webhook",))

    def are_told() -> bool:
        is_paused()
        return by_alarm(receivers["webhook"], ids) == {i: ["open", "resolved"] for i in ids}

    until(are_told, "alarms while the store is slow", 60)
    assert lag(settings, "windows") > 0, "what is not stored is not committed"
    ended_s = time.monotonic()
    until(
        lambda: all(counted(store, load.model) == load.sent for load in loads),
        f"{loads[0].sent} events of each model from a store that is still slow",
        150,
    )
    until(lambda: lag(settings, "windows") == 0, "no lag", 60)
    print(
        f"resident {before / MEGABYTE:.0f} MB before, at most {most / MEGABYTE:.0f} MB; "
        f"{time.monotonic() - ended_s:.0f} s after the load nothing waits any more"
    )
    proxy.delay_s = 0.0
    assert metric(stack, BACKLOG) == 0
    assert health(stack)["waiting"] == []
    assert health(stack)["assignments"] == assignments, "the group was rebalanced"
    assert by_alarm(receivers["webhook"], ids) == {i: ["open", "resolved"] for i in ids}
    assert most - before < 200 * MEGABYTE
    log = stack.worker_log()
    assert log.count("windows: reading waits") == log.count("windows: reading goes on") >= 1


TROUBLES = [("webhook", "hangs"), ("slack", "is_down")]


@pytest.mark.parametrize(("name", "trouble"), TROUBLES)
def test_a_receiver_in_trouble_holds_up_nobody_and_is_told_each_step_once_when_it_is_back(
    name: str,
    trouble: str,
    stack: Stack,
    worker: psutil.Process,
    proxy: StoreProxy,
    receivers: dict[str, WebhookReceiver],
) -> None:
    settings, store, load = stack.settings, Store(stack.settings), Load(stack.settings, f"{name}_{trouble}")
    ailing = receivers[name]
    well = next(r for other, r in receivers.items() if other != name)
    assignments, before = health(stack)["assignments"], stored_alarms(store)
    pending = f'seawall_notifications_pending{{receiver="{name}"}}'
    refused, hung, taken = ailing.refused, ailing.hung, {id(r): len(r.taken) for r in receivers.values()}
    setattr(ailing, trouble, True)
    ids = raise_alarms(settings, load.model, range(20), ("slack", "webhook"))
    until(lambda: steps_told(well, ids, taken[id(well)]) == 40, "the other receiver to be told", 90)
    until(lambda: (metric(stack, pending) or 0) > 0, "the pending steps to be shown", 30)
    load.for_seconds(TROUBLE_S)
    until(lambda: counted(store, load.model) == load.sent, f"{load.sent} events", 60)
    until(lambda: stored_alarms(store) == before + 40, "the alarms in the store", 60)
    assert (ailing.refused - refused, ailing.hung - hung) > (0, 0)
    assert steps_told(ailing, ids, taken[id(ailing)]) == 0
    assert lag(settings, "alarms") > 0, "what was not told is not committed"
    assert health(stack)["status"] == "ok"
    setattr(ailing, trouble, False)
    until(lambda: lag(settings, "alarms") == 0, "every step to be told and committed", 120)
    for receiver in receivers.values():
        assert steps_told(receiver, ids, taken[id(receiver)]) == 40
    assert by_alarm(receivers["webhook"], ids) == {i: ["open", "resolved"] for i in ids}
    assert metric(stack, pending) == 0
    assert health(stack)["assignments"] == assignments, "the group was rebalanced"
