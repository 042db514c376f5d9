"""What an `AlarmBook` remembers of one version, segment and kind."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from seawall.monitor import DAY_US
from streams.core.alarm_steps import AlarmStep, Culprit
from streams.core.inherited_causes import Inherited
from streams.core.known_causes import MOST, Known
from streams.core.streaks import Streak
from streams.core.verdicts import Verdict

#: What was told of an alarm are keys of columns, and of segments with this role.
SEGMENT = "segment/"
#: What comes back within this is one cause: a week, which is the longest period of traffic, and a day of play.
PERIOD_US = 8 * DAY_US
#: Kinds of which each occurrence is an event of its own.
_EVENTS = ("volume", "freshness")


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
    """It came back, and takes twice as many windows to end: see `Visit`."""
    hold_us: int = 0
    """How long it has to stay away before it is over, however many windows are stable."""
    drifted_us: int = 0
    """End of the latest drifted window."""
    named_us: int = 0
    """End of the window that last named a column for the first time."""
    known: Known = field(default_factory=Known)
    """What it has shown of its cause, until that was known."""


class Visit(NamedTuple):
    """When a column was last there, in case it comes back.

    What comes with every peak of a day or of a week is one cause. When a column of an alarm that ended drifts again
    within `PERIOD_US`, the end was too early: the alarm that opens now pages, for it was said to be over, and ends once
    the column has stayed away for twice as long as it just did. So a cause that returns pages when it is first seen and
    when it is first back, and is one incident from then on. That alarm hides no others (`streams.core.known_causes`).

    Silence and an odd volume are events, each of which somebody has to look at. They are back when they were away for
    less long than it took to end them, and then take twice as many windows.
    """

    drifted_us: int
    """End of the last drifted window of the alarm."""
    until_us: int
    """What drifts before this is back."""
    hold_us: int = 0
    """How long that alarm had to wait."""

    def hold_after(self, since_us: int, kind: str) -> int:
        """Return how long what is back since then has to stay away before it is over."""
        away_us = max(since_us - self.drifted_us, 0)
        return 0 if kind in _EVENTS else max(self.hold_us, min(2 * away_us, PERIOD_US))

    @classmethod
    def of(cls, alarm: OpenAlarm, at_us: int) -> Visit:
        """Return the visit of an alarm that went back to its baseline, and is resolved now."""
        until_us = 2 * at_us - alarm.drifted_us
        if alarm.step.kind not in _EVENTS:
            until_us = max(until_us, alarm.drifted_us + PERIOD_US)
        return cls(alarm.drifted_us, until_us, alarm.hold_us)


@dataclass(slots=True)
class Track:
    """The streaks of every source and horizon that speak to one alarm, and the alarm when one is open."""

    streams: dict[str, Streak] = field(default_factory=dict)
    alarm: OpenAlarm | None = None
    closed: tuple[str, int] | None = None
    """Id and revision of the last alarm resolved: one that opens again under the same id goes on counting."""
    visits: dict[str, Visit] = field(default_factory=dict)
    """By column, of alarms that ended by themselves not long ago."""
    worst: Culprit | None = None
    """Worst column of the last drifted window."""
    reach: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Of the newest window of each stream: rows, and how many times its limit the worst column was, 0 when none was."""
    inherited: Inherited | None = None
    """A cause that is known from other versions and that this one may show yet."""

    @property
    def known(self) -> Known:
        """What is known of the cause that is heard here."""
        if self.alarm:
            return self.alarm.known
        return self.inherited.known if self.inherited else Known()

    def part(self, at_us: int) -> None:
        """Remember an alarm that goes back to its baseline, and forget what is too long ago to be back."""
        if self.alarm is None:
            return
        visit = Visit.of(self.alarm, at_us)
        self.visits = {key: v for key, v in self.visits.items() if v.until_us > at_us}
        self.visits |= {key: visit for key in sorted(self.alarm.told) if not key.startswith(SEGMENT)}

    def back(self, columns: Set[str], since_us: int) -> Visit | None:
        """Return the last visit of any of some columns that drift since then; None where they are not back."""
        return max((v for k in columns if (v := self.visits.get(k)) and since_us < v.until_us), default=None)

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
            "visits": {key: list(visit) for key, visit in sorted(self.visits.items())},
            "worst": self.worst.to_record() if self.worst else None,
            "reach": {name: list(reach) for name, reach in self.reach.items()},
            "inherited": self.inherited.snapshot() if self.inherited else None,
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Track:
        """Undo `snapshot`."""
        return cls(
            {name: Streak.restore(s) for name, s in state["streams"].items()},
            _alarm_from_json(state["alarm"]) if state["alarm"] else None,
            (state["closed"][0], state["closed"][1]) if state["closed"] else None,
            {key: Visit(*visit) for key, visit in state.get("visits", {}).items()},
            Culprit.from_record(state["worst"]) if state["worst"] else None,
            {name: (rows, ratio) for name, (rows, ratio) in state.get("reach", {}).items()},
            Inherited.restore(state["inherited"]) if state.get("inherited") else None,
        )


def _alarm_to_json(alarm: OpenAlarm) -> dict[str, Any]:
    return {
        "step": alarm.step.to_record(0),
        "told": sorted(alarm.told),
        "drifted": sorted(alarm.drifted),
        "is_settled": alarm.is_settled,
        "is_back": alarm.is_back,
        "hold_us": alarm.hold_us,
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
        state.get("hold_us", 0),
        state.get("drifted_us", step.window_end_us),
        state.get("named_us", step.updated_us),
        Known.restore(state["known"]) if "known" in state else Known(told, set(told)),
    )
