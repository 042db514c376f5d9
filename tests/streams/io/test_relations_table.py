"""What is said across columns, from a judgement over the bus into the store."""

from __future__ import annotations

import numpy as np
import pytest

from seawall.settings import Settings
from seawall.wire import decode, encode
from streams.core.reports import joint_rows
from streams.io.clickhouse import Store, arrow_columns
from tests.streams.core.test_joint import baseline, engine, known, summaries

__all__ = ["baseline"]


def test_what_is_said_across_columns_can_be_read_from_the_store(store: Settings, baseline):
    control = known(baseline)
    e = engine(control)
    reports = [r for i, s in enumerate(summaries(control, "rotated")) for r in e.on_record(s, i, i).reports]
    said = [decode(encode("window_report", r), ("window_report",))[1] for r in reports]
    rows = [(r, joint_rows(r)) for r in said if r["joint"]]
    target = Store(store)
    for i, (report, table) in enumerate(rows):
        target.insert("window_relations", arrow_columns(table, report["windows"]), f"t{i}")
    (found,) = target.query(
        "SELECT argMax(first[1], end) AS a, argMax(second[1], end) AS b, argMax(correlation[1], end) AS now,"
        " argMax(usual[1], end) AS usual, argMax(evidence[1], end) AS evidence, count() AS n,"
        " countIf(verdict = 'drift') AS drifted, min(mmd_limit) AS least, max(length(first)) AS pairs"
        " FROM window_relations FINAL WHERE horizon_us = 21600000000"
    )
    assert {found["a"], found["b"]} == {"feature/a", "feature/b"}
    assert found["now"] == pytest.approx(-0.98, abs=0.01)
    assert found["usual"] == pytest.approx(0.98, abs=0.01)
    assert found["evidence"] > 5
    assert found["n"] == len(
        {int(end) for r, t in rows if r["horizon_us"] == 21_600_000_000 for end in t["end"]}
    )
    assert found["drifted"] == sum(
        int(np.sum(t["verdict"] == 2))
        for r, t in rows
        if r["horizon_us"] == 21_600_000_000 and not t["revision"].any()
    )
    assert found["least"] >= 0.03
    assert found["pairs"] == 10
