"""From single events to columns, and back. Pure: no thread, no clock."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from seawall.errors import ContractError
from seawall.frames import Categorical, Columns, Source
from seawall.values import (
    NUMBER_TYPES,
    TEXT_TYPES,
    as_text,
    clean,
    numbers,
    plain,
    score_by_name,
    texts,
    time_us,
)


class Event(NamedTuple):
    """One event as the product handed it over, nothing looked at yet."""

    source: Source
    model: str
    version: str
    ts: Any
    event_id: str
    entity_id: Any
    features: Mapping[str, Any]
    score: Any
    label: Any
    segments: Mapping[str, Any]
    weight: float
    size_bytes: int


def event_of(fields: tuple[Any, ...]) -> Event:
    """Rebuild an event from the bare tuple in which it waited: names and values apart, segments as pairs."""
    *head, names, values, score, label, segments, weight, size_bytes = fields
    features = dict(zip(names, values, strict=True))
    return Event._make((*head, features, score, label, dict(segments), weight, size_bytes))


@dataclass(slots=True)
class Rejected:
    """Events that were not what they should be: how many, and what was wrong with the first."""

    rows: int = 0
    reason: str = ""

    def add(self, error: Exception) -> None:
        """Count one."""
        self.rows += 1
        self.reason = self.reason or str(error)


class Kinds:
    """Remembers which columns were text, for batches in which such a column is missing throughout."""

    _LIMIT = 10_000

    def __init__(self) -> None:
        self._text: set[tuple[str, str]] = set()

    def note_text(self, model: str, name: str) -> None:
        """Remember that the model's column held text."""
        if len(self._text) < self._LIMIT:
            self._text.add((model, name))

    def is_text(self, model: str, name: str) -> bool:
        """Whether it ever held text."""
        return (model, name) in self._text


def group_key(event: Event) -> tuple[Any, ...]:
    """Events with equal keys share their columns, and so a frame."""
    kind = type(event.score)
    if event.score is None or kind in NUMBER_TYPES:
        scores: Any = event.score is not None
    else:
        scores = frozenset(event.score) if isinstance(event.score, Mapping) else (kind, np.size(event.score))
    return (
        event.source,
        event.model,
        event.version,
        event.weight,
        frozenset(event.features),
        frozenset(event.segments),
        event.entity_id is None,
        scores,
    )


def columns_of(
    events: Sequence[Event], kinds: Kinds, breathe: Callable[[], None] = lambda: None
) -> tuple[list[Columns], Rejected]:
    """Turn events of one group into columns, calling `breathe` after each.

    Plain values take the fast way, a column at a time. At the first surprise every event is looked at by
    itself: what is wrong is rejected with its reason, and a column that is text in some events and a
    number in others is told apart into two frames.
    """
    rejected = Rejected()
    try:
        return [_assemble(events, kinds, breathe)], rejected
    except (TypeError, ValueError, OverflowError, ContractError):
        pass
    good: list[Event] = []
    for event in events:
        try:
            good.append(_plain_event(event))
        except Exception as error:
            rejected.add(error)
    by_kind: dict[tuple[frozenset[str], frozenset[str]], list[Event]] = {}
    mixed = _mixed_columns(good)
    for event in good:
        text = frozenset(n for n in mixed if isinstance(event.features[n], str))
        by_kind.setdefault((text, frozenset(event.score or ())), []).append(event)
    return [_assemble(group, kinds, breathe) for group in by_kind.values()], rejected


def events_of(columns: Columns, size_bytes: int) -> list[Event]:
    """Take columns apart into single events, so that many short batches can share a frame."""
    values = {n: v.tolist() for n, v in columns.numeric.items()}
    values |= {n: _untake(c) for n, c in columns.categorical.items()}
    segments = {n: _untake(c) for n, c in columns.segments.items()}
    scores = {n: v.tolist() for n, v in columns.scores.items()}
    if columns.source == "labels":
        scores = {"score": values.pop("label")} if values else {}
    labels = [None] * columns.rows if columns.label is None else _untake(columns.label)
    ids = columns.event_ids or [f"{columns.frame_id}:{row}" for row in range(columns.rows)]

    def score_at(row: int) -> Any:
        if scores.keys() == {"score"}:
            return scores["score"][row]
        return {n: v[row] for n, v in scores.items()} or None

    share, rest = divmod(size_bytes, max(columns.rows, 1))
    return [
        Event(
            columns.source,
            columns.model,
            columns.version,
            ts,
            ids[row],
            None if columns.entity_ids is None else columns.entity_ids[row],
            {n: v[row] for n, v in values.items()},
            score_at(row),
            labels[row],
            {n: v[row] for n, v in segments.items()},
            columns.weight,
            share + (rest if row == 0 else 0),
        )
        for row, ts in enumerate(columns.ts.tolist())
    ]


def _untake(column: Categorical) -> list[str | None]:
    words: list[str | None] = [*column.dictionary, None]  # code -1 is the last
    return [words[code] for code in column.codes.tolist()]


def _assemble(events: Sequence[Event], kinds: Kinds, breathe: Callable[[], None]) -> Columns:
    """Build columns from events whose values are plain; raises when they are not."""
    first = events[0]
    times = [event.ts for event in events]
    if set(map(type, times)) != {int}:
        times = [time_us(value) for value in times]
    time_us(max(times))
    time_us(min(times))
    ids = [event.event_id for event in events]
    columns = Columns(
        first.source,
        first.model,
        first.version,
        np.array(times, dtype=np.int64),
        weight=first.weight,
        frame_id=uuid.uuid4().hex,
        event_ids=ids,
    )
    # Raises for what is no text, and for text that UTF-8 cannot carry.
    "".join((first.model, first.version, *first.features, *first.segments, *ids)).encode()
    if first.entity_id is not None:
        columns.entity_ids = [event.entity_id for event in events]
        "".join(columns.entity_ids).encode()
    for name in first.features:
        breathe()
        values = [event.features[name] for event in events]
        types = set(map(type, values))
        if types == {type(None)} and kinds.is_text(first.model, name):
            columns.categorical[name] = texts(values)
        elif types <= NUMBER_TYPES:
            columns.numeric[name] = numbers(values)
        elif types <= TEXT_TYPES:
            columns.categorical[name] = texts(values)
            kinds.note_text(first.model, name)
        else:
            msg = f"feature {name!r} holds {types}"
            raise ContractError(msg)
    columns.segments = {n: _plain_texts([e.segments[n] for e in events]) for n in first.segments}
    if any(event.label is not None for event in events):
        columns.label = _plain_texts([event.label for event in events])
    _put_scores(columns, [event.score for event in events])
    return columns


def _put_scores(columns: Columns, scores: list[Any]) -> None:
    if all(score is None for score in scores):
        return
    if type(scores[0]) in NUMBER_TYPES:
        by_name = {"score": _numbers(scores)}
    else:
        named = [score_by_name(score) for score in scores]
        by_name = {name: _numbers([score[name] for score in named]) for name in named[0]}
    if columns.source == "labels":
        columns.numeric = {"label": by_name["score"]}
    else:
        columns.scores = by_name


def _numbers(values: list[Any]) -> Any:
    if not set(map(type, values)) <= NUMBER_TYPES:
        raise TypeError
    return numbers(values)


def _plain_texts(values: list[Any]) -> Categorical:
    if not set(map(type, values)) <= TEXT_TYPES:
        raise TypeError
    return texts(values)


def _plain_event(event: Event) -> Event:
    """Reduce every value of an event to what a column holds. Raises `ContractError`."""
    features = {clean(str(n)): plain(f"feature {n!r}", v) for n, v in event.features.items()}
    if len(features) != len(event.features):
        msg = f"features: two of {list(event.features)!r} have the same name as text"
        raise ContractError(msg)
    for field in ("model", "version"):
        if not isinstance(getattr(event, field), str):
            msg = f"{field}: is a {type(getattr(event, field)).__name__}, expected a str"
            raise ContractError(msg)
    return event._replace(
        model=clean(event.model),
        version=clean(event.version),
        ts=time_us(event.ts),
        event_id=clean(str(event.event_id)),
        entity_id=None if event.entity_id is None else clean(str(event.entity_id)),
        features=features,
        score=None if event.score is None else score_by_name(event.score),
        label=as_text("label", event.label),
        segments={clean(str(n)): as_text(f"segment {n!r}", v) for n, v in event.segments.items()},
    )


def _mixed_columns(events: Sequence[Event]) -> set[str]:
    text: set[str] = set()
    numeric: set[str] = set()
    for event in events:
        for name, value in event.features.items():
            if value is not None:
                (text if isinstance(value, str) else numeric).add(name)
    return text & numeric
