"""One step in the life of a rollback, and which step may follow which.

    observed
    requested → approved → applied → recovered | not_recovered | superseded
                         → refused | superseded | expired
              → denied | expired | superseded

What is folded is the log: the first step that may follow wins, and one that comes too late (an approval
after the request expired) changes nothing. Only ``applied`` is taken at any time before the end: it is a
fact, not a wish.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from streams.core.words import short_id

RollbackState = Literal[
    "observed",
    "requested",
    "approved",
    "denied",
    "expired",
    "applied",
    "refused",
    "superseded",
    "recovered",
    "not_recovered",
]

MAY_FOLLOW: dict[str, frozenset[str]] = {
    "observed": frozenset(),
    "requested": frozenset({"approved", "denied", "expired", "applied", "refused", "superseded"}),
    "approved": frozenset({"applied", "refused", "superseded", "expired"}),
    "denied": frozenset({"applied"}),
    "expired": frozenset({"applied"}),
    "applied": frozenset({"recovered", "not_recovered", "superseded"}),
    "refused": frozenset({"applied"}),
    "superseded": frozenset(),
    "recovered": frozenset(),
    "not_recovered": frozenset(),
}
#: While one of these lasts, the model gets no other rollback.
LIVE = frozenset({"requested", "approved", "applied"})


@dataclass(frozen=True, slots=True)
class RollbackStep:
    """One step; the fields are those of ``schemas/rollback.avsc``. `ts` is event time."""

    rollback_id: str
    model: str
    from_version: str
    """Fence: the version that must still be in production."""
    to_version: str
    state: RollbackState
    mode: str
    """observe | approve | auto"""
    seq: int
    ts: int
    alarm_id: str
    reason: str
    actor: str = "seawall"
    evidence: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs_a_person(self) -> bool:
        """Whether Seawall is at its wit's end: the rollback did not help, or could not be carried out."""
        return self.state in {"not_recovered", "refused"}

    def then(
        self,
        state: RollbackState,
        ts: int,
        reason: str,
        actor: str = "seawall",
        evidence: Mapping[str, str] | None = None,
    ) -> RollbackStep:
        """Return the next step. Time does not run backwards within a rollback."""
        return replace(
            self,
            state=state,
            seq=self.seq + 1,
            ts=max(ts, self.ts),
            reason=reason,
            actor=actor,
            evidence={**self.evidence, **(evidence or {})},
        )

    def to_record(self, emitted_us: int) -> dict[str, Any]:
        """Return the record for the bus; `emitted_us` is the wall clock, which decides nothing."""
        return {**asdict(self), "evidence": dict(self.evidence), "emitted_us": emitted_us}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> RollbackStep:
        """Undo `to_record`."""
        fields = {name: record[name] for name in cls.__slots__}
        return cls(**{**fields, "evidence": dict(fields["evidence"])})


def first_step(
    model: str,
    from_version: str,
    to_version: str,
    alarm_id: str,
    *,
    state: RollbackState,
    mode: str,
    ts: int,
    reason: str,
    actor: str = "seawall",
    evidence: Mapping[str, str] | None = None,
) -> RollbackStep:
    """Begin a rollback. Its id depends on what it is about, so that deciding twice is asking once."""
    return RollbackStep(
        short_id("rollback", model, from_version, to_version, alarm_id),
        model,
        from_version,
        to_version,
        state,
        mode,
        0,
        ts,
        alarm_id,
        reason,
        actor,
        dict(evidence or {}),
    )
