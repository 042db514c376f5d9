"""Two pictures of the same stretch of a log, neither of which has all of it: which of them counts, pane by pane.

Where retention has taken records that no sealed chunk covers, whoever reads next cannot make the open chunk again:
the earlier picture has what is gone, the later one has what came since. Counts cannot be taken apart by offset, so a
pane is taken whole from the picture with more of its events. Nothing is counted twice, and nothing that was ever read
is lost, but for a pane that has events before *and* after the stretch that both have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from streams.core.series import Cells, Ints, SeriesKey


def best_of(
    known: Mapping[SeriesKey, Cells], fresh: Mapping[SeriesKey, Cells], *, by_pane: bool = True
) -> dict[SeriesKey, Cells]:
    """Take every pane of a version from the picture with more rows, in all its layouts and segments.

    The fresh picture's where they are even: it may have learnt a layout since. Where they were counted in panes of
    other widths, not `by_pane`, a row may be in different panes of them, and one picture is taken whole.
    """
    before, after = _rows(known), _rows(fresh)
    if not by_pane:
        return dict(known if before.total() > after.total() else fresh)
    out: dict[SeriesKey, Cells] = {}
    for key in {**known, **fresh}:
        taken = []
        for cells, is_known in ((known.get(key), True), (fresh.get(key), False)):
            if cells is not None:
                panes = [(key[0], pane) for pane in cells.panes.tolist()]
                keep = np.array([(before[at] > after[at]) == is_known for at in panes], dtype=bool)
                taken.append(cells.take(keep))
        out[key] = taken[0] if len(taken) == 1 else _joined(*taken)
    return out


def _rows(picture: Mapping[SeriesKey, Cells]) -> Counter[tuple[str, int]]:
    rows: Counter[tuple[str, int]] = Counter()
    for key, cells in picture.items():
        if not key[3]:  # segments are views of the same traffic
            for pane, n in zip(cells.panes.tolist(), cells.rows.tolist(), strict=True):
                rows[key[0], pane] += n
    return rows


def _joined(a: Cells, b: Cells) -> Cells:
    """Put cells of different panes together."""
    panes = np.concatenate([a.panes, b.panes])
    order = np.argsort(panes, kind="stable")
    return Cells(
        panes[order],
        np.concatenate([a.rows, b.rows])[order],
        np.concatenate([a.weights, b.weights])[order],
        np.concatenate([a.counts, b.counts])[order],
        np.concatenate([a.moments, b.moments])[order],
        np.concatenate([a.distinct, b.distinct])[order],
        _joined_sums(a, b, order),
    )


def _joined_sums(a: Cells, b: Cells, order: Ints) -> Ints | None:
    found = [cells.joint for cells in (a, b) if cells.joint is not None and len(cells.panes)]
    if not found:
        return None
    width = found[0].shape[1]
    parts = [
        cells.joint
        if cells.joint is not None and len(cells.panes)
        else np.zeros((len(cells.panes), width), dtype=np.int64)
        for cells in (a, b)
    ]
    return np.concatenate(parts)[order]
