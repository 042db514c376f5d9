"""The feature pipeline: what is known at the planned departure, and nothing later.

Training and the feature store use `features` as it is. A release brings its own *serving* code, `serve`, which
takes the store's rows; that is where the second version has its fault.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from examples.flights.data import HOUR_US, MINUTE_US, WEATHER

Floats = npt.NDArray[np.float64]

CATEGORICAL = ("carrier", "dest", "origin", "weekday")
#: The delay of departures that have already left is known; two hours of them say how the airport is doing.
AIRPORT_MEMORY_US = 2 * HOUR_US
CARRIER_MEMORY_US = 3 * HOUR_US
TRAFFIC_US = 30 * MINUTE_US
UNITS = {
    "temp": "temp_f",
    "dewp": "dewp_f",
    "humid": "humid_pct",
    "wind_speed": "wind_mph",
    "wind_gust": "gust_mph",
    "wind_dir": "wind_deg",
    "visib": "visib_mi",
    "pressure": "pressure_hpa",
    "precip": "precip_in",
}
NUMERIC = (
    "hour",
    "minute",
    "block_min",
    "distance_mi",
    *(UNITS[name] for name in WEATHER),
    "airport_delay_min",
    "carrier_delay_min",
    "traffic_flights",
)


def features(flights: pd.DataFrame) -> pd.DataFrame:
    """Return one row of features per flight, as the feature store computes them.

    Parameters
    ----------
    flights
        What `data.prepare` returns; all of it, because the delay features look back.
    """
    out = flights[["hour", "minute", "block_min", "distance_mi"]].astype(float)
    for name in WEATHER:
        out[UNITS[name]] = flights[name].astype(float)
    out["airport_delay_min"] = _recent_delay(flights, "origin", AIRPORT_MEMORY_US)
    out["carrier_delay_min"] = _recent_delay(flights, "carrier", CARRIER_MEMORY_US)
    out["traffic_flights"] = _traffic(flights)
    for name in CATEGORICAL:
        out[name] = flights[name].astype(object)
    return out


def _recent_delay(flights: pd.DataFrame, group: str, memory_us: int) -> Floats:
    """Mean departure delay of the group's flights that left within `memory_us` before each planned departure.

    A flight counts from the moment it left, not from the moment it was planned: before that nobody knew. Missing
    when nothing left, as in the early morning.
    """
    asked_us = flights["planned_us"].to_numpy()
    left_us = flights["departed_us"].to_numpy()
    delay_min = flights["delay_min"].to_numpy()
    out = np.full(len(flights), np.nan)
    for rows in _rows_of(flights, group):
        gone = rows[left_us[rows] >= 0]
        gone = gone[np.argsort(left_us[gone], kind="stable")]
        total = np.concatenate(([0.0], np.cumsum(delay_min[gone])))
        until = np.searchsorted(left_us[gone], asked_us[rows], side="left")
        since = np.searchsorted(left_us[gone], asked_us[rows] - memory_us, side="left")
        number = until - since
        mean = (total[until] - total[since]) / np.maximum(number, 1)
        out[rows] = np.where(number > 0, mean, np.nan)
    return out


def _rows_of(flights: pd.DataFrame, group: str) -> list[npt.NDArray[np.intp]]:
    """Row numbers of each value of a column, ascending."""
    codes, words = pd.factorize(flights[group])
    return [np.flatnonzero(codes == code) for code in range(len(words))]


def _traffic(flights: pd.DataFrame) -> Floats:
    """Departures that the schedule has at the same airport within half an hour either way."""
    planned_us = flights["planned_us"].to_numpy()
    out = np.empty(len(flights))
    for rows in _rows_of(flights, "origin"):
        times = planned_us[rows]  # already ascending
        after = np.searchsorted(times, times + TRAFFIC_US, side="right")
        out[rows] = after - np.searchsorted(times, times - TRAFFIC_US, side="left")
    return out


def as_stored(rows: pd.DataFrame) -> pd.DataFrame:
    """Serve what the store holds: version 1's pipeline."""
    return rows


def delays_in_seconds(rows: pd.DataFrame) -> pd.DataFrame:
    """Serve what the store holds, except that delays come from the new operations feed: version 2's pipeline.

    The feed reports seconds. Training read the history, which is in minutes; nobody converts.
    """
    return rows.assign(
        airport_delay_min=rows["airport_delay_min"] * 60, carrier_delay_min=rows["carrier_delay_min"] * 60
    )


Serve = Callable[[pd.DataFrame], pd.DataFrame]
SERVING: dict[str, Serve] = {"v1": as_stored, "v2": delays_in_seconds}


def to_columns(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the rows as plain columns, for the SDK: float64 arrays and lists of strings."""
    columns: dict[str, Any] = {name: rows[name].to_numpy(dtype=float) for name in NUMERIC}
    columns.update({name: rows[name].tolist() for name in CATEGORICAL})
    return columns
