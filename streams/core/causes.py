"""Which alarms of one model have one cause, and so make one incident that pages once.

Two alarms have one cause when they began together, or when they name a column in common while both are open, or when
one is of losses and the other of a promise that these break; alarms of different versions only when both hold and
neither is put down to its version, for a release may break a column that the world is moving anyway. That the second
of them is the world's doing is as good as having begun together: its version came when the world had moved already.

*Together* is as fine as the shorter of their windows can tell, and no finer than an hour; what only a window as a whole
shows began anywhere in it. A pair names both of its columns, and all columns together those that are close to
their limits.

An alarm from outside the budget of false pages (`classic`) never speaks for one from within.
"""

from __future__ import annotations

from dataclasses import replace

from seawall.monitor import HOUR_US
from streams.core.alarm_steps import ONSET_OF_WINDOW, AlarmStep, overall_of, worse
from streams.core.incidents import Member

#: Kind of the alarms of classic detectors, which keep no budget.
UNBUDGETED = "classic"
#: Alarms of one incident that are named; the table of alarms has them all.
MAX_MEMBERS = 20
_COLUMNS = 5


def began_us(step: AlarmStep) -> int:
    """Return when an alarm's change began, as well as it is known."""
    return step.opened_us if step.onset_us is None else step.onset_us


def have_one_cause(one: AlarmStep, other: AlarmStep) -> bool:
    """Tell whether two open alarms of one model belong to one incident."""
    together = began_together(one, other)
    shared = _share_a_column(one, other) or break_a_promise(one, other)
    if one.version and other.version and one.version != other.version:
        if not shared or "version" in {one.attribution, other.attribution}:
            return False
        return together or max(one, other, key=lambda s: s.opened_us).attribution == "world"
    return together or shared


def began_together(one: AlarmStep, other: AlarmStep) -> bool:
    """Tell whether two alarms began at one time, as finely as that is known."""
    close_us = max(HOUR_US, min(one.horizon_us, other.horizon_us))
    (first, last), (its_first, its_last) = _began_between(one), _began_between(other)
    return first - its_last <= close_us and its_first - last <= close_us


def break_a_promise(one: AlarmStep, other: AlarmStep) -> bool:
    """Tell whether one of two alarms is of losses, and the other of a promise that these break."""
    return {one.kind, other.kind} == {"loss", "promise"}


def _began_between(step: AlarmStep) -> tuple[int, int]:
    began = began_us(step)
    return began, max(began, step.opened_us) if step.onset_why == ONSET_OF_WINDOW else began


def _share_a_column(one: AlarmStep, other: AlarmStep) -> bool:
    mine, its = _columns(one), _columns(other)
    return bool(mine & its or _hidden(one) & _names(its) or _hidden(other) & _names(mine))


def _columns(step: AlarmStep) -> set[str]:
    return {key for c in step.culprits for key in c.of or (c.key,)}


def _hidden(step: AlarmStep) -> set[str]:
    """Return the names of the columns of which all together may tell."""
    return set(step.near) if any(c.role == "joint" for c in step.culprits) else set()


def _names(keys: set[str]) -> set[str]:
    return {key.split("/", 1)[-1] for key in keys}


def may_speak_for(leader: AlarmStep, other: AlarmStep) -> bool:
    """Tell whether an alarm of the kind of `leader` may keep one of the kind of `other` from paging."""
    return leader.kind != UNBUDGETED or other.kind == UNBUDGETED


def member_of(step: AlarmStep) -> Member:
    """Return what an incident says of an alarm that it speaks for."""
    return Member(
        step.alarm_id,
        step.version,
        step.segment,
        step.kind,
        step.severity,
        tuple(c.name for c in step.culprits[:_COLUMNS]),
        step.state != "resolved",
    )


def with_member(leader: AlarmStep, step: AlarmStep) -> AlarmStep:
    """Return the leader's step that speaks for `step` too, as that stands now; itself when nothing changes."""
    member = member_of(step)
    others = [m for m in leader.members if m.alarm_id != member.alarm_id]
    if len(others) >= MAX_MEMBERS:
        # Those that are over make room first, then segments: that all traffic is affected says more.
        others.remove(min(others, key=lambda m: (m.is_open, not m.segment)))
    members = tuple(sorted([*others, member], key=lambda m: (not m.is_open, m.alarm_id)))
    told = replace(leader, members=members)
    if member.is_open:
        told = replace(told, severity=worse(leader.severity, step.severity))
        is_spread = overall_of(told) == member
        if leader.attribution == "unknown" and (is_spread or step.attribution != "unknown"):
            why = step.attribution_why
            if step.attribution == "world" and step.version not in {leader.version, ""}:
                why = f"{step.version} drifts on the same"  # its own reason speaks of the leader's version
            told = replace(told, attribution=step.attribution, attribution_why=why)
    return told
