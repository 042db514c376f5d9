"""When Seawall asks for a rollback, waits for an answer, and sees whether it helped.

A `RollbackDesk` folds the rollbacks of one model. It asks (`consider`) only when the version is at fault
(`streams.core.attribution`) and nothing stands in the way: one live rollback a model, one per alarm, a
cooldown, a target that may serve. It hears what others did from the bus (`on_step`), and time passes
through `tick`. Everything it decides is folded at once and comes back from the bus as a duplicate, so that
a restart repeats a step rather than losing it, under the same id and number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seawall.errors import ContractError
from seawall.monitor import DAY_US, MonitorSpec
from streams.core.alarm_steps import AlarmStep, Attribution, subject
from streams.core.attribution import attribute
from streams.core.drift_history import DriftHistory, VersionEvidence
from streams.core.registry import RegistryView
from streams.core.rollback_case import RollbackCase
from streams.core.rollback_steps import RollbackStep, first_step
from streams.core.verdicts import WindowVerdict
from streams.core.words import span_text, utc_text

__all__ = ["Assessment", "DriftHistory", "RollbackDesk", "RollbackStep", "VersionEvidence"]

#: In mode ``auto``, a model rolled back this often within the window needs a person: from then on Seawall
#: asks.
AUTO_QUOTA = 2
AUTO_QUOTA_WINDOW_US = 7 * DAY_US
#: Ended rollbacks remembered per model.
MAX_CASES = 64


@dataclass(frozen=True, slots=True)
class Assessment:
    """What `RollbackDesk.consider` makes of an alarm, before acting on it."""

    attribution: Attribution
    target: str = ""
    """Version to go back to, when one may."""
    new_culprits: tuple[str, ...] = ()
    obstacle: str = ""
    """Why nothing is asked for; empty when a rollback is due."""


class RollbackDesk:
    """All rollbacks of one model."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._cases: dict[str, RollbackCase] = {}

    @property
    def live(self) -> RollbackStep | None:
        """The rollback that is under way, at its latest step."""
        return next((c.step for c in self._cases.values() if c.is_live), None)

    @property
    def is_empty(self) -> bool:
        """Whether there has been no rollback that is still remembered."""
        return not self._cases

    def latest(self, rollback_id: str) -> RollbackStep | None:
        """Return a rollback's latest step; none when it is not known."""
        case = self._cases.get(rollback_id)
        return case.step if case else None

    def to_execute(self) -> list[RollbackStep]:
        """Return what was approved and is yet to be carried out: after a restart, do these first."""
        return [c.step for c in self._cases.values() if c.step.state == "approved"]

    def assess(
        self,
        alarm: AlarmStep,
        registry: RegistryView,
        spec: MonitorSpec,
        evidence: VersionEvidence,
        now_us: int,
    ) -> Assessment:
        """Say whose fault an alarm is, what to go back to, and what stands in the way. Changes nothing."""
        finding = attribute(alarm, registry, spec, evidence)
        if finding.attribution.outcome != "version":
            return Assessment(finding.attribution, obstacle=finding.attribution.why)
        target, unfit = self._target(registry, spec, evidence, finding.new_culprits)
        obstacle = self._guard(alarm, spec, now_us) or unfit
        return Assessment(finding.attribution, target, finding.new_culprits, obstacle)

    def consider(
        self,
        alarm: AlarmStep,
        registry: RegistryView,
        spec: MonitorSpec,
        evidence: VersionEvidence,
        now_us: int,
    ) -> list[RollbackStep]:
        """Decide whether an alarm calls for a rollback.

        May be called with the same alarm as often as one likes (say, with every window while it is open, so
        that one held up by the cooldown is taken up later): nothing is asked for twice.

        Parameters
        ----------
        alarm
            The alarm as last told. A resolved one withdraws a request that nobody has answered.
        evidence
            Of the alarm's kind, from `DriftHistory`.
        now_us
            Event time.

        Returns
        -------
        list[RollbackStep]
            Nothing; or ``observed``; or ``requested``; or, in mode ``auto``, ``requested`` and
            ``approved``.
        """
        if alarm.state == "resolved":
            return self._withdraw(alarm, now_us)
        found = self.assess(alarm, registry, spec, evidence, now_us)
        if found.obstacle:
            return []
        mode = spec.rollback.mode
        step = first_step(
            self.model,
            alarm.version,
            found.target,
            alarm.alarm_id,
            state="observed" if mode == "observe" else "requested",
            mode=mode,
            ts=now_us,
            reason=f"go back to {found.target}: {found.attribution.why}",
            evidence=_evidence(alarm, found, registry),
        )
        steps = [step]
        if mode == "auto" and self._auto_used(now_us) < AUTO_QUOTA:
            steps.append(step.then("approved", now_us, "mode auto: nobody has to be asked"))
        self._take(steps)
        return steps

    def on_step(self, record: Mapping[str, Any]) -> bool:
        """Fold a ``rollback`` record seen on the bus; false when it is a duplicate or came too late."""
        step = RollbackStep.from_record(record)
        if step.model != self.model:
            msg = f"model: a rollback of {step.model!r} was given to the desk of {self.model!r}"
            raise ContractError(msg)
        return self._take([step])

    def watch(self, verdict: WindowVerdict) -> None:
        """Take a window's verdict: those of a target since its rollback tell whether it helped."""
        for case in self._cases.values():
            case.watch(verdict)

    def tick(self, now_us: int, registry: RegistryView, spec: MonitorSpec) -> list[RollbackStep]:
        """Let event time pass: `expire` and `verify`."""
        return [*self.expire(now_us, spec), *self.verify(now_us, registry, spec)]

    def expire(self, now_us: int, spec: MonitorSpec) -> list[RollbackStep]:
        """End what was not answered, or was approved and not carried out, within the approval timeout."""
        timeout_us = spec.rollback.approval_timeout_us
        waited = f"for {span_text(timeout_us)}"
        said = {
            "requested": f"nobody answered {waited}",
            "approved": f"approved, but not carried out {waited}",
        }
        steps = [
            case.step.then("expired", now_us, said[case.step.state])
            for case in self._cases.values()
            if case.step.state in said and now_us - case.step.ts >= timeout_us
        ]
        self._take(steps)
        return steps

    def verify(self, now_us: int, registry: RegistryView, spec: MonitorSpec) -> list[RollbackStep]:
        """See whether what was applied helped, and whether what was asked still makes sense."""
        steps = []
        for case in self._cases.values():
            if case.step.state == "requested":
                steps += self._overtaken_request(case, now_us, registry)
            elif case.step.state == "applied" and case.applied_us is not None:
                steps += self._verify_applied(case, case.applied_us, now_us, registry, spec)
        self._take(steps)
        return steps

    def snapshot(self) -> dict[str, Any]:
        """Return the state, fit for JSON."""
        return {"model": self.model, "cases": [c.snapshot() for c in self._cases.values()]}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> RollbackDesk:
        """Undo `snapshot`."""
        desk = cls(state["model"])
        for saved in state["cases"]:
            case = RollbackCase.restore(saved)
            desk._cases[case.step.rollback_id] = case
        return desk

    def _take(self, steps: list[RollbackStep]) -> bool:
        taken = False
        for step in steps:
            case = self._cases.get(step.rollback_id)
            if case is None:
                self._cases[step.rollback_id] = RollbackCase.of(step)
                taken = True
            else:
                taken = case.take(step) or taken
        ended = [i for i, c in self._cases.items() if not c.is_live]
        for rollback_id in ended[: max(len(self._cases) - MAX_CASES, 0)]:
            del self._cases[rollback_id]
        return taken

    def _guard(self, alarm: AlarmStep, spec: MonitorSpec, now_us: int) -> str:
        mine = next((c.step for c in self._cases.values() if c.step.alarm_id == alarm.alarm_id), None)
        if mine:
            return f"rollback {mine.rollback_id} of this alarm is {mine.state}"
        live = self.live
        if live:
            return f"rollback {live.rollback_id} to {live.to_version} is {live.state}"
        # What was only observed holds back what would be observed next, as it would in earnest, and nothing
        # else.
        acted = [
            c.last_acted_us
            for c in self._cases.values()
            if c.step.state != "observed" or spec.rollback.mode == "observe"
        ]
        until_us = max(acted) + spec.rollback.cooldown_us if acted else now_us
        return f"cooldown until {utc_text(until_us)}" if now_us < until_us else ""

    def _target(
        self,
        registry: RegistryView,
        spec: MonitorSpec,
        evidence: VersionEvidence,
        culprits: tuple[str, ...],
    ) -> tuple[str, str]:
        """Return the target, or why there is none."""
        wanted = spec.rollback.target
        target = registry.last_good(self.model) if wanted == "last_good" else wanted
        if target is None:
            return "", "there is no version to go back to"
        state = registry.version(self.model, target)
        unfit = ""
        if state is None:
            unfit = f"{target} is not in the registry"
        elif target == registry.current(self.model):
            unfit = f"{target} is in production already"
        elif not state.is_servable:
            unfit = f"{target} was {'archived' if state.stage == 'archived' else 'itself rolled back from'}"
        else:
            since_us = (registry.released_us(self.model) or 0) - DAY_US
            drifting = evidence.of(target).columns
            if any((span := drifting.get(key)) and span.last_us >= since_us for key in culprits):
                unfit = f"{target} drifts on the same columns"
        return (target, unfit) if not unfit else ("", unfit)

    def _auto_used(self, now_us: int) -> int:
        return sum(
            c.step.mode == "auto"
            and c.applied_us is not None
            and now_us - c.applied_us < AUTO_QUOTA_WINDOW_US
            for c in self._cases.values()
        )

    def _withdraw(self, alarm: AlarmStep, now_us: int) -> list[RollbackStep]:
        steps = [
            case.step.then("expired", now_us, "the alarm was resolved before anybody answered")
            for case in self._cases.values()
            if case.step.alarm_id == alarm.alarm_id and case.step.state == "requested"
        ]
        self._take(steps)
        return steps

    def _overtaken_request(
        self, case: RollbackCase, now_us: int, registry: RegistryView
    ) -> list[RollbackStep]:
        current = registry.current(self.model)
        if current in {None, case.step.from_version}:
            return []
        return [case.step.then("superseded", now_us, f"{current} is in production now")]

    def _verify_applied(
        self, case: RollbackCase, applied_us: int, now_us: int, registry: RegistryView, spec: MonitorSpec
    ) -> list[RollbackStep]:
        step, current = case.step, registry.current(self.model)
        # The registry's own event may reach us after the step that tells of it: only a later one moves on.
        moved_on = current != step.to_version and (registry.released_us(self.model) or 0) > applied_us
        if moved_on:
            return [
                step.then(
                    "superseded", now_us, f"{current} was released, {step.to_version} is watched no more"
                )
            ]
        outcome = case.outcome(spec.resolve_after)
        name = subject(self.model, step.to_version, "")
        if outcome == "recovered":
            after = span_text(now_us - applied_us)
            return [step.then("recovered", now_us, f"{name} is stable on the culprits, {after} after")]
        if now_us - applied_us < spec.rollback.recovery_us:
            return []
        within = f"within {span_text(spec.rollback.recovery_us)}"
        why = "still drifts on the culprits" if outcome == "drifting" else f"was not seen stable {within}"
        return [
            step.then(
                "not_recovered", now_us, f"{name} {why}: the rollback did not help, a person has to look"
            )
        ]


def _evidence(alarm: AlarmStep, found: Assessment, registry: RegistryView) -> dict[str, str]:
    return {
        "attribution": found.attribution.outcome,
        "attribution_why": found.attribution.why,
        "alarm": alarm.summary,
        "kind": alarm.kind,
        "culprits": json.dumps(list(found.new_culprits)),
        "opened_us": str(alarm.opened_us),
        "released_us": str(registry.released_us(alarm.model)),
        "window_start_us": str(alarm.window_start_us),
        "window_end_us": str(alarm.window_end_us),
        "rows": str(alarm.rows),
    }
