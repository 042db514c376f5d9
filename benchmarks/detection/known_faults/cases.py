"""A case: a reference, a quiet stream after it, and its twins in which one thing goes wrong; a file for every tool.

A protocol says which faults those are, how long each is watched, and on which tables and orders it is played.

Columns that a fault leaves alone are those of the quiet stream, so the file holds only what each fault changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.detection.known_faults.faults import BY_DEGREES, FAULTS, FLIPS, Fault, Hit, inject
from benchmarks.detection.known_faults.flips import errors_of, flip
from benchmarks.detection.known_faults.priors import shift_prior
from benchmarks.detection.known_faults.streams import ORDERS, Order, Stream, stream
from benchmarks.detection.known_faults.tables import TABLES, Table

#: Rows an hour on average, and hours: six weeks to learn from, thirty days of quiet, faults on the fourth day.
ROWS, REFERENCE_HOURS, LIVE_HOURS = 100.0, 42 * 24, 30 * 24
ONSET_HOUR = 3 * 24 + 9


@dataclass(frozen=True)
class Protocol:
    """What is played.

    Attributes
    ----------
    folder
        Where its cases and scores are kept, under the benchmark's own folder.
    tables, orders, short
        What is played in full, and in minutes: tables and orders.
    of_labels
        Its streams are the errors of what was predicted, and not the rows.
    discounts
        A page that the quiet stream has too counts for nothing: in a week a false page is likely, and is not to be
        taken for seeing a fault. In four days it was left to everybody.
    """

    name: str
    title: str
    folder: str
    faults: tuple[Fault, ...]
    watch_hours: int
    tables: tuple[str, ...]
    orders: tuple[str, ...]
    short: tuple[tuple[str, ...], tuple[str, ...]]
    of_labels: bool = False
    discounts: bool = False


PROTOCOLS = (
    Protocol(
        "at-once",
        "Faults that come at once, in every row",
        "",
        FAULTS,
        4 * 24,
        tuple(TABLES),
        tuple(o.name for o in ORDERS),
        (("housing",), ("exchangeable", "seasonal")),
    ),
    Protocol(
        "by-degrees",
        "Faults that come slowly, come back, or hit a share of the rows",
        "by-degrees",
        BY_DEGREES,
        7 * 24,
        ("flights", "shuttle", "census", "housing", "agrawal"),
        ("exchangeable", "seasonal"),
        (("housing",), ("seasonal",)),
        discounts=True,
    ),
    Protocol(
        "flips",
        "Truths that part from the predictions",
        "flips",
        FLIPS,
        7 * 24,
        ("census", "housing"),
        ("exchangeable", "seasonal"),
        (("housing",), ("seasonal",)),
        of_labels=True,
        discounts=True,
    ),
)


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
    protocol: Protocol

    def faulty(self, i: int) -> Stream:
        """Return the stream of one fault."""
        return self.hits[i].on(self.live.until(ONSET_HOUR + self.protocol.watch_hours))


def make(key: CaseKey, table: Table, protocol: Protocol) -> Case:
    """Make a case; the same key and table give the same case."""
    order: Order = next(o for o in ORDERS if o.name == key.order)
    seed = [key.run, [o.name for o in ORDERS].index(key.order), *key.table.encode()]
    whole = stream(table, order, REFERENCE_HOURS + LIVE_HOURS, ROWS, seed)
    if protocol.of_labels:
        whole = errors_of(whole, table)
    reference, live = whole.until(REFERENCE_HOURS), whole.since(REFERENCE_HOURS)
    watched = live.until(ONSET_HOUR + protocol.watch_hours)
    rng = np.random.default_rng([*seed, 1])

    def hit(fault: Fault) -> Hit | None:
        if fault.kind == "flip":
            return flip(watched, fault, ONSET_HOUR, rng)
        if fault.kind == "prior":
            return shift_prior(watched, fault, ONSET_HOUR, table, reference, rng)
        return inject(watched, fault, ONSET_HOUR, table.words, key.run, rng)

    hits = tuple(h for h in map(hit, protocol.faults) if h)
    return Case(key, {} if protocol.of_labels else table.words, reference, live, hits, protocol)


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
        "fault_hours": np.array(ONSET_HOUR + case.protocol.watch_hours),
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
