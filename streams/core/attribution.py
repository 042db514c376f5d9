"""Whose fault a drift is: the version's, the world's, or nobody can tell.

A rollback helps only against what the version brought. A version does not change by itself, and it is not
to blame for what its predecessor sees as well. So a drift is put down to the version when all of this
holds:

1. the version is in production, and was released no longer than the release window before the drift;
2. the drift began with the release: not before it, and not after a settled stretch (`SETTLED_US`) of stable
   windows. A predecessor that is stable on the same traffic at the same time is better evidence than timing,
   and then this does not matter;
3. the predecessor was watched up to the release, so that there is something to compare with;
4. at least one culprit is new: the predecessor did not drift on it in the last day (`BEFORE_RELEASE_US`)
before
   the release, nor since, on whatever traffic it still sees.

Culprits that the predecessor shares are the world's, and only the new ones are held against the version.
Whatever cannot be decided is ``unknown``: a person is paged either way, and a needless rollback costs more
than a late one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from seawall.monitor import DAY_US, HOUR_US, MonitorSpec
from streams.core.alarm_steps import AlarmStep, Attribution
from streams.core.drift_history import VersionDrift, VersionEvidence
from streams.core.registry import RegistryView
from streams.core.words import list_text, span_text, utc_text

#: How long before a release the predecessor's drift still explains that of its successor.
BEFORE_RELEASE_US = DAY_US
#: A version that was stable this long after its release did not bring what began later.
SETTLED_US = DAY_US
#: Services often run a version some minutes before the registry hears of it.
RELEASE_SLACK_US = HOUR_US
#: Kinds of alarm that a version can cause. Traffic that stays away, or late, is not its doing.
VERSION_KINDS = ("drift", "skew")


@dataclass(frozen=True, slots=True)
class Finding:
    """An attribution, and the culprits that are new under the version."""

    attribution: Attribution
    new_culprits: tuple[str, ...] = ()
    """Column keys, worst first."""


class _Release(NamedTuple):
    version: str
    previous: str
    at_us: int
    onset_us: int
    is_side_by_side: bool
    """Whether the predecessor is stable on traffic in which the version drifts."""


def attribute(
    alarm: AlarmStep, registry: RegistryView, spec: MonitorSpec, evidence: VersionEvidence
) -> Finding:
    """Decide whose fault an alarm is, by what was known when its newest window ended. See the module for the rule."""
    registry = registry.as_of(alarm.model, alarm.window_end_us)
    version, released_us = alarm.version, registry.released_us(alarm.model)
    if released_us is None:
        at = utc_text(alarm.window_end_us)
        return _unknown(f"the registry does not say which version was in production at {at}")
    if beside := _beside_the_point(alarm, registry.current(alarm.model)):
        return _unknown(beside)
    if registry.is_put_back(alarm.model):
        return _world(
            f"{version} was put back by a rollback: it is no release, and served before without this"
        )
    keys = tuple(c.key for c in alarm.culprits)
    own = evidence.of(version)
    onset_us = _onset(alarm, keys, own, released_us)
    if onset_us - released_us > spec.rollback.release_window_us:
        return _world(f"it began {span_text(onset_us - released_us)} after the release of {version}")
    previous = registry.previous(alarm.model) or ""
    before = evidence.of(previous)
    side_by_side = _sees_same_traffic(before, alarm, onset_us, released_us)
    if not side_by_side and (mistimed := _mistimed(version, onset_us, released_us, own)):
        return _world(mistimed)
    return _compare(_Release(version, previous, released_us, onset_us, side_by_side), keys, before)


def _beside_the_point(alarm: AlarmStep, current: str | None) -> str:
    if alarm.kind not in VERSION_KINDS:
        return f"a {alarm.kind} alarm says nothing about the version"
    if alarm.segment:
        return f"only {alarm.segment} is affected, and the version serves all traffic"
    return "" if alarm.version == current else f"{alarm.version} is not in production, {current} is"


def _sees_same_traffic(previous: VersionDrift, alarm: AlarmStep, onset_us: int, released_us: int) -> bool:
    if previous.stable_from_us is None:
        return False
    first_drift_from_us = onset_us - alarm.horizon_us
    # After the release a window must lie wholly after it, or it tells only what was before.
    is_after_release = onset_us >= released_us
    return previous.stable_from_us >= (
        max(first_drift_from_us, released_us) if is_after_release else onset_us
    )


def _mistimed(version: str, onset_us: int, released_us: int, own: VersionDrift) -> str:
    if onset_us < released_us - RELEASE_SLACK_US:
        return f"it began at {utc_text(onset_us)}, before {version} was released at {utc_text(released_us)}"
    since_us = own.first_stable_since(released_us)
    if since_us is not None and onset_us - since_us >= SETTLED_US:
        lasted = span_text(onset_us - since_us)
        return f"{version} was stable for {lasted} after its release, before this began"
    return ""


def _compare(release: _Release, keys: tuple[str, ...], previous: VersionDrift) -> Finding:
    name = release.previous
    if not name:
        return _unknown(f"{release.version} is the first version: there is nothing to compare it with")
    from_us = min(release.at_us, release.onset_us) - BEFORE_RELEASE_US
    if not previous.was_judged_since(from_us):
        unwatched = span_text(BEFORE_RELEASE_US)
        return _unknown(f"{name} was not watched in the {unwatched} before {release.version} was released")
    if not keys:
        return _unknown("no column is named as culprit")
    shared = [k for k in keys if (span := previous.columns.get(k)) and span.last_us >= from_us]
    new = tuple(k for k in keys if k not in shared)
    if not new:
        is_before = previous.columns[shared[0]].first_us < release.at_us
        when = "drifted before the release" if is_before else "drifts on the same traffic"
        return _world(f"{name} {when} on {_names(shared)}")
    after_us = release.onset_us - release.at_us
    when = f"{span_text(after_us)} after" if after_us >= 0 else "before"
    seen = "is stable on the same traffic" if release.is_side_by_side else "did not see that before it"
    why = f"{_names(new)} drifted from {when} the release of {release.version}; {name} {seen}"
    if shared:
        why += f" ({_names(shared)} moved under both)"
    return Finding(Attribution("version", why), new)


def _onset(alarm: AlarmStep, keys: tuple[str, ...], own: VersionDrift, released_us: int) -> int:
    """Return when the drift was first seen: an alarm may be a late or second one over the same drift."""
    firsts = [span.first_us for key in keys if (span := own.columns.get(key)) and span.last_us >= released_us]
    return min([alarm.opened_us, *firsts])


def _names(keys: list[str] | tuple[str, ...]) -> str:
    return list_text([key.split("/", 1)[-1] for key in keys])


def _unknown(why: str) -> Finding:
    return Finding(Attribution("unknown", why))


def _world(why: str) -> Finding:
    return Finding(Attribution("world", why))
