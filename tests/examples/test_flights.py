"""The demo's own logic, on a handful of flights: no broker, no store, no data set."""

from __future__ import annotations

from html import escape

import numpy as np
import pandas as pd
import pytest

from examples.flights import charts, data, features, replay, report_tables, results, verify
from examples.flights.data import DAY_US, HOUR_US, MINUTE_US
from tests.contract.samples import alarm


def flights(**columns: list[object]) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    base: dict[str, list[object]] = {
        "planned_us": [0] * rows,
        "departed_us": [-1] * rows,
        "delay_min": [np.nan] * rows,
        "origin": ["JFK"] * rows,
        "carrier": ["B6"] * rows,
    }
    return pd.DataFrame({**base, **columns})


def recent(table: pd.DataFrame) -> list[float]:
    return list(features._recent_delay(table, "origin", features.AIRPORT_MEMORY_US))


def test_a_delay_is_known_only_once_the_flight_has_left() -> None:
    # Planned an hour before the second flight, but it left after that flight's prediction was made.
    table = flights(
        planned_us=[0, HOUR_US, 2 * HOUR_US],
        departed_us=[HOUR_US + MINUTE_US, HOUR_US, 2 * HOUR_US],
        delay_min=[61.0, 0.0, 0.0],
    )
    delays = recent(table)
    assert np.isnan(delays[:2]).all()
    assert delays[2] == pytest.approx(30.5)


def test_a_flight_does_not_see_its_own_delay() -> None:
    table = flights(planned_us=[HOUR_US], departed_us=[HOUR_US], delay_min=[0.0])
    assert np.isnan(recent(table)).all()


def test_delays_of_other_airports_do_not_count() -> None:
    table = flights(
        planned_us=[0, HOUR_US], departed_us=[0, HOUR_US], delay_min=[9.0, 0.0], origin=["EWR", "JFK"]
    )
    assert np.isnan(recent(table)[1])


def test_delays_are_forgotten_after_two_hours() -> None:
    table = flights(planned_us=[0, 3 * HOUR_US], departed_us=[0, 3 * HOUR_US], delay_min=[9.0, 0.0])
    assert np.isnan(recent(table)[1])


def test_new_york_is_five_hours_behind_in_winter_and_four_in_summer() -> None:
    winter, summer = data.at_us("2013-01-15 12:00"), data.at_us("2013-07-15 12:00")
    assert winter % DAY_US == 17 * HOUR_US
    assert summer % DAY_US == 16 * HOUR_US


def test_the_second_version_serves_delays_in_seconds_and_nothing_else_differs() -> None:
    rows = pd.DataFrame({"airport_delay_min": [2.0], "carrier_delay_min": [-1.0], "temp_f": [50.0]})
    served = features.SERVING["v2"](rows)
    assert served.to_dict("list") == {
        "airport_delay_min": [120.0],
        "carrier_delay_min": [-60.0],
        "temp_f": [50.0],
    }
    assert features.SERVING["v1"](rows) is rows


def test_events_add_up_only_when_all_are_accounted_for() -> None:
    pace = replay.Pace(wall_seconds=10, paced_wall_seconds=4, paced_events=100)
    events = {"labels": {"sent": 700, "counted": 690, "late": 7, "dead_lettered": 3}}
    run = results.Results(events, [], [], [], pace, 0.0, {"worker": 1, "total": 2}, 12.0)
    assert run.is_exact
    assert run.events_per_second == pytest.approx(70)
    assert run.full_speed_events_per_second == pytest.approx(100)
    run.events["labels"]["late"] = 6
    assert not run.is_exact


def test_recounted_numbers_fall_into_half_open_bins_of_which_the_last_is_closed() -> None:
    column = {"kind": "numeric", "edges": [0.0, 1.0, 2.0]}
    values = pd.Series([np.nan, np.inf, -0.1, 0.0, 0.9, 1.0, 2.0, 2.1])
    assert verify._slots(values, column, 8).tolist() == [0, 1, 2, 3, 3, 4, 4, 5]


def test_recounted_words_that_the_baseline_never_saw_are_others() -> None:
    column = {"kind": "categorical", "categories": ["a", "b"]}
    assert verify._slots(pd.Series(["b", "a", "z", None], dtype=object), column, 4).tolist() == [3, 2, 1, 0]


def test_a_year_is_ticked_by_months_and_a_day_by_hours() -> None:
    year = [words for _, words in charts.ticks(data.at_us("2013-01-01"), data.at_us("2014-01-01"))]
    assert year == ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    day = [words for _, words in charts.ticks(data.at_us("2013-05-06"), data.at_us("2013-05-07"))]
    assert day == ["6 May", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]


def test_the_report_tells_what_no_other_row_of_its_table_tells() -> None:
    """Alarms of airports are not in the table: what one of them speaks for is told by its own row."""
    joined = {**alarm(), "incident_id": "speaker", "steps": 1}
    assert "dep_delay" in report_tables._alarm(joined, {"speaker"})[5]
    assert "Told by the alarm of the same cause." in report_tables._alarm(joined, {"speaker"})[5]
    assert escape(str(joined["story"])) in report_tables._alarm(joined, {str(joined["alarm_id"])})[5]
