"""Thresholds for a stated rate, and what textbook limits do instead."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from detectors.classic.calibrate import Calibration, null_counts, null_places
from detectors.layout import Column
from detectors.registry import column_detector, window_detector


def ar1(rng: np.random.Generator, n: int, rho: float = 0.7) -> np.ndarray:
    return lfilter([np.sqrt(1 - rho**2)], [1, -rho], rng.normal(size=n + 100))[100:]


def test_textbook_ks_alarms_at_its_level_on_independent_values_and_far_above_it_on_correlated_ones():
    rng = np.random.default_rng(1)
    independent = window_detector("ks", rng.normal(size=5000))
    assert 0.02 < np.mean([independent.alarm(rng.normal(size=300)) for _ in range(400)]) < 0.09
    correlated = window_detector("ks", ar1(rng, 5000))
    assert np.mean([correlated.alarm(ar1(rng, 300)) for _ in range(400)]) > 0.2


def test_blocks_hold_the_rate_on_correlated_values():
    rng = np.random.default_rng(2)
    calibration = Calibration(0.05, 299, block=60)
    detector = window_detector("ks", ar1(rng, 12_000), calibration=calibration, rows=300)
    assert np.mean([detector.alarm(ar1(rng, 300)) for _ in range(300)]) < 0.11


def test_a_threshold_is_the_same_every_time_and_falls_with_the_size_of_the_window():
    reference = np.random.default_rng(3).normal(size=1000)
    one, two = (window_detector("psi", reference, calibration=Calibration(0.05, 199)) for _ in range(2))
    sizes = [10, 100, 1000]
    assert [one.threshold(n) for n in sizes] == [two.threshold(n) for n in reversed(sizes)][::-1]
    assert one.threshold(10) > one.threshold(100) > one.threshold(1000)


def test_a_size_between_two_is_held_to_the_threshold_of_the_smaller():
    detector = window_detector("psi", np.arange(100.0), calibration=Calibration(0.05, 99), rows=110)
    assert detector.threshold(100) == detector.threshold(96) != detector.threshold(110)


def test_counts_and_values_of_the_same_window_agree_for_statistics_of_bins():
    rng = np.random.default_rng(4)
    detector = window_detector("g_test", rng.normal(size=500), threshold=20.0)
    window = rng.normal(1.0, 1.0, 100)
    from detectors.layout import slots_of_numeric

    column = detector._known_column
    slots = np.bincount(slots_of_numeric(column, window), minlength=column.slots)
    assert detector.counts_value(slots).item() == detector.value(window)
    assert detector.counts_alarm([slots, 0 * slots]).tolist() == [True, False]


def test_a_reference_spreads_its_own_uncertainty_over_the_windows_drawn():
    drawn = null_counts(np.array([50.0, 50.0]), 1000, 4000, np.random.default_rng(5))[:, 0] / 1000
    assert np.var(drawn) == pytest.approx(0.25 * (1 / 1000 + 1 / 101), rel=0.1)


def test_blocks_keep_neighbours_together():
    places = next(null_places(100, 40, 1, 10, np.random.default_rng(6)))
    assert np.count_nonzero((np.diff(places) % 100) == 1) >= 36


def test_blocks_need_a_sample_in_its_order():
    column = Column("x", "feature", "numeric", (0.0, 1.0))
    with pytest.raises(ValueError, match=r"^block: needs the reference as a sample"):
        column_detector("psi", column, [0, 0, 0, 9, 0], calibration=Calibration(block=5))


def test_counts_that_do_not_fit_the_column_are_refused():
    column = Column("x", "feature", "numeric", (0.0, 1.0))
    with pytest.raises(ValueError, match=r"^slots: "):
        column_detector("psi", column, [1, 2])
