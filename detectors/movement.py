"""How far columns have moved, whatever the statistic that saw it: one scale to rank them by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectors.compare import Comparison

Floats = npt.NDArray[np.float64]
#: Standard deviations by which a normal distribution is shifted, over the Jensen-Shannon distance (base 2) that this
#: gives, to first order: √(8 ln 2).
_OF_DISTANCE = float(np.sqrt(8.0 * np.log(2.0)))
#: The same over the share of its rows that would have to be others: √(2π).
_OF_SHARE = float(np.sqrt(2.0 * np.pi))


def movement(found: Comparison) -> Floats:
    r"""Say how far each column of each window has moved, in standard deviations of its reference.

    .. math:: \max\left(\frac{W_1}{\sigma_0},\ \sqrt{2\pi}\, |\Delta|\right) \text{ of a number}, \quad
              \max\left(\sqrt{8 \ln 2}\, JS,\ \sqrt{2\pi}\, |\Delta|\right) \text{ of a category}

    with Δ the greatest change of the share that is missing or infinite, or of a category unseen. The factors are what a
    small shift of a normal distribution by one standard deviation comes to, so the three agree on one.

    Parameters
    ----------
    found
        Windows compared with all statistics (not `only_deciding`).

    Returns
    -------
    Floats
        [W, C]; 0 where nothing is known.

    Notes
    -----
    How far beyond its limit a column is says how sure one can be that *something* moved, and does not say which of two
    moved more: a column that leaves its range by half a standard deviation is a surer thing than one that moves by
    twice as much within its own. W₁ is the mean distance that values went, so it counts rows that leave the range by
    how far they went, as far as the outermost bins reach, and not by how rare they were.

    Examples
    --------
    >>> from detectors.compare import compare
    >>> from detectors.layout import Column, Layout
    >>> layout = Layout.of([Column("x", "feature", "numeric", tuple(float(x) for x in range(11)))])
    >>> expected = np.zeros((1, layout.slots))
    >>> expected[0, 3:13] = 0.1
    >>> moved = np.zeros((1, layout.slots), dtype=int)
    >>> moved[0, 6:12], moved[0, 12] = 10, 40
    >>> movement(compare(moved, expected, 10_000, layout)).round(2).tolist()
    [[0.84]]
    """
    with np.errstate(invalid="ignore"):
        gone = np.abs(found.missing_share - found.missing_expected)
        new = np.fmax(found.invalid_share, np.abs(found.unseen_share - found.unseen_expected))
    shares = _OF_SHARE * np.fmax(gone, new)
    is_number = np.isnan(found.unseen_expected)
    within = np.where(is_number, found.wasserstein_share, _OF_DISTANCE * found.js)
    out: Floats = np.nan_to_num(np.fmax(within, shares))
    return out
