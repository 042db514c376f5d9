"""A promise is broken when losses say so beyond chance, however often one looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detectors.layout import UNDERFLOW, Column, Layout
from detectors.moments import group_moments
from detectors.slide import sliding_sum
from seawall.monitor import DAY_US, HOUR_US, MonitorSpec
from streams.core.promises import PROMISE_SHARE, judge_promises, scatter_of, score_limit
from streams.core.series import WindowBatch
from streams.core.verdicts import Verdict

SPEC = MonitorSpec("m", pane_us=HOUR_US, horizons_us=(HOUR_US, DAY_US), performance={"accuracy": (">=", 0.9)})
LAYOUT = Layout((Column("error", "loss", "numeric", (0.0, 0.5, 1.0)),))
WIDTH = 24


def batch_of(wrong: np.ndarray, right: np.ndarray) -> WindowBatch:
    """Windows of a day over hours with so many errors, and so many predictions that were right."""
    counts = np.zeros((len(wrong), LAYOUT.slots), dtype=np.int64)
    counts[:, UNDERFLOW + 1], counts[:, UNDERFLOW + 2] = right, wrong
    windows = sliding_sum(counts, WIDTH)
    n, errors = windows.sum(axis=1), windows[:, UNDERFLOW + 2]
    moments = np.full((len(windows), 1, 4), np.nan)
    moments[:, 0, 0] = errors / n
    moments[:, 0, 1] = errors * (n - errors) / n
    return WindowBatch(
        ("v1", "labels", LAYOUT.layout_id, ""), LAYOUT, "", WIDTH, WIDTH, n, n.astype(float), windows, moments,
        np.zeros((len(windows), 0, 256), np.uint8), np.zeros(len(windows), np.int32), counts.sum(axis=1),
        pane_counts=counts,
    )  # fmt: skip


def verdicts(wrong: np.ndarray, right: np.ndarray, spec: MonitorSpec = SPEC) -> list[Verdict]:
    return [v.verdict for v in judge_promises(spec, batch_of(wrong, right))]


def pages(said: list[Verdict]) -> int:
    """Alarms of a single window each, which is more than the two in a row that it takes."""
    drifted = np.array([v is Verdict.DRIFT for v in said])
    return int(np.count_nonzero(drifted[1:] & ~drifted[:-1])) + int(drifted[0])


@pytest.mark.parametrize("together", [1, 5], ids=["independent", "in fives"])
def test_a_promise_that_is_just_kept_pages_within_its_share_of_the_budget(together: int) -> None:
    rng = np.random.default_rng(1)
    days = 6000
    wrong = rng.binomial(50 // together, 0.1, size=days * 24) * together
    found = pages(verdicts(wrong, 50 - wrong))
    allowed = PROMISE_SHARE * days / 30
    assert found <= allowed + 2 * np.sqrt(allowed)
    # The limit is no wider than it needs to be: a tenth of what it allows is reached.
    assert found >= allowed / 10


def test_the_moments_of_the_test_are_those_of_the_rows() -> None:
    batch = batch_of(np.full(WIDTH, 2), np.full(WIDTH, 8))
    values = np.repeat([1.0, 0.0], [2 * WIDTH, 8 * WIDTH])
    _, moments = group_moments(values, np.zeros(len(values)), 1)
    assert batch.moments[0, 0, :2] == pytest.approx(moments[0, :2])


def test_one_that_is_broken_by_more_than_chance_is_told_with_what_was_promised() -> None:
    wrong, right = np.full(WIDTH, 9), np.full(WIDTH, 41)
    (said,) = judge_promises(SPEC, batch_of(wrong, right))
    (column,) = said.columns
    assert said.verdict is Verdict.DRIFT
    assert column.detail == (
        "accuracy 0.82, promised >= 0.9, chance alone ±0.022, 1,200 labelled predictions"
    )
    assert column.value == pytest.approx(0.82)
    assert column.value < column.limit < 0.9


def test_a_little_beyond_the_bound_is_a_warning_and_too_few_say_nothing() -> None:
    assert verdicts(np.full(WIDTH, 6), np.full(WIDTH, 42)) == [Verdict.WARNING]
    assert verdicts(np.full(WIDTH, 5), np.full(WIDTH, 45)) == [Verdict.STABLE]
    assert verdicts(np.full(WIDTH, 1), np.zeros(WIDTH, int)) == [Verdict.NOT_ENOUGH_DATA]


def test_nothing_is_said_of_segments_shorter_windows_or_metrics_that_are_no_means() -> None:
    batch = batch_of(np.full(WIDTH, 9), np.full(WIDTH, 41))
    key = batch.key
    assert judge_promises(SPEC, replace(batch, key=(*key[:3], "plan=pro"))) == []
    assert judge_promises(replace(SPEC, horizons_us=(DAY_US, 2 * DAY_US)), batch) == []
    assert judge_promises(replace(SPEC, performance={"roc_auc": (">=", 0.9)}), batch) == []


def test_rows_that_come_together_scatter_as_much_as_there_are_of_them() -> None:
    rng = np.random.default_rng(2)
    wrong = rng.binomial(20, 0.2, size=4000) * 5
    counts = np.zeros((4000, LAYOUT.slots), dtype=np.int64)
    counts[:, UNDERFLOW + 1], counts[:, UNDERFLOW + 2] = 100 - wrong, wrong
    assert scatter_of(counts, (0.0, 0.5, 1.0), 4000)[0] == pytest.approx(5.0, rel=0.1)


def test_more_promises_and_a_smaller_budget_ask_for_more() -> None:
    two = replace(SPEC, performance={"accuracy": (">=", 0.9), "brier": ("<=", 0.1)})
    assert score_limit(SPEC) < score_limit(two) < score_limit(replace(two, false_pages=0.1))
