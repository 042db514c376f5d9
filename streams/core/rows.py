"""From columns to countable rows: every value gets its slot."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from detectors.layout import Layout, slots_of_codes
from detectors.summary import Rows
from seawall.baseline import Baseline
from seawall.frames import Categorical, Columns, Floats
from seawall.monitor import MonitorSpec
from streams.core.stitch import compact, join

OTHER_SEGMENT = "(other)"
#: Segments that have a place of their own, by dimension: ``column=value`` to the place.
Listed = dict[str, dict[str, int]]


def to_rows(
    columns: Columns | Sequence[Columns],
    layout: Layout,
    spec: MonitorSpec,
    baseline: Baseline | None,
    listed: Listed | None = None,
) -> Rows:
    """Place every value of `columns` in `layout`; several that can be joined (`neighbours`) are placed as one.

    `listed` remembers, by dimension, the segments that have a place of their own, for as long as the caller keeps
    it: which values are too many must not depend on how the events were batched.

    A column that the layout has and the events lack counts as missing: that is how a feature that a release
    forgot to send is seen.
    """
    parts = [columns] if isinstance(columns, Columns) else columns
    # Numbers are copied once, from wherever they lie to where they are counted.
    columns = join(parts, numbers=False)
    n = columns.rows
    slots = np.empty((len(layout.columns), n), dtype=np.int64)
    values = _values(parts, layout, n)
    numeric, are_finite = layout.slots_of_numbers(values)
    if len(layout.numeric) == len(layout.columns):
        slots = numeric
    else:
        slots[list(layout.numeric)] = numeric
    if not are_finite.all():
        # Of what is not finite only NaN is left.
        np.copyto(values, np.nan, where=np.isinf(values))
    registers = np.full((len(layout.categorical), n), -1, dtype=np.int16)
    ranks = np.zeros((len(layout.categorical), n), dtype=np.uint8)
    for word, i in enumerate(layout.categorical):
        column, first = layout.columns[i], layout.first_slots[i]
        words = _categorical(columns, column.role, column.name)
        if words is None:
            slots[i] = first
        else:
            np.add(slots_of_codes(column, words.codes, words.dictionary), first, out=slots[i])
            registers[word], ranks[word] = _hashes(words)
    return Rows(
        layout,
        columns.ts // spec.pane_us * spec.pane_us,
        slots,
        values,
        registers,
        ranks,
        np.full(n, columns.weight),
        [
            _segment(columns, name, spec, baseline, {} if listed is None else listed.setdefault(name, {}))
            for name in spec.segments
        ],
    )


def _values(parts: Sequence[Columns], layout: Layout, rows: int) -> Floats:
    """Numbers of all parts below one another, [numeric columns, rows]; NaN for a column that there is not."""
    found: list[Floats] = []
    for i in layout.numeric:
        column = layout.columns[i]
        for part in parts:
            data = _numeric(part, column.role, column.name)
            found.append(np.full(part.rows, np.nan) if data is None else data)
    values = np.empty((len(layout.numeric), rows))
    if found:
        np.concatenate(found, out=values.reshape(-1))
    return values


def _numeric(columns: Columns, role: str, name: str) -> Floats | None:
    return columns.scores.get(name) if role == "score" else columns.numeric.get(name)


def _categorical(columns: Columns, role: str, name: str) -> Categorical | None:
    return columns.categorical.get(name) if role == "feature" else columns.label


@lru_cache(maxsize=1 << 16)
def _hash(value: str) -> tuple[int, int]:
    """Return (register, rank) of a string: HyperLogLog with 256 registers over a 64-bit hash."""
    digest = int.from_bytes(
        hashlib.blake2b(value.encode(errors="surrogatepass"), digest_size=8).digest(), "big"
    )
    rest = digest & ((1 << 56) - 1)
    return digest >> 56, 57 - rest.bit_length()


def _hashes(words: Categorical) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    pairs = [_hash(v) for v in words.dictionary]
    registers = np.array([*(p[0] for p in pairs), -1], dtype=np.int16)
    ranks = np.array([*(p[1] for p in pairs), 0], dtype=np.uint8)
    return registers[words.codes], ranks[words.codes]


def list_segments(
    parts: Sequence[tuple[npt.NDArray[np.int64], Columns]],
    spec: MonitorSpec,
    baseline: Baseline | None,
    listed: Listed,
) -> None:
    """Give segments their places in the order of the log, where events of different columns lie between one another.

    `parts` are columns with the offset of each row's record. `to_rows` would do it part after part, and what is one
    part depends on how the events were batched.
    """
    for name in spec.segments:
        known, kept = known_values(name, baseline), listed.setdefault(name, {})
        found: list[tuple[int, int, str]] = []
        for offsets, columns in parts:
            words = words_of(columns, name)
            if words is None:
                continue
            codes, rows = np.unique(words.codes, return_index=True)
            found += [
                (int(offsets[row]), row, words.dictionary[code])
                for code, row in zip(codes.tolist(), rows.tolist(), strict=True)
                if code >= 0
            ]
        for _, _, value in sorted(found):
            _place(name, value, known, kept, spec)


def words_of(columns: Columns, name: str) -> Categorical | None:
    """Values of a segment column: one that was sent for it, or the feature of that name."""
    return columns.segments.get(name) or columns.categorical.get(name)


def _place(name: str, value: str, known: frozenset[str], kept: dict[str, int], spec: MonitorSpec) -> int:
    # A flood of values must not become a flood of segments: those that the baseline
    # does not know, or that come after the first `max_segments`, share one.
    segment = f"{name}={value}"
    is_listed = value in known if known else len(kept) < spec.max_segments or segment in kept
    return kept.setdefault(segment if is_listed else f"{name}={OTHER_SEGMENT}", len(kept))


def _segment(
    columns: Columns, name: str, spec: MonitorSpec, baseline: Baseline | None, kept: dict[str, int]
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Segment code of every row in one dimension. Rows without the column are in no segment of it."""
    words = words_of(columns, name)
    if words is None:
        return [], np.full(columns.rows, -1, dtype=np.int32)
    known = known_values(name, baseline)
    # Only what occurs, in the order in which it does: a producer's dictionary may hold anything.
    words = compact(words.codes, words.dictionary)
    lookup = [_place(name, value, known, kept, spec) for value in words.dictionary]
    return list(kept), np.array([*lookup, -1], dtype=np.int32)[words.codes]


def known_values(name: str, baseline: Baseline | None) -> frozenset[str]:
    """Values of a feature that a baseline knows."""
    if baseline is None:
        return frozenset()
    return frozenset(
        v for c in baseline.columns if c.name == name and c.role == "feature" for v in c.categories
    )
