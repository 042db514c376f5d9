"""Which columns are watched together, and as which whole number each of their slots counts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from detectors.layout import FIRST_CATEGORY, MISSING, UNDERFLOW, Column, Layout

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int8]

#: A code is this many times a standard normal score, which counts up to `FURTHEST`.
GRID = 10
FURTHEST = 3.0
#: Codes summed of a row; sums of products grow with the square. So many columns are watched together at most.
MAX_CODES = 32
#: Random waves, half of them across all columns and half across two of them.
WAVES = 16
#: Whole numbers in one turn of a wave.
TURN = 4096
#: A column whose commonest slot has more than this share, or that is missing more often than not, has too few
#: values that differ for a correlation to mean anything.
_MOST_IN_ONE_SLOT = 0.9
#: Rows that a plan is chosen from: evenly spaced, if there are more.
_SAMPLE = 50_000
#: Rows that are coded at a time, so that what is in between stays in a processor's cache.
_ROWS_AT_ONCE = 1024
_ROLES = ("feature", "score", "prediction")


@dataclass(frozen=True)
class Plan:
    """What is summed of every row.

    Attributes
    ----------
    keys
        ``role/name`` of the column of each code, M of them. A column that is bent too is there twice.
    bends
        Which codes are of how far a value is from its column's median, and not of the value.
    codes
        int8 of every slot of the column: ten times a normal score.
    frequencies
        int16 [waves, M]: how far a unit of each code turns each wave, in `TURN`-ths.
    dof
        Degrees of freedom of the embedding's distance by chance: see `detectors.joint.embedding`.
    """

    keys: tuple[str, ...]
    bends: tuple[bool, ...]
    codes: tuple[Codes, ...]
    frequencies: npt.NDArray[np.int16]
    dof: float = 1.0

    @cached_property
    def pairs(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Both codes of each pair of different columns, i < j, in the order of all pairwise results."""
        i, j = np.triu_indices(len(self.keys), 1)
        apart = np.array([self.keys[a] != self.keys[b] for a, b in zip(i, j, strict=True)], dtype=bool)
        return i[apart], j[apart]

    @property
    def width(self) -> int:
        """How many sums: rows, codes, products of two (a code with itself included), cosines, sines."""
        m = len(self.keys)
        return 1 + m + m * (m + 1) // 2 + 2 * len(self.frequencies)

    def bound_to(self, layout: Layout) -> Bound | None:
        """Find the columns in a layout; None when one is not there, or not with these slots."""
        at = [layout.index.get(key, -1) for key in self.keys]
        if min(at, default=-1) < 0 or any(
            layout.columns[i].slots != len(c) for i, c in zip(at, self.codes, strict=True)
        ):
            return None
        tables = np.zeros((2, layout.slots), dtype=np.float32)
        for i, bent, codes in zip(at, self.bends, self.codes, strict=True):
            tables[int(bent), layout.slice_of(i)] = codes
        return Bound(self, np.array(at, dtype=np.intp), tables)


@dataclass(frozen=True, slots=True)
class Bound:
    """A plan seen through a layout: the column of each code, [M], and float32 codes of every slot, [2, slots].

    The first row of `tables` is for values, the second for how far they are from their median.
    """

    plan: Plan
    columns: npt.NDArray[np.intp]
    tables: npt.NDArray[np.float32]

    def codes_of(self, slots: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Code rows: absolute slots [columns, rows] of the layout to whole numbers [rows, M]."""
        straight = len(self.columns) - sum(self.plan.bends)
        out = np.empty((slots.shape[1], len(self.columns)), dtype=np.float32)
        parts = (slice(straight), slice(straight, None))
        for first in range(0, slots.shape[1], _ROWS_AT_ONCE):
            block = slice(first, first + _ROWS_AT_ONCE)
            for table, part in zip(self.tables, parts, strict=True):
                if len(self.columns[part]):
                    out[block, part] = table.take(slots[self.columns[part], block], mode="clip").T
        return out


def rank_codes(counts: npt.NDArray[np.integer]) -> Codes:
    r"""Turn ordered slots into normal scores of their middle ranks, on a grid.

    .. math:: c_k = \mathrm{round}\left(10 \, \Phi^{-1}\left(\frac{\sum_{j<k} n_j + n_k/2}{n}\right)\right)

    Parameters
    ----------
    counts
        Reference values in each slot, in the order of the values, [S].

    Returns
    -------
    Codes
        [S], within ±30. Empty slots lie between their neighbours. All zero without any value.

    Notes
    -----
    Ranks take units and heavy tails away: what is left of two columns is their copula, and a correlation of these
    scores is van der Waerden's. Few levels make few scores, whose variance is below one; correlations do not mind.

    References
    ----------
    van der Waerden, B. L. (1953). Ein neuer Test für das Problem der zwei Stichproben. Math. Ann. 126, 93-107.
    https://doi.org/10.1007/BF01343153

    Examples
    --------
    >>> rank_codes(np.array([0, 50, 50, 0])).tolist()
    [-30, -7, 7, 30]
    """
    total = float(counts.sum())
    if not total:
        return np.zeros(len(counts), dtype=np.int8)
    middle = (np.cumsum(counts) - counts / 2) / total
    with np.errstate(divide="ignore"):
        scores = np.clip(ndtri(middle), -FURTHEST, FURTHEST)
    codes: Codes = np.rint(GRID * scores).astype(np.int8)
    return codes


def bent_codes(counts: npt.NDArray[np.integer]) -> Codes:
    """Turn ordered slots into normal scores of how far their middle ranks are from the median, on a grid.

    A correlation with these sees what one of ranks cannot: a relation that goes up on one side and down on the other,
    and one of sizes whatever the signs.

    Examples
    --------
    >>> bent_codes(np.array([25, 25, 25, 25])).tolist()
    [7, -7, -7, 7]
    """
    total = float(counts.sum())
    if not total:
        return np.zeros(len(counts), dtype=np.int8)
    from_median = np.abs((np.cumsum(counts) - counts / 2) / total - 0.5).round(9)
    levels, level = np.unique(from_median, return_inverse=True)
    own = np.bincount(level, counts, len(levels)).astype(np.int64)
    codes: Codes = rank_codes(own)[level]
    return codes


def make_plan(
    layout: Layout,
    slots: Sequence[npt.NDArray[np.integer]],
    importance: Mapping[str, float] | None = None,
    most: int = MAX_CODES,
) -> Plan | None:
    """Choose what is watched together, from the rows of the reference.

    Parameters
    ----------
    layout
        Of the reference.
    slots
        Slot of every value relative to its column, column by column, each [rows].
    importance
        Of features, by name: where there are more than `most` columns, the important ones are watched. Without
        it, those are that are correlated most with any other.
    most
        Columns watched at most.

    Returns
    -------
    Plan or None
        None when fewer than two columns can be watched. Labels are never: they come in events of their own.

    Notes
    -----
    Numbers are coded by rank and, where there is room, by how far they are from their median too. Categories have no
    order of their own, so they are put in the one along which the means of the other columns differ most (the first
    axis of correspondence), and then coded by rank: what the reference knows of a category's company is then in one
    number. Missing, invalid and never seen values count as the column's mean code. Waves depend on the columns' names
    alone.
    """
    rows = len(slots[0]) if len(slots) else 0
    sample = (
        np.unique(np.linspace(0, rows - 1, min(rows, _SAMPLE)).astype(np.intp)) if rows else np.empty(0, int)
    )
    held = {
        i: np.bincount(slots[i], minlength=c.slots)
        for i, c in enumerate(layout.columns)
        if c.role in _ROLES and rows
    }
    fit = [i for i, counts in held.items() if _varies(layout.columns[i], counts, rows)]
    numbers = {i: _numeric_codes(held[i]) for i in fit if layout.columns[i].kind == "numeric"}
    seen = {i: codes[slots[i][sample]].astype(np.float64) for i, codes in numbers.items()}
    company = np.stack([*seen.values()], axis=1) if seen else np.empty((len(sample), 0))
    codes = dict(numbers)
    for i in fit:
        if i not in numbers:
            codes[i] = _category_codes(held[i], slots[i][sample], company)
            seen[i] = codes[i][slots[i][sample]].astype(np.float64)
    chosen = _choose(layout, fit, seen, importance or {}, most)
    if len(chosen) < 2:
        return None
    bent = {i: _bent(held[i]) for i in chosen if i in numbers}
    room = [i for i in chosen if i in bent and _is_worth_bending(bent[i], held[i])][: most - len(chosen)]
    keys = tuple(layout.columns[i].key for i in (*chosen, *room))
    waves = np.zeros((WAVES, len(keys)), dtype=np.int16)
    waves[:, : len(chosen)] = random_waves(keys[: len(chosen)])
    return Plan(
        keys,
        (False,) * len(chosen) + (True,) * len(room),
        (*(codes[i] for i in chosen), *(bent[i] for i in room)),
        waves,
    )


def _bent(counts: npt.NDArray[np.intp]) -> Codes:
    codes = np.zeros(len(counts), dtype=np.int8)
    codes[UNDERFLOW:] = bent_codes(counts[UNDERFLOW:])
    codes[:UNDERFLOW] = _mean_code(codes[UNDERFLOW:], counts[UNDERFLOW:])
    return codes


def _is_worth_bending(codes: Codes, counts: npt.NDArray[np.intp]) -> bool:
    """Whether enough differs: a column of two values is as far from its median on either side."""
    _, level = np.unique(codes[UNDERFLOW:], return_inverse=True)
    own = np.bincount(level, counts[UNDERFLOW:])
    return bool(own.max() <= _MOST_IN_ONE_SLOT * own.sum())


def _varies(column: Column, counts: npt.NDArray[np.intp], rows: int) -> bool:
    first = UNDERFLOW if column.kind == "numeric" else MISSING + 1
    present = counts[first:].sum()
    return bool(present > rows / 2 and counts[first:].max(initial=0) <= _MOST_IN_ONE_SLOT * present)


def _numeric_codes(counts: npt.NDArray[np.intp]) -> Codes:
    codes = np.zeros(len(counts), dtype=np.int8)
    codes[UNDERFLOW:] = rank_codes(counts[UNDERFLOW:])
    codes[:UNDERFLOW] = _mean_code(codes[UNDERFLOW:], counts[UNDERFLOW:])
    return codes


def _category_codes(counts: npt.NDArray[np.intp], slots: npt.NDArray[np.integer], company: Floats) -> Codes:
    """Code categories in the order along which their rows' other columns differ most."""
    own = counts[FIRST_CATEGORY:]
    at = slots.astype(np.int64) - FIRST_CATEGORY
    kept = at >= 0
    n = np.bincount(at[kept], minlength=len(own)).astype(np.float64)
    means = np.zeros((len(own), company.shape[1]))
    centred = company - company.mean(axis=0)
    for j in range(company.shape[1]):
        means[:, j] = np.bincount(at[kept], centred[kept, j], len(own)) / np.maximum(n, 1)
    place = np.zeros(len(own))
    if means.any():
        _, _, axes = np.linalg.svd(np.sqrt(n)[:, None] * means, full_matrices=False)
        place = means @ axes[0]
    order = np.argsort(place, kind="stable")
    codes = np.zeros(len(counts), dtype=np.int8)
    codes[FIRST_CATEGORY + order] = rank_codes(own[order])
    codes[:FIRST_CATEGORY] = _mean_code(codes[FIRST_CATEGORY:], own)
    return codes


def _mean_code(codes: Codes, counts: npt.NDArray[np.intp]) -> int:
    return int(np.rint(np.average(codes, weights=counts)))


def _choose(
    layout: Layout, fit: list[int], seen: Mapping[int, Floats], importance: Mapping[str, float], most: int
) -> list[int]:
    if len(fit) <= most:
        return sorted(fit)
    outputs = [i for i in fit if layout.columns[i].role != "feature"]
    features = [i for i in fit if layout.columns[i].role == "feature"]
    if importance:
        weight = {i: importance.get(layout.columns[i].name, 0.0) for i in features}
    else:
        with np.errstate(invalid="ignore", divide="ignore"):
            related = np.abs(np.nan_to_num(np.corrcoef(np.stack([seen[i] for i in features]))))
        np.fill_diagonal(related, 0.0)
        weight = dict(zip(features, related.max(axis=1).tolist(), strict=True))
    ranked = sorted(features, key=lambda i: (-weight[i], i))
    return sorted([*outputs, *ranked][:most])


def random_waves(keys: Sequence[str], waves: int = WAVES) -> npt.NDArray[np.int16]:
    """Draw the frequencies of random Fourier features, the same for the same columns in every process.

    Parameters
    ----------
    keys
        Names of the columns, [M].
    waves
        How many, K.

    Returns
    -------
    int16 [K, M]
        In `TURN`-ths of a turn a unit of code. The first half spans all columns, with a length of √M standard
        deviations; each of the others two of them, with a length of one: a kernel on all columns at once has
        little power against a change of two.

    References
    ----------
    Rahimi, A., & Recht, B. (2007). Random features for large-scale kernel machines. NIPS 20.
    """
    m = len(keys)
    digest = hashlib.blake2b("\n".join(keys).encode(errors="surrogatepass"), digest_size=8).digest()
    rng = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
    turns = rng.standard_normal((waves, m)) / np.sqrt(m)
    for k in range(waves // 2, waves):
        turns[k] = 0.0
        two = rng.choice(m, size=min(2, m), replace=False)
        turns[k, two] = rng.standard_normal(len(two))
    out: npt.NDArray[np.int16] = np.rint(turns * TURN / (2 * np.pi * GRID)).astype(np.int16)
    return out
