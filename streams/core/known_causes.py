"""What an open alarm has shown of its cause, and what of a window that explains.

An alarm may be open for weeks: a drift that its owner knows of and lives with. What it has named must not page again,
and must not hide what is new. So once nothing new joined an alarm for as long as the longest window is, its cause is
*known*, and windows are heard in parts: what it explains speaks to it, and everything else is judged as if that were
not there.

A cause explains

- the columns and pairs that the alarm named by then, and pairs of a column that it named;
- columns that go together with one of them in the baseline (`ColumnVerdict.goes_with`): where one moves they follow;
- all columns together, which show what any of them does;

but not what goes `FAR` times as far as anything of it had gone by then, in all traffic or in the same part of it, nor
values that are missing where they were not: a column that drifts and then stops arriving is broken anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict

#: How many times as far as it had gone is another fault.
FAR = 3.0
#: How far anything is remembered to have gone, at most: JSON has no infinity.
MOST = 1e9
#: Kinds whose alarm is about one thing, however it goes on: silence lasts, and classic detectors keep no budget.
NEVER_KNOWN = ("freshness", "classic")
_MISSING = "missing_share"


@dataclass(slots=True)
class Known:
    """How far what an alarm named went, and what follows from it."""

    furthest: dict[str, float] = field(default_factory=dict)
    """Key of a column or pair to how far it went: in standard deviations, or in limits where it has no such number."""
    missing: set[str] = field(default_factory=set)
    """Keys of columns that were missing."""
    beside: set[str] = field(default_factory=set)
    """Keys of columns that go together with those that were named."""
    inside: dict[str, Known] = field(default_factory=dict)
    """What parts of traffic showed of it, by segment: a fault of a small one goes further there than in all traffic."""

    def learn(self, verdict: WindowVerdict, named: Set[str]) -> None:
        """Take what drifts in a window and was named for the alarm's own."""
        for column in drifted_in(verdict):
            if column.key not in named:
                continue
            self.furthest[column.key] = max(extent(column), self.furthest.get(column.key, 0.0))
            self.beside.update(column.goes_with, column.of)
            if column.statistic == _MISSING:
                self.missing.add(column.key)
            if column.role == "joint":
                self.beside.update(verdict.warned)  # what all show may be one that is close to its limit

    def learn_inside(self, verdict: WindowVerdict, named: Set[str]) -> None:
        """Take what drifts in a part of traffic while the alarm on all of it is open, and was named there."""
        self.inside.setdefault(verdict.segment, Known()).learn(verdict, named)

    def explains(self, column: ColumnVerdict, segment: str = "") -> bool:
        """Tell whether what a column or a pair shows, in a part of traffic where one is named, follows from this."""
        if segment in self.inside and self.inside[segment].explains(column):
            return True
        if column.role == "joint":
            return True
        if column.role == "relation" and not self.furthest.keys().isdisjoint(column.of):
            return True
        if column.statistic == _MISSING and column.key not in self.missing:
            return False
        if column.key in self.furthest:
            return extent(column) <= FAR * self.furthest[column.key]
        is_loss = column.role == "loss" and any(key.startswith("loss/") for key in self.furthest)
        return (is_loss or column.key in self.beside) and extent(column) <= FAR * max(
            self.furthest.values(), default=0.0
        )

    def has(self, key: str) -> bool:
        """Tell whether a key is one of this: its own, or of what follows from it."""
        return key in self.furthest or key in self.beside

    def snapshot(self) -> dict[str, Any]:
        """Return the state, fit for JSON."""
        return {
            "furthest": dict(self.furthest),
            "missing": sorted(self.missing),
            "beside": sorted(self.beside),
            "inside": {segment: known.snapshot() for segment, known in sorted(self.inside.items())},
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Known:
        """Undo `snapshot`."""
        return cls(
            dict(state["furthest"]),
            set(state["missing"]),
            set(state["beside"]),
            {segment: cls.restore(known) for segment, known in state.get("inside", {}).items()},
        )


def extent(column: ColumnVerdict) -> float:
    """Return how far a column moved, in standard deviations; of what has no such number, in limits.

    Traffic that is gone is gone as far as it can be, whatever is usual for the hour: an outage that outlasts its night
    is not another one by day.
    """
    if column.statistic == "rows" and column.value == 0:
        return MOST
    if column.moved is not None:
        return min(column.moved, MOST)
    if column.evidence is not None:
        return min(column.evidence, MOST)
    return min(column.value / column.limit, MOST) if column.limit > 0 else MOST


def drifted_in(verdict: WindowVerdict) -> list[ColumnVerdict]:
    """Return what drifts in a window."""
    return [c for c in verdict.columns if c.verdict is Verdict.DRIFT]


def part_of(verdict: WindowVerdict, known: Known, older: Sequence[Known] = ()) -> WindowVerdict:
    """Return what a window says to the alarm of a known cause: drift while anything of it drifts.

    What several causes explain is of the oldest: a column that drifts for weeks and was missing for a day does not keep
    the alarm about the day open.
    """
    columns = [
        c
        for c in drifted_in(verdict)
        if (c.key in known.furthest or known.explains(c, verdict.segment))
        and not any(cause.explains(c, verdict.segment) for cause in older)
    ]
    warned = [
        key for key in verdict.warned if key in known.furthest and not any(cause.has(key) for cause in older)
    ]
    return _heard(verdict, columns, warned, is_warning=bool(warned))


def without(verdict: WindowVerdict, causes: Sequence[Known]) -> WindowVerdict:
    """Return what a window says beside causes that are known; itself where there are none."""
    if not causes:
        return verdict
    columns = [
        c for c in drifted_in(verdict) if not any(known.explains(c, verdict.segment) for known in causes)
    ]
    warned = [key for key in verdict.warned if not any(known.has(key) for known in causes)]
    return _heard(verdict, columns, warned, is_warning=not all(map(_is_pair, warned)))


def held_by(verdict: WindowVerdict, known: Known) -> WindowVerdict:
    """Return a stable window as a warning where a pair that the alarm named is one.

    Of hundreds of pairs one is near its limit in many a window, so their warnings are none of the window; of a pair
    that drifted before, a warning says that it is not over.
    """
    if verdict.verdict is not Verdict.STABLE or known.furthest.keys().isdisjoint(verdict.warned):
        return verdict
    return replace(verdict, verdict=Verdict.WARNING)


def _heard(
    verdict: WindowVerdict, columns: list[ColumnVerdict], warned: list[str], *, is_warning: bool
) -> WindowVerdict:
    if verdict.verdict in {Verdict.NOT_ENOUGH_DATA, Verdict.ERROR}:
        return verdict
    # What is said of traffic, or of skew, does not say of what it is a warning.
    is_warning |= verdict.verdict is Verdict.WARNING and not verdict.warned
    names = {key.split("/", 1)[-1] for key in warned}
    return replace(
        verdict,
        verdict=Verdict.DRIFT if columns else Verdict.WARNING if is_warning else Verdict.STABLE,
        columns=tuple(columns),
        sudden=verdict.sudden and any(c.sudden for c in columns),
        near=tuple(name for name in verdict.near if name in names),
        warned=tuple(warned),
    )


def _is_pair(key: str) -> bool:
    return key.startswith("relation/")
