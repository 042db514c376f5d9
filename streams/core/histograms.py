"""Histograms of one column before and after, in few enough bars to be drawn small."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from detectors.layout import FIRST_CATEGORY, MISSING, OTHER, UNDERFLOW, Column
from seawall.baseline import BaselineColumn

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_STEPS = 24
_NAMED = 8
#: Bars of a number where there is little room: a page, a line of text.
_FEW = 10
#: From this share of rows on, what is missing has a bar.
_WORTH_A_BAR = 0.001


@dataclass(frozen=True, slots=True)
class Histogram:
    """What is drawn: a label a bar, and the share of present values in it before and after."""

    labels: tuple[str, ...]
    reference: tuple[float, ...]
    current: tuple[float, ...]


def bars_of(column: Column, told: BaselineColumn, before: Floats | Ints, after: Ints) -> Histogram:
    """Draw a column in few bars, as shares of all rows: what is missing has a bar too, where there is any.

    The parameters are those of `histogram_of`; `before` may be shares. Shares are told to four digits.
    """
    drawn = histogram_of(column, told, before, after, steps=_FEW)
    gone = [float(side[MISSING] / side.sum()) if side.sum() else 0.0 for side in (before, after)]
    has_missing = max(gone) >= _WORTH_A_BAR
    before_bars, after_bars = (
        tuple(
            round(s, 4)
            for s in ((missing,) if has_missing else ()) + tuple(s * (1.0 - missing) for s in shares)
        )
        for shares, missing in zip((drawn.reference, drawn.current), gone, strict=True)
    )
    return Histogram((("missing",) if has_missing else ()) + drawn.labels, before_bars, after_bars)


def histogram_of(
    column: Column, told: BaselineColumn, before: Floats | Ints, after: Ints, steps: int = _STEPS
) -> Histogram:
    """Draw what a column held before and after.

    Parameters
    ----------
    column
        With its fixed bins or categories.
    told
        What the baseline says of it.
    before, after
        Counts (`before`: or shares) over the column's slots.
    steps
        Bars of a number, the open ones at either end left out.
    """
    if column.kind == "categorical":
        return _of_categories(column, before, after)
    edges = np.asarray(column.edges)
    low, high = (told.quantiles[0], told.quantiles[-1]) if told.quantiles else (edges[0], edges[-1])
    is_coarse = len(edges) - 1 <= steps // 2 or not low < high
    ends = edges if is_coarse else np.linspace(low, high, steps + 1)
    labels = (
        f"below {ends[0]:.4g}",
        *(f"{a:.4g} to {b:.4g}" for a, b in pairwise(ends.tolist())),
        f"above {ends[-1]:.4g}",
    )
    return Histogram(labels, _steps(before, edges, ends), _steps(after, edges, ends))


def _steps(counts: Floats | Ints, edges: Floats, steps: Floats) -> tuple[float, ...]:
    """Spread fixed bins over equal steps; the first and the last are open."""
    inside = counts[UNDERFLOW:]
    total = inside.sum()
    if not total:
        return (0.0,) * (len(steps) + 1)
    below = np.cumsum(inside.astype(np.float64))[: len(edges)]
    at = np.interp(steps, edges, below)
    heights = np.diff(np.concatenate([[0.0], at, [float(total)]])) / total
    return tuple(heights.tolist())


def _of_categories(column: Column, before: Floats | Ints, after: Ints) -> Histogram:
    """Name the most frequent values of either side; the rest, and what was never seen, share the last bar."""
    q, p = (side[OTHER:] / (float(side[OTHER:].sum()) or 1.0) for side in (after, before))
    first = FIRST_CATEGORY - OTHER
    order = np.argsort(-np.maximum(p, q)[first:], kind="stable")[:_NAMED]
    labels = tuple(column.categories[j] for j in order)
    sides = []
    for side in (p, q):
        shares = side[first:][order].tolist()
        sides.append((*shares, max(float(side.sum()) - sum(shares), 0.0)))
    return Histogram((*labels, "other"), *sides)
