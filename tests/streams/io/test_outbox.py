"""Every receiver is told, at least once and in order, whatever fails."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest

from seawall.errors import ConfigError, Unavailable
from seawall.settings import Settings
from streams.core.notify import NotificationRow, Result
from streams.io.http import HttpPoster
from streams.io.ledger import Ledger
from streams.io.log_notifier import LogNotifier
from streams.io.notifier import Notifier, Outcome
from streams.io.outbox import Outbox
from streams.io.receivers import Receivers, by_name
from streams.io.retry import Retrier, RetryPolicy
from streams.io.slack import TokenBucket
from tests.contract.clocks import FakeTime
from tests.contract.receivers import ContractServer, PagerDuty, Slack
from tests.contract.samples import alarm, rollback

KEY = "canary-routing-key"
SECRET = "whsec_" + "Y2FuYXJ5" * 5
EVERYBODY = ["webhook", "slack:#ml", "pagerduty:ml"]


class Table:
    """The notifications table: what was written, and a loader that may be out of reach."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, int], NotificationRow] = {}
        self.is_up = True
        self.loads = 0

    def write(self, rows: Sequence[NotificationRow]) -> None:
        for row in rows:
            self.rows[row.alarm_id, row.receiver, row.revision] = row

    async def load(self, alarm_id: str) -> list[NotificationRow]:
        self.loads += 1
        if not self.is_up:
            raise Unavailable("store: no answer")
        return [row for row in self.rows.values() if row.alarm_id == alarm_id]


class World:
    """Three receivers, a table, a clock, and workers that come and go."""

    def __init__(self, webhook: ContractServer, slack: Slack, pagerduty: PagerDuty) -> None:
        self.webhook, self.slack, self.pagerduty = webhook, slack, pagerduty
        self.time = FakeTime()
        self.table = Table()
        self.poster = HttpPoster(timeout_s=0.2, allow_private=True)
        self.outcomes: list[tuple[str, Result]] = []
        self.settings = Settings(
            webhook_url=webhook.url,
            webhook_secret=SECRET,
            slack_webhook_url=slack.url.replace("hook", "canary-slack-path"),
            pagerduty_routing_key=KEY,
            pagerduty_url=pagerduty.url,
            webhook_allow_private=True,
        )

    def worker(self, policy: RetryPolicy | None = None, max_pending: int = 10_000) -> Outbox:
        def make_retrier(policy: RetryPolicy) -> Retrier:
            return Retrier(policy, clock=self.time.clock, sleep=self.time.sleep, chance=lambda: 1.0)

        return Outbox(
            Receivers(
                self.settings,
                self.poster,
                policy=policy,
                make_retrier=make_retrier,
                make_bucket=lambda: TokenBucket(clock=self.time.clock, sleep=self.time.sleep),
            ),
            Ledger(self.table.load, clock=self.time.clock),
            max_pending=max_pending,
            wall_clock=self.time.clock,
            on_outcome=lambda receiver, result: self.outcomes.append((receiver, result)),
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with ContractServer() as webhook, Slack() as slack, PagerDuty({KEY}) as pagerduty:
        world = World(webhook, slack, pagerduty)
        async with world.poster:
            yield world


def life(alarm_id: str = "a", updates: int = 1, notify: Sequence[str] = EVERYBODY) -> list[dict[str, Any]]:
    states = ["open", *["updated"] * updates, "resolved"]
    return [
        alarm(alarm_id=alarm_id, state=state, revision=revision, notify=list(notify))
        for revision, state in enumerate(states)
    ]


def types(server: ContractServer) -> list[str]:
    return [json.loads(body)["type"] for body in server.accepted]


async def test_everybody_hears_the_whole_life_in_order(world: World) -> None:
    outbox = world.worker()
    for step in life():
        rows = await outbox.deliver(step)
        assert [(row.receiver, row.outcome) for row in rows] == [
            (name, Result.DELIVERED) for name in EVERYBODY
        ]
    assert types(world.webhook) == ["alarm.open", "alarm.updated", "alarm.resolved"]
    assert [event["event_action"] for event in world.pagerduty.accepted] == ["trigger", "trigger", "resolve"]
    assert len(world.slack.accepted) == 3
    assert [row.detail for row in rows] == ["resolved"] * 3
    assert len(world.outcomes) == 9
    assert outbox.pending() == dict.fromkeys(EVERYBODY, 0)


async def test_a_step_delivered_again_sends_nothing_and_returns_its_row_again(world: World) -> None:
    outbox = world.worker()
    first = await outbox.deliver(life()[0])
    assert await outbox.deliver(life()[0]) == first
    assert len(world.webhook.requests) == 1


async def test_a_new_worker_goes_on_where_the_table_ends(world: World) -> None:
    steps = life()
    world.table.write(await world.worker().deliver(steps[0]))
    world.table.write(await world.worker().deliver(steps[1]))
    replay = world.worker()
    await replay.deliver(steps[0])
    await replay.deliver(steps[1])
    assert len(world.webhook.accepted) == 2
    await world.worker().deliver(steps[2])
    assert types(world.webhook)[-1] == "alarm.resolved"
    assert world.pagerduty.alerts == {}


async def test_an_end_without_a_beginning_is_told_to_nobody(world: World) -> None:
    assert await world.worker().deliver(life()[-1]) == []
    assert world.webhook.requests == []


async def test_a_worker_that_dies_between_sending_and_writing_repeats_itself_under_the_same_keys(
    world: World,
) -> None:
    await world.worker().deliver(life()[0])  # its rows are never written
    world.table.write(await world.worker().deliver(life()[0]))
    world.table.write(await world.worker().deliver(life()[-1]))
    assert len(world.webhook.accepted) == 3
    ids = [headers["webhook-id"] for headers, _ in world.webhook.requests]
    assert ids[0] == ids[1] != ids[2]
    assert world.pagerduty.incidents_opened == 1
    assert world.pagerduty.alerts == {}


async def test_a_receiver_that_is_down_holds_up_no_other_and_gets_every_pair_when_it_is_back(
    world: World,
) -> None:
    world.pagerduty.default = "hang"
    outbox = world.worker()
    calls = [
        asyncio.create_task(outbox.deliver(step)) for n in range(40) for step in life(f"a{n}", updates=0)
    ]
    while len(world.webhook.accepted) < 80 or outbox.pending()["slack:#ml"]:
        await asyncio.sleep(0)
    assert outbox.pending() == {"webhook": 0, "slack:#ml": 0, "pagerduty:ml": 80}
    assert not any(call.done() for call in calls)
    world.pagerduty.default = "ok"
    rows = [row for call in calls for row in await call]
    assert {row.outcome for row in rows} == {Result.DELIVERED}
    for n in range(40):
        actions = [
            event["event_action"] for event in world.pagerduty.accepted if event["dedup_key"] == f"a{n}"
        ]
        assert actions == ["trigger", "resolve"]
    assert world.pagerduty.alerts == {}


@pytest.mark.parametrize("is_over", [False, True])
async def test_updates_overtaken_during_an_outage_are_left_out_and_on_record(
    world: World, is_over: bool
) -> None:
    world.webhook.default = 503
    outbox = world.worker()
    steps = life(updates=50, notify=["webhook"])[: 52 if is_over else 51]
    calls = [asyncio.create_task(outbox.deliver(step)) for step in steps]
    while not world.webhook.requests:
        await asyncio.sleep(0)
    assert outbox.pending()["webhook"] == 2
    world.webhook.default = "ok"
    rows = [row for call in calls for row in await call]
    assert types(world.webhook) == ["alarm.open", "alarm.resolved" if is_over else "alarm.updated"]
    assert json.loads(world.webhook.accepted[-1])["data"]["revision"] == steps[-1]["revision"]
    assert [row.revision for row in rows] == list(range(len(steps)))
    assert [row.outcome for row in rows[1:-1]] == [Result.SUPERSEDED] * (len(steps) - 2)


async def test_what_is_given_up_is_on_record_and_its_end_is_still_told(world: World) -> None:
    outbox = world.worker(RetryPolicy(deadline_s=600))
    world.webhook.default = 500
    [row] = await outbox.deliver(life(notify=["webhook"])[0])
    assert (row.outcome, row.detail) == (Result.EXPIRED, "first: status 500")
    world.webhook.default = "ok"
    [row] = await outbox.deliver(life(notify=["webhook"])[-1])
    assert row.outcome is Result.DELIVERED


async def test_with_the_store_out_of_reach_people_are_told_all_the_same(world: World) -> None:
    world.table.is_up = False
    outbox = world.worker()
    for step in [*life("a", 0), *life("b", 0), life("opened by another worker")[-1]]:
        assert len(await outbox.deliver(step)) == 3
    assert types(world.webhook) == ["alarm.open", "alarm.resolved"] * 2 + ["alarm.resolved"]
    # each wait of the rate limit moves the clock, so the store was asked again now and then, but not for each
    assert world.table.loads < 5


async def test_a_store_that_hangs_delays_an_alarm_by_no_more_than_its_deadline(world: World) -> None:
    async def hang(alarm_id: str) -> list[NotificationRow]:
        await asyncio.Event().wait()
        return []

    outbox = Outbox(lambda _: LogNotifier(), Ledger(hang, load_timeout_s=0.01))
    [row] = await outbox.deliver(alarm())
    assert row.outcome is Result.DELIVERED


async def test_after_a_rebalance_what_the_other_worker_told_is_read(world: World) -> None:
    steps = life(notify=["webhook"])
    ours, theirs = world.worker(), world.worker()
    world.table.write(await ours.deliver(steps[0]))
    world.table.write(await theirs.deliver(steps[1]))
    world.table.write(await theirs.deliver(steps[2]))
    ours.distrust_ledger()
    for step in steps:
        await ours.deliver(step)
    assert types(world.webhook) == ["alarm.open", "alarm.updated", "alarm.resolved"]


async def test_a_forgotten_alarm_is_read_back_from_the_table() -> None:
    table = Table()
    outbox = Outbox(lambda _: LogNotifier(), Ledger(table.load, max_alarms=2))
    for n in range(5):
        table.write(await outbox.deliver(alarm(alarm_id=f"a{n}")))
    [row] = await outbox.deliver(alarm(alarm_id="a0", state="resolved", revision=1))
    assert row.detail == "resolved"


async def test_a_receiver_without_an_address_is_on_record(caplog: pytest.LogCaptureFixture) -> None:
    async with HttpPoster() as poster:
        outbox = Outbox(Receivers(Settings(), poster), Ledger())
        for revision in range(2):
            rows = await outbox.deliver(
                alarm(revision=revision, notify=["webhook", "slack:#x", "pager:y", "log"])
            )
    assert [row.outcome for row in rows] == [Result.UNCONFIGURED] * 3 + [Result.DELIVERED]
    assert sum("no such receiver" in record.getMessage() for record in caplog.records) == 3


class Faulty:
    concurrency = 1

    async def send(self, alarm: Mapping[str, Any]) -> Outcome:
        raise KeyError(KEY)


async def test_a_fault_in_a_notifier_is_on_record_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    broken: Notifier = Faulty()
    outbox = Outbox(lambda name: broken if name == "webhook" else LogNotifier(), Ledger())
    for revision in range(2):
        rows = await outbox.deliver(alarm(revision=revision, notify=["webhook", "log"]))
        assert [row.outcome for row in rows] == [Result.REJECTED, Result.DELIVERED]
        assert rows[0].detail == "first: KeyError"
    assert "canary" not in caplog.text


async def test_closing_leaves_what_was_not_told_to_the_next_worker(world: World) -> None:
    world.webhook.default = "hang"
    outbox = world.worker()
    call = asyncio.create_task(outbox.deliver(life()[0]))
    while not world.webhook.requests:
        await asyncio.sleep(0)
    await outbox.close()
    with pytest.raises(Unavailable):
        await call
    with pytest.raises(Unavailable):
        await outbox.deliver(life()[1])
    world.webhook.default = "ok"
    assert len(await world.worker().deliver(life()[0])) == 3


async def test_a_cancelled_call_stops_no_sending_and_the_next_gets_its_rows(world: World) -> None:
    world.webhook.script.append("hang")
    outbox = world.worker()
    call = asyncio.create_task(outbox.deliver(life()[0]))
    while not world.webhook.requests:
        await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    rows = await outbox.deliver(life()[0])
    assert len(rows) == 3
    assert len(world.webhook.accepted) == 1


async def test_the_agent_waits_when_too_much_is_pending(world: World) -> None:
    world.webhook.default = "hang"
    outbox = world.worker(max_pending=5)
    calls = [
        asyncio.create_task(outbox.deliver(alarm(alarm_id=f"a{n}", notify=["webhook"]))) for n in range(20)
    ]
    while len(world.webhook.requests) < 5:
        await asyncio.sleep(0)
    assert outbox.pending()["webhook"] == 5
    world.webhook.default = "ok"
    assert len(await asyncio.gather(*calls)) == 20


async def test_rollback_steps_go_to_the_monitors_receivers(world: World) -> None:
    outbox = world.worker()
    for seq, state in enumerate(["requested", "approved", "applied", "recovered"]):
        rows = await outbox.deliver(rollback(state=state, seq=seq), EVERYBODY)
        assert [row.receiver for row in rows] == ["webhook", "slack:#ml"]
    assert types(world.webhook) == [
        f"rollback.{state}" for state in ("requested", "approved", "applied", "recovered")
    ]


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_fails_and_whoever_dies_every_incident_ends_closed(world: World, seed: int) -> None:
    """Workers die at random points, before or after their rows are written; receivers fail at random."""
    chance = random.Random(seed)
    steps = [step for n in range(6) for step in life(f"a{n}", updates=chance.randrange(3))]
    steps.sort(key=lambda step: (step["revision"], chance.random()))
    for server in (world.webhook, world.slack, world.pagerduty):
        server.script.extend(chance.choices(["ok", 500, 429, "close", "lost"], k=30))
    committed = 0
    while committed < len(steps):
        outbox = world.worker()
        calls = [asyncio.create_task(outbox.deliver(step)) for step in steps[committed:]]
        lives = chance.randrange(1, len(steps))
        for call in calls[:lives]:
            rows = await call
            if chance.random() < 0.1:
                break  # killed after sending, before writing
            world.table.write(rows)
            committed += 1
        await outbox.close()
        await asyncio.gather(*calls, return_exceptions=True)
    assert world.pagerduty.alerts == {}
    for n in range(6):
        heard = [event for event in world.pagerduty.accepted if event["dedup_key"] == f"a{n}"]
        assert heard[0]["event_action"] == "trigger"
        assert heard[-1]["event_action"] == "resolve"
        told = [json.loads(body)["data"] for body in world.webhook.accepted]
        assert [data["state"] for data in told if data["alarm_id"] == f"a{n}"][-1] == "resolved"


async def test_no_secret_is_in_a_log_line_a_row_or_an_error(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    rows: list[NotificationRow] = []
    for trouble in (404, 302, "close", "hang", 500, 429, "ok"):
        outbox = world.worker(RetryPolicy(deadline_s=5, first_wait_s=1))
        for server in (world.webhook, world.slack, world.pagerduty):
            server.default = trouble
        rows += await outbox.deliver(alarm(alarm_id=f"a{trouble}", notify=EVERYBODY))
        await outbox.close()
    assert {row.outcome for row in rows} == {Result.REJECTED, Result.EXPIRED, Result.DELIVERED}
    with pytest.raises(ConfigError) as caught:
        Receivers(Settings(webhook_secret="canary-not-base64"), world.poster)
    shown = caplog.text + repr(rows) + repr(caught.value)
    assert caplog.records
    for planted in ("canary", SECRET, SECRET.removeprefix("whsec_")):
        assert planted not in shown


def test_a_setting_may_hold_one_value_or_several_by_name() -> None:
    assert by_name("S", "") == {}
    assert by_name("S", "https://h/a?b=c") == {"": ("https://h/a?b=c",)}
    assert by_name("S", "#a=https://h/a, https://h/b") == {"#a": ("https://h/a",), "": ("https://h/b",)}
    assert by_name("S", "ml=new,ml=old,rest") == {"ml": ("new", "old"), "": ("rest",)}
    with pytest.raises(ConfigError, match="entry 2"):
        by_name("S", "canary,,x")
