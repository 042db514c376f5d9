from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.distinct import estimate, hash_strings, registers_of

hashes = st.lists(st.integers(0, 2**64 - 1), max_size=40)


def sketch(values: list[int]) -> Any:
    return registers_of(np.array(values, dtype=np.uint64), np.zeros(len(values), dtype=int), 1)[0]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(hashes, hashes)
def test_merging_sketches_is_sketching_the_union(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(np.maximum(sketch(a), sketch(b)), sketch(b + a + a))


@pytest.mark.parametrize(
    ("distinct", "bound"), [(1, 0.01), (30, 0.06), (300, 0.06), (1000, 0.08), (10_000, 0.08), (200_000, 0.08)]
)
def test_the_error_is_what_was_promised(distinct: int, bound: float) -> None:
    rng = np.random.default_rng(5)
    trials = 40
    h = rng.integers(0, 2**64, distinct * trials, dtype=np.uint64)
    got = estimate(registers_of(h, np.repeat(np.arange(trials), distinct), trials))
    error = got / distinct - 1.0
    assert np.sqrt(np.mean(error**2)) <= bound
    assert abs(error.mean()) <= 0.035


def test_an_empty_sketch_holds_nothing() -> None:
    assert estimate(np.zeros((2, 256), np.uint8)).tolist() == [0.0, 0.0]
    assert estimate(registers_of(np.empty(0, np.uint64), np.empty(0, int), 3)).tolist() == [0.0] * 3


def test_extreme_hashes_have_their_ranks() -> None:
    registers = registers_of(np.array([0, 2**64 - 1], dtype=np.uint64), [0, 0], 1)[0]
    assert (registers[0], registers[255]) == (53, 1)
    assert np.count_nonzero(registers) == 2


def test_strings_hash_alike_in_every_process() -> None:
    code = "from detectors.distinct import hash_strings; print(hash_strings(['é', '', '\\ud800']).tolist())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == str(hash_strings(["é", "", "\ud800"]).tolist())
    assert hash_strings([]).shape == (0,)


def test_a_group_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="group"):
        registers_of(np.array([1], dtype=np.uint64), [1], 1)
