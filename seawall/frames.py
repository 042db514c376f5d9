"""Columns in memory, and their frames on the wire.

A `Columns` object is many events of one model and version, column by column. The SDK builds one and sends it
as a frame; the worker reads a frame (or gathers single events) into one. Both sides use nothing per row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from seawall.errors import WireError

Source = Literal["predictions", "features", "labels"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Categorical:
    """A dictionary-encoded column: `codes` (int32, one per row, -1 missing) index `dictionary`."""

    codes: npt.NDArray[np.int32]
    dictionary: list[str]

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Categorical:
        """Encode a sequence of strings; None is missing."""
        words = [word for word in dict.fromkeys(values) if word is not None]
        place: dict[str | None, int] = {None: -1, **{word: i for i, word in enumerate(words)}}
        return cls(np.array([place[value] for value in values], dtype=np.int32), words)


@dataclass(slots=True)
class Columns:
    """Many events of one model and version.

    Attributes
    ----------
    ts : int64 array [rows]
        Event time, microseconds UTC.
    numeric, scores : mapping of float64 arrays [rows]
        NaN is missing. For labels, the truth is ``numeric["label"]`` or ``label``, and `scores` are those of the
        prediction, where the sender knows them.
    categorical, segments : mapping of `Categorical`
    label : Categorical, optional
        The predicted label (predictions) or the categorical truth (labels).
    predicted : Categorical, optional
        The predicted label, of labels that carry it.
    weight : float
        How many events each row stands for (1 / sampling rate).
    event_ids, entity_ids : list of str, optional
    """

    source: Source
    model: str
    version: str
    ts: Ints
    numeric: dict[str, Floats] = field(default_factory=dict)
    categorical: dict[str, Categorical] = field(default_factory=dict)
    scores: dict[str, Floats] = field(default_factory=dict)
    label: Categorical | None = None
    segments: dict[str, Categorical] = field(default_factory=dict)
    weight: float = 1.0
    frame_id: str = ""
    event_ids: list[str] | None = None
    entity_ids: list[str] | None = None
    predicted: Categorical | None = None

    @property
    def rows(self) -> int:
        """Number of events."""
        return len(self.ts)


_DTYPES = {name: np.dtype(name) for name in ("<i4", "<i8", "<f8")}
FRAME_CONTRACT: Mapping[Source, str] = {
    "predictions": "prediction_frame",
    "features": "feature_frame",
    "labels": "label_frame",
}


def to_record(columns: Columns) -> dict[str, Any]:
    """Lay `columns` out as the record of its frame contract (`FRAME_CONTRACT`)."""
    record: dict[str, Any] = {
        "frame_id": columns.frame_id,
        "model": columns.model,
        "version": columns.version,
        "rows": columns.rows,
        "ts": np.ascontiguousarray(columns.ts, dtype="<i8").tobytes(),
        "event_ids": _strings_out(columns.event_ids),
        "entity_ids": _strings_out(columns.entity_ids),
        "segments": [_categorical_out(n, c) for n, c in columns.segments.items()],
        "weight": columns.weight,
    }
    if columns.source == "labels":
        value = columns.numeric.get("label")
        record["value"] = None if value is None else _numeric_out("label", value)
        record["label"] = None if columns.label is None else _categorical_out("label", columns.label)
        record["scores"] = [_numeric_out(n, v) for n, v in columns.scores.items()]
        said = columns.predicted
        record["predicted"] = None if said is None else _categorical_out("predicted", said)
        return record
    record["numeric"] = [_numeric_out(n, v) for n, v in columns.numeric.items()]
    record["categorical"] = [_categorical_out(n, c) for n, c in columns.categorical.items()]
    if columns.source == "predictions":
        record["scores"] = [_numeric_out(n, v) for n, v in columns.scores.items()]
        record["label"] = None if columns.label is None else _categorical_out("label", columns.label)
    return record


def from_record(source: Source, record: Mapping[str, Any], *, ids: bool = True) -> Columns:
    """Read a frame record. The arrays are views of the record's bytes where that is possible.

    Without `ids`, those of events and entities are checked and left out: nobody counts by them.

    Raises
    ------
    WireError
        ``bad_frame``: a column is not `rows` long, or a code is outside its dictionary.
        ``duplicate_column``: one name stands for two columns.
    """
    rows = record["rows"]
    if rows < 0:
        raise WireError("bad_frame", f"rows is {rows}")
    for part in ("numeric", "categorical", "scores", "segments"):
        _check_distinct(part, [c["name"] for c in record.get(part) or ()])
    columns = Columns(
        source,
        record["model"],
        record["version"],
        _array("ts", record["ts"], "<i8", rows),
        weight=record["weight"],
        frame_id=record["frame_id"],
        event_ids=_strings_in("event_ids", record["event_ids"], rows, wanted=ids),
        entity_ids=_strings_in("entity_ids", record["entity_ids"], rows, wanted=ids),
        segments={c["name"]: _categorical_in(c, rows) for c in record["segments"]},
    )
    if source == "labels":
        if record["value"] is not None:
            columns.numeric["label"] = _numeric_in(record["value"], rows)
        if record["predicted"] is not None:
            columns.predicted = _categorical_in(record["predicted"], rows)
    else:
        columns.numeric = {c["name"]: _numeric_in(c, rows) for c in record["numeric"]}
        columns.categorical = {c["name"]: _categorical_in(c, rows) for c in record["categorical"]}
    if source != "features":
        columns.scores = {c["name"]: _numeric_in(c, rows) for c in record["scores"]}
    if source != "features" and record["label"] is not None:
        columns.label = _categorical_in(record["label"], rows)
    return columns


def _check_distinct(part: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise WireError("duplicate_column", f"{part} names {twice!r} more than once")


def _array(name: str, data: bytes, dtype: str, rows: int) -> Any:
    of = _DTYPES[dtype]
    if len(data) != rows * of.itemsize:
        detail = f"column {name!r} has {len(data)} bytes, expected {rows} rows of {dtype}"
        raise WireError("bad_frame", detail)
    return np.frombuffer(data, of)


def _numeric_out(name: str, values: Floats) -> dict[str, Any]:
    return {"name": name, "values": np.ascontiguousarray(values, dtype="<f8").tobytes(), "nulls": b""}


def _numeric_in(column: Mapping[str, Any], rows: int) -> Floats:
    values: Floats = _array(column["name"], column["values"], "<f8", rows)
    if column["nulls"]:
        if len(column["nulls"]) != (rows + 7) // 8:
            raise WireError("bad_frame", f"null mask of {column['name']!r} has {len(column['nulls'])} bytes")
        mask = np.unpackbits(np.frombuffer(column["nulls"], dtype=np.uint8), count=rows).astype(bool)
        values = np.where(mask, np.nan, values)
    return values


def _categorical_out(name: str, column: Categorical) -> dict[str, Any]:
    codes = np.ascontiguousarray(column.codes, dtype="<i4").tobytes()
    return {"name": name, "dictionary": column.dictionary, "codes": codes}


def _categorical_in(column: Mapping[str, Any], rows: int) -> Categorical:
    codes = _array(column["name"], column["codes"], "<i4", rows)
    dictionary = list(column["dictionary"])
    if rows and (codes.min() < -1 or codes.max() >= len(dictionary)):
        raise WireError("bad_frame", f"column {column['name']!r} has a code outside its dictionary")
    return Categorical(codes, dictionary)


def _strings_out(values: list[str] | None) -> dict[str, bytes] | None:
    if values is None:
        return None
    encoded = [v.encode() for v in values]
    ends = np.cumsum(np.fromiter(map(len, encoded), "<i4", len(encoded)), dtype="<i4")
    return {"data": b"".join(encoded), "ends": ends.tobytes()}


def _strings_in(name: str, column: Mapping[str, Any] | None, rows: int, *, wanted: bool) -> list[str] | None:
    if column is None:
        return None
    data = column["data"]
    ends = _array(name, column["ends"], "<i4", rows)
    end = ends[-1] if rows else 0
    if np.any(np.diff(ends, prepend=0) < 0) or end != len(data):
        raise WireError("bad_frame", f"{name}: row ends do not fit {len(data)} bytes of text")
    if not wanted and _are_texts(data, ends):
        return None
    starts = np.concatenate(([0], ends[:-1])) if rows else ends
    try:
        return [str(data[a:b], "utf-8") for a, b in zip(starts, ends, strict=True)]
    except UnicodeDecodeError as error:
        raise WireError("bad_frame", f"{name}: {error}") from error


def _are_texts(data: Any, ends: Any) -> bool:
    """Whether every piece is UTF-8: all of it is, and no piece begins within a character."""
    try:
        str(data, "utf-8")
    except UnicodeDecodeError:
        return False
    inner = ends[ends < len(data)]
    return bool(np.all(np.frombuffer(data, dtype=np.uint8)[inner] & 0xC0 != 0x80))
