"""AUC and calibration of windows follow from integer counts of labels, however these came."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from detectors.layout import Column, Layout, slots_of_numeric
from detectors.quality import calibration_error
from detectors.score_grid import EDGES
from detectors.slide import sliding_sum
from seawall.monitor import DAY_US, HOUR_US, MonitorSpec
from seawall.wire import encode
from streams.core.decode import gather
from streams.core.losses import SCORED, LossRule, losses_of, rule_for
from streams.core.promises import PROMISE_SHARE, judge_promises
from streams.core.series import WindowBatch
from streams.core.verdicts import ColumnVerdict, Verdict
from tests.streams.core.builders import MINUTE, T0
from tests.streams.core.test_losses import counted, event, labels, named, spelt
from tests.streams.core.test_promises import pages

BOTH = {"roc_auc": (">=", 0.85), "ece": ("<=", 0.05)}
RULE = LossRule(frozenset(SCORED), is_binary=True, positive="late")
LAYOUT = Layout.of(Column(name, "scored", "numeric", EDGES) for name in SCORED)
WIDTH = 24


def spec_of(**performance: tuple[str, float]) -> MonitorSpec:
    return MonitorSpec("m", pane_us=HOUR_US, horizons_us=(HOUR_US, DAY_US), performance=performance)


def batch_of(score: np.ndarray, truth: np.ndarray, hour: np.ndarray) -> WindowBatch:
    """Windows of a day over hours of labelled predictions."""
    panes = max(int(hour.max()) + 1, WIDTH)
    counts = np.zeros((panes, LAYOUT.slots), dtype=np.int64)
    for name, side in zip(SCORED, (True, False), strict=True):
        i = LAYOUT.index[f"scored/{name}"]
        slots = LAYOUT.first_slots[i] + slots_of_numeric(LAYOUT.columns[i], score[truth == side])
        np.add.at(counts, (hour[truth == side], slots), 1)
    windows, rows = sliding_sum(counts, WIDTH), np.bincount(hour, minlength=panes)
    n = len(windows)
    return WindowBatch(
        ("v1", "labels", LAYOUT.layout_id, ""), LAYOUT, "", WIDTH, WIDTH, sliding_sum(rows[:, None], WIDTH)[:, 0],
        np.ones(n), windows, np.full((n, 2, 4), np.nan), np.zeros((n, 0, 256), np.uint8), np.zeros(n, np.int32), rows,
        pane_counts=counts,
    )  # fmt: skip


def told(
    score: np.ndarray, truth: np.ndarray, **performance: tuple[str, float]
) -> tuple[Verdict, Sequence[ColumnVerdict]]:
    """What is said of one day."""
    hour = np.arange(len(score)) % WIDTH
    (said,) = judge_promises(spec_of(**performance), batch_of(score, truth, hour))
    return said.verdict, said.columns


@given(labels())
def test_a_score_is_counted_under_its_truth_and_nowhere_else(drawn: dict[str, Any]) -> None:
    (columns,) = gather("labels", [drawn])
    found = {name: values.tolist()[0] for name, values in losses_of(columns, RULE).items()}
    scores = {s["name"]: math.nan if s["value"] is None else s["value"] for s in drawn["scores"]}
    score = scores.get("late", next(iter(scores.values())) if len(scores) == 1 else math.nan)
    truth = spelt(drawn)
    wanted = {} if truth is None or math.isnan(score) else {SCORED[truth != "late"]: score}
    assert {name: value for name, value in found.items() if not math.isnan(value)} == wanted


def test_counts_are_equal_in_any_order() -> None:
    rng = np.random.default_rng(1)
    events = [
        event(
            label=str(rng.choice(["late", "on time"])),
            scores=named({"late": float(rng.random())}),
            ts=T0 + i % 3 * MINUTE,
        )
        for i in range(24)
    ]
    spec = MonitorSpec("m", performance=BOTH)
    in_order = counted([encode("label", e) for e in events], spec)
    shuffled = counted([encode("label", events[i]) for i in rng.permutation(24)], spec)
    assert in_order["counts"] == shuffled["counts"]
    assert {"scored/score_of_positives", "scored/score_of_negatives"} <= set(in_order["moments"])


def test_nothing_is_counted_where_neither_is_promised() -> None:
    assert not rule_for(MonitorSpec("m", performance={"accuracy": (">=", 0.9)}), None).names & {*SCORED}
    assert rule_for(MonitorSpec("m", performance={"ece": ("<=", 0.1)}), None).names == {*SCORED}


def test_what_is_told_is_what_the_rows_say() -> None:
    rng = np.random.default_rng(2)
    truth = rng.random(2400) < 0.4
    score = 1 / (1 + np.exp(-2 * rng.normal(size=2400) - 0.8 * truth))
    verdict, columns = told(score, truth, **BOTH)
    auc, ece = columns
    assert verdict is Verdict.DRIFT
    assert auc.value == pytest.approx(roc_auc_score(truth, score), abs=1e-3)
    assert auc.detail.startswith(f"ROC AUC {auc.value:.3g}, promised >= 0.85, chance alone ±0.0")
    assert auc.detail.endswith("2,400 labelled predictions")
    assert calibration_error(truth, score) - 0.05 < ece.value < calibration_error(truth, score)
    assert " beyond what chance adds, promised <= 0.05, chance alone ±0.0" in ece.detail


@pytest.mark.parametrize("truth", [np.ones(300, bool), np.zeros(300, bool), np.arange(300) < 9])
def test_too_few_of_a_class_say_nothing_of_ranks(truth: np.ndarray) -> None:
    assert told(np.full(300, 0.5), truth, roc_auc=(">=", 0.85)) == (Verdict.NOT_ENOUGH_DATA, ())


def test_constant_scores_rank_nothing_and_may_be_calibrated() -> None:
    truth = np.arange(600) % 5 == 0
    verdict, (auc,) = told(np.full(600, 0.2), truth, **BOTH)
    assert (verdict, auc.name, auc.value) == (Verdict.DRIFT, "roc_auc", 0.5)


def test_a_score_that_is_no_probability_has_ranks_and_no_calibration() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(1200) < 0.4
    margin = rng.normal(size=1200) + 0.5 * truth
    assert told(margin, truth, ece=("<=", 0.05)) == (Verdict.NOT_ENOUGH_DATA, ())
    verdict, (auc,) = told(margin, truth, **BOTH)
    assert (verdict, auc.name) == (Verdict.DRIFT, "roc_auc")
    assert auc.value == pytest.approx(roc_auc_score(truth, margin), abs=2e-3)


def test_scores_that_are_missing_are_no_labelled_predictions() -> None:
    rng = np.random.default_rng(4)
    truth, score = rng.random(1200) < 0.4, rng.random(1200)
    score[::2] = np.nan
    _, (auc,) = told(score, truth, roc_auc=(">=", 0.85))
    assert auc.detail.endswith("600 labelled predictions")


@pytest.mark.parametrize("labels_in_all", [30, 100, 1000])
def test_a_calibrated_model_keeps_its_promise_however_few_labels_there_are(labels_in_all: int) -> None:
    rng = np.random.default_rng(5)
    said = []
    for _ in range(200):
        score = rng.random(labels_in_all)
        said.append(told(score, rng.random(labels_in_all) < score, ece=("<=", 0.02))[0])
    assert said.count(Verdict.DRIFT) == 0
    assert said.count(Verdict.WARNING) <= 10


#: As many pages as a budget of one would have in sixteen times as many days.
BUDGET, DAYS = 16.0, 200


@pytest.mark.parametrize("together", [1, 5], ids=["independent", "in fives"])
@pytest.mark.parametrize(("rate", "auc"), [(0.3, 0.85), (0.04, 0.85), (0.1, 0.97)])
def test_an_auc_that_is_just_kept_pages_within_its_share_of_the_budget(
    rate: float, auc: float, together: int
) -> None:
    rng = np.random.default_rng(6)
    n = DAYS * 24 * 50 // together
    truth = rng.random(n) < rate
    score = 1 / (1 + np.exp(-rng.normal(size=n) - math.sqrt(2) * norm.ppf(auc) * truth))
    is_within(score, truth, together, roc_auc=(">=", auc))


@pytest.mark.parametrize("together", [1, 5], ids=["independent", "in fives"])
@pytest.mark.parametrize("rate", [0.3, 0.03])
def test_a_calibration_that_is_just_kept_pages_within_its_share_of_the_budget(
    rate: float, together: int
) -> None:
    rng = np.random.default_rng(7)
    n = DAYS * 24 * 50 // together
    score = 1 / (1 + np.exp(-1.5 * rng.normal(size=n) - math.log(rate / (1 - rate))))
    real = score * 0.9
    is_within(score, rng.random(n) < real, together, ece=("<=", float((score - real).mean())))


def is_within(score: np.ndarray, truth: np.ndarray, together: int, **promised: tuple[str, float]) -> None:
    per_hour = 50 // together
    hour = np.repeat(np.arange(len(score) // per_hour), per_hour * together)
    monitor = MonitorSpec(
        "m", pane_us=HOUR_US, horizons_us=(HOUR_US, DAY_US), performance=promised, false_pages=BUDGET
    )
    batch = batch_of(np.repeat(score, together), np.repeat(truth, together), hour)
    found = pages([v.verdict for v in judge_promises(monitor, batch)])
    allowed = PROMISE_SHARE * BUDGET * DAYS / 30
    assert found <= allowed + 2 * np.sqrt(allowed)
