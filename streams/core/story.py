"""An incident in sentences: since when, with what, where, what moved, who else sees it."""

from __future__ import annotations

from streams.core.alarm_steps import ACROSS, AlarmStep, overall_of
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


def story_of(step: AlarmStep) -> str:
    """Tell what is known of an incident, in the order in which a person asks."""
    sentences = [
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
    named = [" ".join(filter(None, (m.kind, m.segment, m.version and f"of {m.version}"))) for m in still]
    return f"Part of the same incident: {list_text(named, 5)}"
