"""Cut columns into frames that fit a message, every row keeping its event id."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import overload

import numpy as np
import numpy.typing as npt

from seawall.frames import FRAME_CONTRACT, Categorical, Columns, to_record
from seawall.wire import encode

#: Rows of a frame at the most; a reader gains nothing from longer ones, and a lost frame loses less.
MAX_FRAME_ROWS = 2000
#: Bytes of a frame at the most: below the 1 MB that brokers take by default.
MAX_FRAME_BYTES = 900_000


class EventIds(Sequence[str]):
    """Ids of a table's rows, in row order, made when they are asked for: ``frame:row``."""

    def __init__(self, base: str, rows: int, frame_rows: int) -> None:
        self._base, self._rows, self._frame_rows = base, rows, frame_rows

    def frame_id(self, frame: int) -> str:
        """Id of the n-th frame."""
        return f"{self._base}-{frame}"

    def __len__(self) -> int:
        return self._rows

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(self._rows))]
        place = row + self._rows if row < 0 else row
        if not 0 <= place < self._rows:
            msg = f"row: {row} is outside a table of {self._rows} rows"
            raise IndexError(msg)
        return f"{self.frame_id(place // self._frame_rows)}:{place % self._frame_rows}"


def frames_of(
    columns: Columns,
    max_rows: int = MAX_FRAME_ROWS,
    max_bytes: int = MAX_FRAME_BYTES,
    breathe: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Columns, bytes | None]]:
    """Cut columns into encoded frames that fit. The payload is None for a single row that is too large.

    Calls `breathe` after every fraction of a millisecond.
    """
    fitting = rows_per_frame(columns, max_rows, max_bytes)
    if columns.rows > fitting:
        for start in range(0, columns.rows, fitting):
            part = take(columns, np.arange(start, min(start + fitting, columns.rows)))
            breathe()
            yield from frames_of(part, max_rows, max_bytes, breathe)
        return
    record = to_record(_compact(columns))
    breathe()
    payload = encode(FRAME_CONTRACT[columns.source], record)
    breathe()
    if len(payload) <= max_bytes:
        yield columns, payload
    elif columns.rows == 1:
        yield columns, None
    else:
        for half in halves(columns):
            yield from frames_of(half, max_rows, max_bytes, breathe)


def rows_per_frame(columns: Columns, max_rows: int, max_bytes: int) -> int:
    """How many rows fit, by what the columns take; text may make it fewer, which encoding finds out."""
    cells = len(columns.numeric) + len(columns.scores) + len(columns.categorical) + len(columns.segments) + 6
    return max(1, min(max_rows, max_bytes // (8 * cells)))


def column_bytes(columns: Columns) -> int:
    """Estimate what columns take in memory, from above."""
    arrays = [*columns.numeric.values(), *columns.scores.values(), columns.ts]
    texts_ = [*columns.categorical.values(), *columns.segments.values()]
    texts_ += [text for text in (columns.label, columns.predicted) if text is not None]
    ids = [*(columns.event_ids or ()), *(columns.entity_ids or ())]
    words = [word for text in texts_ for word in text.dictionary]
    return (
        sum(array.nbytes for array in arrays)
        + sum(text.codes.nbytes for text in texts_)
        + sum(60 + 4 * len(word) for word in (*words, *ids))
        + 500
    )


def cut(columns: Columns, rows: int) -> Iterator[Columns]:
    """Cut into pieces of at most `rows` rows. Arrays are views, dictionaries and the frame id are shared."""
    for start in range(0, columns.rows, rows):
        part = slice(start, start + rows)
        yield replace(
            columns,
            ts=columns.ts[part],
            numeric={n: v[part] for n, v in columns.numeric.items()},
            categorical={n: Categorical(c.codes[part], c.dictionary) for n, c in columns.categorical.items()},
            scores={n: v[part] for n, v in columns.scores.items()},
            label=_slice(columns.label, part),
            predicted=_slice(columns.predicted, part),
            segments={n: Categorical(c.codes[part], c.dictionary) for n, c in columns.segments.items()},
            event_ids=None if columns.event_ids is None else columns.event_ids[part],
            entity_ids=None if columns.entity_ids is None else columns.entity_ids[part],
        )


def _slice(column: Categorical | None, part: slice) -> Categorical | None:
    return None if column is None else Categorical(column.codes[part], column.dictionary)


def halves(columns: Columns) -> tuple[Columns, Columns]:
    """Cut in two, each with a frame id of its own."""
    middle = columns.rows // 2
    return take(columns, np.arange(middle)), take(columns, np.arange(middle, columns.rows))


def take(columns: Columns, rows: npt.NDArray[np.int64]) -> Columns:
    """Return these rows as a frame of their own, dictionaries cut down to what they use.

    Event ids that were only implied (``frame_id:row``) are written out, so that a row keeps the id it had.
    """
    ids = columns.event_ids
    if ids is None:
        ids = [f"{columns.frame_id}:{row}" for row in range(columns.rows)]
    entities = columns.entity_ids
    return replace(
        columns,
        ts=columns.ts[rows],
        numeric={n: v[rows] for n, v in columns.numeric.items()},
        categorical={n: _take_text(c, rows) for n, c in columns.categorical.items()},
        scores={n: v[rows] for n, v in columns.scores.items()},
        label=None if columns.label is None else _take_text(columns.label, rows),
        predicted=None if columns.predicted is None else _take_text(columns.predicted, rows),
        segments={n: _take_text(c, rows) for n, c in columns.segments.items()},
        frame_id=uuid.uuid4().hex,
        event_ids=[ids[row] for row in rows.tolist()],
        entity_ids=None if entities is None else [entities[row] for row in rows.tolist()],
    )


def _compact(columns: Columns) -> Columns:
    """Cut down dictionaries longer than the frame: a slice of a table still has the whole table's."""
    if all(
        len(c.dictionary) <= columns.rows for c in (*columns.categorical.values(), *columns.segments.values())
    ):
        return columns
    everything = np.arange(columns.rows)
    return replace(
        columns,
        categorical={n: _take_text(c, everything) for n, c in columns.categorical.items()},
        segments={n: _take_text(c, everything) for n, c in columns.segments.items()},
    )


def _take_text(column: Categorical, rows: npt.NDArray[np.int64]) -> Categorical:
    codes = column.codes[rows]
    used, places = np.unique(codes, return_inverse=True)
    shift = 1 if len(used) and used[0] == -1 else 0
    dictionary = [column.dictionary[code] for code in used[shift:].tolist()]
    return Categorical((places - shift).astype(np.int32).reshape(codes.shape), dictionary)
