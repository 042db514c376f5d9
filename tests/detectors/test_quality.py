import numpy as np
import pytest
from sklearn import metrics

from detectors import quality


def scored(rows: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    score = np.round(rng.random(rows), 2)  # rounded, so that there are ties
    return rng.random(rows) < score, score


def test_binary_metrics_agree_with_scikit_learn() -> None:
    truth, score = scored()
    assert quality.roc_auc(truth, score) == pytest.approx(metrics.roc_auc_score(truth, score))
    assert quality.log_loss(truth, score) == pytest.approx(
        metrics.log_loss(truth, np.clip(score, 1e-15, 1 - 1e-15))
    )
    assert quality.brier(truth, score) == pytest.approx(metrics.brier_score_loss(truth, score))


def test_calibration_error_of_a_coin_called_at_nine_in_ten_is_four_tenths() -> None:
    truth = np.arange(1000) % 2 == 0
    assert quality.calibration_error(truth, np.full(1000, 0.9)) == pytest.approx(0.4)


def test_regression_metrics_agree_with_their_formulas() -> None:
    truth, prediction = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 6.0])
    assert quality.rmse(truth, prediction) == pytest.approx(np.sqrt(3))
    assert quality.mae(truth, prediction) == pytest.approx(1.0)


def test_class_log_loss_of_even_odds_is_log_of_the_number_of_classes() -> None:
    assert quality.log_loss_of_classes(np.array([0, 1, 2]), np.full((3, 3), 1 / 3)) == pytest.approx(
        np.log(3)
    )


def test_metrics_of_nothing_are_not_a_number() -> None:
    none, empty = np.empty(0, dtype=bool), np.empty(0)
    for metric in (quality.roc_auc, quality.log_loss, quality.brier, quality.calibration_error):
        assert np.isnan(metric(none, empty))
    assert np.isnan(quality.rmse(empty, empty))
    assert np.isnan(quality.mae(empty, empty))
    assert np.isnan(quality.log_loss_of_classes(np.empty(0, dtype=np.intp), np.empty((0, 2))))


def test_roc_auc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(quality.roc_auc(np.array([True, True]), np.array([0.1, 0.2])))
