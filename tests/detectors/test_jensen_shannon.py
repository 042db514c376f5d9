from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from detectors.jensen_shannon import jensen_shannon, jensen_shannon_chance

from .null_windows import SIZES, exceeded, null_windows


def test_equal_is_zero_and_disjoint_is_one() -> None:
    assert jensen_shannon([[5, 5, 0], [0, 0, 9]], [[0.5, 0.5, 0.0]]).tolist() == [0.0, 1.0]


def test_it_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 5, (50, 7))
    counts[:, 0] += 1
    p = rng.dirichlet(np.ones(7), 50)
    want = jensenshannon(counts, p, base=2, axis=1)
    np.testing.assert_allclose(jensen_shannon(counts, p), want, rtol=1e-9)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("bins", [5, 10, 20])
@pytest.mark.parametrize("m", [10_000, np.inf])
def test_the_line_is_exceeded_in_five_percent_of_quiet_windows(n: int, bins: int, m: float) -> None:
    counts, reference = null_windows(np.full(bins, 1 / bins), n, m)
    assert exceeded(jensen_shannon(counts, reference), jensen_shannon_chance(n, m, bins))


@pytest.mark.parametrize("n", [1000, 10_000])
def test_the_line_holds_with_ties(n: int) -> None:
    p = np.array([0.6, *np.full(8, 0.05)])
    counts, reference = null_windows(p, n, 10_000)
    assert exceeded(jensen_shannon(counts, reference), jensen_shannon_chance(n, 10_000, len(p)))


def test_empty_windows_and_missing_references_are_undefined() -> None:
    assert np.isnan(jensen_shannon([[0, 0], [1, 1]], [[0.5, 0.5], [0.0, 0.0]])).all()
    assert np.isnan(jensen_shannon_chance(0, 10, 5))
    assert jensen_shannon_chance(1, 10, 500) == 1.0
