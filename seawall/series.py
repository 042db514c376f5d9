"""Read one column: a pandas or polars Series, a numpy array or a list, copied into numbers, text or times.

Series are recognised by how they behave; neither library is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from seawall.errors import ContractError
from seawall.frames import Categorical, Floats, Ints
from seawall.values import (
    NUMBER_TYPES,
    TEXT_TYPES,
    as_text,
    check_times,
    numbers,
    plain,
    texts,
    time_us,
)

_NUMERIC_KINDS = "fiub"
#: From here on a float64 does not hold every whole number.
_FIRST_INEXACT = 2.0**53
#: What polars makes of whole numbers too large for 64 bits; numpy has no such type.
_BEYOND_NUMPY = frozenset({"Int128", "UInt128"})


def read_column(field: str, values: Any) -> Floats | Categorical:
    """Read one column.

    Raises
    ------
    ContractError
        When it holds something other than numbers, booleans, text and missing values.
    """
    dtype = getattr(values, "dtype", None)
    if hasattr(values, "factorize") and _is_text_dtype(dtype):  # pandas text and category
        codes, words = values.factorize()
        return _dictionary(field, np.asarray(codes), list(words))
    if getattr(dtype, "kind", None) in tuple(_NUMERIC_KINDS):
        return _numeric_array(values)
    if hasattr(values, "to_numpy") and _is_polars_numeric(dtype):
        array = values.to_numpy()
        if array.dtype.kind in _NUMERIC_KINDS:
            return array.astype(np.float64)  # type: ignore[no-any-return]  # to_numpy of an unknown class
    if getattr(dtype, "kind", None) in tuple("mM") or "date" in str(dtype).lower():
        msg = f"{field}: holds {dtype}, expected numbers, booleans or text (a time can be the event's ts)"
        raise ContractError(msg)
    return _read_list(field, as_list(field, values))


def read_labels(field: str, values: Any) -> Categorical:
    """Read a column of labels or segment values; numbers are written out, 1 and 1.0 and True as "1"."""
    column = read_column(field, values)
    if isinstance(column, Categorical):
        return column
    if (np.abs(column) >= _FIRST_INEXACT).any():  # ids of 64 bits, say: two of them may be one float
        return texts([as_text(field, value) for value in as_list(field, values)])
    present, places = np.unique(column, return_inverse=True)
    words = [as_text(field, value) for value in present.tolist()]
    codes = np.array([i if word is not None else -1 for i, word in enumerate(words)], dtype=np.int32)
    return Categorical(codes[places], [word for word in words if word is not None])  # NaN sorts last


def read_times(rows: int, ts: Any, now_us: int) -> Ints:
    """Event times of a table's rows: one for all, or one each."""
    if ts is None:
        return np.full(rows, now_us, dtype=np.int64)
    if isinstance(ts, datetime | int | np.integer | np.datetime64):
        return np.full(rows, time_us(ts), dtype=np.int64)
    dtype = getattr(ts, "dtype", None)
    if getattr(dtype, "kind", None) in {"i", "u"} and np.asarray(ts).dtype.kind in {"i", "u"}:
        times = np.asarray(ts)
        check_times(times)
        return times.astype(np.int64)
    if getattr(dtype, "kind", None) == "M" or str(dtype).startswith("Datetime"):
        zone = getattr(dtype, "tz", None) or getattr(dtype, "time_zone", None)
        if zone is None and not isinstance(ts, np.ndarray):
            msg = f"ts: a column of {dtype} has no time zone, expected aware times or whole microseconds"
            raise ContractError(msg)
        # an aware column's numpy values are UTC in both libraries; pandas must be told to give them
        array = ts.to_numpy(dtype="datetime64[us]") if hasattr(dtype, "tz") else np.asarray(ts)
        if np.isnat(array).any():
            msg = f"ts: {int(np.isnat(array).sum())} of {len(array)} times are missing, expected one per row"
            raise ContractError(msg)
        times = array.astype("datetime64[us]").astype(np.int64)
        check_times(times)
        return times
    return np.array([time_us(value) for value in as_list("ts", ts)], dtype=np.int64)


def read_ids(field: str, values: Any) -> list[str]:
    """Read a column of ids, as text."""
    ids: list[str] = []
    for value in as_list(field, values):
        text = as_text(field, value)
        if text is None:
            msg = f"{field}: row {len(ids)} has none, expected one per row"
            raise ContractError(msg)
        ids.append(text)
    return ids


def as_list(field: str, values: Any) -> list[Any]:
    """Copy a column into a list of Python values."""
    for method in ("to_list", "tolist"):
        if hasattr(values, method):
            listed = getattr(values, method)()
            if isinstance(listed, list):
                return listed
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        msg = f"{field}: a {type(values).__name__} is not a column, expected an array or a list"
        raise ContractError(msg)
    return list(values)


def _read_list(field: str, values: list[Any]) -> Floats | Categorical:
    types = set(map(type, values))
    try:
        if types <= NUMBER_TYPES:
            return numbers(values)
        if types <= TEXT_TYPES:
            return texts(values)
    except (OverflowError, ValueError):
        pass  # value by value, to name the one
    reduced = [plain(field, value) for value in values]
    if any(isinstance(value, str) for value in reduced):
        return texts([as_text(field, value) for value in reduced])
    return numbers(reduced)


def _dictionary(field: str, codes: Any, words: list[Any]) -> Categorical:
    labels = [as_text(field, word) or "" for word in words]
    if len(set(labels)) == len(labels):
        return Categorical(codes.astype(np.int32), labels)
    return texts([None if code < 0 else labels[code] for code in codes.tolist()])


def _numeric_array(values: Any) -> Floats:
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            msg = f"column: has {values.ndim} dimensions, expected 1"
            raise ContractError(msg)
        return values.astype(np.float64)
    return np.array(values.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)


def _is_text_dtype(dtype: Any) -> bool:
    name = str(dtype)
    return name in {"category", "str", "string"} or name.startswith(("string[", "large_string["))


def _is_polars_numeric(dtype: Any) -> bool:
    name = str(dtype)
    is_number = bool(getattr(dtype, "is_numeric", lambda: False)()) or name == "Boolean"
    return is_number and name not in _BEYOND_NUMPY
