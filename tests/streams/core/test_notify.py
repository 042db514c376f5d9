"""Who is told what, and how it reads."""

from __future__ import annotations

import copy
import json
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.contracts import contracts_dir
from streams.core.notify import (
    LedgerEntry,
    NotificationRow,
    Reason,
    Result,
    digest,
    fold,
    needs_notification,
    pagerduty_event,
    receivers,
    slack_message,
    told,
    webhook_body,
)
from streams.core.slack_blocks import BUDGET_CHARS
from tests.contract.receivers import slack_problem
from tests.contract.samples import alarm, feature, rollback

CASES = [
    ("an open alarm that nobody heard of is told", None, "open", 0, Reason.FIRST),
    ("so is one whose first heard step is an update", None, "updated", 3, Reason.FIRST),
    ("the end of an alarm nobody heard of is not told", None, "resolved", 4, None),
    ("the same step is not told twice", (2, True), "updated", 2, None),
    ("an older step is not told", (2, True), "updated", 1, None),
    ("a newer step is told as an update", (2, True), "updated", 3, Reason.UPDATED),
    ("the end of an open alarm is told", (2, True), "resolved", 3, Reason.RESOLVED),
    ("the end is not told twice", (3, False), "resolved", 3, None),
    ("nor again later", (3, False), "resolved", 4, None),
    ("an alarm that opens again is told as new", (3, False), "open", 4, Reason.FIRST),
    ("after a refused open the update is told as new", (0, False), "updated", 1, Reason.FIRST),
]


@pytest.mark.parametrize(
    ("known", "state", "revision", "reason"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_a_receiver_is_told_what_it_does_not_know(
    known: tuple[int, bool] | None, state: str, revision: int, reason: Reason | None
) -> None:
    entry = LedgerEntry(*known) if known else None
    assert needs_notification(entry, alarm(state=state, revision=revision)) is reason


def row(revision: int, outcome: Result, detail: str) -> NotificationRow:
    return NotificationRow("a", "log", revision, outcome, detail, 0)


@pytest.mark.parametrize(
    ("outcome", "is_open"),
    [
        (Result.DELIVERED, True),
        (Result.EXPIRED, True),  # may have arrived
        (Result.REJECTED, False),
        (Result.UNCONFIGURED, False),
    ],
)
def test_an_open_that_may_have_arrived_will_be_resolved(outcome: Result, is_open: bool) -> None:
    entry = told(None, row(0, outcome, "first: status 500"))
    assert entry.is_open is is_open
    expected = Reason.RESOLVED if is_open else None
    assert needs_notification(entry, alarm(state="resolved", revision=1)) is expected


@given(st.permutations(range(4)))
def test_the_ledger_is_the_same_in_whatever_order_its_rows_are_read(order: list[int]) -> None:
    rows = [
        row(0, Result.DELIVERED, "first"),
        row(1, Result.SUPERSEDED, "updated"),
        row(2, Result.REJECTED, "updated: status 400"),
        row(3, Result.DELIVERED, "resolved"),
    ]
    assert fold(rows[at] for at in order) == fold(rows)
    assert not fold(rows)["log"].is_open
    assert fold(rows[:3])["log"].is_open


@given(st.lists(st.sampled_from(["open", "updated", "resolved"]), max_size=12), st.integers(0, 3))
def test_no_receiver_hears_an_end_without_a_beginning_however_often_steps_repeat(
    states: list[str], repeat: int
) -> None:
    entry, heard = None, []
    for revision, state in enumerate(states):
        for _ in range(1 + repeat):
            reason = needs_notification(entry, alarm(state=state, revision=revision))
            if reason is not None:
                heard.append(reason)
                entry = told(entry, row(revision, Result.DELIVERED, reason))
    open_now = False
    for reason in heard:
        assert (reason is Reason.FIRST) is not open_now
        open_now = reason is not Reason.RESOLVED
    assert len(heard) <= len(states)


EVERYBODY = ["log", "webhook", "slack:#ml", "pagerduty:ml"]


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (alarm(), EVERYBODY),
        (alarm(severity="info"), ["log", "webhook", "slack:#ml"]),
        (alarm(severity="info", state="resolved"), EVERYBODY),
        (rollback(), ["log", "webhook", "slack:#ml"]),
    ],
    ids=["an alarm", "information wakes nobody", "an end goes to whoever may have been paged", "a rollback"],
)
def test_receivers_get_the_steps_that_are_for_them(step: dict[str, Any], expected: list[str]) -> None:
    assert receivers(step, EVERYBODY) == tuple(expected)


def test_a_monitor_that_names_nobody_is_logged_and_a_receiver_named_twice_hears_once() -> None:
    assert receivers(alarm(notify=[])) == ("log",)
    assert receivers(alarm(notify=["webhook", "webhook"])) == ("webhook",)


def test_samples_are_what_the_schemas_say() -> None:
    for name, sample in (("alarm", alarm()), ("rollback", rollback())):
        schema = json.loads((contracts_dir() / f"{name}.avsc").read_text())
        assert fastavro.validate(sample, schema, strict=True)


def test_pagerduty_triggers_and_resolves_under_one_key() -> None:
    opened = pagerduty_event(alarm(), "K")
    updated = pagerduty_event(alarm(state="updated", revision=1), "K", link="https://grafana.example/d/1")
    resolved = pagerduty_event(alarm(state="resolved", revision=2), "K")
    assert [event["event_action"] for event in (opened, updated, resolved)] == [
        "trigger",
        "trigger",
        "resolve",
    ]
    assert len({event["dedup_key"] for event in (opened, updated, resolved)}) == 1
    assert opened["payload"]["custom_details"]["features"][0]["name"] == "dep_delay"
    assert opened["payload"]["custom_details"]["window"]["end"] == "2023-11-14T22:13:20.000Z"
    assert opened["payload"]["custom_details"]["attribution"] == "version"
    assert updated["links"][0]["href"] == "https://grafana.example/d/1"


def test_a_long_alarm_id_still_gives_one_short_key() -> None:
    long, other = alarm(alarm_id="x" * 256), alarm(alarm_id="x" * 257)
    assert len(pagerduty_event(long, "K")["dedup_key"]) <= 255
    assert pagerduty_event(long, "K")["dedup_key"] != pagerduty_event(other, "K")["dedup_key"]


def test_a_long_summary_is_cut_between_characters_even_at_an_emoji() -> None:
    summary = pagerduty_event(alarm(summary="x" * (1023 - 1) + "🌊🌊🌊"), "K")["payload"]["summary"]
    assert len(summary) == 1024
    assert summary.endswith("🌊…")
    summary.encode()


def test_an_event_over_the_limit_loses_details_and_not_the_page() -> None:
    wide = alarm(features=[feature(name=f"f{n}", detail="x" * 600) for n in range(1000)])
    event = pagerduty_event(wide, "K")
    assert len(json.dumps(event, ensure_ascii=False).encode()) <= 512_000
    assert event["payload"]["summary"] == "late-arrival 3: dep_delay has moved"
    assert len(event["payload"]["custom_details"]["features"]) == 1000
    wider = alarm(features=[feature(name="n" * 600) for _ in range(1000)])
    assert len(pagerduty_event(wider, "K")["payload"]["custom_details"]["features"]) == 10


def test_an_unknown_severity_pages_and_a_number_json_cannot_say_is_null() -> None:
    event = pagerduty_event(alarm(severity="dreadful", features=[feature(value=float("nan"))]), "K")
    assert event["payload"]["severity"] == "error"
    assert event["payload"]["custom_details"]["features"][0]["value"] is None


def test_a_page_names_the_model_once_and_says_where_to_look() -> None:
    event, message = pagerduty_event(alarm(), "K"), slack_message(alarm())
    assert event["payload"]["summary"] == "late-arrival 3: dep_delay has moved"
    assert message["text"] == "🔴 Open: late-arrival 3: dep_delay has moved"
    see = "seawall alarms show late-arrival/3/all/drift/1700000000"
    assert list(event["payload"]["custom_details"])[:2] == ["story", "see"]
    assert event["payload"]["custom_details"]["see"] == see
    assert f"`{see}`" in message["blocks"][-1]["elements"][0]["text"]


def test_why_it_is_whose_fault_is_said_once_in_a_slack_message() -> None:
    why = "version 2 does not see it on the same traffic"
    for story in ("", f"The version is at fault: {why}."):
        said = json.dumps(slack_message(alarm(attribution_why=why, story=story)))
        assert said.count(why) == 1


def test_slack_says_of_a_column_that_it_began_hours_after_the_incident() -> None:
    step = alarm()
    later = feature(name="seats_left", onset_us=step["onset_us"] + 6 * 3_600_000_000)
    first, second = slack_message(alarm(features=[feature(), later]))["blocks"][3]["text"]["text"].split("\n")
    assert "began" not in first
    assert "– began 2023-11-15 04:11 UTC" in second


def test_slack_says_a_silence_in_words() -> None:
    silence = feature(
        name="freshness", statistic="silent_seconds", value=2520.0, limit=600.0, chance=180.0,
        detail="none for 42 min", before=[], after=[],
    )  # fmt: skip
    said = json.dumps(slack_message(alarm(kind="freshness", features=[silence])), ensure_ascii=False)
    assert "• no predictions for 42 min, usually at most 3 min (limit 10 min)" in said
    assert "silent_seconds" not in said
    unknown = slack_message(alarm(kind="freshness", features=[{**silence, "chance": 0.0}]))
    assert "• no predictions for 42 min (limit 10 min)" in json.dumps(unknown, ensure_ascii=False)


def test_slack_says_when_it_is_over_and_calls_nobody_a_model_name_asks_for() -> None:
    message = slack_message(alarm(summary="<!channel> & co", features=[feature(name="`<@U1>`")]))
    text = json.dumps(message, ensure_ascii=False)
    assert "<!channel>" not in text
    assert "<@U1>" not in text
    assert "&lt;!channel&gt; &amp; co" in text
    assert slack_message(alarm(state="resolved"))["blocks"][0]["text"]["text"].startswith("✅ Resolved")


ugly = st.text(alphabet=st.sampled_from("a<&>`\n🌊\ud800*"), max_size=5000)


@given(ugly, ugly, ugly, st.integers(0, 60))
def test_whatever_the_texts_slack_takes_the_message(summary: str, why: str, name: str, features: int) -> None:
    step = alarm(
        summary=summary,
        attribution_why=why,
        segment=name,
        model=name or "m",
        features=[feature(name=name, statistic=name, detail=why)] * features,
    )
    for message in (
        slack_message(step, link="https://g.example/"),
        digest([step] * 60),
        slack_message(rollback(reason=why)),
    ):
        assert slack_problem(message) == ""
        assert (
            len("".join(block["text"]["text"] for block in message["blocks"] if "text" in block))
            <= BUDGET_CHARS
        )


def test_a_digest_counts_everything_and_names_the_worst_first() -> None:
    steps = [alarm(severity="info", model=f"m{n}") for n in range(400)] + [alarm(model="burning")]
    message = digest([*steps, alarm(state="resolved", model="healed"), rollback()])
    text = json.dumps(message, ensure_ascii=False)
    assert message["text"] == "403 messages: 401 open, 1 requested, 1 resolved"
    assert "burning" in message["blocks"][1]["text"]["text"]
    assert "… and 383 more" in text
    assert slack_problem(message) == ""


@pytest.mark.parametrize("state", ["open", "updated", "resolved"])
def test_a_webhook_says_its_type(state: str) -> None:
    event = json.loads(webhook_body(alarm(state=state)))
    assert event["type"] == f"alarm.{state}"
    assert event["timestamp"] == "2023-11-14T22:14:20.000Z"
    assert event["data"]["features"][0]["name"] == "dep_delay"
    assert "notify" not in event["data"]


def test_a_webhook_tells_of_rollbacks_too() -> None:
    event = json.loads(webhook_body(rollback(state="not_recovered")))
    assert event["type"] == "rollback.not_recovered"
    assert event["data"]["to_version"] == "2"


@given(ugly, st.integers(0, 300))
def test_a_webhook_stays_under_20_kb(text: str, features: int) -> None:
    step = alarm(
        summary=text, attribution_why=text, features=[feature(name=text[:100], detail=text)] * features
    )
    body = webhook_body(step)
    assert len(body) < 20_000
    assert json.loads(body)["type"] == "alarm.open"
    assert len(webhook_body(rollback(evidence={f"{n}{text}": text for n in range(50)}))) < 20_000


def test_rendering_leaves_the_record_as_it_was() -> None:
    step = alarm(features=[feature(detail="x" * 3000)] * 300)
    before = copy.deepcopy(step)
    pagerduty_event(step, "K")
    slack_message(step)
    digest([step, step])
    webhook_body(step)
    assert step == before
