"""Where the windows of one model are heard: by version, segment and kind, and by what is known of each.

Nothing is decided here but where a window is heard: `streams.core.alarms` opens and resolves.
"""

from __future__ import annotations

from typing import Any

from seawall.monitor import MonitorSpec
from streams.core.alarm_steps import AlarmStep
from streams.core.alarm_tracks import OpenAlarm, Track, TrackKey
from streams.core.inherited_causes import Inherited
from streams.core.known_causes import NEVER_KNOWN

#: Known causes of one version, segment and kind that are told apart; what comes then joins the newest alarm.
MAX_KNOWN = 8


class TrackTable:
    """All tracks of one model, and which of them are of known causes."""

    def __init__(self) -> None:
        self.by_key: dict[TrackKey, Track] = {}
        self.known: dict[TrackKey, list[TrackKey]] = {}
        """Tracks of the known causes of each version, segment and kind."""

    @property
    def open(self) -> list[tuple[Track, OpenAlarm]]:
        """Every track whose alarm is open."""
        return [(t, t.alarm) for t in self.by_key.values() if t.alarm]

    def causes_at(self, key: TrackKey) -> list[TrackKey]:
        """Return the tracks of what may explain windows: known of them, or of all traffic that they are a part of."""
        overall = self.known.get(key._replace(segment=""), []) if key.segment else []
        return [*self.known.get(key, []), *overall]

    def inherit(self, key: TrackKey, since_us: int) -> None:
        """Let a version that is heard for the first time hear apart what is known from others."""
        causes: dict[str, OpenAlarm] = {}
        for of, known in self.known.items():
            if of.version == key.version or of._replace(version=key.version) != key:
                continue
            for at in known:
                alarm = self.by_key[at].alarm
                if key._replace(cause=at.cause) in self.by_key:
                    continue  # it served before, and left this to others
                # What one shows of another's cause counts only where nothing else is left of that.
                if alarm and (at.cause not in causes or at.cause == alarm.step.alarm_id):
                    causes[at.cause] = alarm
        for cause, alarm in list(causes.items())[:MAX_KNOWN]:
            at = key._replace(cause=cause)
            inherited = Inherited(
                alarm.known, frozenset(alarm.drifted), alarm.is_back, alarm.hold_us, since_us
            )
            self.by_key[at] = Track(inherited=inherited)
            self.known.setdefault(key, []).append(at)

    def set_aside(self, key: TrackKey, end_us: int, spec: MonitorSpec) -> None:
        """Give an alarm whose cause is known tracks of its own, so that what is new is heard as if there were none.

        While the longest window fills, what is weaker goes on joining: it is known once nothing did for so long.
        """
        track = self.by_key.get(key)
        alarm = track.alarm if track else None
        if track is None or alarm is None or key.kind in NEVER_KNOWN:
            return
        known = self.known.get(key, [])
        if end_us - alarm.named_us <= max(spec.horizons_us) or len(known) >= MAX_KNOWN:
            return
        cause = alarm.step.alarm_id
        self.known[key] = [*known, key._replace(cause=cause)]
        self.by_key[key._replace(cause=cause)] = track
        self.by_key[key] = Track(closed=track.closed, visits=track.visits)
        track.closed, track.visits = None, {}
        if key.segment:
            return
        # Where it lives is still told, so parts of traffic are heard on it too.
        parts = [k for k in self.by_key if k.segment and k._replace(segment="") == key]
        for part in parts:
            if self.by_key[part].alarm is None:
                of = self.by_key[part]
                self.by_key[part._replace(cause=cause)] = Track(of.streams, worst=of.worst, reach=of.reach)
                self.by_key[part] = Track(closed=of.closed, visits=of.visits)

    def forget_ended(self) -> set[str]:
        """Hear the windows of what ended as one with all the rest again. Returns the causes that ended."""
        ended = [at for known in self.known.values() for at in known if self._is_ended(at)]
        for at in ended:
            key = at._replace(cause="")
            self.known[key].remove(at)
            if not self.known[key]:
                del self.known[key]
            if key in self.by_key:  # not of a version that was retired
                self.by_key[key].visits |= self.by_key[at].visits
            self.by_key = {
                k: t for k, t in self.by_key.items() if (k.version, k.cause) != (at.version, at.cause)
            }
        return {at.cause for at in ended}

    def forget_version(self, version: str, but: set[str]) -> list[Track]:
        """Forget what was heard of a version, but for some known causes. Returns the tracks with an open alarm."""
        gone = {k: t for k, t in self.by_key.items() if k.version == version and k.cause not in but}
        self.by_key = {k: t for k, t in self.by_key.items() if k not in gone}
        self.known = {
            key: left for key, known in self.known.items() if (left := [at for at in known if at not in gone])
        }
        return [t for t in gone.values() if t.alarm]

    def clear(self) -> list[Track]:
        """Forget everything. Returns the tracks with an open alarm."""
        gone = [t for t, _ in self.open]
        self.by_key, self.known = {}, {}
        return gone

    def _is_ended(self, at: TrackKey) -> bool:
        """Tell whether a known cause is over for a version, or was all that it could inherit."""
        track = self.by_key[at]
        if track.alarm:
            return False
        return track.inherited is None or not any(t.alarm for t in self.of_cause(at.cause))

    def of_cause(self, cause: str) -> list[Track]:
        """Return where the versions hear a known cause, the one that it was first known of before the others."""
        found = [self.by_key[at] for known in self.known.values() for at in known if at.cause == cause]
        return sorted(found, key=lambda t: t.alarm is None or t.alarm.step.alarm_id != cause)

    def is_awaited(self, cause: str) -> bool:
        """Tell whether a version may show a known cause yet."""
        return any(t.inherited for t in self.of_cause(cause))

    def key_of(self, step: AlarmStep) -> TrackKey:
        """Return where the windows of an open alarm are heard."""
        key = TrackKey(step.version, step.segment, step.kind)
        for at in self.known.get(key, ()):
            alarm = self.by_key[at].alarm
            if alarm and alarm.step.alarm_id == step.alarm_id:
                return at
        return key

    def parts(self, key: TrackKey) -> dict[str, Track]:
        """Return what is heard of the parts of traffic on a kind and cause."""
        return {
            k.segment: track
            for k, track in self.by_key.items()
            if k.segment and (k.version, k.kind, k.cause) == (key.version, key.kind, key.cause)
        }

    def snapshot(self) -> list[Any]:
        """Return the state, fit for JSON."""
        return [[list(key), track.snapshot()] for key, track in self.by_key.items()]

    @classmethod
    def restore(cls, state: list[Any]) -> TrackTable:
        """Undo `snapshot`."""
        table = cls()
        for key, saved in state:
            at, track = TrackKey(*key), Track.restore(saved)
            table.by_key[at] = track
            if at.cause and (track.alarm or track.inherited):
                table.known.setdefault(at._replace(cause=""), []).append(at)
        return table
