"""Which columns drifted, and when, under each version of one model: what attribution is decided on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from seawall.monitor import DAY_US
from streams.core.verdicts import Verdict, WindowVerdict

#: Drifts (or stable windows) of one column no further apart than this are one stretch.
JOIN_US = DAY_US
#: What is remembered at most; the longest unseen goes first.
MAX_VERSIONS = 8
MAX_COLUMNS = 2000
MAX_STRETCHES = 4


class Span(NamedTuple):
    """A stretch of windows that said the same, by the ends of its first and last window."""

    first_us: int
    last_us: int

    def joined(self, end_us: int) -> Span | None:
        """Return the stretch with one more window; none when that lies too far away to belong to it."""
        if end_us > self.last_us + JOIN_US or end_us < self.first_us - JOIN_US:
            return None
        return Span(min(self.first_us, end_us), max(self.last_us, end_us))


@dataclass(slots=True)
class VersionDrift:
    """What the windows of one version said, for one kind of alarm."""

    columns: dict[str, Span] = field(default_factory=dict)
    """The latest stretch of drift of each column that ever drifted."""
    stable: list[Span] = field(default_factory=list)
    """The latest stretches of stable windows, oldest first."""
    stable_from_us: int | None = None
    """Latest start of a stable window. Long windows go on closing after the traffic went elsewhere; only
    where a
    window starts tells what it has seen."""
    last_judged_us: int | None = None
    """End of the last window that could be judged, whatever it said."""

    def first_stable_since(self, from_us: int) -> int | None:
        """Return the end of the first stable window at or after a time, as far as stretches tell."""
        return next((max(s.first_us, from_us) for s in self.stable if s.last_us >= from_us), None)

    def was_judged_since(self, from_us: int) -> bool:
        """Whether any window that ends at or after a time could be judged."""
        return self.last_judged_us is not None and self.last_judged_us >= from_us


class VersionEvidence(NamedTuple):
    """What is known of each version, for one kind of alarm."""

    versions: Mapping[str, VersionDrift]

    def of(self, version: str) -> VersionDrift:
        """Return what is known of a version; of one never seen, nothing."""
        return self.versions.get(version) or VersionDrift()


class DriftHistory:
    """Builds the evidence for attribution from the windows of overall traffic. Memory is bounded.

    A window that is judged again is taken for what it says last only where that adds to a stretch: a drift
    that a revision withdraws stays remembered, which can only keep a rollback from happening.
    """

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, VersionDrift]] = {}

    def observe(self, verdict: WindowVerdict) -> None:
        """Take one window's verdict. Those of segments, and what could not be judged, say nothing here."""
        if verdict.segment or verdict.verdict in {Verdict.NOT_ENOUGH_DATA, Verdict.ERROR}:
            return
        versions = self._kinds.setdefault(verdict.kind, {})
        known = versions.setdefault(verdict.version, VersionDrift())
        known.last_judged_us = max(verdict.end_us, known.last_judged_us or verdict.end_us)
        if verdict.verdict is Verdict.STABLE:
            _extend(known.stable, verdict.end_us)
            known.stable_from_us = max(verdict.start_us, known.stable_from_us or verdict.start_us)
        for column in verdict.columns:
            if column.verdict is Verdict.DRIFT:
                _mark(known.columns, column.key, verdict.end_us)
        if len(versions) > MAX_VERSIONS:
            del versions[min(versions, key=lambda v: versions[v].last_judged_us or 0)]

    def evidence(self, kind: str = "drift") -> VersionEvidence:
        """Return a live view of what is known for one kind of alarm."""
        return VersionEvidence(self._kinds.get(kind, {}))

    def snapshot(self) -> dict[str, Any]:
        """Return the state, fit for JSON."""
        return {
            kind: {
                version: {
                    "columns": {key: list(span) for key, span in known.columns.items()},
                    "stable": [list(span) for span in known.stable],
                    "stable_from_us": known.stable_from_us,
                    "last_judged_us": known.last_judged_us,
                }
                for version, known in versions.items()
            }
            for kind, versions in self._kinds.items()
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> DriftHistory:
        """Undo `snapshot`."""
        history = cls()
        for kind, versions in state.items():
            history._kinds[kind] = {
                version: VersionDrift(
                    {key: Span(*span) for key, span in known["columns"].items()},
                    [Span(*span) for span in known["stable"]],
                    known["stable_from_us"],
                    known["last_judged_us"],
                )
                for version, known in versions.items()
            }
        return history


def _extend(stretches: list[Span], end_us: int) -> None:
    if stretches and end_us <= stretches[-1].last_us:
        # Within, or a late revision of, what is known: at most the newest stretch begins earlier.
        stretches[-1] = stretches[-1].joined(end_us) or stretches[-1]
        return
    joined = stretches[-1].joined(end_us) if stretches else None
    if joined:
        stretches[-1] = joined
        return
    stretches.append(Span(end_us, end_us))
    del stretches[:-MAX_STRETCHES]


def _mark(columns: dict[str, Span], key: str, end_us: int) -> None:
    span = columns.get(key)
    if span is None or end_us > span.last_us:
        columns[key] = (span.joined(end_us) if span else None) or Span(end_us, end_us)
    else:
        columns[key] = span.joined(end_us) or span
    if len(columns) > MAX_COLUMNS:
        del columns[min(columns, key=lambda k: columns[k].last_us)]
