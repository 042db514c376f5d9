"""AUC and its error from counts are those of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from detectors import roc
from detectors.layout import UNDERFLOW, Column, slots_of_numeric
from detectors.score_grid import EDGES

COLUMN = Column("score", "scored", "numeric", EDGES)
scores = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(-1e5, 1e5))
rows = st.lists(st.tuples(st.booleans(), scores), min_size=1, max_size=60)


def slots_of(score: np.ndarray) -> np.ndarray:
    return slots_of_numeric(COLUMN, np.asarray(score, dtype=np.float64)) - UNDERFLOW


def counted(score: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts of the scores of positives and of negatives."""
    bins = slots_of(score)
    positive, negative = (
        np.bincount(bins[truth == side], minlength=len(EDGES) + 1) for side in (True, False)
    )
    return positive, negative


@given(rows)
def test_it_is_the_share_of_pairs_in_order_of_what_can_be_told_apart(drawn: list[tuple[bool, float]]) -> None:
    truth, score = np.array([t for t, _ in drawn]), np.array([s for _, s in drawn])
    bins = slots_of(score)
    pairs = [(a > b) + (a == b) / 2 for a in bins[truth] for b in bins[~truth]]
    found = float(roc.auc_of_bins(*counted(score, truth)))
    assert found == (
        pytest.approx(np.mean(pairs), abs=1e-12) if pairs else pytest.approx(np.nan, nan_ok=True)
    )


@given(rows)
def test_its_variance_is_delongs(drawn: list[tuple[bool, float]]) -> None:
    truth, score = np.array([t for t, _ in drawn]), np.array([s for _, s in drawn])
    bins = slots_of(score)
    up, down = bins[truth], bins[~truth]
    found = float(roc.delong_variance(*counted(score, truth)))
    if min(len(up), len(down)) < 2:
        assert np.isnan(found)
        return
    wins = (up[:, None] > down) + (up[:, None] == down) / 2
    said = wins.mean(axis=1).var(ddof=1) / len(up) + wins.mean(axis=0).var(ddof=1) / len(down)
    assert found == pytest.approx(said, abs=1e-12)


@pytest.mark.parametrize(
    ("centre", "spread", "apart"),
    [
        (0.0, 1.5, 1.5),
        (0.0, 0.1, 0.15),
        (-4.0, 0.7, 1.0),
        (-6.2, 0.4, 0.5),
        (-9.0, 0.5, 1.0),
        (3.0, 0.3, 0.5),
    ],
    ids=["wide", "all about 0.5", "2 %", "2 in 1,000", "1 in 10,000", "95 %"],
)
def test_binning_costs_less_than_a_thousandth(centre: float, spread: float, apart: float) -> None:
    rng = np.random.default_rng(1)
    truth = rng.random(100_000) < 0.3
    margin = centre + spread * rng.normal(size=len(truth)) + apart * truth
    points = 600 + 80 * (margin - centre) / spread
    for score in (1 / (1 + np.exp(-margin)), (margin - centre) / spread, points):
        assert float(roc.auc(*counted(score, truth))) == pytest.approx(roc_auc_score(truth, score), abs=1e-3)


def test_what_is_equal_is_tied_and_nothing_is_given_back_for_it() -> None:
    truth = np.arange(200) % 2 == 0
    assert float(roc.auc(*counted(np.full(200, 0.3), truth))) == 0.5
    steps = np.where(truth, 0.7, 0.3)
    steps[:20] = 1.0
    assert float(roc.auc(*counted(steps, truth))) == pytest.approx(roc_auc_score(truth, steps), abs=1e-12)


def test_zero_and_one_are_told_from_what_is_next_to_them() -> None:
    one, below, above = slots_of(np.array([1.0, np.nextafter(1.0, 0.0), np.nextafter(1.0, 2.0)]))
    assert below < one < above
    zero, negative = slots_of(np.array([0.0, -1e-9]))
    assert negative < zero


def test_its_error_is_how_far_it_goes() -> None:
    rng = np.random.default_rng(2)
    truth = np.arange(400) < 80
    found, errors = [], []
    for _ in range(2000):
        positive, negative = counted(1 / (1 + np.exp(-rng.normal(size=400) - 1.4 * truth)), truth)
        found.append(float(roc.auc(positive, negative)))
        errors.append(float(roc.delong_variance(positive, negative)))
    assert np.mean(errors) == pytest.approx(np.var(found), rel=0.12)
    usual = float(roc.usual_variance(float(np.mean(found)), np.array(80.0), np.array(320.0)))
    assert usual == pytest.approx(np.var(found), rel=0.12)


@pytest.mark.parametrize("together", [1, 5])
def test_rows_that_come_together_scatter_as_much_as_there_are_of_them(together: int) -> None:
    rng = np.random.default_rng(3)
    groups, in_each = 400, 6
    truth = rng.random((groups, in_each)) < 0.4
    score = 1 / (1 + np.exp(-rng.normal(size=truth.shape) - truth))
    by_group = [
        counted(np.repeat(s, together), np.repeat(t, together)) for s, t in zip(score, truth, strict=True)
    ]
    positive, negative = (np.array(side) for side in zip(*by_group, strict=True))
    assert roc.scatter(positive, negative) == pytest.approx(together, rel=0.15)


def test_without_both_classes_nothing_is_known() -> None:
    one_class = counted(np.array([0.2, 0.4]), np.array([True, True]))
    assert np.isnan(roc.auc(*one_class))
    assert np.isnan(roc.delong_variance(*one_class))
    assert roc.scatter(one_class[0][None], one_class[1][None]) == 1.0
