import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.durations import format_duration, parse_duration


@given(st.integers(0, 10**15))
def test_a_written_duration_reads_back_as_it_was(microseconds: int) -> None:
    assert parse_duration(format_duration(microseconds)) == microseconds


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("90s", 90_000_000),
        ("5m", 300_000_000),
        ("1h", 3_600_000_000),
        ("7d", 604_800_000_000),
        ("0.1s", 100_000),
    ],
)
def test_durations_are_read_exactly(text: str, microseconds: int) -> None:
    assert parse_duration(text) == microseconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", "a unit as well, such as 5s, 5m"),
        ("5min", "did you mean 5m?"),
        ("5M", "did you mean 5m?"),
        ("5y", "one of the units s, m, h, d"),
        ("soon", "a number and a unit"),
        ("", "a number and a unit"),
        ("1h30m", "a number and a unit"),
        ("0.0000001s", "a whole number of microseconds"),
        ("99999999d", "at most 100 years"),
    ],
)
def test_what_is_no_duration_is_refused_with_what_was_meant(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected.replace("?", r"\?")):
        parse_duration(text)
