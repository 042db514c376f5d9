"""The errors of panes, laid out one after the other for detectors that watch them one by one.

A pane keeps how many predictions were wrong and how many right, and not in which order they came. Where rows of a pane
could have come in any order, any order drawn at random is distributed as the true one; what changes from one pane to
the next stays where it was. Orders are drawn from the number of the pane, so a replay draws the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from detectors.layout import Column, slots_of_numeric

Ints = npt.NDArray[np.int64]
#: Errors of a pane that are laid out at most, and of all panes of a window: a detector takes a microsecond for each.
MOST_OF_PANE, MOST_OF_WINDOW = 200, 10_000


def wrong_and_right(column: Column, pane_counts: Ints) -> tuple[Ints, Ints]:
    """Return how many errors of panes are 1 and how many 0, [panes] each.

    Parameters
    ----------
    column
        That of the errors.
    pane_counts
        Its counts, [panes, slots of the column].
    """
    right, wrong = slots_of_numeric(column, np.array([0.0, 1.0])).tolist()
    return pane_counts[:, wrong], pane_counts[:, right]


def most_of_pane(width: int) -> int:
    """Return how many errors of each pane are laid out, where windows have so many panes."""
    return max(1, min(MOST_OF_PANE, MOST_OF_WINDOW // width))


def in_some_order(first_pane: int, wrong: Ints, right: Ints, most: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield zeros and ones for each pane; of more than `most` a part that is drawn without replacement.

    Parameters
    ----------
    first_pane
        Number of the first pane, 0 or more.
    wrong, right
        [panes].

    Examples
    --------
    >>> [errors.tolist() for errors in in_some_order(0, np.array([1, 0]), np.array([2, 1]), 10)]
    [[0, 0, 1], [0]]
    """
    for k, (ones, zeros) in enumerate(zip(wrong.tolist(), right.tolist(), strict=True)):
        rng = np.random.default_rng(first_pane + k)
        kept = min(ones + zeros, most)
        if kept < ones + zeros:
            ones = int(rng.hypergeometric(ones, zeros, kept))  # noqa: PLW2901 - those of the part
        errors = np.zeros(kept, dtype=np.uint8)
        errors[rng.permutation(kept)[:ones]] = 1
        yield errors
