"""Small makers of events, records and baselines for tests of the core."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from seawall.frames import Categorical, Columns, to_record
from seawall.wire import encode
from streams.core.chunks import ChunkRule
from streams.core.decode import Record

MINUTE = 60_000_000
T0 = 1_700_000_000_000_000 // (60 * MINUTE) * (60 * MINUTE)
NOW = T0 + 365 * 24 * 60 * MINUTE


def frame(
    ts: Sequence[int],
    x: Sequence[float],
    origin: Sequence[str | None] | None = None,
    *,
    model: str = "m",
    version: str = "v1",
    weight: float = 1.0,
) -> bytes:
    """A frame of predictions with one number ``x``, one category ``origin`` and a score."""
    columns = Columns(
        "predictions",
        model,
        version,
        np.asarray(ts, dtype=np.int64),
        numeric={"x": np.asarray(x, dtype=np.float64)},
        categorical={"origin": Categorical.of(list(origin) if origin else ["JFK"] * len(ts))},
        scores={"score": np.full(len(ts), 0.5)},
        weight=weight,
        frame_id="f",
    )
    return encode("prediction_frame", to_record(columns))


def single(ts: int, x: float | None, *, model: str = "m", version: str = "v1", event_id: str = "e") -> bytes:
    """One single prediction."""
    return encode(
        "prediction",
        {
            "event_id": event_id,
            "model": model,
            "version": version,
            "ts": ts,
            "numeric": [{"name": "x", "value": x}],
            "categorical": [{"name": "origin", "value": "JFK"}],
            "scores": [{"name": "score", "value": 0.5}],
        },
    )


#: Bytes of a single prediction.
SINGLE_BYTES = len(single(T0, 1.0))


def cut_after(events: int, offsets: int = 8192) -> ChunkRule:
    """A rule that cuts after so many single predictions, or what has as many bytes."""
    return ChunkRule(events * SINGLE_BYTES, offsets)


def records(values: Iterable[bytes], first: int = 0, *, timestamp_us: int = NOW) -> list[Record]:
    """Records at consecutive offsets."""
    return [Record(first + i, timestamp_us, value) for i, value in enumerate(values)]


def rows_by_pane(cells: Any) -> dict[tuple[str, int], int]:
    """(segment, pane) to rows of a block."""
    return {(s, int(p)): int(r) for s, p, r in zip(cells.segments, cells.panes, cells.rows, strict=True)}
