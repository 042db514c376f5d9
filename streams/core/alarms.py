"""The life of every alarm of one model: opened, updated when there is news, resolved.

An alarm belongs to a version, a segment and a kind. Windows of all horizons (and sources) of these speak to
the same alarm, each through a streak of its own:

- it opens after `open_after` drifted windows in a row on any horizon;
- it is updated when a column joins the culprits, when it gets more severe, or when the attribution changes.
  A column joins once it drifted in two windows in a row (or in one, when one opens an alarm); severity only
  rises during a life, so that a value dancing around a limit is told once;
- it is resolved after `resolve_after` stable windows in a row on every horizon that drifted during its
  life.

A warning ends a streak of either kind; what could not be measured leaves streaks alone
(`streams.core.streaks`, also on revised windows). An alarm opened by a window whose revision then says
otherwise is not withdrawn: it is resolved by stable windows like any other, for a page that flickers is
worse than one that lasts.

One incident is one page. A segment alarm opens only while overall traffic has no alarm of that kind open
and its latest window does not drift; when overall traffic opens one, it takes the segments' alarms over and
names them in its evidence. So that "latest" means the same window, feed overall windows before those of
segments (`in_order`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from seawall.errors import ContractError
from seawall.monitor import MonitorSpec
from streams.core.alarm_steps import (
    MAX_CULPRITS,
    MAX_SEGMENTS,
    AlarmStep,
    Attribution,
    Culprit,
    culprits_of,
    drift_sentence,
    resolved_sentence,
    severity_of,
    worse,
)
from streams.core.alarm_tracks import OpenAlarm, Track, TrackKey
from streams.core.streaks import Streak
from streams.core.verdicts import Verdict, WindowVerdict
from streams.core.words import short_id

#: Versions out of service that are remembered, so that what is left of their windows opens nothing.
MAX_RETIRED = 16
#: Says who is at fault for an alarm as it would be told now. See `streams.core.attribution`.
Attribute = Callable[[AlarmStep], Attribution]


class _Heard(NamedTuple):
    """A drifted window, and what it takes to judge it."""

    verdict: WindowVerdict
    culprits: tuple[Culprit, ...]
    spec: MonitorSpec
    attribute: Attribute | None


def in_order(verdicts: Iterable[WindowVerdict]) -> list[WindowVerdict]:
    """Sort verdicts the way an `AlarmBook` wants them: by event time, overall traffic before its segments."""
    return sorted(verdicts, key=lambda v: (v.end_us, v.segment, v.version, v.kind, v.source, v.horizon_us))


class AlarmBook:
    """All alarms of one model, folded from its window verdicts in event-time order.

    The same verdicts in the same order give the same steps, ids and revisions included, whether or not the
    book was saved and restored in between.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self._tracks: dict[TrackKey, Track] = {}
        self._retired_us: dict[str, int] = {}

    @property
    def open_alarms(self) -> list[AlarmStep]:
        """What was last told of each open alarm."""
        return [t.alarm.step for t in self._tracks.values() if t.alarm]

    def step(
        self, verdict: WindowVerdict, spec: MonitorSpec, attribute: Attribute | None = None
    ) -> list[AlarmStep]:
        """Take one window's verdict.

        Parameters
        ----------
        verdict
            Of any version, segment, kind, source and horizon of this model.
        spec
            The monitor in force.
        attribute
            Asked who is at fault whenever a drifted window speaks to an alarm that is open or opens.

        Returns
        -------
        list[AlarmStep]
            Usually empty; more than one when an overall alarm takes over those of segments.
        """
        if verdict.model != self.model:
            msg = f"model: {verdict.model!r} was given to the alarms of {self.model!r}"
            raise ContractError(msg)
        if verdict.start_us < self._retired_us.get(verdict.version, verdict.start_us):
            return []
        track = self._tracks.setdefault(TrackKey(verdict.version, verdict.segment, verdict.kind), Track())
        culprits = culprits_of(verdict)
        heard = _Heard(verdict, culprits, spec, attribute)
        stream = f"{verdict.source}/{verdict.horizon_us}"
        streak = track.streams.setdefault(stream, Streak())
        if not streak.take(verdict.verdict, verdict.end_us, tuple(c.key for c in culprits)):
            return []
        if verdict.verdict is Verdict.DRIFT:
            track.worst = culprits[0] if culprits else None
            if track.alarm:
                track.alarm.drifted.add(stream)
                return self._news(track.alarm, streak, heard)
            return self._open(track, streak, heard)
        if verdict.verdict is Verdict.STABLE and track.alarm:
            return self._resolve_if_stable(track, track.alarm, verdict, spec)
        return []

    def retire(
        self, version: str, at_us: int, reason: str = "the version no longer serves"
    ) -> list[AlarmStep]:
        """Resolve the alarms of a version that stopped serving, and forget its streaks.

        Its long windows go on closing, over traffic of before; only windows that begin at `at_us` or later,
        when it serves again, are listened to.
        """
        steps = [
            _resolution(track.alarm.step, at_us, reason)
            for key, track in self._tracks.items()
            if key.version == version and track.alarm
        ]
        self._tracks = {k: t for k, t in self._tracks.items() if k.version != version}
        self._retired_us.pop(version, None)
        self._retired_us[version] = at_us
        while len(self._retired_us) > MAX_RETIRED:
            del self._retired_us[next(iter(self._retired_us))]
        return steps

    def _open(
        self,
        track: Track,
        streak: Streak,
        heard: _Heard,
    ) -> list[AlarmStep]:
        verdict, culprits, spec, attribute = heard
        if streak.now.drift < spec.open_after or self._is_part_of_overall(verdict):
            return []
        opened_us = streak.now.since_us
        alarm_id = short_id(self.model, verdict.version, verdict.segment, verdict.kind, opened_us)
        step = AlarmStep(
            alarm_id=alarm_id,
            model=self.model,
            version=verdict.version,
            segment=verdict.segment,
            kind=verdict.kind,
            state="open",
            severity=severity_of(verdict.kind, culprits),
            revision=track.closed[1] + 1 if track.closed and track.closed[0] == alarm_id else 0,
            opened_us=opened_us,
            updated_us=verdict.end_us,
            resolved_us=None,
            summary="",
            window_start_us=verdict.start_us,
            window_end_us=verdict.end_us,
            horizon_us=verdict.horizon_us,
            rows=verdict.rows,
            features=(),
            attribution="unknown",
            attribution_why="",
            notify=spec.notify,
        )
        step = self._attributed(self._with_evidence(step, verdict, culprits), attribute)
        # A horizon that has begun to drift has drifted, even if another was first to open.
        drifted = {name for name, s in track.streams.items() if s.now.drift}
        track.alarm = OpenAlarm(step, {c.key for c in culprits}, drifted)
        return [step, *([] if verdict.segment else self._take_over(step))]

    def _news(
        self,
        alarm: OpenAlarm,
        streak: Streak,
        heard: _Heard,
    ) -> list[AlarmStep]:
        verdict, culprits, spec, attribute = heard
        last = alarm.step
        keys = {c.key for c in culprits}
        confirmed = keys if spec.open_after <= 1 else keys & set(streak.before.culprits)
        severity = worse(last.severity, severity_of(verdict.kind, culprits))
        told = self._with_evidence(
            replace(last, state="updated", severity=severity, notify=spec.notify), verdict, culprits
        )
        told = self._attributed(told, attribute)
        has_changed = (told.severity, told.attribution) != (last.severity, last.attribution)
        if not has_changed and confirmed <= alarm.told:
            return []
        alarm.told |= keys
        alarm.step = replace(told, revision=last.revision + 1)
        return [alarm.step]

    def _resolve_if_stable(
        self, track: Track, alarm: OpenAlarm, verdict: WindowVerdict, spec: MonitorSpec
    ) -> list[AlarmStep]:
        if any(track.streams[name].now.stable < spec.resolve_after for name in alarm.drifted):
            return []
        reason = f"back to its baseline for {spec.resolve_after} windows on every horizon that drifted"
        window = replace(
            alarm.step,
            window_start_us=verdict.start_us,
            window_end_us=verdict.end_us,
            horizon_us=verdict.horizon_us,
            rows=verdict.rows,
        )
        return [_close(track, window, verdict.end_us, reason)]

    def _take_over(self, overall: AlarmStep) -> list[AlarmStep]:
        reason = f"all traffic is affected, see alarm {overall.alarm_id}"
        return [
            _close(track, track.alarm.step, overall.updated_us, reason)
            for key, track in self._tracks.items()
            if track.alarm and key.segment and (key.version, key.kind) == (overall.version, overall.kind)
        ]

    def _is_part_of_overall(self, verdict: WindowVerdict) -> bool:
        if not verdict.segment:
            return False
        overall = self._tracks.get(TrackKey(verdict.version, "", verdict.kind))
        return overall is not None and (overall.alarm is not None or overall.is_drifting(verdict.end_us))

    def _with_evidence(
        self, step: AlarmStep, verdict: WindowVerdict, culprits: tuple[Culprit, ...]
    ) -> AlarmStep:
        segments = () if verdict.segment else self._drifting_segments(verdict)
        return replace(
            step,
            updated_us=max(step.updated_us, verdict.end_us),
            summary=drift_sentence(verdict, culprits, tuple(s.name for s in segments), step.opened_us),
            window_start_us=verdict.start_us,
            window_end_us=verdict.end_us,
            horizon_us=verdict.horizon_us,
            rows=verdict.rows,
            features=culprits[:MAX_CULPRITS] + segments[:MAX_SEGMENTS],
        )

    def _drifting_segments(self, verdict: WindowVerdict) -> tuple[Culprit, ...]:
        """Return the parts of traffic that drift, each with its worst column, worst first.

        Their newest windows may be one pane older than the overall one, which is fed first.
        """
        found = [
            replace(track.worst, name=key.segment, role="segment", detail=track.worst.key)
            for key, track in self._tracks.items()
            if key.segment
            and (key.version, key.kind) == (verdict.version, verdict.kind)
            and track.worst
            and any(s.now.drift for s in track.streams.values())
        ]
        return tuple(sorted(found, key=lambda c: (-c.ratio, c.name)))

    @staticmethod
    def _attributed(step: AlarmStep, attribute: Attribute | None) -> AlarmStep:
        if attribute is None:
            return step
        outcome, why = attribute(step)
        if outcome == "unknown" and step.attribution != "unknown":
            return step  # what was once known (of a version since rolled back, say) is not unlearned
        return replace(step, attribution=outcome, attribution_why=why)

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state, fit for JSON."""
        return {
            "model": self.model,
            "retired_us": dict(self._retired_us),
            "tracks": [[list(key), track.snapshot()] for key, track in self._tracks.items()],
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> AlarmBook:
        """Undo `snapshot`."""
        book = cls(state["model"])
        book._retired_us = dict(state["retired_us"])
        for key, saved in state["tracks"]:
            book._tracks[TrackKey(*key)] = Track.restore(saved)
        return book


def _close(track: Track, step: AlarmStep, at_us: int, reason: str) -> AlarmStep:
    resolved = _resolution(step, at_us, reason)
    track.closed = (resolved.alarm_id, resolved.revision)
    track.alarm = None
    return resolved


def _resolution(step: AlarmStep, at_us: int, reason: str) -> AlarmStep:
    """Return the last step; it keeps the last evidence, so that it can be read on its own."""
    at_us = max(at_us, step.updated_us)
    return replace(
        step,
        state="resolved",
        revision=step.revision + 1,
        updated_us=at_us,
        resolved_us=at_us,
        summary=resolved_sentence(step, at_us, reason),
    )
