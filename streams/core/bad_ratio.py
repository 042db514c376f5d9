"""When so much of a partition cannot be read that going on would do harm.

A few bad records are set aside as dead letters. A partition of which most cannot be read has another trouble: a
producer that was deployed with the wrong schema, a topic mixed up. Draining it would commit past data that one
change could make readable again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TooMany:
    """The limit was passed."""

    offset: int
    """Of the record with which it was."""
    records: int
    """Records looked at: the last of them is that one."""
    bad: int
    """How many of these could not be read."""


class BadRatio:
    """Share of bad records among the last `least` ones of a partition.

    Deterministic: the outcome depends on the records since the first one taken, not on how they were fetched. Time
    is linear in the number of *bad* records, memory bounded by `least`.

    Parameters
    ----------
    limit
        Share that is still accepted, 0 to 1; with 1 nothing is ever too many.
    least
        Records that are looked at, at least 1. Fewer say nothing yet.
    """

    def __init__(self, limit: float, least: int) -> None:
        self._limit = limit
        self._least = max(least, 1)
        self._taken = 0
        self._bad: deque[int] = deque()

    def take(self, offsets: Sequence[int], bad: Sequence[int]) -> TooMany | None:
        """Take records, by their offsets, and say when the limit was passed.

        Parameters
        ----------
        offsets
            Of all records, ascending.
        bad
            Of those among them that could not be read, ascending.
        """
        first, self._taken = self._taken, self._taken + len(offsets)
        positions = [first + bisect_left(offsets, offset) for offset in bad]
        judged = self._least - 1  # position of the first record at which anything can be said
        if first <= judged < self._taken and judged not in positions:
            # the share only rises with a bad record, except here, where it is first looked at
            positions = sorted([*positions, judged])
            bad_at = {first + bisect_left(offsets, offset) for offset in bad}
        else:
            bad_at = set(positions)
        for position in positions:
            if position in bad_at:
                self._bad.append(position)
            while self._bad and self._bad[0] <= position - self._least:
                self._bad.popleft()
            if position >= judged and len(self._bad) > self._limit * self._least:
                return TooMany(offsets[position - first], self._least, len(self._bad))
        return None
