"""Windows of consecutive panes, all at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def sliding_sum(counts: npt.ArrayLike, width: int) -> npt.NDArray[np.int64]:
    """Add the counts of every window of consecutive panes.

    Parameters
    ----------
    counts
        [P, S] integers.
    width
        Panes in a window, 1 to P.

    Returns
    -------
    npt.NDArray[np.int64]
        [W, S] with ``W = P - width + 1``: the sums of panes ``0..width-1``, ``1..width``, ….

    Raises
    ------
    ValueError
        When `width` is not in 1..P.

    Notes
    -----
    Exact: differences of integer cumulative sums. Cost is O(P S), whatever the width.

    Examples
    --------
    >>> sliding_sum([[1, 0], [2, 0], [4, 1]], 2).tolist()
    [[3, 0], [6, 1]]
    """
    given = np.asarray(counts)
    _check(width, len(given))
    if width == len(given):
        # One window, as in a worker that keeps up: a plain sum takes a fifth of the time.
        return np.add.reduce(given, axis=0, dtype=np.int64, keepdims=True)
    total = np.cumsum(given, axis=0, dtype=np.int64)
    out = total[width - 1 :].copy()
    out[1:] -= total[:-width]
    return out


def sliding_max(registers: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    """Take the largest value of every window of consecutive panes, cell by cell.

    Parameters
    ----------
    registers
        [P, ...], for distinct counts [P, K, 256].
    width
        Panes in a window, 1 to P.

    Returns
    -------
    npt.NDArray[np.uint8]
        [W, ...] with ``W = P - width + 1``.

    Raises
    ------
    ValueError
        When `width` is not in 1..P.

    Notes
    -----
    Maxima of runs of 1, 2, 4, … panes, then of two runs that overlap: O(P log width) passes.

    Examples
    --------
    >>> sliding_max(np.array([[1], [5], [2], [3]], dtype=np.uint8), 3).ravel().tolist()
    [5, 5]
    """
    _check(width, len(registers))
    run, size = registers, 1
    while 2 * size <= width:
        run = np.maximum(run[:-size], run[size:])
        size *= 2
    rest = width - size
    return np.maximum(run[: len(run) - rest], run[rest:])


def _check(width: int, panes: int) -> None:
    if not 1 <= width <= panes:
        msg = f"width {width}: want 1..{panes}, the number of panes"
        raise ValueError(msg)
