"""Cutting and joining columns by row, so that neither leaves a trace in the result.

A dictionary lists the values of its own rows in the order in which they come first. That holds after cutting and
joining as well: what a chunk holds must not depend on what was decoded together with it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from seawall.frames import Categorical, Columns
from streams.core.cursor import Ints


@dataclass(frozen=True, slots=True)
class Group:
    """Single events of one shape: `records` tells, in ascending order, where in the run each row came from."""

    shape: Hashable
    records: Ints
    columns: Columns

    def part(self, first: int, after: int) -> tuple[Ints, Columns]:
        """Rows of the records `first` up to `after`."""
        a, b = np.searchsorted(self.records, (first, after))
        return self.records[a:b], take(self.columns, slice(a, b))


def take(columns: Columns, rows: Any) -> Columns:
    """Rows of `columns` by a slice or by indices."""
    return replace(
        columns,
        ts=columns.ts[rows],
        numeric=_each(columns.numeric, lambda v: v[rows]),
        scores=_each(columns.scores, lambda v: v[rows]),
        categorical=_each(columns.categorical, lambda c: compact(c.codes[rows], c.dictionary)),
        segments=_each(columns.segments, lambda c: compact(c.codes[rows], c.dictionary)),
        label=_some(columns.label, rows),
        predicted=_some(columns.predicted, rows),
    )


def _some(column: Categorical | None, rows: Any) -> Categorical | None:
    return None if column is None else compact(column.codes[rows], column.dictionary)


def _each(columns: Mapping[str, Any], do: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: do(column) for name, column in columns.items()}


def compact(codes: npt.NDArray[np.int32], dictionary: list[str]) -> Categorical:
    """Encode with the values that occur, in the order in which they come first."""
    n, size = len(codes), len(dictionary)
    first = np.full(size + 1, n)
    # Of several values for one place the last one stays, so this goes backwards. -1 is the last place.
    first[codes[::-1]] = np.arange(n - 1, -1, -1)
    order = np.argsort(first[:size], kind="stable")[: np.count_nonzero(first[:size] < n)]
    if len(order) == size and (order == np.arange(size)).all():
        return Categorical(codes, dictionary)
    new = np.full(size + 1, -1, dtype=np.int32)
    new[order] = np.arange(len(order), dtype=np.int32)
    return Categorical(new[codes], [dictionary[i] for i in order.tolist()])


def stitch(groups: Sequence[Group]) -> list[Group]:
    """Join groups of the same shape, in the order of their records."""
    by_shape: dict[Hashable, list[Group]] = {}
    for group in groups:
        by_shape.setdefault(group.shape, []).append(group)
    return [parts[0] if len(parts) == 1 else _join(parts) for parts in by_shape.values()]


def _join(parts: Sequence[Group]) -> Group:
    records = np.concatenate([p.records for p in parts])
    order = np.argsort(records, kind="stable")
    return Group(parts[0].shape, records[order], take(join([p.columns for p in parts]), order))


def join(parts: Sequence[Columns], *, numbers: bool = True) -> Columns:
    """Put columns of one model, version, weight and shape below one another, on request without the numbers."""
    first = parts[0]
    if len(parts) == 1:
        return first

    def joined(of: Callable[[Columns], Mapping[str, Any]]) -> dict[str, Any]:
        return {name: np.concatenate([of(c)[name] for c in parts]) for name in of(first)} if numbers else {}

    def words(of: Callable[[Columns], Mapping[str, Categorical]]) -> dict[str, Categorical]:
        return {name: _join_words([of(c)[name] for c in parts]) for name in of(first)}

    return replace(
        first,
        ts=np.concatenate([c.ts for c in parts]),
        numeric=joined(lambda c: c.numeric),
        scores=joined(lambda c: c.scores),
        categorical=words(lambda c: c.categorical),
        segments=words(lambda c: c.segments),
        label=_join_words([c.label for c in parts if c.label is not None]) if first.label else None,
        predicted=_join_words([c.predicted for c in parts if c.predicted is not None])
        if first.predicted
        else None,
        event_ids=None,
        entity_ids=None,
    )


def _join_words(parts: Sequence[Categorical]) -> Categorical:
    place: dict[str, int] = {}
    codes = []
    for part in parts:
        lookup = np.array([*(place.setdefault(v, len(place)) for v in part.dictionary), -1], dtype=np.int32)
        codes.append(lookup[part.codes])
    return Categorical(np.concatenate(codes), list(place))


def neighbours(columns: Iterable[Columns]) -> list[list[Columns]]:
    """Gather what may be joined without changing the order of rows of any model and version."""
    lists: list[list[Columns]] = []
    last: dict[tuple[str, str], tuple[Hashable, list[Columns]]] = {}
    for part in columns:
        of, shape = (part.model, part.version), _shape(part)
        before, found = last.get(of, (None, []))
        if before != shape:
            found = []
            last[of] = shape, found
            lists.append(found)
        found.append(part)
    return lists


def _shape(columns: Columns) -> Hashable:
    return (
        columns.weight,
        columns.label is None,
        columns.predicted is None,
        tuple(columns.numeric),
        tuple(columns.scores),
        tuple(columns.categorical),
        tuple(columns.segments),
    )
