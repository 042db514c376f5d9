"""Events of more column sets than it pays to count apart: all of a version's events in one layout.

Producers that send only what is not empty make a column set of nearly every event. Counted apart, each would be a block
of its own, and a chunk's summary many times as large as the chunk. Here a column that an event lacks is missing, as it
is in a baseline that was built from a table with empty cells.

What comes out is a function of the events as a set. Columns that no baseline describes are ranked by how many events
have them, to the next power of two, and by name among equals: chunks of the same traffic choose alike, and a name
that was made up for one event does not push out one that most have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from detectors.joint.plan import Bound
from detectors.joint.sums import PaneSums, joint_sums, merge_sums
from detectors.layout import MISSING, OCTAVE_EDGES, Column, Layout
from detectors.summary import Block, laid_out, merge, summarise
from seawall.baseline import Baseline
from seawall.frames import Categorical, Columns, Source
from seawall.monitor import MonitorSpec
from streams.core.joint import plan_of
from streams.core.layouts import baseline_layout, label_role, number_column
from streams.core.rows import Listed, to_rows, words_of
from streams.core.stitch import take

#: Column sets of a version in one chunk that are counted apart.
MAX_SETS = 16
#: Columns that no baseline describes and that are counted when there are more sets.
MAX_COLUMNS = 256
#: Cells times slots: what is counted takes four bytes each, for as long as it takes to write it down.
_MOST_COUNTS = 1 << 24
#: Values that are laid out at a time.
_AT_ONCE = 1 << 21


@dataclass(slots=True)
class Pool:
    """All events of one version in the open chunk."""

    source: Source
    spec: MonitorSpec
    baseline: Baseline | None
    parts: list[Columns] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    """What was counted apart while there were few sets."""
    sums: list[PaneSums] = field(default_factory=list)
    _columns: dict[str, Column] = field(default_factory=dict)
    _present: Counter[str] = field(default_factory=Counter)
    """Events that have a column, by its key."""
    _panes: set[int] = field(default_factory=set)
    _rows: int = 0

    @property
    def baseline_id(self) -> str:
        """Id of the baseline whose columns come first, or ``""``."""
        return self.baseline.baseline_id if self.baseline else ""

    def absorb(self, block: Block, sums: PaneSums | None) -> None:
        """Take what was counted apart."""
        self.blocks.append(block)
        self.sums += [sums] if sums is not None else []
        everything = np.array([not name for name in block.segments], dtype=bool)
        rows, counts = int(block.rows[everything].sum()), block.counts[everything]
        self._rows += rows
        self._panes.update(block.panes.tolist())
        for i, column in enumerate(block.layout.columns):
            self._saw(column, rows - int(counts[:, block.layout.first_slots[i] + MISSING].sum()))

    def add(self, part: Columns) -> None:
        """Take events of one column set."""
        self.parts.append(part)
        self._rows += part.rows
        self._panes.update((part.ts // self.spec.pane_us * self.spec.pane_us).tolist())
        for name, values in part.numeric.items():
            self._saw_values(number_column(self.source, name), values)
        for name, values in part.scores.items():
            self._saw_values(Column(name, "score", "numeric", OCTAVE_EDGES), values)
        for name, words in part.categorical.items():
            self._saw(Column(name, "feature", "categorical"), int((words.codes >= 0).sum()))
        if part.label is not None:
            label = Column("label", label_role(self.source), "categorical")
            self._saw(label, int((part.label.codes >= 0).sum()))

    def _saw_values(self, column: Column, values: npt.NDArray[np.float64]) -> None:
        self._saw(column, len(values) - int(np.isnan(values).sum()))

    def _saw(self, column: Column, rows: int) -> None:
        known = self._columns.get(column.key)
        if known is None or (known.kind, column.kind) == ("categorical", "numeric"):
            self._columns[column.key] = column
        self._present[column.key] += rows

    def layout(self, listed: Listed) -> Layout:
        """Choose the columns: those of the baseline, and as many others as there is room for."""
        chosen = (
            {c.key: c for c in baseline_layout(self.baseline, self.source).columns} if self.baseline else {}
        )
        panes = len(self._panes)
        cells = panes + sum(min(self._rows, panes * len(names)) for names in listed.values())
        room = _MOST_COUNTS // max(cells, 1) - sum(c.slots for c in chosen.values())
        others = [key for key in self._columns if key not in chosen]
        others.sort(key=lambda key: (-self._present[key].bit_length(), key))
        for key in others[:MAX_COLUMNS]:
            room -= self._columns[key].slots
            if room < 0:
                break
            chosen[key] = self._columns[key]
        return Layout.of(chosen.values())

    def counted(self, listed: Listed) -> tuple[Block, PaneSums | None]:
        """Count everything; `listed` are the segments that have a place of their own, all of them."""
        layout = self.layout(listed)
        bound = self._bound(layout)
        blocks, sums = [laid_out(block, layout) for block in self.blocks], list(self.sums)
        for piece in self._pieces(max(_AT_ONCE // max(len(layout.columns), 1), 1)):
            rows = to_rows(_stacked(piece, layout, self.spec), layout, self.spec, self.baseline, listed)
            rows.weights = np.repeat([part.weight for part in piece], [part.rows for part in piece])
            blocks = [merge([*blocks, summarise(rows)])]
            if bound is not None:
                sums = [merge_sums([*sums, joint_sums(rows.slots, rows.panes, bound)])]
        return merge(blocks), merge_sums(sums) if sums else None

    def _bound(self, layout: Layout) -> Bound | None:
        if not self.spec.multivariate or self.source != "predictions":
            return None
        plan = plan_of(self.baseline)
        return plan.bound_to(layout) if plan else None

    def _pieces(self, most: int) -> Iterator[list[Columns]]:
        """Parts of at most so many rows together."""
        piece: list[Columns] = []
        room = most
        for part in self.parts:
            at = 0
            while at < part.rows:
                end = min(at + room, part.rows)
                piece.append(part if end - at == part.rows else take(part, slice(at, end)))
                room -= end - at
                at = end
                if not room:
                    yield piece
                    piece, room = [], most
        if piece:
            yield piece


def _stacked(parts: Sequence[Columns], layout: Layout, spec: MonitorSpec) -> Columns:
    """Put parts of any columns below one another, with what the layout and the segments ask for."""
    ends = np.cumsum([part.rows for part in parts]).tolist()
    places = [slice(end - part.rows, end) for part, end in zip(parts, ends, strict=True)]
    numbers: dict[str, dict[str, npt.NDArray[np.float64]]] = {"numeric": {}, "scores": {}}
    words: dict[str, list[Categorical | None]] = {}
    for column in layout.columns:
        if column.kind == "numeric":
            kind = "scores" if column.role == "score" else "numeric"
            numbers[kind][column.name] = np.full(ends[-1], np.nan)
        elif column.role == "feature":
            words[column.name] = [part.categorical.get(column.name) for part in parts]
    for part, place in zip(parts, places, strict=True):
        for kind, values in (("numeric", part.numeric), ("scores", part.scores)):
            into = numbers[kind]
            for name in values.keys() & into.keys():
                into[name][place] = values[name]
    labels = [part.label for part in parts]
    return replace(
        parts[0],
        ts=np.concatenate([part.ts for part in parts]),
        numeric=numbers["numeric"],
        scores=numbers["scores"],
        categorical={name: _joined(found, places) for name, found in words.items()},
        label=None if all(found is None for found in labels) else _joined(labels, places),
        segments={name: _joined([words_of(part, name) for part in parts], places) for name in spec.segments},
        weight=1.0,
        event_ids=None,
        entity_ids=None,
        predicted=None,
    )


def _joined(parts: Sequence[Categorical | None], places: Sequence[slice]) -> Categorical:
    codes = np.full(places[-1].stop, -1, dtype=np.int32)
    place: dict[str, int] = {}
    for words, at in zip(parts, places, strict=True):
        if words is not None:
            lookup = [*(place.setdefault(word, len(place)) for word in words.dictionary), -1]
            codes[at] = np.array(lookup, dtype=np.int32)[words.codes]
    return Categorical(codes, list(place))
