"""Comparing rows with a baseline across columns, once: what no single column shows.

The sums, the correlations and the two numbers of all columns are those of live traffic (`streams.core.joint`). The
limits are those of one comparison: the smallest change worth a page; what chance alone gives once in a thousand
comparisons, whatever the number of pairs; and how far periods of about as many rows wandered within the reference.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from detectors.joint.relations import beyond_line
from seawall.baseline import Baseline
from seawall.monitor import Effects
from streams.core.joint import LEAST_ROWS, JointReference, joint_reference, measure
from streams.core.joint_verdicts import judge_jointly
from streams.core.layouts import baseline_layout
from streams.core.seasons import Seasons
from streams.core.verdicts import ColumnVerdict, Verdict

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
#: How often chance alone may exceed any limit.
FALSE_ALARM = 1e-3


def compare_sums(
    baseline: Baseline,
    sums: Ints,
    column_verdicts: Mapping[str, Verdict],
    *,
    min_rows: int,
    wander_margin: float,
    smallest: Effects,
) -> list[ColumnVerdict]:
    """Say what several columns show together and none shows alone, worst first.

    Parameters
    ----------
    baseline
        With a plan (`plan_of`).
    sums
        Of all rows, [sums].
    column_verdicts
        What is said of each column that was compared, by ``role/name``.
    min_rows
        Fewer rows on either side, or fewer than `streams.core.joint.LEAST_ROWS`, are not enough data.
    wander_margin
        How many times as far as ever within the reference.
    smallest
        Changes that are drift.
    """
    layout = baseline_layout(baseline)
    counts = baseline.pane_counts.astype(np.int64)
    # One comparison of the whole: hours are not told apart.
    seasons = Seasons(layout, counts, baseline.pane_starts, baseline.pane_us, "UTC", slots=1)
    reference = joint_reference(baseline, seasons)
    assert reference is not None  # noqa: S101 - it has a plan
    measured = measure(sums[None, :], reference.per_slot, float(reference.rows), reference)
    chance = measured.quantities.chance * _beyond(len(reference.plan.pairs[0]), reference.plan.dof)
    wander = _wander(baseline, reference, int(sums[0]))
    limits = np.fmax(chance, wander_margin**2 * wander)
    verdicts = {key: np.array([v], dtype=np.int8) for key, v in column_verdicts.items()}
    found = judge_jointly(
        measured,
        limits,
        limits,
        reference.plan,
        np.array([min(int(sums[0]), baseline.rows) >= max(min_rows, LEAST_ROWS)]),
        verdicts,
        smallest=smallest,
    )
    return found.culprits(0)


def _beyond(pairs: int, dof: float) -> Floats:
    """How many times the 95 % line of chance a discrepancy must be, [pairs + 2]."""
    each = FALSE_ALARM / (pairs + 2)
    return np.array([beyond_line(each)] * (pairs + 1) + [beyond_line(each, dof)])


def _wander(baseline: Baseline, reference: JointReference, rows: int) -> Floats:
    """Measure how far periods of at least `rows` rows are from the whole reference: the furthest, [quantities]."""
    assert baseline.joint is not None  # noqa: S101 - it has a plan
    panes = baseline.joint.unpacked(len(baseline.pane_starts))
    period = (np.cumsum(panes[:, 0]) - panes[:, 0]) // max(rows, 1)
    starts = np.flatnonzero(np.diff(period, prepend=-1))
    quantities = len(reference.plan.pairs[0]) + 2
    if len(starts) < 3:  # one period of its own, and a rest that may be short
        return np.zeros(quantities)
    found = measure(np.add.reduceat(panes, starts, axis=0)[:-1], reference.per_slot, np.inf, reference)
    out: Floats = np.nan_to_num(found.quantities.discrepancy).max(axis=0)
    return out
