"""How many layouts and segments of a model there is room for, and where those go for which there is none.

Each is a series of panes in memory and in saved state, for as long as a window can hold it. Services that make up
columns, or values of a segment, would make more of them with each chunk.

What has a place is what the merge holds, so a name or a set of columns that is not seen for as long as anything is kept
makes room for others, and a restart from saved state knows the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from detectors.layout import OCTAVE_EDGES, Column, Layout
from detectors.summary import Block, laid_out, merge
from streams.core.pool import MAX_COLUMNS, MAX_SETS
from streams.core.rows import OTHER_SEGMENT

#: Layouts of a version, source and baseline that are kept at most. From the `MAX_SETS`-th on each is wider than those
#: before, and takes in whatever else there is.
MAX_LAYOUTS = 2 * MAX_SETS


@dataclass(slots=True)
class Room:
    """Places of one model and source."""

    max_segments: int
    known: Callable[[str, str], frozenset[str]]
    """Values of a segment's column that the baseline of a version knows: they have a place always."""
    layouts: dict[tuple[str, str], dict[str, Layout]] = field(default_factory=dict)
    """Layouts by id, of each version and baseline."""
    segments: dict[str, set[str]] = field(default_factory=dict)
    """Segments by dimension."""

    def hold(self, version: str, baseline_id: str, layout: Layout) -> None:
        """Note a layout that is there."""
        self.layouts.setdefault((version, baseline_id), {})[layout.layout_id] = layout

    def hold_segment(self, segment: str) -> None:
        """Note a segment that is there."""
        dimension, _, value = segment.partition("=")
        if value != OTHER_SEGMENT:
            self.segments.setdefault(dimension, set()).add(segment)

    def fit(self, version: str, baseline_id: str, block: Block) -> Block:
        """Lay a block out where there is room for it. Every event stays in it, once."""
        found = laid_out(block, self._layout(version, baseline_id, block.layout))
        names = [self._segment(version, name) for name in found.segments]
        if names == found.segments:
            return found
        moved = [cell for cell, name in enumerate(names) if name != found.segments[cell]]
        found.segments = names
        kept = sorted(set(range(found.cells)) - set(moved))
        return merge([found.take(kept), found.take(moved)])

    def _layout(self, version: str, baseline_id: str, layout: Layout) -> Layout:
        held = self.layouts.setdefault((version, baseline_id), {})
        if layout.layout_id not in held:
            if len(held) >= MAX_SETS:
                layout = _widest(held.values(), layout, may_grow=len(held) < MAX_LAYOUTS)
            held[layout.layout_id] = layout
        return layout

    def _segment(self, version: str, segment: str) -> str:
        if not segment:
            return segment
        dimension, _, value = segment.partition("=")
        held = self.segments.setdefault(dimension, set())
        if segment in held:
            return segment
        if len(held) < self.max_segments or value in self.known(version, dimension):
            self.hold_segment(segment)
            return segment
        return f"{dimension}={OTHER_SEGMENT}"


def _widest(held: Iterable[Layout], layout: Layout, *, may_grow: bool) -> Layout:
    """Layout of those that are held that has most columns, or a new one that has those of all of them."""
    in_order = sorted(held, key=lambda found: (-len(found.columns), found.layout_id))
    widest = in_order[0]
    fresh: dict[str, Column] = {}
    for other in (*in_order[1:], layout):
        fresh |= {c.key: c for c in other.columns if c.key not in widest.index and c.key not in fresh}
    made_up = sum(1 for c in widest.columns if not c.categories and c.edges in ((), OCTAVE_EDGES))
    added = list(fresh.values())[: max(MAX_COLUMNS - made_up, 0)]
    return Layout.of([*widest.columns, *added]) if may_grow and added else widest
