"""Events that hold no column at all: what they say is that something was asked, and when."""

from __future__ import annotations

import json
from typing import Any

import pytest

from seawall.frames import Source
from seawall.wire import decode, encode
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.reports import column_rows, layout_rows, window_rows
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, NOW, T0, records
from tests.streams.core.folding import CONTROL


@pytest.mark.parametrize("control", [Control(), CONTROL], ids=["without a baseline", "with one"])
@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("predictions", {}),
        ("predictions", {"scores": []}),
        ("features", {}),
        ("labels", {"value": None, "label": None}),
    ],
)
def test_an_event_without_columns_is_counted_like_any_other(
    source: Source, holds: dict[str, Any], control: Control
) -> None:
    bare = {"event_id": "e", "model": "m", "version": "v1", **holds}
    values = [json.dumps({**bare, "ts": T0 + k * 10 * MINUTE}).encode() for k in range(3)]
    chunker = PartitionChunker(source, 0, source, LayoutBook(control), ChunkRule(), None, 1)
    chunker.start_at(0)
    assert list(chunker.feed(records(values))) == []
    assert chunker.dead == []
    sources: dict[str, Source] = {"predictions": "predictions", "features": "features", "labels": "labels"}
    engine = PartitionEngine(control, RegistryView(), Watermarks(sources, 1_000_000, replay=True))
    log = [*chunker.provisional(caught_up=True), *[chunker.progress(caught_up=True)] * 3]
    reports = []
    for offset, record in enumerate(log):
        taken = decode(encode("chunk_summary", record), ("chunk_summary",))[1]
        reports += engine.on_record(taken, offset, NOW + offset * 10_000_000).reports
    rows = [decode(encode("window_report", r), ("window_report",))[1] for r in reports]
    panes = [window_rows(r) for r in rows if r["horizon_us"] == control.monitor("m").pane_us]
    assert sum(int(p["rows"].sum()) for p in panes) == len(values)
    for report in rows:
        assert len(column_rows(report)) == 0 or report["columns"]
        layout_rows(report)
