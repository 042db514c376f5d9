"""What an `AlarmBook` remembers of one version, segment and kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streams.core.alarm_steps import AlarmStep, Culprit
from streams.core.known_causes import MOST, Known
from streams.core.streaks import Streak
from streams.core.verdicts import Verdict

#: What was told of an alarm are keys of columns, and of segments with this role.
SEGMENT = "segment/"


class TrackKey(NamedTuple):
    """What an alarm belongs to."""

    version: str
    segment: str
    kind: str
    cause: str = ""
    """Id of the alarm with a known cause whose part of the windows is heard here; empty of all that none explains."""


@dataclass(slots=True)
class OpenAlarm:
    """An open alarm: what was last told, which columns were ever told, which streams have drifted."""

    step: AlarmStep
    told: set[str]
    drifted: set[str]
    is_settled: bool = False
    """Back to its baseline, and open only for the members of its incident that are not."""
    is_back: bool = False
    """It came back too soon, and takes twice as long to end: see `Ending`."""
    drifted_us: int = 0
    """End of the latest drifted window."""
    named_us: int = 0
    """End of the window that last named a column for the first time."""
    known: Known = field(default_factory=Known)
    """What it has shown of its cause, until that was known."""


class Ending(NamedTuple):
    """How an alarm ended, in case it comes back.

    When one of its columns drifts again sooner than it had stayed away when the alarm was ended, that was too early:
    the next one takes twice as many stable windows to end. It is not doubled again and again: an alarm that is open for
    long hides others, for what joins it is told as an update.
    """

    calm_until_us: int
    """What comes back before has not stayed away for as long as it had when it was ended."""
    columns: frozenset[str]

    @classmethod
    def of(cls, alarm: OpenAlarm, at_us: int) -> Ending:
        """Return the ending of an alarm that went back to its baseline, and is resolved now."""
        return cls(2 * at_us - alarm.drifted_us, frozenset(alarm.told))

    def was_too_early(self, columns: set[str], since_us: int) -> bool:
        """Tell whether it is back, with an alarm whose columns drift since then."""
        return since_us < self.calm_until_us and not self.columns.isdisjoint(columns)


@dataclass(slots=True)
class Track:
    """The streaks of every source and horizon that speak to one alarm, and the alarm when one is open."""

    streams: dict[str, Streak] = field(default_factory=dict)
    alarm: OpenAlarm | None = None
    closed: tuple[str, int] | None = None
    """Id and revision of the last alarm resolved: one that opens again under the same id goes on counting."""
    ending: Ending | None = None
    """How the last alarm ended, if by itself."""
    worst: Culprit | None = None
    """Worst column of the last drifted window."""
    reach: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Of the newest window of each stream: rows, and how many times its limit the worst column was, 0 when none was."""

    def is_drifting(self, end_us: int) -> bool:
        """Whether, on any stream, the newest window ends at `end_us` or later and drifted."""
        return any(
            s.verdict is Verdict.DRIFT and s.end_us is not None and s.end_us >= end_us
            for s in self.streams.values()
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the state, fit for JSON."""
        return {
            "streams": {name: s.snapshot() for name, s in self.streams.items()},
            "alarm": _alarm_to_json(self.alarm) if self.alarm else None,
            "closed": list(self.closed) if self.closed else None,
            "ending": _ending_to_json(self.ending) if self.ending else None,
            "worst": self.worst.to_record() if self.worst else None,
            "reach": {name: list(reach) for name, reach in self.reach.items()},
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Track:
        """Undo `snapshot`."""
        return cls(
            {name: Streak.restore(s) for name, s in state["streams"].items()},
            _alarm_from_json(state["alarm"]) if state["alarm"] else None,
            (state["closed"][0], state["closed"][1]) if state["closed"] else None,
            _ending_from_json(state["ending"]) if state.get("ending") else None,
            Culprit.from_record(state["worst"]) if state["worst"] else None,
            {name: (rows, ratio) for name, (rows, ratio) in state.get("reach", {}).items()},
        )


def _alarm_to_json(alarm: OpenAlarm) -> dict[str, Any]:
    return {
        "step": alarm.step.to_record(0),
        "told": sorted(alarm.told),
        "drifted": sorted(alarm.drifted),
        "is_settled": alarm.is_settled,
        "is_back": alarm.is_back,
        "drifted_us": alarm.drifted_us,
        "named_us": alarm.named_us,
        "known": alarm.known.snapshot(),
    }


def _alarm_from_json(state: dict[str, Any]) -> OpenAlarm:
    step = AlarmStep.from_record(state["step"])
    told = {key: MOST for key in state["told"] if not key.startswith(SEGMENT)}
    return OpenAlarm(
        step,
        set(state["told"]),
        set(state["drifted"]),
        state.get("is_settled", False),
        # A state of before this was kept knows at least the window that was last told.
        state.get("is_back", False),
        state.get("drifted_us", step.window_end_us),
        state.get("named_us", step.updated_us),
        Known.restore(state["known"]) if "known" in state else Known(told, set(told)),
    )


def _ending_to_json(ending: Ending) -> list[Any]:
    return [ending.calm_until_us, sorted(ending.columns)]


def _ending_from_json(state: list[Any]) -> Ending:
    calm_until_us, columns = state
    return Ending(calm_until_us, frozenset(columns))
