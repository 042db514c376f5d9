"""Moments that merge: mean, sum of squared deviations, minimum and maximum of groups of values.

A row of moments is ``(mean, M2, minimum, maximum)`` in units of the feature (squared for M2), NaN where
there is no finite value. Its count is kept beside it, because counts are exact integers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

MEAN, M2, MINIMUM, MAXIMUM = range(4)


def group_moments(values: npt.ArrayLike, group: npt.ArrayLike, groups: int) -> tuple[Counts, Floats]:
    r"""Take the moments of every group of values.

    .. math:: \bar x = \frac1n \sum x_i, \qquad
              M_2 = \sum (x_i - \bar x)^2 - \frac1n \Bigl(\sum (x_i - \bar x)\Bigr)^2

    Parameters
    ----------
    values
        [rows], in units of the feature. NaN and ±inf are left out.
    group
        Group of each value, [rows] integers in 0..groups-1.
    groups
        Number of groups.

    Returns
    -------
    tuple[Counts, Floats]
        Finite values in each group, [G], and their moments, [G, 4]; NaN for a group without any.

    Raises
    ------
    ValueError
        When a group lies outside 0..groups-1.

    Notes
    -----
    Two passes, the second of which also mends the rounding of the first: no cancellation however large the
    mean. A constant group has M2 of exactly 0. Magnitudes above 1e154 overflow M2 to infinity. Cost:
    O(rows).

    References
    ----------
    Chan, T. F., Golub, G. H., & LeVeque, R. J. (1983). Algorithms for computing the sample variance. Am.
    Stat. 37, 242-247. https://doi.org/10.1080/00031305.1983.10483115

    Examples
    --------
    >>> n, m = group_moments([1.0, 3.0, float("nan")], [0, 0, 1], 2)
    >>> n.tolist(), m.tolist()
    ([2, 0], [[2.0, 2.0, 1.0, 3.0], [nan, nan, nan, nan]])
    """
    x = np.asarray(values, np.float64)
    g = np.asarray(group, np.int64)
    if len(g) and (g.min() < 0 or g.max() >= groups):
        msg = f"group {g.min()}..{g.max()}: want 0..{groups - 1}"
        raise ValueError(msg)
    finite = np.isfinite(x)
    if not finite.all():
        x, g = x[finite], g[finite]
    n = np.bincount(g, minlength=groups).astype(np.int64)
    out = np.full((groups, 4), np.nan)
    out[:, MINIMUM], out[:, MAXIMUM] = np.inf, -np.inf
    np.minimum.at(out[:, MINIMUM], g, x)
    np.maximum.at(out[:, MAXIMUM], g, x)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        # A value of the group as origin keeps a constant group exact and huge values from overflowing the
        # sum.
        origin = out[:, MINIMUM]
        rough = origin + np.bincount(g, x - origin[g], groups) / n
        off = x - rough[g]
        rest = np.bincount(g, off, groups)
        out[:, MEAN] = rough + rest / n
        out[:, M2] = np.maximum(np.bincount(g, np.square(off), groups) - np.square(rest) / n, 0.0)
    out[n == 0] = np.nan
    return n, out


def merge_moments(n_a: npt.ArrayLike, m_a: npt.ArrayLike, n_b: npt.ArrayLike, m_b: npt.ArrayLike) -> Floats:
    r"""Merge the moments of two sets of values, without the values.

    .. math:: \bar x = \bar x_a + \delta \frac{n_b}{n}, \qquad
              M_2 = M_{2a} + M_{2b} + \delta^2 \frac{n_a n_b}{n}, \qquad \delta = \bar x_b - \bar x_a

    Parameters
    ----------
    n_a, n_b
        Finite values on each side, [...], 0 or more.
    m_a, m_b
        Moments of each side, [..., 4]; ignored where the side is empty.

    Returns
    -------
    Floats
        Moments of both, [..., 4], of ``n_a + n_b`` values; NaN where both sides are empty. An empty side
        leaves the other as it was, bit for bit.

    Notes
    -----
    Commutative and associative up to rounding. Deviations are added, never squares of values, so nothing
    cancels. Cost: about fifteen passes over [...].

    References
    ----------
    Chan, T. F., Golub, G. H., & LeVeque, R. J. (1979). Updating formulae and a pairwise algorithm for
    computing sample variances. Stanford STAN-CS-79-773; COMPSTAT 1982, 30-41.
    https://doi.org/10.1007/978-3-642-51461-6_3

    Examples
    --------
    >>> merge_moments(2, [2.0, 2.0, 1.0, 3.0], 1, [5.0, 0.0, 5.0, 5.0]).tolist()
    [3.0, 8.0, 1.0, 5.0]
    """
    size_a, size_b = np.asarray(n_a, np.float64), np.asarray(n_b, np.float64)
    a, b = np.asarray(m_a, np.float64), np.asarray(m_b, np.float64)
    size = size_a + size_b
    out = np.empty(np.broadcast_shapes(a.shape, b.shape, (*size.shape, 4)))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        delta = b[..., MEAN] - a[..., MEAN]
        # From the larger side, so that the result does not depend on which one is called `a`.
        larger = np.where(size_a >= size_b, a[..., MEAN], b[..., MEAN])
        step = np.where(size_a >= size_b, delta * (size_b / size), -delta * (size_a / size))
        out[..., MEAN] = larger + step
        out[..., M2] = (a[..., M2] + b[..., M2]) + np.square(delta) * (size_a * (size_b / size))
    np.minimum(a[..., MINIMUM], b[..., MINIMUM], out=out[..., MINIMUM])
    np.maximum(a[..., MAXIMUM], b[..., MAXIMUM], out=out[..., MAXIMUM])
    empty_a, empty_b = (size_a <= 0.0)[..., None], (size_b <= 0.0)[..., None]
    merged: Floats = np.where(empty_a, np.where(empty_b, np.nan, b), np.where(empty_b, a, out))
    return merged


def sliding_moments(counts: npt.ArrayLike, moments: npt.ArrayLike, width: int) -> tuple[Counts, Floats]:
    """Take the moments of every window of consecutive panes.

    Parameters
    ----------
    counts
        Finite values of each pane, [P, N].
    moments
        Moments of each pane, [P, N, 4]; ignored where it is empty.
    width
        Panes in a window, 1 to P.

    Returns
    -------
    tuple[Counts, Floats]
        Finite values and moments of windows ``0..width-1``, ``1..width``, …: [W, N] and [W, N, 4], with
        ``W = P - width + 1``.

    Raises
    ------
    ValueError
        When `width` is not in 1..P.

    Notes
    -----
    Panes are merged into runs of 1, 2, 4, … panes, and each window out of the runs that its width is made
    of: at most ``2 log2(width)`` merges of all windows at once. Differences of cumulative sums would be
    faster and wrong: they cancel where a large mean, or one large value anywhere in the stream, hides small
    deviations.

    Means are kept in float64, so a pane's mean is known to ``ε |mean|`` (ε = 1.1e-16), and M2 to about
    ``2 ε |mean| / std`` of itself: better than 1e-9 up to a mean of a million deviations, 1e-7 at a billion.

    References
    ----------
    Chan, T. F., Golub, G. H., & LeVeque, R. J. (1983). https://doi.org/10.1080/00031305.1983.10483115

    Examples
    --------
    >>> n, m = sliding_moments([[1], [1], [0]], [[[1.0, 0, 1, 1]], [[3.0, 0, 3, 3]], [[float("nan")] * 4]], 2)
    >>> n.tolist(), m.tolist()
    ([[2], [1]], [[[2.0, 2.0, 1.0, 3.0]], [[3.0, 0.0, 3.0, 3.0]]])
    """
    run_n = np.asarray(counts, np.int64)
    run = np.asarray(moments, np.float64)
    panes = len(run_n)
    if not 1 <= width <= panes:
        msg = f"width {width}: want 1..{panes}, the number of panes"
        raise ValueError(msg)
    windows = panes - width + 1
    if windows == 1:
        return _moments_of_one(run_n, run)
    n = np.zeros((windows, *run_n.shape[1:]), np.int64)
    out = np.full((windows, *run.shape[1:]), np.nan)
    at, size = 0, 1
    while True:
        if width & size:
            part = slice(at, at + windows)
            out = merge_moments(n, out, run_n[part], run[part])
            n = n + run_n[part]
            at += size
        size *= 2
        if size > width:
            return n, out
        half = size // 2
        run = merge_moments(run_n[:-half], run[:-half], run_n[half:], run[half:])
        run_n = run_n[:-half] + run_n[half:]


def _moments_of_one(run_n: Counts, run: Floats) -> tuple[Counts, Floats]:
    """Take the moments of all panes together, bit for bit as `sliding_moments` does for one window of many.

    Only the runs that this window is made of are merged: a quarter of the work.
    """
    n, out = np.zeros((1, *run_n.shape[1:]), np.int64), np.full((1, *run.shape[1:]), np.nan)
    while True:
        if len(run) % 2:
            out = merge_moments(n, out, run_n[:1], run[:1])
            n = n + run_n[:1]
            run_n, run = run_n[1:], run[1:]
        if not len(run):
            return n, out
        run = merge_moments(run_n[::2], run[::2], run_n[1::2], run[1::2])
        run_n = run_n[::2] + run_n[1::2]
