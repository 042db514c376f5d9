"""What a baseline teaches about windows of one length: how far each quantity goes by itself, and the limits.

A quantity is one number that is watched of one column: its distribution's distance from the expected one, its share
of missing values, its share of novel ones (out of range, or never seen), and of numbers where they lie and how spread
out they are. Windows of the baseline are compared with a
reference that they are no part of (cross-fitting by stretches of whole days): a window is always closer to what it
helped to make than the next one will be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from detectors.compare import Comparison, compare
from detectors.evidence.limits import WIDENED, Limit, score_limit, union_limit, widening
from detectors.evidence.normal_scores import Moved
from detectors.evidence.scale import LEAST_CHANCE, Scale, fit_scale, folds_of, unknown_scale
from detectors.evidence.shares import share_chance, share_discrepancy
from detectors.layout import Layout
from detectors.pooling import GROUPS, VALUES_PER_GROUP, groups_for
from detectors.slide import sliding_sum
from streams.core.seasons import DAY_US, Seasons

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
#: What is watched of each column, in the order of the quantities.
WATCHED = ("js", "missing_share", "novel_share", "location", "spread")
#: Windows shorter than a pane of the baseline may wander more than it shows, and have fewer rows, which makes the tails
#: of what is measured heavier: scores of 5 of the spread of fifty rows are twenty times as frequent as normal ones.
SHORT_WANDER, SHORT_SCORE = 2.0, 1.1
#: One in so many of the baseline's windows is further from usual than a warning allows.
RARE = 100
#: Rows that count as one at the most, where it is about leaving the range.
MOST_ALIKE = 20.0
#: Wander assumed where the baseline has too few days: that of a distance of .05. Limits are widened as well.
UNKNOWN_WANDER = 0.05**2
#: Of columns, where it has no time and limits are not widened: that of a distance of .087, a shift by .2 standard
#: deviations. What columns have in common wanders less than they do.
TIMELESS_WANDER = 3.0 * UNKNOWN_WANDER
#: And so many rows that count as one: a correlation of .9 from row to row in a window of sixty rows. In one of many
#: that is 19, for which the wander has room.
TIMELESS_ALIKE = 16.0
#: What whoever is paged by such limits is told.
NO_TIME = "the baseline has no times: limits allow for rows that are alike and levels that wander"
#: The square of what makes a small distance of normal values is so many times that of the distance: of a shift in
#: standard deviations, of a change of Fisher's transform of a correlation near zero. Twice the relative entropy of a
#: share is so many times it too, and the square of the logarithm of a variance twice as many.
SHIFT = 8 * float(np.log(2))
_UNITS = np.array([1.0, SHIFT, SHIFT, SHIFT, 2 * SHIFT])
#: What is gross however short the baseline is: a distance of .7 (a shift by 1.6 standard deviations), half of the rows.
GROSS, GROSS_SHARE = 0.7, 0.5


@dataclass(frozen=True, slots=True)
class Calibration:
    """The scale of every quantity of windows of one length, and the limit on their scores."""

    scale: Scale
    limit: Limit
    """What windows in a row must exceed, as many as it takes to page."""
    sudden: float
    """What a single window must exceed to page at once."""
    rare: float
    """What one in `RARE` of the baseline's own windows exceeds in any quantity; at most the limit."""
    scores: Floats
    """Scores of the baseline's own windows, [W, Q]."""
    wider: float = 1.0
    """How many times as wide the limits are because the baseline is short."""
    is_timeless: bool = False
    """Whether the baseline has no time, and rows are taken to be as alike as they ever are."""

    @property
    def without_wander(self) -> float:
        """The limit on scores of what no level wanders by: it is not wider because the baseline is short."""
        return self.limit.score / self.wider

    def of_short_windows(self) -> Calibration:
        """Return the same with wider limits, for windows shorter than any of the baseline's."""
        scale = self.scale.widened(SHORT_WANDER)
        if self.is_timeless:
            return replace(self, scale=scale)  # few rows have their heavier tails for being alike
        return replace(
            self,
            scale=scale,
            limit=self.limit._replace(score=self.limit.score * SHORT_SCORE),
            sudden=self.sudden * SHORT_SCORE,
        )

    def scale_for(self, present: Floats) -> Scale:
        """Return the scale of windows with so many present values, [W, C].

        A window with few is compared in fewer groups of bins than the baseline's own, and the cube root of chi-squared
        is the wider the fewer its degrees of freedom k: its variance is 2/(9k) (Wilson & Hilferty 1931).
        """
        if (present >= GROUPS * VALUES_PER_GROUP).all():
            return self.scale
        columns = present.shape[1]
        std = np.repeat(self.scale.std[None, :], len(present), axis=0)
        few = np.sqrt(2.0 / (9.0 * (groups_for(present) - 1)))
        std[:, :columns] = np.maximum(std[:, :columns], few)
        return replace(self.scale, std=std)

    def evidence(self, comparison: Comparison, chance: Floats, reference_rows: float) -> Floats:
        """Return the discrepancies from which on compared windows are beyond the limit, [W, Q].

        A limit that is wide because the baseline is short is no further than what is gross, unless chance alone goes as
        far, or the baseline's own windows went nearly as far. Where so little could be learnt, or nothing for lack of
        times, fewer values than fill two groups of bins prove nothing: no line of chance says how far they go.
        """
        scale = self.scale_for(comparison.present)
        limit = scale.limit(self.limit.score, chance)
        if self.wider <= WIDENED and not self.is_timeless:
            return limit
        few = np.tile(comparison.present < 2 * VALUES_PER_GROUP, len(WATCHED))
        few &= ~np.repeat(np.array(WATCHED) == "missing_share", comparison.present.shape[1])
        if not self.is_timeless:
            own = np.max(np.nan_to_num(self.scores), axis=0, initial=0.0)
            by_chance = replace(scale, wander=np.zeros_like(scale.wander)).limit(
                self.limit.score / self.wider, chance
            )
            usual = np.fmax(by_chance, scale.limit(WIDENED * own, chance))
            limit = np.fmin(limit, np.fmax(_gross(comparison, reference_rows), usual))
        out: Floats = np.where(few, np.inf, limit)
        return out

    def of_columns(self, columns: Sequence[int]) -> Calibration:
        """Return the same for some of the columns, in this order; nothing is known of those that are -1."""
        q = len(self.scale.mean) // len(WATCHED)
        at = np.concatenate(
            [np.where(np.asarray(columns) < 0, -1, k * q + np.asarray(columns)) for k in range(len(WATCHED))]
        )
        unknown = unknown_scale(len(at), UNKNOWN_WANDER * np.repeat(_UNITS, len(columns)))
        scale = Scale(
            *(
                np.where(at < 0, getattr(unknown, name), getattr(self.scale, name)[at])
                for name in ("chance", "wander", "mean", "std")
            )
        )
        finest = np.where(at < 0, 0.0, np.broadcast_to(self.scale.finest, self.scale.mean.shape)[at])
        scores = np.where(at < 0, np.nan, self.scores[:, at])
        return replace(self, scale=replace(scale, finest=finest), scores=scores)


@dataclass(frozen=True, slots=True)
class Quantities:
    """Discrepancies and their lines of chance, [W, Q], columns side by side for each of `WATCHED`."""

    discrepancy: Floats
    chance: Floats
    silent: Bools | None = None
    """Which cannot page, however far they go; None for none."""


@dataclass(frozen=True, slots=True)
class Say:
    """Which quantities have a say, where not all of them do."""

    counted: Bools
    """Those that can page at all, [Q]."""
    are_better: Callable[[Ints, Floats], Bools]
    """Of windows [W, slots] and what is expected of them: which columns went to the side that is no news, [W, C]."""

    def silent(self, windows: Ints, expected: Floats) -> Bools:
        """Return which quantities cannot page, [W, Q]."""
        return np.tile(self.are_better(windows, expected), len(WATCHED)) | ~self.counted


def quantities_of(
    comparison: Comparison, moved: Moved, rows: npt.ArrayLike, reference_rows: float
) -> Quantities:
    """Lay out what is watched of compared windows.

    Parameters
    ----------
    moved
        Location and spread of the same windows.
    rows
        Of each window, [W].
    """
    n = np.broadcast_to(np.asarray(rows, np.float64)[:, None], comparison.js.shape)
    share, expected = novel_shares(comparison)
    missing = share_discrepancy(comparison.missing_share, comparison.missing_expected, reference_rows)
    novel = share_discrepancy(share, expected, reference_rows)
    return Quantities(
        np.concatenate([np.square(comparison.js), missing, novel, moved.location, moved.spread], axis=1),
        np.concatenate(
            [
                np.square(comparison.js_chance),
                share_chance(n),
                share_chance(comparison.present),
                moved.location_chance,
                moved.spread_chance,
            ],
            axis=1,
        ),
    )


def novel_shares(comparison: Comparison) -> tuple[Floats, Floats]:
    """Return the share of novel values and what is expected, whatever the kind of column."""
    return (
        np.where(np.isnan(comparison.unseen_share), comparison.out_of_range_share, comparison.unseen_share),
        np.where(
            np.isnan(comparison.unseen_expected), comparison.out_of_range_expected, comparison.unseen_expected
        ),
    )


def _gross(comparison: Comparison, reference_rows: float) -> Floats:
    """Return the discrepancies that are gross whatever the baseline could teach, [W, Q]."""
    moved = [np.full(comparison.js.shape, unit * GROSS**2) for unit in _UNITS]
    for k, expected in ((1, comparison.missing_expected), (2, novel_shares(comparison)[1])):
        more = np.minimum(expected + GROSS_SHARE, 1.0)
        moved[k] = np.broadcast_to(share_discrepancy(more, expected, reference_rows), comparison.js.shape)
    return np.concatenate(moved, axis=1)


def calibrate(
    seasons: Seasons,
    layout: Layout,
    rows: int,
    width: int,
    *,
    min_rows: int,
    pages_per_pane: float,
    run: int = 1,
    say: Say | None = None,
) -> Calibration:
    """Learn from the baseline's own windows.

    Parameters
    ----------
    seasons
        The baseline.
    rows
        Of the baseline.
    width
        Of a window, in panes of the baseline.
    min_rows
        Windows with fewer are not judged.
    pages_per_pane
        How many false pages a step of a pane of the baseline may cost.
    run
        Windows in a row that it takes to page.
    say
        Which quantities can page; all of them by default. The others take no part in the limit.
    """
    family = _families(layout)
    _, counts, _ = seasons.dense_panes()

    def compared(fold_of_pane: npt.NDArray[np.intp]) -> Quantities:
        return _cross_fitted(seasons, layout, rows, fold_of_pane, width, sliding_sum(counts, width), say)

    unknown = UNKNOWN_WANDER if seasons.pane_us else TIMELESS_WANDER
    wander = unknown * np.repeat(_UNITS, len(layout.columns))
    terms = Terms(width, min_rows, pages_per_pane, run)
    # How far the rows went that are out of range is one more look at each number.
    besides = np.array([i in layout.numeric for i in range(len(layout.columns))], dtype=bool)
    able = np.ones(len(family), dtype=bool) if say is None else say.counted
    besides &= able.reshape(len(WATCHED), -1)[WATCHED.index("novel_share")]
    found = calibrate_windows(seasons, family, terms, compared, wander, able, int(besides.sum()))
    per_window = max(rows * width / max(len(counts), 1), 1.0)
    return replace(found, scale=_in_clusters(found.scale, layout, float(share_chance(per_window))))


def _in_clusters(scale: Scale, layout: Layout, line: float) -> Scale:
    """Let numbers leave their range in clusters, as long as those in which their values come.

    No row of a baseline is out of its range, so how such rows cluster cannot be learnt from them. Where rows resemble
    their neighbours, one excursion beyond all that was seen lasts for several: they count for as few independent ones
    as the same column's location says, whose line of chance is about `line` for windows of the usual size. Windows that
    all have about as many rows do not tell what rows have in common from what the level wanders by, so both count. But
    never for fewer than one in twenty (a correlation of 0.9 from row to row): most of a window's rows out of range are
    no burst, however much the level wanders.
    """
    chance = scale.chance.reshape(len(WATCHED), -1).copy()
    wander = scale.wander.reshape(len(WATCHED), -1)
    novel, location = WATCHED.index("novel_share"), WATCHED.index("location")
    numbers = list(layout.numeric)
    alike = chance[location, numbers] + wander[location, numbers] / line
    clustered = np.minimum(alike, MOST_ALIKE * LEAST_CHANCE)
    chance[novel, numbers] = np.fmax(chance[novel, numbers], clustered)
    return replace(scale, chance=chance.ravel())


@dataclass(frozen=True, slots=True)
class Terms:
    """What a calibration is for: see `calibrate`."""

    width: int
    min_rows: int
    pages_per_pane: float
    run: int = 1


def calibrate_windows(
    seasons: Seasons,
    family: Ints,
    terms: Terms,
    compared: Callable[[npt.NDArray[np.intp]], Quantities],
    wander: npt.ArrayLike = UNKNOWN_WANDER,
    able: Bools | None = None,
    besides: int = 0,
) -> Calibration:
    """Learn from windows of the baseline, whatever they are measured by.

    Parameters
    ----------
    family
        Of each quantity, [Q]: those of one family lend each other their spread. From 2 on they may be nearly always
        zero, and have the spread of a coin at least.
    compared
        Compares every window with the panes of all stretches but its own, [W, Q]; told the stretch of each pane.
    wander
        Assumed where there are no two stretches to learn from, of each quantity.
    able
        Which can page at all, [Q]; all by default.
    besides
        Scores that share the limit, and need nothing learnt.
    """
    starts, _, pane_rows = seasons.dense_panes()
    width = terms.width
    independent = min(1.0, 2.0 / width)
    per_day = max(DAY_US // seasons.pane_us, 1) if seasons.pane_us else 1
    fold_of_pane = folds_of(len(starts), width, per_day) if len(starts) else np.zeros(0, dtype=np.intp)
    # Where a level wanders for hours, a day is about one look at it.
    stretches = len(starts) // max(per_day, width) if seasons.pane_us else 0
    if not fold_of_pane.any():
        looked_at = besides + (int(np.sum(able)) if able is not None else len(family))
        union = union_limit(terms.pages_per_pane / independent, looked_at)
        unknown = unknown_scale(len(family), wander)
        if not seasons.pane_us:
            return _of_no_time(unknown, union, looked_at)
        wider = widening(max(stretches, 1))
        short = (
            f"the baseline has no two stretches of days to learn from: limits are {wider:.2g} times as wide"
        )
        return _uncalibrated(unknown, Limit(wider * union, short), looked_at, wider)
    fold = fold_of_pane[width - 1 :]
    window_rows = sliding_sum(pane_rows[:, None], width)[:, 0]
    # A window with holes is shorter than it looks.
    enough = sliding_sum((pane_rows > 0).astype(np.int64)[:, None], width)[:, 0] >= width / 2
    enough &= window_rows >= terms.min_rows
    found = compared(fold_of_pane)
    # A category has neither location nor spread.
    has_chance = np.isfinite(found.chance).any(axis=0)
    quantities = int((has_chance if able is None else has_chance & able).sum()) + besides
    found.discrepancy[~enough] = np.nan
    scores = np.full_like(found.discrepancy, np.nan)
    effective = enough.sum() / width
    for k in range(int(fold.max()) + 1):
        here = fold == k
        others = np.where(fold > k, fold - 1, fold)[~here]
        if here.any() and len(others):
            part = _fit(
                found.discrepancy[~here], found.chance[~here], others, effective * np.mean(~here), family
            )
            scores[here] = part.score(found.discrepancy[here], found.chance[here])
    # What went far and is no news is no further than usual; and what is not known is not that.
    said = scores if found.silent is None else np.where(found.silent, np.minimum(scores, 0.0), scores)
    greatest = np.nanmax(np.where(np.isnan(said), -np.inf, said), axis=1, initial=-np.inf)
    limit, sudden = (
        score_limit(
            np.where(np.isfinite(greatest), greatest, np.nan),
            block=max(per_day, 2 * width),
            # There are two ways to page, and each has half of the budget.
            pages_per_pane=terms.pages_per_pane / 2,
            quantities=quantities,
            independent=independent,
            run=windows,
            stretches=stretches,
        )
        for windows in (terms.run, 1)
    )
    scale = _fit(found.discrepancy, found.chance, fold, effective, family)
    known = greatest[np.isfinite(greatest)]
    rare = float(np.quantile(known, 1 - 1 / RARE)) if len(known) else union_limit(1 / RARE, quantities)
    wider = widening(stretches) if limit.warning else 1.0
    return Calibration(scale, limit, max(limit.score, sudden.score), min(rare, limit.score), scores, wider)


def _of_no_time(independent: Scale, union: float, looked_at: int) -> Calibration:
    """Allow for what nothing is known of: rows that resemble their neighbours, and levels that wander.

    A limit that is a multiple of what independent rows go by holds neither: sixteen rows that count as one go
    four times as far. So it is the scale that is wide, and the limit what normal scores need.
    """
    alike = replace(independent, chance=TIMELESS_ALIKE * independent.chance)
    return replace(_uncalibrated(alike, Limit(union, NO_TIME), looked_at), is_timeless=True)


def _uncalibrated(scale: Scale, limit: Limit, looked_at: int, wider: float = 1.0) -> Calibration:
    rare = min(union_limit(1 / RARE, looked_at), limit.score)
    return Calibration(scale, limit, limit.score, rare, np.empty((0, len(scale.mean))), wider)


def _fit(
    discrepancy: Floats, chance: Floats, fold: npt.NDArray[np.intp], effective: float, family: Ints
) -> Scale:
    scale = fit_scale(discrepancy, chance, fold, effective, family)
    # A share that is nearly always zero has no spread to learn: it is at least that of a coin.
    unknown = unknown_scale(len(family))
    shares = family >= 2
    return Scale(
        scale.chance,
        scale.wander,
        np.where(shares, np.maximum(scale.mean, unknown.mean), scale.mean),
        np.where(shares, np.maximum(scale.std, unknown.std), scale.std),
        scale.finest,
    )


def _families(layout: Layout) -> Ints:
    """Distances of numbers, distances of categories, missing shares, novel shares, locations, spreads."""
    kinds = np.array([int(c.kind == "categorical") for c in layout.columns], dtype=np.int64)
    return np.concatenate([kinds, *(np.full_like(kinds, family) for family in range(2, 6))])


def _cross_fitted(
    seasons: Seasons,
    layout: Layout,
    rows: int,
    fold_of_pane: npt.NDArray[np.intp],
    width: int,
    windows: Ints,
    say: Say | None,
) -> Quantities:
    """Compare every window with the panes of all stretches but the one in which it ends."""
    fold = fold_of_pane[width - 1 :]
    shape = (len(windows), len(WATCHED) * len(layout.columns))
    silent = None if say is None else np.zeros(shape, dtype=bool)
    out = Quantities(np.full(shape, np.nan), np.full(shape, np.nan), silent)
    starts, _, pane_rows = seasons.dense_panes()
    window_rows = sliding_sum(pane_rows[:, None], width)[:, 0]
    for k in range(int(fold.max()) + 1):
        here = np.flatnonzero(fold == k)
        if not len(here):
            continue
        rest = seasons.without(starts[fold_of_pane == k])
        # Windows that end in a stretch are consecutive.
        panes = slice(here[0], here[-1] + width)
        expected = rest.expected(starts[panes], pane_rows[panes], width)
        m = max(float(rows) * (1 - np.mean(fold_of_pane == k)), 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            compared = compare(windows[here], expected, m, layout, only_deciding=True)
            moved = seasons.normal_scores.moved(windows[here], seasons.normal_scores.totals(expected), m)
            found = quantities_of(compared, moved, window_rows[here], m)
        out.discrepancy[here], out.chance[here] = found.discrepancy, found.chance
        if say is not None and silent is not None:
            silent[here] = say.silent(windows[here], expected)
    return out
