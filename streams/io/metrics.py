"""The metric catalogue: every number that a worker shows to Prometheus, with its unit and meaning.

``docs/metrics.md`` holds the same table, and a test keeps the two equal. Labels are bounded by what was
declared (topics, partitions, models, receivers), never by what is in the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the catalogue."""

    name: str
    unit: str
    help: str
    labels: tuple[str, ...] = ()

    @property
    def kind(self) -> Literal["counter", "gauge", "histogram"]:
        """Prometheus type."""
        if isinstance(self, CounterMetric):
            return "counter"
        return "histogram" if isinstance(self, HistogramMetric) else "gauge"


class CounterMetric(Metric):
    """Only grows; its name ends in ``_total``."""


class GaugeMetric(Metric):
    """Goes up and down."""


class HistogramMetric(Metric):
    """A distribution of seconds."""


EVENTS_COUNTED = CounterMetric(
    "seawall_events_counted_total", "events", "Events counted in a window.", ("topic",)
)
EVENTS_LATE = CounterMetric(
    "seawall_events_late_total", "events", "Events after the grace period: counted as late only.", ("topic",)
)
EVENTS_DEAD_LETTERED = CounterMetric(
    "seawall_events_dead_lettered_total", "events", "Records or rows that could not be read.", ("topic",)
)
RECORDS_CONSUMED = CounterMetric(
    "seawall_records_consumed_total", "records", "Kafka records read; a frame is one.", ("topic",)
)
ROWS_CONSUMED = CounterMetric("seawall_rows_consumed_total", "rows", "Rows in the records read.", ("topic",))
CHUNKS_PUBLISHED = CounterMetric(
    "seawall_chunks_published_total", "summaries", "Provisional chunk summaries published.", ("topic",)
)
CHUNKS_SEALED = CounterMetric(
    "seawall_chunks_sealed_total", "summaries", "Chunks sealed and their offsets committed.", ("topic",)
)
CHUNKS_TORN = CounterMetric(
    "seawall_chunks_torn_total",
    "summaries",
    "Chunks left out although a part of them was new: where the log is cut was changed while there was a lag.",
)
CHUNKS_STRANGE = CounterMetric(
    "seawall_chunks_strange_total",
    "summaries",
    "Chunks left out that hold new events at offsets that were counted already: another log under the same name, or a "
    "`SEAWALL_LOG_EPOCH` that was lowered.",
)
WINDOWS_CLOSED = CounterMetric("seawall_windows_closed_total", "windows", "Windows judged first.", ("model",))
WINDOWS_REVISED = CounterMetric(
    "seawall_windows_revised_total", "windows", "Windows judged again after late events.", ("model",)
)
ALARMS_OPEN = GaugeMetric("seawall_alarms_open", "alarms", "Alarms that are open.", ("model",))
ROLLBACKS = CounterMetric("seawall_rollbacks_total", "steps", "Steps in the lives of rollbacks.", ("state",))
NOTIFICATIONS = CounterMetric(
    "seawall_notifications_total",
    "steps",
    "Steps of alarms and what became of them.",
    ("receiver", "outcome"),
)
NOTIFICATIONS_PENDING = GaugeMetric(
    "seawall_notifications_pending", "steps", "Steps that the receiver has not taken yet.", ("receiver",)
)
LAG = GaugeMetric(
    "seawall_lag_records", "records", "Records behind the end of the partition.", ("topic", "partition")
)
PARTITIONS_PAUSED = GaugeMetric(
    "seawall_partitions_paused",
    "partitions",
    "Partitions of which nothing is read now.",
    ("topic", "reason"),
)
WATERMARK = GaugeMetric(
    "seawall_watermark_timestamp_seconds", "seconds", "Event time up to which windows closed.", ("model",)
)
DECODE_SECONDS = HistogramMetric(
    "seawall_decode_seconds", "seconds", "Decoding and counting one run of records.", ("topic",)
)
STORE_INSERT_SECONDS = HistogramMetric("seawall_store_insert_seconds", "seconds", "One insert.", ("table",))
STORE_INSERT_ROWS = CounterMetric("seawall_store_insert_rows_total", "rows", "Rows inserted.", ("table",))
STORE_UP = GaugeMetric("seawall_store_up", "boolean", "1 when the last contact with the store went well.")
BUILD_INFO = GaugeMetric(
    "seawall_build_info", "constant", "Always 1; the build is in the labels.", ("version",)
)

CATALOGUE: tuple[Metric, ...] = (
    EVENTS_COUNTED,
    EVENTS_LATE,
    EVENTS_DEAD_LETTERED,
    RECORDS_CONSUMED,
    ROWS_CONSUMED,
    CHUNKS_PUBLISHED,
    CHUNKS_SEALED,
    CHUNKS_TORN,
    CHUNKS_STRANGE,
    WINDOWS_CLOSED,
    WINDOWS_REVISED,
    ALARMS_OPEN,
    ROLLBACKS,
    NOTIFICATIONS,
    NOTIFICATIONS_PENDING,
    LAG,
    PARTITIONS_PAUSED,
    WATERMARK,
    DECODE_SECONDS,
    STORE_INSERT_SECONDS,
    STORE_INSERT_ROWS,
    STORE_UP,
    BUILD_INFO,
)

# A run decodes in a millisecond or so, an insert in tens; a second is trouble, thirty the store's deadline.
_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)


class Metrics:
    """One worker's numbers, in a registry of their own, so that two workers in one process do not mix.

    Nothing here blocks. Labels are given by name, all of them; a wrong one is a `ValueError`.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._made = {metric.name: _make(metric, self._registry) for metric in CATALOGUE}

    def add(self, metric: CounterMetric, amount: float = 1.0, /, **labels: str | int) -> None:
        """Count `amount` more."""
        cast("Counter", self._of(metric, labels)).inc(amount)

    def set(self, metric: GaugeMetric, value: float, /, **labels: str | int) -> None:
        """Show `value` from now on."""
        cast("Gauge", self._of(metric, labels)).set(value)

    def observe(self, metric: HistogramMetric, seconds: float, /, **labels: str | int) -> None:
        """Count one measurement."""
        cast("Histogram", self._of(metric, labels)).observe(seconds)

    def forget(self, metric: Metric, /, **labels: str | int) -> None:
        """Stop showing one series, such as the lag of a partition that went to another worker."""
        self._made[metric.name].remove_by_labels({name: str(value) for name, value in labels.items()})

    def render(self) -> bytes:
        """Write everything in Prometheus' text format."""
        return generate_latest(self._registry)

    def _of(self, metric: Metric, labels: dict[str, str | int]) -> Counter | Gauge | Histogram:
        made = self._made[metric.name]
        return made.labels(**labels) if labels else made


def _make(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    if metric.kind == "counter":
        return Counter(metric.name, metric.help, metric.labels, registry=registry)
    if metric.kind == "gauge":
        return Gauge(metric.name, metric.help, metric.labels, registry=registry)
    return Histogram(metric.name, metric.help, metric.labels, registry=registry, buckets=_BUCKETS_S)
