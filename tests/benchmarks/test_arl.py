"""The benchmark of quiet traffic plays both of its rules: the one in force, and the one that was replaced."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.detection.arl import QUIET, delays, false_pages
from benchmarks.detection.traffic import Fault, with_features


def test_both_rules_are_quiet_for_a_week_of_independent_rows_and_page_for_a_wrong_unit() -> None:
    traffic = replace(with_features(QUIET[0], 3), rows=60.0)
    assert false_pages(traffic, 7, 1, baseline_days=14) == {"window rule": 0, "evidence": 0}
    found = delays(traffic, Fault("unit", 1000.0, 0), 1, traffic.baseline(14, 1))
    assert set(found) == {"window rule", "evidence"}
    assert all(0 < hours <= 3 for (hours,) in found.values())
