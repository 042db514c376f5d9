"""Durations as people write them: ``90s``, ``5m``, ``1h``, ``7d``, as integer microseconds."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS_US = {
    "w": 7 * 86_400_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
#: What people write instead of the unit.
_SPELLINGS = {
    "sec": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "min": "m",
    "mins": "m",
    "minute": "m",
    "minutes": "m",
    "hr": "h",
    "hrs": "h",
    "hour": "h",
    "hours": "h",
    "day": "d",
    "days": "d",
    "week": "w",
    "weeks": "w",
}
_PATTERN = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")
_LONGEST_US = 100 * 366 * 86_400_000_000


def parse_duration(text: str) -> int:
    """Read a duration; returns microseconds.

    Raises
    ------
    ValueError
        Saying what was expected, and what was probably meant.

    Examples
    --------
    >>> parse_duration("90s"), parse_duration("1.5h")
    (90000000, 5400000000)
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError("a number and a unit, such as 90s, 5m, 1h or 7d")
    number, unit = match.groups()
    if unit not in _UNITS_US:
        raise ValueError(_unit_hint(number, unit))
    microseconds = Fraction(number) * _UNITS_US[unit]
    if microseconds.denominator != 1:
        raise ValueError("a whole number of microseconds")
    if microseconds > _LONGEST_US:
        raise ValueError("at most 100 years")
    return int(microseconds)


def _unit_hint(number: str, unit: str) -> str:
    if not unit:
        return f"a unit as well, such as {number}s, {number}m, {number}h or {number}d"
    meant = _SPELLINGS.get(unit.lower(), unit.lower())
    if meant in _UNITS_US:
        return f"one of the units s, m, h, d; did you mean {number}{meant}?"
    return "one of the units s, m, h, d, such as 90s, 5m, 1h or 7d"


def format_duration(microseconds: int) -> str:
    """Write a duration in the largest unit that makes it a whole number (weeks as days).

    Examples
    --------
    >>> format_duration(5_400_000_000), format_duration(7 * 86_400_000_000)
    ('90m', '7d')
    """
    for unit, size in _UNITS_US.items():
        if unit != "w" and microseconds and microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    return "0s"
