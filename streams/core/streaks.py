"""How many windows in a row said the same thing.

A window may be judged again when late events revise it. The newest window of a stream is then counted over,
from the run as it stood before that window, so that however often it is revised it weighs one. A revision
of an older window changes no run: what was decided since was decided on what was known, and the windows
that follow speak for themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streams.core.verdicts import Verdict


class Run(NamedTuple):
    """Consecutive drifted or stable windows up to some window. At most one of the two counts is not zero."""

    drift: int = 0
    stable: int = 0
    since_us: int = 0
    """End of the first window of a run of drifted ones."""
    culprits: tuple[str, ...] = ()
    """Columns that drifted in the last judged window."""

    def after(self, verdict: Verdict, end_us: int, culprits: tuple[str, ...] = ()) -> Run:
        """Return the run that this one becomes with one more window.

        A warning ends either run: it is neither stable nor drifted. What could not be measured (not enough
        data, an error) changes nothing, for it says nothing.
        """
        if verdict is Verdict.DRIFT:
            return Run(self.drift + 1, 0, self.since_us if self.drift else end_us, culprits)
        if verdict is Verdict.STABLE:
            return Run(0, self.stable + 1)
        if verdict is Verdict.WARNING:
            return Run()
        return self


@dataclass(slots=True)
class Streak:
    """The run of one stream of windows (one source and horizon), and the run before its newest window."""

    end_us: int | None = None
    verdict: Verdict = Verdict.NOT_ENOUGH_DATA
    """What the newest window said."""
    before: Run = field(default_factory=Run)
    now: Run = field(default_factory=Run)

    def take(self, verdict: Verdict, end_us: int, culprits: tuple[str, ...] = ()) -> bool:
        """Count a window; false when it is older than the newest one and was passed over."""
        if self.end_us is not None and end_us < self.end_us:
            return False
        if self.end_us is None or end_us > self.end_us:
            self.before = self.now
            self.end_us = end_us
        self.verdict = verdict
        self.now = self.before.after(verdict, end_us, culprits)
        return True

    def snapshot(self) -> dict[str, Any]:
        """Return the state, fit for JSON."""
        return {
            "end_us": self.end_us,
            "verdict": int(self.verdict),
            "before": _run_to_list(self.before),
            "now": _run_to_list(self.now),
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Streak:
        """Undo `snapshot`."""
        return cls(
            state["end_us"],
            Verdict(state["verdict"]),
            _run_from_list(state["before"]),
            _run_from_list(state["now"]),
        )


def _run_to_list(run: Run) -> list[Any]:
    return [run.drift, run.stable, run.since_us, list(run.culprits)]


def _run_from_list(state: list[Any]) -> Run:
    drift, stable, since_us, culprits = state
    return Run(drift, stable, since_us, tuple(culprits))
