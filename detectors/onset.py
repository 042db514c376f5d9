"""When a change began: the likeliest first changed pane, from counts or from sums of products alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: The estimate and what it is based on settle within a few rounds.
_ROUNDS = 8
#: Bins are put together until there are about so many: what changed panes hold is learnt from few rows.
_GROUPS = 8
#: No correlation is nearer to one: a single row that does not fit would decide.
_ALMOST_ONE = 0.99


def estimate_onset(
    counts: npt.ArrayLike, expected: npt.ArrayLike, reference_rows: float, *, start: int = 0
) -> int:
    r"""Estimate from which pane on counts no longer follow what is expected.

    .. math:: \hat k = \arg\max_k \sum_{t \ge k} \sum_b c_{tb} \ln \frac{q_b}{p_{tb}}

    with `p` what is expected of each pane and `q` what the changed panes hold. `q` is not known: it is taken from the
    panes since the last estimate, and both are improved in turn until they agree. A pane is compared with the `q` of
    the others, for it would fit its own whether it changed or not.

    Parameters
    ----------
    counts
        Of consecutive panes up to now, [T, B]; the last ones have changed. Panes without rows say nothing.
    expected
        Shares, [T, B] or [1, B]; a row sums to one, or to zero where nothing is known.
    reference_rows
        Rows behind `expected`: a bin that it leaves empty is as rare as so many rows can tell.
    start
        Where the first round takes `q` from, such as the start of the window that raised the alarm.

    Returns
    -------
    int
        Number of the pane, 0 to T - 1. 0 may also mean that it began before the first pane.

    Raises
    ------
    ValueError
        When there is no pane, or shapes do not fit.

    Notes
    -----
    The likelihood's own estimate for independent rows; where rows are correlated it is as likely to be early as late,
    by few panes when the change is plain. A change that grows slowly is dated to where it has become clearer than its
    absence. Of panes that are equally likely the latest is taken, so that a silence before the change is no part of
    it. ``O(T B)`` a round.

    References
    ----------
    Page, E. S. (1954). Continuous inspection schemes. Biometrika 41, 100-115.
    https://doi.org/10.1093/biomet/41.1-2.100
    Hinkley, D. V. (1970). Inference about the change-point in a sequence of random variables. Biometrika 57, 1-17.
    https://doi.org/10.1093/biomet/57.1.1

    Examples
    --------
    >>> estimate_onset([[50, 50], [48, 52], [20, 80], [23, 77]], [[0.5, 0.5]], 1000.0)
    2
    """
    c, p = np.asarray(counts, np.float64), np.asarray(expected, np.float64)
    if c.ndim != 2 or not len(c) or p.ndim != 2 or p.shape[1] != c.shape[1] or len(p) not in {1, len(c)}:
        msg = f"counts: {c.shape} do not fit expected, {p.shape}; want [T, B] and [T or 1, B] with a pane or more"
        raise ValueError(msg)
    return _settled(lambda at: _gains(c, p, reference_rows, at), start, len(c))


def estimate_relation_onset(
    rows: npt.ArrayLike, products: npt.ArrayLike, usual: npt.ArrayLike, *, start: int = 0
) -> int:
    r"""Estimate from which pane on two columns no longer go together as they usually do.

    .. math::
        \hat k = \arg\max_k \sum_{t \ge k} \left(\ell_t(r) - \ell_t(r_t)\right), \quad
        \ell_t(r) = -\frac{n_t}{2} \ln(1 - r^2) - \frac{\sum x^2 + \sum y^2 - 2 r \sum x y}{2 (1 - r^2)}

    with `r_t` the usual correlation of each pane and `r` that of the changed panes, which is taken from the panes since
    the last estimate, in turn, as in `estimate_onset`.

    Parameters
    ----------
    rows
        Of consecutive panes up to now, [T]; the last ones have changed.
    products
        Sums of x², y² and x y of each pane, [T, 3], x and y being standard scores: mean 0 and variance 1 as usual.
    usual
        Correlations that are usual, [T] or [1].
    start
        Where the first round takes `r` from.

    Returns
    -------
    int
        Number of the pane, 0 to T - 1. 0 may also mean that it began before the first pane.

    Raises
    ------
    ValueError
        When there is no pane, or shapes do not fit.

    Notes
    -----
    The likelihood's own estimate for independent rows that are normal; of other columns take scores of their ranks.

    Examples
    --------
    >>> estimate_relation_onset([50, 50, 50], [[50, 50, 45], [49, 52, 1], [51, 48, -2]], [0.9])
    1
    """
    n, p, r = (np.asarray(a, np.float64) for a in (rows, products, usual))
    if not n.size or p.shape != (len(n), 3) or r.shape not in {(1,), n.shape}:
        msg = f"products: {p.shape} do not fit rows, {n.shape}, and usual, {r.shape}; want [T, 3], [T], [T or 1]"
        raise ValueError(msg)
    r = np.clip(r, -_ALMOST_ONE, _ALMOST_ONE)
    return _settled(lambda at: _relation_gains(n, p, r, at), start, len(n))


def _settled(gains: Callable[[int], Floats], start: int, panes: int) -> int:
    """Improve the estimate and what it is based on in turn until they agree."""
    at = min(max(start, 0), panes - 1)
    seen: set[int] = set()
    while at not in seen and len(seen) < _ROUNDS:
        seen.add(at)
        at = likeliest_start(gains(at))
    return at


def likeliest_start(gain: npt.ArrayLike) -> int:
    """Return the pane from which on the sum of gains to the end is greatest; of several the latest.

    Parameters
    ----------
    gain
        By how much each pane's log likelihood is greater after the change than before it, [T].

    Examples
    --------
    >>> likeliest_start([-1.0, 2.0, -1.0, 3.0])
    1
    """
    since = np.cumsum(np.asarray(gain, np.float64)[::-1])
    return int(len(since) - 1 - np.argmax(since))


def _gains(c: Floats, p: Floats, reference_rows: float, at: int) -> Floats:
    """Log likelihood of each pane as a changed one over that as a usual one, [T]."""
    group = _groups(p[at:].mean(axis=0) if len(p) > 1 else p[0], c[at:].sum(axis=0))
    c, p = (np.add.reduceat(side, group, axis=1) for side in (c, p))
    p = (reference_rows * p + 0.5) / (reference_rows * p.sum(axis=1, keepdims=True) + 0.5 * p.shape[1])
    changed = np.broadcast_to(c[at:].sum(axis=0), c.shape).copy()
    changed[at:] -= c[at:]
    # One row of what is usual keeps a bin that the other changed panes leave empty possible.
    q = (changed + p) / (changed.sum(axis=1, keepdims=True) + 1.0)
    gain: Floats = (c * np.log(q / p)).sum(axis=1)
    return gain


def _relation_gains(n: Floats, p: Floats, usual: Floats, at: int) -> Floats:
    changed = np.broadcast_to(p[at:].sum(axis=0), p.shape).copy()
    changed[at:] -= p[at:]
    # One usual row, so that a single changed pane is not taken at its word.
    r = (changed[:, 2] + usual) / np.sqrt((changed[:, 0] + 1.0) * (changed[:, 1] + 1.0))
    r = np.clip(r, -_ALMOST_ONE, _ALMOST_ONE)
    gain: Floats = _likelihood(n, p, r) - _likelihood(n, p, usual)
    return gain


def _likelihood(n: Floats, p: Floats, r: Floats) -> Floats:
    rest = 1.0 - np.square(r)
    out: Floats = -0.5 * n * np.log(rest) - (p[:, 0] + p[:, 1] - 2.0 * r * p[:, 2]) / (2.0 * rest)
    return out


def _groups(usual: Floats, changed: Floats) -> npt.NDArray[np.intp]:
    """First bin of each group of neighbours; a bin with much of either side has a group of its own."""
    mass = usual / (usual.sum() or 1.0) + changed / (changed.sum() or 1.0)
    mass /= mass.sum() or 1.0
    number = np.floor((np.cumsum(mass) - mass / 2) * _GROUPS)
    return np.flatnonzero(np.diff(number, prepend=-1.0))
