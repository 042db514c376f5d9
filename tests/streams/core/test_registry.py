"""Who serves, who served, and who was in production when."""

from __future__ import annotations

import json
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from seawall.wire import decode, encode
from streams.core.registry import Action, RegistryView, Reign, make_event

MODEL = "late-arrival"


def view(*events: tuple[str, Action, int]) -> RegistryView:
    registry = RegistryView()
    for version, action, ts in events:
        registry.observe(make_event(MODEL, version, action, ts))
    return registry


def test_the_promoted_version_is_in_production() -> None:
    registry = view(("v1", "registered", 1), ("v1", "promoted", 2), ("v2", "registered", 3))
    assert registry.current(MODEL) == "v1"
    assert registry.released_us(MODEL) == 2
    assert {v: s.stage for v, s in registry.versions(MODEL).items()} == {
        "v1": "production",
        "v2": "registered",
    }


def test_a_model_never_heard_of_has_nothing() -> None:
    registry = RegistryView()
    assert registry.current("x") is None
    assert registry.released_us("x") is None
    assert registry.previous("x") is None
    assert registry.last_good("x") is None
    assert registry.last_us("x") is None
    assert registry.history("x") == []
    assert registry.versions("x") == {}


def test_history_says_who_was_in_production_at_a_time() -> None:
    registry = view(
        ("v1", "promoted", 10), ("v2", "promoted", 20), ("v2", "archived", 30), ("v1", "promoted", 40)
    )
    assert registry.history(MODEL) == [Reign("v1", 10), Reign("v2", 20), Reign(None, 30), Reign("v1", 40)]
    assert [registry.current(MODEL, at) for at in (9, 10, 19, 20, 30, 40, 99)] == [
        None, "v1", "v1", "v2", None, "v1", "v1",
    ]  # fmt: skip


def test_a_promotion_said_twice_does_not_restart_the_reign() -> None:
    registry = view(("v1", "promoted", 10), ("v1", "promoted", 20))
    assert registry.released_us(MODEL) == 10
    assert len(registry.history(MODEL)) == 1


def test_last_good_passes_over_what_was_rolled_back_or_archived() -> None:
    before = [("v1", "promoted", 10), ("v2", "promoted", 20), ("v3", "promoted", 30)]
    assert view(*before).last_good(MODEL) == "v2"  # type: ignore[arg-type]  # literals of a list
    assert view(*before, ("v2", "archived", 31)).last_good(MODEL) == "v1"  # type: ignore[arg-type]
    rolled_back = view(*before, ("v2", "promoted", 40), ("v3", "rolled_back", 40))  # type: ignore[arg-type]
    assert rolled_back.current(MODEL) == "v2"
    assert rolled_back.last_good(MODEL) == "v1"
    assert rolled_back.previous(MODEL) == "v3"


def test_a_version_that_is_promoted_anew_is_good_again() -> None:
    registry = view(
        ("v1", "promoted", 10), ("v2", "promoted", 20), ("v1", "promoted", 30), ("v2", "rolled_back", 30)
    )
    assert not registry.versions(MODEL)["v2"].is_servable
    registry.observe(make_event(MODEL, "v2", "promoted", 40))
    assert registry.versions(MODEL)["v2"].is_servable
    assert registry.last_good(MODEL) == "v1"


def test_a_log_that_begins_late_takes_the_predecessor_at_its_word() -> None:
    registry = RegistryView()
    registry.observe(make_event(MODEL, "v2", "promoted", 20, replaces="v1"))
    assert registry.previous(MODEL) == "v1"
    assert registry.last_good(MODEL) == "v1"


def test_the_two_events_of_a_rollback_give_one_line_of_history_in_either_order() -> None:
    for pair in permutations([("v1", "promoted", 30), ("v2", "rolled_back", 30)]):
        registry = view(("v1", "promoted", 10), ("v2", "promoted", 20), *pair)  # type: ignore[arg-type]
        assert registry.history(MODEL) == [Reign("v1", 10), Reign("v2", 20), Reign("v1", 30)]


def test_lineage_is_kept_and_mended() -> None:
    registry = RegistryView()
    registry.observe(make_event(MODEL, "v2", "registered", 1, parent="v1", lineage={"data": "abc"}))
    registry.observe(make_event(MODEL, "v2", "promoted", 2))
    registry.observe(make_event(MODEL, "v2", "registered", 3, lineage={"run": "7"}))
    state = registry.versions(MODEL)["v2"]
    assert (state.parent, dict(state.lineage)) == ("v1", {"data": "abc", "run": "7"})
    assert (state.stage, state.registered_us) == ("production", 1)


def test_an_event_fits_the_contract() -> None:
    event = make_event(MODEL, "v2", "promoted", 20, replaces="v1", actor="ada", reason="better")
    assert decode(encode("registry_event", event), ("registry_event",))[1] == event


def test_the_same_event_made_twice_has_one_id() -> None:
    assert make_event(MODEL, "v1", "promoted", 1) == make_event(MODEL, "v1", "promoted", 1)


EVENTS = st.lists(
    st.builds(
        lambda version, action, ts: make_event(MODEL, version, action, ts),
        st.sampled_from(["v1", "v2", "v3"]),
        st.sampled_from(["registered", "promoted", "archived", "rolled_back"]),
        st.integers(1, 12),
    ),
    max_size=14,
)


@given(EVENTS, st.randoms(use_true_random=False))
def test_order_of_arrival_and_duplicates_change_nothing(
    events: list[dict[str, object]], random: object
) -> None:
    shuffled = events * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    one, other = RegistryView(), RegistryView()
    for event in events:
        one.observe(event)
    for event in shuffled:
        other.observe(event)
        other.current(MODEL)  # folding in between must not matter
    assert one.history(MODEL) == other.history(MODEL)
    assert one.versions(MODEL) == other.versions(MODEL)
    assert one.last_good(MODEL) == other.last_good(MODEL)
    restored = RegistryView.restore(json.loads(json.dumps(other.snapshot())))
    assert restored.snapshot() == one.snapshot()


@given(EVENTS)
def test_the_present_is_the_last_line_of_history(events: list[dict[str, object]]) -> None:
    registry = RegistryView()
    for event in events:
        registry.observe(event)
    reigns = registry.history(MODEL)
    assert registry.current(MODEL) == (reigns[-1].version if reigns else None)
    assert [r.from_us for r in reigns] == sorted({r.from_us for r in reigns})
    in_production = [v for v, s in registry.versions(MODEL).items() if s.stage == "production"]
    assert in_production == ([registry.current(MODEL)] if registry.current(MODEL) else [])
    good = registry.last_good(MODEL)
    assert good is None or (good != registry.current(MODEL) and registry.versions(MODEL)[good].is_servable)
