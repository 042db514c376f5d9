"""A monitor run over history by the very code that runs over live traffic.

Columns become frames on in-memory logs, one for each source; a `PartitionChunker` cuts and counts each; one
`PartitionEngine` for each setting reads the same summaries, those of one stretch of time together, so that predictions
and labels are decided on by the time of their windows. Panes that a worker stored are read in their place
(`Backtest.feed_panes`). The counting, which is most of the work, is thus done once however many settings are tried:
settings may differ in anything but what chunks depend on (panes, segments and the task).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
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
        """Take a window report of predictions, or of labels, of which losses alone speak to alarms.

        Reports of segments, of single panes and of other sources are left out.
        """
        if report["source"] not in {"predictions", "labels"} or report["segment"] or not report["stats"]:
            return
        shape = (report["windows"], len(report["columns"]))
        ends = np.frombuffer(report["ends"], dtype="<i8")
        verdicts = np.frombuffer(report["column_verdicts"], dtype="i1").reshape(shape)
        js, limit, evidence = (
            np.frombuffer(report["stats"][name], dtype="<f4").reshape(shape)
            for name in ("js", "effect_limit", "evidence")
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            # A loss that fell is as far from usual as one that rose, and only the evidence knows that it is no news.
            near = evidence if report["source"] == "labels" else js / limit
            ratio = np.where(verdicts == Verdict.NOT_ENOUGH_DATA, 0.0, np.nan_to_num(near, posinf=0.0))
        spoken = [(i, key) for i, key in enumerate(report["columns"]) if not key.startswith("label/")]
        # A window that ends on the hour was full in the hour before.
        hours = (ends - 1) // HOUR_US * HOUR_US
        for hour in np.unique(hours).tolist():
            at = hours == hour
            worst, drifted = self.ratio.setdefault(hour, {}), self.drifted.setdefault(hour, set())
            furthest, has_drifted = ratio[at].max(axis=0), (verdicts[at] == Verdict.DRIFT).any(axis=0)
            for i, key in spoken:
                worst[key] = max(float(furthest[i]), worst.get(key, 0.0))
                if has_drifted[i]:
                    drifted.add(key)


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
        """How many pages there were of kinds that keep no budget: skew, classic detectors, volume, freshness."""
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
    sources
        What the history is of, and what is fed: predictions, unless said otherwise.

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
        sources: Sequence[Source] = ("predictions",),
    ) -> None:
        _check(settings)
        known = list(baselines)
        self.outcomes = [Outcome(s) for s in settings]
        self._registry = RegistryView()
        self._engines = [_engine(s.spec, known, self._registry, sources) for s in settings]
        book = LayoutBook(self._engines[0].control)
        self._chunkers: dict[Source, PartitionChunker] = {
            source: PartitionChunker(source, 0, source, book, rule or ChunkRule()) for source in sources
        }
        for chunker in self._chunkers.values():
            chunker.start_at(0)
        self._offset = 0
        self._now_us = 0
        self._start_us: int | None = None
        self._panes: dict[Source, PaneLog] = {}
        self.rows_of: Counter[Source] = Counter()
        """Events taken, by source."""
        self.dead_rows = 0

    @property
    def rows(self) -> int:
        """Events taken."""
        return self.rows_of.total()

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
        if not self._panes:
            self._panes = {
                source: PaneLog(spec.model, source, source, spec.pane_us, layouts)
                for source in self._chunkers
            }
            self._progress(caught_up=False)
        for start_us, summaries in self._by_pane(panes):
            end_us = start_us + spec.pane_us
            if self._start_us is None:
                self._start_us = start_us
            while events and int(events[0]["ts"]) < end_us:
                self._registry.observe(events.pop(0))
            self._now_us = max(self._now_us, end_us - 1)
            self._publish(summaries)
        for event in events:
            self._registry.observe(event)
        self.rows_of = Counter({source: log.rows for source, log in self._panes.items()})

    def _by_pane(self, panes: Sequence[StoredPane]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Make the summaries of every pane of the monitor: its start, and one of each source that has rows in it."""
        width_us = self.outcomes[0].setting.spec.pane_us
        for number, group in groupby(panes, key=lambda p: p.start_us // width_us):
            held = list(group)
            yield (
                number * width_us,
                [
                    summary
                    for source, log in self._panes.items()
                    for summary in log.summaries(p for p in held if p.source == source)
                ],
            )

    def feed(self, *parts: Columns) -> None:
        """Take the next rows of history, of one stretch of time: of each source those in it.

        They may come in any order among themselves, but none older than the last by much. What comes later than the
        monitor's grace allows is counted late, as in live traffic.
        """
        found = [columns for columns in parts if columns.rows]
        if not found:
            return
        if self._start_us is None:
            self._start_us = self._now_us = min(int(columns.ts.min()) for columns in found)
            self._progress(caught_up=False)
        self._now_us = max(self._now_us, *(int(columns.ts.max()) for columns in found))
        summaries: list[dict[str, Any]] = []
        for columns in found:
            chunker = self._chunkers[columns.source]
            self.rows_of[columns.source] += columns.rows
            for start in range(0, columns.rows, _FRAME_ROWS):
                frame = rows_of(columns, np.arange(start, min(start + _FRAME_ROWS, columns.rows)))
                payload = encode(FRAME_CONTRACT[frame.source], to_record(frame))
                for cut in chunker.feed([Record(chunker.next_offset, self._now_us, payload)]):
                    summaries += cut.summaries
            summaries += chunker.provisional(caught_up=False)
            self.dead_rows += sum(letter.events for letter in chunker.dead)
            chunker.dead.clear()
        self._publish(summaries)

    def finish(self) -> list[Outcome]:
        """Close what is open, as when a replayed stream is read to its end, and return the outcomes."""
        if self._start_us is not None:
            end_us = self._now_us + 1
            # Silence for longer than a partition may hold the others back: the last panes close.
            self._now_us += _IDLE_US + 1
            self._progress(caught_up=True)
            for outcome in self.outcomes:
                outcome.start_us, outcome.end_us = self._start_us, end_us
        return self.outcomes

    def _progress(self, *, caught_up: bool) -> None:
        logs = self._panes or self._chunkers
        self._publish([log.progress(caught_up=caught_up) for log in logs.values()])

    def _publish(self, summaries: Sequence[dict[str, Any]]) -> None:
        for engine, outcome in zip(self._engines, self.outcomes, strict=True):
            outcome.take(engine.on_records(summaries, self._offset, self._now_us))
        self._offset += 1


def in_time_order(columns: Columns, rows: int = 1 << 16) -> Iterator[Columns]:
    """Cut columns into parts of at most `rows`, by event time."""
    return (part for (part,) in side_by_side([columns], rows))


def side_by_side(sources: Sequence[Columns], rows: int = 1 << 16) -> Iterator[list[Columns]]:
    """Cut columns of several sources into stretches of time of at most `rows` events together, by event time."""
    order = np.argsort(np.concatenate([columns.ts for columns in sources]), kind="stable")
    first = np.cumsum([0, *(columns.rows for columns in sources)])
    for start in range(0, len(order), rows):
        part = order[start : start + rows]
        yield [
            rows_of(columns, part[(part >= first[i]) & (part < first[i + 1])] - first[i])
            for i, columns in enumerate(sources)
        ]


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
    spec: MonitorSpec, baselines: list[Baseline], registry: RegistryView, sources: Sequence[Source]
) -> PartitionEngine:
    control = Control()
    control.set_monitor(spec)
    for baseline in baselines:
        control.set_baseline(baseline)
    return PartitionEngine(
        control, registry, Watermarks({source: source for source in sources}, _IDLE_US, replay=True)
    )


def _check(settings: Sequence[Setting]) -> None:
    if not settings:
        raise ContractError("settings: there is none, expected at least one")
    first = _counted_by(settings[0].spec)
    for setting in settings[1:]:
        for name, value in _counted_by(setting.spec).items():
            if value != first[name]:
                msg = (
                    f"settings: {setting.name!r} has {name} {value!r}, expected {first[name]!r} as in "
                    f"{settings[0].name!r}: counting depends on it"
                )
                raise ContractError(msg)


def _counted_by(spec: MonitorSpec) -> dict[str, Any]:
    """Return what counting depends on. Of promises it is what is promised, and not how much."""
    same = {name: getattr(spec, name) for name in ("model", "pane_us", "segments", "max_segments", "task")}
    return {**same, "performance": sorted(spec.performance)}
