"""Which alarm speaks for an incident, and what becomes of the others when it, or one of them, ends.

Alarms that have one cause though they differ in version, segment or kind (`streams.core.causes`) make one incident: the
first of them speaks for the others. These open, change and resolve like any other, but notify nobody; the speaker is
updated when one joins, gets more severe or names another column, and ends last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from streams.core.alarm_steps import ABOUT_TRAFFIC, AlarmStep, resolved_sentence, spread_sentence
from streams.core.alarm_tracks import OpenAlarm, Track
from streams.core.causes import (
    began_together,
    began_us,
    break_a_promise,
    have_one_cause,
    may_speak_for,
    member_of,
    with_member,
)
from streams.core.known_causes import drifted_in
from streams.core.places import only_in
from streams.core.story import member_name, news_of, story_of
from streams.core.track_table import TrackTable
from streams.core.verdicts import WindowVerdict
from streams.core.words import list_text

#: How an alarm about traffic, or a promise, ends with the last of its incident; other kinds have a baseline.
OVER = {
    "volume": "back to its usual volume",
    "freshness": "predictions arrive again",
    "promise": "the promise is kept",
}


class Incidents:
    """The incidents that the open alarms of one model make."""

    def __init__(self, tracks: TrackTable) -> None:
        self._tracks = tracks

    def speaker_for(self, step: AlarmStep, verdict: WindowVerdict) -> OpenAlarm | None:
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

    def speaker_of(self, cause: str) -> OpenAlarm | None:
        """Return the alarm that speaks for a known cause, while any version shows it."""
        incidents = [t.alarm.step.incident_id for t in self._tracks.of_cause(cause) if t.alarm]
        return next((a for _, a in self._speakers() if a.step.alarm_id in incidents[:1]), None)

    def members(self, speaker: OpenAlarm) -> list[OpenAlarm]:
        """Return the open alarms that an alarm speaks for."""
        return [
            alarm
            for _, alarm in self._tracks.open
            if alarm is not speaker and alarm.step.incident_id == speaker.step.alarm_id
        ]

    def merged_by(self, overall: OpenAlarm) -> list[Track]:
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

    def outdone_by(self, alarm: OpenAlarm) -> list[Track]:
        """Return the speakers for the same cause that may not speak for `alarm`."""
        return [
            track
            for track, other in self._speakers()
            if other is not alarm
            and not may_speak_for(other.step, alarm.step)
            and have_one_cause(other.step, alarm.step)
        ]

    def left_to_others(self, version: str) -> dict[str, OpenAlarm]:
        """Return the alarms of known causes that other versions show or may show yet, by cause."""
        return {
            at.cause: alarm
            for known in self._tracks.known.values()
            for at in known
            if at.version == version
            and (alarm := self._tracks.by_key[at].alarm)
            and alarm.step.alarm_id == at.cause
            and (
                self._tracks.is_awaited(at.cause)
                or any(member.step.version != version for member in self.members(alarm))
            )
        }

    def speak(self, member: OpenAlarm) -> list[AlarmStep]:
        """Let the speaker of an alarm that opened or changed say so, where that adds to what it said before."""
        if not member.step.is_joined:
            return []
        speaker = next((a for _, a in self._speakers() if a.step.alarm_id == member.step.incident_id), None)
        if speaker is None:
            return []
        told = with_member(speaker.step, member.step)
        if told == speaker.step:
            return []
        told = replace(told, only_in=only_in(self._tracks, self._tracks.key_of(told), told))
        told = replace(told, summary=spread_sentence(told))
        news = news_of(speaker.step, told, _joined(speaker.step, member.step))
        if not news and told.summary == speaker.step.summary:
            speaker.step = replace(told, story=story_of(told))
            return []
        at_us = max(told.updated_us, member.step.updated_us)
        told = replace(told, state="updated", updated_us=at_us, story=story_of(told, news))
        speaker.step = replace(told, revision=told.revision + 1)
        return [speaker.step]

    def close(self, track: Track, at_us: int, reason: str, heir: OpenAlarm | None = None) -> list[AlarmStep]:
        """Resolve an alarm. Those that it spoke for get another speaker: the heir's, or the oldest of them."""
        alarm = track.alarm
        if alarm is None:  # it ended with the last of its members a moment ago
            return []
        members = self.members(alarm)
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
            steps += self.speak(member)
        return steps

    def _let_go(self, member: AlarmStep, at_us: int) -> list[AlarmStep]:
        """Note that a member is over; its speaker ends with the last of them, if it is over itself."""
        for track, speaker in self._speakers():
            if speaker.step.alarm_id != member.incident_id:
                continue
            told = with_member(speaker.step, member)
            speaker.step = replace(told, story=story_of(told))
            is_last = not self.members(speaker) and not self._tracks.is_awaited(speaker.step.alarm_id)
            if speaker.is_settled and is_last:
                track.part(at_us)
                over = OVER.get(speaker.step.kind, "back to its baseline")
                return self.close(track, at_us, f"{over}, and all that began with it is over too")
        return []

    def end_unshown(self, causes: Iterable[str], at_us: int) -> list[AlarmStep]:
        """Resolve alarms of known causes that were kept for a version to show, once there is none."""
        kept = [
            track
            for cause in sorted(causes)
            if not self._tracks.is_awaited(cause)
            for track in self._tracks.of_cause(cause)
            if track.alarm and track.alarm.is_settled and not self.members(track.alarm)
        ]
        return [step for track in kept for step in self.close(track, at_us, "no version shows it any more")]

    def _speakers(self) -> list[tuple[Track, OpenAlarm]]:
        return [(track, alarm) for track, alarm in self._tracks.open if not alarm.step.is_joined]

    def _is_cause_of(self, leader: OpenAlarm, step: AlarmStep, verdict: WindowVerdict) -> bool:
        """Tell whether an alarm that opens with a window has the cause of one that is open.

        What is known for long speaks for what it explains, and not for whatever else befalls its columns.
        """
        if not have_one_cause(leader.step, step):
            return False
        if not self._tracks.key_of(leader.step).cause:
            return True
        if leader.step.kind != step.kind:
            return began_together(leader.step, step) or break_a_promise(leader.step, step)
        return all(leader.known.explains(c, verdict.segment) for c in drifted_in(verdict))


def _joined(speaker: AlarmStep, member: AlarmStep) -> list[str]:
    """Return what a member adds to its incident: itself, or columns that nothing of it named yet."""
    joins = member_of(member)
    if all(m.alarm_id != joins.alarm_id or not m.is_open for m in speaker.members):
        worst = member.culprits[0] if member.culprits else None
        # What was promised and what came, or how much traffic there is, says more than its name.
        in_words = worst is not None and (worst.role == "promise" or member.kind in ABOUT_TRAFFIC)
        said = worst.detail if worst and in_words else list_text(joins.columns)
        return [f"{member_name(joins)} ({said})"]
    named = {c.name for c in speaker.culprits}.union(*(m.columns for m in speaker.members))
    return [name for name in joins.columns if name not in named]


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
