"""An incident in sentences: since when, with what, where, what moved, who else sees it."""

from __future__ import annotations

from collections.abc import Sequence

from streams.core.alarm_steps import ACROSS, AlarmStep, overall_of
from streams.core.incidents import Member
from streams.core.words import list_text, utc_text

_MOVED = {
    "inputs": "Inputs moved and the score did not",
    "score": "The score moved and no input did",
    "both": "Inputs and the score moved",
}
#: What is said where only relations of columns differ: none of them moved by itself.
_CHANGED = {
    "inputs": "How inputs go together changed, and the score did not",
    "score": "How outputs go together changed, and no input did",
    "both": "How inputs and the score go together changed",
}

_A = {"info": "information", "warning": "a warning", "error": "an error", "critical": "critical"}
_AT_FAULT = {
    "version": "the version is at fault",
    "world": "it is not the version's doing",
    "unknown": "whose fault it is cannot be told any more",
}


def story_of(step: AlarmStep, news: str = "") -> str:
    """Tell what is known of an incident, in the order in which a person asks; of an update, first what is new."""
    sentences = [
        news,
        _began(step),
        _moved(step),
        _where(step),
        _near(step),
        step.beside.why if step.beside else "",
    ]
    if step.attribution != "unknown" and step.attribution_why:
        fault = "The version is at fault" if step.attribution == "version" else "Not the version's doing"
        sentences.append(f"{fault}: {step.attribution_why}")
    sentences.append(_members(step))
    return " ".join(f"{s}." for s in sentences if s)


def news_of(before: AlarmStep, now: AlarmStep, joined: Sequence[str]) -> str:
    """Say what an update tells that was not told before; `joined` names what it adds: columns, or parts of traffic."""
    said = [f"{list_text(joined)} joined"] if joined else []
    if now.severity != before.severity:
        said.append(f"it is {_A[now.severity]} now, not {_A[before.severity]} any more")
    if now.attribution != before.attribution:
        said.append(_AT_FAULT[now.attribution])
    if before.only_in and not now.only_in:
        said.append(f"it is no longer only in {list_text(before.only_in)}")
    if now.only_in and not before.only_in:
        said.append(f"it is only in {list_text(now.only_in)}")
    return f"New: {'; '.join(said)}" if said else ""


def _began(step: AlarmStep) -> str:
    if step.onset_us is None:
        return ""
    said = f"It began about {utc_text(step.onset_us)}"
    if step.onset_why:
        said += f" ({step.onset_why})"
    if step.coincides:
        said += ", together with " + list_text([c.what for c in step.coincides])
    return said


def _moved(step: AlarmStep) -> str:
    said = _MOVED.get(step.moved, "")
    # What was once said to have moved by itself did, also when by now only its relations differ.
    if said not in step.story and step.culprits and all(c.role in ACROSS for c in step.culprits):
        said = _CHANGED.get(step.moved, "")
    weighed = [c for c in step.culprits if c.importance]
    if said and weighed:
        told = [f"{c.name} ({c.importance:.2g})" for c in sorted(weighed, key=lambda c: -(c.importance or 0))]
        said += f"; of what moved the model makes most of {list_text(told, 2)}"
    return said


def _where(step: AlarmStep) -> str:
    if not step.only_in:
        return f"It was seen in {step.segment} first, and is in all traffic now" if overall_of(step) else ""
    return f"Only in {list_text(step.only_in, 5)}: other values of it are stable"


def _near(step: AlarmStep) -> str:
    if not step.near:
        return ""
    said = "is close to its limit" if len(step.near) == 1 else "are close to their limits"
    return f"{list_text(step.near, 5)} {said} too"


def _members(step: AlarmStep) -> str:
    still = [m for m in step.members if m.is_open and m != overall_of(step)]
    if not still:
        return ""
    return f"Part of the same incident: {list_text([member_name(m) for m in still], 5)}"


def member_name(member: Member) -> str:
    """``drift origin=JFK of v2``; of what is of all traffic, or of the model, without that part."""
    return " ".join(filter(None, (member.kind, member.segment, member.version and f"of {member.version}")))
