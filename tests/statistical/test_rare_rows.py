"""Few rows of many: one in a hundred far out of range, or missing where none ever was, through the whole path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.detection.known_faults.seawall_pages import SPEC, T0_US
from seawall.baseline import Baseline
from seawall.frames import Columns
from seawall.monitor import HOUR_US
from streams.core.backtest import Backtest, Page, Setting
from streams.core.build_baseline import build_baseline

ROWS, LEARNT, WATCHED, ONSET = 100, 42 * 24, 5 * 24, 30
Values = dict[str, np.ndarray]


def traffic(seed: int, hours: int) -> Values:
    """A normal number, one with heavy tails (Student's t, 2 degrees of freedom), and one that remembers the row before."""
    rng = np.random.default_rng(seed)
    n = hours * ROWS
    memory = np.zeros(n)
    noise = rng.normal(size=n) * np.sqrt(1 - 0.9**2)
    for i in range(1, n):
        memory[i] = 0.9 * memory[i - 1] + noise[i]
    return {"plain": 40 + rng.normal(size=n), "heavy": rng.standard_t(2.0, size=n), "memory": memory}


def events(values: Values, first_hour: int) -> Columns:
    n = len(values["plain"])
    ts = T0_US + first_hour * HOUR_US + (np.arange(n) + 0.5) * (HOUR_US / ROWS)
    return Columns("predictions", "m", "v1", ts.astype(np.int64), numeric=values)


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    return build_baseline(events(traffic(1, LEARNT), 0), model="m", version="v1", now_us=0)


def pages(baseline: Baseline, seed: int, break_: Callable[[Values, np.random.Generator], None]) -> list[Page]:
    values = traffic(seed, WATCHED)
    break_(values, np.random.default_rng(seed))
    test = Backtest([Setting("default", SPEC)], [baseline])
    test.feed(events(values, LEARNT))
    return test.finish()[0].pages


def delay(page: Page) -> int:
    """Panes from the onset to the page; 1 is the first."""
    return (page.paged_us - T0_US) // HOUR_US - LEARNT - ONSET


def one_in_a_hundred(rng: np.random.Generator) -> np.ndarray:
    hit = rng.random(WATCHED * ROWS) < 0.01
    hit[: ONSET * ROWS] = False
    return hit


@pytest.mark.parametrize("name", ["plain", "heavy", "memory"])
def test_a_unit_that_is_wrong_in_one_row_of_a_hundred_is_paged_after_some_panes(
    name: str, baseline: Baseline
):
    """One row an hour: a page needs two of them, whatever the column's tail is and however alike its rows are."""

    def break_(values: Values, rng: np.random.Generator) -> None:
        values[name][one_in_a_hundred(rng)] *= 1000

    delays = []
    for seed in (11, 12, 13):
        (page, *_) = pages(baseline, seed, break_)
        assert [c.name for c in page.culprits][:1] == [name]
        delays.append(delay(page))
    assert min(delays) >= 1
    assert max(delays) <= (36 if name == "heavy" else 12)


def test_a_value_missing_in_one_row_of_a_hundred_is_paged_where_it_never_was_and_not_before_the_second(
    baseline: Baseline,
):
    def break_(values: Values, rng: np.random.Generator) -> None:
        values["plain"][one_in_a_hundred(rng)] = np.nan

    for seed in (11, 12, 13):
        (page, *_) = pages(baseline, seed, break_)
        assert [c.name for c in page.culprits] == ["plain"]
        assert 1 <= delay(page) <= 12


def test_a_slip_a_day_is_no_page(baseline: Baseline):
    """One absurd value and one that is missing every day: a mean over hours jumps each time."""

    def break_(values: Values, rng: np.random.Generator) -> None:
        values["plain"][ONSET * ROWS :: 24 * ROWS] = 1e9
        values["memory"][(ONSET + 12) * ROWS :: 24 * ROWS] = np.nan

    assert pages(baseline, 14, break_) == []


def test_heavy_tails_without_change_are_no_page(baseline: Baseline):
    for seed in (15, 16):
        assert pages(baseline, seed, lambda values, rng: None) == []
