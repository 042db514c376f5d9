"""What a value that a product hands over means: a number, a text, missing, or a point in time.

Booleans are the numbers 0 and 1. None, NaN, pandas' NA and NaT are missing. Every number becomes a
float64, so a whole number beyond 2^53 is rounded to the nearest one. Lone surrogates, which UTF-8 cannot
carry, become U+FFFD.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from numbers import Real
from typing import Any

import numpy as np

from seawall.errors import ContractError
from seawall.frames import Categorical, Floats, Ints

#: Types that numpy turns into float64 by itself, None into NaN.
NUMBER_TYPES = frozenset(
    {float, int, bool, type(None)}
    | {np.bool_, np.float16, np.float32, np.float64}
    | {np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64}
)
TEXT_TYPES = frozenset({str, type(None)})
_MISSING_TYPE_NAMES = frozenset({"NAType", "NaTType"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Microseconds before 1980 or beyond 2262 are another unit. The service refuses what lies before, too.
_EARLIEST_US = 315_532_800_000_000
LATEST_US = 9_223_372_036_854_775


def clean(text: str) -> str:
    """Return the text as UTF-8 can carry it, and as a plain `str`."""
    plain = str.__str__(text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def plain(field: str, value: Any) -> float | str | None:
    """Reduce a feature value to a float, a text or None.

    Raises
    ------
    ContractError
        When it is none of these, or a number too large for a float.
    """
    if value is None or type(value).__name__ in _MISSING_TYPE_NAMES:
        return None
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Real | Decimal | Fraction | np.bool_):
        try:
            return float(value)
        except (OverflowError, ValueError) as error:
            what = f"{type(value).__name__} of that size"
            msg = f"{field}: a {what} does not fit a float, expected a number below 1.8e308"
            raise ContractError(msg) from error
    msg = f"{field}: {shown(value)} is a {type(value).__name__}, expected a number, bool, str, vector or None"
    raise ContractError(msg)


def as_text(field: str, value: Any) -> str | None:
    """Reduce a label or a segment value to text: True is "1", 3 and 3.0 are "3", NaN is missing."""
    if isinstance(value, int | np.integer):
        return str(int(value))
    reduced = plain(field, value)
    if reduced is None or isinstance(reduced, str):
        return reduced
    if math.isnan(reduced):
        return None
    return str(int(value)) if reduced.is_integer() else repr(reduced)


def score_by_name(score: Any) -> dict[str, float]:
    """Name outputs: one number is ``score``, a sequence ``0``, ``1``, …, a mapping names its own."""
    if isinstance(score, Mapping):
        pairs = [(clean(str(name)), value) for name, value in score.items()]
    elif isinstance(score, np.ndarray) or (
        isinstance(score, Sequence) and not isinstance(score, str | bytes)
    ):
        flat = np.ravel(score).tolist() if isinstance(score, np.ndarray) else list(score)
        pairs = [(str(i), value) for i, value in enumerate(flat)]
    else:
        pairs = [("score", score)]
    return {name: number(f"score {name!r}", value) for name, value in pairs}


def number(field: str, value: Any) -> float:
    """Reduce a value that must be a number; missing is NaN."""
    reduced = plain(field, value)
    if isinstance(reduced, str):
        msg = f"{field}: {shown(value)} is a text, expected a number"
        raise ContractError(msg)
    return float("nan") if reduced is None else reduced


def time_us(value: Any) -> int:
    """Event time in microseconds UTC, from an aware datetime, a numpy datetime64 (read as UTC) or an integer.

    Raises
    ------
    ContractError
        For a datetime without a time zone, a float, or a time that only another unit explains.
    """
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            msg = f"ts: {value} has no time zone, expected an aware datetime such as datetime.now(UTC)"
            raise ContractError(msg)
        delta = value - _EPOCH
        time = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    elif isinstance(value, np.datetime64) and not np.isnat(value):
        time = int(value.astype("datetime64[us]").astype(np.int64))
    elif isinstance(value, int | np.integer) and not isinstance(value, bool):
        time = int(value)
    else:
        msg = f"ts: {shown(value)} is a {type(value).__name__}, expected an aware datetime or an int"
        raise ContractError(msg)
    if not _EARLIEST_US <= time <= LATEST_US:
        msg = f"ts: {value} is not within 1980 to 2262, expected microseconds since 1970 UTC (another unit?)"
        raise ContractError(msg)
    return time


def check_times(times: Ints) -> None:
    """Raise `ContractError` when the earliest or latest of a column is no event time."""
    if len(times):
        time_us(times.min())
        time_us(times.max())


def numbers(values: Sequence[Any]) -> Floats:
    """Turn values of `NUMBER_TYPES` into a column. Raises OverflowError past 1.8e308."""
    return np.array(values, dtype=np.float64)


def texts(values: Sequence[str | None]) -> Categorical:
    """Turn values of `TEXT_TYPES` into a column. Raises UnicodeEncodeError for what UTF-8 cannot carry."""
    column = Categorical.of(values)
    "".join(column.dictionary).encode()
    return column


def shown(value: Any) -> str:
    """Show a value of anyone's making in a message: short, and without trusting its repr."""
    try:
        text = ascii(value)
    except Exception:
        text = "the value"
    return text if len(text) <= 60 else text[:57] + "..."


def printable(text: str) -> str:
    r"""Write a name of anyone's making so that a person sees all of it, on one line; nothing at all is two quotes.

    Examples
    --------
    >>> printable("größe"), printable("new\nline"), printable("")
    ('größe', 'new\\nline', "''")
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text) or "''"
