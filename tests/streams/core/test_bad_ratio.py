"""When a partition is stopped: against a naive count, and whatever the fetches were."""

from __future__ import annotations

from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import given

from streams.core.bad_ratio import BadRatio, TooMany

Flags = list[bool]


def naive(flags: Flags, limit: float, least: int) -> int | None:
    """Position of the first record at which too many of the last `least` were bad."""
    for i in range(least - 1, len(flags)):
        if sum(flags[i - least + 1 : i + 1]) > limit * least:
            return i
    return None


def feed(flags: Flags, limit: float, least: int, cuts: list[int], gap: int = 1) -> TooMany | None:
    ratio = BadRatio(limit, least)
    edges = sorted({0, len(flags), *(c % (len(flags) + 1) for c in cuts)})
    for first, end in pairwise(edges):
        offsets = [100 + i * gap for i in range(first, end)]
        passed = ratio.take(offsets, [100 + i * gap for i in range(first, end) if flags[i]])
        if passed:
            return passed
    return None


@given(
    st.lists(st.booleans(), max_size=60),
    st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]),
    st.integers(1, 20),
    st.lists(st.integers(0, 60), max_size=6),
    st.integers(1, 3),
)
def test_the_outcome_equals_a_naive_count_however_the_records_were_fetched(
    flags: Flags, limit: float, least: int, cuts: list[int], gap: int
) -> None:
    expected = naive(flags, limit, least)
    passed = feed(flags, limit, least, cuts, gap)
    if expected is None:
        assert passed is None
    else:
        assert passed is not None
        assert passed.offset == 100 + expected * gap
        assert passed.bad == sum(flags[expected - least + 1 : expected + 1])
        assert passed.records == least


def test_fewer_records_than_are_looked_at_say_nothing() -> None:
    assert feed([True] * 999, 0.5, 1000, []) is None
    assert feed([True] * 1000, 0.5, 1000, []) == TooMany(1099, 1000, 1000)


def test_exactly_the_limit_is_accepted() -> None:
    assert feed([True, False] * 500, 0.5, 1000, []) is None
    assert feed([True, True, *[True, False] * 499], 0.5, 1000, []) == TooMany(1099, 1000, 501)


def test_a_limit_of_one_never_stops_anything() -> None:
    assert feed([True] * 5000, 1.0, 1000, []) is None


def test_old_bad_records_are_forgotten() -> None:
    flags = [True] * 400 + [False] * 1000 + [True] * 400
    assert feed(flags, 0.5, 1000, []) is None


def test_what_is_remembered_does_not_grow_with_the_partition() -> None:
    ratio = BadRatio(1.0, 100)
    for first in range(0, 100_000, 1000):
        offsets = list(range(first, first + 1000))
        assert ratio.take(offsets, offsets) is None
    assert len(ratio._bad) <= 100
