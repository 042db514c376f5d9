"""Histograms of one column before and after, in few enough bars to be drawn small."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from detectors.layout import FIRST_CATEGORY, OTHER, UNDERFLOW, Column
from seawall.baseline import BaselineColumn

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_STEPS = 24
_NAMED = 8


@dataclass(frozen=True, slots=True)
class Histogram:
    """What is drawn: a label a bar, and the share of present values in it before and after."""

    labels: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


def histogram_of(column: Column, told: BaselineColumn, before: Ints, after: Ints) -> Histogram:
    """Draw what a column held before and after.

    Parameters
    ----------
    column
        With its fixed bins or categories.
    told
        What the baseline says of it.
    before, after
        Counts over the column's slots.
    """
    if column.kind == "categorical":
        return _of_categories(column, before, after)
    edges = np.asarray(column.edges)
    low, high = (told.quantiles[0], told.quantiles[-1]) if told.quantiles else (edges[0], edges[-1])
    is_coarse = len(edges) - 1 <= _STEPS // 2 or not low < high
    steps = edges if is_coarse else np.linspace(low, high, _STEPS + 1)
    labels = (
        f"below {steps[0]:.4g}",
        *(f"{a:.4g} to {b:.4g}" for a, b in pairwise(steps.tolist())),
        f"above {steps[-1]:.4g}",
    )
    return Histogram(labels, _steps(before, edges, steps), _steps(after, edges, steps))


def _steps(counts: Ints, edges: Floats, steps: Floats) -> tuple[float, ...]:
    """Spread fixed bins over equal steps; the first and the last are open."""
    inside = counts[UNDERFLOW:]
    total = inside.sum()
    if not total:
        return (0.0,) * (len(steps) + 1)
    below = np.cumsum(inside)[: len(edges)].astype(np.float64)
    at = np.interp(steps, edges, below)
    heights = np.diff(np.concatenate([[0.0], at, [float(total)]])) / total
    return tuple(heights.tolist())


def _of_categories(column: Column, before: Ints, after: Ints) -> Histogram:
    """Name the most frequent values of either side; the rest, and what was never seen, share the last bar."""
    q, p = after[OTHER:] / max(after[OTHER:].sum(), 1), before[OTHER:] / max(before[OTHER:].sum(), 1)
    first = FIRST_CATEGORY - OTHER
    order = np.argsort(-np.maximum(p, q)[first:], kind="stable")[:_NAMED]
    labels = tuple(column.categories[j] for j in order)
    sides = []
    for side in (p, q):
        shares = side[first:][order].tolist()
        sides.append((*shares, max(float(side.sum()) - sum(shares), 0.0)))
    return Histogram((*labels, "other"), *sides)
