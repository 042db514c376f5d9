"""Few cells out of many: index-like distances need several expected values a cell to mean anything.

PSI, Jensen-Shannon and chi-squared are sums over cells, and chance adds to each cell. 64 fine bins in a
window of 100 values are mostly chance, so fine bins are first merged into groups of about equal reference
mass, as many as the window can fill, and groups or categories that still expect too little are pooled into
one.

Values outside the reference's range, and categories that it has never seen, keep cells of their own: pooled
with their neighbours a shift out of a constant column could not be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.sums import row_sums

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

#: The ten groups of the index's folklore, if the window has values enough.
GROUPS = 10
#: Values that a group expects: at ten, the asymptotic lines are right within a percentage point.
VALUES_PER_GROUP = 10
#: Below this a cell is pooled with the next smallest (Cochran's rule); a tiny window may go below.
SPARSE = 5.0
_LARGEST_POOLED = 0.25


@dataclass(frozen=True, slots=True)
class Cells:
    """Observed and expected cells, ready for `psi`, `jensen_shannon` and `chi_squared`.

    Attributes
    ----------
    counts
        [W, c, cells].
    expected
        Probabilities, same shape.
    bins
        Effective number of cells, [W, c]: one that expects less than one value counts as that fraction.
    """

    counts: Floats
    expected: Floats
    bins: Floats


def groups_for(n: Floats) -> Ints:
    """Say how many groups a window can fill: 2 to `GROUPS`, `VALUES_PER_GROUP` values each.

    Parameters
    ----------
    n
        Present values, any shape. It decides alone: a choice that looked at where values lie would bias the
        test.

    Returns
    -------
    Ints
        Same shape.

    Examples
    --------
    >>> groups_for(np.array([0.0, 55.0, 1e6])).tolist()
    [2, 5, 10]
    """
    return np.clip(n / VALUES_PER_GROUP, 2, GROUPS).astype(np.intp)


def group_bounds(cumulative: Floats, widths: Ints, groups: Ints) -> Ints:
    """Cut the fine bins of numeric columns into groups of about equal reference mass.

    A bin goes where its middle lies on the scale of mass, so a group's mass is right to one bin's, and a
    bin heavier than a group is one by itself.

    Parameters
    ----------
    cumulative
        The reference's distribution function after underflow, each bin and overflow, [R, c, B].
    widths
        Cells that are not padding, [c].
    groups
        How many groups, 1 to `GROUPS`, [R, c].

    Returns
    -------
    Ints
        [R, c, GROUPS + 1]: cells ``bounds[g] + 1 … bounds[g + 1]`` are group g, so its mass is a difference
        of `cumulative`. Groups beyond `groups` are empty.

    Notes
    -----
    A reference without mass inside its edges puts every bin into the first group.

    Examples
    --------
    >>> cumulative = np.array([[[0.0, 0.25, 0.5, 1.0, 1.0]]])
    >>> group_bounds(cumulative, np.array([5]), np.array([[2]]))[0, 0, :4].tolist()
    [0, 2, 3, 3]
    """
    rows, columns, cells = cumulative.shape
    inside = cumulative - cumulative[..., :1]
    bins = np.arange(cells)
    is_bin = (bins > 0) & (bins < widths[:, None] - 1)
    middle = 0.5 * (inside[..., 1:] + inside[..., :-1])
    total = np.take_along_axis(inside, np.broadcast_to(widths[:, None] - 2, (rows, columns, 1)), axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(total > 0.0, middle / total, 0.0) * groups[..., None]
    # Rounding may lift the last middle to the number of groups.
    member = np.minimum(scaled.astype(np.intp), groups[..., None] - 1)
    member = np.where(is_bin[:, 1:], member, GROUPS)
    row = np.arange(rows * columns).reshape(rows, columns, 1) * (GROUPS + 1)
    sizes = np.bincount((member + row).ravel(), minlength=rows * columns * (GROUPS + 1))
    bounds = np.zeros((rows, columns, GROUPS + 1), dtype=np.intp)
    np.cumsum(sizes.reshape(rows, columns, -1)[..., :GROUPS], axis=-1, out=bounds[..., 1:])
    return bounds


def sparseness(expected: Floats) -> Floats:
    """Rank cells by how early they are pooled.

    Cells are pooled, smallest first, until the pool expects enough; a cell that expects too little itself
    is pooled in any case. The largest never is: with everything in one pool, a change of a rare value could
    not be seen at all.

    Parameters
    ----------
    expected
        Probabilities, [R, c, B].

    Returns
    -------
    Floats
        Same shape: a cell is pooled when this is below `SPARSE` over the number of values.

    Notes
    -----
    A sort; apart from the window, so that many windows share it.

    Examples
    --------
    >>> sparseness(np.array([[[0.5, 0.01, 0.02, 0.47]]])).round(2).tolist()
    [[[inf, 0.0, 0.01, 0.03]]]
    """
    order = np.argsort(expected, axis=-1, kind="stable")
    ascending = np.take_along_axis(expected, order, axis=-1)
    out = np.empty_like(expected)
    np.put_along_axis(out, order, np.cumsum(ascending, axis=-1) - ascending, axis=-1)
    out = np.minimum(out, expected)
    np.put_along_axis(out, order[..., -1:], np.inf, axis=-1)
    return out


def pool(
    counts: Floats,
    expected: Floats,
    sparse: Floats,
    novel_counts: Floats,
    novel: Floats,
    n: Floats,
    m: Floats,
) -> Cells:
    """Pool sparse cells into one, and put the cells of novel values beside them.

    Parameters
    ----------
    counts, expected
        Cells and their probabilities, [W, c, B].
    sparse
        `sparseness` of `expected`.
    novel_counts, novel
        Cells outside the reference's range, or unseen, and their probabilities, [W, c, k].
    n
        Present values, [W, c].
    m
        Size of the reference sample, broadcastable to [W, c].

    Returns
    -------
    Cells
        B + 1 + k cells; pooled ones are left empty on both sides.

    Notes
    -----
    Whether a novel cell counts as a cell depends on what is expected there, ``1 / (m + 1)`` of the values
    where the reference has none, and never on what was seen.

    Examples
    --------
    >>> p = np.array([[[0.96, 0.01, 0.03]]])
    >>> cells = pool(100 * p, p, sparseness(p), np.zeros((1, 1, 1)), np.zeros((1, 1, 1)),
    ...              np.array([[100.0]]), np.array([[np.inf]]))
    >>> cells.counts.tolist(), cells.bins.tolist()
    ([[[96.0, 0.0, 0.0, 4.0, 0.0]]], [[2.0]])
    """
    size = n[..., None]
    keep = (sparse >= np.minimum(SPARSE / np.maximum(size, 1.0), _LARGEST_POOLED)).astype(np.float64)
    width, extra = counts.shape[-1], novel_counts.shape[-1]
    shape = (*counts.shape[:-1], width + 1 + extra)
    seen, share = np.empty(shape), np.empty(shape)
    for out, cells, beside in ((seen, counts, novel_counts), (share, expected, novel)):
        kept = cells * keep
        out[..., :width] = kept
        out[..., width] = row_sums(cells) - row_sums(kept)
        out[..., width + 1 :] = beside
    # What pooling leaves of a sum of kept cells is rounding, not mass.
    share[..., width] *= share[..., width] > 1e-12
    wanted = share * size
    np.maximum(
        wanted[..., width + 1 :], size / (np.asarray(m)[..., None] + 1.0), out=wanted[..., width + 1 :]
    )
    return Cells(seen, share, row_sums(np.minimum(wanted, 1.0, out=wanted)))
