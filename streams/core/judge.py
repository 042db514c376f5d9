"""Judging closed windows: how far each column is from its baseline, and whether that is further than it wanders.

A column drifts when there is both effect and evidence. Effect: its distance is the smallest worth a page, and above
what chance alone gives at this sample size. Evidence: it is further from the baseline's own pattern of the same hours
than quiet traffic goes more often than the budget of false pages allows, as learnt from how the baseline wanders by
itself (`streams.core.calibration`). So neither small samples, nor correlated traffic (one cause, many events), nor the
time of day, nor the number of columns raise an alarm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors import compare as distances
from detectors.blocks import blocks_of, padded
from detectors.compare import Comparison
from detectors.describe import Description, describe
from detectors.distinct import estimate
from detectors.evidence.far import Far, Tails
from detectors.evidence.limits import looks
from detectors.evidence.shares import share_at_chance
from detectors.layout import Layout
from detectors.movement import movement
from seawall.frames import Source
from seawall.monitor import MonitorSpec
from streams.core.calibration import (
    WATCHED,
    Calibration,
    Quantities,
    Terms,
    calibrate,
    quantities_of,
)
from streams.core.joint import JOINT_SHARE, LEAST_ROWS, JointReference, joint_reference, measure
from streams.core.joint_verdicts import JointFinding, judge_jointly
from streams.core.layouts import Control, baseline_layout
from streams.core.loss_verdicts import (
    LOSS,
    LOSS_SHARE,
    are_better,
    are_losses,
    can_page,
    effects_on,
    loss_in_words,
    overall,
    say_of,
    usual_means,
)
from streams.core.promises import PROMISE_SHARE
from streams.core.rare_rows import effects_of_missing, hardly_missing, tails_of
from streams.core.seasons import DAY_US, Seasons
from streams.core.series import SeriesKey, WindowBatch
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.intp]
#: How much further than the 95 % line of chance two sources of the same windows must be apart. A distance is a root:
#: on the scale of chi-squared this is 2.56 lines, which chance passes about once in a million windows of ten bins.
CHANCE_MARGIN = 1.6
#: From this part of the limit on, a column is a warning.
WARNING_AT = 0.8
#: Columns are judged together where at least this share of a window's rows was summed across them.
MULTIVARIATE_COVERAGE = 0.9
#: Skew is judged where predictions cover at least this share of the feature events.
SKEW_COVERAGE = 0.95
_SHARES = ("missing_share", "unseen_share", "out_of_range_share")


class Kind(NamedTuple):
    """Windows of one series and length, whatever is in them."""

    key: SeriesKey
    layout: Layout
    baseline_id: str
    width: int
    """Panes."""


@dataclass(slots=True)
class Reference:
    """A baseline seen through one layout."""

    rows: int
    seasons: Seasons
    known: npt.NDArray[np.bool_]
    """Which columns the baseline describes."""
    calibrations: dict[tuple[int, int, int, float, float, bytes], Calibration]
    """By width in panes, least rows, windows in a row, share of the budget, windows to a pane of the baseline, and
    which quantities can page where not all of them can."""
    tails: Tails
    """How far the values of its numbers went."""
    hardly_missing: npt.NDArray[np.bool_]
    """Columns that (nearly) always had a value."""
    joint: JointReference | None = None
    """What the baseline says across columns; never of a segment."""


@dataclass(slots=True)
class Judgement:
    """What is said about a batch of windows. Arrays are [windows, columns] unless said otherwise."""

    batch: WindowBatch
    comparison: Comparison | None
    """None for panes that no horizon asks for: these are counted, not judged."""
    description: Description | None
    distinct: Floats
    ratio: Floats
    """Greatest value over its limit, of any statistic: 1 and above is drift."""
    js_limit: Floats
    column_verdicts: npt.NDArray[np.int8]
    verdicts: npt.NDArray[np.int8]
    """[windows]"""
    skew_js: Floats
    windows: list[WindowVerdict]
    """One for each window that speaks to an alarm."""
    warning: str = ""
    """What the limits could not be based on."""
    joint: JointFinding | None = None
    """What is said of several columns at once."""
    sudden: Bools | None = None
    """[windows, columns]: which prove a drift by a single window."""
    usual_means: Floats = field(default_factory=lambda: np.empty(0))
    """Of the losses in windows that speak of them, [columns]."""


def compare(
    counts: npt.NDArray[np.int64],
    expected: Floats,
    rows: npt.ArrayLike,
    layout: Layout,
    *,
    only_deciding: bool = False,
) -> Comparison:
    """Compare windows with their reference; columns without one come out as NaN, in silence."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return distances.compare(counts, expected, rows, layout, only_deciding=only_deciding)


class Judge:
    """Judges windows of any model; remembers references by (baseline, layout)."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self._references: dict[tuple[str, str, str, str, str], Reference] = {}

    def reference(self, spec: MonitorSpec, batch: WindowBatch) -> Reference | None:
        """Return the reference of a batch's windows, or None when its version has no baseline."""
        return self.reference_of(spec, batch.key, batch.baseline_id, batch.layout)

    def reference_of(
        self, spec: MonitorSpec, series: SeriesKey, baseline_id: str, layout: Layout
    ) -> Reference | None:
        """Return the reference of a series, or None when its version or its segment has none."""
        version, source, layout_id, segment = series
        baseline = self.control.baselines.get((spec.model, version))
        if baseline is None or baseline.baseline_id != baseline_id:
            return None
        key = (baseline_id, layout_id, source, segment, spec.timezone)
        found = self._references.get(key)
        if found is None:
            # A segment differs from the whole for good reasons: it is judged against itself, or not at all.
            panes = baseline.segment_counts(segment)
            if panes is None:
                return None
            whole = baseline_layout(baseline)
            counts = np.zeros((len(panes), layout.slots), dtype=np.int64)
            known = np.zeros(len(layout.columns), dtype=bool)
            for i, column in enumerate(layout.columns):
                j = whole.index.get(column.key)
                if j is not None and whole.columns[j] == column:
                    counts[:, layout.slice_of(i)] = panes[:, whole.slice_of(j)]
                    known[i] = counts[:, layout.slice_of(i)].any()
            # A label comes at the hour at which its truth is known, and the baseline's hours are those of predictions.
            slots = 1 if source == "labels" else None
            seasons = Seasons(layout, counts, baseline.pane_starts, baseline.pane_us, spec.timezone, slots)
            rows = _rows_in(counts, layout) if segment else baseline.rows
            if not rows:
                return None  # the baseline knows the segment, and none of these columns
            found = self._references[key] = Reference(
                rows, seasons, known, {}, tails_of(baseline, layout), hardly_missing(counts, layout)
            )
            if source == "predictions" and not segment:
                found.joint = joint_reference(baseline, seasons)
        return found

    def prepare(self, spec: MonitorSpec, version: str) -> None:
        """Learn what a version's baseline teaches of all traffic, so that its first windows need not wait for it."""
        baseline = self.control.baselines.get((spec.model, version))
        if baseline is None:
            return
        layout = Layout.of(baseline_layout(baseline, "predictions").columns)
        key = (version, "predictions", layout.layout_id, "")
        reference = self.reference_of(spec, key, baseline.baseline_id, layout)
        assert reference is not None  # noqa: S101 - all traffic has one
        for horizon_us in spec.horizons_us:
            kind = Kind(key, layout, baseline.baseline_id, horizon_us // spec.pane_us)
            self.calibration(spec, kind, reference)
            if reference.joint is not None and spec.multivariate:
                reference.joint.calibration(self._joint_terms(spec, kind, reference)[0])

    def judge(
        self, spec: MonitorSpec, batch: WindowBatch, predictions: npt.NDArray[np.int64] | None = None
    ) -> Judgement:
        """Judge a batch. The first windows of a baseline take up to a second more: its own are learnt from.

        Parameters
        ----------
        predictions : int64 [windows, slots of the batch's layout], optional
            For feature windows: what predictions of the same windows carried, to find skew.
        """
        if not self._is_judged(spec, batch):
            return _uncompared(batch)
        reference = self.reference(spec, batch)
        expected, totals, reference_rows = self._expected(spec, batch, reference)
        comparison = compare(batch.counts, expected, reference_rows, batch.layout)
        far = reference.tails.far(batch.counts, batch.moments, reference_rows) if reference else None
        js_limit, share_limits, found = self._limits(
            spec, batch, reference, comparison, totals, reference_rows, far
        )
        ratio = comparison.js / js_limit
        for name in _SHARES:
            excess = np.abs(getattr(comparison, name) - getattr(comparison, f"{name[:-6]}_expected"))
            ratio = np.fmax(ratio, excess / share_limits[name])
        losses = are_losses(batch.layout)
        if losses.any():
            ratio = np.where(are_better(batch.counts, expected, batch.layout), 0.0, ratio)
        judged = (reference.known if reference else np.zeros(len(batch.layout.columns), dtype=bool))[None, :]
        judged = judged & self._watched(spec, batch.layout)
        column_verdicts = np.where(
            ratio >= 1, Verdict.DRIFT, np.where(ratio >= WARNING_AT, Verdict.WARNING, 0)
        )
        enough = self._enough(spec, batch)
        # What has no number was not measured: it is no more stable than it is drifted.
        judged = judged & enough[:, None] & ~np.isnan(ratio)
        judged &= ~losses | (comparison.present >= spec.min_rows)
        column_verdicts = np.where(judged, column_verdicts, Verdict.NOT_ENOUGH_DATA).astype(np.int8)
        seen = np.where(column_verdicts == Verdict.NOT_ENOUGH_DATA, -1, column_verdicts)
        verdicts = seen.max(axis=1, initial=-1)
        verdicts = np.where(verdicts < 0, Verdict.NOT_ENOUGH_DATA, verdicts).astype(np.int8)
        if reference is None and self._is_unfit(spec, batch):
            verdicts[enough] = Verdict.ERROR
        judgement = Judgement(
            batch,
            comparison,
            describe(batch.counts, batch.moments, batch.layout),
            self._distinct(batch),
            ratio,
            js_limit,
            column_verdicts,
            verdicts,
            np.full_like(ratio, np.nan),
            [],
        )
        if reference is not None:
            judgement.warning = self.calibration(spec, batch, reference).limit.warning
            if found is not None:
                drifted = column_verdicts == Verdict.DRIFT
                if batch.key[1] == "labels":
                    drifted &= losses
                judgement.sudden = self._sudden(
                    spec, batch, reference, found, comparison.present, drifted, far
                )
            judgement.joint = self._joint(spec, batch, reference, column_verdicts, enough)
        if judgement.joint is not None:
            # Only what is beyond its limit speaks for the window. A warning of one of hundreds of pairs would end a run
            # of stable windows, and keep alarms about anything from closing.
            beyond = (judgement.joint.verdicts == Verdict.DRIFT) & (verdicts <= Verdict.DRIFT)
            judgement.verdicts = np.where(beyond, Verdict.DRIFT, verdicts).astype(np.int8)
        if batch.key[1] == "predictions":
            judgement.windows = self._drift_windows(spec, judgement, share_limits, "drift")
        elif reference is not None and (losses & reference.known).any():
            baseline = self.control.baselines[spec.model, batch.key[0]]
            columns, windows = overall(column_verdicts, batch.layout)
            judgement.usual_means = usual_means(baseline, batch.key[3], expected, batch.layout)
            of_losses = replace(judgement, column_verdicts=columns, verdicts=windows)
            judgement.windows = self._drift_windows(spec, of_losses, share_limits, LOSS)
        elif predictions is not None:
            judgement.windows = self._skew(spec, judgement, predictions, enough)
        return judgement

    @staticmethod
    def _is_judged(spec: MonitorSpec, batch: WindowBatch) -> bool:
        # An event may hold no column at all: that it came is counted, and there is nothing to judge.
        return batch.width * spec.pane_us in spec.horizons_us and bool(batch.layout.columns)

    def _is_unfit(self, spec: MonitorSpec, batch: WindowBatch) -> bool:
        """Whether there is a baseline that cannot judge a batch, for its events were counted in another one's bins."""
        baseline = self.control.baselines.get((spec.model, batch.key[0]))
        return baseline is not None and baseline.baseline_id != batch.baseline_id

    def _expected(
        self, spec: MonitorSpec, batch: WindowBatch, reference: Reference | None
    ) -> tuple[Floats, Floats, float]:
        """Return the shares that are expected, what normal scores add up of them, and the rows behind them."""
        if reference is None:
            return np.zeros((1, batch.layout.slots)), np.empty((1, 0)), np.inf
        first = (batch.first_end - batch.width) * spec.pane_us
        starts = first + np.arange(len(batch.pane_rows), dtype=np.int64) * spec.pane_us
        mixture = reference.seasons.mixture(starts, batch.pane_rows, batch.width)
        return mixture @ reference.seasons.shares, mixture @ reference.seasons.totals, float(reference.rows)

    def _limits(
        self,
        spec: MonitorSpec,
        batch: WindowBatch,
        reference: Reference | None,
        comparison: Comparison,
        totals: Floats,
        reference_rows: float,
        far: Far | None,
    ) -> tuple[Floats, dict[str, Floats], Quantities | None]:
        """Return the limits on the distance and on the excess of each share, and what evidence is made of."""
        effect = effects_on(spec, "js", batch.layout)
        share_effects = {
            name: effects_on(spec, name.removesuffix("_share"), batch.layout) for name in _SHARES
        }
        if reference is not None and far is not None:
            share_effects["missing_share"] = effects_of_missing(
                spec, share_effects["missing_share"], reference.hardly_missing, batch.layout
            )
            share_effects["out_of_range_share"] = share_effects["out_of_range_share"] / far.weight
        if reference is None or far is None:
            limits = {name: np.broadcast_to(v, comparison.js.shape) for name, v in share_effects.items()}
            return np.fmax(effect, comparison.js_chance), limits, None
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = reference.seasons.normal_scores.moved(batch.counts, totals, reference_rows)
            found = quantities_of(comparison, moved, np.maximum(batch.rows, 1), reference_rows)
        calibration = self.calibration(spec, batch, reference)
        with np.errstate(invalid="ignore"):
            evidence = calibration.evidence(comparison, found.chance, reference_rows)
        js, *shares, location, spread = np.split(evidence, len(WATCHED), axis=1)
        _, missing, novel, moved_by, spread_by = np.split(found.discrepancy, len(WATCHED), axis=1)
        if batch.key[1] == "labels":
            *_, moves, spreads = np.split(can_page(spec, batch.layout), len(WATCHED))
            moved_by, spread_by = np.where(moves, moved_by, np.nan), np.where(spreads, spread_by, np.nan)
        # A distance counts as proven by whichever sees it best: itself, where the values lie, or their spread.
        with np.errstate(divide="ignore", invalid="ignore"):
            for limit, value in ((location, moved_by), (spread, spread_by)):
                js = np.fmin(js, np.square(comparison.js) * limit / value)
        js_limit = np.fmax(np.fmax(effect, comparison.js_chance), np.sqrt(js))
        limits = {}
        for name, gone, limit in zip(_SHARES, (missing, novel, novel), (*shares, shares[-1]), strict=True):
            excess = np.abs(getattr(comparison, name) - getattr(comparison, f"{name[:-6]}_expected"))
            # The limit on a share is where its excess would be if its discrepancy were just at the limit.
            with np.errstate(divide="ignore", invalid="ignore"):  # what proves nothing has no limit
                at = excess / np.sqrt(np.maximum(gone, 1e-300) / np.maximum(limit, 1e-300))
            if name == "out_of_range_share":
                # … or if the rows that are far out of it were just as unlikely as the limit is.
                at = np.fmin(at, excess * calibration.without_wander / np.maximum(far.score, 1e-300))
            limits[name] = np.fmax(share_effects[name], np.where(excess > 0, at, 0.0))
        return js_limit, limits, found

    def _sudden(
        self,
        spec: MonitorSpec,
        batch: WindowBatch,
        reference: Reference,
        found: Quantities,
        present: Floats,
        drifted: Bools,
        far: Far | None,
    ) -> Bools:
        """Say which columns prove a drift by a single window: [windows, columns]."""
        at = np.flatnonzero(drifted.any(axis=1))
        out = np.zeros(drifted.shape, dtype=bool)
        if len(at):
            calibration = self.calibration(spec, batch, reference)
            scores = calibration.scale_for(present[at]).score(found.discrepancy[at], found.chance[at])
            if batch.key[1] == "labels":
                scores = np.where(can_page(spec, batch.layout), scores, np.nan)
            columns = scores.reshape(len(at), len(WATCHED), -1)
            proven = (columns >= calibration.sudden).any(axis=1)
            if far is not None:
                proven |= far.score[at] >= calibration.sudden / calibration.wider
            out[at] = proven & drifted[at]
        return out

    def calibration(self, spec: MonitorSpec, batch: Kind | WindowBatch, reference: Reference) -> Calibration:
        """Return what the baseline teaches about windows like these."""
        if batch.key[1] == "features":
            return self._calibration_of_features(spec, batch, reference)
        across = JOINT_SHARE if reference.joint and spec.multivariate else 0.0
        terms, shorter = self._terms(spec, batch, reference, 1.0 - across)
        say = say_of(spec, batch.layout) if batch.key[1] == "labels" else None
        able = b"" if say is None else say.counted.tobytes()
        key = (terms.width, terms.min_rows, terms.run, terms.pages_per_pane, shorter, able)
        if key not in reference.calibrations:
            found = calibrate(
                reference.seasons,
                batch.layout,
                reference.rows,
                terms.width,
                min_rows=terms.min_rows,
                pages_per_pane=terms.pages_per_pane,
                run=terms.run,
                say=say,
            )
            if shorter > 1:
                found = found.of_short_windows()
            reference.calibrations[key] = found
        return reference.calibrations[key]

    def _calibration_of_features(
        self, spec: MonitorSpec, batch: Kind | WindowBatch, reference: Reference
    ) -> Calibration:
        """Return what is learnt for predictions, which carry the same columns: learning takes a second."""
        terms, shorter = self._terms(spec, batch, reference, 1.0)
        key = (terms.width, terms.min_rows, terms.run, terms.pages_per_pane, shorter, b"")
        if key not in reference.calibrations:
            version, _, _, segment = batch.key
            whole = Layout.of(
                baseline_layout(self.control.baselines[spec.model, version], "predictions").columns
            )
            like = (version, "predictions", whole.layout_id, segment)
            twin = self.reference_of(spec, like, batch.baseline_id, whole)
            assert twin is not None  # noqa: S101 - this batch has a reference, and they differ in columns alone
            known = [
                whole.index[c.key] if ok else -1
                for c, ok in zip(batch.layout.columns, reference.known, strict=True)
            ]
            found = self.calibration(spec, Kind(like, whole, batch.baseline_id, batch.width), twin)
            reference.calibrations[key] = found.of_columns(known)
        return reference.calibrations[key]

    def _terms(
        self, spec: MonitorSpec, batch: Kind | WindowBatch, reference: Reference, share: float
    ) -> tuple[Terms, float]:
        """Say what a calibration for a share of the budget is for, and how many windows there are to a pane.

        The baseline's windows slide by its panes, those that are judged by the monitor's. Where these are shorter, the
        same length is looked at more often, and windows in a row are hardly more than one.
        """
        pane_us = reference.seasons.pane_us or DAY_US
        # A window shorter than a pane of the baseline is like one pane, only that there are more of them.
        width = max(round(batch.width * spec.pane_us / pane_us), 1)
        shorter = max(pane_us / (batch.width * spec.pane_us), 1.0)
        rate = share * self._budget_share(spec, batch) * spec.false_pages / spec.false_pages_period_us
        run = 1 + (spec.open_after - 1) * min(spec.pane_us, pane_us) // pane_us if shorter == 1 else 1
        more = max(looks(batch.width) / looks(width), 1.0)
        return Terms(width, spec.min_rows, rate * pane_us / shorter / more, run), shorter

    def _joint_terms(
        self, spec: MonitorSpec, batch: Kind | WindowBatch, reference: Reference
    ) -> tuple[Terms, float]:
        """Say the same of what is watched across columns."""
        terms, shorter = self._terms(spec, batch, reference, JOINT_SHARE)
        return replace(terms, min_rows=max(terms.min_rows, LEAST_ROWS)), shorter

    def _joint(
        self,
        spec: MonitorSpec,
        batch: WindowBatch,
        reference: Reference,
        column_verdicts: npt.NDArray[np.int8],
        enough: npt.NDArray[np.bool_],
    ) -> JointFinding | None:
        """Judge what no single column shows; None where nothing was summed, or nobody asks."""
        joint = reference.joint
        if (
            joint is None
            or batch.joint is None
            or batch.joint.shape[1] != joint.plan.width
            or not spec.multivariate
        ):
            return None
        terms, shorter = self._joint_terms(spec, batch, reference)
        calibration = joint.calibration(terms)
        if shorter > 1:
            calibration = calibration.of_short_windows()
        first = (batch.first_end - batch.width) * spec.pane_us
        starts = first + np.arange(len(batch.pane_rows), dtype=np.int64) * spec.pane_us
        watched = self._watched(spec, batch.layout)[0]
        expected = joint.expected(starts, batch.pane_rows, batch.width)
        measured = measure(batch.joint, expected, float(joint.rows), joint)
        return judge_jointly(
            measured,
            calibration.scale.limit(calibration.limit.score, measured.quantities.chance),
            calibration.scale.limit(calibration.rare, measured.quantities.chance),
            joint.plan,
            enough & (batch.joint[:, 0] >= np.maximum(terms.min_rows, MULTIVARIATE_COVERAGE * batch.rows)),
            {c.key: column_verdicts[:, i] for i, c in enumerate(batch.layout.columns) if watched[i]},
            calibration.limit.warning,
            calibration.scale.score(measured.quantities.discrepancy, measured.quantities.chance)
            >= calibration.sudden,
            spec.effects,
        )

    def _budget_share(self, spec: MonitorSpec, batch: Kind | WindowBatch) -> float:
        """Share the budget: horizons equally; half for segments; losses and promises have theirs."""
        share = 1 / len(spec.horizons_us)
        version, source, _, segment = batch.key
        baseline = self.control.baselines[spec.model, version]
        losses = LOSS_SHARE if any(c.role == "loss" for c in baseline.columns) else 0.0
        promises = PROMISE_SHARE if spec.performance else 0.0
        share *= losses if losses and source == "labels" else 1.0 - losses - promises
        if not spec.segments:
            return share
        if not segment:
            return share / 2
        others = sum(s.split("=", 1)[0] in spec.segments for s in baseline.segments)
        return share / 2 / max(others, 1)

    def _watched(self, spec: MonitorSpec, layout: Layout) -> npt.NDArray[np.bool_]:
        ignored = {name for name, rule in spec.columns.items() if rule.ignore}
        if not ignored:
            return np.ones((1, len(layout.columns)), dtype=bool)
        return np.array([c.name not in ignored for c in layout.columns], dtype=bool)[None, :]

    def _enough(self, spec: MonitorSpec, batch: WindowBatch) -> npt.NDArray[np.bool_]:
        ends = batch.first_end + np.arange(batch.windows)
        covered = np.minimum(ends - batch.first_pane, batch.width) / batch.width
        return (batch.rows >= spec.min_rows) & (covered >= spec.min_coverage)

    def _distinct(self, batch: WindowBatch) -> Floats:
        out = np.full((batch.windows, len(batch.layout.columns)), np.nan)
        if batch.layout.categorical:
            out[:, list(batch.layout.categorical)] = estimate(batch.distinct)
        return out

    def _drift_windows(
        self, spec: MonitorSpec, judgement: Judgement, share_limits: dict[str, Floats], kind: str
    ) -> list[WindowVerdict]:
        culprits: dict[int, list[ColumnVerdict]] = {}
        comparison = judgement.comparison
        assert comparison is not None  # noqa: S101 - only judged windows have verdicts
        windows, columns = np.nonzero(judgement.column_verdicts == Verdict.DRIFT)
        moved = movement(comparison) if len(windows) else np.zeros(judgement.ratio.shape)
        told = _column_verdicts(judgement, share_limits, windows, columns, moved[windows, columns])
        joint = judgement.joint
        sudden = np.zeros(len(windows), dtype=bool)
        if judgement.sudden is not None:
            sudden = judgement.sudden[windows, columns]
        for w, culprit, alone in zip(windows.tolist(), told, sudden.tolist(), strict=True):
            culprits.setdefault(w, []).append(replace(culprit, sudden=alone))
        if joint is not None:
            for w, drifted in culprits.items():
                beside = joint.goes_with(w)
                culprits[w] = [replace(c, goes_with=beside.get(c.key, ())) for c in drifted]
            for w in np.flatnonzero(joint.verdicts == Verdict.DRIFT).tolist():
                culprits.setdefault(w, []).extend(joint.culprits(w))
        warned = _warned(judgement)
        return [
            _window_verdict(
                spec,
                judgement.batch,
                w,
                Verdict(verdict),
                kind,
                culprits.get(w, []),
                near=_near(judgement, moved, w) if w in culprits else (),
                warned=warned.get(w, ()),
            )
            for w, verdict in enumerate(judgement.verdicts.tolist())
        ]

    def _skew(
        self,
        spec: MonitorSpec,
        judgement: Judgement,
        predictions: npt.NDArray[np.int64],
        enough: npt.NDArray[np.bool_],
    ) -> list[WindowVerdict]:
        batch = judgement.batch
        rows, skew_js, chance = _distance_from(predictions, batch)
        judgement.skew_js = skew_js
        limit = np.fmax(
            np.array(spec.effects_on("js", [c.name for c in batch.layout.columns])), CHANCE_MARGIN * chance
        )
        # While predictions are still coming in, a difference says nothing.
        enough = enough & (rows >= np.maximum(spec.min_rows, SKEW_COVERAGE * batch.rows))
        watched = self._watched(spec, batch.layout)[0]
        out = []
        for w in range(batch.windows):
            drifted = np.flatnonzero(watched & (skew_js[w] >= limit[w]))
            verdict = (
                Verdict.NOT_ENOUGH_DATA
                if not enough[w]
                else Verdict.DRIFT
                if len(drifted)
                else Verdict.STABLE
            )
            culprits = [
                ColumnVerdict(
                    batch.layout.columns[c].name,
                    batch.layout.columns[c].role,
                    Verdict.DRIFT,
                    "skew_js",
                    float(skew_js[w, c]),
                    float(limit[w, c]),
                    float(chance[w, c]),
                    "the feature store and the predictions disagree",
                )
                for c in (drifted if verdict is Verdict.DRIFT else ())
            ]
            out.append(_window_verdict(spec, batch, w, verdict, "skew", culprits))
        return out


def _uncompared(batch: WindowBatch) -> Judgement:
    shape = (batch.windows, len(batch.layout.columns))
    nothing = np.full(shape, np.nan)
    unknown = np.full(shape, Verdict.NOT_ENOUGH_DATA, dtype=np.int8)
    unjudged = np.full(batch.windows, Verdict.NOT_ENOUGH_DATA, dtype=np.int8)
    return Judgement(batch, None, None, nothing, nothing, nothing, unknown, unjudged, nothing, [])


def _distance_from(served: npt.NDArray[np.int64], batch: WindowBatch) -> tuple[Floats, Floats, Floats]:
    """Compare windows with what predictions carried in them.

    Returns the rows of the predictions, [W], and their distance and its line of chance, [W, C].
    """
    layout = batch.layout
    totals = np.add.reduceat(served, layout.first_slots, axis=1).astype(np.float64)
    rows = totals.max(axis=1)
    js = np.full(totals.shape, np.nan)
    chance = js.copy()
    # Mostly the two agree to the last row: then there is no distance to measure, where there are values.
    differ = (batch.counts != served).any(axis=1)
    same = np.flatnonzero(~differ)
    blocks = blocks_of(layout)
    counts = padded(batch.counts[same], layout.slots, np.int64)
    present = totals[same] - counts[:, blocks.missing] - counts[:, blocks.invalid]
    js[same] = np.where(present > 0, 0.0, np.nan)
    if differ.any():
        shares = served[differ] / np.maximum(totals[differ], 1)[:, layout.column_of_slot]
        found = compare(batch.counts[differ], shares, np.maximum(rows[differ], 1), layout, only_deciding=True)
        js[differ], chance[differ] = found.js, found.js_chance
    return rows, js, chance


def _column_verdicts(
    judgement: Judgement, share_limits: dict[str, Floats], windows: Ints, columns: Ints, moved: Floats
) -> Iterator[ColumnVerdict]:
    """Say what is wrong with some columns of some windows, and how far they moved, [n] each."""
    comparison = judgement.comparison
    assert comparison is not None  # noqa: S101 - only judged windows have verdicts
    if not len(windows):
        return  # as nearly always: lines of chance are found by halving, fifty times
    at_chance = {}
    for name in _SHARES:
        value, usual = (getattr(comparison, n)[windows, columns] for n in (name, f"{name[:-6]}_expected"))
        n = comparison.present[windows, columns] if name != "missing_share" else judgement.batch.rows[windows]
        at_chance[name] = share_at_chance(usual, n, above=value >= usual).tolist()
    for k, (w, c) in enumerate(zip(windows.tolist(), columns.tolist(), strict=True)):
        here = {name: at_chance[name][k] for name in _SHARES}
        yield replace(_column_verdict(judgement, share_limits, w, c, here), moved=float(moved[k]))


def _column_verdict(
    judgement: Judgement, share_limits: dict[str, Floats], w: int, c: int, at_chance: Mapping[str, float]
) -> ColumnVerdict:
    comparison, column = judgement.comparison, judgement.batch.layout.columns[c]
    assert comparison is not None  # noqa: S101 - only judged windows have verdicts
    best = (
        "js",
        float(comparison.js[w, c]),
        float(judgement.js_limit[w, c]),
        float(comparison.js_chance[w, c]),
    )
    ratio = best[1] / best[2] if np.isfinite(best[1]) else 0.0
    detail = _detail(judgement, w, c)
    for name in _SHARES:
        value = float(getattr(comparison, name)[w, c])
        usual = float(getattr(comparison, f"{name[:-6]}_expected")[w, c])
        limit = float(share_limits[name][w, c])
        if np.isfinite(value) and abs(value - usual) / limit > ratio:
            ratio = abs(value - usual) / limit
            side = limit if value >= usual else -limit
            best = (name, value, usual + side, at_chance[name])
            detail = f"{name.removesuffix('_share').replace('_', ' ')} {value:.1%}, usually {usual:.1%}"
    # Whoever is paged has to know when the limits are guesswork.
    detail = "; ".join(part for part in (detail, judgement.warning) if part)
    verdict = Verdict(int(judgement.column_verdicts[w, c]))
    return ColumnVerdict(column.name, column.role, verdict, *best, detail=detail, evidence=ratio)


def _near(judgement: Judgement, moved: Floats, w: int) -> tuple[str, ...]:
    """Name the columns that are close to their limits, the one that moved most first.

    The page was paid for already: that one column is beyond its limit makes it likely that another one close to its
    own has moved too, and it may be the one that moved most.
    """
    close = np.flatnonzero(judgement.column_verdicts[w] == Verdict.WARNING).tolist()
    columns = judgement.batch.layout.columns
    return tuple(columns[c].name for c in sorted(close, key=lambda c: (-moved[w, c], columns[c].key)))


def _rows_in(counts: npt.NDArray[np.int64], layout: Layout) -> int:
    """Rows that a segment's panes hold, by the column of which most are known."""
    if not len(counts) or not layout.columns:
        return 0
    return int(np.add.reduceat(counts, layout.first_slots, axis=1).max(axis=1).sum())


def _warned(judgement: Judgement) -> dict[int, tuple[str, ...]]:
    """Return the columns that are a warning, and the pairs close to their limits, of each window that has any."""
    found: dict[int, list[str]] = {}
    keys = [c.key for c in judgement.batch.layout.columns]
    for w, c in zip(
        *(at.tolist() for at in np.nonzero(judgement.column_verdicts == Verdict.WARNING)), strict=True
    ):
        found.setdefault(w, []).append(keys[c])
    if judgement.joint is not None:
        for w, pairs in judgement.joint.near().items():
            found.setdefault(w, []).extend(pairs)
    return {w: tuple(told) for w, told in found.items()}


def _detail(judgement: Judgement, w: int, c: int) -> str:
    """Say in words what moved: the median and mean of a number, nothing for a category."""
    mean = judgement.description.mean[w, c] if judgement.description else np.nan
    column = judgement.batch.layout.columns[c]
    if column.role == "loss":
        return loss_in_words(column.name, float(mean), float(judgement.usual_means[c]))
    return f"mean {mean:.4g}" if np.isfinite(mean) else ""


def _window_verdict(
    spec: MonitorSpec,
    batch: WindowBatch,
    w: int,
    verdict: Verdict,
    kind: str,
    columns: list[ColumnVerdict],
    *,
    near: tuple[str, ...] = (),
    warned: tuple[str, ...] = (),
) -> WindowVerdict:
    end = (batch.first_end + w) * spec.pane_us
    source: Source = batch.key[1]  # type: ignore[assignment]  # a series key holds a source
    return WindowVerdict(
        spec.model,
        batch.key[0],
        source,
        batch.key[3],
        batch.width * spec.pane_us,
        end - batch.width * spec.pane_us,
        end,
        int(batch.rows[w]),
        verdict,
        kind,
        tuple(columns),
        any(c.sudden for c in columns),
        near,
        warned,
    )
