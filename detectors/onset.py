"""When a change began: the likeliest first changed pane, from counts alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: The estimate and what it is based on settle within a few rounds.
_ROUNDS = 8
#: Bins are put together until there are about so many: what changed panes hold is learnt from few rows.
_GROUPS = 8


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
    at = min(max(start, 0), len(c) - 1)
    seen: set[int] = set()
    while at not in seen and len(seen) < _ROUNDS:
        seen.add(at)
        at = likeliest_start(_gains(c, p, reference_rows, at))
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


def _groups(usual: Floats, changed: Floats) -> npt.NDArray[np.intp]:
    """First bin of each group of neighbours; a bin with much of either side has a group of its own."""
    mass = usual / (usual.sum() or 1.0) + changed / (changed.sum() or 1.0)
    mass /= mass.sum() or 1.0
    number = np.floor((np.cumsum(mass) - mass / 2) * _GROUPS)
    return np.flatnonzero(np.diff(number, prepend=-1.0))
