"""What a `RollbackDesk` remembers of one rollback, and how it sees whether it helped."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from streams.core.rollback_steps import LIVE, MAY_FOLLOW, RollbackStep
from streams.core.streaks import Streak
from streams.core.verdicts import Verdict, WindowVerdict


@dataclass(slots=True)
class RollbackCase:
    """One rollback: its latest step, when it began and was applied, what its target's windows say since."""

    step: RollbackStep
    began_us: int
    applied_us: int | None = None
    watched: dict[str, Streak] = field(default_factory=dict)

    @classmethod
    def of(cls, step: RollbackStep) -> RollbackCase:
        """Open the case of a rollback first heard of at `step`."""
        return cls(step, step.ts, step.ts if step.state == "applied" else None)

    @property
    def is_live(self) -> bool:
        """Whether it still keeps the model from another rollback."""
        return self.step.state in LIVE

    @property
    def last_acted_us(self) -> int:
        """Event time from which the cooldown counts."""
        return max(self.began_us, self.applied_us or self.began_us)

    @property
    def culprits(self) -> frozenset[str]:
        """Column keys that the rollback is meant to cure; none: any."""
        return frozenset(json.loads(self.step.evidence.get("culprits", "[]")))

    def take(self, step: RollbackStep) -> bool:
        """Go on to `step`; false when it may not follow."""
        if step.state not in MAY_FOLLOW[self.step.state]:
            return False
        self.step = step
        if step.state == "applied":
            self.applied_us = step.ts
        return True

    def watch(self, verdict: WindowVerdict) -> None:
        """Take a window of the target version, once at least half of it lies after the rollback."""
        if (
            self.step.state != "applied"
            or self.applied_us is None
            or verdict.version != self.step.to_version
            or verdict.segment
            or verdict.kind != self.step.evidence.get("kind", "drift")
            or self.applied_us - verdict.start_us > verdict.horizon_us // 2
        ):
            return
        streak = self.watched.setdefault(f"{verdict.source}/{verdict.horizon_us}", Streak())
        streak.take(self._on_culprits(verdict), verdict.end_us)

    def _on_culprits(self, verdict: WindowVerdict) -> Verdict:
        """Return what the window says about the culprits alone."""
        if verdict.verdict in {Verdict.NOT_ENOUGH_DATA, Verdict.ERROR}:
            return verdict.verdict
        drifted = {c.key for c in verdict.columns if c.verdict is Verdict.DRIFT}
        if self.culprits & drifted or (not self.culprits and verdict.verdict is Verdict.DRIFT):
            return Verdict.DRIFT
        return Verdict.STABLE

    def outcome(self, resolve_after: int) -> Literal["recovered", "drifting", "unseen"]:
        """Return how it looks: one horizon stable for long enough and none drifting is recovered."""
        runs = [s.now for s in self.watched.values()]
        if any(run.drift for run in runs):
            return "drifting"
        return "recovered" if any(run.stable >= resolve_after for run in runs) else "unseen"

    def snapshot(self) -> dict[str, Any]:
        """Return the state, fit for JSON."""
        return {
            "step": self.step.to_record(0),
            "began_us": self.began_us,
            "applied_us": self.applied_us,
            "watched": {name: s.snapshot() for name, s in self.watched.items()},
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> RollbackCase:
        """Undo `snapshot`."""
        return cls(
            RollbackStep.from_record(state["step"]),
            state["began_us"],
            state["applied_us"],
            {name: Streak.restore(s) for name, s in state["watched"].items()},
        )
