"""Sums of codes, of their products and of waves, by pane: whole numbers that add up exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.joint.embedding import AMPLITUDE, wave_sums
from detectors.joint.plan import Bound, Plan

Ints = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]

#: Rows of one matrix product. Products of codes are at most 900, so sums of 16384 of them are exact in single
#: precision (24 bits); few rows keep a library from spreading small products over threads.
_BLOCK = 128
#: Panes with fewer rows than this are summed row by row: a matrix product each costs more.
_FEW = 24


@dataclass(frozen=True, slots=True)
class PaneSums:
    """Panes, int64 [P], ascending and distinct, and their sums, int64 [P, width]: see `Plan.width`."""

    panes: Ints
    sums: Ints

    def of(self, panes: Ints) -> PaneSums:
        """Return the sums of some of the panes."""
        keep = np.isin(self.panes, panes)
        return PaneSums(self.panes[keep], self.sums[keep])


def joint_sums(slots: npt.NDArray[np.integer], panes: Ints, bound: Bound) -> PaneSums:
    """Sum rows by pane.

    Parameters
    ----------
    slots
        Absolute slot of every value in the layout that `bound` is bound to, [columns, rows].
    panes
        Pane of every row, [rows].
    bound
        What is summed.

    Returns
    -------
    PaneSums
        A function of the rows as a set: their order does not matter, nor where they are cut before `merge_sums`.

    Notes
    -----
    Codes and waves are whole numbers, and no intermediate sum leaves the range in which single precision is exact,
    so a matrix product gives the exact integers whatever the order in which a library adds. `benchmarks/joint.py`
    measures the cost.
    """
    if not len(panes):
        return PaneSums(np.empty(0, dtype=np.int64), np.zeros((0, bound.plan.width), dtype=np.int64))
    order = None if (panes[1:] >= panes[:-1]).all() else np.argsort(panes, kind="stable")
    ordered = panes if order is None else panes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
    codes = bound.codes_of(slots)
    codes = codes if order is None else codes[order]
    ends = np.append(starts[1:], len(ordered))
    m = len(bound.columns)
    upper = np.triu_indices(m)
    out = np.zeros((len(starts), bound.plan.width), dtype=np.int64)
    out[:, 0] = ends - starts
    waves = np.ascontiguousarray(bound.plan.frequencies.T, dtype=np.float32)
    thin = ends - starts < _FEW
    if thin.any():
        _add_thin(out, codes, starts, thin, upper)
    after = 1 + m + len(upper[0])
    for at in np.flatnonzero(~thin):
        of_pane = codes[starts[at] : ends[at]]
        out[at, 1 : 1 + m] = _totals(of_pane)
        out[at, 1 + m : after] = _products(of_pane)[upper]
    out[:, after:] = wave_sums(codes, starts, waves)
    return PaneSums(ordered[starts], out)


def _totals(codes: Singles) -> Ints:
    """``codes.sum(axis=0)``, exactly: int64 [M]."""
    rows, m = codes.shape
    whole = rows // _BLOCK * _BLOCK
    ones = np.ones((1, _BLOCK), dtype=np.float32)
    blocks = np.matmul(ones, codes[:whole].reshape(-1, _BLOCK, m))
    out: Ints = (blocks.sum(axis=(0, 1), dtype=np.float64) + codes[whole:].sum(axis=0)).astype(np.int64)
    return out


def _products(codes: Singles) -> Ints:
    """``codes.T @ codes``, exactly: int64 [M, M]."""
    rows, m = codes.shape
    whole = rows // _BLOCK * _BLOCK
    blocks = codes[:whole].reshape(-1, _BLOCK, m)
    out: Ints = np.matmul(blocks.transpose(0, 2, 1), blocks).sum(axis=0, dtype=np.float64).astype(np.int64)
    rest = codes[whole:]
    return out + (rest.T @ rest).astype(np.int64)


def _add_thin(
    out: Ints,
    codes: Singles,
    starts: npt.NDArray[np.intp],
    thin: npt.NDArray[np.bool_],
    upper: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
) -> None:
    """Sum codes and their products of panes with few rows, some thousand rows at a time."""
    m = codes.shape[1]
    of_row = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(codes))))
    rows = np.flatnonzero(thin[of_row])
    for first in range(0, len(rows), 4096):
        part = rows[first : first + 4096]
        pane, begin = np.unique(of_row[part], return_index=True)
        out[pane, 1 : 1 + m] += np.add.reduceat(codes[part].astype(np.int32), begin, axis=0)
        products = (codes[part][:, upper[0]] * codes[part][:, upper[1]]).astype(np.int32)
        out[pane, 1 + m : 1 + m + len(upper[0])] += np.add.reduceat(products, begin, axis=0)


def merge_sums(parts: Sequence[PaneSums]) -> PaneSums:
    """Add up sums of the same plan: equal panes become one. Associative and commutative, exactly."""
    if len(parts) == 1:
        return parts[0]
    panes, place = np.unique(np.concatenate([p.panes for p in parts]), return_inverse=True)
    out = np.zeros((len(panes), parts[0].sums.shape[1]), dtype=np.int64)
    np.add.at(out, place, np.concatenate([p.sums for p in parts]))
    return PaneSums(panes, out)


@dataclass(frozen=True, slots=True)
class Means:
    """Sums over rows: what linear statistics are made of. Mixing panes or hours is averaging these.

    `codes` [..., M], `products` [..., M (M + 1) / 2] (pairs i ≤ j), `waves` [..., 2 K] of the unit circle.
    """

    codes: npt.NDArray[np.float64]
    products: npt.NDArray[np.float64]
    waves: npt.NDArray[np.float64]


def means_of(per_row: npt.NDArray[np.float64], plan: Plan) -> Means:
    """Split sums that were divided by their rows, [..., width]; NaN where there is no row."""
    m = len(plan.keys)
    after = 1 + m + m * (m + 1) // 2
    return Means(per_row[..., 1 : 1 + m], per_row[..., 1 + m : after], per_row[..., after:] / AMPLITUDE)
