"""What one record says of many windows is handed over as it is said."""

from __future__ import annotations

from typing import Any

from streams.core.engine import PartitionEngine
from streams.core.registry import RegistryView
from tests.streams.core.builders import T0
from tests.streams.core.folding import engine, summaries


def test_reports_are_handed_over_before_the_record_is_done_and_are_the_same_as_those_of_an_engine_that_waits():
    log = summaries([(0, [0, 1, 2, 3], 0.0), (1, [0, 1, 2, 3, 9], 0.0), (0, [9], 0.0)])
    waits = engine()
    told: list[dict[str, Any]] = []
    done: list[int] = []

    def on_report(report: dict[str, Any]) -> None:
        told.append(report)
        done.append(tells.models[report["model"]].through)

    tells = PartitionEngine(waits.control, RegistryView(), engine().watermarks, on_report=on_report)
    expected = []
    for offset, summary in enumerate(log):
        effects = waits.on_record(summary, offset, T0 + offset)
        expected += effects.reports
        now = tells.on_record(summary, offset, T0 + offset)
        assert now.reports == []
        assert now.closed_windows == effects.closed_windows
        assert told == expected
        assert all(through < offset for through in done)
        done.clear()
    assert len(expected) > 2
