"""Reading the same field of many Avro datums at once.

A `Cursor` stands at one byte of every datum of a batch. Each step reads one value of all of them with a handful
of array operations. The rows stay apart: a cursor never passes the end of its own datum, and a row in which
anything is unexpected is put out of the walk (`Cursor.alive`) without touching another. What a walk does not
understand is no error, only slow: the caller reads that row by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: First byte and length of a text in every row: [2, rows]. A length of -1 is null.
Span = Ints

#: Bytes after the last datum that may be read, though never counted.
PADDING = 16
#: A text longer than this is looked at one by one.
_LONGEST = 64
_U64 = np.uint64
#: Keeps the first k bytes of a little-endian word.
_MASKS = np.array([(1 << 8 * k) - 1 for k in range(9)], dtype=_U64)
_HIGH_BITS = _U64(0x8080808080808080)
_PRIME = _U64(0x9E3779B97F4A7C15)


class Buffer:
    """Datums end to end, readable as bytes, words and doubles at any byte."""

    def __init__(self, values: list[bytes]) -> None:
        self.data = b"".join([*values, bytes(PADDING)])
        self.bytes = np.frombuffer(self.data, dtype=np.uint8)
        # Unaligned on purpose: one element for every byte of the buffer.
        shape = (len(self.data) - 7,)
        self.words: npt.NDArray[np.uint64] = np.ndarray(shape, "<u8", self.data, 0, (1,))
        self.doubles: Floats = np.ndarray(shape, "<f8", self.data, 0, (1,))
        lengths = np.fromiter(map(len, values), dtype=np.int64, count=len(values))
        self.ends: Ints = np.cumsum(lengths)
        self.starts: Ints = self.ends - lengths

    def text(self, start: int, length: int) -> str:
        """Raise UnicodeDecodeError for what is not UTF-8."""
        return self.data[start : start + length].decode()

    def not_utf8(self, span: Span) -> Flags:
        """Which texts are not UTF-8."""
        start, length = span
        suspect: Flags = length > _LONGEST
        for at in range(0, min(int(length.max(initial=0)), _LONGEST), 8):
            suspect |= (self._word(start, length, at) & _HIGH_BITS) != 0
        for row in np.flatnonzero(suspect):
            try:
                self.text(int(start[row]), int(length[row]))
                suspect[row] = False
            except UnicodeDecodeError:
                pass
        return suspect

    def _word(self, start: Ints, length: Ints, at: int) -> npt.NDArray[np.uint64]:
        """Bytes `at` to `at` + 8 of every text; zero past its end."""
        inside = np.clip(length - at, 0, 8)
        return self.words[np.where(inside > 0, start + at, start)] & _MASKS[inside]

    def intern(self, span: Span) -> tuple[npt.NDArray[np.int32], list[str | None]]:
        """Encode texts as codes into a dictionary, in which None stands for what is not UTF-8."""
        start, length = span
        if not len(start):
            return np.empty(0, dtype=np.int32), []
        found = self._distinct(start, length)
        first, codes = found if found is not None else self._distinct_one_by_one(start, length)
        dictionary: list[str | None] = []
        for row in first.tolist():
            try:
                dictionary.append(self.text(int(start[row]), int(length[row])))
            except UnicodeDecodeError:
                dictionary.append(None)
        return codes.astype(np.int32), dictionary

    def _distinct(self, start: Ints, length: Ints) -> tuple[Ints, Ints] | None:
        """First row and code of each distinct text by a hash that is checked; None when it will not do."""
        longest = int(length.max())
        if longest > _LONGEST:
            return None
        key = length.astype(_U64) << _U64(56)
        for at in range(0, longest, 8):
            key = (key ^ self._word(start, length, at)) * _PRIME
            key ^= key >> _U64(29)
        if (key == key[0]).all():
            first, codes = np.zeros(1, dtype=np.int64), np.zeros(len(key), dtype=np.int64)
        else:
            _, first, codes = np.unique(key, return_index=True, return_inverse=True)
        like = first[codes]
        same = length == length[like]
        for at in range(0, longest, 8):
            word = self._word(start, length, at)
            same &= word == word[like]
        return (first, codes) if same.all() else None

    def _distinct_one_by_one(self, start: Ints, length: Ints) -> tuple[Ints, Ints]:
        place: dict[bytes, int] = {}
        first: list[int] = []
        codes = np.empty(len(start), dtype=np.int64)
        for row, (a, n) in enumerate(zip(start.tolist(), length.tolist(), strict=True)):
            code = place.setdefault(self.data[a : a + n], len(place))
            if code == len(first):
                first.append(row)
            codes[row] = code
        return np.array(first, dtype=np.int64), codes


class Cursor:
    """A position in every row of a walk.

    Rows that were put out stay where they are, and what is read there means nothing, until `settle` drops them.

    Attributes
    ----------
    rows : int64
        Which of the given rows are carried along; `alive` tells the good ones.
    taken : dict of arrays whose last axis is as long as `rows`
        What was read so far.
    """

    def __init__(self, buffer: Buffer, start: Ints, end: Ints) -> None:
        self.buffer = buffer
        self.rows = np.arange(len(start), dtype=np.int64)
        self.pos = np.minimum(start, end)
        self.end = end
        self.alive: Flags = start <= end
        self.taken: dict[Hashable, npt.NDArray[Any]] = {}

    def settle(self, *, fully: bool = False) -> int:
        """Drop the rows that were put out, if they are many or `fully`; return how many are carried along."""
        alive = np.count_nonzero(self.alive)
        if alive < len(self.alive) and (fully or alive * 4 < len(self.alive) * 3):
            keep = np.flatnonzero(self.alive)
            self.rows, self.pos, self.end = self.rows[keep], self.pos[keep], self.end[keep]
            self.alive = np.ones(len(keep), dtype=bool)
            self.taken = {name: array[..., keep] for name, array in self.taken.items()}
        return len(self.rows)

    def expect(self, literal: bytes) -> None:
        """Every row must have exactly these bytes here."""
        if literal:
            self.alive &= self._is(literal)
            self.skip(len(literal))

    def skip(self, size: Any) -> None:
        """Go forward by `size` bytes, one number or one for each row."""
        self.pos = self.pos + size
        inside = self.pos <= self.end
        if not inside.all():
            self.alive &= inside
            np.minimum(self.pos, self.end, out=self.pos)

    def _is(self, literal: bytes) -> Flags:
        size = len(literal)
        at = self.pos
        same: Flags = self.end - at >= size
        if not same.all():
            if not same.any():
                return same
            # A row that is too short is compared where there is room.
            at = np.where(same, at, at[np.argmax(same)])
        words = self.buffer.words
        for offset in range(0, size, 8):
            chunk = literal[offset : offset + 8]
            wanted = np.uint64(int.from_bytes(chunk, "little"))
            same &= (words[at + offset if offset else at] & _MASKS[len(chunk)]) == wanted
        return same

    def long(self) -> Ints:
        """Zigzag varint of up to nine bytes; a longer one is put out."""
        byte = self.buffer.bytes[self.pos]
        value = (byte & 0x7F).astype(np.int64)
        more = byte >= 0x80
        size: Any = 1
        if more.any():
            size = np.ones(len(value), dtype=np.int64)
            for k in range(1, 9):
                byte = self.buffer.bytes[np.minimum(self.pos + k, self.end)]
                value |= np.where(more, byte & 0x7F, 0).astype(np.int64) << (7 * k)
                size += more
                more &= byte >= 0x80
                if not more.any():
                    break
            self.alive &= ~more
        self.skip(size)
        decoded: Ints = (value >> 1) ^ -(value & 1)
        return decoded

    def span(self) -> Span:
        """Bytes or text: its length and where it lies, as an array [2, rows]."""
        length = self.long()
        self.alive &= (length >= 0) & (length <= self.end - self.pos)
        length = np.where(self.alive, length, 0)
        span = np.stack([self.pos, length])
        self.skip(length)
        return span

    def double(self) -> Floats:
        """Eight bytes."""
        inside = self.end - self.pos >= 8
        values: Floats = self.buffer.doubles[self.pos if inside.all() else np.where(inside, self.pos, 0)]
        self.skip(8)
        return values

    def nullable_double(self, before: bytes, some: bytes, none: bytes) -> Floats:
        """Eight bytes behind a literal and the branch of a union; null is NaN."""
        present, values = self.optional(before, some, none, Cursor.double)
        return values if present.all() else np.where(present, values, np.nan)

    def nullable_span(self, before: bytes, some: bytes, none: bytes) -> Span:
        """Text behind a literal and the branch of a union; null has the length -1."""
        present, span = self.optional(before, some, none, Cursor.span)
        return span if present.all() else np.where(present, span, np.array([[0], [-1]]))

    def optional(
        self,
        before: bytes,
        some: bytes,
        none: bytes,
        read: Callable[[Cursor], npt.NDArray[Any]],
    ) -> tuple[Flags, npt.NDArray[Any]]:
        """Where a union is not null, and what `read` finds there; elsewhere its result means nothing."""
        present = self._is(before + some)
        everywhere = present.all()
        if not everywhere:
            self.alive &= present | self._is(before + none)
        self.skip(len(before) + 1)
        if everywhere:
            return present, read(self)
        # The nulls read nothing, at the start of the buffer, while the others go on.
        inner = Cursor(self.buffer, np.where(present, self.pos, 0), np.where(present, self.end, 0))
        values = read(inner)
        self.alive &= inner.alive | ~present
        self.pos = np.where(present, inner.pos, self.pos)
        return present, values
