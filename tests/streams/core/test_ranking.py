"""Of several columns that drift, the one that moved most is named first; those that nearly drift are named too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seawall.frames import Columns
from seawall.monitor import DAY_US, HOUR_US, MonitorSpec
from streams.core.alarm_steps import AlarmStep, culprits_of
from streams.core.backtest import Backtest, Setting
from streams.core.build_baseline import build_baseline
from streams.core.verdicts import ColumnVerdict, Verdict, WindowVerdict

T0_US = 20_454 * DAY_US
DAYS, LIVE_DAYS, ONSET = 14, 3, 60
SPEC = MonitorSpec("m", pane_us=HOUR_US, horizons_us=(HOUR_US, 6 * HOUR_US))


def rows(first_hour: int, hours: int, an_hour: int, seed: int) -> Columns:
    """Three columns that go together: a normal one, one that is bounded, one with a sharp left edge."""
    rng = np.random.default_rng(seed)
    n = hours * an_hour
    common = rng.normal(size=n)
    a, b, c = (0.8 * common + 0.6 * rng.normal(size=n) for _ in range(3))
    ts = T0_US + first_hour * HOUR_US + np.arange(n, dtype=np.int64) * (HOUR_US // an_hour)
    return Columns(
        "predictions",
        "m",
        "v1",
        ts,
        {"inside": a, "bounded": np.clip(1.5 * b, -1, 1) + 0.01 * rng.normal(size=n), "edge": np.exp(c)},
    )


def first_page(shifts: dict[str, float], an_hour: int = 100) -> AlarmStep:
    """Return what is told first when columns move by so many standard deviations."""
    baseline = build_baseline(rows(0, DAYS * 24, an_hour, 1), model="m", version="v1", now_us=0)
    live = rows(DAYS * 24, LIVE_DAYS * 24, an_hour, 2)
    bad = live.ts >= T0_US + (DAYS * 24 + ONSET) * HOUR_US
    for name, shift in shifts.items():
        values = live.numeric[name]
        live.numeric[name] = np.where(bad, values + shift * values.std(), values)
    test = Backtest([Setting("default", SPEC)], [baseline])
    test.feed(live)
    (outcome,) = test.finish()
    return next(s for s in outcome.steps if s.updated_us > T0_US + (DAYS * 24 + ONSET) * HOUR_US)


@pytest.mark.parametrize("size", [0.5, 1.0])
def test_the_column_that_moved_most_comes_before_decoys_that_leave_their_range(size: float):
    page = first_page({"inside": size, "bounded": size / 2, "edge": size / 2}, an_hour=300)
    assert page.culprits[0].name == "inside"
    # By how far beyond its limit each is, another one would come first: that is what makes it a decoy.
    assert max(page.culprits, key=lambda c: c.ratio).name != "inside"


def test_a_column_close_to_its_limit_is_named_beside_those_beyond():
    """A hundred rows do not prove half a standard deviation, while what leaves its range is proven at once."""
    page = first_page({"inside": 0.5, "bounded": 0.25})
    assert [c.name for c in page.culprits] == ["bounded"]
    assert page.near == ("inside",)
    assert "inside is close to its limit too." in page.story


def window(*columns: ColumnVerdict) -> WindowVerdict:
    return WindowVerdict(
        "m", "v1", "predictions", "", HOUR_US, 0, HOUR_US, 100, Verdict.DRIFT, "drift", columns
    )


def column(name: str, moved: float | None, value: float, **more: float) -> ColumnVerdict:
    role = "relation" if moved is None else "feature"
    return ColumnVerdict(name, role, Verdict.DRIFT, "js", value, 0.1, 0.01, moved=moved, **more)  # type: ignore[arg-type]


def names(verdict: WindowVerdict) -> list[str]:
    return [c.name for c in culprits_of(verdict)]


def test_columns_come_in_the_order_of_how_far_they_moved_and_pairs_after_them():
    said = window(column("a and b", None, 0.9), column("c", 0.2, 0.5), column("d", 0.4, 0.2))
    assert names(said) == ["d", "c", "a and b"]
    assert names(replace(said, columns=said.columns[::-1])) == ["d", "c", "a and b"]


def test_importance_decides_between_columns_that_moved_about_as_far():
    close = window(column("x", 0.5, 0.2, importance=0.9), column("y", 0.9, 0.2, importance=0.1))
    assert names(close) == ["x", "y"]
    far = window(column("x", 0.2, 0.2, importance=0.9), column("y", 0.9, 0.2, importance=0.1))
    assert names(far) == ["y", "x"]


def test_what_has_no_movement_is_ranked_by_how_far_beyond_its_limit_it_is():
    assert names(window(column("p", None, 0.3), column("q", None, 0.7))) == ["q", "p"]


def test_a_page_without_columns_near_their_limits_says_nothing_of_them():
    page = first_page({"inside": 1.0})
    assert page.near == ()
    assert "close to" not in page.story
