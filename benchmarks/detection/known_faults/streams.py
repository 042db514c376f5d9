"""Rows of a table as a model's traffic, hour after hour, without any change.

Every stream draws rows of the table with replacement, so its values have the table's joint distribution (in seasonal
traffic weighted by how busy each hour is). What differs is the *order*: rows stand in a line (by the first principal
component of the numbers), a latent value chooses a place in that line, and the latent value is independent noise,
remembers the row before, wanders from hour to hour, or follows the time of day and the weekend.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.special import ndtr

from benchmarks.detection.known_faults.tables import Table

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Order:
    """How the rows of traffic follow one another. Variances of the latent value add up to one.

    Attributes
    ----------
    row_rho
        Autocorrelation of the latent value from row to row.
    level
        Share of its variance that is a level, AR(1) from hour to hour with `level_rho`.
    daily, weekly
        Share that is a sine over the day, and a step at the weekend. With either, the volume has a cycle too.
    """

    name: str
    row_rho: float = 0.0
    level: float = 0.0
    level_rho: float = 0.9
    daily: float = 0.0
    weekly: float = 0.0


ORDERS = (
    Order("exchangeable"),
    Order("autocorrelated", row_rho=0.9),
    Order("wandering", level=0.04),
    Order("seasonal", daily=0.15, weekly=0.05),
)


@dataclass
class Stream:
    """Consecutive hours of traffic: the hour of each row, where it stands in the table, and its values.

    Codes are -1 where missing.
    """

    hours: int
    hour: Ints
    row: Ints
    numeric: dict[str, Floats]
    categorical: dict[str, npt.NDArray[np.int32]]

    def until(self, hour: int) -> Stream:
        """Return the hours before `hour`."""
        rows = int(np.searchsorted(self.hour, hour))
        return Stream(
            hour,
            self.hour[:rows],
            self.row[:rows],
            {n: v[:rows] for n, v in self.numeric.items()},
            {n: v[:rows] for n, v in self.categorical.items()},
        )

    def since(self, hour: int) -> Stream:
        """Return the hours from `hour` on, counted from 0."""
        rows = int(np.searchsorted(self.hour, hour))
        return Stream(
            self.hours - hour,
            self.hour[rows:] - hour,
            self.row[rows:],
            {n: v[rows:] for n, v in self.numeric.items()},
            {n: v[rows:] for n, v in self.categorical.items()},
        )


def stream(table: Table, order: Order, hours: int, rows: float, seed: list[int]) -> Stream:
    """Make traffic of `rows` rows an hour on average; hour 0 is a Monday's midnight."""
    rng = np.random.default_rng(seed)
    clock = np.arange(hours)
    weekend = (clock // 24) % 7 >= 5
    mean = np.full(hours, rows)
    if order.daily or order.weekly:
        mean = mean * (1 + 0.6 * np.sin(2 * np.pi * (clock - 9) / 24)) * np.where(weekend, 0.7, 1.0)
    hour = np.repeat(clock, rng.poisson(mean))
    own = 1 - order.level - order.daily - order.weekly
    noise = rng.standard_normal(len(hour))
    if order.row_rho:
        noise = lfilter([np.sqrt(1 - order.row_rho**2)], [1, -order.row_rho], noise)
    latent = np.sqrt(own) * noise
    if order.level:
        steps = rng.standard_normal(hours + 200)
        level = lfilter([np.sqrt(1 - order.level_rho**2)], [1, -order.level_rho], steps)[200:]
        latent += np.sqrt(order.level) * level[hour]
    latent += np.sqrt(2 * order.daily) * np.sin(2 * np.pi * (hour % 24) / 24)
    latent += np.sqrt(order.weekly / (2 / 7 * 5 / 7)) * (weekend[hour] - 2 / 7)
    chosen = place_in_line(table)[np.minimum((ndtr(latent) * table.rows).astype(np.int64), table.rows - 1)]
    return Stream(
        hours,
        hour.astype(np.int64),
        chosen,
        {n: v[chosen] for n, v in table.numeric.items()},
        {n: c[chosen] for n, (c, _) in table.categorical.items()},
    )


def place_in_line(table: Table) -> Ints:
    """Return the rows of a table ordered by the first principal component of its standardised numbers."""
    columns = []
    for values in table.numeric.values():
        known = np.isfinite(values)
        spread = values[known].std() if known.any() else 0.0
        if spread > 0:
            columns.append(np.clip(np.where(known, (values - values[known].mean()) / spread, 0.0), -5, 5))
    x = np.stack(columns, axis=1)
    _, vectors = np.linalg.eigh(x.T @ x)
    return np.argsort(x @ vectors[:, -1], kind="stable").astype(np.int64)
