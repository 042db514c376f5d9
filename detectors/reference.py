"""What a reference column looks like: its fixed bins, its categories and its statistics.

Bins are chosen once, from the reference, and never move: live counts in fixed bins add up exactly, whatever
the order in which they arrive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.layout import OCTAVE_EDGES

Floats = npt.NDArray[np.float64]

#: Fine bins. A binned Kolmogorov-Smirnov distance errs by at most one bin's mass, so by 1/64.
MAX_BINS = 64
#: A bin that holds fewer reference values than this on average says more about chance than about the column.
MIN_VALUES_PER_BIN = 5
MIN_BINS = 4

MAX_CATEGORIES = 200
#: A category rarer than this share of the values present is not worth a slot of its own.
MIN_CATEGORY_SHARE = 1e-4

QUANTILE_LEVELS: tuple[float, ...] = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)

#: Beyond this magnitude squares overflow, so statistics are taken of scaled values.
_LARGE = 1e150
_SCALE = 2.0**520


@dataclass(frozen=True, slots=True)
class ColumnStatistics:
    """What a column held. Moments and quantiles are of the finite values, zero when there is none."""

    count: int
    missing: int
    distinct: int
    mean: float = 0.0
    std: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0
    quantiles: tuple[float, ...] = ()


def choose_edges(values: Floats, max_bins: int = MAX_BINS) -> tuple[float, ...]:
    """Choose fixed quantile bins for a numeric column.

    Distinct values are grouped, in order, into at most `max_bins` groups of about equal mass, and the bins
    are cut half-way between neighbouring groups. A value so frequent that it fills a bin of equal mass (an
    atom: the zeros of a zero-inflated column, each value of a small-integer column) gets a bin of its own
    where there are bins enough. Cutting between reference values, and not at them, keeps a value in its bin
    when a producer sends it in single precision.

    Parameters
    ----------
    values
        The reference, any order. NaN and ±inf are left out.
    max_bins
        At least 1.

    Returns
    -------
    tuple of float
        Edges, strictly ascending; the first is the least reference value and the last the greatest.

    Notes
    -----
    A constant column gets one bin, of the narrowest width that floats allow. A column without a finite value
    gets `OCTAVE_EDGES`, so that whatever appears there later has a place. A sample smaller than
    `MIN_VALUES_PER_BIN` × `max_bins` gets fewer bins. Cost is a sort: O(n log n).

    Examples
    --------
    >>> choose_edges(np.repeat([0.0, 1.0, 2.0], 100))
    (0.0, 0.5, 1.5, 2.0)
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return OCTAVE_EDGES
    distinct, counts = np.unique(finite + 0.0, return_counts=True)  # + 0.0 makes -0.0 the same text as 0.0
    low, high = float(distinct[0]), float(distinct[-1])
    if low == high:
        above = math.nextafter(high, math.inf)
        return (low, above) if math.isfinite(above) else (math.nextafter(low, -math.inf), high)
    bins = min(max_bins, max(MIN_BINS, len(finite) // MIN_VALUES_PER_BIN))
    cuts = [_between(float(distinct[i - 1]), float(distinct[i])) for i in _group_starts(counts, bins)]
    # Between two neighbouring floats the only cut is the upper one, which may be the maximum itself.
    return (low, *(c for c in cuts if c < high), high)


def _group_starts(counts: npt.NDArray[np.intp], bins: int) -> list[int]:
    """First index of every group but the first, when ordered masses are put into at most `bins` groups."""
    totals = np.cumsum(counts)
    middles = totals - counts / 2
    is_atom = _find_atoms(counts, bins)
    atom_totals = np.cumsum(np.where(is_atom, counts, 0))
    atom_numbers = np.cumsum(is_atom)
    starts: list[int] = []
    at = 0
    for bins_left in range(bins, 1, -1):
        if len(counts) - at <= bins_left:
            starts.extend(range(at + 1, len(counts)))
            break
        before = totals[at - 1] if at else 0
        mass_left = float(totals[-1] - before)
        light_left = mass_left - float(atom_totals[-1] - (atom_totals[at - 1] if at else 0))
        light_bins = bins_left - int(atom_numbers[-1] - (atom_numbers[at - 1] if at else 0))
        # Once light runs have used up the bins, what is left shares them evenly, atoms or not.
        target = light_left / light_bins if light_bins > 0 else mass_left / bins_left
        end = max(at + 1, int(np.searchsorted(middles, before + target, side="right")))
        atoms = np.flatnonzero(counts[at + 1 : end] >= target)
        if is_atom[at] and light_bins > 0:
            end = at + 1
        elif len(atoms):
            end = at + 1 + int(atoms[0])
        if end >= len(counts):
            break
        starts.append(end)
        at = end
    return starts


def _find_atoms(counts: npt.NDArray[np.intp], bins: int) -> npt.NDArray[np.bool_]:
    """Which values alone fill a bin of equal mass, when all such values have bins of their own."""
    is_atom = np.zeros(len(counts), dtype=bool)
    while True:
        left = bins - int(is_atom.sum())
        # Atoms take mass away, so a bin of what remains is lighter and more values may fill one.
        grown = is_atom | (counts >= counts[~is_atom].sum() / left) if left > 0 else is_atom
        if (grown == is_atom).all() or grown.all():
            return is_atom
        is_atom = grown


def _between(low: float, high: float) -> float:
    """Half-way between two floats; always above `low` and never above `high`."""
    middle = low / 2 + high / 2
    return middle if low < middle < high else high


def choose_categories(
    names: Sequence[str],
    counts: npt.NDArray[np.int64],
    max_categories: int = MAX_CATEGORIES,
    min_share: float = MIN_CATEGORY_SHARE,
) -> tuple[str, ...]:
    """Choose the categories that get a slot: by frequency, then by name.

    Parameters
    ----------
    names, counts
        Distinct values and how often the reference has each. A value that never occurs is left out.
    max_categories
        The rest shares the slot *other*.
    min_share
        Least share of the values present, 0..1.

    Examples
    --------
    >>> choose_categories(["b", "a", "c"], np.array([5, 5, 0]))
    ('a', 'b')
    """
    least = max(1.0, min_share * float(counts.sum()))
    frequent = [(-int(n), name) for name, n in zip(names, counts, strict=True) if n >= least]
    return tuple(name for _, name in sorted(frequent)[:max_categories])


def numeric_statistics(
    values: Floats, quantile_levels: tuple[float, ...] = QUANTILE_LEVELS
) -> ColumnStatistics:
    """Describe a numeric column. `count` is of finite values; NaN is missing; ±inf is neither.

    The standard deviation is the population's (divided by n); quantiles interpolate linearly.

    Examples
    --------
    >>> numeric_statistics(np.array([1.0, 3.0, np.nan])).mean
    2.0
    """
    missing = int(np.isnan(values).sum())
    finite = values[np.isfinite(values)]
    if not len(finite):
        return ColumnStatistics(0, missing, 0)
    low, high = float(finite.min()), float(finite.max())
    scale = _SCALE if max(-low, high) > _LARGE else 1.0
    ordered = np.sort(finite)
    scaled = ordered / scale
    quantiles = np.quantile(scaled, quantile_levels) * scale
    return ColumnStatistics(
        count=len(finite),
        missing=missing,
        distinct=1 + int(np.count_nonzero(ordered[1:] != ordered[:-1])),
        # A mean may round to just outside the range of its values.
        mean=min(max(float(scaled.mean()) * scale, low), high),
        std=float(scaled.std()) * scale,
        minimum=low,
        maximum=high,
        quantiles=tuple(float(q) for q in quantiles),
    )


def categorical_statistics(codes: npt.NDArray[np.int32]) -> ColumnStatistics:
    """Describe a dictionary-encoded column. -1 is missing.

    Examples
    --------
    >>> categorical_statistics(np.array([0, 0, 2, -1], dtype=np.int32)).distinct
    2
    """
    present = codes[codes >= 0]
    return ColumnStatistics(len(present), len(codes) - len(present), len(np.unique(present)))
