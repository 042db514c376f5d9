"""Event times of reference data, which is less tidy than live traffic: naive times, epochs, text."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np

from seawall.errors import ConfigError, ContractError
from seawall.frames import Ints
from seawall.series import as_list
from seawall.values import LATEST_US, shown, time_us

#: Microseconds per unit; nanoseconds divide.
_UNITS_US = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
#: What numbers that lie too far in the future are likelier to count.
_FINER = {"s": "ms, us or ns", "ms": "us or ns", "us": "ns", "ns": ""}
#: The spring of 1973. Fewer microseconds than this are more likely another unit.
_SUSPECT_US = 100_000_000_000_000


def is_time(column: Any) -> bool:
    """Whether a column holds dates, times or durations, by its type."""
    dtype = getattr(column, "dtype", None)
    name = str(dtype).lower()
    return getattr(dtype, "kind", None) in {"m", "M"} or name.startswith(
        ("date", "time", "duration", "period")
    )


def read_reference_times(values: Any, unit: str = "us") -> Ints:
    """Read a column of event times, as microseconds UTC.

    Parameters
    ----------
    values
        Datetimes (without a zone they are UTC), ISO 8601 text, or numbers.
    unit
        What numbers count since 1970: ``s``, ``ms``, ``us`` or ``ns``.

    Raises
    ------
    ContractError
        Naming the row that has no time or one that cannot be read.
    ConfigError
        For an unknown unit.
    """
    if unit not in _UNITS_US:
        msg = f"time_unit: {unit!r} is unknown, expected s, ms, us or ns"
        raise ConfigError(msg)
    if is_time(values):
        # pandas gives an aware column's UTC times only when told the type; polars gives them anyway
        is_pandas = hasattr(values, "to_numpy") and hasattr(values, "factorize")
        array = values.to_numpy(dtype="datetime64[us]") if is_pandas else np.asarray(values)
        array = array.astype("datetime64[us]")
        _refuse_missing(np.isnat(array))
        times: Ints = array.astype(np.int64)
        return times
    listed = as_list("ts", values)
    if any(isinstance(value, str | datetime) for value in listed[:1000]):
        return np.array([_time(row, value) for row, value in enumerate(listed)], dtype=np.int64)
    return _from_numbers(listed, unit)


def _from_numbers(listed: list[Any], unit: str) -> Ints:
    _refuse_missing(
        np.array(
            [value is None or (isinstance(value, float) and math.isnan(value)) for value in listed],
            dtype=bool,
        )
    )
    try:
        array = np.asarray(listed)
        if array.dtype.kind not in "iuf" or array.ndim != 1:
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        msg = f"ts: {shown(listed[0])} in row 0 is no time, expected datetimes, ISO 8601 text or numbers"
        raise ContractError(msg) from None
    if array.dtype.kind in "iu" and unit in {"us", "ns"}:
        counted = array.astype(np.int64) // (1 if unit == "us" else 1000)  # exact, where a float is not
    else:
        counted = np.round(array.astype(np.float64) * _UNITS_US[unit])
    if len(counted) and counted.max() > LATEST_US:
        row = int(np.argmax(counted))
        hint = (
            _FINER[unit] and f"; if the numbers count something else, say so with time_unit ({_FINER[unit]})"
        )
        msg = f"ts: {listed[row]} {unit} in row {row} is later than 2262, expected an earlier time{hint}"
        raise ContractError(msg)
    times: Ints = counted.astype(np.int64)
    if unit == "us" and len(times) and 0 < np.abs(times).max() < _SUSPECT_US:
        msg = (
            f"ts: {listed[0]} microseconds are in the early 1970s, expected a later time; "
            "if the numbers count something else, say so with time_unit (s, ms or ns)"
        )
        raise ContractError(msg)
    return times


def _time(row: int, value: Any) -> int:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        if isinstance(moment, datetime):
            return time_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except ValueError:
        pass
    msg = f"ts: {shown(value)} in row {row} is no time, expected ISO 8601 such as 2026-01-31T12:00:00Z"
    raise ContractError(msg)


def _refuse_missing(missing: Any) -> None:
    if missing.any():
        first = int(np.argmax(missing))
        msg = f"ts: {int(missing.sum())} of {len(missing)} rows have no time, the first is row {first}"
        raise ContractError(msg)
