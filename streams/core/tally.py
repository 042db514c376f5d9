"""How many events were counted, and how many were late, for people who watch a worker.

A chunk is told of again and again while it fills, each time whole, so what a picture adds to the one before is what
is new. What a decider reads again after its state is lost is tallied again: these numbers are about what a worker
did, and only the tables say what is so.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from streams.core.engine import PartitionEngine
from streams.core.lives import LogName, Place, name_of
from streams.core.watermark import Partition


class Tally:
    """Of one engine. `counted` and `late` grow; whoever shows them takes them out."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        """Events by topic."""
        self.late: Counter[str] = Counter()
        self._parts: dict[tuple[str, Partition, LogName, int], int] = {}
        """Rows of the parts of a picture that was not told of as a whole yet."""
        self._open: dict[tuple[str, Partition, LogName, int], tuple[int, int]] = {}

    def take(self, summary: dict[str, Any], late_rows: int) -> None:
        """Take a picture that was news to the engine, and how many of its rows the engine found late."""
        where = Partition(summary["topic"], summary["partition"])
        key = (summary["model"], where, name_of(summary), summary["first_offset"])
        rows_before, late_before = self._open.get(key, (0, 0))
        rows = _rows(summary)
        if summary["parts"] > 1:
            rows += self._parts.pop(key, 0) if summary["part"] else 0
            if summary["part"] + 1 < summary["parts"]:
                self._parts[key] = rows
                return
        late = max(late_rows - late_before, 0)
        self.late[summary["topic"]] += late
        self.counted[summary["topic"]] += max(rows - rows_before - late, 0)
        if summary["sealed"]:
            self._open.pop(key, None)
        else:
            self._open[key] = max(rows, rows_before), late_before + late


def is_news(engine: PartitionEngine, summary: dict[str, Any], offset: int) -> bool:
    """Tell whether an engine is going to take a summary, rather than know it already."""
    state = engine.models.get(summary["model"])
    if not summary["model"]:
        return False
    where, first = Partition(summary["topic"], summary["partition"]), summary["first_offset"]
    life = engine.lives.find(where, name_of(summary))
    if life is None or state is None:
        return life is not None
    begins = max(summary["from_offset"], first)
    sealed_upto = state.merge.sealed_upto.get(where, Place())
    known = state.merge.open.get((where, first)) if life == sealed_upto.life else None
    return (
        offset > state.through
        and Place(life, begins) >= sealed_upto
        and (known is None or summary["next_offset"] >= known.next_offset)
    )


def _rows(summary: dict[str, Any]) -> int:
    """Rows of a summary; segments are views of the same rows."""
    total = 0
    for block in summary["blocks"]:
        whole = np.array([not segment for segment in block["segments"]], dtype=bool)
        total += int(np.frombuffer(block["rows"], dtype="<i8")[whole].sum())
    return total
