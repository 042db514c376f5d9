"""Comparing one set of rows with a baseline, once: no stream, no budget, no history.

The rows are counted by the code that counts live traffic (`to_rows`, `summarise`) and measured by the same distances.
A column drifts when a distance exceeds three limits at once: the smallest effect worth a page, what chance alone gives
at these sample sizes, and how far periods of about as many rows wandered within the reference itself, where it has
times.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from detectors.compare import Comparison, compare
from detectors.evidence.shares import share_at_chance
from detectors.joint.sums import joint_sums
from detectors.layout import FIRST_CATEGORY, Column, Layout
from detectors.movement import movement
from detectors.summary import MEAN, Block, merge, summarise
from seawall.baseline import Baseline, BaselineColumn
from seawall.frames import Categorical, Columns
from seawall.monitor import DAY_US, Effects, MonitorSpec
from streams.core.histograms import Histogram, histogram_of
from streams.core.joint import plan_of
from streams.core.layouts import SOURCE_ROLES, baseline_layout
from streams.core.loss_verdicts import are_losses
from streams.core.losses import TRUTH, rule_for, with_losses
from streams.core.one_off_joint import compare_sums
from streams.core.rare_rows import effects_of_missing, hardly_missing
from streams.core.rows import to_rows
from streams.core.verdicts import ColumnVerdict, Verdict

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
#: How much further than ever seen within the reference.
WANDER_MARGIN = 1.25
#: How much further than the 95 % line of chance: about one quiet column in a million of ten bins passes it.
CHANCE_MARGIN = 1.6
#: The log of one in a million.
CHANCE_LOG = 13.8
WARNING_AT = 0.8
_NOVEL = ("unseen_share", "out_of_range_share")
_SHARES = ("missing_share", *_NOVEL)
#: Verdicts that say something of a column, from best to worst.
_KNOWN = (Verdict.STABLE, Verdict.WARNING, Verdict.DRIFT)
_ROWS_AT_ONCE = 1 << 18
#: A single pane wide enough for any event time.
_FOREVER_US = 1_000_000 * DAY_US


@dataclass(frozen=True, slots=True)
class ColumnFinding:
    """What is said about one column."""

    name: str
    role: str
    kind: str
    verdict: Verdict
    statistic: str
    """What is nearest its limit: ``js``, ``missing_share``, ``unseen_share`` or ``out_of_range_share``."""
    value: float
    limit: float
    chance: float
    """What chance alone exceeds in 5 % of samples of this size, on this side of the usual share."""
    usual: float
    """The reference's own share; a distance has none."""
    ratio: float
    """Value over limit; of a share, its change over the change allowed."""
    moved: float
    """How far it moved, in standard deviations of the reference (`detectors.movement`)."""
    beyond_chance: bool
    """Whether anything at all has surely changed, be it small."""
    detail: str
    psi: float
    psi_chance: float
    """Of these three, too: what chance alone exceeds in 5 % of samples of this size."""
    ks: float
    ks_chance: float
    wasserstein: float
    wasserstein_chance: float
    missing: tuple[float, float]
    """Share of rows, before and after."""
    mean: tuple[float, float]
    histogram: Histogram

    @property
    def key(self) -> str:
        """``role/name``."""
        return f"{self.role}/{self.name}"


@dataclass(frozen=True, slots=True)
class OneOff:
    """The whole comparison; columns by verdict, the worst first, and among these what moved most."""

    reference_rows: int
    current_rows: int
    verdict: Verdict
    columns: tuple[ColumnFinding, ...]
    notes: tuple[str, ...]
    relations: tuple[ColumnVerdict, ...] = ()
    """What several columns show together and none shows alone, worst first; only what is not stable."""


def compare_once(
    baseline: Baseline,
    parts: Sequence[Columns],
    *,
    effect: float = 0.1,
    effects: Effects | None = None,
    min_rows: int = 30,
    only: Collection[str] | None = None,
) -> OneOff:
    """Compare rows with a baseline.

    Parameters
    ----------
    baseline
        The reference.
    parts
        The rows: predictions (features, scores, predicted label), and labels where the truth is known, with scores
        and predictions again for what these cost. Roles that no part carries are left out, but a feature that is
        not there counts as missing.
    effect
        Smallest Jensen-Shannon distance that is drift, 0..1.
    effects
        Smallest changes of everything else that are drift; of missing values a tenth where the reference had none and
        this has the default (`streams.core.rare_rows`).
    min_rows
        Fewer present values than this, on either side, are not enough data.
    only
        Names of the columns to compare; all by default.
    """
    effects = effects or Effects()
    findings: list[ColumnFinding] = []
    notes: list[str] = []
    sums: Ints | None = None
    rule = rule_for(MonitorSpec(baseline.model), baseline)
    for part in parts:
        columns = with_losses(part, rule) if part.source == "labels" else part
        layout = _asked(baseline_layout(baseline, columns.source), columns, only)
        notes += _unknown(baseline, columns, only)
        if layout.columns:
            block = count(columns, layout, baseline)
            findings += _findings(baseline, columns, layout, block, (effect, effects), min_rows)
        if columns.source == "predictions" and columns.rows:
            sums = sum_jointly(columns, baseline)
    compared = {f.key for f in findings}
    left_out = [
        c.name
        for c in baseline.columns
        if f"{c.role}/{c.name}" not in compared and (only is None or c.name in only)
    ]
    if left_out:
        notes.append(f"not compared, because no column was named for it: {', '.join(left_out)}")
    if not baseline.pane_us:
        notes.append("the reference has no times: how far quiet periods of it wander is not known")
    # A ratio to a limit says how sure it is that a column moved, and does not compare columns.
    findings.sort(key=lambda f: (-f.verdict if f.verdict in _KNOWN else 1, -f.moved, f.key))
    known: list[Verdict] = [f.verdict for f in findings if f.verdict in _KNOWN]
    relations: list[ColumnVerdict] = []
    if sums is not None:
        said = {f.key: f.verdict for f in findings}
        relations = compare_sums(
            baseline, sums, said, min_rows=min_rows, wander_margin=WANDER_MARGIN, smallest=effects
        )
        known += [r.verdict for r in relations]
    rows = max((c.rows for c in parts), default=0)
    return OneOff(
        baseline.rows,
        rows,
        max(known, default=Verdict.NOT_ENOUGH_DATA),
        tuple(findings),
        tuple(notes),
        tuple(relations),
    )


def count(columns: Columns, layout: Layout, baseline: Baseline) -> Block:
    """Count rows into one cell of a layout, a quarter of a million at a time to bound memory."""
    spec = MonitorSpec(baseline.model, pane_us=_FOREVER_US)
    blocks = [
        summarise(to_rows(replace(part, ts=np.zeros(part.rows, dtype=np.int64)), layout, spec, baseline))
        for part in _slices(columns)
    ]
    return merge(blocks)


def sum_jointly(columns: Columns, baseline: Baseline) -> Ints | None:
    """Sum rows across columns as the baseline says, [sums]; None where it does not."""
    layout, plan = baseline_layout(baseline, columns.source), plan_of(baseline)
    bound = plan.bound_to(layout) if plan else None
    if bound is None:
        return None
    spec = MonitorSpec(baseline.model, pane_us=_FOREVER_US)
    total = np.zeros(bound.plan.width, dtype=np.int64)
    for part in _slices(columns):
        rows = to_rows(part, layout, spec, baseline)
        total += joint_sums(rows.slots, np.zeros(len(rows.panes), dtype=np.int64), bound).sums[0]
    return total


def _slices(columns: Columns) -> Iterator[Columns]:
    for start in range(0, columns.rows, _ROWS_AT_ONCE):
        at = slice(start, start + _ROWS_AT_ONCE)
        yield replace(
            columns,
            ts=columns.ts[at],
            numeric={n: v[at] for n, v in columns.numeric.items()},
            categorical={n: Categorical(c.codes[at], c.dictionary) for n, c in columns.categorical.items()},
            scores={n: v[at] for n, v in columns.scores.items()},
            label=columns.label and Categorical(columns.label.codes[at], columns.label.dictionary),
            segments={},
        )


def _asked(layout: Layout, columns: Columns, only: Collection[str] | None) -> Layout:
    """Leave out roles that the rows do not carry, and columns that nobody asked for."""
    carried = {
        "feature": True,
        "score": bool(columns.scores),
        "prediction": columns.label is not None,
        "label": columns.label is not None or bool(columns.numeric),
        "loss": any(name != TRUTH for name in columns.numeric),
        "scored": False,
    }
    return Layout(tuple(c for c in layout.columns if carried[c.role] and (only is None or c.name in only)))


def _unknown(baseline: Baseline, columns: Columns, only: Collection[str] | None) -> list[str]:
    if "feature" not in SOURCE_ROLES[columns.source]:
        return []
    known = {c.name for c in baseline.columns if c.role == "feature"}
    new = sorted(n for n in (*columns.numeric, *columns.categorical) if n not in known and only is None)
    return [f"new columns, which the reference does not have: {', '.join(new)}"] if new else []


def _findings(
    baseline: Baseline,
    columns: Columns,
    layout: Layout,
    block: Block,
    smallest: tuple[float, Effects],
    min_rows: int,
) -> list[ColumnFinding]:
    whole = baseline_layout(baseline)
    panes = np.zeros((len(baseline.pane_counts), layout.slots), dtype=np.int64)
    for i, column in enumerate(layout.columns):
        panes[:, layout.slice_of(i)] = baseline.pane_counts[:, whole.slice_of(whole.index[column.key])]
    before, after = panes.sum(axis=0), block.counts[0].astype(np.int64)
    totals = np.add.reduceat(before, layout.first_slots)[layout.column_of_slot]
    expected = (before / np.maximum(totals, 1))[None, :]
    result = compare(after[None, :], expected, baseline.rows, layout)
    wander = _wander(panes, expected, int(block.rows[0]), layout)
    sizes = _sizes(result, int(block.rows[0]), baseline.rows)
    shares = _expected(result, sizes, before, layout)
    at_chance = _at_chance(result, shares, sizes)
    smallest_of = _smallest(baseline, panes, layout, *smallest)
    moved = movement(result)[0].tolist()
    described = {f"{c.role}/{c.name}": c for c in baseline.columns}
    means = dict(zip(layout.numeric, block.moments[0, :, MEAN].tolist(), strict=True))
    found = []
    for i, column in enumerate(layout.columns):
        at = layout.slice_of(i)
        best = _best(result, wander, at_chance, shares, i, sizes, smallest_of)
        asked = "missing_share" if best.statistic == "missing_share" else _NOVEL[0]
        enough = sizes[asked].least[i] >= min_rows
        verdict = (
            Verdict.NOT_ENOUGH_DATA
            if not enough or not np.isfinite(best.ratio)
            else Verdict.DRIFT
            if best.ratio >= 1.0
            else Verdict.WARNING
            if best.ratio >= WARNING_AT
            else Verdict.STABLE
        )
        told = described[column.key]
        found.append(
            ColumnFinding(
                column.name,
                column.role,
                column.kind,
                verdict,
                best.statistic,
                best.value,
                best.limit,
                best.chance,
                best.usual,
                best.ratio,
                moved[i],
                best.beyond_chance,
                _detail(column, columns, told, result, i),
                float(result.psi[0, i]),
                float(result.psi_chance[0, i]),
                float(result.ks[0, i]),
                float(result.ks_chance[0, i]),
                float(result.wasserstein[0, i]),
                float(result.wasserstein_chance[0, i]),
                (float(result.missing_expected[0, i]), float(result.missing_share[0, i])),
                (told.mean if column.kind == "numeric" else np.nan, means.get(i, np.nan)),
                histogram_of(column, told, before[at], after[at]),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class _Best:
    statistic: str
    value: float
    limit: float
    chance: float
    usual: float
    ratio: float
    beyond_chance: bool


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Of how many rows a share is, before and after: float64 [C]."""

    before: Floats
    after: Floats

    @property
    def least(self) -> Floats:
        """The fewer of both."""
        return np.minimum(self.before, self.after)

    @property
    def both(self) -> Floats:
        """Rows that vary as much as the difference of both does, at least one: n m / (n + m)."""
        return np.maximum(self.before * self.after / np.maximum(self.before + self.after, 1.0), 1.0)


def _sizes(result: Comparison, rows: int, reference_rows: int) -> dict[str, _Sizes]:
    present = _Sizes(reference_rows * (1.0 - result.missing_expected[0]), result.present[0])
    every = np.ones_like(present.after)
    return {"missing_share": _Sizes(reference_rows * every, rows * every), **dict.fromkeys(_NOVEL, present)}


def _expected(
    result: Comparison, sizes: dict[str, _Sizes], before: Ints, layout: Layout
) -> dict[str, Floats]:
    """Return the shares to expect, by column: of novel values more than the m of the reference show.

    The next number is the least or the greatest of all in two cases of m + 1. The next category is a new one about as
    often as those seen once make up the reference (Good and Turing), and once in m + 1 at least.
    """
    once = np.array(
        [
            np.sum(before[layout.slice_of(i)][FIRST_CATEGORY:] == 1) if c.kind == "categorical" else 0
            for i, c in enumerate(layout.columns)
        ]
    )
    news: dict[str, Floats | float] = {
        "missing_share": 0.0,
        "unseen_share": once + 1.0,
        "out_of_range_share": 2.0,
    }
    return {
        name: np.minimum(
            np.maximum(getattr(result, f"{name[:-6]}_expected")[0], news[name] / (sizes[name].before + 1.0)),
            1.0,
        )
        for name in _SHARES
    }


def _at_chance(
    result: Comparison, expected: dict[str, Floats], sizes: dict[str, _Sizes]
) -> dict[str, Floats]:
    """Return the shares that chance alone exceeds, on the side of the usual one that was seen, by column."""
    out = {}
    for name in _SHARES:
        value, usual = (getattr(result, n)[0] for n in (name, f"{name[:-6]}_expected"))
        out[name] = share_at_chance(expected[name], sizes[name].both, above=value >= usual)
    return out


def _smallest(
    baseline: Baseline, panes: Ints, layout: Layout, effect: float, effects: Effects
) -> dict[str, Floats]:
    """Return the smallest changes that are drift, by statistic and column: those of a monitor with these effects."""
    every = np.ones(len(layout.columns))
    spec = MonitorSpec(baseline.model, effect=effect, effects=effects)
    missing = effects.missing * every
    # A label without what was predicted has no loss, and never had one.
    of_values = effects_of_missing(spec, missing, hardly_missing(panes, layout), layout)
    return {
        "js": effect * every,
        "missing_share": np.where(are_losses(layout), missing, of_values),
        "unseen_share": effects.unseen * every,
        "out_of_range_share": effects.out_of_range * every,
    }


def _best(
    result: Comparison,
    wander: dict[str, Floats],
    at_chance: dict[str, Floats],
    shares: dict[str, Floats],
    i: int,
    sizes: dict[str, _Sizes],
    smallest: dict[str, Floats],
) -> _Best:
    """Return the statistic that is furthest beyond its limit."""
    js, chance = float(result.js[0, i]), float(result.js_chance[0, i])
    noise = CHANCE_MARGIN * chance
    limit = float(np.nanmax([smallest["js"][i], WANDER_MARGIN * wander["js"][i], noise]))
    best = _Best("js", js, limit, chance, np.nan, js / limit, js > noise)
    for name in _SHARES:
        value = float(getattr(result, name)[0, i])
        usual = float(getattr(result, f"{name[:-6]}_expected")[0, i])
        n, expected = float(sizes[name].both[i]), float(shares[name][i])
        p = float(np.clip(expected, 0.5 / n, 1.0 - 0.5 / n))
        # Bernstein's inequality: holds for few rows and rare values, where a normal bound does not.
        noise = float(np.sqrt(2 * p * (1 - p) * CHANCE_LOG / n) + CHANCE_LOG / (3 * n)) + expected - usual
        allowed = float(np.nanmax([smallest[name][i], WANDER_MARGIN * wander[name][i], noise]))
        ratio = abs(value - usual) / allowed
        if np.isfinite(ratio) and not ratio <= best.ratio:
            edge = usual + allowed if value >= usual else usual - allowed
            best = _Best(name, value, edge, float(at_chance[name][i]), usual, ratio, best.beyond_chance)
        if abs(value - usual) > noise:
            best = replace(best, beyond_chance=True)
    return best


def _wander(panes: Ints, expected: Floats, rows: int, layout: Layout) -> dict[str, Floats]:
    """Measure how far periods of at least `rows` rows are from the whole reference: the furthest, by column."""
    none = np.zeros(len(layout.columns))
    pane_rows = np.add.reduceat(panes, layout.first_slots, axis=1).max(axis=1)
    period = (np.cumsum(pane_rows) - pane_rows) // max(rows, 1)
    starts = np.flatnonzero(np.diff(period, prepend=-1))
    if len(starts) < 3:  # one period of its own, and a rest that may be short
        return dict.fromkeys(("js", *_SHARES), none)
    result = compare(np.add.reduceat(panes, starts, axis=0)[:-1], expected, np.inf, layout)
    return {
        "js": np.nan_to_num(np.nanmax(np.nan_to_num(result.js), axis=0)),
        **{
            name: np.nanmax(
                np.nan_to_num(np.abs(getattr(result, name) - getattr(result, f"{name[:-6]}_expected"))),
                axis=0,
            )
            for name in _SHARES
        },
    }


def _detail(column: Column, columns: Columns, told: BaselineColumn, result: Comparison, i: int) -> str:
    if column.role == "feature":
        if column.kind == "numeric" and column.name in columns.categorical:
            return "holds text where the reference has numbers"
        if column.name not in columns.numeric and column.name not in columns.categorical:
            return "is not there"
    outside, unseen = float(result.out_of_range_share[0, i]), float(result.unseen_share[0, i])
    if outside >= 0.01:
        return f"{outside:.1%} outside {told.minimum:.6g} … {told.maximum:.6g}"
    return f"{unseen:.1%} never seen before" if unseen >= 0.01 else ""
