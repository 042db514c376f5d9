"""From scores to pages, from pages to what a person on call would have seen.

Everybody's alarm lives as Seawall's does: it opens with the first hour that alarms in any column, and closes after
`CLOSES_AFTER` hours in a row that do not. Seawall's own pages are taken as they are. A false alarm that stays open
counts anew every day, or the quietest tool of all would be the one whose alarm never closes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

Floats = npt.NDArray[np.float64]
PERIOD_HOURS = 30 * 24
CLOSES_AFTER = 4
REMINDER_HOURS = 24


@dataclass(frozen=True)
class Page:
    """The hour at whose end it was sent (0 is the first hour's), and columns named, worst first."""

    hour: int
    culprits: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What came of one fault."""

    fault: str
    delay: float
    """Panes from the onset to the page, 1 for the first faulty pane; infinite when there was none."""
    rank: int
    """Place of the first true culprit among those named, from 1; 0 when it was not named, or nothing was paged."""


def pages_of(levels: Floats, names: Sequence[str], threshold: float = 1.0) -> list[Page]:
    """Return the pages of levels [hours, columns] at or above a threshold."""
    worst = levels.max(axis=1, initial=-np.inf)
    alarms = np.flatnonzero(worst >= threshold)
    opens = alarms[np.diff(alarms, prepend=-CLOSES_AFTER - 1) > CLOSES_AFTER]
    found = []
    for hour in opens.tolist():
        order = np.argsort(-levels[hour], kind="stable")
        found.append(Page(hour, tuple(names[i] for i in order if levels[hour, i] >= threshold)))
    return found


def false_pages(levels: Floats, threshold: float = 1.0) -> int:
    """Count the pages of a quiet stream, a long alarm once a day."""
    alarms = np.flatnonzero(levels.max(axis=1, initial=-np.inf) >= threshold)
    starts = np.flatnonzero(np.diff(alarms, prepend=-CLOSES_AFTER - 1) > CLOSES_AFTER)
    return sum(
        1 + int(run[-1] - run[0]) // REMINDER_HOURS for run in np.split(alarms, starts[1:]) if len(run)
    )


def strictest_needed(quiet: Sequence[Floats], most_pages: float) -> float:
    """Return the least threshold at which quiet streams page no more often than allowed, all together.

    It is searched for among the levels that occurred, so it is the best that hindsight can do for a tool; no threshold
    below the tool's most sensitive sensible one, a twentieth of its default, is tried.
    """
    seen = np.unique(np.concatenate([q.max(axis=1) for q in quiet]))
    candidates = np.append(seen[seen >= 0.05], np.inf)
    low, high = 0, len(candidates) - 1
    while low < high:  # pages are nearly monotone in the threshold; the result is checked below
        middle = (low + high) // 2
        if _count(quiet, np.nextafter(candidates[middle], np.inf)) <= most_pages:
            high = middle
        else:
            low = middle + 1
    while low < len(candidates) - 1 and _count(quiet, np.nextafter(candidates[low], np.inf)) > most_pages:
        low += 1
    return float(np.nextafter(candidates[low], np.inf))


def _count(quiet: Sequence[Floats], threshold: float) -> int:
    return sum(false_pages(q, threshold) for q in quiet)


def seen_in(
    fault: str, pages: Sequence[Page], onset: int, culprits: Sequence[str], quiet: Collection[Page] = ()
) -> Seen:
    """Judge the first page after the onset.

    An alarm that was open already has seen nothing, nor has one that the quiet stream has too, at the same hour with
    the same columns.
    """
    first = next((p for p in pages if p.hour >= onset and p not in quiet), None)
    if first is None:
        return Seen(fault, np.inf, 0)
    places = [first.culprits.index(c) + 1 for c in culprits if c in first.culprits]
    return Seen(fault, first.hour - onset + 1, min(places, default=0))


def garwood(count: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a Poisson mean."""
    low = chi2.ppf((1 - level) / 2, 2 * count) / 2 if count else 0.0
    return float(low), float(chi2.ppf((1 + level) / 2, 2 * count + 2) / 2)


def mean_time_to_false_alarm(hours: float, pages: int) -> float:
    """Return hours over (pages + 1): what can be said however few pages there were."""
    return hours / (pages + 1)
