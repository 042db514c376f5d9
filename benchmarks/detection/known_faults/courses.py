"""How a fault comes: at once and in every row, by degrees, now and then, or in a share of the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
#: What comes by degrees is all there after this long.
GROWTH_HOURS = 7 * 24


@dataclass(frozen=True)
class Course:
    """When a fault is there, in which rows, and how much of it.

    Attributes
    ----------
    name
        What is added to the fault's own name.
    rows
        Share of the rows that are hit, each by its own chance.
    grows
        ``rows`` when that share grows from nothing over `GROWTH_HOURS`, ``size`` when every row is hit and the fault
        itself grows, or neither.
    on_hours, every_hours
        It is there for so many hours, then gone until so many have passed since it began; 0 for ever.
    """

    name: str = ""
    rows: float = 1.0
    grows: str = ""
    on_hours: int = 0
    every_hours: int = 0

    def hit(self, hour: Ints, at_hour: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
        """Return which rows are hit, of rows in these hours and a fault from `at_hour` on."""
        since = hour - at_hour
        hit = since >= 0
        if self.every_hours:
            hit = hit & (since % self.every_hours < self.on_hours)
        share = self.rows * (_grown(since) if self.grows == "rows" else np.ones(len(hour)))
        # Nothing is drawn for a fault in every row, so what such faults draw does not depend on courses.
        return hit & (rng.random(len(hour)) < share) if share.min(initial=1.0) < 1.0 else hit

    def size(self, full: float, nothing: float, hour: Ints, at_hour: int) -> Floats | float:
        """Return the fault's size row by row, on its way from `nothing` to `full`."""
        if self.grows != "size":
            return full
        return nothing + (full - nothing) * _grown(hour - at_hour)


AT_ONCE = Course()
GRADUAL = Course("gradual", grows="rows")
INCREMENTAL = Course("incremental", grows="size")
#: Four hours of every day: a job that runs once a day and reads the wrong thing.
RECURRING = Course("recurring", on_hours=4, every_hours=24)


def in_rows(share: float) -> Course:
    """Return the course of a fault that hits a share of the rows at random."""
    return Course(f"in {share:.0%} of rows", rows=share)


def _grown(since: Ints) -> Floats:
    """Return how much is there: the last hour of the growth, and those after it, have all of it."""
    return np.clip((since + 1) / GROWTH_HOURS, 0.0, 1.0).astype(np.float64)
