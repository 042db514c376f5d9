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

Which alarms make one incident, and which of them speaks for the others: `streams.core.incident_speakers`.
"""

from __future__ import annotations

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
    distinct_names,
    drift_sentence,
    overall_of,
    severity_of,
    spread_sentence,
    worse,
)
from streams.core.alarm_tracks import SEGMENT, OpenAlarm, Track, TrackKey
from streams.core.incident_speakers import Incidents
from streams.core.known_causes import MOST, held_by, part_of, without
from streams.core.places import confirmed_in, drifting_segments, lives_elsewhere, only_in
from streams.core.story import news_of, story_of
from streams.core.streaks import Streak
from streams.core.track_table import TrackTable
from streams.core.verdicts import Verdict, WindowVerdict
from streams.core.words import short_id, span_text

#: Versions out of service that are remembered, so that what is left of their windows opens nothing.
MAX_RETIRED = 16
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
        self._tracks = TrackTable()
        self._incidents = Incidents(self._tracks)
        self._retired_us: dict[str, int] = {}

    @property
    def open_alarms(self) -> list[AlarmStep]:
        """What was last told of each open alarm that is not settled."""
        return [alarm.step for _, alarm in self._tracks.open if not alarm.is_settled]

    @property
    def settled_alarms(self) -> list[AlarmStep]:
        """What was last told of each alarm that is open only for other members of its incident."""
        return [alarm.step for _, alarm in self._tracks.open if alarm.is_settled]

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
        if key not in self._tracks.by_key:
            self._tracks.inherit(key, verdict.end_us)
        self._tracks.set_aside(key, verdict.end_us, spec)
        causes = {at: self._tracks.by_key[at].known for at in self._tracks.causes_at(key)}
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
        track = self._tracks.by_key.setdefault(key, Track())
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
            if key.segment and not key.cause:
                self._learn_inside(key, verdict)
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

    def _learn_inside(self, key: TrackKey, verdict: WindowVerdict) -> None:
        """Let the alarm on all traffic know how far its fault goes in a part of it, before its cause is known."""
        overall = self._tracks.by_key.get(key._replace(segment=""))
        if overall and overall.alarm:
            overall.alarm.known.learn_inside(verdict, overall.alarm.told)

    def _forget_ended(self, at_us: int) -> list[AlarmStep]:
        """Forget what is over, and end what was kept only for a version to show."""
        steps: list[AlarmStep] = []
        while ended := self._tracks.forget_ended():
            steps += self._incidents.end_unshown(ended, at_us)
        return steps

    def retire(
        self, version: str, at_us: int, reason: str = "the version no longer serves"
    ) -> list[AlarmStep]:
        """Resolve the alarms of a version that stopped serving, and forget its streaks.

        Its long windows go on closing, over traffic of before; only windows that begin at `at_us` or later,
        when it serves again, are listened to. An alarm whose cause is known, and that others show or may show yet,
        stays open for them.
        """
        left = self._incidents.left_to_others(version)
        causes = {key.cause for key in self._tracks.by_key if key.version == version and key.cause}
        steps: list[AlarmStep] = []
        for track in self._tracks.forget_version(version, but=set(left)):
            steps += self._incidents.close(track, at_us, reason)
        for alarm in left.values():
            alarm.is_settled = True
        steps += self._incidents.end_unshown(causes, at_us) + self._forget_ended(at_us)
        self._retired_us.pop(version, None)
        self._retired_us[version] = at_us
        while len(self._retired_us) > MAX_RETIRED:
            del self._retired_us[next(iter(self._retired_us))]
        return steps

    def close(self, at_us: int, reason: str) -> list[AlarmStep]:
        """Resolve every alarm and forget every streak: of a model that nobody hears of any more."""
        steps: list[AlarmStep] = []
        for track in self._tracks.clear():
            steps += self._incidents.close(track, at_us, reason)
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
        speaker = self._incidents.speaker_for(step, verdict)
        if track.inherited and step.attribution != "version":
            speaker = self._incidents.speaker_of(heard.key.cause) or speaker
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
        for other in self._incidents.merged_by(track.alarm):
            steps += self._incidents.close(other, step.updated_us, reason, heir=track.alarm)
        if not speaker:
            for other in self._incidents.outdone_by(track.alarm):
                steps += self._incidents.close(
                    other, step.updated_us, f"part of alarm {alarm_id}", heir=track.alarm
                )
        return steps + self._incidents.speak(track.alarm)

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
        # Who was told that it opened waits for its end, also when the monitor names others by now, or is gone.
        notify = () if last.is_joined else tuple(dict.fromkeys((*spec.notify, *last.notify)))
        told = self._with_evidence(replace(last, state="updated", severity=severity, notify=notify), heard)
        told = self._attributed(told, heard.attribute)
        has_changed = (told.severity, told.attribution) != (last.severity, last.attribution)
        seen = {s for s in alarm.told if s.startswith(SEGMENT)} | {SEGMENT + s for s in last.only_in}
        is_elsewhere = lives_elsewhere(self._tracks, key, told, last, seen, spec.open_after)
        is_named = not confirmed <= alarm.told
        joined = distinct_names(c for c in culprits if c.key in confirmed - alarm.told)
        if is_named:
            alarm.named_us = verdict.end_us
        if has_changed or is_elsewhere or is_named:
            alarm.told |= (
                keys | seen | {SEGMENT + s for s in confirmed_in(self._tracks, key, spec.open_after)}
            )
        if not key.cause:
            alarm.known.learn(verdict, alarm.told)
        if not has_changed and not is_elsewhere and not is_named:
            return []
        told = self._told(told, heard)
        told = replace(told, story=story_of(told, news_of(last, told, joined)))
        alarm.step = replace(told, revision=last.revision + 1)
        return [alarm.step, *self._incidents.speak(alarm)]

    def _resolve_if_stable(
        self, track: Track, alarm: OpenAlarm, verdict: WindowVerdict, spec: MonitorSpec
    ) -> list[AlarmStep]:
        needed = spec.resolve_after * (2 if alarm.is_back else 1)
        if any(track.streams[name].now.stable < needed for name in alarm.drifted):
            return []
        if verdict.end_us - alarm.drifted_us < alarm.hold_us:
            return []
        if self._incidents.members(alarm):
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
        return self._incidents.close(track, verdict.end_us, reason)

    def _is_part_of_overall(self, verdict: WindowVerdict) -> bool:
        if not verdict.segment:
            return False
        overall = self._tracks.by_key.get(TrackKey(verdict.version, "", verdict.kind))
        if overall is None:
            return False
        is_open = overall.alarm is not None and not overall.alarm.is_settled
        return is_open or overall.is_drifting(verdict.end_us)

    def _with_evidence(self, step: AlarmStep, heard: _Heard) -> AlarmStep:
        key, verdict, culprits, *_ = heard
        segments = drifting_segments(self._tracks, key)
        return replace(
            step,
            updated_us=max(step.updated_us, verdict.end_us),
            window_start_us=verdict.start_us,
            window_end_us=verdict.end_us,
            horizon_us=verdict.horizon_us,
            rows=verdict.rows,
            features=culprits[:MAX_CULPRITS] + segments[:MAX_SEGMENTS],
            only_in=only_in(self._tracks, key, step),
            near=verdict.near[:MAX_NEAR],
        )

    def _told(self, step: AlarmStep, heard: _Heard) -> AlarmStep:
        """Complete a step that is going to be told."""
        step = self._attributed(step, heard.attribute)
        if heard.explain:
            step = heard.explain(step, heard.verdict)
        culprits = step.culprits + heard.culprits[MAX_CULPRITS:]
        summary = drift_sentence(heard.verdict, culprits, step.only_in, step.opened_us)
        step = replace(step, summary=summary)
        step = replace(step, summary=spread_sentence(step))
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
            "tracks": self._tracks.snapshot(),
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> AlarmBook:
        """Undo `snapshot`."""
        book = cls(state["model"])
        book._retired_us = dict(state["retired_us"])
        book._tracks = TrackTable.restore(state["tracks"])
        book._incidents = Incidents(book._tracks)
        return book


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
