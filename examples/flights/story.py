"""The dates of the story. Times are New York's wall clock, as the airports live by it."""

from __future__ import annotations

from dataclasses import dataclass

from examples.flights.data import DAY_US, HOUR_US, at_us

#: In January and February there is no model yet: the feature store and the arrivals are recorded, nothing is predicted.
YEAR = (at_us("2013-01-01"), at_us("2014-01-01"))
V1_RELEASED_US = at_us("2013-03-01")
V2_TRAINED_UNTIL_US = at_us("2013-05-01")
V2_RELEASED_US = at_us("2013-05-06 09:00")
#: How long before a release the replay slows down, and how long after it at the most.
PACED_BEFORE_US = 3 * HOUR_US
PACED_AFTER_US = 2 * DAY_US
#: Once the rollback is applied, the pace is kept this long, to show the recovery.
PACED_AFTER_ROLLBACK_US = 6 * HOUR_US


@dataclass(frozen=True)
class Release:
    """A version that goes into production."""

    version: str
    at_us: int
    trained_since_us: int
    trained_until_us: int
    parent: str | None
    notes: str


RELEASES = (
    Release("v1", V1_RELEASED_US, YEAR[0], V1_RELEASED_US, None, "trained on January and February"),
    Release(
        "v2",
        V2_RELEASED_US,
        YEAR[0],
        V2_TRAINED_UNTIL_US,
        "v1",
        "trained on January to April; reads delays from the new operations feed",
    ),
)
