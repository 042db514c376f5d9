"""What the sinks write, and in which order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seawall.settings import Settings
from seawall.wire import encode
from streams.agents.results import Sink
from streams.io.clickhouse import Store, arrow_columns
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("partition", b"x"),
        ("partition", b"4294967296"),
        ("events", b"-3"),
        ("events", b"99999999999"),
        ("offset", b"1e3"),
        ("offset", "²".encode()),
        ("bytes", b""),
    ],
)
def test_a_foreign_record_among_the_dead_letters_stops_nobody(name: str, value: bytes) -> None:
    sink: Any = SimpleNamespace(topic="dead-letters")
    mine = [
        ("seawall.topic", b"predictions"),
        ("seawall.partition", b"1"),
        ("seawall.offset", b"7"),
        ("trace", None),
    ]
    records = [
        SimpleNamespace(value=b"?", offset=n, timestamp=0, headers=headers)
        for n, headers in enumerate([mine, [(f"seawall.{name}", value)], [], mine])
    ]
    (stored,) = zip(*[t.to_pylist() for t in Sink.tables(sink, records)["dead_letters"]], strict=True)
    assert [(r["topic"], r["partition"], r["offset"]) for r in stored] == [
        ("predictions", 1, 7), ("", -1, -1), ("predictions", 1, 7),
    ]  # fmt: skip


def test_windows_of_many_years_are_stored_by_one_insert(store: Settings) -> None:
    """A month is a partition, and of these ClickHouse lets an insert touch a hundred unless told otherwise."""
    months = 45 * 12
    ends = np.arange(months, dtype=np.int64) * 30 * 86_400_000_000 + 86_400_000_000
    windows = {"model": "m", "layout_id": "l", "horizon_us": 60_000_000, "end": ends}
    target = Store(store)
    target.insert("windows", arrow_columns(windows, months), "t")
    found = target.query("SELECT count() AS n, uniqExact(toYYYYMM(end)) AS months FROM windows FINAL")
    assert found == [{"n": months, "months": pytest.approx(months, rel=0.05)}]
