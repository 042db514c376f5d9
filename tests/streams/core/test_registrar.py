"""The executor does what was approved once, however often and to however many it is delivered."""

from __future__ import annotations

from typing import Any

import pytest

from seawall.errors import ContractError
from seawall.wire import decode, encode
from streams.core.registrar import Execution, execute
from streams.core.registry import Action, RegistryView, make_event
from streams.core.rollback_steps import RollbackState, first_step

MODEL = "late-arrival"


def registry_of(*events: tuple[str, Action, int]) -> RegistryView:
    registry = RegistryView()
    for version, action, ts in events:
        registry.observe(make_event(MODEL, version, action, ts))
    return registry


def released() -> RegistryView:
    return registry_of(("v1", "promoted", 10), ("v2", "promoted", 20))


def approved(
    to_version: str = "v1", from_version: str = "v2", state: RollbackState = "approved"
) -> dict[str, Any]:
    asked = first_step(
        MODEL,
        from_version,
        to_version,
        "a1",
        state="requested",
        mode="approve",
        ts=100,
        reason="distance drifted",
    )
    return asked.then(state, 110, "looks right", "ada").to_record(0)


def send(execution: Execution, registry: RegistryView) -> None:
    for event in execution.events:
        registry.observe(event)


def test_an_approved_rollback_is_applied() -> None:
    registry = released()
    events, step = execute(approved(), registry, 200)
    assert [(e["version"], e["action"], e["replaces"], e["ts"]) for e in events] == [
        ("v1", "promoted", "v2", 200),
        ("v2", "rolled_back", None, 200),
    ]
    assert (step.state, step.seq, step.ts) == ("applied", 2, 200)
    assert {e["rollback_id"] for e in events} == {step.rollback_id}
    send(Execution(events, step), registry)
    assert registry.current(MODEL) == "v1"
    assert not registry.versions(MODEL)["v2"].is_servable


def test_ten_deliveries_are_one_rollback() -> None:
    registry, results = released(), []
    for now_us in range(200, 210):
        execution = execute(approved(), registry, now_us)
        send(execution, registry)
        results.append(execution)
    assert all(r == results[0] for r in results)
    assert len(registry.events(MODEL)) == 4
    assert len(registry.history(MODEL)) == 3


def test_a_crash_between_the_two_events_is_mended_by_the_next_delivery() -> None:
    registry = released()
    events, step = execute(approved(), registry, 200)
    registry.observe(events[0])
    assert registry.current(MODEL) == "v1"
    again = execute(approved(), registry, 300)
    assert again == Execution(events, step)
    send(again, registry)
    assert not registry.versions(MODEL)["v2"].is_servable


def test_two_workers_that_decide_at_once_write_the_same_events() -> None:
    one, other = execute(approved(), released(), 200), execute(approved(), released(), 250)
    registry = released()
    send(one, registry)
    send(other, registry)
    assert [e["event_id"] for e in one.events] == [e["event_id"] for e in other.events]
    assert len(registry.events(MODEL)) == 4
    assert one.step.rollback_id == other.step.rollback_id


def test_a_late_duplicate_does_not_undo_what_was_promoted_since() -> None:
    registry = released()
    send(execute(approved(), registry, 200), registry)
    registry.observe(make_event(MODEL, "v3", "promoted", 300))
    send(execute(approved(), registry, 400), registry)
    assert registry.current(MODEL) == "v3"


def test_a_rollback_is_superseded_when_somebody_else_moved_first() -> None:
    registry = released()
    registry.observe(make_event(MODEL, "v3", "promoted", 150))
    events, step = execute(approved(), registry, 200)
    assert (events, step.state, step.reason) == ([], "superseded", "v3 is in production now")


def test_a_rollback_of_an_empty_production_is_superseded() -> None:
    registry = released()
    registry.observe(make_event(MODEL, "v2", "archived", 150))
    _, step = execute(approved(), registry, 200)
    assert (step.state, step.reason) == ("superseded", "no version is in production now")


@pytest.mark.parametrize(
    ("action", "why"),
    [("archived", "v1 was archived"), ("rolled_back", "v1 was itself rolled back from")],
)
def test_a_target_that_may_not_serve_is_refused(action: Action, why: str) -> None:
    registry = released()
    registry.observe(make_event(MODEL, "v1", action, 150))
    events, step = execute(approved(), registry, 200)
    assert (events, step.state, step.reason, step.needs_a_person) == ([], "refused", why, True)


def test_a_target_that_does_not_exist_is_refused() -> None:
    assert execute(approved("v9"), released(), 200).step.reason == "v9 is not in the registry"


def test_going_back_to_where_one_is_is_refused() -> None:
    assert execute(approved("v2"), released(), 200).step.state == "refused"


def test_the_events_take_effect_even_if_the_registry_is_ahead_of_event_time() -> None:
    registry = registry_of(("v1", "promoted", 10), ("v2", "promoted", 900))
    execution = execute(approved(), registry, 200)
    assert {e["ts"] for e in execution.events} == {execution.step.ts} == {901}
    send(execution, registry)
    assert registry.current(MODEL) == "v1"


def test_only_an_approved_rollback_is_carried_out() -> None:
    with pytest.raises(ContractError, match="is denied, and only an approved one is carried out"):
        execute(approved(state="denied"), released(), 200)


def test_events_and_step_fit_their_contracts() -> None:
    events, step = execute(approved(), released(), 200)
    for event in events:
        assert decode(encode("registry_event", event), ("registry_event",))[1] == event
    assert decode(encode("rollback", step.to_record(5)), ("rollback",))[1] == step.to_record(5)
