"""Rollbacks, told as stories: what happened, hour by hour, and what Seawall did about it.

A story runs the real parts (alarms, attribution, rollback desk, registry, executor) on a virtual clock, wired
the way the worker wires them. Hour nought is when v2 is released, after two days of v1.
"""

from __future__ import annotations

import json
from dataclasses import replace

from seawall.monitor import DAY_US, HOUR_US, MINUTE_US, MonitorSpec, RollbackMode, RollbackPolicy
from streams.core.alarm_steps import AlarmStep, Attribution
from streams.core.alarms import AlarmBook
from streams.core.attribution import attribute
from streams.core.registrar import execute
from streams.core.registry import Action, RegistryView, make_event
from streams.core.rollback import DriftHistory, RollbackDesk
from streams.core.rollback_steps import RollbackState, RollbackStep
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict

MODEL = "late-arrival"
RELEASE_US = 1_370_268_000_000_000  # 2013-06-03 14:00 UTC
STEP_US = 10 * MINUTE_US


def at(hours: float) -> int:
    """Event time, in hours since the release of v2."""
    return RELEASE_US + round(hours * HOUR_US)


class Story:
    """The parts of the worker that decide, on one model, and everything that they said."""

    def __init__(self, mode: RollbackMode = "auto", **policy: object) -> None:
        self.spec = MonitorSpec(MODEL, rollback=replace(RollbackPolicy(mode=mode), **policy))  # type: ignore[arg-type]
        self.book, self.desk = AlarmBook(MODEL), RollbackDesk(MODEL)
        self.history, self.registry = DriftHistory(), RegistryView()
        self.alarms: list[AlarmStep] = []
        self.rollbacks: list[RollbackStep] = []

    def happens(self, hours: float, version: str, action: Action) -> None:
        """Something is announced to the registry."""
        self.registry.observe(make_event(MODEL, version, action, at(hours)))

    def traffic(self, version: str, start: float, end: float, drifted: str = "") -> None:
        """A version serves from one hour to another; `drifted` names the columns that are off, by spaces."""
        for end_us in range(at(start) + STEP_US, at(end) + 1, STEP_US):
            self.window(version, end_us, drifted.split())

    def window(self, version: str, end_us: int, drifted: list[str]) -> None:
        columns = tuple(ColumnVerdict(c, "feature", Verdict.DRIFT, "js", 0.5, 0.1, 0.02) for c in drifted)
        verdict = WindowVerdict(
            MODEL, version, "predictions", "", 5 * MINUTE_US, end_us - 5 * MINUTE_US, end_us, 900,
            Verdict.DRIFT if drifted else Verdict.STABLE, "drift", columns,
        )  # fmt: skip
        self.history.observe(verdict)
        self.desk.watch(verdict)
        self.alarms += self.book.step(verdict, self.spec, self.blame)
        for alarm in self.book.open_alarms:
            evidence = self.history.evidence(alarm.kind)
            self.heard(self.desk.consider(alarm, self.registry, self.spec, evidence, end_us))
        self.time_passes_to(end_us)

    def blame(self, alarm: AlarmStep) -> Attribution:
        return attribute(alarm, self.registry, self.spec, self.history.evidence(alarm.kind)).attribution

    def time_passes_to(self, now_us: int) -> None:
        self.heard(self.desk.tick(now_us, self.registry, self.spec))

    def answers(self, hours: float, state: RollbackState) -> None:
        """A person approves or denies what is asked."""
        asked = self.desk.live
        assert asked is not None
        step = asked.then(state, at(hours), "by hand", "ada")
        self.desk.on_step(step.to_record(0))
        self.heard([step])

    def heard(self, steps: list[RollbackStep]) -> None:
        """Steps appear on the bus, twice; the registry carries out what was approved, twice."""
        for step in steps:
            self.rollbacks.append(step)
            for _ in range(2):
                self.desk.on_step(step.to_record(0))
            if step.state == "approved":
                for _ in range(2):
                    events, done = execute(step.to_record(0), self.registry, step.ts + MINUTE_US)
                    for event in events:
                        self.registry.observe(event)
                    if self.desk.on_step(done.to_record(0)):
                        self.rollbacks.append(done)

    @property
    def said(self) -> list[str]:
        return [f"{s.from_version}→{s.to_version} {s.state}" for s in self.rollbacks]

    @property
    def pages(self) -> list[str]:
        return [f"{a.version} {a.state} {a.attribution}" for a in self.alarms]

    @property
    def serving(self) -> str | None:
        return self.registry.current(MODEL)


def two_days_of_v1_then_v2(mode: RollbackMode = "auto", drifted_before: str = "", **policy: object) -> Story:
    story = Story(mode, **policy)
    story.happens(-48, "v1", "promoted")
    story.traffic("v1", -48, -6)
    story.traffic("v1", -6, 0, drifted_before)
    story.happens(0, "v2", "promoted")
    return story


def test_a_bad_release_is_rolled_back_and_the_harm_goes_away() -> None:
    story = two_days_of_v1_then_v2()
    story.traffic("v2", 0, 1, "distance")
    assert story.pages == ["v2 open version"]
    assert story.serving == "v1"
    story.traffic("v1", 1, 3)
    assert story.said == ["v2→v1 requested", "v2→v1 approved", "v2→v1 applied", "v2→v1 recovered"]
    assert story.alarms[0].attribution_why == (
        "distance drifted from 10m after the release of v2; v1 did not see that before it"
    )
    assert [s.seq for s in story.rollbacks] == [0, 1, 2, 3]


def test_a_version_that_was_put_back_is_no_release_and_is_not_blamed_for_what_comes_next() -> None:
    story = two_days_of_v1_then_v2()
    story.traffic("v2", 0, 1, "distance")
    story.traffic("v1", 1, 8)
    story.traffic("v1", 8, 9, "temperature")
    assert story.pages[-1] == "v1 open world"
    assert story.serving == "v1"


def test_a_request_carries_its_evidence() -> None:
    story = two_days_of_v1_then_v2()
    story.traffic("v2", 0, 1, "distance carrier")
    evidence = story.rollbacks[0].evidence
    assert json.loads(evidence["culprits"]) == ["feature/carrier", "feature/distance"]
    assert evidence["released_us"] == str(RELEASE_US)
    assert evidence["alarm"] == story.alarms[0].summary


def test_when_the_world_changes_a_person_is_paged_and_nothing_is_rolled_back() -> None:
    story = two_days_of_v1_then_v2()
    story.traffic("v2", 0, 60)
    story.traffic("v2", 60, 70, "distance")
    assert story.pages == ["v2 open world"]
    assert story.alarms[0].attribution_why == "v2 was stable for 2d 12h after its release, before this began"
    assert story.said == []


def test_a_release_long_ago_is_not_suspected() -> None:
    story = two_days_of_v1_then_v2(release_window_us=2 * HOUR_US)
    story.traffic("v2", 4, 5, "distance")
    assert story.pages == ["v2 open world"]
    assert story.said == []


def test_a_shift_that_began_before_the_release_is_not_the_releases_fault() -> None:
    story = two_days_of_v1_then_v2(drifted_before="distance")
    story.traffic("v2", 0, 2, "distance")
    # The page that v1 opened tells of it too; nobody is paged a second time.
    assert story.pages[-2:] == ["v2 open world", "v1 updated world"]
    opened, told = story.alarms[-2:]
    assert opened.attribution_why == "v1 drifted before the release on distance"
    assert opened.notify == ()
    assert told.attribution_why == "v1 was stable for 1d 18h after its release, before this began"
    assert story.said == []


def test_what_the_previous_version_sees_as_well_is_the_worlds() -> None:
    story = two_days_of_v1_then_v2()
    for hour in range(3):
        story.traffic("v1", hour, hour + 1, "distance")
        story.traffic("v2", hour, hour + 1, "distance")
    opened = next(a for a in story.alarms if (a.version, a.state) == ("v2", "open"))
    assert opened.attribution == "world"
    assert opened.attribution_why == "v1 drifts on the same traffic on distance"
    assert story.alarms[-1].attribution_why == "v2 drifts on the same"
    assert story.said == []
    # One page: what v2 sees is told by the alarm that v1 opened over the same.
    assert [f"{a.version} {a.state} {a.attribution}" for a in story.alarms if a.notify or not a.is_joined] == [
        "v1 open unknown", "v1 updated world",
    ]  # fmt: skip


def test_when_the_previous_version_is_stable_on_the_same_traffic_timing_does_not_matter() -> None:
    story = two_days_of_v1_then_v2("observe")
    story.traffic("v2", 0, 48)
    for tenth in range(480, 500):
        story.traffic("v1", tenth / 10, tenth / 10 + 0.2)
        story.traffic("v2", tenth / 10, tenth / 10 + 0.2, "distance")
    assert story.pages == ["v2 open version"]
    assert story.alarms[-1].attribution_why.endswith("v1 is stable on the same traffic")
    assert story.said == ["v2→v1 observed"]


def test_the_attribution_changes_when_the_previous_version_speaks_up() -> None:
    story = two_days_of_v1_then_v2("observe")
    story.traffic("v2", 0, 48)
    story.traffic("v2", 48, 49, "distance")
    story.traffic("v1", 48.5, 49)
    story.traffic("v2", 49, 50, "distance")
    assert story.pages == ["v2 open world", "v2 updated version"]
    assert story.said == ["v2→v1 observed"]


def test_culprits_partly_old_and_partly_new_are_held_against_the_version() -> None:
    story = two_days_of_v1_then_v2("observe", drifted_before="weather")
    story.traffic("v2", 0, 2, "weather distance")
    assert story.said == ["v2→v1 observed"]
    assert json.loads(story.rollbacks[0].evidence["culprits"]) == ["feature/distance"]
    assert story.alarms[-1].attribution_why.endswith("(weather moved under both)")


def test_a_drift_that_ended_days_before_the_release_does_not_excuse_it() -> None:
    story = Story("observe")
    story.happens(-96, "v1", "promoted")
    story.traffic("v1", -96, -90, "distance")
    story.traffic("v1", -90, 0)
    story.happens(0, "v2", "promoted")
    story.traffic("v2", 0, 1, "distance")
    assert story.said == ["v2→v1 observed"]


def test_without_a_predecessor_nobody_can_tell() -> None:
    story = Story()
    story.happens(0, "v2", "promoted")
    story.traffic("v2", 0, 2, "distance")
    assert story.pages == ["v2 open unknown"]
    assert story.said == []


def test_a_predecessor_that_was_not_watched_proves_nothing() -> None:
    story = Story()
    story.happens(-48, "v1", "promoted")
    story.happens(0, "v2", "promoted")
    story.traffic("v2", 0, 2, "distance")
    assert story.pages == ["v2 open unknown"]
    assert story.alarms[0].attribution_why == "v1 was not watched in the 1d before v2 was released"


def test_a_version_on_trial_is_not_rolled_back() -> None:
    story = Story()
    story.happens(-48, "v1", "promoted")
    story.traffic("v1", -48, 0)
    story.traffic("v2", -2, 0, "distance")
    assert story.pages == ["v2 open unknown"]
    assert story.said == []


def test_a_version_that_drifted_on_trial_and_is_released_all_the_same_is_rolled_back() -> None:
    story = Story()
    story.happens(-48, "v1", "promoted")
    story.traffic("v1", -48, -4)
    for hour in range(-4, 0):
        story.traffic("v1", hour, hour + 1)
        story.traffic("v2", hour, hour + 1, "distance")
    story.happens(0, "v2", "promoted")
    story.traffic("v2", 0, 1, "distance")
    assert story.said[:3] == ["v2→v1 requested", "v2→v1 approved", "v2→v1 applied"]


def test_observing_says_once_what_would_have_been_done() -> None:
    story = two_days_of_v1_then_v2("observe")
    story.traffic("v2", 0, 12, "distance")
    assert story.said == ["v2→v1 observed"]
    assert story.serving == "v2"


def test_a_person_approves() -> None:
    story = two_days_of_v1_then_v2("approve")
    story.traffic("v2", 0, 1, "distance")
    assert story.said == ["v2→v1 requested"]
    assert story.serving == "v2"
    story.answers(1.5, "approved")
    assert story.said[1:] == ["v2→v1 approved", "v2→v1 applied"]
    assert story.serving == "v1"
    assert story.rollbacks[1].actor == "ada"


def test_a_person_denies_and_is_not_asked_again_for_this_alarm() -> None:
    story = two_days_of_v1_then_v2("approve")
    story.traffic("v2", 0, 1, "distance")
    story.answers(1.5, "denied")
    story.traffic("v2", 1.5, 20, "distance")
    assert story.said == ["v2→v1 requested", "v2→v1 denied"]


def test_a_request_that_nobody_answers_expires_and_a_late_yes_does_nothing() -> None:
    story = two_days_of_v1_then_v2("approve")
    story.traffic("v2", 0, 1, "distance")
    request = story.desk.live
    assert request is not None
    story.traffic("v2", 1, 8, "distance")
    assert story.said == ["v2→v1 requested", "v2→v1 expired"]
    assert not story.desk.on_step(request.then("approved", at(9), "sorry, was asleep", "ada").to_record(0))
    assert story.desk.to_execute() == []


def test_a_request_is_withdrawn_when_the_alarm_resolves_first() -> None:
    story = two_days_of_v1_then_v2("approve")
    story.traffic("v2", 0, 1, "distance")
    story.traffic("v2", 1, 2)
    resolved = story.alarms[-1]
    steps = story.desk.consider(resolved, story.registry, story.spec, story.history.evidence(), at(2))
    assert [s.state for s in steps] == ["expired"]
    assert story.desk.live is None


def test_a_request_is_superseded_when_somebody_promotes_another_version() -> None:
    story = two_days_of_v1_then_v2("approve")
    story.traffic("v2", 0, 1, "distance")
    story.happens(1.2, "v3", "promoted")
    story.time_passes_to(at(1.3))
    assert story.said == ["v2→v1 requested", "v2→v1 superseded"]


def test_an_approval_is_superseded_when_the_alias_moved_meanwhile() -> None:
    story = two_days_of_v1_then_v2("approve")
    story.traffic("v2", 0, 1, "distance")
    story.happens(1.2, "v3", "promoted")
    story.answers(1.3, "approved")
    assert story.said == ["v2→v1 requested", "v2→v1 approved", "v2→v1 superseded"]
    assert story.serving == "v3"


def test_a_rollback_that_does_not_help_calls_for_a_person() -> None:
    story = two_days_of_v1_then_v2(recovery_us=6 * HOUR_US)
    story.traffic("v2", 0, 0.5, "distance")
    story.traffic("v1", 0.5, 8, "distance")
    assert story.said == ["v2→v1 requested", "v2→v1 approved", "v2→v1 applied", "v2→v1 not_recovered"]
    last = story.rollbacks[-1]
    assert last.needs_a_person
    assert last.reason.startswith("late-arrival v1 still drifts on the culprits")
    assert story.pages[-1] == "v1 open world"


def test_a_target_that_gets_no_traffic_has_not_recovered() -> None:
    story = two_days_of_v1_then_v2(recovery_us=6 * HOUR_US)
    story.traffic("v2", 0, 0.5, "distance")
    story.time_passes_to(at(7))
    assert story.rollbacks[-1].state == "not_recovered"
    assert "was not seen stable within 6h" in story.rollbacks[-1].reason


def test_a_drift_on_other_columns_does_not_spoil_the_recovery() -> None:
    story = two_days_of_v1_then_v2()
    story.traffic("v2", 0, 0.5, "distance")
    story.traffic("v1", 0.5, 2, "holiday")
    assert story.said[-1] == "v2→v1 recovered"


def test_the_watch_ends_when_something_newer_is_released() -> None:
    story = two_days_of_v1_then_v2()
    story.traffic("v2", 0, 0.5, "distance")
    story.happens(1, "v3", "promoted")
    story.time_passes_to(at(1.1))
    assert story.said[-1] == "v2→v1 superseded"
    assert story.desk.live is None


def test_there_is_no_second_rollback_within_the_cooldown_and_one_after_it() -> None:
    story = two_days_of_v1_then_v2(cooldown_us=6 * HOUR_US)
    story.traffic("v2", 0, 0.5, "distance")
    story.traffic("v1", 0.5, 2)
    story.happens(2, "v3", "promoted")
    story.traffic("v3", 2, 6, "carrier")
    assert story.pages[-1] == "v3 open version"
    assert story.serving == "v3"
    story.traffic("v3", 6, 7, "carrier")
    assert story.said[4:] == ["v3→v1 requested", "v3→v1 approved", "v3→v1 applied"]


def test_flapping_ends_in_a_question_instead_of_a_third_automatic_rollback() -> None:
    story = two_days_of_v1_then_v2(cooldown_us=HOUR_US)
    for release in range(3):
        start, name = release * 12, f"v{release + 2}"
        if release:
            story.happens(start, name, "promoted")
        story.traffic(name, start, start + 1, "distance")
        if release < 2:
            story.traffic("v1", start + 1, start + 12)
    # What v2 and v3 brought is gone from v1, so it is not the world; but nobody should look on for ever.
    assert [s for s in story.said if s.endswith("approved")] == ["v2→v1 approved", "v3→v1 approved"]
    assert story.said[-1] == "v4→v1 requested"
    assert story.serving == "v4"


def test_one_never_goes_back_to_what_was_itself_rolled_back_from() -> None:
    story = two_days_of_v1_then_v2(cooldown_us=HOUR_US)
    story.traffic("v2", 0, 0.5, "distance")
    story.traffic("v1", 0.5, 4)
    story.happens(4, "v1", "archived")
    story.happens(4, "v3", "promoted")
    story.traffic("v3", 4, 5, "carrier")
    assert story.serving == "v3"
    found = story.desk.assess(
        story.book.open_alarms[-1], story.registry, story.spec, story.history.evidence(), at(5)
    )
    assert (found.attribution.outcome, found.obstacle) == ("version", "there is no version to go back to")


def test_a_named_target_is_taken_when_it_may_serve() -> None:
    story = two_days_of_v1_then_v2(target="v0")
    story.traffic("v2", 0, 1, "distance")
    assert story.said == []
    story.registry.observe(make_event(MODEL, "v0", "registered", at(-90)))
    story.traffic("v2", 1, 2, "distance")
    assert story.said[0] == "v2→v0 requested"
    assert story.serving == "v0"


def test_a_restart_anywhere_changes_nothing() -> None:
    told = []
    for restarts in (False, True):
        story = two_days_of_v1_then_v2()
        for tenth in range(40):
            version = "v2" if story.serving == "v2" else "v1"
            drifted = "distance" if version == "v2" else ""
            story.traffic(version, tenth / 10, tenth / 10 + 0.2, drifted)
            if restarts:
                story.book = AlarmBook.restore(json.loads(json.dumps(story.book.snapshot())))
                story.desk = RollbackDesk.restore(json.loads(json.dumps(story.desk.snapshot())))
                story.history = DriftHistory.restore(json.loads(json.dumps(story.history.snapshot())))
                story.registry = RegistryView.restore(json.loads(json.dumps(story.registry.snapshot())))
        told.append((story.alarms, story.rollbacks))
    assert told[0] == told[1]
    assert told[0][1][-1].state == "recovered"


def test_the_clock_of_the_stories_is_right() -> None:
    assert at(24) - at(0) == DAY_US
