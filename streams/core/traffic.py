"""Volume and freshness: whether there is as much traffic as there should be, and how old the last of it is.

*Freshness*: event time went on for longer than the owner allows without a prediction. *Volume*: an hour brought a
quarter or less, or four times or more, of what this hour of the week (in the first weeks, of weekdays or of weekends)
usually brings, by more than counting explains, and further than the model's volume goes by itself more often than a
tenth of the budget of false pages allows. *Odd* are hours from one that is off until as many in a row were usual
as resolve an alarm. They do not teach what is usual, or an outage would: only what an hour of the week brings in the
third odd week in a row is usual from then on. State is a few numbers for each of 168 + 48 slots.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors.evidence.limits import union_limit
from seawall.monitor import HOUR_US, MonitorSpec
from streams.core.seasons import offsets_us
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict
from streams.core.words import SILENCE, duration_text

#: An hour must be this many times off its usual volume …
VOLUME_FACTOR = 4.0
#: … and this many standard deviations of counting …
VOLUME_SIGMAS = 6.0
#: … and as far, in the scatter of its logarithm, as a tenth of the budget allows; a quarter further, for its tails.
BUDGET_SHARE, TAILS = 0.1, 1.25
#: Scatter of the logarithm before anything is known, and the hours that this counts for.
_PRIOR_SCATTER, _PRIOR_HOURS = 0.25, 24
#: Hours that the scatter remembers, about: six weeks.
_MEMORY_HOURS = 1000
#: Hours of a slot that must have been seen before it is judged: of the week, else of weekdays or weekends.
MIN_WEEKS, MIN_DAYS = 2, 3
_SATURDAY = 120
#: Weeks in a row in which an hour of the week may be odd before what it brings is taken as usual.
ODD_WEEKS = 2
#: Odd hours in a row that teach how far the volume goes by itself: a restless one must, an outage must not.
_ODD_HOURS = 2
#: Share of a new hour in the running mean.
_LEARNING = 0.2


@dataclass(slots=True)
class _Slot:
    """Running mean and variance of the rows of one hour of the week or day."""

    seen: int = 0
    mean: float = 0.0
    variance: float = 0.0
    odd: int = 0
    """How often in a row the hour was odd."""

    def learn(self, rows: float) -> None:
        rate = max(_LEARNING, 1 / (self.seen + 1))
        off = rows - self.mean
        self.mean += rate * off
        self.variance = (1 - rate) * (self.variance + rate * off * off)
        self.seen += 1
        self.odd = 0

    def start_anew(self, rows: float) -> None:
        """Take so many rows for usual, whatever was."""
        self.seen, self.mean, self.variance, self.odd = MIN_WEEKS, rows, 0.0, 0


@dataclass
class Traffic:
    """Rows per hour of one model, over all its versions, in event time."""

    model: str
    hour: int | None = None
    """The hour that is filling."""
    rows: float = 0.0
    last_pane_end_us: int | None = None
    """End of the last pane that held an event."""
    told_upto_us: int = 0
    slots: dict[int, _Slot] = field(default_factory=lambda: defaultdict(_Slot))
    """0-167 hours of the week, 168-191 hours of weekdays, 192-215 of Saturdays and Sundays."""
    hours: int = 0
    """Judged so far."""
    log_variance: float = _PRIOR_SCATTER**2
    """How far the logarithm of an hour's rows goes from that of what is usual, squared."""
    odd_hours: int = 0
    """In a row, until now."""
    calm_hours: int = 0
    """The last of them that were usual."""

    def advance(
        self, spec: MonitorSpec, rows_by_pane: Mapping[int, int], closed_us: int
    ) -> list[WindowVerdict]:
        """Take newly closed panes (start, microseconds, to rows) and the time up to which all are closed."""
        verdicts: list[WindowVerdict] = []
        for start in sorted(rows_by_pane):
            verdicts += self._silence(spec, start)
            verdicts += self._volume(spec, start, rows_by_pane[start])
            end = start + spec.pane_us
            if spec.freshness_us is not None and self.last_pane_end_us is not None:
                verdicts.append(self._fresh(spec, end, Verdict.STABLE, rows_by_pane[start]))
            self.last_pane_end_us = max(end, self.last_pane_end_us or 0)
            self.told_upto_us = max(self.told_upto_us, end)
        return [*verdicts, *self._silence(spec, closed_us)]

    def _silence(self, spec: MonitorSpec, upto_us: int) -> Iterable[WindowVerdict]:
        """Judge the panes without events up to a time; a long silence is told often enough to be heard."""
        if spec.freshness_us is None or self.last_pane_end_us is None:
            return
        first = max(self.last_pane_end_us + spec.freshness_us, self.told_upto_us + spec.pane_us)
        first = -(-first // spec.pane_us) * spec.pane_us
        for k, end in enumerate(range(first, upto_us + 1, spec.pane_us)):
            if k >= spec.open_after:
                self.told_upto_us = max(self.told_upto_us, upto_us // spec.pane_us * spec.pane_us)
                return
            self.told_upto_us = end
            yield self._fresh(spec, end, Verdict.DRIFT, 0)

    def _fresh(self, spec: MonitorSpec, end_us: int, verdict: Verdict, rows: int) -> WindowVerdict:
        allowed_s = (spec.freshness_us or 0) / 1e6
        silent_s = (end_us - (self.last_pane_end_us or end_us)) / 1e6
        by_chance_s = self._silence_by_chance_s(spec, end_us)
        detail = f"none for {duration_text(silent_s)}"
        column = ColumnVerdict(
            "freshness", "feature", verdict, SILENCE, silent_s, allowed_s, by_chance_s, detail
        )
        columns = (column,) if verdict is Verdict.DRIFT else ()
        return self._verdict(end_us - spec.pane_us, end_us, rows, verdict, "freshness", columns)

    def _volume(self, spec: MonitorSpec, start_us: int, rows: int) -> Iterable[WindowVerdict]:
        hour = start_us // HOUR_US
        if self.hour is not None and hour > self.hour:
            yield from self._finish(spec, self.hour, self.rows)
            # Hours without any event were hours too. Of a long silence a week is enough to learn from.
            for silent in range(max(self.hour + 1, hour - 168), hour):
                yield from self._finish(spec, silent, 0)
        if self.hour is None or hour > self.hour:
            self.hour, self.rows = hour, 0.0
        self.rows += rows

    def _finish(self, spec: MonitorSpec, hour: int, rows: float) -> Iterable[WindowVerdict]:
        start_us = hour * HOUR_US
        week, day = self._slots_at(spec, hour)
        slot = week if week.seen >= MIN_WEEKS else day if day.seen >= MIN_DAYS else None
        factor = self._factor(spec)
        if slot is not None:
            verdict = _verdict_on(slot.mean, rows, factor)
            self._count_odd(spec, verdict)
            if self.odd_hours <= _ODD_HOURS:
                self._scatters(slot.mean, rows, factor)
            low = rows < slot.mean
            limit = slot.mean / factor if low else slot.mean * factor
            detail = f"{rows:.0f} predictions in the hour, usually {slot.mean:.0f}"
            by_chance = max(slot.mean + (-1.96 if low else 1.96) * scatter(slot.mean, slot.variance), 0.0)
            times = slot.mean / max(rows, 0.5) if low else rows / max(slot.mean, 0.5)
            column = ColumnVerdict(
                "volume",
                "feature",
                Verdict.DRIFT,
                "rows",
                rows,
                limit,
                by_chance,
                detail,
                times / factor,
            )
            columns = (column,) if verdict is Verdict.DRIFT else ()
            yield self._verdict(start_us, start_us + HOUR_US, int(rows), verdict, "volume", columns)
        if not self.odd_hours:
            week.learn(rows)
            day.learn(rows)
        elif week.odd < ODD_WEEKS:
            week.odd += 1
        else:
            week.start_anew(rows)

    def _count_odd(self, spec: MonitorSpec, verdict: Verdict) -> None:
        """Count odd hours: from one that is off until as many in a row were usual as it takes to resolve the alarm."""
        if verdict is not Verdict.DRIFT and not self.odd_hours:
            return
        self.odd_hours += 1
        self.calm_hours = self.calm_hours + 1 if verdict is Verdict.STABLE else 0
        if self.calm_hours >= spec.resolve_after:
            self.odd_hours = self.calm_hours = 0

    def _slots_at(self, spec: MonitorSpec, hour: int) -> tuple[_Slot, _Slot]:
        """Return the slots of an hour: of the week, and of weekdays or of weekends."""
        local = hour + int(offsets_us(spec.timezone, np.array([hour * HOUR_US]))[0]) // HOUR_US
        of_week = (local + 72) % 168
        return self.slots[of_week], self.slots[(192 if of_week >= _SATURDAY else 168) + local % 24]

    def _factor(self, spec: MonitorSpec) -> float:
        """Return how many times off its usual volume an hour must be: more where the volume is restless by itself."""
        an_hour = BUDGET_SHARE * spec.false_pages * HOUR_US / spec.false_pages_period_us
        far = TAILS * union_limit(min(an_hour, 0.5), 2)
        return max(VOLUME_FACTOR, math.exp(far * math.sqrt(self.log_variance)))

    def _scatters(self, usual: float, rows: float, factor: float) -> None:
        """Learn how far hours go from what is usual; one that pages counts as one that just does not."""
        off = math.log((rows + 0.5) / (usual + 0.5))
        off = min(max(off, -math.log(factor)), math.log(factor))
        self.hours = min(self.hours + 1, _MEMORY_HOURS)
        self.log_variance += (off * off - self.log_variance) / (_PRIOR_HOURS + self.hours)

    def _silence_by_chance_s(self, spec: MonitorSpec, end_us: int) -> float:
        """Return the gap that one in twenty arrivals at the usual rate leaves; 0 while that rate is not known."""
        week, day = self._slots_at(spec, (end_us - 1) // HOUR_US)
        slot = week if week.seen >= MIN_WEEKS else day
        return -math.log(0.05) * 3600.0 / slot.mean if slot.seen and slot.mean > 0 else 0.0

    def _verdict(
        self,
        start_us: int,
        end_us: int,
        rows: int,
        verdict: Verdict,
        kind: str,
        columns: tuple[ColumnVerdict, ...],
    ) -> WindowVerdict:
        span = end_us - start_us
        return WindowVerdict(
            self.model, "", "predictions", "", span, start_us, end_us, rows, verdict, kind, columns
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the state, fit for JSON."""
        slots = [[k, s.seen, s.mean, s.variance, s.odd] for k, s in sorted(self.slots.items())]
        return {
            "hour": self.hour,
            "rows": self.rows,
            "last_pane_end_us": self.last_pane_end_us,
            "told_upto_us": self.told_upto_us,
            "slots": slots,
            "hours": self.hours,
            "log_variance": self.log_variance,
            "odd_hours": self.odd_hours,
            "calm_hours": self.calm_hours,
        }

    @classmethod
    def restore(cls, model: str, state: Mapping[str, Any]) -> Traffic:
        """Undo `snapshot`."""
        traffic = cls(model, state["hour"], state["rows"], state["last_pane_end_us"], state["told_upto_us"])
        for k, *slot in state["slots"]:
            traffic.slots[k] = _Slot(*slot)
        traffic.hours = state.get("hours", 0)
        traffic.log_variance = state.get("log_variance", traffic.log_variance)
        traffic.odd_hours, traffic.calm_hours = state.get("odd_hours", 0), state.get("calm_hours", 0)
        return traffic


def _verdict_on(mean: float, rows: float, factor: float) -> Verdict:
    """Judge an hour: what is off by the factor, but not by more than counting explains, is no proof of either."""
    if is_off(mean, rows, factor):
        return Verdict.DRIFT
    return Verdict.STABLE if mean / factor < rows < mean * factor else Verdict.WARNING


def is_off(mean: float, rows: float, factor: float) -> bool:
    """Whether an hour's rows are far from their mean, by factor and by more than counting explains."""
    if mean / factor < rows < mean * factor:
        return False
    return abs(rows - mean) > VOLUME_SIGMAS * scatter(mean, 0.0)


def scatter(mean: float, variance: float) -> float:
    """Return the standard deviation of an hour's rows, at least that of counting."""
    return math.sqrt(max(variance, mean, 1.0))
