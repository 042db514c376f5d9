"""The rollback desk and what it decides on, law by law. The stories are in ``tests/scenarios``."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.errors import ContractError
from seawall.monitor import DAY_US, HOUR_US, MINUTE_US, MonitorSpec, RollbackPolicy
from seawall.wire import decode, encode
from streams.core.alarm_steps import AlarmStep, Culprit
from streams.core.attribution import attribute
from streams.core.drift_history import MAX_COLUMNS, MAX_STRETCHES, MAX_VERSIONS, DriftHistory, Span
from streams.core.registry import RegistryView, make_event
from streams.core.rollback import MAX_CASES, RollbackDesk
from streams.core.rollback_steps import LIVE, MAY_FOLLOW, RollbackState, RollbackStep, first_step
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict

MODEL = "late-arrival"
R_US = 1_370_268_000_000_000
BROUGHT_BY_V2 = "drifted from 10m after the release of v2; v1 did not see that before it"
AUTO = MonitorSpec(MODEL, rollback=RollbackPolicy(mode="auto"))


def alarm(
    onset_us: int = R_US + 10 * MINUTE_US,
    *,
    kind: str = "drift",
    segment: str = "",
    version: str = "v2",
    culprits: tuple[str, ...] = ("distance",),
    alarm_id: str = "a1",
    seen_us: int | None = None,
) -> AlarmStep:
    # What began before the release and is judged by it was still seen when it came.
    seen_us = max(onset_us, R_US) if seen_us is None else seen_us
    return AlarmStep(
        alarm_id, MODEL, version, segment, kind, "open", "error", 0, onset_us, seen_us, None, "it drifts",
        seen_us - 5 * MINUTE_US, seen_us, 5 * MINUTE_US, 900,
        tuple(Culprit(c, "feature", "js", 0.5, 0.1, 0.02) for c in culprits), "unknown", "", (),
    )  # fmt: skip


def window(
    version: str,
    end_us: int,
    *drifted: str,
    verdict: Verdict | None = None,
    kind: str = "drift",
    segment: str = "",
) -> WindowVerdict:
    said = verdict if verdict is not None else (Verdict.DRIFT if drifted else Verdict.STABLE)
    columns = tuple(ColumnVerdict(c, "feature", Verdict.DRIFT, "js", 0.5, 0.1, 0.02) for c in drifted)
    start_us = end_us - 5 * MINUTE_US
    return WindowVerdict(
        MODEL, version, "predictions", segment, 5 * MINUTE_US, start_us, end_us, 900, said, kind, columns
    )


def released() -> RegistryView:
    registry = RegistryView()
    registry.observe(make_event(MODEL, "v1", "promoted", R_US - 9 * DAY_US))
    registry.observe(make_event(MODEL, "v2", "promoted", R_US))
    return registry


def watched() -> DriftHistory:
    """v1 was stable in the hours before the release."""
    history = DriftHistory()
    for hour in range(12, 0, -1):
        history.observe(window("v1", R_US - hour * HOUR_US))
    return history


def step(state: RollbackState = "requested", alarm_id: str = "a1", ts: int = R_US) -> RollbackStep:
    return first_step(MODEL, "v2", "v1", alarm_id, state=state, mode="auto", ts=ts, reason="because")


@pytest.mark.parametrize(
    ("told", "outcome", "why"),
    [
        (alarm(), "version", f"distance {BROUGHT_BY_V2}"),
        (alarm(kind="volume"), "unknown", "a volume alarm says nothing about the version"),
        (alarm(segment="a=b"), "unknown", "only a=b is affected, and the version serves all traffic"),
        (alarm(version="v1"), "unknown", "v1 is not in production, v2 is"),
        (alarm(culprits=()), "unknown", "no column is named as culprit"),
        (alarm(R_US + 8 * DAY_US), "world", "it began 8d after the release of v2"),
    ],
)  # fmt: skip
def test_every_attribution_says_why(told: AlarmStep, outcome: str, why: str) -> None:
    finding = attribute(told, released(), AUTO, watched().evidence())
    assert finding.attribution == (outcome, why)


def test_a_drift_that_began_before_the_release_is_the_worlds() -> None:
    history = DriftHistory()
    history.observe(window("v1", R_US - 6 * HOUR_US))
    found = attribute(alarm(R_US - 5 * HOUR_US), released(), AUTO, history.evidence()).attribution
    assert found == (
        "world",
        "it began at 2013-06-03 09:00 UTC, before v2 was released at 2013-06-03 14:00 UTC",
    )


def test_a_version_that_runs_minutes_before_the_registry_hears_of_it_is_still_suspected() -> None:
    history = DriftHistory()
    history.observe(window("v1", R_US - 2 * HOUR_US))
    found = attribute(alarm(R_US - 20 * MINUTE_US), released(), AUTO, history.evidence()).attribution
    assert found.outcome == "version"


def test_whose_fault_it_is_does_not_depend_on_releases_that_came_later() -> None:
    """A worker that catches up has read of the release before it judges the windows of before."""
    history = DriftHistory()
    history.observe(window("v1", R_US - 6 * HOUR_US))
    early = alarm(R_US - 2 * HOUR_US, version="v1", seen_us=R_US - HOUR_US)
    in_time = RegistryView()
    in_time.observe(make_event(MODEL, "v1", "promoted", R_US - 9 * DAY_US))
    found = attribute(early, released(), AUTO, history.evidence())
    assert found == attribute(early, in_time, AUTO, history.evidence())
    assert "v2" not in found.attribution.why
    again = replace(early, window_end_us=R_US)
    assert attribute(again, released(), AUTO, history.evidence()).attribution.why == (
        "v1 is not in production, v2 is"
    )


def test_without_a_registry_nobody_can_tell() -> None:
    found = attribute(alarm(), RegistryView(), AUTO, watched().evidence()).attribution
    assert found.outcome == "unknown"
    assert found.why.startswith("the registry does not say which version was in production at 2")


def test_a_long_window_that_still_sees_the_old_traffic_is_no_witness_of_the_new() -> None:
    history = watched()
    tail = WindowVerdict(
        MODEL, "v1", "predictions", "", DAY_US, R_US - 23 * HOUR_US, R_US + HOUR_US, 9000, Verdict.STABLE
    )
    history.observe(tail)
    why = attribute(alarm(R_US + 50 * MINUTE_US), released(), AUTO, history.evidence()).attribution.why
    assert why.endswith("v1 did not see that before it")


def test_an_alarm_that_flaps_is_traced_to_its_first_drift() -> None:
    history = watched()
    history.observe(window("v2", R_US + HOUR_US, "distance"))
    for hour in range(2, 25):
        history.observe(window("v2", R_US + hour * HOUR_US))
    history.observe(window("v2", R_US + 25 * HOUR_US, "distance"))
    history.observe(window("v2", R_US + 27 * HOUR_US, "distance"))
    late = alarm(R_US + 27 * HOUR_US)
    assert attribute(late, released(), AUTO, history.evidence()).attribution.outcome == "version"


def test_history_joins_what_lies_within_a_day_and_forgets_what_is_older() -> None:
    history = DriftHistory()
    for hour in (0, 20, 40, 90, 95):
        history.observe(window("v1", R_US + hour * HOUR_US, "distance"))
    known = history.evidence().of("v1")
    assert known.columns == {"feature/distance": Span(R_US + 90 * HOUR_US, R_US + 95 * HOUR_US)}


def test_history_ignores_segments_and_what_could_not_be_judged() -> None:
    history = DriftHistory()
    history.observe(window("v1", R_US, "distance", segment="origin=JFK"))
    history.observe(window("v1", R_US, verdict=Verdict.NOT_ENOUGH_DATA))
    history.observe(window("v1", R_US, verdict=Verdict.ERROR))
    assert not history.evidence().of("v1").was_judged_since(0)


def test_history_is_bounded() -> None:
    history = DriftHistory()
    for i in range(MAX_VERSIONS + 5):
        history.observe(window(f"v{i}", R_US + i))
    assert len(history.evidence().versions) == MAX_VERSIONS
    assert "v0" not in history.evidence().versions
    many = [f"c{i}" for i in range(MAX_COLUMNS + 50)]
    history.observe(window("v99", R_US + DAY_US, *many))
    for i in range(9):
        history.observe(window("v99", R_US + i * 3 * DAY_US))
    known = history.evidence().of("v99")
    assert len(known.columns) == MAX_COLUMNS
    assert len(known.stable) == MAX_STRETCHES


HISTORIES = st.lists(
    st.tuples(st.sampled_from(["v1", "v2"]), st.integers(0, 200), st.sets(st.sampled_from("ab"))), max_size=40
)


@given(HISTORIES, st.integers(0, 40))
def test_history_survives_saving_in_the_middle(story: list[tuple[str, int, set[str]]], cut: int) -> None:
    whole, parts = DriftHistory(), DriftHistory()
    for i, (version, hour, drifted) in enumerate(story):
        verdict = window(version, R_US + hour * HOUR_US, *sorted(drifted))
        whole.observe(verdict)
        if i == cut:
            parts = DriftHistory.restore(json.loads(json.dumps(parts.snapshot())))
        parts.observe(verdict)
    assert whole.snapshot() == parts.snapshot()


def test_assessing_changes_nothing_and_asking_twice_is_asking_once() -> None:
    desk = RollbackDesk(MODEL)
    evidence = watched().evidence()
    assert desk.assess(alarm(), released(), AUTO, evidence, R_US).obstacle == ""
    assert desk.snapshot()["cases"] == []
    first = desk.consider(alarm(), released(), AUTO, evidence, R_US)
    assert [s.state for s in first] == ["requested", "approved"]
    assert desk.consider(alarm(), released(), AUTO, evidence, R_US) == []
    again = RollbackDesk(MODEL).consider(alarm(), released(), AUTO, evidence, R_US)
    assert again == first  # a worker that starts from nothing decides the same, under the same id


def test_one_live_rollback_a_model() -> None:
    desk = RollbackDesk(MODEL)
    desk.consider(alarm(), released(), AUTO, watched().evidence(), R_US)
    found = desk.assess(alarm(alarm_id="a2"), released(), AUTO, watched().evidence(), R_US + 9 * DAY_US)
    assert found.obstacle.endswith("to v1 is approved")


def test_what_was_only_observed_does_not_hold_back_what_is_meant() -> None:
    desk = RollbackDesk(MODEL)
    evidence = watched().evidence()
    observing = MonitorSpec(MODEL)
    assert [s.state for s in desk.consider(alarm(), released(), observing, evidence, R_US)] == ["observed"]
    other = alarm(alarm_id="a2")
    assert desk.consider(other, released(), observing, evidence, R_US + HOUR_US) == []
    assert len(desk.consider(other, released(), AUTO, evidence, R_US + HOUR_US)) == 2


@pytest.mark.parametrize(
    ("target", "obstacle"),
    [
        ("v9", "v9 is not in the registry"),
        ("v2", "v2 is in production already"),
        ("old", "old was archived"),
        ("bad", "bad was itself rolled back from"),
        ("sick", "sick drifts on the same columns"),
    ],
)
def test_a_target_that_would_not_help_is_an_obstacle(target: str, obstacle: str) -> None:
    registry, history = released(), watched()
    registry.observe(make_event(MODEL, "old", "archived", R_US - 20 * DAY_US))
    registry.observe(make_event(MODEL, "bad", "rolled_back", R_US - 20 * DAY_US))
    registry.observe(make_event(MODEL, "sick", "registered", R_US - 20 * DAY_US))
    history.observe(window("sick", R_US, "distance"))
    spec = MonitorSpec(MODEL, rollback=RollbackPolicy(mode="auto", target=target))
    desk = RollbackDesk(MODEL)
    assert desk.assess(alarm(), registry, spec, history.evidence(), R_US).obstacle == obstacle
    assert desk.consider(alarm(), registry, spec, history.evidence(), R_US) == []


def test_ten_duplicates_of_every_step_change_nothing() -> None:
    desk, steps = RollbackDesk(MODEL), [step()]
    for state in ("approved", "applied", "recovered"):
        steps.append(steps[-1].then(state, R_US, ""))
    for each in steps:
        assert [desk.on_step(each.to_record(0)) for _ in range(10)] == [True] + [False] * 9
    assert [desk.on_step(each.to_record(0)) for each in steps] == [False] * 4
    assert desk.latest(steps[0].rollback_id) == steps[-1]


@given(st.lists(st.sampled_from(sorted(MAY_FOLLOW)), max_size=12))
def test_a_step_is_taken_only_when_it_may_follow(states: list[RollbackState]) -> None:
    desk, now = RollbackDesk(MODEL), None
    for state in states:
        may = now is None or state in MAY_FOLLOW[now]
        assert desk.on_step(step(state).to_record(0)) is may
        now = state if may else now
    assert (desk.live is not None) == (now in LIVE)


def test_the_first_answer_counts() -> None:
    desk, asked = RollbackDesk(MODEL), step()
    desk.on_step(asked.to_record(0))
    assert desk.on_step(asked.then("denied", R_US, "no", "ada").to_record(0))
    assert not desk.on_step(asked.then("approved", R_US, "yes", "bob").to_record(0))
    assert desk.to_execute() == []


def test_what_was_applied_is_a_fact_even_after_it_expired() -> None:
    desk, asked = RollbackDesk(MODEL), step()
    for state in ("requested", "approved", "expired", "applied"):
        assert desk.on_step(step(state).to_record(0))
    assert desk.live is not None
    assert asked.rollback_id == desk.live.rollback_id


def test_an_approval_that_nobody_carries_out_expires() -> None:
    desk = RollbackDesk(MODEL)
    desk.on_step(step("approved").to_record(0))
    assert desk.to_execute() == [step("approved")]
    assert desk.expire(R_US + AUTO.rollback.approval_timeout_us - 1, AUTO) == []
    expired = desk.expire(R_US + AUTO.rollback.approval_timeout_us, AUTO)
    assert [(s.state, s.reason) for s in expired] == [("expired", "approved, but not carried out for 6h")]


def test_windows_of_before_the_rollback_do_not_count_as_recovery() -> None:
    desk, registry = RollbackDesk(MODEL), released()
    desk.on_step(step("applied").to_record(0))
    registry.observe(make_event(MODEL, "v1", "promoted", R_US + 1))
    for minute in range(-9, 2):
        desk.watch(window("v1", R_US + minute * MINUTE_US))
    assert desk.verify(R_US + 2 * MINUTE_US, released(), AUTO) == []
    for minute in range(3, 7):
        desk.watch(window("v1", R_US + minute * MINUTE_US))
    assert [s.state for s in desk.verify(R_US + 7 * MINUTE_US, released(), AUTO)] == ["recovered"]


def test_what_could_not_be_judged_is_no_recovery() -> None:
    desk = RollbackDesk(MODEL)
    desk.on_step(step("applied").to_record(0))
    for minute in range(10, 30):
        desk.watch(window("v1", R_US + minute * MINUTE_US, verdict=Verdict.NOT_ENOUGH_DATA))
    assert desk.verify(R_US + HOUR_US, released(), AUTO) == []


def test_ended_rollbacks_are_forgotten_in_time_and_a_live_one_never() -> None:
    desk = RollbackDesk(MODEL)
    desk.on_step(step("requested", "live").to_record(0))
    for i in range(MAX_CASES * 2):
        desk.on_step(step("denied", f"a{i}").to_record(0))
    assert len(desk.snapshot()["cases"]) == MAX_CASES
    assert desk.live is not None


def test_a_desk_saved_and_restored_is_the_same_desk() -> None:
    desk = RollbackDesk(MODEL)
    desk.on_step(step("applied").to_record(0))
    desk.watch(window("v1", R_US + HOUR_US, "distance"))
    state = json.loads(json.dumps(desk.snapshot()))
    assert RollbackDesk.restore(state).snapshot() == desk.snapshot()


def test_a_step_about_another_model_is_refused() -> None:
    with pytest.raises(
        ContractError, match="model: a rollback of 'late-arrival' was given to the desk of 'other'"
    ):
        RollbackDesk("other").on_step(step().to_record(0))


def test_every_step_fits_the_contract_and_comes_back_whole() -> None:
    for each in RollbackDesk(MODEL).consider(alarm(), released(), AUTO, watched().evidence(), R_US):
        _, record = decode(encode("rollback", each.to_record(7)), ("rollback",))
        assert record == each.to_record(7)
        assert RollbackStep.from_record(record) == each


def test_time_does_not_run_backwards_within_a_rollback() -> None:
    assert step().then("approved", R_US - DAY_US, "").ts == R_US
