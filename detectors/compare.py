"""Everything that is said about closed windows against their reference, for many windows at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from detectors.blocks import Block, Blocks, Counts, blocks_of, chunks, gather, padded
from detectors.chi_squared import chi_squared, chi_squared_p
from detectors.jensen_shannon import jensen_shannon, jensen_shannon_chance
from detectors.kolmogorov_smirnov import kolmogorov_smirnov_point
from detectors.layout import Layout
from detectors.pooling import GROUPS, Cells, group_bounds, groups_for, pool, sparseness
from detectors.psi import inverse_size, psi, psi_chance
from detectors.sums import row_sums
from detectors.wasserstein import wasserstein_line, wasserstein_null

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

#: Fewer windows than this do not repay a table of all group counts.
_WORTH_A_TABLE = 2 * GROUPS


@dataclass(frozen=True, slots=True)
class Comparison:
    """Windows against their reference: float64 arrays [W, C], NaN where a statistic is undefined.

    Attributes
    ----------
    psi, js, ks, wasserstein, chi2
        Distances of the present values. PSI in nats; Jensen-Shannon distance in 0..1; Wasserstein in units
        of the feature. The last two of order, KS and Wasserstein, are NaN for categorical columns.
    psi_chance, js_chance, ks_chance, wasserstein_chance
        What chance alone exceeds in 5 % of windows of this size.
    wasserstein_share
        Wasserstein as a share of the reference's standard deviation (of its bins); NaN where that is 0.
    chi2_p
        p-value of `chi2`.
    missing_share, invalid_share
        Of all rows.
    out_of_range_share
        Underflow, overflow and invalid among present and invalid values; NaN for categorical columns.
    unseen_share
        Values that the baseline has never seen, among present ones; NaN for numeric columns.
    missing_expected, out_of_range_expected, unseen_expected
        The same shares under the reference.
    present
        Values that are neither missing nor invalid.
    """

    psi: Floats
    psi_chance: Floats
    js: Floats
    js_chance: Floats
    ks: Floats
    ks_chance: Floats
    wasserstein: Floats
    wasserstein_chance: Floats
    wasserstein_share: Floats
    chi2: Floats
    chi2_p: Floats
    missing_share: Floats
    invalid_share: Floats
    out_of_range_share: Floats
    unseen_share: Floats
    missing_expected: Floats
    out_of_range_expected: Floats
    unseen_expected: Floats
    present: Floats


@dataclass(frozen=True, slots=True)
class _Groups:
    """A reference in groups of bins: where they end, [R, c, GROUPS + 1], their mass and sparseness."""

    bounds: Ints
    share: Floats
    sparse: Floats


@dataclass(frozen=True, slots=True)
class _Order:
    """What KS and Wasserstein need to know of the reference."""

    gaps: Floats  # [c, B - 1]
    ks_point: Floats  # [R, c]
    wasserstein_line: Floats  # [R, c]
    std: Floats  # [R, c]


@dataclass(frozen=True, slots=True)
class _Reference:
    """What statistics of a block need to know of the reference; R is 1 or the number of windows."""

    share: Floats  # [R, c, B], of present values
    mass: Floats  # [R, c], present values among all
    sparse: Floats  # [R, c, B - 1], categorical only
    cumulative: Floats  # [R, c, B], numeric only
    order: _Order | None  # numeric only, where more is wanted than what decides
    groups: _Groups | None  # for 1 … GROUPS groups, when all windows share one reference
    only_deciding: bool


def compare(
    counts: npt.ArrayLike,
    expected: npt.ArrayLike,
    reference_rows: npt.ArrayLike,
    layout: Layout,
    *,
    only_deciding: bool = False,
) -> Comparison:
    """Compare windows with their reference, column by column.

    Parameters
    ----------
    counts
        What each window holds, slot by slot, [W, S] integers.
    expected
        Per column a probability vector over its slots (the missing one included), or all zeros where there
        is no reference, [W, S] or [1, S].
    reference_rows
        Rows behind `expected`, a number or [W]; may be infinite.
    layout
        Says which slots belong to which column.
    only_deciding
        Leave out what is only shown, and never decides about an alarm: PSI, KS, Wasserstein and chi-squared come
        out as NaN. Takes less than half the time.

    Returns
    -------
    Comparison
        [W, C] arrays.

    Raises
    ------
    ValueError
        When an array does not fit the layout, or `expected` has neither one row nor one a window.

    Notes
    -----
    Distances are about present values: neither missing nor invalid. KS and Wasserstein use the fine bins.
    PSI, Jensen-Shannon and chi-squared use at most ten groups of bins, fewer in a small window, and pool
    sparse categories (`detectors.pooling`). An empty window, and a column without a reference, have NaN
    distances. All lines assume independent values; autocorrelated traffic exceeds them more often. The
    lines of PSI and Jensen-Shannon are exceeded more often than 5 % too where one lone cell expects between
    one and three values (a rare value in a small window). Cost: linear in W times S;
    `benchmarks/distances.py` measures it. Call it with many windows: a call by itself costs a millisecond.

    References
    ----------
    See each statistic's own module.

    Examples
    --------
    >>> from detectors.layout import Column
    >>> layout = Layout.of([Column("x", "feature", "numeric", (0.0, 1.0, 2.0))])
    >>> expected = [[0.0, 0.0, 0.0, 0.5, 0.5, 0.0]]
    >>> result = compare([[0, 0, 0, 50, 50, 0], [10, 0, 0, 10, 80, 0]], expected, 10_000, layout)
    >>> result.ks.round(3).ravel().tolist(), (result.psi > result.psi_chance).ravel().tolist()
    ([0.0, 0.389], [False, True])
    """
    blocks = blocks_of(layout)
    seen = padded(counts, layout.slots, np.int64)
    reference = padded(expected, layout.slots, np.float64)
    windows = len(seen)
    if len(reference) not in (1, windows):
        msg = f"expected has {len(reference)} rows, want 1 or one for each of the {windows} windows"
        raise ValueError(msg)
    rows = np.broadcast_to(np.asarray(reference_rows, np.float64), (windows,))
    out = {f.name: np.full((windows, len(layout.columns)), np.nan) for f in fields(Comparison)}
    if layout.columns and windows:
        present = _write_shares(out, seen, reference, blocks, layout)
        shared = len(reference) == 1 and windows >= _WORTH_A_TABLE
        if not shared:
            reference = np.broadcast_to(reference, (windows, reference.shape[1]))
        for block in blocks.blocks:
            say = _numeric if block.kind == "numeric" else _categorical
            once = _reference(block, reference, shared=True, only_deciding=only_deciding) if shared else None
            for chunk in chunks(windows):
                here = once or _reference(block, reference[chunk], shared=False, only_deciding=only_deciding)
                with np.errstate(invalid="ignore"):
                    m = rows[chunk, None] * here.mass
                n = present[chunk][:, block.columns]
                nothing = (n <= 0.0) | (here.mass <= 0.0)
                for name, values in say(block, seen[chunk], n, m, here).items():
                    values[nothing] = np.nan
                    out[name][chunk, block.columns] = values
    return Comparison(**out)


def _write_shares(
    out: dict[str, Floats], seen: Counts, reference: Floats, blocks: Blocks, layout: Layout
) -> Floats:
    """Write what is missing, invalid, out of range and unseen; return the present values, [W, C]."""
    numeric = blocks.numeric
    for counts, suffix in ((reference, "expected"), (seen, "share")):
        rows = np.add.reduceat(counts[:, :-1], layout.first_slots, axis=1)
        invalid = counts[:, blocks.invalid]
        missing = counts[:, blocks.missing]
        present = rows - missing - invalid
        outside = counts[:, blocks.underflow] + counts[:, blocks.overflow] + invalid
        with np.errstate(invalid="ignore", divide="ignore"):
            out[f"missing_{suffix}"][:] = missing / rows
            out[f"out_of_range_{suffix}"][:] = np.where(numeric, outside / (present + invalid), np.nan)
            out[f"unseen_{suffix}"][:] = np.where(numeric, np.nan, counts[:, blocks.other] / present)
            if suffix == "share":
                out["invalid_share"][:] = invalid / rows
                out["present"][:] = present
    return out["present"]


def _reference(block: Block, reference: Floats, *, shared: bool, only_deciding: bool) -> _Reference:
    """Prepare what depends on the reference alone."""
    held = reference[:, block.slots]
    mass = row_sums(held)
    share = held / np.where(mass > 0.0, mass, 1.0)[..., None]
    if block.kind == "categorical":
        return _Reference(share, mass, sparseness(share[..., 1:]), np.empty(0), None, None, only_deciding)
    # A sum that misses 1 by rounding must not look like a gap between the two sides.
    cumulative = np.cumsum(share, axis=-1)
    cumulative[cumulative > 1.0 - 1e-12] = 1.0
    groups = None
    if shared:
        every = np.repeat(np.arange(1, GROUPS + 1)[:, None], len(block.columns), axis=1)
        groups = _grouped(block, np.repeat(cumulative, GROUPS, axis=0), every)
    order = None if only_deciding else _order(block, share, cumulative)
    return _Reference(share, mass, np.empty(0), cumulative, order, groups, only_deciding)


def _order(block: Block, share: Floats, cumulative: Floats) -> _Order:
    gaps = np.diff(block.positions)
    centre = row_sums(share * block.positions)[..., None]
    # Where values go beyond 1e38 single precision does not hold them, and beyond 1e154 nothing holds their squares:
    # such a column has no line of chance in its own units, and no standard deviation.
    with np.errstate(over="ignore", invalid="ignore"):
        # A line of chance is right to a few per cent: single precision takes half the time.
        line = wasserstein_line(
            *wasserstein_null(cumulative[..., :-1].astype(np.float32), gaps.astype(np.float32))
        )
        deviation = np.sqrt(row_sums(share * np.square(block.positions - centre)))
    return _Order(gaps, kolmogorov_smirnov_point(share, cumulative), line, deviation)


def _grouped(block: Block, cumulative: Floats, groups: Ints) -> _Groups:
    bounds = group_bounds(cumulative, block.widths, groups)
    share = np.diff(np.take_along_axis(cumulative, bounds, axis=-1))
    return _Groups(bounds, share, sparseness(share))


def _numeric(block: Block, counts: Counts, n: Floats, m: Floats, reference: _Reference) -> dict[str, Floats]:
    """Compare the numeric columns of a block; everything follows from one cumulative sum."""
    below = gather(block, counts)
    np.cumsum(below, axis=-1, out=below)
    said = _of_order(below, n, m, reference.cumulative, reference.order) if reference.order else {}
    wanted = groups_for(n)
    if reference.groups is None:
        groups = _grouped(block, reference.cumulative, wanted)
    else:
        every, at = reference.groups, (wanted - 1, np.arange(len(block.columns)))
        groups = _Groups(every.bounds[at], every.share[at], every.sparse[at])
    at_bounds = np.take_along_axis(below, groups.bounds, axis=-1).astype(np.float64)
    last = (slice(None), np.arange(len(block.columns)), block.widths - 1)
    cells = pool(
        at_bounds[..., 1:] - at_bounds[..., :-1],
        groups.share,
        groups.sparse,
        np.stack([below[..., 0], n - below[last[0], last[1], last[2] - 1]], axis=-1),
        np.broadcast_to(np.stack([reference.share[..., 0], reference.share[last]], axis=-1), (*n.shape, 2)),
        n,
        m,
    )
    return said | _of_cells(cells, n, m, only_deciding=reference.only_deciding)


def _of_order(below: Counts, n: Floats, m: Floats, cumulative: Floats, order: _Order) -> dict[str, Floats]:
    """Say what needs an order of values, from their cumulative counts."""
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = below / n[..., None]
        gap -= cumulative
        np.abs(gap, out=gap)
        moved = np.einsum("wcb,cb->wc", gap[..., :-1], order.gaps)
        scale = np.sqrt(inverse_size(n, m))
        return {
            "ks": gap.max(-1),
            "ks_chance": np.minimum(order.ks_point * scale, 1.0),
            "wasserstein": moved,
            "wasserstein_chance": order.wasserstein_line * scale,
            "wasserstein_share": moved / np.where(order.std > 0.0, order.std, np.nan),
        }


def _categorical(
    block: Block, counts: Counts, n: Floats, m: Floats, reference: _Reference
) -> dict[str, Floats]:
    """Compare the categorical columns of a block."""
    seen = gather(block, counts).astype(np.float64)
    share = np.broadcast_to(reference.share, seen.shape)
    cells = pool(seen[..., 1:], share[..., 1:], reference.sparse, seen[..., :1], share[..., :1], n, m)
    return _of_cells(cells, n, m, only_deciding=reference.only_deciding)


def _of_cells(cells: Cells, n: Floats, m: Floats, *, only_deciding: bool) -> dict[str, Floats]:
    deciding = {
        "js": jensen_shannon(cells.counts, cells.expected),
        "js_chance": jensen_shannon_chance(n, m, cells.bins),
    }
    if only_deciding:
        return deciding
    statistic = chi_squared(cells.counts, cells.expected, m)
    return deciding | {
        "psi": psi(cells.counts, cells.expected, m),
        "psi_chance": psi_chance(n, m, cells.bins),
        "chi2": statistic,
        "chi2_p": chi_squared_p(statistic, cells.bins),
    }
