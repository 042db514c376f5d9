"""Read a table: a pandas or polars DataFrame, or a mapping of columns.

Numeric and boolean columns become numeric, text and categorical ones categorical. A column of mixed text and
numbers is categorical, its numbers written out. A column of vectors (lists, arrays, a matrix) is an embedding and
becomes the numbers of `seawall.embeddings`. Everything is copied, so the caller may change the table as soon as
the call returns.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from seawall.embeddings import project, read_vectors
from seawall.errors import ContractError
from seawall.frames import Categorical, Columns, Floats, Source
from seawall.series import read_column, read_ids, read_labels, read_times
from seawall.values import as_text, clean


class Asked(NamedTuple):
    """What goes with a table's features: columns, or names of columns of the table."""

    scores: Any
    labels: Any
    """What was predicted."""
    truths: Any
    ts: Any
    event_ids: Any
    entity_ids: Any

    def names(self) -> frozenset[str]:
        """Columns of the table that are no features."""
        return frozenset(value for value in self if isinstance(value, str))

    def picked(self, table: Any) -> Asked:
        """Replace names by the columns that they name."""
        return Asked(*(pick(table, field, value) for field, value in self._asdict().items()))


def read_table(
    source: Source, table: Any, asked: Asked, about: tuple[str, str], segments: Mapping[str, Any]
) -> Columns:
    """Read a whole table of events of one (model, version).

    Raises
    ------
    ContractError
        Naming the column that cannot be read or is not as long as the first.
    """
    given = asked.picked(table)
    rows = rows_of(table, asked)
    columns = Columns(
        source,
        clean(about[0]),
        clean(about[1]),
        read_times(rows, given.ts, time.time_ns() // 1000),
        scores=read_scores(given.scores),
        segments=_read_segments(rows, segments),
    )
    if source == "labels":
        truth = read_column("truths", given.truths)
        columns.numeric = {} if isinstance(truth, Categorical) else {"label": truth}
        columns.label = truth if isinstance(truth, Categorical) else None
        columns.predicted = None if given.labels is None else read_labels("predicted", given.labels)
    else:
        columns.numeric, columns.categorical = read_features(table, asked.names())
        columns.label = None if given.labels is None else read_labels("labels", given.labels)
    columns.event_ids = None if given.event_ids is None else read_ids("event_ids", given.event_ids)
    columns.entity_ids = None if given.entity_ids is None else read_ids("entity_ids", given.entity_ids)
    checked_lengths(rows, _lengths(columns))
    return columns


def rows_of(table: Any, asked: Asked) -> int:
    """Return the length of the first column."""
    names = column_names(table)
    given = asked.picked(table)
    columns = [table[names[0]]] if names else []
    others = (given.event_ids, given.truths, given.labels, given.scores)
    columns += [column for column in others if column is not None]
    if not columns:
        raise ContractError("table: has no columns, expected at least one")
    first = columns[0]
    return len(next(iter(first.values()))) if isinstance(first, Mapping) else len(first)


def column_names(table: Any) -> list[Any]:
    """Names of the table's columns, as the table has them."""
    names = getattr(table, "columns", None)
    if names is None:
        names = table.keys() if isinstance(table, Mapping) else None
    if names is None:
        msg = f"table: a {type(table).__name__} has no columns, expected a DataFrame or a mapping of columns"
        raise ContractError(msg)
    if len(set(names)) != len(list(names)):
        msg = f"table: column names repeat in {list(names)!r}"
        raise ContractError(msg)
    return list(names)


def pick(table: Any, field: str, given: Any) -> Any:
    """Return a column of the table when `given` is its name, else `given` itself."""
    if not isinstance(given, str):
        return given
    if given not in column_names(table):
        msg = f"{field}: there is no column {given!r} in the table"
        raise ContractError(msg)
    return table[given]


def read_features(table: Any, without: frozenset[str]) -> tuple[dict[str, Floats], dict[str, Categorical]]:
    """Numeric and categorical columns of a table by name."""
    numeric: dict[str, Floats] = {}
    categorical: dict[str, Categorical] = {}
    for name in column_names(table):
        if name in without:
            continue
        text = clean(str(name))
        read_feature(text, table[name], numeric, categorical)
    return numeric, categorical


def read_feature(
    name: str, values: Any, numeric: dict[str, Floats], categorical: dict[str, Categorical]
) -> None:
    """Read one column into the numeric columns or the categorical ones; of vectors, what they are projected onto."""
    field = f"column {name!r}"
    vectors = read_vectors(field, values)
    if vectors is not None:
        numeric |= project(name, vectors)
        return
    column = read_column(field, values)
    if isinstance(column, Categorical):
        categorical[name] = column
    else:
        numeric[name] = column


def read_scores(scores: Any) -> dict[str, Floats]:
    """Name score columns: an array is ``score``, a matrix ``0``, ``1``, …, a mapping names its own."""
    if scores is None:
        return {}
    if isinstance(scores, Mapping) or hasattr(scores, "columns"):
        named = {clean(str(n)): scores[n] for n in column_names(scores)}
    elif getattr(scores, "ndim", 1) == 2:
        matrix = np.asarray(scores)
        named = {str(i): matrix[:, i] for i in range(matrix.shape[1])}
        if len(named) == 1:
            named = {"score": named["0"]}
    else:
        named = {"score": scores}
    columns: dict[str, Floats] = {}
    for name, values in named.items():
        column = read_column(f"score {name!r}", values)
        if isinstance(column, Categorical):
            msg = f"score {name!r}: holds text, expected numbers"
            raise ContractError(msg)
        columns[name] = column
    return columns


def checked_lengths(rows: int, columns: Iterator[tuple[str, int]]) -> None:
    """Raise `ContractError` for the first column that is not `rows` long."""
    for name, length in columns:
        if length != rows:
            msg = f"{name}: has {length} rows, expected {rows} as in the first column"
            raise ContractError(msg)


def _read_segments(rows: int, segments: Mapping[str, Any]) -> dict[str, Categorical]:
    columns: dict[str, Categorical] = {}
    for name, value in segments.items():
        field = f"segment {name!r}"
        if value is None or isinstance(value, str | int | float):
            text = as_text(field, value)
            code = -1 if text is None else 0
            words = [] if text is None else [text]
            columns[clean(name)] = Categorical(np.full(rows, code, dtype=np.int32), words)
        else:
            columns[clean(name)] = read_labels(field, value)
    return columns


def _lengths(columns: Columns) -> Iterator[tuple[str, int]]:
    yield "ts", columns.rows
    for name, values in (*columns.numeric.items(), *columns.scores.items()):
        yield name, len(values)
    said = (("labels", columns.label), ("predicted", columns.predicted))
    for name, text in (*columns.categorical.items(), *columns.segments.items(), *said):
        if text is not None:
            yield name, len(text.codes)
    for name, ids in (("event_ids", columns.event_ids), ("entity_ids", columns.entity_ids)):
        if ids is not None:
            yield name, len(ids)
