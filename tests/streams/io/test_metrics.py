"""The catalogue, the document and what is served are one table."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams.io.metrics import (
    BUILD_INFO,
    CATALOGUE,
    DECODE_SECONDS,
    EVENTS_COUNTED,
    LAG,
    CounterMetric,
    GaugeMetric,
    HistogramMetric,
    Metric,
    Metrics,
)

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"


def documented() -> list[tuple[str, ...]]:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def test_the_documents_table_is_the_catalogue() -> None:
    def cells(metric: Metric) -> tuple[str, ...]:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
        return (f"`{metric.name}`", metric.kind, metric.unit, labels, metric.help)

    assert documented() == [cells(metric) for metric in CATALOGUE]


@pytest.mark.parametrize("metric", CATALOGUE, ids=lambda metric: metric.name)
def test_every_metric_is_served_under_its_name_and_kind(metric: Metric) -> None:
    metrics = Metrics()
    labels = dict.fromkeys(metric.labels, "x")
    if isinstance(metric, CounterMetric):
        metrics.add(metric, 2, **labels)
    elif isinstance(metric, HistogramMetric):
        metrics.observe(metric, 2, **labels)
    elif isinstance(metric, GaugeMetric):
        metrics.set(metric, 2, **labels)
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    family = families[metric.name.removesuffix("_total")]
    assert (family.type, family.documentation) == (metric.kind, metric.help)
    suffix = "_sum" if metric.kind == "histogram" else ""
    assert [sample.value for sample in family.samples if sample.name == metric.name + suffix] == [2]


def test_names_are_unique_and_say_their_unit() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(set(names)) == len(names)
    for metric in CATALOGUE:
        assert metric.name.startswith("seawall_")
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert (metric.unit == "seconds") == metric.name.endswith("_seconds")


def test_two_workers_in_one_process_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.add(EVENTS_COUNTED, 5, topic="predictions")
    assert b'topic="predictions"' not in other.render()


def test_a_partition_that_left_is_no_longer_shown() -> None:
    metrics = Metrics()
    metrics.set(LAG, 7, topic="predictions", partition=3)
    metrics.set(LAG, 8, topic="predictions", partition=4)
    metrics.forget(LAG, topic="predictions", partition=3)
    text = metrics.render().decode()
    assert 'partition="3"' not in text
    assert 'seawall_lag_records{partition="4",topic="predictions"} 8.0' in text


def test_a_missing_or_strange_label_is_an_error() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="label"):
        metrics.add(EVENTS_COUNTED, partition=1)
    with pytest.raises(ValueError, match="label"):
        metrics.set(BUILD_INFO, 1)
    with pytest.raises(ValueError, match="label"):
        metrics.observe(DECODE_SECONDS, 1, topic="x", colour="red")
