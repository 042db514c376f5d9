"""Classic detectors that a monitor asks for by name, on the windows of overall traffic.

They compare a window's counts with the whole baseline, as the textbooks do: the hour of day, natural wander and how
many columns there are is not their business. So they are outside the budget of false pages, and open alarms of a kind
of their own (`streams.core.causes.UNBUDGETED`), which never speak for one from within it.

Stream detectors are fed one number a pane: the mean of the column, from its bins, in standard deviations of the
baseline from its mean. They are run anew over the panes of the longest window each time, so that a verdict is a
function of the window's counts: nothing has to be saved, and a replay says the same. What they signal within a window
stays said until it has left it. Those that watch a model's errors one by one are fed the errors of each pane, in an
order that is drawn (`streams.core.error_streams`); they need no baseline.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.classic.calibrate import Calibration
from detectors.classic.statistics import STATISTICS
from detectors.classic.window import WindowDetector
from detectors.layout import FIRST_BIN, UNDERFLOW, Column
from detectors.registry import column_detector, stream_detector
from detectors.wasserstein import positions_of
from seawall.baseline import Baseline
from seawall.monitor import DetectorRule, MonitorSpec
from seawall.monitor_yaml.detectors import ERROR, OF_ERRORS, STREAM, WINDOW
from streams.core.causes import UNBUDGETED
from streams.core.error_streams import in_some_order, most_of_pane, wrong_and_right
from streams.core.layouts import Control, baseline_layout
from streams.core.series import WindowBatch
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
#: Windows without change behind a calibrated limit, at least, and behind what chance gives.
_RESAMPLES, _CHANCE_RESAMPLES = 1000, 199
_CHANCE_RATE = 0.05
#: Streams of independent values behind what chance gives a stream detector.
_CHANCE_STREAMS = 20
#: The same of streams of errors, which are longer.
_CHANCE_STREAMS_OF_ERRORS = 5
#: River looks at every 32nd value by default; there are few panes.
_EVERY_PANE = {"adwin": {"clock": 1}}


#: Bins of statistics that ask for few, well-filled ones: the usual limits were found on deciles.
_DECILES = 10


@dataclass(frozen=True, slots=True)
class _Window:
    """A window detector of one column, and one that knows what chance exceeds in 5 % of windows."""

    detector: WindowDetector
    chance: WindowDetector
    starts: Ints
    """First slot of the column of each slot that they see."""


class ClassicJudge:
    """Judges windows by the detectors that their monitor names; remembers them by baseline and column."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self._windows: dict[tuple[str, Column, DetectorRule], _Window | None] = {}
        self._scales: dict[tuple[str, Column], tuple[float, float]] = {}
        self._chances: dict[tuple[DetectorRule, int], float] = {}
        self._error_chances: dict[tuple[DetectorRule, int, float], float] = {}

    def judge(self, spec: MonitorSpec, batch: WindowBatch) -> list[WindowVerdict]:
        """Judge a batch; nothing is said about segments, other sources, lone panes, or without a baseline."""
        version, source, _, segment = batch.key
        horizon_us = batch.width * spec.pane_us
        if source == "labels" and not segment and horizon_us == max(spec.horizons_us):
            return self._judge_errors(spec, batch)
        if source != "predictions" or segment or horizon_us not in spec.horizons_us:
            return []
        rules = _rules_by_column(spec, batch)
        baseline = self.control.baselines.get((spec.model, version))
        if not rules or baseline is None or baseline.baseline_id != batch.baseline_id:
            return []
        found: dict[int, list[ColumnVerdict]] = defaultdict(list)
        is_longest = horizon_us == max(spec.horizons_us)
        for i, rule in rules:
            reference = _reference_counts(baseline, batch.layout.columns[i])
            if reference is None or not reference.sum():
                continue
            if rule.name in WINDOW:
                said = self._by_window(baseline, batch, i, rule, reference)
            else:
                said = self._by_stream(baseline, batch, i, rule, reference) if is_longest else iter(())
            for w, verdict in said:
                found[w].append(verdict)
        return [self._verdict(spec, batch, w, found[w]) for w in range(batch.windows)]

    def _judge_errors(self, spec: MonitorSpec, batch: WindowBatch) -> list[WindowVerdict]:
        """Judge windows by detectors of errors; without errors among their labels nothing is said."""
        i = batch.layout.index.get(f"loss/{ERROR}")
        own = spec.columns.get(ERROR)
        if i is None or batch.pane_counts is None or (own is not None and own.ignore):
            return []
        named = dict.fromkeys((*spec.detectors, *(own.detectors if own else ())))
        rules = [rule for rule in named if rule.name in OF_ERRORS]
        if not rules:
            return []
        wrong, right = wrong_and_right(
            batch.layout.columns[i], batch.pane_counts[:, batch.layout.slice_of(i)]
        )
        most = most_of_pane(batch.width)
        # A window that ends with pane e - 1 begins with pane e - width.
        errors = list(in_some_order(batch.first_end - batch.width, wrong, right, most))
        out = []
        for w in range(batch.windows):
            panes = slice(w, w + batch.width)
            seen, bad = int((wrong + right)[panes].sum()), int(wrong[panes].sum())
            if not seen:
                continue  # labels of clients that do not say what was predicted
            stream = np.concatenate(errors[panes]).astype(np.float64)
            said = [self._of_errors(rule, stream, bad / seen) for rule in rules]
            out.append(self._verdict(spec, batch, w, [s for s in said if s is not None], seen))
        return out

    def _of_errors(self, rule: DetectorRule, stream: Floats, rate: float) -> ColumnVerdict | None:
        signals = _signals(rule, stream)
        if not signals:
            return None
        key = (rule, len(stream), round(rate, 2))
        if key not in self._error_chances:
            if len(self._error_chances) > 1000:
                self._error_chances.clear()
            rng = np.random.default_rng(0)
            drawn = (rng.random(len(stream)) < key[2] for _ in range(_CHANCE_STREAMS_OF_ERRORS))
            found = [_signals(rule, one.astype(np.float64)) for one in drawn]
            self._error_chances[key] = float(np.mean(found))
        detail = f"signals among {len(stream):,} errors in an order drawn within each pane; {_said(rule)}"
        chance = self._error_chances[key]
        return ColumnVerdict(ERROR, "loss", Verdict.DRIFT, rule.name, float(signals), 1.0, chance, detail)

    def _verdict(
        self,
        spec: MonitorSpec,
        batch: WindowBatch,
        w: int,
        columns: list[ColumnVerdict],
        rows: int | None = None,
    ) -> WindowVerdict:
        end = batch.first_end + w
        covered = min(end - batch.first_pane, batch.width) / batch.width
        seen = batch.rows[w] if rows is None else rows
        enough = seen >= spec.min_rows and covered >= spec.min_coverage
        verdict = Verdict.NOT_ENOUGH_DATA if not enough else Verdict.DRIFT if columns else Verdict.STABLE
        return WindowVerdict(
            spec.model,
            batch.key[0],
            batch.key[1],
            batch.key[3],
            batch.width * spec.pane_us,
            (end - batch.width) * spec.pane_us,
            end * spec.pane_us,
            int(batch.rows[w]),
            verdict,
            UNBUDGETED,
            _strongest(columns) if enough else (),
        )

    def _by_window(
        self, baseline: Baseline, batch: WindowBatch, i: int, rule: DetectorRule, reference: Ints
    ) -> Iterator[tuple[int, ColumnVerdict]]:
        column = batch.layout.columns[i]
        key = (baseline.baseline_id, column, rule)
        if key not in self._windows:
            self._windows[key] = _made(column, rule, reference)
        made = self._windows[key]
        if made is None:
            return
        counts = np.add.reduceat(batch.counts[:, batch.layout.slice_of(i)], made.starts, axis=1)
        values = made.detector.counts_value(counts)
        for w in np.flatnonzero(made.detector.counts_alarm(counts)).tolist():
            n = _present(column, counts[w])
            limit = made.detector.threshold(n, binned=True)
            yield (
                w,
                ColumnVerdict(
                    column.name,
                    column.role,
                    Verdict.DRIFT,
                    rule.name,
                    float(values[w]),
                    limit,
                    made.chance.threshold(n, binned=True),
                    _said(rule),
                ),
            )

    def _by_stream(
        self, baseline: Baseline, batch: WindowBatch, i: int, rule: DetectorRule, reference: Ints
    ) -> Iterator[tuple[int, ColumnVerdict]]:
        column = batch.layout.columns[i]
        if column.kind != "numeric" or batch.pane_counts is None:
            return
        key = (baseline.baseline_id, column)
        if key not in self._scales:
            self._scales[key] = _mean_and_std(column, reference)
        mean, std = self._scales[key]
        means = _means(column, batch.pane_counts[:, batch.layout.slice_of(i)])
        stream = (means - mean) / std
        for w in range(batch.windows):
            window = stream[w : w + batch.width]
            signals = _signals(rule, window[np.isfinite(window)])
            if signals:
                chance = self._chance(rule, batch.width)
                yield (
                    w,
                    ColumnVerdict(
                        column.name,
                        column.role,
                        Verdict.DRIFT,
                        rule.name,
                        float(signals),
                        1.0,
                        chance,
                        f"signals among the means of {batch.width} panes; {_said(rule)}",
                    ),
                )

    def _chance(self, rule: DetectorRule, width: int) -> float:
        """Return how many signals as many independent values give on average."""
        if (rule, width) not in self._chances:
            rng = np.random.default_rng(0)
            drawn = [_signals(rule, rng.normal(size=width)) for _ in range(_CHANCE_STREAMS)]
            self._chances[rule, width] = float(np.mean(drawn))
        return self._chances[rule, width]


def _rules_by_column(spec: MonitorSpec, batch: WindowBatch) -> list[tuple[int, DetectorRule]]:
    out = []
    for i, column in enumerate(batch.layout.columns):
        own = spec.columns.get(column.name)
        if own is not None and own.ignore:
            continue
        for rule in dict.fromkeys((*spec.detectors, *(own.detectors if own else ()))):
            known = WINDOW.get(rule.name) or STREAM.get(rule.name)
            if known is None or known.of_errors:
                continue
            if not (known.needs_order and column.kind == "categorical"):
                out.append((i, rule))
    return out


def _reference_counts(baseline: Baseline, column: Column) -> Ints | None:
    """Return what the whole baseline held of a column, over its slots; None when it does not know it as it is."""
    whole = baseline_layout(baseline)
    j = whole.index.get(column.key)
    if j is None or whole.columns[j] != column:
        return None
    counts: Ints = baseline.pane_counts[:, whole.slice_of(j)].sum(axis=0, dtype=np.int64)
    return counts


def _made(column: Column, rule: DetectorRule, reference: Ints) -> _Window | None:
    calibration = None
    if rule.calibrated is not None:
        resamples = max(_RESAMPLES, int(np.ceil(1.0 / rule.calibrated)))
        calibration = Calibration(rule.calibrated, resamples)
    column, starts = _deciles(column, rule, reference)
    reference = np.add.reduceat(reference, starts)
    try:
        detector = column_detector(
            rule.name, column, reference, threshold=rule.above, calibration=calibration, p=rule.p
        )
    except ValueError:
        return None  # a column of which the baseline holds nothing but missing values
    by_chance = Calibration(_CHANCE_RATE, _CHANCE_RESAMPLES)
    return _Window(detector, column_detector(rule.name, column, reference, calibration=by_chance), starts)


def _deciles(column: Column, rule: DetectorRule, reference: Ints) -> tuple[Column, Ints]:
    """Join neighbouring bins of a number until there are ten of about equal size, for statistics that want them so.

    Returns the column with fewer edges, and the first of the old slots in each of the new ones.
    """
    whole = np.arange(column.slots, dtype=np.int64)
    bins = column.slots - FIRST_BIN - 1
    if column.kind == "categorical" or STATISTICS[rule.name].is_exact_on_samples or bins <= _DECILES:
        return column, whole
    upto = np.cumsum(reference[FIRST_BIN:-1])
    wanted = upto[-1] * np.arange(1, _DECILES) / _DECILES
    # A bin ends where its share is nearest to the wanted one.
    inner = np.unique(1 + np.abs(upto[:-1, None] - wanted).argmin(axis=0))
    edges = np.concatenate([[0], inner, [bins]])
    starts = np.concatenate([whole[:FIRST_BIN], FIRST_BIN + edges[:-1], whole[-1:]])
    coarse = Column(column.name, column.role, column.kind, tuple(column.edges[e] for e in edges.tolist()))
    return coarse, starts


def _said(rule: DetectorRule) -> str:
    if rule.name in STREAM or (rule.above, rule.p, rule.calibrated) != (None, None, None):
        return rule.said
    return f"{rule.name}, by the usual limit: {STATISTICS[rule.name].limit_said}"


def _present(column: Column, counts: Ints) -> int:
    first = UNDERFLOW if column.kind == "numeric" else 1
    return max(int(counts[first:].sum()), 1)


def _means(column: Column, counts: Ints) -> Floats:
    """Mean of each pane from its bins, [panes]; NaN where there is no number."""
    inside = counts[:, UNDERFLOW:].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Floats = (inside @ positions_of(column.edges)) / inside.sum(axis=1)
    return means


def _mean_and_std(column: Column, reference: Ints) -> tuple[float, float]:
    at = positions_of(column.edges)
    share = reference[UNDERFLOW:] / max(reference[UNDERFLOW:].sum(), 1)
    mean = float(share @ at)
    return mean, float(np.sqrt(share @ np.square(at - mean))) or 1.0


def _signals(rule: DetectorRule, values: Floats) -> int:
    whole = {name: int(value) if value == int(value) else value for name, value in rule.parameters}
    stream = stream_detector(rule.name, **(_EVERY_PANE.get(rule.name, {}) | whole))
    return sum(stream.update(float(x)) for x in values)


def _strongest(columns: list[ColumnVerdict]) -> tuple[ColumnVerdict, ...]:
    """Keep of each column the detector that is furthest beyond its limit, and name the others behind it."""
    best: dict[str, list[ColumnVerdict]] = defaultdict(list)
    for each in columns:
        best[each.key].append(each)
    out = []
    for found in best.values():
        first, *others = sorted(found, key=lambda c: (-c.value / max(c.limit, 1e-12), c.statistic))
        also = f"; also {', '.join(c.detail for c in others)}" if others else ""
        out.append(
            ColumnVerdict(
                first.name,
                first.role,
                first.verdict,
                first.statistic,
                first.value,
                first.limit,
                first.chance,
                first.detail + also,
            )
        )
    return tuple(out)
