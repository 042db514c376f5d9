"""Laws that every classic detector obeys, whatever its formula."""

from __future__ import annotations

import json
import math

import numpy as np
import numpy.typing as npt
import pytest

from detectors.classic.calibrate import Calibration
from detectors.classic.stream import STREAMS
from detectors.layout import Column
from detectors.registry import (
    RiverStream,
    column_detector,
    statistic,
    stream_detector,
    stream_names,
    window_detector,
    window_names,
)

Floats = npt.NDArray[np.float64]
RATE, WINDOWS, ROWS, RESAMPLES = 0.05, 500, 200, 599
COLOURS = Column("colour", "feature", "categorical", categories=("red", "green", "blue"))
UNORDERED = [name for name in window_names() if not statistic(name).needs_order]


def allowed(rate: float = RATE) -> tuple[float, float]:
    """Four standard errors: of the share of windows, and of a threshold that is itself a drawn quantile."""
    error = math.sqrt(rate * (1 - rate) * (1 / WINDOWS + 1 / RESAMPLES))
    return rate - 4 * error, rate + 4 * error


@pytest.fixture(scope="module")
def reference() -> Floats:
    return np.random.default_rng(1).normal(size=4000)


@pytest.mark.parametrize("name", window_names())
def test_calibrated_on_samples_it_alarms_at_the_stated_rate(name: str, reference: Floats):
    detector = window_detector(name, reference, calibration=Calibration(RATE, RESAMPLES, seed=2), rows=ROWS)
    rng = np.random.default_rng(3)
    rate = np.mean([detector.alarm(rng.normal(size=ROWS)) for _ in range(WINDOWS)])
    low, high = allowed()
    assert low <= rate <= high


@pytest.mark.parametrize("name", UNORDERED)
def test_calibrated_on_counts_it_alarms_at_the_stated_rate(name: str):
    rng = np.random.default_rng(4)
    share = [0.0, 0.0, 0.5, 0.3, 0.2]
    detector = column_detector(
        name, COLOURS, rng.multinomial(20_000, share), calibration=Calibration(RATE, RESAMPLES), rows=ROWS
    )
    rate = detector.counts_alarm(rng.multinomial(ROWS, share, WINDOWS)).mean()
    low, high = allowed()
    assert low <= rate <= high


@pytest.mark.parametrize("name", window_names())
def test_a_shift_of_half_a_standard_deviation_is_seen_in_nearly_every_window(name: str, reference: Floats):
    detector = window_detector(name, reference, calibration=Calibration(RATE, RESAMPLES, seed=2), rows=ROWS)
    rng = np.random.default_rng(5)
    assert np.mean([detector.alarm(rng.normal(0.5, 1.0, ROWS)) for _ in range(100)]) >= 0.9


@pytest.mark.parametrize("name", window_names())
def test_neither_reference_nor_window_is_changed_and_order_inside_a_window_is_irrelevant(
    name: str, reference: Floats
):
    given, window = reference[:500].copy(), np.random.default_rng(6).normal(size=100)
    before = given.copy(), window.copy()
    detector = window_detector(name, given)
    value = detector.value(window)
    np.testing.assert_array_equal(given, before[0])
    np.testing.assert_array_equal(window, before[1])
    assert detector.value(np.sort(window)) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("name", window_names())
def test_values_that_are_not_finite_are_left_out_and_an_empty_window_is_quiet(name: str, reference: Floats):
    detector = window_detector(name, reference[:500])
    window = np.random.default_rng(7).normal(size=100)
    holed = np.concatenate([window, [np.nan, np.inf, -np.inf]])
    assert detector.value(holed) == detector.value(window)
    for empty in ([], [np.nan, np.inf]):
        assert math.isnan(detector.value(empty))
        assert not detector.alarm(empty)


@pytest.mark.parametrize("name", window_names())
@pytest.mark.parametrize("calibration", [None, Calibration(0.05, 99)])
def test_a_constant_column_alarms_only_when_it_changes(name: str, calibration: Calibration | None):
    detector = window_detector(name, np.full(200, 3.0), calibration=calibration)
    assert not detector.alarm(np.full(50, 3.0))
    assert detector.alarm(np.full(50, 4.0))


@pytest.mark.parametrize("name", window_names())
def test_a_wrong_parameter_is_rejected_by_name(name: str):
    values = np.arange(20.0)
    for field, options in {
        "threshold": {"threshold": -1.0},
        "bins": {"bins": 1},
        "rows": {"rows": 0},
    }.items():
        with pytest.raises(ValueError, match=f"^{field}:"):
            window_detector(name, values, **options)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ValueError, match=r"^reference:"):
        window_detector(name, [np.nan])
    with pytest.raises(ValueError, match=r"^threshold: is given together"):
        window_detector(name, values, threshold=1.0, calibration=Calibration())


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("rate", {"rate": 0.0}),
        ("rate", {"rate": 0.6}),
        ("block", {"block": 0}),
        ("resamples", {"resamples": 9}),
    ],
)
def test_a_calibration_that_cannot_work_is_rejected_by_name(field: str, options: dict[str, float]):
    with pytest.raises(ValueError, match=f"^{field}:"):
        Calibration(**options)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("name", [n for n in window_names() if statistic(n).needs_order])
def test_a_statistic_of_order_refuses_categories(name: str):
    with pytest.raises(ValueError, match="needs an order"):
        column_detector(name, COLOURS, [0, 0, 1, 1, 1])


def values_for(name: str, rng: np.random.Generator, n: int, level: float) -> list[float]:
    """Errors at a rate, or normal values around a mean that tells the same story."""
    if STREAMS[name].takes_errors:
        return (rng.random(n) < level).astype(float).tolist()
    return rng.normal(10 * level, 1.0, n).tolist()


@pytest.mark.parametrize("name", stream_names())
def test_a_stream_detector_sees_a_gross_change_within_five_hundred_values(name: str):
    rng = np.random.default_rng(8)
    detector = stream_detector(name)
    for x in values_for(name, rng, 1000, 0.1):
        detector.update(x)
    assert any(detector.update(x) for x in values_for(name, rng, 500, 0.6))


@pytest.mark.parametrize("name", stream_names())
def test_a_constant_stream_never_signals(name: str):
    detector = stream_detector(name)
    assert not any(detector.update(0.0) for _ in range(500))


@pytest.mark.parametrize("name", stream_names())
def test_a_stream_detector_skips_and_counts_what_is_not_finite(name: str):
    clean, holed = stream_detector(name), stream_detector(name)
    values = values_for(name, np.random.default_rng(9), 600, 0.3)
    assert [clean.update(x) for x in values] == [
        holed.update(x) for x in values if not holed.update(math.nan) and not holed.update(math.inf)
    ]
    assert holed.skipped == 1200


@pytest.mark.parametrize("name", stream_names())
def test_a_snapshot_in_mid_stream_continues_with_the_same_output(name: str):
    rng = np.random.default_rng(10)
    values = [x for level in (0.1, 0.5, 0.2) for x in values_for(name, rng, 250, level)]
    whole = stream_detector(name)
    expected = [whole.update(x) for x in values]
    for at in (1, 160, 520):
        first = stream_detector(name)
        head = [first.update(x) for x in values[:at]]
        saved = first.snapshot()
        if not STREAMS[name].has_snapshot:
            assert saved is None
            return
        second = RiverStream.restore(json.loads(json.dumps(saved, allow_nan=False)))
        assert head + [second.update(x) for x in values[at:]] == expected


@pytest.mark.parametrize("name", stream_names())
def test_a_stream_detector_rejects_an_unknown_parameter_by_name(name: str):
    with pytest.raises(ValueError, match=r"^colour: is no parameter of"):
        stream_detector(name, colour=1)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("adwin", "delta", 0.0),
        ("kswin", "window_size", 0),
        ("page_hinkley", "threshold", -1.0),
        ("ddm", "warm_start", 0),
        ("eddm", "alpha", 2.0),
        ("hddm_a", "drift_confidence", 0.0),
        ("hddm_w", "lambda_val", 0.0),
    ],
)
def test_a_stream_detector_rejects_a_wrong_parameter_by_name(name: str, field: str, value: float):
    with pytest.raises(ValueError, match=f"^{field}:"):
        stream_detector(name, **{field: value})


@pytest.mark.parametrize("name", [n for n in stream_names() if STREAMS[n].takes_errors])
def test_a_detector_of_errors_refuses_what_is_no_error(name: str):
    with pytest.raises(ValueError, match=r"^x: 3"):
        stream_detector(name).update(3.0)


@pytest.mark.parametrize("make", [lambda: stream_detector("adwn"), lambda: statistic("pssi")])
def test_a_name_that_is_not_there_is_answered_with_a_likely_one(make):
    with pytest.raises(ValueError, match=r"did you mean (adwin|psi)\?"):
        make()
