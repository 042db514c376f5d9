"""The truth parts from what was predicted: all that is seen of it is whether each prediction was wrong."""

from __future__ import annotations

import numpy as np

from benchmarks.detection.known_faults.faults import Fault, Hit
from benchmarks.detection.known_faults.streams import Stream
from benchmarks.detection.known_faults.tables import Table

#: The only column of these streams: 1 where the prediction was wrong, else 0.
ERROR = "error"


def errors_of(rows: Stream, table: Table) -> Stream:
    """Return whether each row of a stream was predicted wrong.

    Raises
    ------
    ValueError
        When no model came with the table.
    """
    if table.is_wrong is None:
        msg = f"table: no model came with {table.name!r}, expected one of those with predictions"
        raise ValueError(msg)
    return Stream(rows.hours, rows.hour, rows.row, {ERROR: table.is_wrong[rows.row].astype(np.float64)}, {})


def flip(errors: Stream, fault: Fault, at_hour: int, rng: np.random.Generator) -> Hit:
    """Turn the truth of a share `fault.size` of the rows over: of two classes, what was right is wrong then."""
    hit = fault.course.hit(errors.hour, at_hour, rng) & (rng.random(len(errors.hour)) < fault.size)
    was = errors.numeric[ERROR]
    return Hit(fault, {ERROR: np.where(hit, 1.0 - was, was)}, {}, (ERROR,))
