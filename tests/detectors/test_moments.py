from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from detectors.moments import group_moments, merge_moments, sliding_moments

samples = hnp.arrays(np.float64, st.integers(0, 8), elements=st.floats(-1e6, 1e6, width=32))


def of(values: Any) -> tuple[int, Any]:
    n, m = group_moments(values, np.zeros(len(values), dtype=int), 1)
    return int(n[0]), m[0]


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(samples, samples, samples)
def test_merging_is_associative_commutative_and_a_recount(a: Any, b: Any, c: Any) -> None:
    (na, ma), (nb, mb), (nc, mc) = of(a), of(b), of(c)
    left = merge_moments(na + nb, merge_moments(na, ma, nb, mb), nc, mc)
    right = merge_moments(na, ma, nb + nc, merge_moments(nb, mb, nc, mc))
    close(left, right)
    close(merge_moments(na, ma, nb, mb), merge_moments(nb, mb, na, ma))
    close(left, of(np.concatenate([a, b, c]))[1])


def test_an_empty_side_leaves_the_other_bit_for_bit() -> None:
    n, m = of(np.array([0.1, 0.2, 0.7]))
    nothing = np.full(4, np.nan)
    np.testing.assert_array_equal(merge_moments(n, m, 0, nothing), m)
    np.testing.assert_array_equal(merge_moments(0, nothing, n, m), m)
    assert np.isnan(merge_moments(0, nothing, 0, nothing)).all()


@pytest.mark.parametrize("width", [1, 2, 3, 7, 16, 60])
def test_one_window_by_itself_has_the_bits_that_it_has_among_others(width: int) -> None:
    rng = np.random.default_rng(4)
    both = [[of(rng.normal(1e3, 1.0, size=rng.integers(0, 9))) for _ in range(5)] for _ in range(61)]
    both[3] = [of(np.empty(0))] * 5
    counts, moments = (np.array([[one[part] for one in pane] for pane in both]) for part in (0, 1))
    n, m = sliding_moments(counts, moments, width)
    for w in range(len(n)):
        alone = sliding_moments(counts[w : w + width], moments[w : w + width], width)
        np.testing.assert_array_equal(alone[0][0], n[w])
        np.testing.assert_array_equal(alone[1][0], m[w])


@pytest.mark.parametrize("width", [1, 2, 3, 7, 16, 60, 61])
@pytest.mark.parametrize("mean", [0.0, 1e6, 1e9])
def test_windows_agree_with_a_recount_to_nine_digits(width: int, mean: float) -> None:
    rng = np.random.default_rng(3)
    panes = [rng.normal(mean, 1.0, size=rng.integers(0, 40)) for _ in range(61)]
    panes[5] = np.empty(0)
    both = [of(p) for p in panes]
    n, m = sliding_moments(np.array([[k, k] for k, _ in both]), np.array([[v, v] for _, v in both]), width)
    assert m.shape == (62 - width, 2, 4)
    for w in range(len(n)):
        values = np.concatenate(panes[w : w + width])
        assert (n[w] == len(values)).all()
        if len(values):
            offset = values - mean
            want = [mean + offset.mean(), np.square(offset - offset.mean()).sum(), values.min(), values.max()]
            np.testing.assert_allclose(m[w, 0], want, rtol=max(1e-9, 1e-16 * mean), atol=1e-9)
            np.testing.assert_array_equal(m[w, 0], m[w, 1])
        else:
            assert np.isnan(m[w]).all()


def test_one_huge_value_does_not_spoil_the_windows_after_it() -> None:
    panes = [np.array([1e15, -1e15]), np.array([1.0, 2.0]), np.array([3.0, 4.0])]
    both = [of(p) for p in panes]
    _, m = sliding_moments(np.array([[k] for k, _ in both]), np.array([[v] for _, v in both]), 2)
    assert m[1, 0].tolist() == [2.5, 5.0, 1.0, 4.0]


def test_groups_take_finite_values_only() -> None:
    values = np.array([1.0, np.nan, np.inf, 3.0, -np.inf, 5.0])
    n, m = group_moments(values, [0, 0, 0, 0, 1, 2], 4)
    assert n.tolist() == [2, 0, 1, 0]
    assert m[0].tolist() == [2.0, 2.0, 1.0, 3.0]
    assert np.isnan(m[[1, 3]]).all()
    assert m[2].tolist() == [5.0, 0.0, 5.0, 5.0]


def test_a_constant_group_has_no_deviation_however_large() -> None:
    n, m = group_moments(np.full(1000, 1e9 + 0.1), np.zeros(1000, dtype=int), 1)
    assert n[0] == 1000
    assert m[0].tolist() == [1e9 + 0.1, 0.0, 1e9 + 0.1, 1e9 + 0.1]


def test_groups_and_widths_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="group"):
        group_moments([1.0], [2], 2)
    for width in (0, 3):
        with pytest.raises(ValueError, match="width"):
            sliding_moments(np.ones((2, 1)), np.ones((2, 1, 4)), width)
