"""The calibration error from counts is that of the rows, and what chance adds to it is taken off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.calibration_gap import are_outside, calibration_gap, scatter
from detectors.quality import calibration_error
from tests.detectors.test_roc import counted

rows = st.lists(
    st.tuples(st.booleans(), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0]))), min_size=1, max_size=60
)


@given(rows)
def test_it_is_that_of_the_rows_up_to_what_binning_can_cost(drawn: list[tuple[bool, float]]) -> None:
    truth, score = np.array([t for t, _ in drawn]), np.array([s for _, s in drawn])
    gap = calibration_gap(*counted(score, truth))
    # Where a score is within rounding of a fifteenth, which of two bins it is in is a matter of how one divides.
    is_edge = np.abs(score * 15 - np.round(score * 15)) < 1e-9
    if not is_edge[(score > 0) & (score < 1)].any():
        assert abs(float(gap.plain) - calibration_error(truth, score)) <= float(gap.blur) + 1e-12
    assert 0 <= float(gap.blur) <= 0.0054


def test_of_many_scores_binning_costs_nothing_that_matters() -> None:
    rng = np.random.default_rng(1)
    score = rng.beta(2, 5, 100_000)
    truth = rng.random(len(score)) < score**1.3
    assert float(calibration_gap(*counted(score, truth)).plain) == pytest.approx(
        calibration_error(truth, score), abs=1e-4
    )


@pytest.mark.parametrize("labels", [30, 300, 3000])
def test_of_a_calibrated_model_chance_adds_all_that_there_is(labels: int) -> None:
    rng = np.random.default_rng(2)
    scores = rng.random((2000, labels))
    truths = rng.random(scores.shape) < scores
    positive, negative = (
        np.array(side) for side in zip(*map(counted, scores, truths), strict=True)
    )  # fmt: skip
    gap = calibration_gap(positive, negative)
    left = gap.plain - gap.bias
    assert left.mean() < 0.0 < gap.plain.mean()
    # It is on the safe side, and not by much.
    assert left.mean() > -0.35 * gap.plain.mean()
    assert (left > 1.645 * gap.error).mean() <= 0.05
    assert left.std() <= gap.error.mean()


def test_a_gap_in_every_bin_is_found_whole() -> None:
    rng = np.random.default_rng(3)
    score = rng.uniform(0.2, 0.8, 50_000)
    truth = rng.random(len(score)) < score - 0.1
    gap = calibration_gap(*counted(score, truth))
    assert float(gap.plain - gap.bias) == pytest.approx(0.1, abs=0.02)
    assert float(gap.plain - gap.bias - gap.blur) > 0.08


@pytest.mark.parametrize("outside", [-0.1, 1.0001, 7.0])
def test_a_score_that_is_no_probability_leaves_nothing_to_say(outside: float) -> None:
    of = counted(np.array([0.3, 0.6, outside]), np.array([True, False, True]))
    assert int(are_outside(*of)) == 1
    assert np.isnan(calibration_gap(*of).plain)


@pytest.mark.parametrize("together", [1, 5])
def test_rows_that_come_together_scatter_as_much_as_there_are_of_them(together: int) -> None:
    rng = np.random.default_rng(4)
    score = rng.random((400, 20))
    truth = rng.random(score.shape) < score
    by_group = [
        counted(np.repeat(s, together), np.repeat(t, together)) for s, t in zip(score, truth, strict=True)
    ]
    positive, negative = (np.array(side) for side in zip(*by_group, strict=True))
    assert scatter(positive, negative) == pytest.approx(together, rel=0.15)


def test_a_shock_of_all_bins_of_a_group_scatters_further_than_each_of_them() -> None:
    rng = np.random.default_rng(5)
    score = rng.random((300, 60))
    shock = rng.choice([-1.5, 1.5], size=(300, 1))
    margin = np.log(score / (1 - score)) + shock
    truth = rng.random(score.shape) < 1 / (1 + np.exp(-margin))
    positive, negative = (np.array(side) for side in zip(*map(counted, score, truth), strict=True))
    assert scatter(positive, negative) > 5


def test_nothing_is_known_of_no_labels() -> None:
    assert np.isnan(calibration_gap(*counted(np.empty(0), np.empty(0, dtype=bool))).plain)
