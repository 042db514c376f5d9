"""Counts survive being packed, whatever their size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seawall.errors import ContractError
from streams.core.packing import packed_counts, unpacked_counts


@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 5), st.integers(1, 7)), elements=st.integers(0, 2**32 - 1))
)
def test_what_is_packed_is_unpacked(counts: np.ndarray) -> None:
    packed, dtype = packed_counts(counts)
    np.testing.assert_array_equal(unpacked_counts(packed, dtype, len(counts), "counts"), counts)


@pytest.mark.parametrize(
    ("largest", "dtype"), [(0, "<u1"), (255, "<u1"), (256, "<u2"), (65535, "<u2"), (65536, "<u4")]
)
def test_counts_are_as_narrow_as_the_largest_allows(largest: int, dtype: str) -> None:
    assert packed_counts(np.array([[0, largest]]))[1] == dtype


def test_an_unknown_dtype_is_named() -> None:
    with pytest.raises(
        ContractError, match=r"window_report.counts_dtype: '<f8', expected one of <u1, <u2, <u4"
    ):
        unpacked_counts(b"", "<f8", 1, "window_report.counts")
