"""What a baseline looks like at a given time: its pattern by hour, mixed as a window's traffic was."""

from __future__ import annotations

import datetime as dt
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from detectors.evidence.normal_scores import NormalScores
from detectors.layout import Layout
from streams.core.credibility import means_by_slot

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
#: Days of data below which hours are not told apart.
_MIN_DAYS = 7
_MIN_WEEKS = 6


class Seasons:
    """Reference distributions by slot: one (short or timeless data), hour of day, or hour of week.

    Parameters
    ----------
    counts : int64 [panes, slots]
        What each pane of the baseline held.
    pane_starts : int64 [panes]
        Microseconds UTC.
    pane_us : int
        Width of the baseline's panes; 0 when its data had no time.
    timezone : str
        IANA name: patterns of human traffic follow local time, summer time included.
    slots : int, optional
        How many slots; found from the length of the data by default.
    """

    def __init__(
        self,
        layout: Layout,
        counts: Ints,
        pane_starts: Ints,
        pane_us: int,
        timezone: str,
        slots: int | None = None,
    ) -> None:
        self.layout = layout
        self.pane_us = pane_us
        self.timezone = timezone
        self._counts = counts
        self._starts = pane_starts
        self.slots = _slots_for(pane_starts, pane_us) if slots is None else slots
        overall = _normalised(counts.sum(axis=0).astype(np.float64), layout)
        shares = overall[None, :]
        if self.slots > 1:
            rows = np.add.reduceat(counts, layout.first_slots, axis=1).astype(np.float64)
            # of a share, chance gives a variance that goes with the share itself
            weight = np.divide(1.0, overall, out=np.zeros_like(overall), where=overall > 0)
            shares = self.means_by_slot(pane_starts, counts, rows, layout.column_of_slot, weight)
        self.shares: Floats = shares
        """float64 [slots, slots of the layout]: per column, sums to one (or to zero where unknown)."""

    @cached_property
    def normal_scores(self) -> NormalScores:
        """The scale of ranks on which this data is normal."""
        return NormalScores(self.layout, self._counts.sum(axis=0))

    @cached_property
    def totals(self) -> Floats:
        """What `normal_scores` adds up of the shares of each slot, [slots, 6 columns]."""
        return self.normal_scores.totals(self.shares)

    def without(self, starts_us: Ints) -> Seasons:
        """Return what the rest of the data shows, with as many slots, when some panes are left out."""
        keep = ~np.isin(self._starts, starts_us)
        return Seasons(
            self.layout, self._counts[keep], self._starts[keep], self.pane_us, self.timezone, self.slots
        )

    def slot_of(self, starts_us: Ints) -> Ints:
        """Slot of each time."""
        return self._slot_of(starts_us, self.slots)

    def _slot_of(self, starts_us: Ints, slots: int) -> Ints:
        if slots == 1:
            return np.zeros(len(starts_us), dtype=np.int64)
        local = starts_us + offsets_us(self.timezone, starts_us)
        hour = local // HOUR_US
        if slots == 24:
            return hour % 24
        return (hour + 72) % 168  # 1970-01-01 was a Thursday: slot 0 is Monday 00:00

    def expected(self, pane_starts_us: Ints, pane_rows: Ints, width: int) -> Floats:
        """Mix slots as the rows of each window were: float64 [windows or 1, slots of the layout]."""
        if self.slots == 1:
            return self.shares
        out: Floats = self.mixture(pane_starts_us, pane_rows, width) @ self.shares
        return out

    def mixture(self, pane_starts_us: Ints, pane_rows: Ints, width: int) -> Floats:
        """Share of each slot in the rows of each window: float64 [windows or 1, slots of the seasons]."""
        if self.slots == 1:
            return np.ones((1, 1))
        weights = np.zeros((len(pane_rows), self.slots), dtype=np.int64)
        weights[np.arange(len(pane_rows)), self.slot_of(pane_starts_us)] = pane_rows
        total = np.cumsum(np.vstack([np.zeros((1, self.slots), dtype=np.int64), weights]), axis=0)
        mixed = (total[width:] - total[:-width]).astype(np.float64)
        rows = mixed.sum(axis=1, keepdims=True)
        out: Floats = np.where(rows > 0, mixed / np.maximum(rows, 1), 1.0 / self.slots)
        return out

    def means_by_slot(
        self,
        pane_starts_us: Ints,
        sums: Ints,
        rows: Floats,
        group: Ints,
        weight: Floats | None = None,
    ) -> Floats:
        """Mean of any sums of panes, [panes, n], in each slot of the seasons: float64 [slots, n].

        An hour of the week is drawn towards that hour of all days, and this towards all of the data, by as much as the
        data says (`streams.core.credibility`).
        """
        behind = rows.sum(axis=0)[group]
        means: Floats = np.divide(sums.sum(axis=0), behind, out=np.zeros(len(group)), where=behind > 0)[None]
        for slots in (24, 168) if self.slots == 168 else (self.slots,) if self.slots > 1 else ():
            coarser = means[np.arange(slots) % len(means)]
            slot = self._slot_of(pane_starts_us, slots)
            means = means_by_slot(sums, rows, group, weight, slot, coarser)
        return means

    def dense_panes(self) -> tuple[Ints, Ints, Ints]:
        """Consecutive panes from first to last: starts [panes], counts [panes, slots], rows [panes]."""
        if self.pane_us == 0 or not len(self._starts):
            return np.empty(0, dtype=np.int64), self._counts[:0], np.empty(0, dtype=np.int64)
        at = (self._starts - self._starts.min()) // self.pane_us
        panes = int(at.max()) + 1
        starts = self._starts.min() + np.arange(panes, dtype=np.int64) * self.pane_us
        counts = np.zeros((panes, self.layout.slots), dtype=np.int64)
        counts[at] = self._counts
        rows = np.add.reduceat(counts, self.layout.first_slots, axis=1).max(axis=1, initial=0)
        return starts, counts, rows


def _slots_for(starts: Ints, pane_us: int) -> int:
    if pane_us == 0 or pane_us > HOUR_US or not len(starts):
        return 1
    days = (int(starts.max()) - int(starts.min())) / DAY_US
    if days >= 7 * _MIN_WEEKS:
        return 168
    return 24 if days >= _MIN_DAYS else 1


def _normalised(counts: Floats, layout: Layout) -> Floats:
    totals = np.add.reduceat(counts, layout.first_slots)[layout.column_of_slot]
    return np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)


def offsets_us(timezone: str, starts_us: Ints) -> Ints:
    """UTC offset, microseconds, of each time."""
    if timezone == "UTC":
        return np.zeros(len(starts_us), dtype=np.int64)
    hours, inverse = np.unique(starts_us // HOUR_US, return_inverse=True)
    return np.array([_offset_us(timezone, int(h)) for h in hours], dtype=np.int64)[inverse]


@lru_cache(maxsize=1 << 16)
def _offset_us(timezone: str, hour: int) -> int:
    moment = dt.datetime.fromtimestamp(hour * 3600, tz=ZoneInfo(timezone))
    offset = moment.utcoffset()
    assert offset is not None  # noqa: S101 - a zone always has one
    return int(offset.total_seconds() * 1_000_000)
