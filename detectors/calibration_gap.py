r"""Expected calibration error from counts, less what chance adds to it.

.. math:: T = \sum_b \frac{n_b}{n} |\bar y_b - \bar p_b|

over fifteen even bins of the probability, as in `detectors.quality.calibration_error`. Of scores that are counted in
the fixed bins of `detectors.score_grid`, :math:`\bar p_b` is known up to half the width of these.

A gap has no sign, so chance adds to T: a model whose every bin is calibrated has a T above 0. With :math:`s_b` the
standard error of a bin's gap, :math:`a_b = s_b n_b / n` and Z standard normal, whatever the true gaps are,

.. math:: T \le \mathrm{ECE} + \sum_b a_b |Z_b|

by the triangle inequality. The sum has a mean of :math:`\sqrt{2/\pi} \sum a_b`, its median is not above its mean, and
it is above its median by h times :math:`\sqrt{\sum a_b^2}`, its greatest slope, no more often than a standard normal
number is above h (Borell 1975). So T less the mean has that for a standard error, on the side that matters. The mean is
*at most* what chance adds: where true gaps are large chance adds less, and T less the mean is a little below them.

References
----------
Guo, C., et al. (2017). On calibration of modern neural networks. ICML. arXiv:1706.04599
Kumar, A., Liang, P., & Ma, T. (2019). Verified uncertainty calibration. NeurIPS 32 (the upward bias). arXiv:1909.10155
Roelofs, R., et al. (2022). Mitigating bias in calibration error estimation. AISTATS. arXiv:2012.08668
Borell, C. (1975). The Brunn-Minkowski inequality in Gauss space. Invent. Math. 30. doi:10.1007/BF01425510
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.score_grid import ARE_PROBABILITIES, EDGES, MIDDLES

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Even bins of the probability.
BINS = 15
_inside = np.flatnonzero(ARE_PROBABILITIES)
_places = MIDDLES[_inside]
_half_widths = np.append(np.diff([EDGES[i - 1] for i in _inside]) / 2, 0.0)
#: Which of the fine bins are part of which even one, [fine, BINS].
_parts = (np.minimum(_places * BINS, BINS - 1).astype(int)[:, None] == np.arange(BINS)).astype(np.float64)


class Gap(NamedTuple):
    """Calibration errors, [...] each; NaN where there is no label, or where a score is no probability."""

    plain: Floats
    """T."""
    bias: Floats
    """What chance adds to it at most, on average, where rows are independent."""
    error: Floats
    """Standard error of T above that."""
    blur: Floats
    """How far T may be off for scores are counted in bins, at most."""


def calibration_gap(positive: Ints, negative: Ints) -> Gap:
    """Measure from counts of scores by truth in the bins of `detectors.score_grid`, [..., bins + 2] each.

    Notes
    -----
    A bin's variance is that of its mean probability or of its rate, whichever is greater; to the rate a positive and a
    negative are added, for few labels do not show how much chance there is (Laplace).
    """
    n, said, hits = _by_bin(positive, negative)
    rows = n.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = np.where(are_outside(positive, negative) == 0, rows, np.nan)
        scale = np.sqrt(n * _variance(n, said, hits)) / rows[..., None]
        blur = ((positive + negative)[..., _inside] @ _half_widths) / rows
        return Gap(
            np.abs(hits - said).sum(axis=-1) / rows,
            math.sqrt(2.0 / math.pi) * scale.sum(axis=-1),
            np.sqrt(np.square(scale).sum(axis=-1)),
            blur,
        )


def are_outside(positive: Ints, negative: Ints) -> Ints:
    """Count the scores below 0 or above 1, [...]."""
    found: Ints = (positive + negative)[..., ~ARE_PROBABILITIES].sum(axis=-1)
    return found


def scatter(positive: Ints, negative: Ints) -> float:
    """Say how many times as far gaps of rows in groups scatter as those of independent rows: D, at least 1.

    What groups add to each bin's gap beyond their share, squared: bin by bin, or all bins of a group together, where
    this is more; over what independent rows would. Counts are [groups, bins + 2].
    """
    n, said, hits = _by_bin(positive, negative)
    groups = int(np.count_nonzero(n.any(axis=1)))
    of_all = tuple(of.sum(axis=0) for of in (n, said, hits))
    chance = float((of_all[0] * _variance(*of_all)).sum())
    if groups < 2 or not chance > 0:
        return 1.0
    adds = hits - said - n * (of_all[2] - of_all[1]) / np.maximum(of_all[0], 1)
    furthest = max(float(np.square(adds).sum()), float(np.square(adds.sum(axis=1)).sum()))
    return max(groups / (groups - 1) * furthest / chance, 1.0)


def _by_bin(positive: Ints, negative: Ints) -> tuple[Floats, Floats, Floats]:
    """Return rows, the sum of their probabilities, and positives of each even bin, [..., BINS] each."""
    hits, rows = positive[..., _inside].astype(np.float64), (positive + negative)[..., _inside]
    return rows @ _parts, (rows * _places) @ _parts, hits @ _parts


def _variance(n: Floats, said: Floats, hits: Floats) -> Floats:
    """Return the variance of a truth in each bin, [..., BINS]."""
    mean, rate = said / np.maximum(n, 1), (hits + 1.0) / (n + 2.0)
    found: Floats = np.maximum(mean * (1.0 - mean), rate * (1.0 - rate))
    return found
