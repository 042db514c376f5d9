"""Reports on the bus become rows of the tables."""

from __future__ import annotations

from seawall.wire import decode, encode
from streams.core.merge import LateEvents
from streams.core.reports import column_rows, late_record, late_rows, layout_rows, window_rows
from streams.core.watermark import Partition


def test_a_report_of_nothing_but_late_events_has_no_windows():
    late = [LateEvents("labels", "v1", 60_000_000, Partition("labels", 3), 100, 7)]
    report = decode(encode("window_report", late_record("m", 5, late)), ("window_report",))[1]
    assert window_rows(report) == {}
    assert column_rows(report) == {}
    assert layout_rows(report) == []
    assert late_rows(report) == [
        {
            "model": "m", "ver": 5, "source": "labels", "version": "v1", "pane_start": 60_000_000,
            "topic": "labels", "partition": 3, "first_offset": 100, "rows": 7,
        }
    ]  # fmt: skip
