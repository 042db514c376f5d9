"""A case: a reference, a quiet stream after it, and its twins in which one thing goes wrong; a file for every tool.

Columns that a fault leaves alone are those of the quiet stream, so the file holds only what each fault changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.detection.known_faults.faults import FAULTS, Hit, inject
from benchmarks.detection.known_faults.streams import ORDERS, Order, Stream, stream
from benchmarks.detection.known_faults.tables import Table

#: Rows an hour on average, and hours: six weeks to learn from, thirty days of quiet, faults on the fourth day.
ROWS, REFERENCE_HOURS, LIVE_HOURS = 100.0, 42 * 24, 30 * 24
ONSET_HOUR, WATCH_HOURS = 3 * 24 + 9, 4 * 24


class CaseKey(NamedTuple):
    """Which table, in which order, with which random numbers (and which feature is hit)."""

    table: str
    order: str
    run: int

    @property
    def file(self) -> str:
        """Name of the file."""
        return f"{self.table}-{self.order}-{self.run}.npz"


@dataclass(frozen=True)
class Case:
    """What is in a case's file."""

    key: CaseKey
    words: dict[str, list[str]]
    reference: Stream
    live: Stream
    hits: tuple[Hit, ...]

    def faulty(self, i: int) -> Stream:
        """Return the stream of one fault."""
        return self.hits[i].on(self.live.until(ONSET_HOUR + WATCH_HOURS))


def make(key: CaseKey, table: Table) -> Case:
    """Make a case; the same key and table give the same case."""
    order: Order = next(o for o in ORDERS if o.name == key.order)
    seed = [key.run, [o.name for o in ORDERS].index(key.order), *key.table.encode()]
    whole = stream(table, order, REFERENCE_HOURS + LIVE_HOURS, ROWS, seed)
    live = whole.since(REFERENCE_HOURS)
    watched = live.until(ONSET_HOUR + WATCH_HOURS)
    rng = np.random.default_rng([*seed, 1])
    hits = [inject(watched, fault, ONSET_HOUR, table.words, key.run, rng) for fault in FAULTS]
    return Case(key, table.words, whole.until(REFERENCE_HOURS), live, tuple(h for h in hits if h))


def save(case: Case, path: Path) -> None:
    """Write a case for scripts that know nothing but numpy."""
    numbers, words = list(case.live.numeric), list(case.live.categorical)
    arrays = {
        "names": np.array([*numbers, *words]),
        "numbers": np.array(len(numbers)),
        "reference": _matrix(case.reference),
        "reference_hour": case.reference.hour,
        "reference_hours": np.array(case.reference.hours),
        "live": _matrix(case.live),
        "live_hour": case.live.hour,
        "live_hours": np.array(case.live.hours),
        "onset": np.array(ONSET_HOUR),
        "fault_hours": np.array(ONSET_HOUR + WATCH_HOURS),
        "faults": np.array(len(case.hits)),
    }
    for i, hit in enumerate(case.hits):
        changed = {**hit.numeric, **hit.categorical}
        arrays[f"fault/{i}/names"] = np.array(list(changed))
        arrays[f"fault/{i}/values"] = np.stack([v.astype(np.float64) for v in changed.values()], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)
    part.replace(path)


def _matrix(rows: Stream) -> np.ndarray:
    columns = [*rows.numeric.values(), *(c.astype(np.float64) for c in rows.categorical.values())]
    return np.stack(columns, axis=1)
