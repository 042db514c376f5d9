"""Reports on the bus become rows of the tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from detectors.evidence.shares import share_at_chance
from seawall.wire import decode, encode
from streams.core.merge import LateEvents
from streams.core.reports import (
    column_rows,
    joint_rows,
    late_record,
    late_rows,
    layout_rows,
    report_record,
    window_rows,
)
from streams.core.watermark import Partition
from tests.streams.core.test_classic import batch_of, panes
from tests.streams.core.test_explain import SPEC, effects_of, history
from tests.streams.core.test_verdicts import judged


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


def test_every_share_is_stored_beside_what_chance_alone_exceeds() -> None:
    batch = batch_of(panes(10))
    at = batch.layout.slice_of(batch.layout.index["feature/y"])
    batch.counts[:, at.start] += 7
    judgement = judged(replace(SPEC, columns={}), batch)
    found = judgement.comparison
    assert found is not None
    report = report_record("m", SPEC.pane_us, 1, judgement)
    rows = column_rows(decode(encode("window_report", report), ("window_report",))[1])
    for name, n in (
        ("missing", np.repeat(batch.rows[:, None], len(batch.layout.columns), axis=1)),
        ("out_of_range", found.present),
        ("unseen", found.present),
    ):
        value, usual = (getattr(found, f"{name}_{which}") for which in ("share", "expected"))
        exact = share_at_chance(usual, n, above=value >= usual)
        known = ~np.isnan(value)
        stored = rows[f"{name}_chance"].reshape(value.shape)
        assert known.any()
        np.testing.assert_allclose(stored[known], exact[known], rtol=0.005)
        assert np.isnan(stored[~known]).all()
    y = list(rows["column"]).index("y")
    assert rows["missing_share"][y] > rows["missing_chance"][y] > 0


def _reports() -> Iterator[dict[str, Any]]:
    for effects in effects_of(history(0, 3000, 2)):
        for report in effects.reports:
            yield decode(encode("window_report", report), ("window_report",))[1]


def test_pairs_and_the_error_of_reconstruction_are_stored_beside_their_chance() -> None:
    told = [joint_rows(r) for r in _reports() if r["joint"] is not None and r["windows"]]
    assert told
    for rows in told:
        assert rows["correlation_chance"].shape == rows["correlation"].shape
        assert (rows["correlation_chance"] > 0).all()
        assert (rows["reconstruction_chance"] > 0).all()
    moved = np.concatenate([np.abs(r["correlation"] - r["usual"]).ravel() for r in told])
    chance = np.concatenate([r["correlation_chance"].ravel() for r in told])
    assert np.mean(moved > chance) < 0.5  # the furthest of few pairs, in quiet traffic


def test_of_a_report_of_before_chance_is_not_known_and_everything_else_is() -> None:
    for report in _reports():
        if report["joint"] is None or not report["stats"]:
            continue
        for name in ("missing_chance", "out_of_range_chance", "unseen_chance"):
            del report["stats"][name]
        report["joint"] |= {"correlation_chance": b"", "reconstruction_chance": b""}
        rows, joint = column_rows(report), joint_rows(report)
        assert np.isnan(rows["missing_chance"]).all()
        assert np.isfinite(rows["missing_share"]).all()
        assert np.isnan(joint["reconstruction_chance"]).all()
        assert joint["correlation_chance"].shape == joint["correlation"].shape
        return
    pytest.fail("there was no report to read")
