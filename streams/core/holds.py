"""Partitions that were stopped, and those that were let go on: one compacted topic, known whole by every worker.

A hold outlives the worker that made it: whoever is assigned the partition next stops at the same place.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from streams.core.alarm_steps import AlarmStep, Culprit

#: Shown where an alarm names its model: a partition carries many.
ALARM_MODEL = "seawall"
KIND = "dead_letters"
Place = tuple[str, int]
"""Short topic name and partition."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The last word about a partition: the fields of ``schemas/partition_hold.avsc``."""

    topic: str
    partition: int
    state: Literal["held", "resumed"]
    offset: int
    passed_at: int
    records: int
    bad: int
    limit: float
    opened_us: int
    until_us: int
    at_us: int
    accepted_before: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    sample: str = ""
    notify: tuple[str, ...] = ()
    actor: str = ""

    @property
    def key(self) -> str:
        """Key in the topic."""
        return f"{self.topic}/{self.partition}"

    @property
    def place(self) -> Place:
        """Topic and partition."""
        return self.topic, self.partition

    @property
    def why(self) -> str:
        """One sentence for a person."""
        kinds = ", ".join(f"{reason} {count}" for reason, count in sorted(self.reasons.items()))
        return (
            f"{self.topic}/{self.partition} is stopped at offset {self.offset}: {self.bad} of {self.records} records "
            f"up to offset {self.passed_at} cannot be read (limit {self.limit:.0%}){f': {kinds}' if kinds else ''}"
        )

    def resumed(self, accepted_before: int, actor: str, at_us: int) -> Hold:
        """Let the partition go on; bad records before `accepted_before` are accepted."""
        return replace(
            self, state="resumed", accepted_before=accepted_before, actor=actor, at_us=max(at_us, self.at_us)
        )

    def to_record(self) -> dict[str, Any]:
        """Return the record for the bus."""
        return {**asdict(self), "notify": list(self.notify)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Hold:
        """Undo `to_record`."""
        return cls(**{**record, "notify": tuple(record["notify"])})


class HoldBook:
    """The last word about every partition that was ever stopped."""

    def __init__(self) -> None:
        self._holds: dict[Place, Hold] = {}

    def observe(self, hold: Hold) -> None:
        """Take a record of the topic."""
        self._holds[hold.place] = hold

    def get(self, topic: str, partition: int) -> Hold | None:
        """Return the last word about a partition."""
        return self._holds.get((topic, partition))

    def held(self) -> list[Hold]:
        """List the partitions that are stopped."""
        return [hold for _, hold in sorted(self._holds.items()) if hold.state == "held"]


def alarm_step(hold: Hold) -> AlarmStep:
    """Make the alarm of a hold: opened when the partition was stopped, resolved when it goes on.

    The id is the place and the offset, so that stopping again after a crash, before the hold was on record, is the
    same alarm.
    """
    is_over = hold.state == "resumed"
    ratio = hold.bad / max(hold.records, 1)
    culprits = tuple(
        Culprit(reason, "reason", "bad_ratio", ratio, hold.limit, 0.0, f"{count} records in the last run")
        for reason, count in sorted(hold.reasons.items(), key=lambda item: -item[1])[:10]
    )
    advice = (
        f"{hold.sample}. Nothing is lost. Make them readable and start the workers again, or accept them as dead "
        f"letters: seawall dlq resume {hold.topic} {hold.partition}"
    )
    summary = f"{hold.key} goes on ({hold.actor})" if is_over else f"{hold.why}, such as {advice}"
    return AlarmStep(
        alarm_id=f"{KIND}/{hold.topic}/{hold.partition}/{hold.offset}",
        model=ALARM_MODEL,
        version=hold.key,
        segment="",
        kind=KIND,
        state="resolved" if is_over else "open",
        severity="error",
        revision=int(is_over),
        opened_us=hold.opened_us,
        updated_us=hold.at_us if is_over else hold.until_us,
        resolved_us=hold.at_us if is_over else None,
        summary=summary,
        window_start_us=hold.opened_us,
        window_end_us=hold.until_us,
        horizon_us=0,
        rows=hold.records,
        features=culprits,
        attribution="unknown",
        attribution_why="",
        notify=hold.notify,
    )
