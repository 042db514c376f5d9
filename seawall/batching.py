"""From single events to columns, and back. Pure: no thread, no clock."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from seawall.embeddings import LEAST_DIMENSIONS, project, stacked
from seawall.errors import ContractError
from seawall.frames import Categorical, Columns, Floats
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

#: One event as the product handed it over, nothing looked at yet: the thirteen fields below, then the value of each
#: feature and of each segment. One tuple, flat: Python's collector of cycles forgets it at its first look. Objects and
#: dicts it would keep, and search the whole process once for every few thousand of them, ten milliseconds each time; a
#: tuple within a tuple it forgets a pass later, among thousands of others.
Event = tuple[Any, ...]
#: Score and label are what the model said, of labels too; the truth is a number or a text.
SOURCE, MODEL, VERSION, TS, EVENT_ID, ENTITY_ID, SCORE, LABEL, TRUTH, WEIGHT, SIZE, NAMES, SEGMENTS, FIRST = (
    range(14)
)
#: Events between two breaths, where each is handled by itself; odd ones take some 20 µs each.
_BREATH, _BREATH_ODD, _BREATH_VECTORS = 200, 8, 64


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
    """Remembers which columns were text or vectors, for batches in which such a column is missing throughout."""

    _LIMIT = 10_000

    def __init__(self) -> None:
        self._text: set[tuple[str, str]] = set()
        self._vectors: set[tuple[str, str]] = set()

    def note_vectors(self, model: str, name: str) -> None:
        """Remember that the model's column held vectors."""
        if len(self._vectors) < self._LIMIT:
            self._vectors.add((model, name))

    def is_vectors(self, model: str, name: str) -> bool:
        """Whether it ever held vectors."""
        return (model, name) in self._vectors

    def note_text(self, model: str, name: str) -> None:
        """Remember that the model's column held text."""
        if len(self._text) < self._LIMIT:
            self._text.add((model, name))

    def is_text(self, model: str, name: str) -> bool:
        """Whether it ever held text."""
        return (model, name) in self._text


@lru_cache(maxsize=1024)
def _set_of(names: tuple[Any, ...]) -> frozenset[Any]:
    return frozenset(names)


def group_key(event: Event) -> tuple[Any, ...]:
    """Events with equal keys share their columns, and so a frame."""
    score = event[SCORE]
    kind = type(score)
    if score is None or kind in NUMBER_TYPES:
        scores: Any = score is not None
    else:
        scores = frozenset(score) if isinstance(score, Mapping) else (kind, np.size(score))
    return (
        event[SOURCE],
        event[MODEL],
        event[VERSION],
        event[WEIGHT],
        _set_of(event[NAMES]),
        _set_of(event[SEGMENTS]),
        event[ENTITY_ID] is None,
        scores,
        event[TRUTH] is None or isinstance(event[TRUTH], str),
    )


def columns_of(
    events: Sequence[Event], kinds: Kinds, breathe: Callable[[], None] = lambda: None
) -> tuple[list[Columns], Rejected]:
    """Turn events of one group into columns, calling `breathe` after every fraction of a millisecond.

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
    for number, event in enumerate(events):
        if number % _BREATH_ODD == 0:
            breathe()
        try:
            good.append(_plain_event(event))
        except Exception as error:
            rejected.add(error)
    by_kind: dict[tuple[frozenset[Any], ...], list[Event]] = {}
    mixed = _mixed_columns(good)
    for event in good:
        text = frozenset(n for n, v in _features(event).items() if n in mixed and isinstance(v, str))
        vectors = frozenset((n, len(v)) for n, v in _features(event).items() if type(v) is bytes)
        key = (frozenset(event[NAMES]), text, vectors, frozenset(event[SCORE] or ()))
        by_kind.setdefault(key, []).append(event)
    return [_assemble(group, kinds, breathe) for group in by_kind.values()], rejected


def events_of(columns: Columns, size_bytes: int) -> list[Event]:
    """Take columns apart into single events, so that many short batches can share a frame."""
    values = {n: v.tolist() for n, v in columns.numeric.items()}
    values |= {n: _untake(c) for n, c in columns.categorical.items()}
    segments = {n: _untake(c) for n, c in columns.segments.items()}
    scores = {n: v.tolist() for n, v in columns.scores.items()}
    nothing: list[Any] = [None] * columns.rows
    said, truths = columns.label, nothing
    if columns.source == "labels":
        said = columns.predicted
        truths = values.pop("label", nothing) if columns.label is None else _untake(columns.label)
    labels = nothing if said is None else _untake(said)
    ids = columns.event_ids or [f"{columns.frame_id}:{row}" for row in range(columns.rows)]
    names, segment_names = tuple(values), tuple(segments)
    vectors = list(zip(*values.values(), *segments.values(), strict=True)) or [()] * columns.rows

    def score_at(row: int) -> Any:
        if scores.keys() == {"score"}:
            return scores["score"][row]
        return {n: v[row] for n, v in scores.items()} or None

    share, rest = divmod(size_bytes, max(columns.rows, 1))
    return [
        (
            columns.source,
            columns.model,
            columns.version,
            ts,
            ids[row],
            None if columns.entity_ids is None else columns.entity_ids[row],
            score_at(row),
            labels[row],
            truths[row],
            columns.weight,
            share + (rest if row == 0 else 0),
            names,
            segment_names,
            *vectors[row],
        )
        for row, ts in enumerate(columns.ts.tolist())
    ]


def _untake(column: Categorical) -> list[str | None]:
    words: list[str | None] = [*column.dictionary, None]  # code -1 is the last
    return [words[code] for code in column.codes.tolist()]


def _assemble(events: Sequence[Event], kinds: Kinds, breathe: Callable[[], None]) -> Columns:
    """Build columns from events whose values are plain; raises when they are not."""
    breathe()
    first = events[0]
    model, names, segments = first[MODEL], first[NAMES], first[SEGMENTS]
    if any(event[NAMES] is not names or event[SEGMENTS] is not segments for event in events):
        events = _in_one_order(events, breathe)
    if set(map(len, events)) != {FIRST + len(names) + len(segments)}:
        raise ValueError("features that changed while they were logged")
    times = [event[TS] for event in events]
    if set(map(type, times)) != {int}:
        times = [time_us(value) for value in times]
    time_us(max(times))
    time_us(min(times))
    ids = [event[EVENT_ID] for event in events]
    columns = Columns(
        first[SOURCE],
        model,
        first[VERSION],
        np.array(times, dtype=np.int64),
        weight=first[WEIGHT],
        frame_id=uuid.uuid4().hex,
        event_ids=ids,
    )
    # Raises for what is no text, and for text that UTF-8 cannot carry.
    "".join((model, first[VERSION], *names, *segments, *ids)).encode()
    if first[ENTITY_ID] is not None:
        breathe()
        columns.entity_ids = [event[ENTITY_ID] for event in events]
        "".join(columns.entity_ids).encode()
    for place, name in enumerate(names, FIRST):
        breathe()
        _put_feature(columns, name, [event[place] for event in events], kinds, breathe)
    for place, name in enumerate(segments, FIRST + len(names)):
        breathe()
        columns.segments[name] = _plain_texts([event[place] for event in events])
    breathe()
    labels = [event[LABEL] for event in events]
    if any(label is not None for label in labels):
        said = _plain_texts(labels)
        columns.label, columns.predicted = (None, said) if first[SOURCE] == "labels" else (said, None)
        breathe()
    _put_scores(columns, [event[SCORE] for event in events])
    _put_truths(columns, [event[TRUTH] for event in events])
    return columns


def _put_feature(
    columns: Columns, name: str, values: list[Any], kinds: Kinds, breathe: Callable[[], None]
) -> None:
    """Add a feature as the columns that it becomes; raises when its values are of several kinds."""
    types = set(map(type, values))
    is_missing = types == {type(None)}
    if is_missing and kinds.is_text(columns.model, name):
        columns.categorical[name] = texts(values)
    elif is_missing and kinds.is_vectors(columns.model, name):
        columns.numeric |= project(name, np.full((len(values), LEAST_DIMENSIONS), np.nan))
    elif types <= NUMBER_TYPES:
        columns.numeric[name] = numbers(values)
    elif types <= TEXT_TYPES:
        columns.categorical[name] = texts(values)
        kinds.note_text(columns.model, name)
    elif types <= {bytes, type(None)}:
        columns.numeric |= _projected(name, values, breathe)
        kinds.note_vectors(columns.model, name)
    else:
        msg = f"feature {name!r} holds {types}"
        raise ContractError(msg)


def _projected(name: str, values: list[Any], breathe: Callable[[], None]) -> dict[str, Floats]:
    dimensions = len(next(v for v in values if v is not None)) // 4
    parts = []
    for at in range(0, len(values), _BREATH_VECTORS):
        breathe()
        parts.append(project(name, stacked(values[at : at + _BREATH_VECTORS], dimensions)))
    return {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}


def _in_one_order(events: Sequence[Event], breathe: Callable[[], None]) -> list[Event]:
    """Bring the features and segments of every event into the order of the first."""
    names, segments = events[0][NAMES], events[0][SEGMENTS]
    out = []
    for number, event in enumerate(events):
        if number % _BREATH == 0:
            breathe()
        if event[NAMES] == names and event[SEGMENTS] == segments:
            out.append(event)
            continue
        value_of = _features(event)
        segment_of = dict(zip(event[SEGMENTS], event[FIRST + len(names) :], strict=True))
        out.append(
            (
                *event[:NAMES],
                names,
                segments,
                *(value_of[n] for n in names),
                *(segment_of[n] for n in segments),
            )
        )
    return out


def _features(event: Event) -> dict[Any, Any]:
    return dict(zip(event[NAMES], event[FIRST:], strict=False))  # segments follow


def _put_scores(columns: Columns, scores: list[Any]) -> None:
    if all(score is None for score in scores):
        return
    if type(scores[0]) in NUMBER_TYPES:
        by_name = {"score": _numbers(scores)}
    else:
        named = [score_by_name(score) for score in scores]
        by_name = {name: _numbers([score[name] for score in named]) for name in named[0]}
    columns.scores = by_name


def _put_truths(columns: Columns, truths: list[Any]) -> None:
    known = next((truth for truth in truths if truth is not None), None)
    if known is None:
        return
    if isinstance(known, str):
        columns.label = _plain_texts(truths)
    else:
        columns.numeric = {"label": _numbers(truths)}


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
    source, model, version, ts, event_id, entity_id, score, label, truth, weight, size, names, segments = (
        event[:FIRST]
    )
    # Bytes are a vector: the client copied it into them.
    features = {
        clean(str(n)): v if type(v) is bytes else plain(f"feature {n!r}", v)
        for n, v in _features(event).items()
    }
    if len(features) != len(names):
        msg = f"features: two of {list(names)!r} have the same name as text"
        raise ContractError(msg)
    for field, value in (("model", model), ("version", version)):
        if not isinstance(value, str):
            msg = f"{field}: is a {type(value).__name__}, expected a str"
            raise ContractError(msg)
    pairs = zip(segments, event[FIRST + len(names) :], strict=True)
    cut = {clean(str(n)): as_text(f"segment {n!r}", v) for n, v in pairs}
    return (
        source,
        clean(model),
        clean(version),
        time_us(ts),
        clean(str(event_id)),
        None if entity_id is None else clean(str(entity_id)),
        None if score is None else score_by_name(score),
        as_text("label", label),
        plain("truth", truth),
        weight,
        size,
        tuple(features),
        tuple(cut),
        *features.values(),
        *cut.values(),
    )


def _mixed_columns(events: Sequence[Event]) -> set[str]:
    text: set[str] = set()
    numeric: set[str] = set()
    for event in events:
        for name, value in _features(event).items():
            if value is not None:
                (text if isinstance(value, str) else numeric).add(name)
    return text & numeric
