"""What a new version is expected to show of causes that are known from the versions before it.

Whoever lives with a drift lives with it in the next version too, when that is compared with data from before the
change. So a version that is heard for the first time *inherits* what is known of others then: what it shows of such a
cause is a member of the incident that was paged already, and pages nobody. What goes further, or is something else, is
explained by no cause and pages like any other (`streams.core.known_causes`).

A version that was compared with data from after the change does not show it. It has come into nothing once it was
stable for as long as it takes to end the alarm that it would inherit; what drifts later is news.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streams.core.known_causes import Known
from streams.core.streaks import Streak


@dataclass(frozen=True, slots=True)
class Inherited:
    """A known cause that a version may show, until it does or is known not to."""

    known: Known
    drifted: frozenset[str]
    """Streams of windows that showed it before, ``source/horizon``."""
    is_back: bool
    hold_us: int
    """As of the alarm: `streams.core.alarm_tracks.OpenAlarm`."""
    since_us: int
    """End of the first window of the version that was heard."""

    def is_over(self, streams: Mapping[str, Streak], end_us: int, resolve_after: int) -> bool:
        """Tell whether a version that never showed it was stable for as long as would have ended its alarm."""
        needed = resolve_after * (2 if self.is_back else 1)
        quiet = all(name in streams and streams[name].now.stable >= needed for name in self.drifted)
        return quiet and end_us - self.since_us >= self.hold_us

    def snapshot(self) -> dict[str, Any]:
        """Return the state, fit for JSON."""
        return {
            "known": self.known.snapshot(),
            "drifted": sorted(self.drifted),
            "is_back": self.is_back,
            "hold_us": self.hold_us,
            "since_us": self.since_us,
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Inherited:
        """Undo `snapshot`."""
        return cls(
            Known.restore(state["known"]),
            frozenset(state["drifted"]),
            state["is_back"],
            state["hold_us"],
            state["since_us"],
        )
