"""What the sinks write, and in which order."""

from __future__ import annotations

from types import SimpleNamespace

from seawall.wire import encode
from streams.agents.results import Sink
from tests.streams.core.builders import T0
from tests.streams.core.folding import engine, summaries


def test_a_layout_is_written_before_the_first_window_that_needs_it() -> None:
    log = summaries([(p, list(range(m, m + 8)), 0.0) for m in range(0, 24, 8) for p in (0, 1)])
    deciding = engine()
    reports = [r for n, record in enumerate(log) for r in deciding.on_record(record, n, T0 + n).reports]
    layouts = {r["layout_id"] for r in reports if r["windows"]}
    assert layouts
    sink = SimpleNamespace(topic="windows", _known_layouts=set())
    records = [SimpleNamespace(value=encode("window_report", r), offset=n) for n, r in enumerate(reports)]
    tables = Sink.tables(sink, records)  # type: ignore[arg-type]  # no store is needed to make rows
    names = list(tables)
    assert names.index("layouts") < names.index("windows")
    assert {i for t in tables["layouts"] for i in t.column("layout_id").to_pylist()} >= layouts
