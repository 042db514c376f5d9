"""Every formula of the evidence against a slow, obvious version of it."""

from __future__ import annotations

import json
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from detectors.evidence.accumulate import BETS, MOST, Accumulator, memory_of
from detectors.evidence.limits import (
    LEAST_BLOCKS,
    WIDENED,
    score_limit,
    tail_limit,
    union_limit,
    widening,
)
from detectors.evidence.scale import (
    LEAST_CHANCE,
    UNKNOWN_MEAN,
    UNKNOWN_STD,
    fit_scale,
    folds_of,
    unknown_scale,
)
from detectors.evidence.shares import share_at_chance, share_chance, share_discrepancy


def test_a_share_discrepancy_is_twice_the_relative_entropy_of_two_coins():
    for x, p0, m in [(0.2, 0.1, 500.0), (0.0, 0.3, 10.0), (1.0, 0.0, 50.0), (0.07, 0.07, 1e6)]:
        p = (m * p0 + 0.5) / (m + 1)
        entropy = sum(a * math.log(a / b) for a, b in ((x, p), (1 - x, 1 - p)) if a > 0)
        assert share_discrepancy(x, p0, m) == pytest.approx(2 * entropy, abs=1e-12)


def test_what_cannot_be_scored_is_nan_without_a_warning():
    # Of a constant column nothing is chance, and a window without values has no discrepancy.
    score = unknown_scale(3).score(np.array([[0.0, np.nan, 0.1]]), np.array([[0.0, 0.1, 0.1]]))
    assert np.isnan(score).tolist() == [[True, True, False]]


def test_no_share_of_independent_rows_goes_further_than_chernoff_allows():
    n, p, seen = 50, 0.03, np.arange(51)
    d = share_discrepancy(seen / n, p, np.inf)
    for k in range(2, 51):
        assert stats.binom.sf(k - 1, n, p) <= math.exp(-n * d[k] / 2) * (1 + 1e-9)


def test_the_line_of_a_share_is_that_of_chi_squared():
    assert share_chance([100, 0]).tolist() == pytest.approx(
        [stats.chi2.ppf(0.95, 1) / 100, stats.chi2.ppf(0.95, 1)]
    )


def naive_line(d: list[float], c: list[float]) -> tuple[float, float]:
    """A line through d over c with weights 1/c², bounded: that is d/c over 1/c, and through the mean of both."""
    inverse, ratio = [1 / x for x in c], [y / x for x, y in zip(c, d, strict=True)]
    at, height = statistics.fmean(inverse), statistics.fmean(ratio)
    if (
        max(inverse) - min(inverse) < 1e-9
    ):  # windows of one size tell nothing: half of what is more than chance
        b = max(height - LEAST_CHANCE, 0.0) / at / 2
    else:
        b = float(np.polyfit(inverse, ratio, 1)[0])
    b = min(max(b, 0.0), max(height - LEAST_CHANCE, 0.0) / at)
    return max(height - b * at, LEAST_CHANCE), b


def naive_scale(
    d: np.ndarray, c: np.ndarray, fold: list[int], effective: float, family: list[int]
) -> list[tuple[float, float, float, float]]:
    """(3) and (4), a quantity and a window at a time; no window is left out."""
    fitted = []
    for q in range(d.shape[1]):
        a, b = naive_line(d[:, q].tolist(), c[:, q].tolist())
        left = [d[w, q] - a * c[w, q] - b for w in range(len(d))]
        means = [
            statistics.fmean(x for x, f in zip(left, fold, strict=True) if f == k) for k in sorted(set(fold))
        ]
        b += 2 * statistics.stdev(means) / math.sqrt(len(means))
        y = [(d[w, q] / (a * c[w, q] + b)) ** (1 / 3) for w in range(len(d))]
        fitted.append((a, b, statistics.fmean(y), statistics.pvariance(y)))
    scales = []
    for q, (a, b, mean, variance) in enumerate(fitted):
        usual = statistics.fmean(fitted[k][3] for k in range(len(fitted)) if family[k] == family[q])
        shrunk = (effective * variance + 12 * usual) / (effective + 12)
        scales.append((a, b, mean, max(math.sqrt(shrunk), 0.05 * max(mean, 1.0))))
    return scales


@pytest.mark.parametrize("sizes", ["many", "one"])
def test_a_scale_is_the_weighted_line_and_the_moments_of_cube_roots(sizes: str):
    rng = np.random.default_rng(13)
    n = rng.integers(50, 5000, (160, 1)) if sizes == "many" else np.full((160, 1), 300)
    chance = 16.9 / n * np.ones(6)
    # Of the last two one falls with chance, and one has less in it than chance alone: both bounds bind.
    mean = np.column_stack(
        [chance[:, :3] + [0, 0.01, 0.3], 0.5 * chance[:, :1], 0.1 / chance[:, :1], 0.05 * chance[:, :1]]
    )
    d = mean * rng.chisquare(5, mean.shape) / 5
    fold = np.repeat(np.arange(4), 40)
    family = [0, 0, 1, 1, 2, 2]
    fitted = fit_scale(d, chance, fold, 80.0, np.array(family))
    slow = np.array(naive_scale(d, chance, fold.tolist(), 80.0, family))
    fast = np.column_stack([fitted.chance, fitted.wander, fitted.mean, fitted.std])
    np.testing.assert_allclose(fast, slow, rtol=1e-9)
    assert {LEAST_CHANCE} < set(slow[:, 0].tolist())
    scores = fitted.score(d, chance)
    for w, q in [(0, 0), (7, 3), (159, 5)]:
        a, b, mu, sigma = slow[q]
        usual_line = 1 / statistics.fmean((1 / chance[:, q]).tolist())
        y = (d[w, q] / (a * max(chance[w, q], usual_line) + b)) ** (1 / 3)
        assert scores[w, q] == pytest.approx((y - mu) / sigma)


def test_windows_that_could_not_be_compared_are_no_part_of_a_scale():
    rng = np.random.default_rng(14)
    d, chance = rng.gamma(2, 1, (90, 2)), 1 / rng.integers(10, 99, (90, 2))
    fold, gone = np.repeat(np.arange(3), 30), rng.random(90) < 0.3
    d[gone, 0] = np.nan
    alone = fit_scale(d[~gone, :1], chance[~gone, :1], fold[~gone], 50.0)
    among = fit_scale(d, chance, fold, 50.0, np.arange(2))
    for name in ("chance", "wander", "mean", "std"):
        assert getattr(among, name)[0] == pytest.approx(getattr(alone, name)[0])


def test_windows_of_more_rows_than_those_learnt_from_are_scored_as_if_of_as_many():
    rng = np.random.default_rng(15)
    chance = 1 / rng.integers(10, 30, (90, 1))
    scale = fit_scale(chance * rng.chisquare(3, (90, 1)) / 3, chance, np.repeat(np.arange(3), 30), 90.0)
    rows = float(np.mean(1 / chance))
    at, beyond, within = (scale.limit(4.0, np.array([[1 / n]])) for n in (rows, 100 * rows, rows / 2))
    assert at == pytest.approx(beyond)
    assert within > at
    assert scale.score(at, np.array([[1 / (100 * rows)]])) == pytest.approx(4.0)


def test_a_scale_learns_chance_and_wander_apart():
    rng = np.random.default_rng(3)
    n = rng.integers(50, 2000, 4000)[:, None] * np.ones(2)
    chance = 16.9 / n
    mean = 1.0 * chance + np.array([0.0, 0.02])
    fitted = fit_scale(mean * rng.chisquare(9, mean.shape) / 9, chance, np.arange(4000) // 500, 4000)
    assert fitted.chance == pytest.approx([1.0, 1.0], rel=0.15)
    assert fitted.wander[0] < 0.003
    assert fitted.wander[1] == pytest.approx(0.02, rel=0.1)


def test_scores_are_standard_normal_up_to_the_usual_size_of_windows_and_smaller_beyond():
    rng = np.random.default_rng(4)
    rows = rng.integers(50, 5000, 20_000)
    chance = 16.9 / rows[:, None]
    fold = np.arange(20_000) // 2500
    for df in (2, 9, 30):
        d = (0.6 * chance + 0.003) * rng.chisquare(df, chance.shape) / df
        scores = fit_scale(d, chance, fold, 20_000).score(d, chance)
        usual, large = scores[rows <= rows.mean()], scores[rows > rows.mean()]
        assert abs(usual.mean()) < 0.05
        assert usual.std() == pytest.approx(1, abs=0.05)
        assert np.mean(usual > 3) < 0.004
        assert large.mean() < 0.0
        assert np.mean(large > 3) < 0.004


def test_the_limit_of_a_scale_is_the_inverse_of_its_score():
    rng = np.random.default_rng(5)
    scale = fit_scale(rng.gamma(2, 1, (200, 3)), np.ones((200, 3)), np.arange(200) // 50, 200)
    chance = rng.random((7, 3))
    d = scale.limit(4.0, chance)
    np.testing.assert_allclose(scale.score(d, chance), 4.0)
    assert (scale.widened(2.0).limit(4.0, chance) > d).all()


def test_a_quantity_without_windows_has_the_scale_of_independent_rows():
    nothing = fit_scale(np.full((50, 1), np.nan), np.ones((50, 1)), np.arange(50) // 10, 50)
    unknown = unknown_scale(1)
    assert (nothing.chance, nothing.mean, nothing.std) == (unknown.chance, unknown.mean, unknown.std)
    cube_root = np.cbrt(np.random.default_rng(0).chisquare(1, 200_000))
    assert pytest.approx((cube_root.mean(), cube_root.std()), abs=0.01) == (UNKNOWN_MEAN, UNKNOWN_STD)
    assert pytest.approx(1 / stats.chi2.ppf(0.95, 1), abs=0.001) == LEAST_CHANCE


def test_folds_are_whole_days_and_at_least_four_windows_long():
    for panes, width, per_day in [(24 * 56, 24, 24), (100, 1, 24), (7, 2, 1), (24 * 9, 6, 24)]:
        fold = folds_of(panes, width, per_day)
        assert len(fold) == panes
        assert (np.diff(fold) >= 0).all()
        lengths = np.bincount(fold)
        if len(lengths) > 1:
            assert all(length % per_day == 0 and length >= 4 * width for length in lengths[:-1])


def test_the_union_limit_is_bonferroni_for_normal_scores():
    assert union_limit(0.01, 30) == pytest.approx(stats.norm.isf(0.01 / 30))


def naive_tail(maxima: list[float], probability: float) -> float:
    values = sorted(max(x, 0.0) for x in maxima)
    middle = statistics.median(values)
    above = [x**2 - middle**2 for x in values if x >= middle]
    caution = 1 + 1 / math.sqrt(len(values) / 2)
    return math.sqrt(middle**2 + sum(above) / len(above) * caution * math.log(0.5 / probability))


@given(st.lists(st.floats(-2, 9), min_size=1, max_size=40), st.floats(1e-6, 0.5))
def test_the_tail_limit_is_the_median_and_what_lies_above_it(maxima: list[float], probability: float):
    assert tail_limit(maxima, probability) == pytest.approx(naive_tail(maxima, probability))


@pytest.mark.parametrize("run", [1, 2, 3])
def test_the_limit_is_the_greater_of_both_over_the_maxima_of_the_least_of_runs(run: int):
    scores = np.random.default_rng(15).standard_t(4, size=24 * 20)
    scores[24 * 3 : 24 * 4 - 5] = np.nan  # of this day too little is known
    scores[70] = np.nan
    maxima = []
    for day in range(20):
        least = [
            min(scores[w - back] for back in range(run))
            for w in range(day * 24, day * 24 + 24)
            if w >= run - 1 and not any(np.isnan(scores[w - back]) for back in range(run))
        ]
        # The first windows of all have no run behind them, and count for themselves.
        least += [min(scores[: w + 1]) for w in range(day * 24, day * 24 + 24) if w < run - 1]
        if len(least) > 6:
            maxima.append(max(least))
    found = score_limit(scores, block=24, pages_per_pane=1 / 720, quantities=15, independent=0.5, run=run)
    rate = 1 / 720 / 2
    union = stats.norm.isf(rate / 0.5 / 15)
    assert found.score == pytest.approx(max(union, naive_tail(maxima, rate * 24)))
    assert len(maxima) == 19


def test_the_tail_limit_finds_the_far_quantile_of_maxima_of_normal_scores():
    rng = np.random.default_rng(6)
    found = [tail_limit(rng.normal(size=(60, 24 * 15)).max(axis=1), 1 / 180) for _ in range(200)]
    true = stats.norm.isf(1 - (1 - 1 / 180) ** (1 / (24 * 15)))
    assert true <= np.median(found) <= true + 0.5


def test_the_tail_limit_follows_a_heavier_tail():
    rng = np.random.default_rng(7)
    maxima = rng.standard_t(3, size=(60, 100)).max(axis=1)
    assert tail_limit(maxima, 1 / 200) > np.quantile(maxima, 0.97)


def test_a_short_baseline_has_a_wide_limit_and_says_so():
    scores = np.random.default_rng(8).normal(size=24 * (LEAST_BLOCKS - 1))
    limit = score_limit(scores, block=24, pages_per_pane=1 / 720, quantities=15)
    assert limit.score >= WIDENED * union_limit(1 / 1440, 15)
    assert "9 blocks of time" in limit.warning
    longer = np.random.default_rng(8).normal(size=24 * LEAST_BLOCKS)
    assert score_limit(longer, block=24, pages_per_pane=1 / 720, quantities=15).warning == ""


def test_the_fewer_days_there_are_the_wider_the_limit_and_from_seven_on_it_is_as_wide():
    for days in range(1, 7):
        assert widening(days) ** 3 == pytest.approx(days / stats.chi2.ppf(0.05, days))
        assert widening(days) > widening(days + 1)
    assert {widening(days) for days in (0, 7, 8, 100)} == {WIDENED}


def test_two_days_underrate_what_a_level_wanders_by_within_the_widening_nineteen_times_in_twenty():
    """The mean square of two looks, as a score: a cube root."""
    looks = np.random.default_rng(12).normal(size=(20_000, 2))
    scores = np.cbrt(1 / np.square(looks).mean(axis=1))
    assert np.mean(scores > widening(2)) == pytest.approx(0.05, abs=0.005)


def test_a_limit_for_runs_is_learnt_from_runs():
    scores = np.tile([0.0, 9.0], 24 * 30)
    alone = score_limit(scores, block=24, pages_per_pane=1 / 720, quantities=5, run=1)
    in_a_row = score_limit(scores, block=24, pages_per_pane=1 / 720, quantities=5, run=2)
    assert alone.score >= 9
    assert in_a_row.score == union_limit(1 / 1440, 5)


def naive_sums(scores: list[float], memory: float) -> float:
    """The definition: over every window as a beginning, the product of e-values since."""
    total = 0.0
    for bet in BETS:
        e = [math.exp((bet * min(z, MOST) - bet**2 / 2) / memory) for z in scores]
        total += sum(math.prod(e[start:]) for start in range(len(e)))
    return math.log(total / len(BETS))


@pytest.mark.parametrize("memory", [1.0, 2.5])
def test_an_accumulator_sums_the_products_over_every_beginning(memory: float):
    scores = np.random.default_rng(9).normal(size=(12, 4)) * 2
    found = Accumulator(4, memory).take(scores)
    for q in range(4):
        assert found[-1, q] == pytest.approx(naive_sums(scores[:, q].tolist(), memory))


def test_an_accumulator_restored_midway_goes_on_as_if_nothing_had_happened():
    scores = np.random.default_rng(10).normal(size=(40, 3))
    scores[5, 1] = np.nan
    whole = Accumulator(3, 2.0).take(scores)
    first, second = Accumulator(3, 2.0), Accumulator(3, 2.0)
    first.take(scores[:17])
    second.restore(json.loads(json.dumps(first.snapshot())))
    np.testing.assert_array_equal(second.take(scores[17:]), whole[17:])
    second.restore(Accumulator(3).snapshot())
    np.testing.assert_array_equal(second.take(scores), whole)


def test_a_missing_score_proves_nothing():
    one = Accumulator(1)
    before = one.take(np.array([[3.0]]))
    assert one.take(np.array([[np.nan]])) == before


@pytest.mark.parametrize("dependence", ["independent", "moving average", "equal columns"])
def test_the_mean_of_sums_takes_its_time_without_change(dependence: str):
    """Average run length to A is at least A, for dependent columns and, with memory, for dependent windows."""
    rng = np.random.default_rng(11)
    target, columns, memory = 100.0, 6, 5.0 if dependence == "moving average" else 1.0
    lengths = []
    for _ in range(150):
        z = rng.normal(size=(1500, columns))
        if dependence == "moving average":
            z = np.lib.stride_tricks.sliding_window_view(z, 5, axis=0).sum(axis=-1) / np.sqrt(5)
        if dependence == "equal columns":
            z = np.repeat(z[:, :1], columns, axis=1)
        mean = np.exp(Accumulator(columns, memory).take(z)).mean(axis=1)
        above = np.flatnonzero(mean >= target)
        lengths.append(above[0] + 1 if len(above) else len(z))
    assert np.mean(lengths) - 2 * np.std(lengths) / np.sqrt(len(lengths)) >= target


def test_memory_is_the_sum_of_mean_autocorrelations_up_to_the_first_that_is_not_positive():
    rng = np.random.default_rng(16)
    z = np.cumsum(rng.normal(size=(60, 3)), axis=0)
    z[20:24, 1] = np.nan
    tau, lag = 1.0, 0
    while True:
        lag += 1
        rhos = []
        for q in range(3):
            x = [float(v) - float(np.nanmean(z[:, q])) for v in z[:, q]]
            variance = statistics.fmean(v * v for v in x if not math.isnan(v))
            both = [a * b for a, b in zip(x[lag:], x[:-lag], strict=True) if not math.isnan(a * b)]
            rhos.append(statistics.fmean(both) / variance)
        if lag > 15 or statistics.fmean(rhos) <= 0:
            break
        tau += 2 * statistics.fmean(rhos)
    assert lag > 3
    assert memory_of(z, 1, 200) == pytest.approx(tau)
    assert memory_of(z, 100, 200) == 100


def test_memory_is_the_integrated_autocorrelation():
    rng = np.random.default_rng(12)
    z = np.zeros((20_000, 2))
    for t in range(1, len(z)):
        z[t] = 0.8 * z[t - 1] + rng.normal(size=2)
    assert memory_of(z, 1, 200) == pytest.approx((1 + 0.8) / (1 - 0.8), rel=0.2)
    assert memory_of(z[:, :0], 7, 10) == 7


def test_a_memory_below_one_is_refused():
    with pytest.raises(ValueError, match=r"memory: 0\.5 is below 1"):
        Accumulator(1, 0.5)


@given(st.floats(0.0, 1.0), st.floats(1.0, 1e6), st.booleans())
def test_the_share_at_chance_is_where_the_discrepancy_reaches_its_line(
    usual: float, rows: float, above: bool
) -> None:
    found = share_at_chance(usual, rows, above=above)
    at_end = found in (0.0, 1.0)
    p = min(max(usual, 0.5 / (rows + 1.0)), 1.0 - 0.5 / (rows + 1.0))
    reached = share_discrepancy(found, p, np.inf)
    assert at_end or reached == pytest.approx(share_chance(rows), rel=1e-6)
    assert found >= p if above else found <= p
