"""What closed windows look like by themselves, for many windows at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.blocks import Block, Counts, blocks_of, chunks, gather, padded
from detectors.layout import Layout

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Description:
    """Windows by themselves: float64 arrays [W, C], NaN where a statistic is undefined.

    Attributes
    ----------
    present, missing, invalid
        Values that are neither missing nor invalid (±inf), and those that are. A categorical column has no
        invalid ones: 0.
    mean, std, minimum, maximum
        Of the finite values, in units of the feature; the standard deviation is the population's (divided by
        n). NaN for categorical columns and where no value is finite.
    quantiles
        [W, C, L], one for each level asked for; NaN where `mean` is.
    """

    present: Floats
    missing: Floats
    invalid: Floats
    mean: Floats
    std: Floats
    minimum: Floats
    maximum: Floats
    quantiles: Floats


def describe(
    counts: npt.ArrayLike, moments: npt.ArrayLike, layout: Layout, levels: tuple[float, ...] = LEVELS
) -> Description:
    r"""Describe windows, column by column.

    Quantiles interpolate inside the bin that holds the rank ``level · n``:

    .. math:: x = l_b + (h_b - l_b) \frac{level \cdot n - C_{b-1}}{c_b}

    with the bin's edges clamped to the window's minimum and maximum, which also close underflow and overflow.

    Parameters
    ----------
    counts
        What each window holds, slot by slot, [W, S] integers.
    moments
        Mean, sum of squared deviations, minimum and maximum of the finite values, [W, N, 4], in the order of
        `layout.numeric`; NaN where no value is finite.
    layout
        Says which slots belong to which column.
    levels
        Quantile levels in 0..1, ascending or not, [L].

    Returns
    -------
    Description
        [W, C] arrays, and quantiles [W, C, L].

    Raises
    ------
    ValueError
        When an array does not fit the layout, or a level lies outside 0..1.

    Notes
    -----
    A quantile's rank errs by at most the mass of the one bin that it falls in: 1.6 % for 64 quantile bins and
    a window like the reference. Its value lies in that bin. A constant column has that constant everywhere.
    An empty window has counts of zero and NaN statistics. Cost: one cumulative sum, and a binary search a
    quantile.

    References
    ----------
    Hyndman, R. J., & Fan, Y. (1996). Sample quantiles in statistical packages. Am. Stat. 50, 361-365
    (definition 4, applied inside a bin). https://doi.org/10.1080/00031305.1996.10473566

    Examples
    --------
    >>> from detectors.layout import Column
    >>> layout = Layout.of([Column("x", "feature", "numeric", (0.0, 1.0, 2.0))])
    >>> told = describe([[1, 0, 0, 50, 50, 0]], [[[1.0, 33.0, 0.0, 2.0]]], layout, levels=(0.25, 0.5, 0.99))
    >>> told.quantiles.round(3).tolist(), told.std.round(3).tolist()
    ([[[0.5, 1.0, 1.98]]], [[0.574]])
    """
    seen = padded(counts, layout.slots, np.int64)
    windows, columns = len(seen), len(layout.columns)
    moment = np.asarray(moments, np.float64)
    wanted = np.asarray(levels, np.float64)
    if moment.shape != (windows, len(layout.numeric), 4):
        msg = f"moments of shape {moment.shape}: want [{windows} windows, {len(layout.numeric)} numeric, 4]"
        raise ValueError(msg)
    if not ((wanted >= 0.0) & (wanted <= 1.0)).all():
        msg = f"levels {levels}: want numbers in 0..1"
        raise ValueError(msg)
    statistics = np.full((4, windows, columns), np.nan)
    quantiles = np.full((windows, columns, len(wanted)), np.nan)
    if not (columns and windows):
        none = np.zeros((windows, columns))
        return Description(none, none.copy(), none.copy(), *_apart(statistics), quantiles)
    blocks = blocks_of(layout)
    total = np.add.reduceat(seen[:, :-1], layout.first_slots, axis=1)
    missing, invalid = (seen[:, at].astype(np.float64) for at in (blocks.missing, blocks.invalid))
    present = total - missing - invalid
    statistics[:, :, list(layout.numeric)] = _statistics(moment, present[:, list(layout.numeric)])
    for block in blocks.blocks:
        if block.kind == "numeric":
            for chunk in chunks(windows):
                low, high = statistics[2:, chunk, block.columns]
                quantiles[chunk, block.columns] = _quantiles(block, seen[chunk], low, high, wanted)
    return Description(present, missing, invalid, *_apart(statistics), quantiles)


def _apart(statistics: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    mean, std, minimum, maximum = statistics
    return mean, std, minimum, maximum


def _statistics(moment: Floats, n: Floats) -> Floats:
    """Mean, std, minimum and maximum, [4, W, N]."""
    out = np.moveaxis(moment, -1, 0).copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        out[1] = np.sqrt(np.maximum(out[1] / n, 0.0))
    out[:, ~(n > 0.0)] = np.nan
    return out


def _quantiles(block: Block, counts: Counts, low: Floats, high: Floats, levels: Floats) -> Floats:
    """Interpolate quantiles of a block, [W, c, L].

    One cumulative sum over all rows, end to end, keeps ranks ascending: a single search finds every bin.
    """
    held = gather(block, counts)
    windows, columns, cells = held.shape
    flat = held.ravel()
    running = np.cumsum(flat)
    end = running[cells - 1 :: cells].reshape(windows, columns, 1)
    start = np.zeros_like(end)
    start.ravel()[1:] = end.ravel()[:-1]
    rank = levels * (end - start)
    # Whole ranks, so that a row's place in the chunk cannot tip a rounding. Rank 0 means the first value.
    whole = start + np.maximum(np.ceil(rank), 1.0).astype(np.int64)
    found = np.minimum(np.searchsorted(running, whole.ravel()), running.size - 1)
    inside = flat[found].reshape(rank.shape)
    before = running[found].reshape(rank.shape) - inside - start
    edge = found % (columns * cells)
    left = np.maximum(block.low.ravel()[edge].reshape(rank.shape), low[..., None])
    right = np.minimum(block.high.ravel()[edge].reshape(rank.shape), high[..., None])
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip((rank - before) / inside, 0.0, 1.0)
    # A weighted mean, because the width of a bin may overflow where its edges do not.
    value: Floats = left * (1.0 - part) + right * part
    np.maximum(value, left, out=value)
    np.minimum(value, right, out=value)
    return value
