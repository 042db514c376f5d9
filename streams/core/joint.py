"""Several columns at once: a baseline's plan for them, and what it says of windows.

Each pair of watched columns has its correlation, and all of them together have two numbers: the distance of their mean
embeddings (MMD), and the share of variance outside of the baseline's main directions. What is expected follows the
window's hours, like everything else. A limit is the smallest change worth a page or, if that is greater, what the
baseline's own windows teach (`streams.core.calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from detectors.joint.embedding import mean_discrepancy, mean_discrepancy_chance
from detectors.joint.plan import Plan
from detectors.joint.relations import (
    Reconstruction,
    correlations,
    fisher,
    fisher_chance,
    reconstruction_chance,
    reconstruction_error,
    reconstruction_of,
)
from detectors.joint.sums import means_of
from detectors.slide import sliding_sum
from seawall.baseline import Baseline, BaselineJoint
from streams.core.calibration import (
    SHIFT,
    UNKNOWN_WANDER,
    Calibration,
    Quantities,
    Terms,
    calibrate_windows,
)
from streams.core.seasons import Seasons

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
#: Share of the budget of false pages that changes across columns may use; the rest is for single columns.
JOINT_SHARE = 0.2
#: Rows below which nothing is said across columns, whatever `min_rows` is: a correlation of a few rows is anything,
#: and Fisher's transform of ±1 is infinite.
LEAST_ROWS = 30


def plan_of(baseline: Baseline | None) -> Plan | None:
    """Return what a baseline says is to be summed of every row, if anything."""
    if baseline is None or baseline.joint is None:
        return None
    slots = {
        f"{c.role}/{c.name}": _slots_of(c.kind, len(c.edges), len(c.categories)) for c in baseline.columns
    }
    lengths = tuple(slots.get(key, 0) for key in baseline.joint.columns)
    if not all(lengths) or sum(lengths) != len(baseline.joint.codes):
        return None
    return _plan(_Key(baseline.baseline_id, lengths, baseline.joint))


def _slots_of(kind: str, edges: int, categories: int) -> int:
    return max(edges - 1, 1) + 4 if kind == "numeric" else categories + 2


@dataclass(frozen=True)
class _Key:
    """A baseline's joint part, known by the baseline's id: the arrays need not be hashed."""

    baseline_id: str
    lengths: tuple[int, ...]
    joint: BaselineJoint = field(compare=False)


@lru_cache(maxsize=1024)
def _plan(key: _Key) -> Plan:
    joint, ends = key.joint, np.cumsum(key.lengths)[:-1]
    codes = tuple(np.split(np.frombuffer(joint.codes, dtype=np.int8), ends))
    return Plan(joint.columns, joint.bends, codes, joint.frequencies.astype(np.int16), joint.dof)


@dataclass(slots=True)
class JointReference:
    """A baseline's sums, seen through the hours of its traffic."""

    plan: Plan
    baseline: Baseline
    seasons: Seasons
    rows: int
    per_slot: Floats
    """Return sums per row of each slot of the seasons, [slots, sums]."""
    reconstruction: Reconstruction
    calibrations: dict[Terms, Calibration] = field(default_factory=dict)

    def expected(self, pane_starts_us: Ints, pane_rows: Ints, width: int) -> Floats:
        """Return the sums per row that are expected of each window, [windows or 1, sums]."""
        out: Floats = self.seasons.mixture(pane_starts_us, pane_rows, width) @ self.per_slot
        return out

    def calibration(self, terms: Terms) -> Calibration:
        """Return what the baseline teaches about windows of one length."""
        if terms not in self.calibrations:
            self.calibrations[terms] = _calibrate(self, terms)
        return self.calibrations[terms]


def joint_reference(baseline: Baseline, seasons: Seasons) -> JointReference | None:
    """Return what a baseline says across columns; none where it does not.

    Parameters
    ----------
    seasons
        Of the same baseline.
    """
    plan = plan_of(baseline)
    if plan is None or baseline.joint is None:
        return None
    sums = baseline.joint.unpacked(len(baseline.pane_starts))
    rows = int(sums[:, 0].sum())
    overall = means_of(sums.sum(axis=0) / max(rows, 1), plan)
    per_slot = _per_slot(seasons, baseline.pane_starts, sums)
    return JointReference(plan, baseline, seasons, rows, per_slot, reconstruction_of(overall))


def _per_slot(seasons: Seasons, starts: Ints, sums: Ints) -> Floats:
    """Return sums per row of each slot of the seasons, [slots, sums]."""
    rows = sums[:, :1].astype(np.float64)
    return seasons.means_by_slot(starts, sums, rows, np.zeros(sums.shape[1], dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Measured:
    """Windows against what is expected of them. `correlation` and `usual` are [W, pairs], the others [W]."""

    correlation: Floats
    usual: Floats
    usual_fisher: Floats
    """Fisher's transform of `usual`."""
    mmd: Floats
    reconstruction: Floats
    reconstruction_usual: Floats
    quantities: Quantities
    """Pairs first, then the reconstruction, then the distance of mean embeddings."""


def measure(sums: Ints, expected: Floats, rows: float, reference: JointReference) -> Measured:
    """Compare windows with what is expected of them.

    Parameters
    ----------
    sums
        Of each window, [W, sums].
    expected
        Per row, [W or 1, sums].
    rows
        Behind `expected`.
    """
    plan, n = reference.plan, sums[:, 0].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = means_of(sums / n[:, None], plan)
        usual = means_of(expected, plan)
        r, r0 = correlations(seen, plan.pairs), correlations(usual, plan.pairs)
        usual_fisher = fisher(r0)
        gap = np.square(fisher(r) - usual_fisher)
        error = reconstruction_error(seen, reference.reconstruction)
        error0 = np.broadcast_to(reconstruction_error(usual, reference.reconstruction), error.shape)
        mmd = mean_discrepancy(seen.waves, usual.waves)
    chance = np.concatenate(
        [
            np.broadcast_to(fisher_chance(n, rows)[:, None], gap.shape),
            reconstruction_chance(n, rows, reference.reconstruction)[:, None],
            np.broadcast_to(mean_discrepancy_chance(n, rows, usual.waves, plan.dof), mmd.shape)[:, None],
        ],
        axis=1,
    )
    discrepancy = np.concatenate([gap, np.square(error - error0)[:, None], mmd[:, None]], axis=1)
    return Measured(
        r,
        np.broadcast_to(r0, r.shape),
        np.broadcast_to(usual_fisher, r.shape),
        np.sqrt(mmd),
        error,
        error0,
        Quantities(discrepancy, chance),
    )


def _calibrate(reference: JointReference, terms: Terms) -> Calibration:
    """Learn from the baseline's own windows, each compared with the stretches of days that it is no part of."""
    seasons, baseline = reference.seasons, reference.baseline
    assert baseline.joint is not None  # noqa: S101 - or there were no reference
    held = baseline.joint.unpacked(len(baseline.pane_starts))
    pairs = len(reference.plan.pairs[0])
    # A distance of embeddings has many degrees of freedom, and a spread of its own.
    family = np.concatenate([np.full(pairs, 2), [3, 1]]).astype(np.int64)
    starts, _, pane_rows = seasons.dense_panes()
    sums = np.zeros((len(starts), held.shape[1]), dtype=np.int64)
    if len(starts):
        sums[np.searchsorted(starts, baseline.pane_starts)] = held
    windows = sliding_sum(sums, terms.width) if len(starts) >= terms.width else sums[:0]

    def compared(fold_of_pane: npt.NDArray[np.intp]) -> Quantities:
        fold = fold_of_pane[terms.width - 1 :]
        out = Quantities(
            np.full((len(windows), pairs + 2), np.nan), np.full((len(windows), pairs + 2), np.nan)
        )
        for k in range(int(fold.max()) + 1):
            here = np.flatnonzero(fold == k)
            if not len(here):
                continue
            rest = fold_of_pane != k
            per_slot = _per_slot(seasons, starts[rest], sums[rest])
            panes = slice(here[0], here[-1] + terms.width)
            expected = seasons.mixture(starts[panes], pane_rows[panes], terms.width) @ per_slot
            m = max(float(sums[rest, 0].sum()), 1.0)
            found = measure(windows[here], expected, m, reference).quantities
            out.discrepancy[here], out.chance[here] = found.discrepancy, found.chance
        return out

    wander = UNKNOWN_WANDER * np.concatenate([np.full(pairs, SHIFT), [1.0, 1.0]])
    return calibrate_windows(seasons, family, terms, compared, wander)
