"""Questions that the demo asks the store."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from typing import Any

from examples.flights.data import HOUR_US
from examples.flights.model import MODEL
from examples.flights.screen import Screen
from seawall.errors import Unavailable
from seawall.settings import Settings
from streams.io.clickhouse import Store

PANE_US = HOUR_US
SHORT_US = 6 * HOUR_US
_WATCHED = 6
_HISTORY = 48

_STORED = """
    SELECT max(toUnixTimestamp64Micro(end)) AS at FROM windows
    WHERE model = {model:String} AND source = 'features' AND segment = '' AND horizon_us = {horizon:Int64}
"""
_WORST = """
    SELECT column, role, toUnixTimestamp64Micro(end) AS end_us, evidence FROM window_columns FINAL
    WHERE model = {model:String} AND source = 'predictions' AND segment = '' AND horizon_us = {horizon:Int64}
      AND toUnixTimestamp64Micro(end) > {since:Int64} AND verdict != 'not_enough_data'
    ORDER BY end, version
"""
_COUNTED = """
    SELECT source, toInt64(sum(rows)) AS n FROM windows FINAL
    WHERE model = {model:String} AND segment = '' AND horizon_us = {pane:Int64} GROUP BY source
"""
_LATE = "SELECT source, toInt64(sum(rows)) AS n FROM late_events FINAL WHERE model = {model:String} GROUP BY source"
#: Two bins hold an error: right and wrong, after missing, invalid and below.
_ERRORS = """
    SELECT version, toInt64(sum(counts[first_slot + 4] + counts[first_slot + 5])) AS labels,
        toInt64(sum(counts[first_slot + 5])) AS errors
    FROM windows FINAL
    INNER JOIN (
        SELECT layout_id, first_slot FROM layouts FINAL WHERE role = 'loss' AND name = 'error'
    ) AS places USING (layout_id)
    WHERE model = {model:String} AND source = 'labels' AND segment = '' AND horizon_us = {pane:Int64}
    GROUP BY version ORDER BY version
"""
_DEAD = "SELECT topic, toInt64(sum(events)) AS n FROM dead_letters FINAL GROUP BY topic"


class Questions:
    """One connection; not to be shared between threads."""

    def __init__(self, settings: Settings) -> None:
        self._store = Store(settings)
        self._prefix = settings.topic_prefix

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run a query about the demo's model."""
        return self._store.query(sql, {"model": MODEL, **parameters})

    def stored_us(self) -> int:
        """End of the newest stored window; 0 while there are none."""
        return int(self.rows(_STORED, horizon=SHORT_US)[0]["at"] or 0)

    def tallies(self) -> dict[str, dict[str, int]]:
        """Return by topic what became of its events: counted, late, dead-lettered."""
        found: dict[str, dict[str, int]] = defaultdict(lambda: {"counted": 0, "late": 0, "dead_lettered": 0})
        for row in self.rows(_COUNTED, pane=PANE_US):
            found[row["source"]]["counted"] = row["n"]
        for row in self.rows(_LATE):
            found[row["source"]]["late"] = row["n"]
        for row in self.rows(_DEAD):
            found[row["topic"].removeprefix(self._prefix)]["dead_lettered"] = row["n"]
        return dict(found)

    def errors(self) -> dict[str, dict[str, int]]:
        """Return by version how many labels said what had been predicted, and of how many it was wrong."""
        rows = self.rows(_ERRORS, pane=PANE_US)
        return {row["version"]: {"labels": row["labels"], "errors": row["errors"]} for row in rows}

    def worst(self, upto_us: int) -> list[tuple[str, list[float]]]:
        """Return the columns that are furthest from their baseline, with the recent course of each."""
        course: dict[str, list[float]] = defaultdict(list)
        for row in self.rows(_WORST, horizon=SHORT_US, since=upto_us - _HISTORY * PANE_US):
            name = row["column"] if row["role"] == "feature" else f"{row['role']} {row['column']}"
            course[name].append(float(row["evidence"]))
        ranked = sorted(course.items(), key=lambda c: -sum(c[1][-6:]) / max(len(c[1][-6:]), 1))
        return [(name, ratios[-_HISTORY:]) for name, ratios in ranked[:_WATCHED]]


class Gauge:
    """Looks into the store once a second, in a thread of its own, and puts what it sees on the screen."""

    def __init__(self, settings: Settings, screen: Screen) -> None:
        self._questions = Questions(settings)
        self._screen = screen
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, name="flights-gauge", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._is_stopping.set()
        self._thread.join(5.0)

    def _look(self) -> None:
        while not self._is_stopping.wait(1.0):
            with contextlib.suppress(Unavailable):  # the next look may find it
                stored_us = self._questions.stored_us()
                self._screen.lag_us = max(self._screen.now_us - stored_us, 0)
                self._screen.worst = self._questions.worst(stored_us)
