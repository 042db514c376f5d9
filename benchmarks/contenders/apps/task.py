"""What all contenders do to an event and to a window, written once, so that only the frameworks differ.

numpy where it helps: for a whole window at once it does, for the twenty numbers of one event it does not.
"""

from __future__ import annotations

import io
import json
import os
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastavro
import numpy as np

BROKER = os.environ["BENCH_BROKER"]
TOPIC = os.environ["BENCH_TOPIC"]
OUT = os.environ["BENCH_OUT"]
GROUP = os.environ["BENCH_GROUP"]
FEATURES = int(os.environ["BENCH_FEATURES"])
MODEL = os.environ["BENCH_MODEL"]
STATE_DIR = os.environ["BENCH_STATE_DIR"]

#: Bins are an eighth wide, so that placing a value by arithmetic is exact.
BINS, LOW, PER_UNIT = 64, -4.0, 8.0
WINDOW_US = 60_000_000
MARKER_BYTES = 10
_SCHEMA = fastavro.parse_schema(json.loads(Path(os.environ["BENCH_SCHEMA"]).read_text(encoding="utf-8")))
_read = fastavro.schemaless_reader
_started = False


def decode(value: bytes) -> tuple[int, list[float]]:
    """Return an event's time (microseconds) and its numbers."""
    global _started  # noqa: PLW0603 - the clock starts once
    if not _started:
        _started = True
        print(f"first {time.time()}", file=sys.__stdout__, flush=True)  # Faust replaces sys.stdout
    record = _read(io.BytesIO(value[MARKER_BYTES:]), _SCHEMA, None)
    return record["ts"], [pair["value"] for pair in record["numeric"]]


def window_of(ts: int) -> int:
    """Start of an event's window."""
    return ts - ts % WINDOW_US


def summarise(start: int, rows: Sequence[Sequence[float]]) -> bytes:
    """Histogram and moments of a whole window, as a result message."""
    table = np.array(rows, dtype=np.float64)
    bins = ((table - LOW) * PER_UNIT).astype(np.int64) + _FIRST_BINS
    counts = np.bincount(bins.ravel(), minlength=FEATURES * BINS)
    mean = table.mean(axis=0)
    m2 = np.square(table - mean).sum(axis=0)
    moments = np.stack([mean, m2, table.min(axis=0), table.max(axis=0)], axis=1)
    return result(start, len(table), counts, moments)


def result(start: int, rows: int, counts: Any, moments: Any) -> bytes:
    """Lay out a result: window start, rows, counts [features, bins], mean, M2, minimum, maximum [features, 4]."""
    return struct.pack("<qq", start, rows) + counts.astype("<u4").tobytes() + moments.astype("<f8").tobytes()


class Running:
    """Histogram and moments that take one event, or many, after the other, for frameworks that keep such a state.

    One array of doubles, so that it goes to bytes and back without work.
    """

    def __init__(self, state: bytes = b"") -> None:
        self.state = np.frombuffer(state, dtype=np.float64).copy() if state else _EMPTY.copy()
        self.counts = self.state[1 : 1 + FEATURES * BINS]
        self.sums, self.squares, self.low, self.high = self.state[1 + FEATURES * BINS :].reshape(4, FEATURES)

    def add(self, values: Sequence[float]) -> None:
        row = np.array(values)
        self.state[0] += 1
        self.counts[((row - LOW) * PER_UNIT).astype(np.int64) + _FIRST_BINS] += 1
        self.sums += row
        self.squares += row * row
        np.minimum(self.low, row, out=self.low)
        np.maximum(self.high, row, out=self.high)

    def add_table(self, rows: Sequence[Sequence[float]]) -> None:
        table = np.array(rows)
        bins = ((table - LOW) * PER_UNIT).astype(np.int64) + _FIRST_BINS
        self.state[0] += len(table)
        self.counts += np.bincount(bins.ravel(), minlength=FEATURES * BINS)
        self.sums += table.sum(axis=0)
        self.squares += np.square(table).sum(axis=0)
        np.minimum(self.low, table.min(axis=0), out=self.low)
        np.maximum(self.high, table.max(axis=0), out=self.high)

    def to_bytes(self) -> bytes:
        return self.state.tobytes()

    def to_result(self, start: int) -> bytes:
        rows = self.state[0]
        mean = self.sums / rows
        m2 = self.squares - rows * mean * mean
        return result(start, int(rows), self.counts, np.stack([mean, m2, self.low, self.high], axis=1))


_FIRST_BINS = np.arange(FEATURES) * BINS
_EMPTY = np.zeros(1 + FEATURES * (BINS + 4))
_EMPTY[1 + FEATURES * (BINS + 2) :].reshape(2, FEATURES)[:] = [[np.inf], [-np.inf]]
