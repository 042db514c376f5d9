"""The client: what a product service calls to tell Seawall what its model saw and said.

The ``log_…`` methods never raise and never wait (unless told to): what cannot be logged is counted in
`Client.stats` and warned about once. Errors of configuration do raise, when the client is made.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import numpy as np

from seawall.cutting import (
    MAX_FRAME_BYTES,
    MAX_FRAME_ROWS,
    EventIds,
    column_bytes,
    cut,
    rows_per_frame,
    take,
)
from seawall.embeddings import VECTOR_TYPES, packed
from seawall.errors import ConfigError, ContractError
from seawall.frames import Columns, Source
from seawall.sampling import Sampler
from seawall.sender import Batch, Sender
from seawall.settings import Settings
from seawall.tables import Asked, read_table, rows_of
from seawall.tally import ClientStats
from seawall.transport import KafkaTransport, Transport
from seawall.values import as_text, clean, shown

Feature = float | int | bool | str | Sequence[float] | np.ndarray[Any, Any] | None
Time = datetime | int | None
_NOTHING: dict[str, Any] = {}
#: An event in the buffer, measured: the tuple, its id, the mapping; then each value; four bytes a character.
_EVENT_BYTES, _VALUE_BYTES = 500, 90
_SMALL = frozenset({float, int, bool, type(None)})
_NOT_PLAIN = VECTOR_TYPES | {bytes}
#: Features of an event that is wide, and values of wide events that the collector may meet in one pass.
_WIDE, _MOST_UNSEEN = 40, 20_000
#: Sets of feature names that are kept.
_MOST_NAMES = 1000


class Client:
    """Logs predictions, features and labels of models to Seawall.

    Parameters
    ----------
    model, version
        What is logged when a call does not say otherwise.
    broker
        Bootstrap servers; overrides `settings`.
    settings
        Connection, security and topic prefix. Read from ``SEAWALL_*`` variables when not given.
    transport
        Where frames go; a `KafkaTransport` when not given.
    sample
        Share of events to keep, in (0, 1]: one for all models, or by model name. See `seawall.sampling`.
    segments
        Segment values that every event carries, such as ``{"region": "eu"}``.
    linger_s
        How long single events wait for company in a frame.
    max_buffer_events, max_buffer_bytes
        What may wait in memory while the broker is slow or away. Bytes are estimated, from above. The Kafka
        transport may hold half of `max_buffer_bytes` again, in encoded frames.

    Raises
    ------
    ConfigError
        For a setting that cannot be used as written.

    Notes
    -----
    Thread-safe. A forked child gets an empty buffer, a thread and a producer of its own; the parent sends
    what was pending. At exit every client is flushed for at most five seconds; processes that end by
    ``os._exit`` (such as `multiprocessing` workers) call `close` themselves.
    """

    def __init__(
        self,
        model: str | None = None,
        version: str = "",
        *,
        broker: str | None = None,
        settings: Settings | None = None,
        transport: Transport | None = None,
        sample: float | Mapping[str, float] = 1.0,
        segments: Mapping[str, Feature] | None = None,
        linger_s: float = 1.0,
        max_buffer_events: int = 100_000,
        max_buffer_bytes: int = 64 << 20,
    ) -> None:
        for field, value in (("model", model), ("version", version)):
            if not (isinstance(value, str) or (field == "model" and value is None)) or (field, value) == (
                "model",
                "",
            ):
                msg = f"{field}: {value!r} is not a name, expected a str"
                raise ConfigError(msg)
        for field, limit, least in (
            ("linger_s", linger_s, 0.0),
            ("max_buffer_events", max_buffer_events, 1),
            ("max_buffer_bytes", max_buffer_bytes, 4096),
        ):
            if (
                isinstance(limit, bool)
                or not isinstance(limit, int | float)
                or not least <= limit < float("inf")
            ):
                msg = f"{field}: {limit!r} is out of range, expected a finite number of at least {least}"
                raise ConfigError(msg)
        try:
            self._segments = {clean(n): as_text(f"segments[{n!r}]", v) for n, v in (segments or {}).items()}
        except (ContractError, TypeError, AttributeError) as error:
            msg = f"segments: {segments!r} is not a mapping of names to values: {error}"
            raise ConfigError(msg) from error
        self._segment_names, self._segment_values = tuple(self._segments), tuple(self._segments.values())
        self._model, self._version = model, version
        self._sampler = Sampler(sample)
        self._names: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._unseen = 0
        settings = settings or Settings.from_env(os.environ)
        if broker is not None:
            settings = replace(settings, broker=broker)
        self._topic = settings.topic
        self._max_rows = int(min(MAX_FRAME_ROWS, max_buffer_events))
        self._sender = Sender(
            transport or KafkaTransport(settings, max_queue_bytes=int(max_buffer_bytes) // 2),
            self._topic,
            linger_s=linger_s,
            max_events=int(max_buffer_events),
            max_bytes=int(max_buffer_bytes),
            max_frame_rows=MAX_FRAME_ROWS,
        )

    def log_prediction(
        self,
        features: Mapping[str, Feature],
        *,
        score: float | Mapping[Any, float] | Sequence[float] | None = None,
        label: Feature = None,
        event_id: str | None = None,
        entity_id: str | None = None,
        ts: Time = None,
        model: str | None = None,
        version: str | None = None,
        segments: Mapping[str, Feature] | None = None,
    ) -> str:
        """Log one prediction.

        Parameters
        ----------
        features
            What the model saw. Booleans are the numbers 0 and 1; None and NaN are missing; whole numbers
            beyond 2^53 are rounded. A list or an array of 2 to 1024 numbers is an embedding: see
            `seawall.embeddings` for the numbers that are sent of it.
        score
            What it said: a number, or one per class as a mapping or a sequence.
        label
            The label that was chosen, if any.
        event_id
            Joins the prediction to its features and label. Made up when not given.
        entity_id
            What the prediction is about.
        ts
            Event time: an aware datetime, microseconds since 1970 UTC, or now.

        Returns
        -------
        str
            The event id.
        """
        return self._log(
            "predictions", features, score, label, None, event_id, entity_id, ts, model, version, segments
        )

    def log_features(
        self,
        features: Mapping[str, Any] | Any,
        *,
        event_id: str | None = None,
        entity_id: str | None = None,
        ts: Any = None,
        model: str | None = None,
        version: str | None = None,
        segments: Mapping[str, Any] | None = None,
        event_ids: Any = None,
        entity_ids: Any = None,
        wait_s: float = 0.0,
    ) -> str | Sequence[str]:
        """Log features as a store or pipeline computed them: one vector (a mapping of values) or a table.

        A mapping whose first value is a list or an array is a table, unless `event_id` says that it is one event
        that begins with an embedding. See `log_prediction` and `log_predictions`.
        """
        if isinstance(features, Mapping) and (event_id is not None or not _is_table(features)):
            return self._log(
                "features", features, None, None, None, event_id, entity_id, ts, model, version, segments
            )
        asked = Asked(None, None, None, ts, event_ids, entity_ids)
        return self._log_table("features", features, asked, model, version, segments, wait_s)

    def log_label(
        self,
        event_id: str,
        truth: Feature,
        *,
        score: float | Mapping[Any, float] | Sequence[float] | None = None,
        predicted: Feature = None,
        entity_id: str | None = None,
        ts: Time = None,
        model: str | None = None,
        version: str | None = None,
        segments: Mapping[str, Feature] | None = None,
    ) -> str:
        """Log the truth about one prediction: a number or bool is its value, a text its class.

        Parameters
        ----------
        score, predicted
            What the model had said, where you have it at hand: the `score` and `label` of the prediction. Only then
            are errors counted, for nothing is joined by `event_id`. What a regression predicted is its score.
        ts
            When the truth became known.

        See `log_prediction` for the others.
        """
        return self._log(
            "labels", _NOTHING, score, predicted, truth, event_id, entity_id, ts, model, version, segments
        )

    def log_predictions(
        self,
        table: Any,
        *,
        scores: Any = None,
        labels: Any = None,
        ts: Any = None,
        event_ids: Any = None,
        entity_ids: Any = None,
        model: str | None = None,
        version: str | None = None,
        segments: Mapping[str, Any] | None = None,
        wait_s: float = 0.0,
    ) -> Sequence[str]:
        """Log a table of predictions: a pandas or polars DataFrame, or a mapping of columns.

        Parameters
        ----------
        table
            The features. See `seawall.tables` for what each kind of column becomes.
        scores
            A column, a matrix with a column per class, or a mapping of columns by class.
        labels, ts, event_ids, entity_ids
            Columns. These and `scores` may be names of columns of the table, which then are no features.
            `ts` may be one time for all rows.
        segments
            Values, or columns, by segment name.
        wait_s
            How long to wait for room in the buffer. With 0, frames that do not fit are dropped.

        Returns
        -------
        sequence of str
            The event ids in row order, made when they are asked for.
        """
        asked = Asked(scores, labels, None, ts, event_ids, entity_ids)
        return self._log_table("predictions", table, asked, model, version, segments, wait_s)

    def log_labels(
        self,
        event_ids: Any,
        truths: Any,
        *,
        scores: Any = None,
        predicted: Any = None,
        entity_ids: Any = None,
        ts: Any = None,
        model: str | None = None,
        version: str | None = None,
        segments: Mapping[str, Any] | None = None,
        wait_s: float = 0.0,
    ) -> Sequence[str]:
        """Log the truth about many predictions: a column of numbers (values) or of text (classes).

        `scores` (as in `log_predictions`) and `predicted` (a column) are what the model had said: see `log_label`.
        """
        asked = Asked(scores, predicted, truths, ts, event_ids, entity_ids)
        return self._log_table("labels", {}, asked, model, version, segments, wait_s)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Run logging code so that it cannot fail the product: what it raises is counted invalid."""
        try:
            yield
        except Exception as error:
            self._sender.count("invalid", 1, f"an event was left out: {type(error).__name__}: {error}")

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Wait until everything logged so far was delivered or given up; False when the time ran out."""
        return self._sender.flush(timeout_s)

    def close(self, timeout_s: float = 10.0) -> bool:
        """Flush and stop; False when something was left behind. What is logged afterwards is dropped."""
        return self._sender.close(timeout_s)

    def stats(self) -> ClientStats:
        """Return what became of the events so far."""
        return self._sender.stats()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _log(
        self,
        source: Source,
        features: Mapping[str, Any],
        score: Any,
        label: Any,
        truth: Any,
        event_id: Any,
        entity_id: Any,
        ts: Any,
        model: str | None,
        version: str | None,
        segments: Mapping[str, Any] | None,
    ) -> str:
        """Append one event to the buffer, measured but not looked at. This is the product's own thread."""
        sender = self._sender
        if event_id is None:
            event_id = sender.new_id()
        try:
            if type(event_id) is not str:
                event_id = str(event_id)
            if model is None:
                model = self._named_model()
            weight = 1.0
            if not self._sampler.keeps_all:
                if not self._sampler.keeps(model, event_id):
                    sender.count("sampled_out", 1)
                    return event_id  # type: ignore[no-any-return]  # a str by now
                weight = self._sampler.weight(model)
            seen = features if type(features) is dict else dict(features)
            names, values = tuple(seen), [*seen.values()]
            size = _EVENT_BYTES + _VALUE_BYTES * len(seen)
            odd = [v for v in values if v.__class__ not in _SMALL]
            for value in odd:
                size += 4 * len(value) if value.__class__ is str else value.__sizeof__()
            if odd and not _NOT_PLAIN.isdisjoint(map(type, odd)):
                values = _with_vectors(seen)
            if score is not None and score.__class__ not in _SMALL:
                score, size = _own(score), size + score.__sizeof__()
            segment_names, segment_values = self._segment_names, self._segment_values
            if segments is not None:
                all_segments = {**self._segments, **segments}
                segment_names, segment_values = tuple(all_segments), tuple(all_segments.values())
                segment_names = self._names.get(segment_names) or self._first_seen(segment_names)
            sender.put(
                (  # an `Event`
                    source,
                    model,
                    self._version if version is None else version,
                    time.time_ns() // 1000 if ts is None else ts,
                    event_id,
                    entity_id,
                    score,
                    label,
                    truth,
                    weight,
                    size,
                    self._names.get(names) or self._first_seen(names),
                    segment_names,
                    *values,
                    *segment_values,
                ),
                size,
            )
            if len(seen) > _WIDE:
                self._look(len(seen))
        except Exception as error:
            sender.count("invalid", 1, f"an event was left out: {type(error).__name__}: {error}")
        return event_id if type(event_id) is str else ""

    def _log_table(
        self,
        source: Source,
        table: Any,
        asked: Asked,
        model: str | None,
        version: str | None,
        segments: Mapping[str, Any] | None,
        wait_s: float,
    ) -> Sequence[str]:
        """Read a table, cut it into frames and append them."""
        deadline_s = time.monotonic() + wait_s
        rows = 0
        try:
            rows = rows_of(table, asked)
            about = (
                self._named_model() if model is None else model,
                self._version if version is None else version,
            )
            columns = read_table(source, table, asked, about, {**self._segments, **(segments or {})})
            return self._put_frames(columns, deadline_s)
        except Exception as error:
            self._sender.count(
                "invalid", max(rows, 1), f"a table was left out: {type(error).__name__}: {error}"
            )
            return []

    def _put_frames(self, columns: Columns, deadline_s: float) -> Sequence[str]:
        fitting = rows_per_frame(columns, self._max_rows, MAX_FRAME_BYTES)
        implied = EventIds(self._sender.new_id(), columns.rows, fitting)
        ids: Sequence[str] = implied if columns.event_ids is None else columns.event_ids
        share_bytes = column_bytes(columns) / max(columns.rows, 1)
        for place, frame in enumerate(cut(columns, fitting)):
            frame.frame_id = implied.frame_id(place)
            kept = self._sampled(frame)
            if kept.rows:
                batch = Batch(kept, int(share_bytes * kept.rows) + 1)
                self._sender.put_batch(batch, max(0.0, deadline_s - time.monotonic()))
        return ids

    def _sampled(self, frame: Columns) -> Columns:
        if self._sampler.rate(frame.model) == 1.0:
            return frame
        ids = frame.event_ids or [f"{frame.frame_id}:{row}" for row in range(frame.rows)]
        kept = [row for row, event_id in enumerate(ids) if self._sampler.keeps(frame.model, event_id)]
        if len(kept) < frame.rows:
            self._sender.count("sampled_out", frame.rows - len(kept))
        part = take(frame, np.array(kept, dtype=np.int64))
        part.weight = self._sampler.weight(frame.model)
        return part

    def _look(self, values: int) -> None:
        """Let the collector see wide events a few at a time: it waits for 700, and looks at every value of each."""
        self._unseen += values
        if self._unseen > _MOST_UNSEEN:
            self._unseen = 0
            if gc.isenabled():
                gc.collect(0)

    def _first_seen(self, names: tuple[Any, ...]) -> tuple[Any, ...]:
        """Keep names, so that a full buffer holds them once, and events with the same ones are told at a glance."""
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        # Only texts: 1 and True are equal, and are two names.
        if all(type(name) is str for name in names):
            self._names[names] = names
        return names

    def _named_model(self) -> str:
        if self._model is None:
            raise ContractError("model: neither the client nor the call names one, expected a str")
        return self._model


def _own(score: Any) -> Any:
    """Copy a score that the product may change after the call returned."""
    if isinstance(score, Mapping):
        return dict(score)
    if isinstance(score, np.ndarray):
        return score.tolist() if score.ndim else score.item()
    return tuple(score) if isinstance(score, list) else score


def _with_vectors(features: Mapping[Any, Any]) -> list[Any]:
    """Return the values of features, vectors among them copied: in the buffer they are bytes."""
    out = []
    for name, value in features.items():
        if type(value) is bytes:
            msg = f"feature {name!r}: {shown(value)} is bytes, expected a number, bool, str, vector or None"
            raise ContractError(msg)
        out.append(packed(f"feature {name!r}", value) if type(value) in VECTOR_TYPES else value)
    return out


def _is_table(features: Mapping[Any, Any]) -> bool:
    first = next(iter(features.values()), None)
    return isinstance(first, list | tuple) or bool(getattr(first, "ndim", 0))
