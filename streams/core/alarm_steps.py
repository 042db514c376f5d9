"""One step in the life of an alarm: its evidence, how bad it is, and the sentence that a person reads."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from streams.core.incidents import Beside, Coincidence, Member
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict
from streams.core.words import SILENCE, list_text, silence_text, span_text, utc_text

AlarmState = Literal["open", "updated", "resolved"]

#: Most columns, segments, and columns near their limits that a step names. The table of windows has them all.
MAX_CULPRITS = 10
MAX_SEGMENTS = 5
MAX_NEAR = 5
#: A drift of at least this many times its limit is an error; a smaller one is a warning.
ERROR_RATIO = 2.0
SEVERITIES = ("info", "warning", "error", "critical")

_SAID = {
    "missing_share": "is missing more often than in its baseline",
    "unseen_share": "has values that its baseline never saw",
    "out_of_range_share": "leaves the range of its baseline",
    "correlation": "go together differently than in their baseline",
    "reconstruction": "go together differently than in their baseline",
    "mmd": "go together differently than in their baseline",
    "skew_js": "differs between predictions and feature events",
}
#: The same of a share that is smaller than usual.
_SAID_OF_LESS = {
    "missing_share": "is missing less often than in its baseline",
    "unseen_share": "has fewer values that its baseline never saw",
    "out_of_range_share": "leaves the range of its baseline less often than usual",
}
#: Roles of what several columns show: pairs, and all of them together.
ACROSS = ("relation", "joint")
#: What a segment's alarm says once all traffic has one: that it is elsewhere too, or that it outweighs what is not.
_SPREAD = ("; now all traffic", "; so much that all traffic together shows it")
_LISTS = ("bins", "before", "after", "of")
#: Why an onset is where it is when only a window, as a whole, shows the change: it began anywhere in it.
ONSET_OF_WINDOW = "the start of the first window that shows it"
#: Kinds that are about traffic and not about what is in it.
ABOUT_TRAFFIC = {
    "volume": "traffic is far from its usual volume",
    "freshness": "no fresh predictions arrive",
}


class Attribution(NamedTuple):
    """Who is at fault, and why that is believed."""

    outcome: str = "unknown"
    """version | world | unknown"""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Culprit:
    """One column behind an alarm, or, with the role ``segment``, one part of traffic that it touches."""

    name: str
    role: str
    statistic: str
    value: float
    limit: float
    chance: float
    detail: str = ""
    evidence: float | None = None
    """How many times as far from usual as is allowed, where value over limit does not say it: a share may fall."""
    importance: float | None = None
    """The model's own importance of it, where the baseline carries one."""
    onset_us: int | None = None
    """When it most likely began to change."""
    bins: tuple[str, ...] = ()
    before: tuple[float, ...] = ()
    """Share of rows in each bin, as the baseline has it at the hours of the window."""
    after: tuple[float, ...] = ()
    """The same in the window."""
    of: tuple[str, ...] = ()
    """Of a pair: ``role/name`` of both columns."""

    @property
    def key(self) -> str:
        """``role/name``."""
        return f"{self.role}/{self.name}"

    @property
    def ratio(self) -> float:
        """How many times the limit."""
        if self.evidence is not None:
            return self.evidence
        if self.limit > 0:
            return self.value / self.limit
        return float("inf") if self.value > 0 else 0.0

    def to_record(self) -> dict[str, Any]:
        """Return the culprit as an alarm record has it."""
        return {**asdict(self), **{name: list(getattr(self, name)) for name in _LISTS}}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Culprit:
        """Read a culprit of an alarm record, one of before they had importances and bars too."""
        lists = {name: tuple(record.get(name, ())) for name in _LISTS}
        return cls(**{**record, **lists})


@dataclass(frozen=True, slots=True)
class AlarmStep:
    """One step in the life of an alarm: the fields of ``schemas/alarm.avsc``. Times are event time."""

    alarm_id: str
    model: str
    version: str
    segment: str
    kind: str
    state: AlarmState
    severity: str
    revision: int
    opened_us: int
    """End of the first drifted window of the run that opened it: since when it has been seen."""
    updated_us: int
    resolved_us: int | None
    summary: str
    window_start_us: int
    window_end_us: int
    horizon_us: int
    rows: int
    features: tuple[Culprit, ...]
    attribution: str
    attribution_why: str
    notify: tuple[str, ...]
    incident_id: str = ""
    """Id of the alarm that speaks for this cause: its own, or the one that it was joined to."""
    onset_us: int | None = None
    """When the change most likely began."""
    onset_why: str = ""
    moved: str = ""
    """inputs | score | both, or empty when that is no question"""
    only_in: tuple[str, ...] = ()
    """Segments in which it lives while others of the same column are stable."""
    near: tuple[str, ...] = ()
    """Columns that are close to their limits while others are beyond: what moved may be among them."""
    beside: Beside | None = None
    coincides: tuple[Coincidence, ...] = ()
    members: tuple[Member, ...] = ()
    """Other alarms of the same cause."""
    story: str = ""
    """All of this in sentences."""

    @property
    def is_joined(self) -> bool:
        """Whether another alarm speaks for it."""
        return self.incident_id not in {"", self.alarm_id}

    @property
    def culprits(self) -> tuple[Culprit, ...]:
        """The columns among `features`, the one that moved most first, without the segments."""
        return tuple(c for c in self.features if c.role != "segment")

    def to_record(self, emitted_us: int) -> dict[str, Any]:
        """Return the record for the bus; `emitted_us` is the wall clock, which decides nothing."""
        return {
            **asdict(self),
            "features": [c.to_record() for c in self.features],
            "notify": list(self.notify),
            "only_in": list(self.only_in),
            "near": list(self.near),
            "incident_id": self.incident_id or self.alarm_id,
            "beside": self.beside._asdict() if self.beside else None,
            "coincides": [c._asdict() for c in self.coincides],
            "members": [{**m._asdict(), "columns": list(m.columns)} for m in self.members],
            "emitted_us": emitted_us,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> AlarmStep:
        """Undo `to_record`."""
        # A step that was saved before incidents explained themselves lacks what they say.
        fields = {name: record[name] for name in cls.__slots__ if name in record}
        fields["features"] = tuple(Culprit.from_record(c) for c in record["features"])
        fields["notify"] = tuple(record["notify"])
        fields["only_in"] = tuple(record.get("only_in", ()))
        fields["near"] = tuple(record.get("near", ()))
        beside = record.get("beside")
        fields["beside"] = Beside(**beside) if beside else None
        fields["coincides"] = tuple(Coincidence(**c) for c in record.get("coincides", ()))
        fields["members"] = tuple(Member.from_record(m) for m in record.get("members", ()))
        return cls(**fields)


def culprits_of(verdict: WindowVerdict) -> tuple[Culprit, ...]:
    """Return what drifted: columns by how far they moved, then what several show together by how far beyond its limit.

    How far beyond its limit a column is says how sure it is that it moved, and does not compare: limits belong to
    different statistics. Ties are broken by that, and by name, so that replays agree. Where the baseline carries
    importances, columns that moved about as far (within one doubling) are put in the order of how much the model makes
    of them.
    """
    drifted = [(c, _culprit(c)) for c in verdict.columns if c.verdict is Verdict.DRIFT]
    weighed = any(c.importance is not None for c, _ in drifted)

    def place(pair: tuple[ColumnVerdict, Culprit]) -> tuple[float | str, ...]:
        told, culprit = pair
        far = culprit.ratio if told.moved is None else told.moved
        about = (-_doublings(far), -(told.importance or 0.0)) if weighed else ()
        return (told.moved is None, *about, -far, -culprit.ratio, culprit.key)

    return tuple(culprit for _, culprit in sorted(drifted, key=place))


def _doublings(far: float) -> float:
    return math.floor(math.log2(far)) if 0.0 < far < math.inf else far


def _culprit(column: ColumnVerdict) -> Culprit:
    return Culprit(
        column.name,
        column.role,
        column.statistic,
        column.value,
        column.limit,
        column.chance,
        column.detail,
        column.evidence,
        column.importance,
        of=column.of,
    )


def severity_of(kind: str, culprits: Iterable[Culprit]) -> str:
    """Return how bad a drifted window is.

    Silence (``freshness``) is an error, for nothing is being served or nothing is being watched. Anything
    else is an error from `ERROR_RATIO` times its limit on, a warning below. ``critical`` is left to
    realised harm, which distance from a baseline does not prove. What keeps no budget (``classic``) is a warning.
    """
    if kind == "freshness":
        return "error"
    if kind == "classic":
        return "warning"  # how far beyond a fixed limit says nothing about how bad it is
    return "error" if any(c.ratio >= ERROR_RATIO for c in culprits) else "warning"


def worse(one: str, other: str) -> str:
    """Return the more severe of two."""
    return max(one, other, key=SEVERITIES.index)


def drift_sentence(
    verdict: WindowVerdict, culprits: tuple[Culprit, ...], only_in: tuple[str, ...], opened_us: int
) -> str:
    """Say what is wrong, where, and since when."""
    since = f"since {utc_text(opened_us)}"
    silence = culprits[0] if culprits and culprits[0].statistic == SILENCE else None
    if silence:
        said = silence_text(silence.value, silence.limit, silence.chance)
        last_us = verdict.end_us - round(silence.value * 1e6)
        return f"{subject(verdict.model, verdict.version, verdict.segment)}: {said} since {utc_text(last_us)}"
    if not culprits or verdict.kind in ABOUT_TRAFFIC:
        said = ABOUT_TRAFFIC.get(verdict.kind, f"{verdict.kind} is far from its baseline")
        said += "".join(f" ({_traffic_numbers(c)})" for c in culprits[:1])
        return f"{subject(verdict.model, verdict.version, verdict.segment)}: {said} {since}"
    worst, *others = culprits
    is_less = worst.statistic in _SAID_OF_LESS and worst.value < worst.limit
    said = (_SAID_OF_LESS if is_less else _SAID).get(worst.statistic, "is far from its baseline")
    if verdict.kind == "classic":
        said = "is beyond the limit of a classic detector, outside the budget of false pages"
    if worst.role in ACROSS:
        said_first = worst.detail.split(";", 1)[0]  # what the limits lack is told further down
        numbers = (
            f"({said_first}; moved by {worst.value:.2f}, limit {worst.limit:.2f}, chance {worst.chance:.2f})"
        )
    else:
        numbers = f"({_numbers(worst)})"
    apart = next((c.apart for c in verdict.columns if (c.key, c.detail) == (worst.key, worst.detail)), "")
    since += f"; {apart}" if apart else ""
    more = distinct_names(c for c in others if c.name != worst.name)
    also = f"; also {list_text(more)}" if more else ""
    where = f"; only in {list_text(only_in)}" if only_in and only_in != (verdict.segment,) else ""
    name = subject(verdict.model, verdict.version, verdict.segment)
    # A loss is told by its mean, which its name is that of.
    is_mean = worst.role == "loss" and worst.statistic == "js"
    about = worst.detail.split(";", 1)[0] if is_mean else f"{worst.name} {said}"
    if worst.role == "promise":
        about, numbers = "a promise is broken:", worst.detail
    return f"{name}: {about} {numbers} {since}{also}{where}"


def _numbers(culprit: Culprit) -> str:
    """Say how far a column is from usual: in words where there are some, with the numbers that decide."""
    said = culprit.detail.split(";", 1)[0]  # what the limits lack is told further down
    if said and culprit.statistic in _SAID_OF_LESS:
        return f"{said}; limit {culprit.limit:.1%}, chance {culprit.chance:.1%}"
    told = f"{culprit.statistic} {culprit.value:.2f}, limit {culprit.limit:.2f}, chance {culprit.chance:.2f}"
    is_in_words = said and culprit.statistic == "js" and culprit.role != "loss"
    return f"{said}; {told}" if is_in_words else told


def distinct_names(culprits: Iterable[Culprit]) -> list[str]:
    """Return each name once, in order: of a pair two numbers may tell."""
    return list(dict.fromkeys(c.name for c in culprits))


def _traffic_numbers(culprit: Culprit) -> str:
    """Say a number of rows the way a person does."""
    said = culprit.detail or f"{culprit.value:.0f}"
    return f"{said}; limit {culprit.limit:.0f}, chance {culprit.chance:.0f}"


def overall_of(step: AlarmStep) -> Member | None:
    """Return the open alarm on all traffic that a segment's alarm speaks for: its fault is no longer only there."""
    if not step.segment:
        return None
    same = (m for m in step.members if (m.version, m.segment, m.kind) == (step.version, "", step.kind))
    return next((m for m in same if m.is_open), None)


def spread_sentence(step: AlarmStep) -> str:
    """Return the summary of a step; of a segment's whose fault all traffic shows by now, that it does."""
    said = step.summary
    for suffix in _SPREAD:
        said = said.removesuffix(suffix)
    return said + _SPREAD[bool(step.only_in)] if overall_of(step) else said


def resolved_sentence(step: AlarmStep, at_us: int, reason: str) -> str:
    """Say that it is over, and why."""
    lasted = span_text(at_us - step.opened_us)
    name = subject(step.model, step.version, step.segment)
    of_what = () if step.kind in ABOUT_TRAFFIC else step.culprits
    # Two incidents of a model may be open: which of them is over? What follows from columns is told without them only.
    named = distinct_names(c for c in of_what if c.role not in ACROSS) or distinct_names(of_what)
    about = f" on {list_text(named)}" if named else ""
    return f"{name}: {step.kind} alarm{about} resolved at {utc_text(at_us)} after {lasted}: {reason}"


def subject(model: str, version: str, segment: str) -> str:
    """``late-arrival v2 [origin=JFK]``; what is of no version is of the model."""
    return " ".join(filter(None, (model, version, segment and f"[{segment}]")))
