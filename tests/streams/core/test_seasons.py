"""What a baseline looks like at a given time, against slow versions of it, summer time included."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from detectors.layout import Column, Layout
from streams.core.seasons import DAY_US, HOUR_US, Seasons, offsets_us
from tests.streams.core.test_credibility import slow_means

NEW_YORK = "America/New_York"
LAYOUT = Layout.of(
    [
        Column("c", "feature", "categorical", categories=("a", "b")),
        Column("n", "feature", "numeric", edges=(0.0, 1.0, 2.0)),
    ]
)


def at(text: str) -> int:
    """Microseconds of a time in UTC."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC).timestamp()) * 1_000_000


def panes(first_us: int, days: int, pane_us: int = HOUR_US, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    starts = first_us + np.arange(days * DAY_US // pane_us, dtype=np.int64) * pane_us
    counts = np.random.default_rng(seed).integers(0, 50, (len(starts), LAYOUT.slots))
    return starts, counts


def seasons(first: str, days: int, timezone: str = NEW_YORK, pane_us: int = HOUR_US) -> Seasons:
    starts, counts = panes(at(first), days, pane_us)
    return Seasons(LAYOUT, counts, starts, pane_us, timezone)


def slow_slot(us: int, timezone: str, slots: int) -> int:
    local = dt.datetime.fromtimestamp(us // 1_000_000, ZoneInfo(timezone))
    return {1: 0, 24: local.hour, 168: local.weekday() * 24 + local.hour}[slots]


@pytest.mark.parametrize(
    ("days", "pane_us", "slots"),
    [
        (6, HOUR_US, 1),
        (8, HOUR_US, 24),
        (42, HOUR_US, 24),
        (43, HOUR_US, 168),
        (43, HOUR_US // 4, 168),
        (90, 2 * HOUR_US, 1),
    ],
)
def test_hours_are_told_apart_after_a_week_and_weekdays_after_six(
    days: int, pane_us: int, slots: int
) -> None:
    assert seasons("2026-01-05", days, pane_us=pane_us).slots == slots


def test_a_baseline_without_times_has_one_slot() -> None:
    found = Seasons(
        LAYOUT, np.ones((1, LAYOUT.slots), dtype=np.int64), np.zeros(1, dtype=np.int64), 0, NEW_YORK
    )
    assert found.slots == 1
    assert found.mixture(np.arange(3), np.arange(3), 2).tolist() == [[1.0]]
    assert [len(part) for part in found.dense_panes()] == [0, 0, 0]


@pytest.mark.parametrize("timezone", [NEW_YORK, "UTC", "Asia/Kolkata", "Australia/Sydney"])
@pytest.mark.parametrize("days", [10, 60])
def test_slots_are_the_hours_on_the_wall_all_year_round(timezone: str, days: int) -> None:
    found = seasons("2026-01-05", days, timezone)
    year, _ = panes(at("2026-01-01"), 366, HOUR_US // 2)
    assert found.slot_of(year).tolist() == [slow_slot(us, timezone, found.slots) for us in year.tolist()]


def test_in_new_york_an_hour_is_left_out_in_march_and_one_comes_twice_in_november() -> None:
    found = seasons("2026-01-05", 60)
    sunday = 6 * 24
    spring, _ = panes(at("2026-03-08T05:00"), 1)
    assert found.slot_of(spring[:4]).tolist() == [sunday + h for h in (0, 1, 3, 4)]
    autumn, _ = panes(at("2026-11-01T04:00"), 1)
    assert found.slot_of(autumn[:4]).tolist() == [sunday + h for h in (0, 1, 1, 2)]
    assert offsets_us(NEW_YORK, spring[1:3]).tolist() == [-5 * HOUR_US, -4 * HOUR_US]


def test_nine_in_the_morning_stays_nine_in_the_morning_across_the_change() -> None:
    """Traffic that lives by the clock on the wall is as expected on both sides, and is not by the clock in UTC."""
    starts, counts = panes(at("2026-02-20T05:00"), 30)
    is_morning = np.array([slow_slot(us, NEW_YORK, 24) == 9 for us in starts.tolist()])
    counts[:] = 0
    one, other = (LAYOUT.slice_of(LAYOUT.index["feature/c"]).start + 2 + k for k in (0, 1))
    counts[np.arange(len(counts)), np.where(is_morning, one, other)] = 10_000
    after = np.array([at("2026-04-01T13:00"), at("2026-04-01T14:00")])
    rows = np.array([10, 10])
    by_zone = [
        Seasons(LAYOUT, counts, starts, HOUR_US, zone).expected(after, rows, 1)[:, one]
        for zone in (NEW_YORK, "UTC")
    ]
    assert by_zone[0] == pytest.approx([1.0, 0.0], abs=0.01)
    assert by_zone[1][1] > 0.3  # at 14:00 UTC it was nine in winter


@pytest.mark.parametrize(("days", "slots"), [(4, 1), (20, 24), (50, 168)])
def test_an_hour_of_the_week_is_drawn_towards_that_hour_of_all_days_and_this_towards_all(
    days: int, slots: int
) -> None:
    starts, counts = panes(at("2026-02-20"), days)
    counts[:, LAYOUT.slice_of(LAYOUT.index["feature/n"])] = 0  # of which nothing is known
    found = Seasons(LAYOUT, counts, starts, HOUR_US, NEW_YORK)
    assert found.shares.shape == (slots, LAYOUT.slots)
    assert not found.shares[:, LAYOUT.slice_of(LAYOUT.index["feature/n"])].any()
    at_column = LAYOUT.slice_of(LAYOUT.index["feature/c"])
    held = counts[:, at_column]
    overall = held.sum(axis=0) / held.sum()
    rows, group = held.sum(axis=1)[:, None].astype(np.float64), np.zeros(len(overall), dtype=np.int64)
    shares = overall[None, :]
    for level in {1: [], 24: [24], 168: [24, 168]}[slots]:
        slot = np.array([slow_slot(us, NEW_YORK, level) for us in starts.tolist()])
        coarser = np.array([shares[s % len(shares)] for s in range(level)])
        shares = slow_means(held, rows, group, 1 / overall, slot, coarser)
    np.testing.assert_allclose(found.shares[:, at_column], shares)
    np.testing.assert_allclose(found.shares[:, at_column].sum(axis=1), 1.0)


@pytest.mark.parametrize("days", [20, 50])
def test_a_window_is_mixed_from_slots_as_its_rows_were(days: int) -> None:
    """Across the change in March, with panes of a quarter of an hour."""
    found = seasons("2026-01-05", days)
    starts, _ = panes(at("2026-03-08"), 1, HOUR_US // 4)
    rows = np.random.default_rng(1).integers(0, 9, len(starts))
    rows[40:50] = 0
    width = 6
    mixture, expected = (f(starts, rows, width) for f in (found.mixture, found.expected))
    assert len(mixture) == len(starts) - width + 1
    for w in range(len(mixture)):
        slow = np.zeros(found.slots)
        for k in range(w, w + width):
            slow[slow_slot(int(starts[k]), NEW_YORK, found.slots)] += rows[k]
        slow = slow / slow.sum() if slow.any() else np.full(found.slots, 1 / found.slots)
        np.testing.assert_allclose(mixture[w], slow)
        np.testing.assert_allclose(
            expected[w], sum(share * of for share, of in zip(slow, found.shares, strict=True))
        )


def test_without_some_panes_the_rest_is_left_in_as_many_slots() -> None:
    starts, counts = panes(at("2026-02-20"), 50)
    whole = Seasons(LAYOUT, counts, starts, HOUR_US, NEW_YORK)
    rest = whole.without(starts[: 24 * 45])
    assert rest.slots == 168
    by_hand = Seasons(LAYOUT, counts[24 * 45 :], starts[24 * 45 :], HOUR_US, NEW_YORK, slots=168)
    np.testing.assert_array_equal(rest.shares, by_hand.shares)


def test_panes_without_rows_have_their_place_between_the_others() -> None:
    starts, counts = panes(at("2026-03-08"), 1)
    keep = np.array([0, 1, 5, 23])
    dense_starts, dense, rows = Seasons(LAYOUT, counts[keep], starts[keep], HOUR_US, NEW_YORK).dense_panes()
    assert dense_starts.tolist() == starts.tolist()
    for k in range(24):
        there = k in keep
        assert dense[k].tolist() == (counts[k].tolist() if there else [0] * LAYOUT.slots)
        most = max(int(counts[k, LAYOUT.slice_of(i)].sum()) for i in range(2))
        assert rows[k] == (most if there else 0)
