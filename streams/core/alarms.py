"""The life of every alarm of one model: opened, updated when there is news, resolved.

An alarm belongs to a version, a segment and a kind. Windows of all horizons (and sources) of these speak to
the same alarm, each through a streak of its own:

- it opens after `open_after` drifted windows in a row on any horizon, or with one that is proof by itself (`sudden`);
- it is updated when a column joins the culprits, when it gets more severe, when the attribution changes, or
  when it turns out to live in some segments only, or no longer only there. A column joins once it drifted in two
  windows in a row (or in one, when one opens an alarm), and so does a segment; severity only rises during a life,
  so that a value dancing around a limit is told once;
- it is resolved after `resolve_after` stable windows in a row on every horizon that drifted during its
  life; of what comes back, after it stayed away for longer (`streams.core.alarm_tracks.Visit`).

Once nothing new joined it for as long as the longest horizon, its cause is known, and what that does not explain
opens an alarm of its own (`streams.core.known_causes`). Versions that come later inherit what is known
(`streams.core.inherited_causes`).

A warning ends a streak of either kind, and so does one of a pair that the alarm named; what could not be measured
leaves streaks alone (`streams.core.streaks`, also on revised windows). An alarm opened by a window whose revision
then says otherwise is not withdrawn: it is resolved by stable windows like any other, for a page that flickers is
worse than one that lasts.

One incident is one page. A segment alarm opens only while overall traffic has no alarm of that kind open
and its latest window does not drift; when overall traffic opens one later, that joins the segment's incident
like any other alarm of the same cause, and the page says that all traffic is affected now. So that "latest"
means the same window, feed overall windows before those of segments (`in_order`).

Alarms that have one cause though they differ in version, segment or kind (`streams.core.causes`) make one
incident: the first of them speaks for the others. These open, change and resolve like any other, but notify
nobody; the speaker is updated when one joins, gets more severe or names another column, and ends last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

from seawall.errors import ContractError
from seawall.monitor import MonitorSpec
from streams.core.alarm_steps import (
    ACROSS,
    MAX_CULPRITS,
    MAX_NEAR,
    MAX_SEGMENTS,
    AlarmStep,
    Attribution,
    Culprit,
    culprits_of,
    drift_sentence,
    overall_of,
    resolved_sentence,
    severity_of,
    spread_sentence,
    worse,
)
from streams.core.alarm_tracks import SEGMENT, OpenAlarm, Track, TrackKey
from streams.core.causes import (
    began_together,
    began_us,
    break_a_promise,
    have_one_cause,
    may_speak_for,
    with_member,
)
from streams.core.inherited_causes import Inherited
from streams.core.known_causes import MOST, NEVER_KNOWN, drifted_in, held_by, part_of, without
from streams.core.story import story_of
from streams.core.streaks import Streak
from streams.core.verdicts import Verdict, WindowVerdict
from streams.core.words import short_id, span_text

#: Versions out of service that are remembered, so that what is left of their windows opens nothing.
MAX_RETIRED = 16
#: Known causes of one version, segment and kind that are told apart; what comes then joins the newest alarm.
MAX_KNOWN = 8
#: Why an alarm about traffic ends, after so many windows; other kinds have a baseline.
_OVER = {
    "volume": "back to its usual volume for {} h",
    "freshness": "predictions arrive again",
    "promise": "the promise was kept for {} windows",
}
#: Says who is at fault for an alarm as it would be told now. See `streams.core.attribution`.
Attribute = Callable[[AlarmStep], Attribution]
#: Adds to a step what is known of why it is there. See `streams.core.explain`.
Explain = Callable[[AlarmStep, WindowVerdict], AlarmStep]


class _Heard(NamedTuple):
    """A drifted window, or what a known cause leaves of it, and what it takes to judge it."""

    key: TrackKey
    verdict: WindowVerdict
    culprits: tuple[Culprit, ...]
    spec: MonitorSpec
    attribute: Attribute | None
    explain: Explain | None


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
        self._known: dict[TrackKey, list[TrackKey]] = {}
        """Tracks of the known causes of each version, segment and kind."""
        self._retired_us: dict[str, int] = {}

    @property
    def open_alarms(self) -> list[AlarmStep]:
        """What was last told of each open alarm that is not settled."""
        return [t.alarm.step for t in self._tracks.values() if t.alarm and not t.alarm.is_settled]

    @property
    def settled_alarms(self) -> list[AlarmStep]:
        """What was last told of each alarm that is open only for other members of its incident."""
        return [t.alarm.step for t in self._tracks.values() if t.alarm and t.alarm.is_settled]

    def step(
        self,
        verdict: WindowVerdict,
        spec: MonitorSpec,
        attribute: Attribute | None = None,
        explain: Explain | None = None,
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
        explain
            Asked why whenever something is going to be told.

        Returns
        -------
        list[AlarmStep]
            Usually empty; more than one when an alarm is one of several in an incident.
        """
        if verdict.model != self.model:
            msg = f"model: {verdict.model!r} was given to the alarms of {self.model!r}"
            raise ContractError(msg)
        if verdict.start_us < self._retired_us.get(verdict.version, verdict.start_us):
            return []
        key = TrackKey(verdict.version, verdict.segment, verdict.kind)
        if key not in self._tracks:
            self._inherit(key, verdict.end_us)
        self._set_aside(key, verdict, spec)
        mine = self._known.get(key, [])
        overall = self._known.get(key._replace(segment=""), []) if key.segment else []
        causes = {at: self._tracks[at].known for at in (*mine, *overall)}
        known = list(causes.values())
        parts = [
            (at._replace(segment=key.segment), part_of(verdict, cause, known[:n]))
            for n, (at, cause) in enumerate(causes.items())
        ]
        steps: list[AlarmStep] = []
        for at, said in [*parts, (key, without(verdict, known))]:
            steps += self._take(at, said, spec, attribute, explain)
        return steps + self._forget_ended(verdict.end_us)

    def _take(
        self,
        key: TrackKey,
        verdict: WindowVerdict,
        spec: MonitorSpec,
        attribute: Attribute | None,
        explain: Explain | None,
    ) -> list[AlarmStep]:
        """Take what a window says to one track."""
        track = self._tracks.setdefault(key, Track())
        if track.alarm or track.inherited:
            verdict = held_by(verdict, track.known)
        culprits = culprits_of(verdict)
        heard = _Heard(key, verdict, culprits, spec, attribute, explain)
        stream = f"{verdict.source}/{verdict.horizon_us}"
        streak = track.streams.setdefault(stream, Streak())
        if not streak.take(verdict.verdict, verdict.end_us, tuple(c.key for c in culprits)):
            return []
        track.reach[stream] = (verdict.rows, min(max((c.ratio for c in culprits), default=0.0), MOST))
        if verdict.verdict is Verdict.DRIFT:
            track.worst = culprits[0] if culprits else None
            if track.alarm:
                track.alarm.drifted.add(stream)
                track.alarm.is_settled = False
                track.alarm.drifted_us = max(track.alarm.drifted_us, verdict.end_us)
                return self._news(track.alarm, streak, heard)
            # A part of traffic that a known cause touches is a part of its incident.
            is_part = key.cause and track.inherited is None
            return [] if is_part else self._open(track, streak, heard)
        if verdict.verdict is Verdict.STABLE and track.alarm:
            return self._resolve_if_stable(track, track.alarm, verdict, spec)
        if track.inherited and track.inherited.is_over(track.streams, verdict.end_us, spec.resolve_after):
            track.inherited = None
        return []

    def _inherit(self, key: TrackKey, since_us: int) -> None:
        """Let a version that is heard for the first time hear apart what is known from others."""
        causes: dict[str, OpenAlarm] = {}
        for of, known in self._known.items():
            if of.version == key.version or of._replace(version=key.version) != key:
                continue
            for at in known:
                alarm = self._tracks[at].alarm
                if key._replace(cause=at.cause) in self._tracks:
                    continue  # it served before, and left this to others
                # What one shows of another's cause counts only where nothing else is left of that.
                if alarm and (at.cause not in causes or at.cause == alarm.step.alarm_id):
                    causes[at.cause] = alarm
        for cause, alarm in list(causes.items())[:MAX_KNOWN]:
            at = key._replace(cause=cause)
            inherited = Inherited(
                alarm.known, frozenset(alarm.drifted), alarm.is_back, alarm.hold_us, since_us
            )
            self._tracks[at] = Track(inherited=inherited)
            self._known.setdefault(key, []).append(at)

    def _set_aside(self, key: TrackKey, verdict: WindowVerdict, spec: MonitorSpec) -> None:
        """Give an alarm whose cause is known tracks of its own, so that what is new is heard as if there were none.

        While the longest window fills, what is weaker goes on joining: it is known once nothing did for so long.
        """
        track = self._tracks.get(key)
        alarm = track.alarm if track else None
        if track is None or alarm is None or key.kind in NEVER_KNOWN:
            return
        known = self._known.get(key, [])
        if verdict.end_us - alarm.named_us <= max(spec.horizons_us) or len(known) >= MAX_KNOWN:
            return
        cause = alarm.step.alarm_id
        self._known[key] = [*known, key._replace(cause=cause)]
        self._tracks[key._replace(cause=cause)] = track
        self._tracks[key] = Track(closed=track.closed, visits=track.visits)
        track.closed, track.visits = None, {}
        if key.segment:
            return
        # Where it lives is still told, so parts of traffic are heard on it too.
        parts = [k for k in self._tracks if k.segment and k._replace(segment="") == key]
        for part in parts:
            if self._tracks[part].alarm is None:
                of = self._tracks[part]
                self._tracks[part._replace(cause=cause)] = Track(of.streams, worst=of.worst, reach=of.reach)
                self._tracks[part] = Track(closed=of.closed, visits=of.visits)

    def _forget_ended(self, at_us: int) -> list[AlarmStep]:
        """Hear the windows of what ended as one with all the rest again."""
        steps: list[AlarmStep] = []
        while ended := [at for known in self._known.values() for at in known if self._is_ended(at)]:
            for at in ended:
                key = at._replace(cause="")
                self._known[key].remove(at)
                if not self._known[key]:
                    del self._known[key]
                if key in self._tracks:  # not of a version that was retired
                    self._tracks[key].visits |= self._tracks[at].visits
                self._tracks = {
                    k: t for k, t in self._tracks.items() if (k.version, k.cause) != (at.version, at.cause)
                }
            steps += self._end_unshown({at.cause for at in ended}, at_us)
        return steps

    def _end_unshown(self, causes: Iterable[str], at_us: int) -> list[AlarmStep]:
        """Resolve alarms of known causes that were kept for a version to show, once there is none."""
        kept = [
            track
            for cause in sorted(causes)
            if not self._is_awaited(cause)
            for track in self._tracks_of(cause)
            if track.alarm and track.alarm.is_settled and not self._members(track.alarm)
        ]
        return [step for track in kept for step in self._close(track, at_us, "no version shows it any more")]

    def _is_ended(self, at: TrackKey) -> bool:
        """Tell whether a known cause is over for a version, or was all that it could inherit."""
        track = self._tracks[at]
        if track.alarm:
            return False
        return track.inherited is None or not any(t.alarm for t in self._tracks_of(at.cause))

    def _tracks_of(self, cause: str) -> list[Track]:
        """Return where the versions hear a known cause, the one that it was first known of before the others."""
        found = [self._tracks[at] for known in self._known.values() for at in known if at.cause == cause]
        return sorted(found, key=lambda t: t.alarm is None or t.alarm.step.alarm_id != cause)

    def _is_awaited(self, cause: str) -> bool:
        """Tell whether a version may show a known cause yet."""
        return any(t.inherited for t in self._tracks_of(cause))

    def retire(
        self, version: str, at_us: int, reason: str = "the version no longer serves"
    ) -> list[AlarmStep]:
        """Resolve the alarms of a version that stopped serving, and forget its streaks.

        Its long windows go on closing, over traffic of before; only windows that begin at `at_us` or later,
        when it serves again, are listened to. An alarm whose cause is known, and that others show or may show yet,
        stays open for them.
        """
        kept = self._outlived_by(version)
        causes = {k.cause for k in self._tracks if k.version == version and k.cause}
        gone = [
            t for k, t in self._tracks.items() if k.version == version and k.cause not in kept and t.alarm
        ]
        self._tracks = {k: t for k, t in self._tracks.items() if k.version != version or k.cause in kept}
        self._known = {
            key: at
            for key, known in self._known.items()
            if (at := [k for k in known if k.version != version or k.cause in kept])
        }
        steps: list[AlarmStep] = []
        for track in gone:
            steps += self._close(track, at_us, reason)
        for cause in kept:
            for track in self._tracks_of(cause):
                if track.alarm and track.alarm.step.version == version:
                    track.alarm.is_settled = True
        steps += self._end_unshown(causes, at_us) + self._forget_ended(at_us)
        self._retired_us.pop(version, None)
        self._retired_us[version] = at_us
        while len(self._retired_us) > MAX_RETIRED:
            del self._retired_us[next(iter(self._retired_us))]
        return steps

    def _outlived_by(self, version: str) -> set[str]:
        """Return the known causes whose alarms a version leaves to others."""
        return {
            at.cause
            for known in self._known.values()
            for at in known
            if at.version == version
            and (alarm := self._tracks[at].alarm)
            and alarm.step.alarm_id == at.cause
            and (
                self._is_awaited(at.cause)
                or any(member.step.version != version for member in self._members(alarm))
            )
        }

    def close(self, at_us: int, reason: str) -> list[AlarmStep]:
        """Resolve every alarm and forget every streak: of a model that nobody hears of any more."""
        gone, self._tracks, self._known = list(self._tracks.values()), {}, {}
        steps: list[AlarmStep] = []
        for track in gone:
            steps += self._close(track, at_us, reason)
        return steps

    def _open(
        self,
        track: Track,
        streak: Streak,
        heard: _Heard,
    ) -> list[AlarmStep]:
        _, verdict, culprits, spec, *_ = heard
        is_proven = verdict.sudden or streak.now.drift >= spec.open_after
        if not is_proven or self._is_part_of_overall(verdict):
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
        step = self._told(self._with_evidence(step, heard), heard)
        keys = {c.key for c in culprits}
        visit = track.back(keys, opened_us)
        if visit:
            away = span_text(max(opened_us - visit.drifted_us, 0))
            step = replace(step, summary=f"{step.summary}; back after {away}")
        speaker = self._speaker_for(step, verdict)
        if track.inherited and step.attribution != "version":
            speaker = self._speaker_of(heard.key.cause) or speaker
        step = replace(step, incident_id=speaker.step.incident_id if speaker else alarm_id)
        if speaker:
            step = replace(step, notify=())
        # A horizon that has begun to drift has drifted, even if another was first to open.
        drifted = {name for name, s in track.streams.items() if s.now.drift}
        alarm = OpenAlarm(step, keys, drifted, drifted_us=verdict.end_us, named_us=verdict.end_us)
        if visit:
            alarm.is_back, alarm.hold_us = True, visit.hold_after(opened_us, verdict.kind)
        if track.inherited:
            alarm.is_back, alarm.hold_us = track.inherited.is_back, track.inherited.hold_us
            alarm.known = track.inherited.known
            track.inherited = None
        else:
            alarm.known.learn(verdict, keys)
        track.alarm = alarm
        steps = [step]
        reason = f"all traffic is affected, see alarm {step.incident_id}"
        for other in self._merged_by(track.alarm):
            steps += self._close(other, step.updated_us, reason, heir=track.alarm)
        if not speaker:
            for other in self._outdone_by(track.alarm):
                steps += self._close(other, step.updated_us, f"part of alarm {alarm_id}", heir=track.alarm)
        return steps + self._speak(track.alarm)

    def _news(
        self,
        alarm: OpenAlarm,
        streak: Streak,
        heard: _Heard,
    ) -> list[AlarmStep]:
        key, verdict, found, spec, *_ = heard
        last = alarm.step
        explained = _explained_by(last, found)
        culprits = _beside_known(last, found, explained)
        heard = heard._replace(culprits=culprits)
        keys = {c.key for c in found}
        confirmed = keys if spec.open_after <= 1 else keys & set(streak.before.culprits)
        confirmed -= explained
        severity = worse(last.severity, severity_of(verdict.kind, found))
        told = self._with_evidence(
            replace(last, state="updated", severity=severity, notify=() if last.is_joined else spec.notify),
            heard,
        )
        told = self._attributed(told, heard.attribute)
        has_changed = (told.severity, told.attribution) != (last.severity, last.attribution)
        seen = {s for s in alarm.told if s.startswith(SEGMENT)} | {SEGMENT + s for s in last.only_in}
        is_elsewhere = self._lives_elsewhere(key, told, last, seen, spec.open_after)
        is_named = not confirmed <= alarm.told
        if is_named:
            alarm.named_us = verdict.end_us
        if has_changed or is_elsewhere or is_named:
            alarm.told |= keys | seen | {SEGMENT + s for s in self._confirmed(key, spec.open_after)}
        if not key.cause:
            alarm.known.learn(verdict, alarm.told)
        if not has_changed and not is_elsewhere and not is_named:
            return []
        alarm.step = replace(self._told(told, heard), revision=last.revision + 1)
        return [alarm.step, *self._speak(alarm)]

    def _resolve_if_stable(
        self, track: Track, alarm: OpenAlarm, verdict: WindowVerdict, spec: MonitorSpec
    ) -> list[AlarmStep]:
        needed = spec.resolve_after * (2 if alarm.is_back else 1)
        if any(track.streams[name].now.stable < needed for name in alarm.drifted):
            return []
        if verdict.end_us - alarm.drifted_us < alarm.hold_us:
            return []
        if self._members(alarm):
            alarm.is_settled = True
            return []
        reason = _OVER.get(verdict.kind, "back to its baseline for {} windows on every horizon that drifted")
        reason = reason.format(needed)
        window = replace(
            alarm.step,
            window_start_us=verdict.start_us,
            window_end_us=verdict.end_us,
            horizon_us=verdict.horizon_us,
            rows=verdict.rows,
        )
        alarm.step = window
        track.part(verdict.end_us)
        return self._close(track, verdict.end_us, reason)

    def _merged_by(self, overall: OpenAlarm) -> list[Track]:
        """Return the segments that page for the cause of an alarm on all traffic and are not its speaker.

        They paged apart, for they had nothing in common before all traffic showed both.
        """
        step = overall.step
        return [
            track
            for track, other in self._speakers()
            if not step.segment
            and other.step.segment
            and (other.step.version, other.step.kind) == (step.version, step.kind)
            and other.step.alarm_id != step.incident_id
            and have_one_cause(other.step, step)
        ]

    def _speakers(self) -> list[tuple[Track, OpenAlarm]]:
        return [(t, t.alarm) for t in self._tracks.values() if t.alarm and not t.alarm.step.is_joined]

    def _speaker_for(self, step: AlarmStep, verdict: WindowVerdict) -> OpenAlarm | None:
        """Return the open alarm that speaks for the cause of `step`, the one that began closest to it."""
        fitting = [
            alarm
            for _, alarm in self._speakers()
            if may_speak_for(alarm.step, step) and self._is_cause_of(alarm, step, verdict)
        ]
        began = began_us(step)
        return min(
            fitting,
            key=lambda a: (abs(began_us(a.step) - began), a.step.opened_us, a.step.alarm_id),
            default=None,
        )

    def _speaker_of(self, cause: str) -> OpenAlarm | None:
        """Return the alarm that speaks for a known cause, while any version shows it."""
        incidents = [t.alarm.step.incident_id for t in self._tracks_of(cause) if t.alarm]
        return next((a for _, a in self._speakers() if a.step.alarm_id in incidents[:1]), None)

    def _is_cause_of(self, leader: OpenAlarm, step: AlarmStep, verdict: WindowVerdict) -> bool:
        """Tell whether an alarm that opens with a window has the cause of one that is open.

        What is known for long speaks for what it explains, and not for whatever else befalls its columns.
        """
        if not have_one_cause(leader.step, step):
            return False
        if not self._key_of(leader.step).cause:
            return True
        if leader.step.kind != step.kind:
            return began_together(leader.step, step) or break_a_promise(leader.step, step)
        return all(map(leader.known.explains, drifted_in(verdict)))

    def _key_of(self, step: AlarmStep) -> TrackKey:
        """Return where the windows of an open alarm are heard."""
        key = TrackKey(step.version, step.segment, step.kind)
        for at in self._known.get(key, ()):
            alarm = self._tracks[at].alarm
            if alarm and alarm.step.alarm_id == step.alarm_id:
                return at
        return key

    def _outdone_by(self, alarm: OpenAlarm) -> list[Track]:
        """Return the speakers for the same cause that may not speak for `alarm`."""
        return [
            track
            for track, other in self._speakers()
            if other is not alarm
            and not may_speak_for(other.step, alarm.step)
            and have_one_cause(other.step, alarm.step)
        ]

    def _members(self, speaker: OpenAlarm) -> list[OpenAlarm]:
        """Return the open alarms that an alarm speaks for."""
        return [
            t.alarm
            for t in self._tracks.values()
            if t.alarm and t.alarm is not speaker and t.alarm.step.incident_id == speaker.step.alarm_id
        ]

    def _speak(self, member: OpenAlarm) -> list[AlarmStep]:
        """Let the speaker of an alarm that opened or changed say so."""
        if not member.step.is_joined:
            return []
        speaker = next((a for _, a in self._speakers() if a.step.alarm_id == member.step.incident_id), None)
        if speaker is None:
            return []
        told = with_member(speaker.step, member.step)
        if told == speaker.step:
            return []
        only_in = self._only_in(self._key_of(told), told)
        at_us = max(told.updated_us, member.step.updated_us)
        told = replace(told, state="updated", updated_us=at_us, only_in=only_in)
        told = replace(told, summary=spread_sentence(told))
        speaker.step = replace(told, revision=told.revision + 1, story=story_of(told))
        return [speaker.step]

    def _close(self, track: Track, at_us: int, reason: str, heir: OpenAlarm | None = None) -> list[AlarmStep]:
        """Resolve an alarm. Those that it spoke for get another speaker: the heir's, or the oldest of them."""
        alarm = track.alarm
        if alarm is None:  # it ended with the last of its members a moment ago
            return []
        members = self._members(alarm)
        track.alarm = None
        resolved = _resolution(alarm.step, at_us, reason)
        track.closed = (resolved.alarm_id, resolved.revision)
        steps = [resolved]
        if alarm.step.is_joined:
            return steps + self._let_go(resolved, at_us)
        if not members:
            return steps
        if heir is None:
            heir = min(members, key=lambda m: (m.step.opened_us, m.step.alarm_id))
            members.remove(heir)
            told = replace(
                heir.step, state="updated", incident_id=heir.step.alarm_id, notify=alarm.step.notify
            )
            heir.step = replace(told, revision=told.revision + 1)
            steps.append(heir.step)
        for member in members:
            member.step = replace(member.step, incident_id=heir.step.incident_id)
            steps += self._speak(member)
        return steps

    def _let_go(self, member: AlarmStep, at_us: int) -> list[AlarmStep]:
        """Note that a member is over; its speaker ends with the last of them, if it is over itself."""
        for track, speaker in self._speakers():
            if speaker.step.alarm_id != member.incident_id:
                continue
            told = with_member(speaker.step, member)
            speaker.step = replace(told, story=story_of(told))
            is_last = not self._members(speaker) and not self._is_awaited(speaker.step.alarm_id)
            if speaker.is_settled and is_last:
                track.part(at_us)
                return self._close(track, at_us, "back to its baseline, and so is all that began with it")
        return []

    def _is_part_of_overall(self, verdict: WindowVerdict) -> bool:
        if not verdict.segment:
            return False
        overall = self._tracks.get(TrackKey(verdict.version, "", verdict.kind))
        if overall is None:
            return False
        is_open = overall.alarm is not None and not overall.alarm.is_settled
        return is_open or overall.is_drifting(verdict.end_us)

    def _with_evidence(self, step: AlarmStep, heard: _Heard) -> AlarmStep:
        key, verdict, culprits, *_ = heard
        segments = self._drifting_segments(key)
        return replace(
            step,
            updated_us=max(step.updated_us, verdict.end_us),
            window_start_us=verdict.start_us,
            window_end_us=verdict.end_us,
            horizon_us=verdict.horizon_us,
            rows=verdict.rows,
            features=culprits[:MAX_CULPRITS] + segments[:MAX_SEGMENTS],
            only_in=self._only_in(key, step),
            near=verdict.near[:MAX_NEAR],
        )

    def _lives_elsewhere(
        self, key: TrackKey, told: AlarmStep, last: AlarmStep, seen: set[str], windows: int
    ) -> bool:
        """Tell whether the place of a fault is news: that it has one, or that it is no longer only there.

        All traffic is heard before its segments, so where it lives is known only after it was first told. A segment is
        news once in a life, so that one that dances around its limit is told once.
        """
        if last.only_in:
            cut_by = {s.split("=", 1)[0] for s in last.only_in}
            now = self._confirmed(key, windows)
            return any(s.split("=", 1)[0] in cut_by and SEGMENT + s not in seen for s in now)
        found = self._only_in(key, told, windows)
        return not seen and bool(found) and found == told.only_in

    def _parts(self, key: TrackKey) -> dict[str, Track]:
        """Return what is heard of the parts of traffic on a kind and cause."""
        return {
            k.segment: track
            for k, track in self._tracks.items()
            if k.segment and (k.version, k.kind, k.cause) == (key.version, key.kind, key.cause)
        }

    def _confirmed(self, key: TrackKey, windows: int) -> set[str]:
        """Return the segments in which so many windows in a row drifted."""
        return {
            segment
            for segment, track in self._parts(key).items()
            if any(s.now.drift >= windows for s in track.streams.values())
        }

    def _only_in(self, key: TrackKey, step: AlarmStep, windows: int = 1) -> tuple[str, ...]:
        """Return the segments in which it lives, when others of the same column are known to be spared.

        A segment counts once so many windows in a row drifted there. One that is stable is spared only if it would
        show what the others do: of few rows chance makes more, and limits allow for it.
        """
        segment = key.segment
        if segment and key.cause:
            return step.only_in  # its own windows are heard apart from those of other segments
        of_kind = self._parts(key)
        tracks = {of: track.streams for of, track in of_kind.items()}
        drifted = {
            (of, name)
            for of, streams in tracks.items()
            for name, s in streams.items()
            if s.now.drift >= windows
        }
        drifted |= {(segment, name) for name in tracks.get(segment, {})}
        # Like is compared with like: where only hours drift, a day that is stable says nothing of this hour.
        names = {name for _, name in drifted}
        cut_by = {
            of.split("=", 1)[0]
            for of, streams in tracks.items()
            if of != segment
            and not any(s.now.drift for s in streams.values())
            and any(
                streams[name].now.stable
                and _would_show(
                    of_kind[of], name, [of_kind[o] for o, n in drifted if n == name and o in of_kind]
                )
                for name in names & set(streams)
            )
        }
        return tuple(sorted({of for of, _ in drifted if of.split("=", 1)[0] in cut_by}))

    def _drifting_segments(self, key: TrackKey) -> tuple[Culprit, ...]:
        """Return the parts of traffic that drift, each with its worst column, worst first; of all traffic.

        Their newest windows may be one pane older than the overall one, which is fed first.
        """
        if key.segment:
            return ()
        found = [
            replace(track.worst, name=segment, role="segment", detail=track.worst.key)
            for segment, track in self._parts(key).items()
            if track.worst and any(s.now.drift for s in track.streams.values())
        ]
        return tuple(sorted(found, key=lambda c: (-c.ratio, c.name)))

    def _told(self, step: AlarmStep, heard: _Heard) -> AlarmStep:
        """Complete a step that is going to be told."""
        segments = self._drifting_segments(heard.key)
        summary = drift_sentence(
            heard.verdict, heard.culprits, tuple(s.name for s in segments), step.opened_us
        )
        step = self._attributed(replace(step, summary=summary), heard.attribute)
        step = replace(step, summary=spread_sentence(step))
        if heard.explain:
            step = heard.explain(step, heard.verdict)
        return replace(step, story=story_of(step))

    @staticmethod
    def _attributed(step: AlarmStep, attribute: Attribute | None) -> AlarmStep:
        if attribute is None or overall_of(step):
            return step  # once all traffic has an alarm of its own, whose fault it is shows there (`with_member`)
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
            at, track = TrackKey(*key), Track.restore(saved)
            book._tracks[at] = track
            if at.cause and (track.alarm or track.inherited):
                book._known.setdefault(at._replace(cause=""), []).append(at)
        return book


def _would_show(stable: Track, stream: str, drifted: list[Track]) -> bool:
    """Tell whether a stable segment has rows enough to show what those that drift do.

    Where a limit is what chance allows, it falls with the root of the rows.
    """
    rows, _ = stable.reach.get(stream, (0, 0.0))
    return any(
        ratio * math.sqrt(rows / others) >= 1.0
        for others, ratio in (t.reach.get(stream, (0, 0.0)) for t in drifted)
        if others
    )


def _explained_by(last: AlarmStep, found: tuple[Culprit, ...]) -> set[str]:
    """Return the keys of what follows from columns that were named: their relations, and all columns together."""
    named = {c.key for c in last.culprits if c.role not in ACROSS}
    if not named:
        return set()
    return {c.key for c in found if c.role == "joint" or (c.role == "relation" and named & set(c.of))}


def _beside_known(last: AlarmStep, found: tuple[Culprit, ...], explained: set[str]) -> tuple[Culprit, ...]:
    """Put the columns that were named before what only follows from them.

    The window that does not show them by themselves is often one of another length. They are still what the alarm is
    about, and keep the numbers with which they were named.
    """
    if not found or any(c.key not in explained for c in found):
        return found
    return tuple(c for c in last.culprits if c.role not in ACROSS) + found


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
