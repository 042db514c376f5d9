"""Several columns at once: sums against slow sums over rows, statistics against their definitions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from detectors.joint.embedding import (
    AMPLITUDE,
    chance_dof,
    mean_discrepancy,
    mean_discrepancy_chance,
)
from detectors.joint.plan import MAX_CODES, TURN, Bound, Plan, bent_codes, make_plan, random_waves, rank_codes
from detectors.joint.relations import (
    correlations,
    fisher,
    fisher_chance,
    reconstruction_chance,
    reconstruction_error,
    reconstruction_of,
    standard_products,
)
from detectors.joint.sums import Means, PaneSums, joint_sums, means_of, merge_sums
from detectors.layout import Column, Layout, slots_of_codes, slots_of_numeric
from detectors.reference import choose_categories, choose_edges

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Sample:
    """Columns of numbers, and of words, in a layout that their reference chose."""

    def __init__(self, numbers: Floats, words: list[npt.NDArray[np.int32]] | None = None) -> None:
        self.dictionary = [f"w{i}" for i in range(8)]
        columns = [
            Column(f"x{i:02}", "feature", "numeric", choose_edges(numbers[:, i]))
            for i in range(numbers.shape[1])
        ]
        for i, codes in enumerate(words or []):
            kept = choose_categories(self.dictionary, np.bincount(codes, minlength=8))
            columns.append(Column(f"y{i:02}", "feature", "categorical", categories=kept))
        self.layout = Layout.of(columns)
        own = self.slots(numbers, words)
        plan = make_plan(self.layout, list(own - np.array(self.layout.first_slots)[:, None]))
        assert plan is not None
        self.plan = plan
        bound = plan.bound_to(self.layout)
        assert bound is not None
        self.bound: Bound = bound
        self.rows = len(numbers)
        self.means = self.means_of(own, np.zeros(len(numbers), dtype=np.int64), 0)

    def slots(
        self, numbers: Floats, words: list[npt.NDArray[np.int32]] | None = None
    ) -> npt.NDArray[np.int32]:
        out = np.empty((len(self.layout.columns), len(numbers)), dtype=np.int32)
        for i, column in enumerate(self.layout.columns):
            at = int(column.name[1:])
            relative = (
                slots_of_numeric(column, numbers[:, at])
                if column.kind == "numeric"
                else slots_of_codes(column, (words or [])[at], self.dictionary)
            )
            out[i] = relative + self.layout.first_slots[i]
        return out

    def means_of(self, slots: npt.NDArray[np.int32], panes: Ints, pane: int | None = None) -> Means:
        sums = joint_sums(slots, panes, self.bound).sums
        means = means_of(sums / sums[:, :1], self.plan)
        return means if pane is None else Means(means.codes[pane], means.products[pane], means.waves[pane])

    def windows(self, numbers: Floats, n: int, words: list[npt.NDArray[np.int32]] | None = None) -> Means:
        return self.means_of(self.slots(numbers, words), np.arange(len(numbers), dtype=np.int64) // n)

    def names(self, pair: int) -> set[str]:
        i, j = self.plan.pairs
        return {self.plan.keys[i[pair]], self.plan.keys[j[pair]]}


def slow_sums(slots: npt.NDArray[np.int32], panes: Ints, bound: Bound) -> dict[int, list[int]]:
    """Row by row in Python's own integers."""
    plan, out = bound.plan, {}
    for row, pane in zip(slots.T.tolist(), panes.tolist(), strict=True):
        codes = [
            int(bound.tables[int(bent), row[column]])
            for bent, column in zip(plan.bends, bound.columns.tolist(), strict=True)
        ]
        m = len(codes)
        products = [codes[i] * codes[j] for i in range(m) for j in range(i, m)]
        turns = [sum(int(f) * c for f, c in zip(of, codes, strict=True)) % TURN for of in plan.frequencies]
        cosines = [round(AMPLITUDE * math.cos(2 * math.pi * t / TURN)) for t in turns]
        sines = [round(AMPLITUDE * math.cos(2 * math.pi * ((t - TURN // 4) % TURN) / TURN)) for t in turns]
        sums = [1, *codes, *products, *cosines, *sines]
        out[pane] = [a + b for a, b in zip(out[pane], sums, strict=True)] if pane in out else sums
    return out


@pytest.fixture(scope="module")
def mixed() -> Sample:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(3000, 3))
    numbers[:, 1] = np.round(np.exp(numbers[:, 1] + numbers[:, 0]), 1)
    numbers[rng.random(3000) < 0.1, 2] = np.nan
    return Sample(numbers, [np.digitize(numbers[:, 0], [-1, 0.5]).astype(np.int32)])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 700),
    panes=st.integers(1, 40),
    cuts=st.lists(st.integers(0, 700), max_size=4),
)
def test_sums_are_those_of_a_loop_over_rows_however_rows_are_cut_and_ordered(
    mixed: Sample, seed: int, rows: int, panes: int, cuts: list[int]
):
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 3)) * 3
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    numbers[rng.random(numbers.shape) < 0.02] = np.inf
    slots = mixed.slots(numbers, [rng.integers(-1, 6, rows).astype(np.int32)])
    pane = rng.integers(0, panes, rows).astype(np.int64) * 60
    whole = joint_sums(slots, pane, mixed.bound)
    slow = slow_sums(slots, pane, mixed.bound)
    assert dict(zip(whole.panes.tolist(), whole.sums.tolist(), strict=True)) == slow
    assert whole.panes.tolist() == sorted(slow)
    order = rng.permutation(rows)
    ends = sorted({0, rows, *(min(c, rows) for c in cuts)})
    parts = [
        joint_sums(slots[:, o], pane[o], mixed.bound)
        for a, b in itertools.pairwise(ends)
        if len(o := order[a:b])
    ]
    for arranged in (parts, parts[::-1], [merge_sums(parts[:1] + parts[1:2]), *parts[2:]]):
        merged = merge_sums(arranged)
        assert merged.panes.tolist() == whole.panes.tolist()
        assert merged.sums.tolist() == whole.sums.tolist()


def test_sums_of_a_large_chunk_are_exact_to_the_last_digit():
    """More rows than single precision could add up in one product, all at the furthest codes."""
    rng = np.random.default_rng(1)
    sample = Sample(rng.normal(size=(2000, 2)))
    rows = 100_001
    slots = sample.slots(np.where(np.arange(rows)[:, None] % 2 == 0, 99.0, -99.0) * np.ones((1, 2)))
    found = joint_sums(slots, np.zeros(rows, dtype=np.int64), sample.bound)
    one = np.array(
        [slow_sums(slots[:, i : i + 1], np.zeros(1, dtype=np.int64), sample.bound)[0] for i in (0, 1)]
    )
    assert found.sums[0].tolist() == (one[0] * 50_001 + one[1] * 50_000).tolist()


def test_no_rows_have_no_sums(mixed: Sample):
    none = joint_sums(np.empty((4, 0), dtype=np.int32), np.empty(0, dtype=np.int64), mixed.bound)
    some = joint_sums(
        mixed.slots(np.zeros((1, 3)), [np.zeros(1, dtype=np.int32)]), np.zeros(1, dtype=np.int64), mixed.bound
    )
    assert none.sums.shape == (0, mixed.plan.width)
    assert merge_sums([none, some]).sums.tolist() == some.sums.tolist()
    assert isinstance(merge_sums([none]), PaneSums)


@given(counts=st.lists(st.integers(0, 1000), min_size=1, max_size=70).filter(any))
def test_codes_are_normal_scores_of_middle_ranks(counts: list[int]):
    n, below, expected = sum(counts), 0, []
    for own in counts:
        p = (below + own / 2) / n
        expected.append(10 * min(max(float(ndtri(p)), -3.0), 3.0))
        below += own
    codes = rank_codes(np.array(counts))
    assert np.abs(codes - np.array(expected)).max() <= 0.5 + 1e-9
    assert (np.diff(codes.astype(int)) >= 0).all()
    bent = bent_codes(np.array(counts)).astype(int)
    middle = np.abs((np.cumsum(counts) - np.array(counts) / 2) / n - 0.5).round(9)
    assert (np.diff(bent[np.argsort(middle, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("change", [np.exp, lambda x: 1000.0 * x - 7.0, lambda x: x**3])
def test_units_and_heavy_tails_change_nothing(change: np.ufunc):
    rng = np.random.default_rng(2)
    numbers = rng.normal(size=(4000, 3))
    other = numbers.copy()
    other[:, 1] = change(numbers[:, 1])
    a, b = Sample(numbers), Sample(other)
    panes = np.arange(4000) // 500
    assert (
        joint_sums(a.slots(numbers), panes, a.bound).sums.tolist()
        == joint_sums(b.slots(other), panes, b.bound).sums.tolist()
    )


def test_correlations_are_those_of_the_coded_rows(mixed: Sample):
    rng = np.random.default_rng(3)
    slots = mixed.slots(rng.normal(size=(500, 3)), [rng.integers(0, 3, 500).astype(np.int32)])
    codes = mixed.bound.codes_of(slots).astype(np.float64)
    i, j = mixed.plan.pairs
    found = correlations(mixed.means_of(slots, np.zeros(500, dtype=np.int64), 0), mixed.plan.pairs)
    assert found == pytest.approx(np.corrcoef(codes, rowvar=False)[i, j], abs=1e-9)
    assert all(mixed.plan.keys[a] != mixed.plan.keys[b] for a, b in zip(i, j, strict=True))


def test_standard_products_are_those_of_the_coded_rows_and_nought_for_a_column_that_is_stuck(mixed: Sample):
    rng = np.random.default_rng(12)
    slots = mixed.slots(rng.normal(size=(900, 3)), [rng.integers(0, 3, 900).astype(np.int32)])
    panes = np.sort(rng.integers(0, 3, 900))
    codes = mixed.bound.codes_of(slots).astype(np.float64)
    sums = joint_sums(slots, panes, mixed.bound).sums
    usual = means_of((sums.sum(axis=0) / 900)[None], mixed.plan)
    score = (codes - codes.mean(axis=0)) / codes.std(axis=0)
    for i, j in zip(*mixed.plan.pairs, strict=True):
        products, r = standard_products(sums, usual, (int(i), int(j)))
        x, y = score[:, i], score[:, j]
        slow = [[(q[panes == t]).sum() for q in (x * x, y * y, x * y)] for t in range(3)]
        assert products == pytest.approx(np.array(slow), abs=1e-6)
        assert r == pytest.approx([np.corrcoef(x, y)[0, 1]], abs=1e-9)
    stuck = Means(np.zeros_like(usual.codes), np.zeros_like(usual.products), usual.waves)
    products, r = standard_products(sums, stuck, (0, 1))
    assert not products.any()
    assert not r.any()


def test_a_column_that_is_stuck_has_no_correlation(mixed: Sample):
    rng = np.random.default_rng(4)
    numbers = rng.normal(size=(500, 3))
    numbers[:, 0] = 0.3
    means = mixed.means_of(
        mixed.slots(numbers, [rng.integers(0, 3, 500).astype(np.int32)]), np.zeros(500, dtype=np.int64), 0
    )
    found = correlations(means, mixed.plan.pairs)
    stuck = [k for k in range(len(found)) if "feature/x00" in mixed.names(k)]
    assert np.isnan(found[stuck]).all()
    assert np.isfinite(np.delete(found, stuck)).all()


def test_the_reconstruction_error_is_that_of_rows_rebuilt_by_pca():
    rng = np.random.default_rng(5)
    numbers = rng.normal(size=(3000, 5)) @ rng.normal(size=(5, 5))
    sample = Sample(numbers)
    reconstruction = reconstruction_of(sample.means)
    codes = sample.bound.codes_of(sample.slots(numbers)).astype(np.float64)
    values, vectors = np.linalg.eigh(np.corrcoef(codes, rowvar=False))
    held = np.cumsum(values[::-1]) / values.sum()
    main = vectors[:, ::-1][:, : int(np.argmax(held >= 0.65)) + 1]
    window = sample.slots(rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)))
    rows = sample.bound.codes_of(window).astype(np.float64)
    z = (rows - rows.mean(axis=0)) / codes.std(axis=0)
    rebuilt = z @ main @ main.T
    expected = np.square(z - rebuilt).sum() / np.square(z).sum()
    found = reconstruction_error(sample.means_of(window, np.zeros(400, dtype=np.int64)), reconstruction)
    assert found == pytest.approx([expected], rel=1e-6)


def test_the_distance_of_mean_embeddings_is_that_of_cosines_and_sines(mixed: Sample):
    rng = np.random.default_rng(6)
    words = [rng.integers(0, 3, 300).astype(np.int32) for _ in range(2)]
    a, b = (mixed.slots(rng.normal(size=(300, 3)) + k, [words[k]]) for k in (0, 1))

    def features(slots: npt.NDArray[np.int32]) -> Floats:
        angle = 2 * np.pi / TURN * (mixed.bound.codes_of(slots) @ mixed.plan.frequencies.T.astype(np.float64))
        return np.concatenate([np.cos(angle), np.sin(angle)], axis=1).mean(axis=0)

    slow = np.square(features(a) - features(b)).sum() / len(mixed.plan.frequencies)
    fast = mean_discrepancy(*(mixed.means_of(s, np.zeros(300, dtype=np.int64), 0).waves for s in (a, b)))
    assert fast == pytest.approx(slow, abs=2e-3)


def test_waves_across_all_columns_approximate_a_gaussian_kernel():
    m = 4
    waves = random_waves([f"c{i}" for i in range(m)], 20_000)[:10_000].astype(np.float64)
    rng = np.random.default_rng(7)
    for _ in range(10):
        gap = rng.integers(-20, 21, m)
        kernel = np.mean(np.cos(2 * np.pi / TURN * (waves @ gap)))
        assert kernel == pytest.approx(np.exp(-np.square(gap / 10).sum() / (2 * m)), abs=0.03)


def test_waves_depend_on_the_names_of_columns_alone():
    assert random_waves(["a", "b"]).tolist() == random_waves(["a", "b"]).tolist()
    assert random_waves(["a", "b"]).tolist() != random_waves(["a", "c"]).tolist()


@pytest.mark.parametrize("n", [100, 1000])
def test_chance_exceeds_its_lines_in_one_quiet_window_in_twenty(n: int):
    rng = np.random.default_rng(8)
    mix = np.eye(4) + 0.5 * rng.normal(size=(4, 4))
    reference = rng.normal(size=(20_000, 4)) @ mix
    sample = Sample(reference)
    windows = 1500
    means = sample.windows(rng.normal(size=(windows * n, 4)) @ mix, n)
    gap = fisher(correlations(means, sample.plan.pairs)) - fisher(
        correlations(sample.means, sample.plan.pairs)
    )
    straight = [
        k for k, b in enumerate(np.array(sample.plan.bends)[np.stack(sample.plan.pairs)].any(axis=0)) if not b
    ]
    assert 0.03 <= np.mean(np.square(gap[:, straight]) > fisher_chance(n, sample.rows)) <= 0.07
    codes = sample.bound.codes_of(sample.slots(reference))
    dof = chance_dof(codes, np.ascontiguousarray(sample.plan.frequencies.T, dtype=np.float32))
    distance = mean_discrepancy(means.waves, sample.means.waves)
    assert (
        0.03 <= np.mean(distance > mean_discrepancy_chance(n, sample.rows, sample.means.waves, dof)) <= 0.07
    )
    rebuilt = reconstruction_of(sample.means)
    lost = reconstruction_error(means, rebuilt) - reconstruction_error(sample.means, rebuilt)
    assert 0.01 <= np.mean(np.square(lost) > reconstruction_chance(n, sample.rows, rebuilt)) <= 0.15


def furthest(
    sample: Sample, numbers: Floats, n: int = 300, words: list[npt.NDArray[np.int32]] | None = None
) -> tuple[Floats, list[int]]:
    """Scores of each window's pairs over the line of chance, and which pair is furthest."""
    means = sample.windows(numbers, n, words)
    gap = fisher(correlations(means, sample.plan.pairs)) - fisher(
        correlations(sample.means, sample.plan.pairs)
    )
    over = np.square(gap) / fisher_chance(n, sample.rows)
    return over, np.nanargmax(over, axis=1).tolist()


def test_the_butterfly_is_seen_and_named():
    """Two correlated features turned by 90 degrees: no margin moves (the data set of NannyML's documentation)."""
    rng = np.random.default_rng(23)
    common = rng.normal(size=8000)
    numbers = np.stack(
        [common + rng.normal(size=8000) / 8, common + rng.normal(size=8000) / 8, rng.normal(size=8000) / 8],
        axis=1,
    )
    sample = Sample(numbers[:5000])
    turned = numbers[5000:] @ np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    over, pairs = furthest(sample, turned)
    assert (over[np.arange(len(over)), pairs] > 100).all()
    assert all(sample.names(k) == {"feature/x00", "feature/x01"} for k in pairs)
    quiet, _ = furthest(sample, numbers[5000:])
    assert np.nanmax(quiet) < 10


@pytest.mark.parametrize("shape", ["parabola", "circle", "size"])
def test_a_relation_without_slope_is_seen_by_bent_codes(shape: str):
    rng = np.random.default_rng(9)

    def draw(rows: int, *, related: bool) -> Floats:
        x, noise = rng.normal(size=(rows, 4)), rng.normal(size=rows)
        of = x[:, 0] if related else rng.permutation(x[:, 0])
        if shape == "parabola":
            x[:, 1] = of**2 + 0.5 * noise
        elif shape == "size":
            x[:, 1] = np.exp(0.5 * of) * noise
        else:
            angle, other = rng.uniform(0, 2 * np.pi, (2, rows))
            x[:, 0], x[:, 1] = np.cos(angle), np.sin(angle if related else other)
        return x

    sample = Sample(draw(8000, related=True))
    over, pairs = furthest(sample, draw(3000, related=False))
    assert (over[np.arange(len(over)), pairs] > 10).all()
    assert all(sample.names(k) == {"feature/x00", "feature/x01"} for k in pairs)


def test_a_category_that_is_cut_loose_from_a_number_is_seen():
    rng = np.random.default_rng(10)

    def draw(rows: int) -> tuple[Floats, npt.NDArray[np.int32]]:
        x = rng.normal(size=(rows, 3))
        # The order of the words has nothing to do with that of their names or frequencies.
        word = np.array([3, 0, 4, 1, 2])[
            np.digitize(x[:, 0] + 0.5 * rng.normal(size=rows), [-1.2, -0.3, 0.4, 1.3])
        ]
        return x, word.astype(np.int32)

    x, word = draw(8000)
    sample = Sample(x, [word])
    x, word = draw(3000)
    assert np.nanmax(furthest(sample, x, words=[word])[0]) < 10
    over, pairs = furthest(sample, x, words=[rng.permutation(word)])
    assert (over[np.arange(len(over)), pairs] > 30).all()
    assert all(sample.names(k) == {"feature/x00", "feature/y00"} for k in pairs)


def test_labels_constants_and_columns_that_are_mostly_missing_are_not_watched():
    rng = np.random.default_rng(11)
    values = {
        "feature/a": rng.normal(size=1000),
        "feature/b": rng.normal(size=1000),
        "feature/constant": np.full(1000, 2.0),
        "feature/empty": np.where(rng.random(1000) < 0.6, np.nan, rng.normal(size=1000)),
        "feature/rare": (rng.random(1000) < 0.02).astype(np.float64),
        "label/label": rng.normal(size=1000),
        "score/score": rng.normal(size=1000),
    }
    layout = Layout.of(
        Column(name, role, "numeric", choose_edges(data))  # type: ignore[arg-type]  # a role by its name
        for key, data in values.items()
        for role, name in [key.split("/")]
    )
    plan = make_plan(layout, [slots_of_numeric(c, values[c.key]) for c in layout.columns])
    assert plan is not None
    assert set(plan.keys) == {"feature/a", "feature/b", "score/score"}
    assert sum(plan.bends) == 3


@pytest.mark.parametrize("importance", [{}, {"x50": 1.0, "x07": 0.5}])
def test_of_many_columns_the_important_or_the_related_ones_are_watched(importance: dict[str, float]):
    rng = np.random.default_rng(12)
    numbers = rng.normal(size=(2000, 60))
    numbers[:, 58] += 3 * numbers[:, 59]
    layout = Layout.of(
        Column(f"x{i:02}", "feature", "numeric", choose_edges(numbers[:, i])) for i in range(60)
    )
    slots = [slots_of_numeric(c, numbers[:, i]) for i, c in enumerate(layout.columns)]
    plan = make_plan(layout, slots, importance)
    assert plan is not None
    assert len(plan.keys) == MAX_CODES == len(set(plan.keys))
    wanted = importance or {"x58", "x59"}
    assert {f"feature/{name}" for name in wanted} <= set(plan.keys)
    assert plan.keys == tuple(sorted(plan.keys))


def test_one_column_alone_has_no_plan_and_a_strange_layout_no_place():
    rng = np.random.default_rng(13)
    edges = choose_edges(rng.normal(size=500))
    one = Layout.of([Column("a", "feature", "numeric", edges)])
    assert make_plan(one, [rng.integers(3, 60, 500)]) is None
    assert make_plan(one, []) is None
    plan = Plan(
        ("feature/a", "feature/b"), (False, False), (np.zeros(5, np.int8),) * 2, random_waves(["a", "b"])
    )
    assert plan.bound_to(one) is None
    assert plan.bound_to(Layout.of([*one.columns, Column("b", "feature", "numeric", edges)])) is None
