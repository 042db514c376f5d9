"""What sums of codes say of pairs of columns, and of all of them: correlations, and what main directions leave out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from detectors.joint.sums import Means

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

#: Variance of a code (in its grid, where a standard normal score has 100) below which a correlation says nothing.
_LEAST_VARIANCE = 1.0
#: Beyond this a correlation of grouped ranks is one: Fisher's transform would make noise of it.
_ALMOST_ONE = 0.995
#: Share of the variance that the main directions of the reference hold at least, as in NannyML's reconstruction.
EXPLAINED = 0.65
_LINE = float(chi2.ppf(0.95, 1))


@lru_cache(maxsize=64)
def _upper(m: int) -> tuple[Places, Places, Places]:
    """Both codes of each pair i ≤ j, and the place of each pair, [m, m]."""
    i, j = np.triu_indices(m)
    place = np.zeros((m, m), dtype=np.intp)
    place[i, j] = np.arange(len(i))
    return i, j, place


def covariances(means: Means) -> Floats:
    """Covariance of every two codes, pairs i ≤ j: [..., M (M + 1) / 2]."""
    i, j, _ = _upper(means.codes.shape[-1])
    out: Floats = means.products - means.codes[..., i] * means.codes[..., j]
    return out


def correlations(means: Means, pairs: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]) -> Floats:
    """Correlation of each pair of codes, [..., pairs]; NaN where one of them hardly varies.

    Parameters
    ----------
    means
        Of windows.
    pairs
        Both codes of each pair, the first below the second: `Plan.pairs`.
    """
    m = means.codes.shape[-1]
    i, j, place = _upper(m)
    covariance = covariances(means)
    variance = covariance[..., i == j]
    std = np.sqrt(np.where(variance >= _LEAST_VARIANCE, variance, np.nan))
    out: Floats = np.clip(
        covariance[..., place[pairs]] / (std[..., pairs[0]] * std[..., pairs[1]]), -1.0, 1.0
    )
    return out


def standard_products(
    sums: npt.NDArray[np.int64], usual: Means, pair: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Return sums of the squares and of the product of a pair's standard scores, and the usual correlation.

    Parameters
    ----------
    sums
        Of panes: see `Plan.width`, [T, width].
    usual
        What is usual of each pane, [T or 1, M] and so on: its means and variances make the scores standard.
    pair
        Both codes, the first below the second.

    Returns
    -------
    tuple[Floats, Floats]
        [T, 3] and [T or 1]. Both nought where a code usually hardly varies.
    """
    m = usual.codes.shape[-1]
    _, _, place = _upper(m)
    covariance = covariances(usual)
    mean = [usual.codes[:, code] for code in pair]
    std = [np.sqrt(covariance[:, place[code, code]]) for code in pair]
    known = np.minimum(*std) >= np.sqrt(_LEAST_VARIANCE)

    def product(a: int, b: int) -> Floats:
        one, other = (sums[:, 1 + pair[side]] for side in (a, b))
        both = sums[:, 1 + m + place[pair[a], pair[b]]]
        centred = both - mean[a] * other - mean[b] * one + sums[:, 0] * mean[a] * mean[b]
        return np.where(known, centred / np.where(known, std[a] * std[b], 1.0), 0.0)

    r = np.where(known, covariance[:, place[pair]] / np.where(known, std[0] * std[1], 1.0), 0.0)
    return np.stack([product(0, 0), product(1, 1), product(0, 1)], axis=1), np.clip(r, -1.0, 1.0)


def fisher(correlation: npt.ArrayLike) -> Floats:
    r"""Fisher's transform, :math:`\operatorname{artanh} r`: its chance does not depend on r.

    References
    ----------
    Fisher, R. A. (1915). Frequency distribution of the values of the correlation coefficient. Biometrika 10, 507-521.
    https://doi.org/10.1093/biomet/10.4.507

    Examples
    --------
    >>> fisher([0.0, 0.5]).round(3).tolist()
    [0.0, 0.549]
    """
    r = np.clip(np.asarray(correlation, np.float64), -_ALMOST_ONE, _ALMOST_ONE)
    return np.asarray(np.arctanh(r), np.float64)


def fisher_chance(n: npt.ArrayLike, m: npt.ArrayLike) -> Floats:
    r"""Say which squared difference of transforms chance exceeds in 5 % of windows.

    .. math:: \chi^2_1(0.95) \left(\frac{1}{n - 3} + \frac{1}{m - 3}\right)

    Parameters
    ----------
    n, m
        Rows of the window and of the reference; m may be infinite. Fewer than four are taken as four.

    Examples
    --------
    >>> fisher_chance(103, float("inf")).round(4).item()
    0.0384
    """
    return np.asarray(_LINE * (_inverse(n) + _inverse(m)), np.float64)


def _inverse(n: npt.ArrayLike) -> Floats:
    return np.asarray(1.0 / np.maximum(np.asarray(n, np.float64) - 3.0, 1.0), np.float64)


def beyond_line(probability: float, dof: float = 1.0) -> float:
    """Say how many times its 95 % line a chi-squared value is that chance exceeds this rarely.

    Examples
    --------
    >>> beyond_line(0.05), round(beyond_line(1e-3), 2)
    (1.0, 2.82)
    """
    return float(chi2.ppf(1.0 - probability, dof) / chi2.ppf(0.95, dof))


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """The main directions of a reference: what is outside of them is lost when rows are rebuilt from them.

    Attributes
    ----------
    outside
        Projection onto the other directions, of standardised codes, [M, M].
    std
        Of each code in the reference, [M].
    chance_line
        `reconstruction_chance` of a window with one row.
    """

    outside: Floats
    std: Floats
    chance_line: float


def reconstruction_of(reference: Means) -> Reconstruction:
    """Take the fewest main directions that hold `EXPLAINED` of the reference's variance.

    Parameters
    ----------
    reference
        Of all of the reference's rows: no leading dimensions.
    """
    m = reference.codes.shape[-1]
    i, j = np.triu_indices(m)
    covariance = np.zeros((m, m))
    covariance[i, j] = covariance[j, i] = covariances(reference)
    std = np.sqrt(np.maximum(np.diag(covariance), _LEAST_VARIANCE))
    correlation = covariance / np.outer(std, std)
    values, vectors = np.linalg.eigh(correlation)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    kept = int(np.searchsorted(np.cumsum(values) / values.sum(), EXPLAINED)) + 1
    outside = np.eye(m) - vectors[:, :kept] @ vectors[:, :kept].T
    total = float(np.trace(correlation))
    share = float(np.trace(outside @ correlation)) / total
    # The error of one row is a quadratic form of about normal scores, less its share of the row's own variance.
    form = outside - share * np.eye(m)
    moved = form @ correlation
    return Reconstruction(outside, std, _LINE * 2.0 * float(np.trace(moved @ moved)) / total**2)


def reconstruction_error(means: Means, reconstruction: Reconstruction) -> Floats:
    r"""Share of the variance of standardised codes outside of the reference's main directions.

    .. math:: e = \frac{\operatorname{tr}(Q \Sigma)}{\operatorname{tr} \Sigma}

    Parameters
    ----------
    means
        Of windows, [..., M] and so on.
    reconstruction
        Q, and the standard deviations.

    Returns
    -------
    Floats
        [...], 0 to 1; the mean squared error of rows rebuilt by PCA, over their variance, without any row. A
        window's own mean is taken off, so a change of level is no change of structure.
    """
    i, j, _ = _upper(means.codes.shape[-1])
    scaled = covariances(means) / (reconstruction.std[i] * reconstruction.std[j])
    weight = reconstruction.outside[i, j] * np.where(i == j, 1.0, 2.0)
    total = scaled[..., i == j].sum(axis=-1)
    out: Floats = np.divide(
        scaled @ weight, total, out=np.full(total.shape, np.nan), where=np.asarray(total) > 0
    )
    return out


def reconstruction_chance(n: npt.ArrayLike, m: npt.ArrayLike, reconstruction: Reconstruction) -> Floats:
    """Say which squared difference of errors chance exceeds in about 5 % of windows, for about normal scores."""
    size = 1.0 / np.maximum(np.asarray(n, np.float64), 1.0) + 1.0 / np.maximum(np.asarray(m, np.float64), 1.0)
    return np.asarray(reconstruction.chance_line * size, np.float64)
