"""Panes that a worker counted and stored, as the summaries that an engine reads.

The store has every pane's counts, for every version, layout and segment. Put back into summaries they are judged by the
code that judges live traffic. What the store does not keep for single panes is not there: moments (a detail of words,
but for errors, whose two values are their bins), registers of distinct values, and sums across columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.layout import Column, Layout, slots_of_numeric
from detectors.moments import M2, MAXIMUM, MEAN, MINIMUM
from detectors.summary import REGISTERS, Block
from seawall.errors import ContractError
from seawall.frames import Source
from streams.core.chunks import block_record

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StoredPane:
    """One pane of one version and segment. `start_us` is microseconds, `counts` are over the layout's slots."""

    version: str
    segment: str
    layout_id: str
    baseline_id: str
    start_us: int
    rows: int
    weight: float
    counts: Ints
    source: Source = "predictions"


class PaneLog:
    """Makes summaries of one model's stored panes of one source, one for each stretch of time, in order.

    Parameters
    ----------
    topic
        What the source is read from, as far as an engine knows.
    pane_us
        Of the monitor that is run; a multiple of the stored panes', which are added up to it.
    layouts
        Every layout that the panes name, by id.
    """

    def __init__(
        self, model: str, topic: str, source: Source, pane_us: int, layouts: Mapping[str, Layout]
    ) -> None:
        self.model, self.topic, self.source = model, topic, source
        self.pane_us, self.layouts = pane_us, layouts
        self.rows = 0
        self.max_ts = -1
        self._offset = 0

    def summaries(self, panes: Iterable[StoredPane]) -> Iterator[dict[str, Any]]:
        """Make a sealed summary for each pane of the monitor; `panes` come by their start.

        A pane of the monitor must not be cut in two by calls.

        Raises
        ------
        ContractError
            When a layout is not known, or counts do not fit theirs.
        """
        for number, group in groupby(panes, key=lambda p: p.start_us // self.pane_us):
            yield self._summary(number * self.pane_us, list(group))

    def progress(self, *, caught_up: bool) -> dict[str, Any]:
        """Say how far the log was read."""
        return self._record("", [], sealed=False, caught_up=caught_up)

    def _summary(self, start_us: int, panes: list[StoredPane]) -> dict[str, Any]:
        self.max_ts = max(self.max_ts, start_us + self.pane_us - 1)
        self._offset += 1
        self.rows += sum(p.rows for p in panes if not p.segment)
        by_series: dict[tuple[str, str, str], list[StoredPane]] = {}
        for pane in panes:
            by_series.setdefault((pane.version, pane.layout_id, pane.baseline_id), []).append(pane)
        blocks = [
            block_record(version, self.source, baseline_id, self._block(layout_id, start_us, cells))
            for (version, layout_id, baseline_id), cells in sorted(by_series.items())
        ]
        return self._record(self.model, blocks, sealed=True, caught_up=False)

    def _block(self, layout_id: str, start_us: int, panes: list[StoredPane]) -> Block:
        layout = self.layouts.get(layout_id)
        if layout is None:
            msg = f"layouts: {layout_id!r} is named by panes and not among them"
            raise ContractError(msg)
        by_segment: dict[str, list[StoredPane]] = {}
        for pane in panes:
            if len(pane.counts) != layout.slots:
                msg = (
                    f"counts: {len(pane.counts)} of a pane, expected {layout.slots} as in layout {layout_id}"
                )
                raise ContractError(msg)
            by_segment.setdefault(pane.segment, []).append(pane)
        segments = sorted(by_segment)
        cells = len(segments)
        counts = np.array(
            [np.sum([p.counts for p in by_segment[s]], axis=0) for s in segments], dtype=np.int32
        )
        return Block(
            layout,
            segments,
            np.full(cells, start_us, dtype=np.int64),
            np.array([sum(p.rows for p in by_segment[s]) for s in segments], dtype=np.int64),
            np.array([sum(p.weight for p in by_segment[s]) for s in segments]),
            counts,
            _moments(layout, counts),
            np.zeros((cells, len(layout.categorical), REGISTERS), dtype=np.uint8),
        )

    def _record(
        self, model: str, blocks: list[dict[str, Any]], *, sealed: bool, caught_up: bool
    ) -> dict[str, Any]:
        return {
            "model": model,
            "topic": self.topic,
            "partition": 0,
            "first_offset": max(self._offset - 1, 0),
            "from_offset": -1,
            "next_offset": self._offset,
            "sealed": sealed,
            "max_ts": self.max_ts,
            "caught_up": caught_up,
            "resting": False,
            "partitions": 1,
            "pane_us": self.pane_us if model else 0,
            "part": 0,
            "parts": 1,
            "digest": 0,
            "log_epoch": 0,
            "topic_id": "",
            "blocks": blocks,
        }


def _moments(layout: Layout, counts: npt.NDArray[np.int32]) -> Floats:
    """Return the moments that follow from counts, [cells, numeric, 4]: those of errors, which are 0 or 1. NaN else."""
    out = np.full((len(counts), len(layout.numeric), 4), np.nan)
    for row, i in enumerate(layout.numeric):
        if (layout.columns[i].role, layout.columns[i].name) == ("loss", "error"):
            right, wrong = (
                counts[:, layout.slice_of(i)][:, at] for at in _of_zero_and_one(layout.columns[i])
            )
            out[:, row] = _of_errors(right.astype(np.float64), wrong.astype(np.float64))
    return out


def _of_zero_and_one(column: Column) -> list[int]:
    return [int(slot) for slot in slots_of_numeric(column, np.array([0.0, 1.0]))]


def _of_errors(right: Floats, wrong: Floats) -> Floats:
    n = right + wrong
    out = np.full((len(n), 4), np.nan)
    some = n > 0
    share = wrong[some] / n[some]
    out[some, MEAN], out[some, M2] = share, right[some] * share
    out[some, MINIMUM], out[some, MAXIMUM] = right[some] == 0, wrong[some] > 0
    return out
