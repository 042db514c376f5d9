"""The events that everybody counts, the frames of the same events, and what every window must hold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from seawall import Client
from seawall.baseline import Baseline, BaselineColumn
from seawall.settings import Settings
from seawall.transport import kafka_config
from seawall.wire import encode

MODEL, VERSION = "bench", "1"
MINUTE_US = 60_000_000
BINS, LOW, PER_UNIT = 64, -4.0, 8.0
EDGES = tuple(LOW + k / PER_UNIT for k in range(BINS + 1))
_DRAWN = 50_000


@dataclass(frozen=True)
class Window:
    """What a minute holds: rows, counts [features, bins], and mean, M2, minimum, maximum [features, 4]."""

    rows: int
    counts: npt.NDArray[np.int64]
    moments: npt.NDArray[np.float64]

    def difference(self, other: Window) -> str:
        """Say where `other` differs; empty when it does not. Moments may differ by 1e-9."""
        if other.rows != self.rows:
            return f"{other.rows} rows, expected {self.rows}"
        wrong = np.argwhere(other.counts != self.counts)
        if len(wrong):
            feature, at = wrong[0]
            return f"bin {at} of f{feature} holds {other.counts[feature, at]}, expected {self.counts[feature, at]}"
        scale = np.maximum(np.abs(self.moments), 1.0)
        if not (np.abs(other.moments - self.moments) <= 1e-9 * scale).all():
            return "moments differ by more than 1e-9"
        return ""


@dataclass(frozen=True)
class Workload:
    """`minutes` windows of `per_minute` events in order, and one event more, which closes the last window.

    The values repeat after `_DRAWN` events; times do not.
    """

    minutes: int = 300
    per_minute: int = 2000
    features: int = 20
    end_us: int = 0

    @classmethod
    def until_now(cls, minutes: int, per_minute: int, features: int) -> Workload:
        """Let the last minute end at the one that began just now."""
        now_us = time.time_ns() // 1000
        return cls(minutes, per_minute, features, now_us - now_us % MINUTE_US)

    @property
    def events(self) -> int:
        """Events in windows that close."""
        return self.minutes * self.per_minute

    @cached_property
    def values(self) -> npt.NDArray[np.float64]:
        """Drawn values, [_DRAWN, features]: normal, within the bins."""
        rng = np.random.default_rng(7)
        drawn = np.clip(rng.normal(size=(_DRAWN, self.features)), LOW, -LOW - 1e-3)
        return drawn.round(9)

    def times(self, first: int, after: int) -> npt.NDArray[np.int64]:
        """Event times of the events `first` up to `after`, microseconds."""
        start = self.end_us - self.minutes * MINUTE_US
        of = np.arange(first, after, dtype=np.int64)
        within = of % self.per_minute * MINUTE_US // self.per_minute
        # The last one comes half a minute later, so that no lateness keeps the last window open.
        return start + of // self.per_minute * MINUTE_US + within + (of == self.events) * MINUTE_US // 2

    def rows(self, first: int, after: int) -> npt.NDArray[np.float64]:
        """Values of the events `first` up to `after`."""
        return self.values[np.arange(first, after) % _DRAWN]

    def window(self, start_us: int) -> Window | None:
        """Return what the minute that starts at `start_us` holds; None for one that is not among those that close."""
        number = (start_us - self.end_us) // MINUTE_US + self.minutes
        if not 0 <= number < self.minutes:
            return None
        table = self.rows(number * self.per_minute, (number + 1) * self.per_minute)
        bins = np.searchsorted(EDGES, table, side="right") - 1 + np.arange(self.features) * BINS
        counts = np.bincount(bins.ravel(), minlength=self.features * BINS).reshape(self.features, BINS)
        mean = table.mean(axis=0)
        m2 = np.square(table - mean).sum(axis=0)
        return Window(len(table), counts, np.stack([mean, m2, table.min(axis=0), table.max(axis=0)], axis=1))

    def single_events(self) -> Iterator[bytes]:
        """Encode prediction events, and one more that closes the last window.

        All have one length, so the bytes that differ are put into copies of the first one; encoding a million
        events one by one would take longer than any contender takes to count them.
        """
        count = self.events + 1
        for first in range(0, count, _DRAWN):
            after = min(first + _DRAWN, count)
            times, values = self.times(first, after), self.rows(first, after)
            model = np.frombuffer(self.single_event(0, int(times[0]), values[0]), dtype=np.uint8)
            table = np.repeat(model[None], len(times), axis=0)
            at = model.tobytes().index(b"event-000000000")
            digits = np.arange(first, after)[:, None] // 10 ** np.arange(8, -1, -1) % 10 + ord("0")
            table[:, at + 6 : at + 15] = digits
            at = model.tobytes().index(zigzag(int(times[0])))
            table[:, at : at + 8] = zigzags(times)
            for i in range(self.features):
                at = model.tobytes().index(f"f{i:03}\x02".encode()) + 5
                table[:, at : at + 8] = values[:, i : i + 1].copy().view(np.uint8)
            assert table[-1].tobytes() == self.single_event(after - 1, int(times[-1]), values[-1])
            size = table.shape[1]
            data = table.tobytes()
            yield from (data[k : k + size] for k in range(0, len(data), size))

    def single_event(self, number: int, ts: int, values: Any) -> bytes:
        """One prediction event."""
        numbers = [{"name": f"f{i:03}", "value": float(v)} for i, v in enumerate(values)]
        record = {
            "event_id": f"event-{number:09}",
            "model": MODEL,
            "version": VERSION,
            "ts": ts,
            "numeric": numbers,
        }
        return encode("prediction", record)

    def send_events(self, settings: Settings, partitions: int = 1) -> None:
        """Fill the predictions topic with single events, in order; partitions take turns."""
        from confluent_kafka import Producer

        producer = Producer(
            {**kafka_config(settings), "linger.ms": 20, "queue.buffering.max.messages": 200_000}
        )
        topic = settings.topic("predictions")
        for number, value in enumerate(self.single_events()):
            while True:
                try:
                    producer.produce(topic, value, MODEL, partition=number % partitions)
                    break
                except BufferError:
                    producer.poll(0.05)
        if producer.flush(60):
            msg = f"{len(producer)} events were not taken by the broker"
            raise RuntimeError(msg)

    def send_frames(self, settings: Settings) -> None:
        """Fill the predictions topic with frames of the same events, as the SDK makes them from tables."""
        with Client(MODEL, VERSION, settings=settings, max_buffer_bytes=256 << 20) as client:
            for first in range(0, self.events + 1, _DRAWN):
                after = min(first + _DRAWN, self.events + 1)
                values = self.rows(first, after)
                table = {f"f{i:03}": values[:, i].copy() for i in range(self.features)}
                client.log_predictions(table, ts=self.times(first, after), wait_s=60)
            if not client.flush(60) or client.stats().dropped:
                msg = f"the SDK could not send everything: {client.stats()}"
                raise RuntimeError(msg)

    def baseline(self) -> Baseline:
        """Make a reference with 64 even bins for each number; its panes are the windows of the drawn values."""
        columns = tuple(
            BaselineColumn(
                f"f{i:03}",
                "feature",
                "numeric",
                EDGES,
                count=_DRAWN,
                mean=float(v.mean()),
                std=float(v.std()),
                minimum=float(v.min()),
                maximum=float(v.max()),
                quantile_levels=(0.05, 0.5, 0.95),
                quantiles=tuple(np.quantile(v, (0.05, 0.5, 0.95)).tolist()),
                distinct=_DRAWN,
            )
            for i, v in enumerate(self.values.T)
        )
        panes = min(_DRAWN // self.per_minute, self.minutes)
        counts = np.zeros((panes, self.features, BINS + 4), dtype=np.uint32)
        for pane in range(panes):
            window = self.window(self.end_us - (self.minutes - pane) * MINUTE_US)
            assert window is not None
            counts[pane, :, 3 : 3 + BINS] = window.counts
        starts = self.end_us - 7 * 24 * 60 * MINUTE_US + np.arange(panes, dtype=np.int64) * MINUTE_US
        return Baseline(
            MODEL, VERSION, _DRAWN, columns, MINUTE_US, starts, counts.reshape(panes, -1)
        ).with_id()


def zigzag(number: int) -> bytes:
    """Avro's encoding of a whole number."""
    return zigzags(np.array([number]))[0].tobytes()


def zigzags(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Avro's encoding of numbers that take eight bytes, [numbers, 8]."""
    twice = numbers << 1
    assert (twice >> 49 > 0).all()
    assert (twice >> 56 == 0).all()
    septets = twice[:, None] >> (7 * np.arange(8)) & 0x7F
    septets[:, :7] |= 0x80
    return septets.astype(np.uint8)


MONITOR = f"""
model: {MODEL}
windows: {{pane: 1m, horizons: [1m], lateness: 1s, grace: 1h}}
"""
