"""What goes wrong: one named feature, or a pair of them, from a given hour on, at once or as its course says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.detection.known_faults.courses import (
    AT_ONCE,
    GRADUAL,
    INCREMENTAL,
    RECURRING,
    Course,
    in_rows,
)
from benchmarks.detection.known_faults.streams import Stream

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fault:
    """A kind of fault, its size, and how it comes.

    `kind` is one of ``unit`` (times `size`), ``mean`` (by `size` standard deviations), ``decoys`` (the same, while the
    two features most correlated with it follow by half), ``scale`` (spread around the mean, times `size`),
    ``missing`` (that share of values), ``swap`` (with another column), ``lost`` (a category turns up as another
    one), ``unseen`` (that share of values is a new word), ``frozen`` (at the last value before), ``decorrelated``
    (from the rest of its row), ``prior`` (that share of rows is of the next class instead of the commonest one: see
    `priors`), ``flip`` (that share of truths is turned over: see `flips`).
    """

    kind: str
    size: float = 0.0
    course: Course = AT_ONCE

    @property
    def name(self) -> str:
        """Such as ``mean 0.5``, and ``mean 0.5, gradual``."""
        what = f"{self.kind} {self.size:g}" if self.size else self.kind
        return f"{what}, {self.course.name}" if self.course.name else what


FAULTS = (
    Fault("unit", 1000.0),
    Fault("swap"),
    Fault("frozen"),
    Fault("mean", 0.25),
    Fault("mean", 0.5),
    Fault("mean", 1.0),
    Fault("decoys", 0.5),
    Fault("decoys", 1.0),
    Fault("scale", 1.5),
    Fault("scale", 3.0),
    Fault("missing", 0.1),
    Fault("missing", 0.3),
    Fault("missing", 1.0),
    Fault("lost"),
    Fault("unseen", 0.1),
    Fault("decorrelated"),
)
#: The same kinds again where they are harder to see: in a share of the rows, by degrees, or not all of the time.
BY_DEGREES = (
    *(Fault("unit", 1000.0, in_rows(share)) for share in (0.01, 0.05, 0.2)),
    *(Fault("missing", 1.0, in_rows(share)) for share in (0.01, 0.05)),
    *(Fault("frozen", course=in_rows(share)) for share in (0.05, 0.2)),
    Fault("swap", course=in_rows(0.05)),
    Fault("mean", 1.0, in_rows(0.2)),
    Fault("unit", 1000.0, GRADUAL),
    Fault("mean", 1.0, GRADUAL),
    Fault("decorrelated", course=GRADUAL),
    Fault("mean", 1.0, INCREMENTAL),
    Fault("scale", 3.0, INCREMENTAL),
    Fault("mean", 0.5, RECURRING),
    Fault("missing", 0.3, RECURRING),
    Fault("prior", 0.1),
    Fault("prior", 0.2),
)
#: Rows and predictions stay what they are, and the truth parts from them.
FLIPS = (
    Fault("flip", 0.05),
    Fault("flip", 0.1),
    Fault("flip", 0.3),
    Fault("flip", 0.3, GRADUAL),
    Fault("flip", 0.3, RECURRING),
)
#: Faults that nobody may take more than three panes to see.
GROSS = ("unit 1000", "swap", "missing 1")


@dataclass(frozen=True)
class Hit:
    """A fault in a stream: the columns that it changed, with their new values, and the names that explain it."""

    fault: Fault
    numeric: dict[str, Floats]
    categorical: dict[str, npt.NDArray[np.int32]]
    culprits: tuple[str, ...]

    def on(self, stream: Stream) -> Stream:
        """Return the stream with the changed columns in place."""
        return Stream(
            stream.hours,
            stream.hour,
            stream.row,
            {**stream.numeric, **self.numeric},
            {**stream.categorical, **self.categorical},
        )


def inject(
    stream: Stream,
    fault: Fault,
    at_hour: int,
    words: dict[str, list[str]],
    pick: int,
    rng: np.random.Generator,
) -> Hit | None:
    """Inject a fault.

    Parameters
    ----------
    words
        The dictionary of each category; the code of a new word is its length.
    pick
        Which feature is hit, counted around those that the fault fits.

    Returns
    -------
    Hit or None
        None where no feature fits.
    """
    bad = fault.course.hit(stream.hour, at_hour, rng)
    if fault.kind in ("lost", "unseen"):
        return _category(stream, fault, bad, words, pick, rng)
    needed = {"decoys": 2, "decorrelated": 1, "swap": 0}.get(fault.kind, 0)
    numbers = [n for n, v in stream.numeric.items() if _is_varied(v)]
    fit = [n for n in numbers if len(_most_correlated(stream, n, numbers)) >= needed]
    if not fit or (fault.kind == "swap" and len(numbers) < 2):
        return None
    name = fit[pick % len(fit)]
    if fault.kind in ("swap", "decorrelated", "decoys"):
        return _several(stream, fault, bad, name, numbers, rng)
    x = stream.numeric[name]
    before = x[(stream.hour < at_hour) & np.isfinite(x)]
    size = fault.course.size(fault.size, float(fault.kind in ("unit", "scale")), stream.hour, at_hour)
    change: dict[str, Callable[[Floats], Floats]] = {
        "unit": lambda v: v * size,
        "mean": lambda v: v + size * np.nanstd(x),
        "scale": lambda v: np.nanmean(x) + size * (v - np.nanmean(x)),
        "missing": lambda v: np.where(rng.random(len(v)) < size, np.nan, v),
        "frozen": lambda v: np.full(len(v), before[-1]),
    }
    return Hit(fault, {name: np.where(bad, change[fault.kind](x), x)}, {}, (name,))


def _several(
    stream: Stream,
    fault: Fault,
    bad: npt.NDArray[np.bool_],
    name: str,
    numbers: list[str],
    rng: np.random.Generator,
) -> Hit:
    """Inject what concerns more than one number."""
    x = stream.numeric[name]
    friends = _most_correlated(stream, name, numbers)
    if fault.kind == "swap":
        other = _most_different(stream, name, numbers)
        y = stream.numeric[other]
        return Hit(fault, {name: np.where(bad, y, x), other: np.where(bad, x, y)}, {}, (name, other))
    if fault.kind == "decorrelated":
        shuffled = x.copy()
        rows = np.flatnonzero(bad)
        shuffled[rows] = _shuffled_near(x[rows], stream.hour[rows], rng)
        return Hit(fault, {name: shuffled}, {}, (name, friends[0]))
    changed = {}
    for column, part in ((name, 1.0), (friends[0], 0.5), (friends[1], 0.5)):
        values = stream.numeric[column]
        changed[column] = np.where(bad, values + part * fault.size * np.nanstd(values), values)
    return Hit(fault, changed, {}, (name,))


def _category(
    stream: Stream,
    fault: Fault,
    bad: npt.NDArray[np.bool_],
    words: dict[str, list[str]],
    pick: int,
    rng: np.random.Generator,
) -> Hit | None:
    fit = [n for n, c in stream.categorical.items() if len(np.unique(c[c >= 0])) >= 2]
    if not fit:
        return None
    name = fit[pick % len(fit)]
    codes = stream.categorical[name]
    common = np.argsort(-np.bincount(codes[codes >= 0]), kind="stable")
    if fault.kind == "lost":
        changed = np.where(bad & (codes == common[1]), common[0], codes)
    else:
        changed = np.where(bad & (rng.random(len(codes)) < fault.size), len(words[name]), codes)
    return Hit(fault, {}, {name: changed.astype(np.int32)}, (name,))


def _is_varied(values: Floats) -> bool:
    """Whether a mean shift of it makes sense: mostly there, and no more than half of it one value."""
    known = values[np.isfinite(values)]
    if len(known) < 0.5 * len(values):
        return False
    _, counts = np.unique(known[:5000], return_counts=True)
    return len(counts) >= 8 and counts.max() < 0.5 * min(len(known), 5000)


def _correlations(stream: Stream, name: str, names: list[str]) -> dict[str, float]:
    x = stream.numeric[name]
    found = {}
    for other in names:
        y = stream.numeric[other]
        both = np.isfinite(x) & np.isfinite(y)
        if other != name and both.sum() > 2:
            found[other] = abs(float(np.corrcoef(x[both], y[both])[0, 1]))
    return found


def _most_correlated(stream: Stream, name: str, names: list[str], least: float = 0.3) -> list[str]:
    found = _correlations(stream, name, names)
    return sorted((n for n, r in found.items() if r >= least), key=lambda n: (-found[n], n))


def _most_different(stream: Stream, name: str, names: list[str]) -> str:
    """Return the column whose values overlap least: swapped columns of like values are no gross fault."""
    x = stream.numeric[name]
    low, high = np.nanquantile(x, [0.25, 0.75])

    def overlap(other: str) -> float:
        y = stream.numeric[other]
        return float(np.mean((y >= low) & (y <= high)))

    others = [n for n in names if n != name]
    return min(others, key=lambda n: (overlap(n), n))


def _shuffled_near(values: Floats, hour: npt.NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Shuffle within every hour: the column keeps its own distribution hour by hour, and loses its row."""
    order = np.lexsort((rng.random(len(values)), hour))
    out: Floats = values[order]
    return out
