"""Volume and freshness."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from seawall.monitor import HOUR_US, MINUTE_US, MonitorSpec
from streams.core.alarms import AlarmBook
from streams.core.traffic import VOLUME_FACTOR, Traffic, is_off
from streams.core.verdicts import Verdict
from streams.core.words import duration_text

SPEC = MonitorSpec(
    "m", pane_us=10 * MINUTE_US, horizons_us=(HOUR_US,), freshness_us=30 * MINUTE_US, open_after=2
)
T0 = 1_700_000_000_000_000 // HOUR_US * HOUR_US


def feed(traffic: Traffic, hours: dict[int, int], spec: MonitorSpec = SPEC) -> list[tuple[int, str, Verdict]]:
    """Give every hour so many rows, spread over its panes; returns (hour, kind, verdict) of what drifted."""
    panes = {
        T0 + h * HOUR_US + k * spec.pane_us: rows // 6 for h, rows in hours.items() for k in range(6) if rows
    }
    found = []
    for start in sorted(panes):
        found += traffic.advance(spec, {start: panes[start]}, start + spec.pane_us)
    return [((v.start_us - T0) // HOUR_US, v.kind, v.verdict) for v in found]


def drifted(found: list[tuple[int, str, Verdict]], kind: str) -> list[int]:
    return [h for h, k, v in found if k == kind and v is Verdict.DRIFT]


def daily(h: int) -> int:
    return 600 if 8 <= h % 24 < 20 else 60


def test_a_day_and_night_pattern_is_no_alarm():
    assert drifted(feed(Traffic("m"), {h: daily(h) for h in range(24 * 30)}), "volume") == []


def test_an_hour_with_a_tenth_of_its_usual_volume_is_told():
    hours = {h: daily(h) for h in range(24 * 10)} | {24 * 9 + 12: 60}
    assert drifted(feed(Traffic("m"), hours), "volume") == [24 * 9 + 12]


def test_hours_without_any_event_are_told_when_the_next_event_comes():
    hours = {h: daily(h) for h in range(24 * 10)}
    for h in range(24 * 8 + 10, 24 * 8 + 13):
        del hours[h]
    assert drifted(feed(Traffic("m"), hours), "volume") == [24 * 8 + 10, 24 * 8 + 11, 24 * 8 + 12]


def test_few_rows_scatter_without_alarm():
    assert not is_off(4.0, 0, VOLUME_FACTOR)
    assert not is_off(4.0, 16, VOLUME_FACTOR)
    assert is_off(400.0, 20, VOLUME_FACTOR)


def test_the_first_weekend_is_no_alarm_where_weekends_are_quiet() -> None:
    """T0 is a Tuesday: Saturday comes before any hour of the week was seen twice."""
    usual = {h: 600 if (T0 // HOUR_US + h + 72) % 168 < 120 else 60 for h in range(24 * 21)}
    assert drifted(feed(Traffic("m"), usual), "volume") == []


@pytest.mark.parametrize(("scatter", "alike"), [(0.3, 0.5), (0.8, 0.7), (1.0, 0.7)])
def test_a_volume_that_is_restless_by_itself_keeps_a_tenth_of_the_budget(
    scatter: float, alike: float
) -> None:
    """Log-normal, correlated from hour to hour; three times 120 days, the budget being one page in thirty."""
    pages = 0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        level, hours = 0.0, {}
        for h in range(24 * 120):
            level = alike * level + np.sqrt(1 - alike**2) * rng.normal()
            hours[h] = int(rng.poisson(200 * np.exp(scatter * level - scatter**2 / 2)))
        book, traffic = AlarmBook("m"), Traffic("m")
        spec = replace(SPEC, pane_us=HOUR_US, freshness_us=None)
        for h, rows in hours.items():
            start = T0 + h * HOUR_US
            for verdict in traffic.advance(spec, {start: rows} if rows else {}, start + HOUR_US):
                pages += sum(step.state == "open" for step in book.step(verdict, spec))
    assert pages <= 3 * 120 / 30 * 0.25


def test_an_outage_is_told_however_restless_the_volume_is() -> None:
    rng = np.random.default_rng(1)
    hours = {h: int(rng.poisson(600 * np.exp(0.5 * rng.normal()))) for h in range(24 * 30)}
    outage = range(24 * 28, 24 * 28 + 5)
    found = drifted(feed(Traffic("m"), hours | dict.fromkeys(outage, 6)), "volume")
    assert found == list(outage)


def test_an_outage_does_not_become_normal():
    hours = {h: daily(h) for h in range(24 * 12)}
    outage = range(24 * 9 + 8, 24 * 9 + 19)
    hours |= dict.fromkeys(outage, 12)
    found = drifted(feed(Traffic("m"), hours), "volume")
    assert found == list(outage)


def working(h: int) -> int:
    """Day and night, and half of it on Saturdays and Sundays; of hours since T0, a Tuesday."""
    is_weekend = (T0 // HOUR_US + h + 72) % 168 >= 120
    return daily(h) // (2 if is_weekend else 1)


def alarms(hours: dict[int, int]) -> list[tuple[int, str]]:
    """Return (hour, state) of what alarms about so much traffic did."""
    traffic, book = Traffic("m"), AlarmBook("m")
    spec = replace(SPEC, pane_us=HOUR_US, freshness_us=None)
    return [
        (h, step.state)
        for h, rows in sorted(hours.items())
        for verdict in traffic.advance(spec, {T0 + h * HOUR_US: rows}, T0 + (h + 1) * HOUR_US)
        for step in book.step(verdict, spec)
        if step.state in {"open", "resolved"}
    ]


@pytest.mark.parametrize("week", [2, 7])
def test_an_outage_of_a_week_is_one_alarm_that_ends_after_it(week: int) -> None:
    first = (week - 1) * 168 + 24
    hours = {h: working(h) for h in range(first + 3 * 168)}
    outage = {h: working(h) // 10 for h in range(first, first + 168)}
    (opened, began), (resolved, ended) = alarms(hours | outage)
    assert (began, ended) == ("open", "resolved")
    assert opened - first < 24
    assert resolved == first + 168 + SPEC.resolve_after  # an hour is judged when the next one begins


@pytest.mark.parametrize("week", [2, 7])
def test_an_outage_leaves_the_rule_as_it_was(week: int) -> None:
    """One like it a fortnight later is told as soon as the first was, to the hour."""
    first = (week - 1) * 168 + 24
    hours = {h: working(h) for h in range(first + 5 * 168)}
    two = [h for at in (first, first + 14 * 24) for h in range(at, at + 48)]
    opened = [h for h, state in alarms(hours | {h: working(h) // 10 for h in two}) if state == "open"]
    assert len(opened) == 2
    assert opened[1] - opened[0] <= 14 * 24


def test_a_tenth_for_good_is_usual_after_three_weeks_of_one_alarm() -> None:
    first = 5 * 168
    hours = {h: working(h) // (1 if h < first else 10) for h in range(first + 8 * 168)}
    (opened, began), (resolved, ended) = alarms(hours)
    assert (began, ended) == ("open", "resolved")
    assert opened - first < 24
    assert resolved - first < 3 * 168 + 24


@pytest.mark.parametrize("week", [2, 7])
def test_a_lasting_halving_is_no_alarm_and_hides_no_outage(week: int) -> None:
    first = week * 168
    hours = {h: working(h) // (1 if h < first else 2) for h in range(first + 7 * 168)}
    assert alarms(hours) == []
    outage = range(first + 6 * 168, first + 6 * 168 + 24)
    assert [state for _, state in alarms(hours | dict.fromkeys(outage, 0))] == ["open", "resolved"]


def test_silence_beyond_the_promise_is_told_and_its_end_too():
    traffic = Traffic("m")
    feed(traffic, {0: 600})
    silent = traffic.advance(SPEC, {}, T0 + 3 * HOUR_US)
    fresh = [v for v in silent if v.kind == "freshness"]
    assert [v.verdict for v in fresh] == [Verdict.DRIFT] * SPEC.open_after
    assert fresh[0].end_us == T0 + HOUR_US + 30 * MINUTE_US
    assert fresh[0].columns[0].value == 30 * 60
    again = traffic.advance(SPEC, {T0 + 3 * HOUR_US: 100}, T0 + 3 * HOUR_US + SPEC.pane_us)
    assert [v.verdict for v in again if v.kind == "freshness"] == [Verdict.STABLE]


def test_without_a_promise_silence_is_fine():
    traffic = Traffic("m")
    spec = MonitorSpec("m", pane_us=10 * MINUTE_US)
    feed(traffic, {0: 600}, spec)
    assert traffic.advance(spec, {}, T0 + 1000 * HOUR_US) == []


def test_saved_and_restored_it_says_the_same():
    hours = {h: daily(h) for h in range(24 * 10)} | dict.fromkeys(range(24 * 8 + 12, 24 * 9 + 2), 6)
    whole = feed(Traffic("m"), hours)
    traffic, pieces = Traffic("m"), []
    for h, rows in hours.items():
        traffic = Traffic.restore("m", json.loads(json.dumps(traffic.snapshot())))
        pieces += feed(traffic, {h: rows})
    assert pieces == whole


def summaries(hours: dict[int, int], upto_hour: int = 0) -> list[str]:
    """Return what the alarms over so much traffic say."""
    traffic, book, said = Traffic("m"), AlarmBook("m"), []
    spec = replace(SPEC, open_after=1, resolve_after=1)
    panes = {T0 + h * HOUR_US + k * spec.pane_us: rows // 6 for h, rows in hours.items() for k in range(6)}
    told = [traffic.advance(spec, {at: n} if n else {}, at + spec.pane_us) for at, n in sorted(panes.items())]
    told.append(traffic.advance(spec, {}, T0 + upto_hour * HOUR_US))
    for verdict in (v for verdicts in told for v in verdicts):
        said += [step.summary for step in book.step(verdict, spec)]
    return said


def test_an_alarm_about_volume_says_how_many_predictions_came_and_how_many_usually_do():
    opened, over = summaries({h: daily(h) for h in range(24 * 10)} | {24 * 9 + 12: 60})
    assert opened == (
        "m: traffic is far from its usual volume (60 predictions in the hour, usually 600; limit 150, chance 552) "
        "since 2023-11-24 11:00 UTC"
    )
    assert over.endswith("after 1h: back to its usual volume for 1 h")


def test_an_alarm_about_freshness_says_how_long_nothing_came_in_words():
    hours = {h: daily(h) for h in range(24 * 3)}
    (said,) = summaries(hours, 24 * 3 + 3)
    assert re.fullmatch(
        r"m: no predictions for 30 min, usually at most \d+ (s|min) \(limit 30 min\) since 2023-11-\d\d \d\d:00 UTC",
        said,
    )
    assert "seconds" not in said
    assert "baseline" not in said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (40.4, "40 s"), (60, "1 min"), (4200, "1 h 10 min"), (3605, "1 h"), (183_600, "2 d 3 h")],
)
def test_durations_are_said_in_their_two_largest_units(seconds: float, said: str):
    assert duration_text(seconds) == said


def test_a_silence_that_is_a_loss_of_volume_too_is_one_page_that_says_so_and_ends_as_a_silence_does():
    spec = replace(SPEC, notify=("log",))
    traffic, book = Traffic("m"), AlarmBook("m")
    rows = {T0 + h * HOUR_US: 600 for h in range(24 * 12) if not 24 * 9 + 12 <= h < 24 * 9 + 18}
    steps = [
        step
        for at, n in sorted(rows.items())
        for verdict in traffic.advance(spec, dict.fromkeys(range(at, at + HOUR_US, spec.pane_us), n // 6), at)
        for step in book.step(verdict, spec)
    ]
    page = [s for s in steps if s.notify]
    assert [s.state for s in page] == ["open", "updated", "resolved"]
    assert {s.kind for s in page} == {"freshness"}
    assert page[1].story.startswith("New: volume (0 predictions in the hour, usually 600) joined.")
    assert page[2].summary.endswith("predictions arrive again, and all that began with it is over too")
