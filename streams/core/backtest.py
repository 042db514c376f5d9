"""A monitor run over history by the very code that runs over live traffic.

Columns become frames on an in-memory log; a `PartitionChunker` cuts and counts it; one `PartitionEngine` for each
setting reads the same summaries. Panes that a worker stored are read in their place (`Backtest.feed_panes`). The
counting, which is most of the work, is thus done once however many settings are tried: settings may differ in anything
but what chunks depend on (panes and segments).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.layout import Layout
from seawall.baseline import Baseline
from seawall.errors import ContractError
from seawall.frames import FRAME_CONTRACT, Categorical, Columns, Source, to_record
from seawall.monitor import HOUR_US, MonitorSpec
from seawall.wire import encode
from streams.core.alarm_steps import AlarmStep, Culprit, worse
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.decode import Record
from streams.core.engine import Effects, PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.stored_history import PaneLog, StoredPane
from streams.core.verdicts import Verdict
from streams.core.watermark import Watermarks
from streams.core.words import utc_text

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_TOPIC = "history"
#: Kinds of alarm whose false pages are the owner's budget.
BUDGETED = ("drift", "loss", "promise")
_IDLE_US = 30_000_000
_FRAME_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to run the monitor, and what to call it."""

    name: str
    spec: MonitorSpec


@dataclass(frozen=True, slots=True)
class Joined:
    """A column, or several together, that an update of an alarm named for the first time."""

    name: str
    role: str
    at_us: int
    """End of the window of that update."""


@dataclass(slots=True)
class Page:
    """One page that would have been sent, and the life of its alarm."""

    alarm_id: str
    kind: str
    segment: str
    version: str
    paged_us: int
    """End of the window that opened the alarm."""
    since_us: int
    """Since when it had been seen."""
    resolved_us: int | None
    severity: str
    summary: str
    """As first told."""
    culprits: tuple[Culprit, ...]
    """As first told, the one that moved most first."""
    onset_us: int | None = None
    """When the change most likely began."""
    moved: str = ""
    story: str = ""
    """As last told."""
    updates: int = 0
    near: tuple[str, ...] = ()
    """Columns that were close to their limits when it was first told."""
    later: tuple[Joined, ...] = ()
    """What updates added to those first told, in their order."""

    @property
    def later_said(self) -> str:
        """What came later, in words; empty where nothing did.

        Examples
        --------
        >>> page = Page("a", "drift", "", "1", 0, 0, None, "error", "x has drifted", ())
        >>> page.later = (Joined("y", "feature", 86_400_000_000),)
        >>> page.later_said
        'later also: y (1970-01-02 00:00 UTC)'
        """
        named = ", ".join(f"{j.name} ({utc_text(j.at_us)})" for j in self.later)
        return f"later also: {named}" if named else ""

    def follow(self, step: AlarmStep) -> None:
        """Take an update of the alarm."""
        self.updates += 1
        self.story = step.story
        told = {(c.name, c.role) for c in self.culprits} | {(j.name, j.role) for j in self.later}
        self.later += tuple(
            Joined(c.name, c.role, step.updated_us) for c in step.culprits if (c.name, c.role) not in told
        )


@dataclass(slots=True)
class Timeline:
    """The worst of every column, hour by hour, of overall traffic on any horizon."""

    ratio: dict[int, dict[str, float]] = field(default_factory=dict)
    """Hour (start, microseconds) to column key to distance over its limit."""
    drifted: dict[int, set[str]] = field(default_factory=dict)
    """Hour to the columns whose verdict was drift."""

    def add(self, report: dict[str, Any]) -> None:
        """Take a window report; reports of segments, of single panes and of other sources are left out."""
        if report["source"] != "predictions" or report["segment"] or not report["stats"]:
            return
        shape = (report["windows"], len(report["columns"]))
        ends = np.frombuffer(report["ends"], dtype="<i8")
        verdicts = np.frombuffer(report["column_verdicts"], dtype="i1").reshape(shape)
        js, limit = (
            np.frombuffer(report["stats"][name], dtype="<f4").reshape(shape)
            for name in ("js", "effect_limit")
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(verdicts == Verdict.NOT_ENOUGH_DATA, 0.0, np.nan_to_num(js / limit, posinf=0.0))
        # A window that ends on the hour was full in the hour before.
        hours = (ends - 1) // HOUR_US * HOUR_US
        for hour in np.unique(hours).tolist():
            at = hours == hour
            worst = self.ratio.setdefault(hour, {})
            for key, value in zip(report["columns"], ratio[at].max(axis=0).tolist(), strict=True):
                worst[key] = max(value, worst.get(key, 0.0))
            drifted = (verdicts[at] == Verdict.DRIFT).any(axis=0)
            self.drifted.setdefault(hour, set()).update(
                key for key, is_drift in zip(report["columns"], drifted.tolist(), strict=True) if is_drift
            )


@dataclass(slots=True)
class Outcome:
    """What one setting would have done."""

    setting: Setting
    start_us: int = 0
    end_us: int = 0
    steps: list[AlarmStep] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
    windows: int = 0
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def budgeted(self) -> list[Page]:
        """The pages that the budget is of."""
        return [p for p in self.pages if p.kind in BUDGETED]

    @property
    def others(self) -> dict[str, int]:
        """How many pages there were of kinds that keep no budget: classic detectors, volume, freshness."""
        return dict(sorted(Counter(p.kind for p in self.pages if p.kind not in BUDGETED).items()))

    @property
    def pages_per_period(self) -> float:
        """Pages that the budget is of, in as long a time as it speaks of."""
        spec = self.setting.spec
        return len(self.budgeted) * spec.false_pages_period_us / max(self.end_us - self.start_us, 1)

    @property
    def alarmed_share(self) -> float:
        """Share of the time in which an alarm was open."""
        last, alarmed = self.start_us, 0
        for page in sorted(self.pages, key=lambda p: p.paged_us):
            end = min(self.end_us if page.resolved_us is None else page.resolved_us, self.end_us)
            alarmed += max(end - max(page.paged_us, last), 0)
            last = max(last, end)
        return alarmed / max(self.end_us - self.start_us, 1)

    def take(self, effects: Effects) -> None:
        """Add what one record of the log led to."""
        self.windows += effects.closed_windows
        for report in effects.reports:
            self.timeline.add(report)
        self.steps += effects.alarms
        for step in effects.alarms:
            self._follow(step)

    def _follow(self, step: AlarmStep) -> None:
        if step.is_joined:
            return  # another alarm speaks for it: nobody is paged
        page = next((p for p in reversed(self.pages) if p.alarm_id == step.alarm_id), None)
        if step.state == "open" or page is None:  # without its opening, it was joined to one that is over
            self.pages.append(
                Page(
                    step.alarm_id,
                    step.kind,
                    step.segment,
                    step.version,
                    step.updated_us,
                    step.opened_us,
                    None,
                    step.severity,
                    step.summary,
                    step.culprits,
                    step.onset_us,
                    step.moved,
                    step.story,
                    near=step.near,
                )
            )
            return
        page.severity = worse(page.severity, step.severity)
        if step.state == "resolved":
            page.resolved_us = step.resolved_us
        else:
            page.follow(step)


class Backtest:
    """Runs settings of one model's monitor over history.

    Parameters
    ----------
    settings
        At least one; all of the same model, panes and segments.
    baselines
        Of the versions that the history is of.
    rule
        When a chunk is full. The outcome does not depend on it.
    source
        What the history is of, and what `feed` takes: predictions, unless said otherwise.

    Raises
    ------
    ContractError
        When settings differ in what the counting depends on.
    """

    def __init__(
        self,
        settings: Sequence[Setting],
        baselines: Iterable[Baseline],
        rule: ChunkRule | None = None,
        source: Source = "predictions",
    ) -> None:
        _check(settings)
        known = list(baselines)
        self.outcomes = [Outcome(s) for s in settings]
        self._registry = RegistryView()
        self._engines = [_engine(s.spec, known, self._registry, source) for s in settings]
        book = LayoutBook(self._engines[0].control)
        self._chunker = PartitionChunker(_TOPIC, 0, source, book, rule or ChunkRule())
        self._chunker.start_at(0)
        self._offset = 0
        self._now_us = 0
        self._start_us: int | None = None
        self._panes: PaneLog | None = None
        self.rows = 0
        self.dead_rows = 0

    def feed_panes(
        self,
        panes: Sequence[StoredPane],
        layouts: Mapping[str, Layout],
        registry: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Take the next panes that a worker stored, by their start; instead of rows, not beside them.

        Parameters
        ----------
        layouts
            Every layout that any panes name, by id.
        registry
            Events of the model's registry up to the end of these panes; each is known from its time on.
        """
        spec = self.outcomes[0].setting.spec
        events = sorted(registry, key=lambda e: int(e["ts"]))
        if self._panes is None:
            self._panes = PaneLog(spec.model, _TOPIC, spec.pane_us, layouts)
            self._publish([self._panes.progress(caught_up=False)])
        for summary in self._panes.summaries(panes):
            if self._start_us is None:
                self._start_us = summary["max_ts"] + 1 - spec.pane_us
            while events and int(events[0]["ts"]) <= summary["max_ts"]:
                self._registry.observe(events.pop(0))
            self._now_us = max(self._now_us, summary["max_ts"])
            self._publish([summary])
        for event in events:
            self._registry.observe(event)
        self.rows = self._panes.rows

    def feed(self, columns: Columns) -> None:
        """Take the next rows of history, in any order among themselves but none older than the last by much.

        What comes later than the monitor's grace allows is counted late, as in live traffic.
        """
        if not columns.rows:
            return
        if self._start_us is None:
            self._start_us = self._now_us = int(columns.ts.min())
            self._progress(caught_up=False)
        for start in range(0, columns.rows, _FRAME_ROWS):
            frame = rows_of(columns, np.arange(start, min(start + _FRAME_ROWS, columns.rows)))
            payload = encode(FRAME_CONTRACT[frame.source], to_record(frame))
            self._now_us = max(self._now_us, int(frame.ts.max()))
            self.rows += frame.rows
            for cut in self._chunker.feed([Record(self._chunker.next_offset, self._now_us, payload)]):
                self._publish(cut.summaries)
        self.dead_rows += sum(letter.events for letter in self._chunker.dead)
        self._chunker.dead.clear()

    def finish(self) -> list[Outcome]:
        """Close what is open, as when a replayed stream is read to its end, and return the outcomes."""
        if self._start_us is not None:
            end_us = self._now_us + 1
            if self._panes is None:
                self._publish(self._chunker.provisional(caught_up=True))
            # Silence for longer than a partition may hold the others back: the last panes close.
            self._now_us += _IDLE_US + 1
            self._progress(caught_up=True)
            for outcome in self.outcomes:
                outcome.start_us, outcome.end_us = self._start_us, end_us
        return self.outcomes

    def _progress(self, *, caught_up: bool) -> None:
        source = self._panes or self._chunker
        self._publish([source.progress(caught_up=caught_up)])

    def _publish(self, summaries: list[dict[str, Any]]) -> None:
        for summary in summaries:
            for engine, outcome in zip(self._engines, self.outcomes, strict=True):
                outcome.take(engine.on_record(summary, self._offset, self._now_us))
            self._offset += 1


def in_time_order(columns: Columns, rows: int = 1 << 16) -> Iterable[Columns]:
    """Cut columns into parts of at most `rows`, by event time."""
    order = np.argsort(columns.ts, kind="stable")
    for start in range(0, columns.rows, rows):
        yield rows_of(columns, order[start : start + rows])


def rows_of(columns: Columns, rows: Ints) -> Columns:
    """Return some rows, without the ids that counting has no use for."""

    def words(column: Categorical) -> Categorical:
        return Categorical(column.codes[rows], column.dictionary)

    return replace(
        columns,
        ts=columns.ts[rows],
        numeric={n: v[rows] for n, v in columns.numeric.items()},
        categorical={n: words(c) for n, c in columns.categorical.items()},
        scores={n: v[rows] for n, v in columns.scores.items()},
        label=None if columns.label is None else words(columns.label),
        predicted=None if columns.predicted is None else words(columns.predicted),
        segments={n: words(c) for n, c in columns.segments.items()},
        event_ids=None,
        entity_ids=None,
    )


def _engine(
    spec: MonitorSpec, baselines: list[Baseline], registry: RegistryView, source: Source
) -> PartitionEngine:
    control = Control()
    control.set_monitor(spec)
    for baseline in baselines:
        control.set_baseline(baseline)
    return PartitionEngine(control, registry, Watermarks({_TOPIC: source}, _IDLE_US, replay=True))


def _check(settings: Sequence[Setting]) -> None:
    if not settings:
        raise ContractError("settings: there is none, expected at least one")
    first = settings[0].spec
    for name in ("model", "pane_us", "segments", "max_segments"):
        for setting in settings[1:]:
            if getattr(setting.spec, name) != getattr(first, name):
                msg = (
                    f"settings: {setting.name!r} has {name} {getattr(setting.spec, name)!r}, expected "
                    f"{getattr(first, name)!r} as in {settings[0].name!r}: counting depends on it"
                )
                raise ContractError(msg)
