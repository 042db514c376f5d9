"""A few rows of many that are worth a page: far beyond all that the baseline had, or missing where nothing ever was."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectors.evidence.far import UNKNOWN, Tail, Tails, tail_of
from detectors.layout import MISSING, Layout
from seawall.baseline import Baseline
from seawall.monitor import Effects, MonitorSpec

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
#: A column is hardly ever missing when it is in fewer than this share of the baseline's rows.
HARDLY = 0.0005
#: What counts as much there as ten times of it where some are always missing.
FIRST = 0.1


def tails_of(baseline: Baseline, layout: Layout) -> Tails:
    """Return how far the numbers of a layout went in a baseline; of one that it does not describe nothing is known."""
    known = {f"{c.role}/{c.name}": c for c in baseline.columns}
    tails: list[Tail] = []
    for i in layout.numeric:
        column = known.get(layout.columns[i].key)
        quantiles = dict(zip(column.quantile_levels, column.quantiles, strict=True)) if column else {}
        if column is None or not {0.01, 0.99} <= quantiles.keys() or column.edges != layout.columns[i].edges:
            tails.append(UNKNOWN)
            continue
        tails.append(
            tail_of(
                column.mean,
                column.std,
                column.minimum,
                column.maximum,
                (quantiles[0.01], quantiles[0.99]),
                column.count,
            )
        )
    return Tails(layout, tails)


def hardly_missing(counts: npt.NDArray[np.int64], layout: Layout) -> Bools:
    """Say which columns of a baseline (nearly) always had a value, [columns]; of one without rows nothing is said.

    Parameters
    ----------
    counts
        What each pane held, [panes, slots].
    """
    totals = counts.sum(axis=0)
    first = np.asarray(layout.first_slots, dtype=np.intp)
    rows = np.add.reduceat(totals, first) if len(first) else np.zeros(0, dtype=np.int64)
    missing = totals[first + MISSING]
    return np.asarray((rows > 0) & (missing < HARDLY * rows), dtype=bool)


def effects_of_missing(spec: MonitorSpec, effects: Floats, hardly: Bools, layout: Layout) -> Floats:
    """Return the smallest share of missing values worth a page, [columns].

    A share that was 4 % and is 5 % is a change of size; the same hundredth of a column that was never missing is a
    change of kind, and a tenth of the default will do. What the owner says, of all columns or of one, holds as it is.
    """
    if spec.effects.missing != Effects.missing:
        return effects
    rules = [spec.columns.get(c.name) for c in layout.columns]
    own = np.array([rule is not None and "missing" in rule.effects for rule in rules], dtype=bool)
    return np.where(hardly & ~own, FIRST * effects, effects)
