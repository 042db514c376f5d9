"""Means of slots that are drawn towards coarser ones, against a slow version and against what is true."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.credibility import FEWEST_ROWS, MOST_ROWS, means_by_slot, sums_by_slot


def slow_means(
    sums: np.ndarray,
    rows: np.ndarray,
    group: np.ndarray,
    weight: np.ndarray | None,
    slot: np.ndarray,
    coarser: np.ndarray,
) -> np.ndarray:
    """Do it sum by sum and pane by pane, as an analysis of variance is written down."""
    out = np.zeros_like(coarser)
    kinds = len({tuple(row) for row in coarser.tolist()})
    for g in range(rows.shape[1]):
        members = [i for i in range(len(group)) if group[i] == g]
        used = [p for p in range(len(slot)) if rows[p, g] > 0]
        present = sorted({int(slot[p]) for p in used})
        behind = {s: sum(rows[p, g] for p in used if slot[p] == s) for s in present}
        inside = between = 0.0
        for i in members:
            mean = {s: sum(sums[p, i] for p in used if slot[p] == s) / behind[s] for s in present}
            within = sum(rows[p, g] * (sums[p, i] / rows[p, g] - mean[int(slot[p])]) ** 2 for p in used)
            size = sum(behind[s] * mean[s] ** 2 for s in present)
            w = weight[i] if weight is not None else 0.0 if within <= 1e-9 * size else 1 / within
            inside += w * within
            between += w * sum(behind[s] * (mean[s] - coarser[s, i]) ** 2 for s in present)
        chance = inside / max(len(used) - len(present), 1)
        total = sum(behind.values())
        of_one = (total - sum(b * b for b in behind.values()) / max(total, 1e-300)) / max(len(present) - 1, 1)
        varies = (between / max(len(present) - kinds, 1) - chance) / max(of_one, 1e-300)
        prior = min(max(chance / varies, FEWEST_ROWS), MOST_ROWS) if varies > 0 else MOST_ROWS
        for s in range(len(coarser)):
            for i in members:
                found = sum(sums[p, i] for p in used if slot[p] == s)
                out[s, i] = (found + prior * coarser[s, i]) / (behind.get(s, 0.0) + prior)
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 5), st.booleans(), st.floats(0.0, 3.0))
def test_means_are_what_an_analysis_of_variance_says(
    seed: int, panes: int, slots: int, is_weighted: bool, amplitude: float
) -> None:
    rng = np.random.default_rng(seed)
    slot, group = rng.integers(0, slots, panes), np.array([0, 0, 1, 1, 1])
    rows = rng.integers(0, 9, (panes, 2)).astype(np.float64)
    pattern = amplitude * rng.normal(size=(slots, 5))
    sums = rows[:, group] * pattern[slot] + np.sqrt(rows[:, group]) * rng.normal(size=(panes, 5))
    weight = rng.random(5) if is_weighted else None
    coarser = np.repeat(rng.normal(size=(1, 5)), slots, axis=0)
    asked = (sums, rows, group, weight, slot, coarser)
    np.testing.assert_allclose(means_by_slot(*asked), slow_means(*asked), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("together", [1, 10])
def test_hours_that_are_alike_are_taken_for_one_and_hours_that_are_not_at_their_word(together: int) -> None:
    """However alike a pane's rows are: ten rows that are one row are worth one, and do not make a pattern."""
    rng = np.random.default_rng(7)
    slot = np.tile(np.arange(24), 56)
    rows = np.full((len(slot), 1), 20.0)
    noise = rng.normal(size=len(slot)) * np.sqrt(20.0 * together)
    cycle = 0.5 * np.sin(slot * np.pi / 12)
    coarser = np.zeros((24, 1))
    group = np.zeros(1, dtype=np.int64)
    flat = means_by_slot(noise[:, None], rows, group, None, slot, coarser)[:, 0]
    assert np.abs(flat).max() < 0.5 * np.sqrt(together / (56 * 20))
    waves = means_by_slot((20 * cycle + noise)[:, None], rows, group, None, slot, coarser)[:, 0]
    error = waves - 0.5 * np.sin(np.arange(24) * np.pi / 12)
    assert np.sqrt(np.mean(error**2)) < 1.2 * np.sqrt(together / (56 * 20))


def test_a_slot_without_a_pane_is_like_the_coarser_one() -> None:
    sums, rows = np.ones((4, 1)), np.ones((4, 1))
    found = means_by_slot(
        sums, rows, np.zeros(1, dtype=np.int64), None, np.array([0, 0, 1, 1]), np.full((3, 1), 5.0)
    )
    assert found[2, 0] == 5.0


def test_sums_by_slot_are_sums_by_slot() -> None:
    rng = np.random.default_rng(1)
    slot, sums = rng.integers(0, 7, 50), rng.integers(0, 9, (50, 3))
    slow = [[int(sums[slot == s, i].sum()) for i in range(3)] for s in range(8)]
    assert sums_by_slot(slot, sums, 8).tolist() == slow
    assert sums_by_slot(slot[:0], sums[:0], 2).tolist() == [[0] * 3] * 2
