"""Two samples as counts over the same cells: what every classic statistic is computed from.

With fixed bins the cells are those of the reference. With the distinct values of both samples as cells the very same
formulas are exact, ties included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.sums import row_sums

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pair:
    """Counts of windows and of their reference, over the same cells in the order of the axis.

    Attributes
    ----------
    counts, reference
        [..., B] each.
    n, m
        Their sums, [..., 1].
    p, q
        Shares of the reference and of the window, [..., B]; NaN where a side is empty.
    """

    counts: Floats
    reference: Floats
    n: Floats
    m: Floats
    p: Floats
    q: Floats


def pair_of(counts: npt.ArrayLike, reference: npt.ArrayLike) -> Pair:
    """Line two sides up.

    Parameters
    ----------
    counts
        Of the window, [..., B], none negative.
    reference
        Of the reference, broadcastable to it.

    Returns
    -------
    Pair
        New arrays: the input is not touched.

    Raises
    ------
    ValueError
        When a count is negative or not finite, or the last dimensions differ.

    Notes
    -----
    An empty side has shares of NaN, so that every statistic of it is NaN.

    Examples
    --------
    >>> pair_of([1, 3], [2, 2]).q.tolist()
    [0.25, 0.75]
    """
    c, r = np.asarray(counts, np.float64), np.asarray(reference, np.float64)
    if c.shape[-1:] != r.shape[-1:] or not c.ndim:
        msg = f"counts has {c.shape[-1:]} cells and reference {r.shape[-1:]}: want the same number"
        raise ValueError(msg)
    for name, side in (("counts", c), ("reference", r)):
        if not (np.isfinite(side) & (side >= 0.0)).all():
            msg = f"{name}: holds {side[~(np.isfinite(side) & (side >= 0.0))][0]}, want counts of 0 or more"
            raise ValueError(msg)
    c, r = np.broadcast_arrays(c, r)
    n, m = row_sums(c)[..., None], row_sums(r)[..., None]
    with np.errstate(invalid="ignore"):
        return Pair(c, r, n, m, r / np.where(m > 0.0, m, np.nan), c / np.where(n > 0.0, n, np.nan))


def cells_of_samples(reference: npt.ArrayLike, current: npt.ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Take the distinct values of both samples as cells.

    Parameters
    ----------
    reference, current
        Values in any order, one-dimensional; NaN and ±inf are left out.

    Returns
    -------
    tuple[Floats, Floats, Floats]
        Counts of the current sample, counts of the reference and the values themselves, [B] each.

    Raises
    ------
    ValueError
        When a sample is not one-dimensional.

    Notes
    -----
    Costs a sort of both samples.

    Examples
    --------
    >>> [side.tolist() for side in cells_of_samples([1.0, 2.0], [2.0, 2.0, float("nan")])]
    [[0.0, 2.0], [1.0, 1.0], [1.0, 2.0]]
    """
    r, c = finite("reference", reference), finite("current", current)
    values, place = np.unique(np.concatenate([r, c]), return_inverse=True)
    cells = max(len(values), 1)
    return (
        np.bincount(place[len(r) :], minlength=cells).astype(np.float64),
        np.bincount(place[: len(r)], minlength=cells).astype(np.float64),
        values if len(values) else np.zeros(1),
    )


def finite(name: str, values: npt.ArrayLike) -> Floats:
    """Copy the finite values of a sample.

    Raises
    ------
    ValueError
        When it is not one-dimensional.

    Examples
    --------
    >>> finite("x", [1.0, float("inf")]).tolist()
    [1.0]
    """
    v = np.asarray(values, np.float64)
    if v.ndim != 1:
        msg = f"{name}: has {v.ndim} dimensions, want one"
        raise ValueError(msg)
    return v[np.isfinite(v)]
