from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from detectors.compare import Comparison, compare
from detectors.jensen_shannon import jensen_shannon
from detectors.kolmogorov_smirnov import kolmogorov_smirnov, kolmogorov_smirnov_chance
from detectors.layout import Column, Layout
from detectors.wasserstein import positions_of, wasserstein, wasserstein_chance

EDGES = tuple(np.linspace(0.0, 1.0, 65).tolist())
LAYOUT = Layout.of(
    [
        Column("fine", "feature", "numeric", EDGES),
        Column("coarse", "feature", "numeric", (0.0, 1.0, 5.0, 6.0)),
        Column("constant", "feature", "numeric", (3.0, float(np.nextafter(3.0, 4.0)))),
        Column("few", "feature", "categorical", (), ("a", "b", "c")),
        Column("many", "feature", "categorical", (), tuple(map(str, range(40)))),
    ]
)
FINE, COARSE, CONSTANT, FEW, MANY = (
    LAYOUT.index[f"feature/{n}"] for n in ("fine", "coarse", "constant", "few", "many")
)


def shares() -> Any:
    """A reference: 2 % missing everywhere, and nothing out of range or unseen."""
    out = np.zeros(LAYOUT.slots)
    for i, column in enumerate(LAYOUT.columns):
        part = out[LAYOUT.slice_of(i)]
        part[0] = 0.02
        if column.kind == "numeric":
            part[3:-1] = 0.98 / (column.slots - 4)
        else:
            weights = 0.8 ** np.arange(column.slots - 2)
            part[2:] = 0.98 * weights / weights.sum()
    return out[None]


def draw(windows: int, n: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    parts = [rng.multinomial(n, shares()[0, LAYOUT.slice_of(i)], windows) for i in range(len(LAYOUT.columns))]
    return np.concatenate(parts, axis=1)


def assert_same(a: Comparison, b: Comparison, rtol: float, atol: float) -> None:
    for f in fields(Comparison):
        np.testing.assert_allclose(
            getattr(a, f.name),
            getattr(b, f.name),
            rtol=1e-6 if f.name == "wasserstein_chance" else rtol,  # worked out in single precision
            atol=atol,
            err_msg=f.name,
        )


def test_columns_agree_with_the_statistics_one_by_one() -> None:
    counts = draw(30, 400)
    got = compare(counts, shares(), 5000, LAYOUT)
    for i in LAYOUT.numeric:
        c, p = counts[:, LAYOUT.slice_of(i)][:, 2:], shares()[0, LAYOUT.slice_of(i)][2:]
        p = p / p.sum()
        n, m, x = c.sum(1), 5000 * 0.98, positions_of(LAYOUT.columns[i].edges)
        np.testing.assert_allclose(got.ks[:, i], kolmogorov_smirnov(c, p), atol=1e-12)
        np.testing.assert_allclose(got.ks_chance[:, i], kolmogorov_smirnov_chance(n, m, p))
        np.testing.assert_allclose(got.wasserstein[:, i], wasserstein(c, p, x), atol=1e-12)
        # compare() works this line out in single precision
        np.testing.assert_allclose(got.wasserstein_chance[:, i], wasserstein_chance(n, m, p, x), rtol=1e-5)
    few = counts[:, LAYOUT.slice_of(FEW)][:, 1:]
    p = shares()[0, LAYOUT.slice_of(FEW)][1:] / 0.98
    np.testing.assert_allclose(got.js[:, FEW], jensen_shannon(few, p), rtol=1e-9)


def test_one_shared_reference_gives_what_one_a_window_gives() -> None:
    counts = draw(300, 150)
    assert_same(
        compare(counts, shares(), 5000, LAYOUT),
        compare(counts, np.repeat(shares(), 300, axis=0), np.full(300, 5000), LAYOUT),
        rtol=1e-12,
        atol=1e-15,
    )


def test_what_decides_is_the_same_when_nothing_else_is_asked_for() -> None:
    counts = draw(300, 150)
    for expected in (shares(), np.repeat(shares(), 300, axis=0)):
        whole = compare(counts, expected, 5000, LAYOUT)
        part = compare(counts, expected, 5000, LAYOUT, only_deciding=True)
        for f in fields(Comparison):
            got = getattr(part, f.name)
            if f.name.startswith(("psi", "ks", "wasserstein", "chi2")):
                assert np.isnan(got).all(), f.name
            else:
                np.testing.assert_array_equal(got, getattr(whole, f.name), err_msg=f.name)


def test_a_window_has_the_same_statistics_alone_and_among_many() -> None:
    counts = draw(300, 150)
    many = compare(counts, shares(), 5000, LAYOUT)
    for w in (0, 127, 128, 299):
        alone = compare(counts[w : w + 1], shares(), 5000, LAYOUT)
        for f in fields(Comparison):
            np.testing.assert_array_equal(getattr(many, f.name)[w], getattr(alone, f.name)[0], err_msg=f.name)


@pytest.mark.parametrize("n", [100, 1000, 10_000])
@pytest.mark.parametrize("column", [FINE, COARSE, FEW, MANY])
def test_five_percent_of_quiet_windows_exceed_the_lines(n: int, column: int) -> None:
    got = compare(draw(3000, n), shares(), np.inf, LAYOUT)
    for name in ("psi", "js"):
        share = np.mean(getattr(got, name)[:, column] > getattr(got, f"{name}_chance")[:, column])
        assert 0.03 <= share <= 0.07, name
    assert 0.03 <= np.mean(got.chi2_p[:, column] < 0.05) <= 0.07
    if column == FINE:
        assert 0.03 <= np.mean(got.ks > got.ks_chance, axis=0)[column] <= 0.07
        assert 0.03 <= np.mean(got.wasserstein > got.wasserstein_chance, axis=0)[column] <= 0.07


def test_categories_have_no_distances_of_order() -> None:
    got = compare(draw(2, 50), shares(), 100, LAYOUT)
    for values in (got.ks, got.ks_chance, got.wasserstein, got.wasserstein_chance, got.wasserstein_share):
        assert np.isnan(values[:, [FEW, MANY]]).all()
        assert np.isfinite(values[:, [FINE, COARSE]]).all()


def test_a_constant_column_that_moves_is_far_and_one_that_stays_is_not() -> None:
    counts = draw(2, 500)
    counts[1, LAYOUT.slice_of(CONSTANT)] = [10, 0, 0, 0, 490]
    got = compare(counts, shares(), 10_000, LAYOUT)
    assert (got.psi[0, CONSTANT], got.js[0, CONSTANT], got.ks[0, CONSTANT]) == (0.0, 0.0, 0.0)
    assert got.chi2_p[0, CONSTANT] > 0.9
    assert got.psi[1, CONSTANT] > 1.0
    assert got.js[1, CONSTANT] == pytest.approx(1.0)
    assert got.chi2_p[1, CONSTANT] < 1e-9
    assert got.ks[1, CONSTANT] == 1.0


def test_unseen_values_are_far_and_are_shares_of_what_is_present() -> None:
    counts = draw(1, 500)
    counts[0, LAYOUT.slice_of(FEW)] = [100, 300, 40, 30, 30]
    got = compare(counts, shares(), 10_000, LAYOUT)
    assert got.unseen_share[0, FEW] == 0.75
    assert got.unseen_expected[0, FEW] == 0.0
    assert got.missing_share[0, FEW] == 0.2
    assert got.missing_expected[0, FEW] == pytest.approx(0.02)
    assert got.present[0, FEW] == 400
    assert got.psi[0, FEW] > 1.0
    assert np.isnan(got.out_of_range_share[0, FEW])


def test_a_rare_value_that_becomes_common_is_seen_in_a_small_window() -> None:
    layout = Layout.of([Column("x", "feature", "categorical", (), ("common", "rare"))])
    got = compare([[0, 0, 40, 20]], [[0, 0, 0.98, 0.02]], 10_000, layout)
    assert got.psi[0, 0] > 0.5 > got.psi_chance[0, 0]


def test_out_of_range_counts_both_ends_and_infinities() -> None:
    counts = draw(1, 500)
    counts[0, LAYOUT.slice_of(COARSE)] = [100, 10, 20, 30, 30, 30, 80]
    got = compare(counts, shares(), 10_000, LAYOUT)
    assert got.present[0, COARSE] == 190
    assert got.invalid_share[0, COARSE] == pytest.approx(10 / 300)
    assert got.out_of_range_share[0, COARSE] == pytest.approx(110 / 200)
    assert np.isnan(got.unseen_share[0, COARSE])
    assert got.wasserstein_share[0, COARSE] > 0


def test_empty_windows_and_missing_references_are_undefined_and_silent() -> None:
    counts = draw(3, 100)
    counts[1] = 0
    expected = shares()
    expected[0, LAYOUT.slice_of(FINE)] = 0.0
    expected[0, LAYOUT.slice_of(FEW)] = 0.0
    for rows in (0, 100, np.inf):
        got = compare(counts, expected, rows, LAYOUT)
        for name in (
            "psi",
            "js",
            "ks",
            "wasserstein",
            "chi2",
            "chi2_p",
            "psi_chance",
            "js_chance",
            "ks_chance",
        ):
            assert np.isnan(getattr(got, name)[1]).all(), name
            assert np.isnan(getattr(got, name)[:, [FINE, FEW]]).all(), name
        assert np.isnan(got.missing_share[1]).all()
        assert np.isnan(got.missing_expected[:, FINE]).all()
        assert got.present[1].tolist() == [0.0] * 5


def test_no_windows_and_no_columns_give_empty_arrays() -> None:
    assert compare(np.zeros((0, LAYOUT.slots), int), shares(), 10, LAYOUT).psi.shape == (0, 5)
    assert compare(np.zeros((2, 0), int), np.zeros((1, 0)), 10, Layout.of([])).psi.shape == (2, 0)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        compare(np.zeros((1, 3), int), shares(), 10, LAYOUT)
    with pytest.raises(ValueError, match="rows"):
        compare(draw(3, 10), np.repeat(shares(), 2, axis=0), 10, LAYOUT)


def test_input_is_left_as_it_was() -> None:
    counts, expected = draw(2, 50), shares()
    before = counts.copy(), expected.copy()
    compare(counts, expected, 10, LAYOUT)
    np.testing.assert_array_equal(counts, before[0])
    np.testing.assert_array_equal(expected, before[1])
