"""Prior shift: the shares of the classes change, and what a row of each class looks like does not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.detection.known_faults.faults import Fault, Hit
from benchmarks.detection.known_faults.streams import Ints, Stream
from benchmarks.detection.known_faults.tables import Table

_WEEK_HOURS = 7 * 24


def shift_prior(
    stream: Stream,
    fault: Fault,
    at_hour: int,
    table: Table,
    reference: Stream,
    rng: np.random.Generator,
) -> Hit | None:
    """Let the commonest class lose `fault.size` of all rows to the next.

    A row that leaves gives its place to one of the other class that came at the same hour of the week in the reference,
    so in exchangeable and in seasonal traffic rows of a class at an hour are exactly what they were.

    Parameters
    ----------
    stream, reference
        The stream, in hours that follow those of the reference.

    Returns
    -------
    Hit or None
        Every column is changed and none is the culprit; None where the commonest has no such share to lose.
    """
    known = table.label[table.label >= 0]
    order = np.argsort(-np.bincount(known), kind="stable")
    old, new = int(order[0]), int(order[1])
    leaving = fault.size / np.mean(table.label == old)
    if leaving > 1:
        return None
    there = fault.course.hit(stream.hour, at_hour, rng)
    goes = there & (table.label[stream.row] == old) & (rng.random(len(stream.row)) < leaving)
    row = stream.row.copy()
    row[goes] = _drawn(table.label == new, reference, stream.hour[goes] + reference.hours, rng)
    return Hit(
        fault,
        {n: v[row] for n, v in table.numeric.items()},
        {n: c[row] for n, (c, _) in table.categorical.items()},
        (),
    )


def _drawn(of_class: npt.NDArray[np.bool_], reference: Stream, hour: Ints, rng: np.random.Generator) -> Ints:
    """Draw a row of the class for each of these hours, from the reference's at the same hour of the week."""
    fit = of_class[reference.row]
    rows, at = reference.row[fit], reference.hour[fit] % _WEEK_HOURS
    by_hour = np.argsort(at, kind="stable")
    rows, starts = rows[by_hour], np.searchsorted(at[by_hour], np.arange(_WEEK_HOURS + 1))
    wanted = hour % _WEEK_HOURS
    first, last = starts[wanted], starts[wanted + 1]
    # An hour in which the class never came takes from all hours: only a rare class has such hours.
    first, last = np.where(last > first, first, 0), np.where(last > first, last, len(rows))
    drawn: Ints = rows[(first + rng.random(len(hour)) * (last - first)).astype(np.int64)]
    return drawn
