"""An e-detector: it adds up, window after window, what single windows are too weak to prove."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: What is bet on: that scores are this much higher than without change. Small, middling and large changes.
BETS = (1.0, 2.0, 4.0)
#: A score counts up to this, so that one wild window among quiet ones proves what it can and no more.
MOST = 8.0


class Accumulator:
    r"""Shiryaev-Roberts sums of e-values for many quantities, one number a bet each.

    .. math:: R_t^{(\lambda)} = (1 + R_{t-1}^{(\lambda)}) \, e_t(\lambda)^{1/\tau}, \quad
              e_t(\lambda) = \exp(\lambda z_t - \lambda^2 / 2), \quad
              E_t = \ln \frac{1}{|\Lambda|} \sum_\lambda R_t^{(\lambda)}

    Parameters
    ----------
    quantities
        How many scores a window has.
    memory
        τ, at least 1: windows this far apart are independent.

    Notes
    -----
    Where scores are no greater than normal ones, e is an e-value. Windows that overlap or resemble their
    neighbours are not independent, so each counts for the τ-th part: the product of τ-dependent e-values to
    the power 1/τ has, by Hölder's inequality, an expectation of at most one. So every sum is an e-detector,
    so is the mean over bets, and stopping when the mean over Q quantities reaches A takes at least A windows
    on average without change, however the quantities depend on each other.

    State: ``len(BETS)`` numbers a quantity, whatever the number of windows. A missing score changes nothing.

    References
    ----------
    Shin, J., Ramdas, A., & Rinaldo, A. (2023). E-detectors: a nonparametric framework for sequential change
    detection. New England Journal of Statistics in Data Science. https://doi.org/10.51387/23-NEJSDS51

    Examples
    --------
    >>> quiet, loud = Accumulator(1), Accumulator(1)
    >>> quiet.take(np.zeros((20, 1)))[-1].round(1).tolist(), loud.take(np.full((20, 1), 2.0))[-1].round(1).tolist()
    ([-0.6], [39.0])
    """

    def __init__(self, quantities: int, memory: float = 1.0) -> None:
        if not memory >= 1:
            msg = f"memory: {memory} is below 1, expected how many windows apart are independent"
            raise ValueError(msg)
        self.memory = memory
        self.log_sums: Floats = np.full((quantities, len(BETS)), -np.inf)

    def take(self, scores: Floats) -> Floats:
        """Take consecutive windows, [W, Q]; return the log-evidence after each, [W, Q]."""
        bets = np.asarray(BETS)
        known = np.isfinite(scores)
        z = np.minimum(np.where(known, scores, 0.0), MOST)[..., None]
        gains = (bets * z - 0.5 * bets**2) / self.memory
        out = np.empty(scores.shape)
        sums = self.log_sums
        for w in range(len(scores)):
            sums = np.where(known[w, :, None], np.logaddexp(0.0, sums) + gains[w], sums)
            out[w] = np.logaddexp.reduce(sums, axis=1) - np.log(len(BETS))
        self.log_sums = sums
        return out

    def snapshot(self) -> list[list[float | None]]:
        """Return the whole state, fit for JSON."""
        return [[None if np.isneginf(v) else float(v) for v in row] for row in self.log_sums]

    def restore(self, state: list[list[float | None]]) -> None:
        """Undo `snapshot`."""
        self.log_sums = np.array(
            [[-np.inf if v is None else v for v in row] for row in state], dtype=np.float64
        ).reshape(-1, len(BETS))


def memory_of(scores: Floats, width: int, longest: int) -> float:
    r"""Say how many steps apart windows are independent: :math:`\tau = 1 + 2 \sum_k \max(\rho_k, 0)`.

    Parameters
    ----------
    scores
        [W, Q] of the baseline; NaN where there is none.
    width
        Of a window, in steps: overlapping windows depend on each other at least as long.
    longest
        Lags that are summed, at most a quarter of the windows.

    Returns
    -------
    float
        Of autocorrelation averaged over quantities; at least `width`. The sum ends at the first lag that is
        not positive.

    Examples
    --------
    >>> memory_of(np.random.default_rng(0).normal(size=(5000, 3)), 1, 50) < 1.2
    True
    """
    varied = np.nanstd(scores, axis=0) > 0 if len(scores) else np.zeros(scores.shape[1], dtype=bool)
    z = scores[:, varied]
    if not z.size:
        return float(width)
    z = z - np.nanmean(z, axis=0)
    variance = np.nanmean(z**2, axis=0)
    tau = 1.0
    for lag in range(1, min(longest, len(z) // 4) + 1):
        products = z[lag:] * z[:-lag]
        seen = np.isfinite(products)
        rho = np.mean(np.where(seen, products, 0.0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1) / variance)
        if rho <= 0:
            break
        tau += 2.0 * float(rho)
    return max(tau, float(width))
