"""Windows without any change, for tests of what chance alone gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIZES = (100, 1000, 10_000)
WINDOWS = 3000


def null_windows(
    p: npt.NDArray[np.float64], n: int, m: float, seed: int = 1
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Draw counts of windows, and a reference for each of its own finite sample."""
    rng = np.random.default_rng(seed)
    reference = rng.multinomial(int(m), p, WINDOWS) / m if np.isfinite(m) else np.tile(p, (WINDOWS, 1))
    return rng.multinomial(n, p, WINDOWS), reference


def exceeded(values: npt.NDArray[np.float64], lines: npt.ArrayLike) -> bool:
    """Whether 5 % ± 2 % of the values exceed their lines."""
    return bool(0.03 <= np.mean(values > np.asarray(lines, np.float64)) <= 0.07)
