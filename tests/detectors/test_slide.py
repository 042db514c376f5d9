from __future__ import annotations

import numpy as np
import pytest

from detectors.slide import sliding_max, sliding_sum


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 11, 12])
def test_windows_agree_with_the_obvious_loop(width: int) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 2**32, (12, 5), dtype=np.uint32)
    registers = rng.integers(0, 54, (12, 2, 256), dtype=np.uint8)
    sums, tops = sliding_sum(counts, width), sliding_max(registers, width)
    assert (sums.dtype.name, tops.dtype.name) == ("int64", "uint8")
    assert len(sums) == len(tops) == 13 - width
    for w in range(13 - width):
        np.testing.assert_array_equal(sums[w], counts[w : w + width].astype(np.int64).sum(axis=0))
        np.testing.assert_array_equal(tops[w], registers[w : w + width].max(axis=0))


def test_the_result_does_not_share_memory_with_the_panes() -> None:
    registers = np.ones((3, 1, 256), dtype=np.uint8)
    assert not np.shares_memory(sliding_max(registers, 1), registers)


@pytest.mark.parametrize("width", [0, 4])
def test_a_width_that_does_not_fit_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match="width"):
        sliding_sum(np.ones((3, 1), int), width)
    with pytest.raises(ValueError, match="width"):
        sliding_max(np.ones((3, 1, 256), np.uint8), width)
