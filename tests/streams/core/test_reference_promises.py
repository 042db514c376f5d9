"""A promise is held against the windows of the reference that it was taken from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.baseline import Baseline
from seawall.frames import Categorical, Columns
from seawall.monitor import DAY_US, HOUR_US, MonitorSpec
from seawall.monitor_yaml.template import monitor_template
from seawall.monitor_yaml.traffic import Scatter, promises_for
from streams.core.build_baseline import build_baseline
from streams.core.promises import score_limit
from streams.core.reference_promises import broken_in, in_words, scatter_in
from tests.scenarios import test_losses_story as losses
from tests.streams.core.builders import T0

SPEC = MonitorSpec("m", pane_us=HOUR_US, horizons_us=(6 * HOUR_US, DAY_US))


def promising(bound: float, spec: MonitorSpec = SPEC) -> MonitorSpec:
    return MonitorSpec(
        spec.model,
        pane_us=spec.pane_us,
        horizons_us=spec.horizons_us,
        performance={"accuracy": (">=", bound)},
    )


def reference(wrong: np.ndarray, ts: np.ndarray) -> Baseline:
    """What a model said in some hours, wrong as often as given."""
    said = Categorical(np.zeros(len(ts), dtype=np.int32), ["no", "yes"])
    truth = Categorical(wrong.astype(np.int32), ["no", "yes"])
    columns = Columns("predictions", "m", "1", ts, label=said, numeric={"x": np.arange(len(ts), dtype=float)})
    return build_baseline(
        columns, model="m", version="1", labels=truth, task="binary_classification", pane_us=HOUR_US, now_us=0
    )


def of_days(rates: np.ndarray, seed: int, per_hour: int = 30) -> Baseline:
    rng = np.random.default_rng(seed)
    hours = np.repeat(np.arange(len(rates) * 24), per_hour)
    ts = T0 + hours * HOUR_US + np.sort(rng.integers(0, HOUR_US, (len(rates) * 24, per_hour)), axis=1).ravel()
    return reference(rng.random(len(ts)) < rates[hours // 24], ts)


def wandering(days: int, seed: int) -> np.ndarray:
    """Error rates around 18 % whose odds wander from day to day."""
    rng = np.random.default_rng(1000 + seed)
    return 1.0 / (1.0 + np.exp(1.5 + 0.35 * rng.normal(size=days)))


def promised(found: Baseline, scatter: Mapping[str, Scatter] | None = None) -> float:
    return float(promises_for(found, scatter)["accuracy"].removeprefix(">= "))


def test_a_promise_that_leaves_room_for_how_days_scatter_is_kept_by_the_days_that_follow() -> None:
    """Six models in 300 days each: what the budget leaves for promises is six pages."""
    usual, roomy = 0, 0
    for seed in range(6):
        rates = wandering(56 + 300, seed)
        before, after = of_days(rates[:56], seed), of_days(rates[56:], seed + 100)
        plain, kept = promised(before), promised(before, scatter_in(before, SPEC))
        usual += broken_in(after, promising(plain))["accuracy"].times
        roomy += broken_in(after, promising(kept))["accuracy"].times
        assert broken_in(before, promising(kept))["accuracy"].times == 0
        assert plain - 0.12 < kept < plain, "and it still says something"
    assert (usual > 48, roomy <= 12) == (True, True), (usual, roomy)


def test_where_days_differ_by_chance_alone_the_usual_room_is_enough() -> None:
    steady = of_days(np.full(56, 0.18), seed=1)
    scatter = scatter_in(steady, SPEC)
    assert promised(steady, scatter) == promised(steady)
    text = monitor_template("m", steady, scatter)
    assert f"accuracy {steady.performance['accuracy']:.4g}, and 0.7" in text
    assert " in its worst 1d. " in text
    assert "in its worst" not in monitor_template("m", steady)


def test_losses_that_should_be_low_are_given_room_upwards() -> None:
    found = Scatter(worst=0.31, kept=0.34561, horizon_us=DAY_US)
    assert (found.rounded("log_loss"), Scatter(0.5, 1.2, DAY_US).rounded("brier")) == ("0.3457", "1")
    low = replace(of_days(np.full(10, 0.2), seed=1), performance={"log_loss": 0.25})
    assert promises_for(low, {"log_loss": found}) == {"log_loss": "<= 0.3457"}
    assert promises_for(low, {"log_loss": replace(found, kept=0.26)}) == {"log_loss": "<= 0.3"}


def test_it_says_what_a_worker_says_of_the_same_rows() -> None:
    """Rows whose truths are turned over from the third day on, as baseline and as live traffic."""
    rows = losses.Rows(T0, 4 * 24, seed=1, flipped=0.15, from_hour=48)
    itself = build_baseline(
        rows.predictions(), model="m", version="v1", labels=rows.truth, task="binary_classification",
        pane_us=HOUR_US, now_us=0,
    )  # fmt: skip
    spec = losses.promising("accuracy", ">=", 0.82)
    pages = [s for s in losses.happens(rows, spec) if s.kind == "promise" and s.state == "open"]
    assert len(pages) == broken_in(itself, spec)["accuracy"].times == 1
    assert broken_in(itself, losses.promising("accuracy", ">=", 0.6))["accuracy"].times == 0


HOURS = st.lists(
    st.tuples(st.integers(0, 80), st.sampled_from([0.0, 0.1, 0.5, 1.0])), min_size=30, max_size=90
)


@given(HOURS, st.sampled_from([0.55, 0.7, 0.9]))
def test_it_counts_what_a_loop_over_windows_counts(hours: list[tuple[int, float]], bound: float) -> None:
    ts = np.concatenate([[T0], *(T0 + h * HOUR_US + np.arange(n) for h, (n, _) in enumerate(hours))])
    wrong = np.concatenate([[False], *(np.arange(n) < rate * n for n, rate in hours)])
    found = reference(wrong, ts.astype(np.int64))
    spec = promising(bound)
    hour = (ts - T0) // HOUR_US
    limit, last, broken, times, windows = score_limit(spec), -np.inf, 0, 0, 0
    for first in range(int(hour.max()) + 1 - 23):
        at = (hour >= first) & (hour < first + 24)
        n, mean = int(at.sum()), float(wrong[at].mean()) if at.any() else 0.0
        if n < spec.min_rows:
            continue
        windows += 1
        panes = [wrong[hour == h] for h in range(first, first + 24) if (hour == h).any()]
        spread = sum(len(p) * (p.mean() - mean) ** 2 for p in panes)
        v = mean * (1 - mean)
        scatter = max(spread / max(len(panes) - 1, 1) / v, 1.0) if v > 0 else 1.0
        error = np.sqrt(scatter * max(v, bound * (1 - bound)) / n)
        if mean - (1 - bound) > limit * error:
            broken += 1
            times += first - last > 24
            last = first
    said = broken_in(found, spec)
    if not windows:
        assert said == {}
        return
    assert (said["accuracy"].times, said["accuracy"].share) == (times, pytest.approx(broken / windows))


def test_of_what_the_reference_does_not_know_nothing_is_said() -> None:
    bare = build_baseline(
        Columns("predictions", "m", "1", T0 + np.arange(500) * HOUR_US, numeric={"x": np.arange(500.0)}),
        model="m", version="1", now_us=0,
    )  # fmt: skip
    untimed = reference(np.zeros(500, dtype=bool), np.zeros(500, dtype=np.int64))
    short = of_days(np.full(1, 0.2), seed=0)
    for found in (bare, untimed):
        assert broken_in(found, promising(0.8)) == scatter_in(found, SPEC) == {}
    weeks = MonitorSpec("m", pane_us=HOUR_US, horizons_us=(7 * DAY_US,))
    assert scatter_in(short, weeks) == {}


def test_what_was_broken_is_said_with_what_would_have_been_kept() -> None:
    found = of_days(wandering(56, 2), seed=2)
    spec = promising(0.8)
    (said,) = in_words(broken_in(found, spec), spec, scatter_in(found, spec))
    kept = scatter_in(found, spec)["accuracy"].rounded("accuracy")
    assert said.startswith(
        "promise.performance (accuracy >= 0.8): the reference itself would have broken it "
    )
    assert said.endswith(f"of its windows); >= {kept} would have been kept")
    assert " in 56 days (" in said
    assert in_words(broken_in(found, promising(float(kept))), promising(float(kept)), {}) == []
