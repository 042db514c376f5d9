"""Where every count lives: a layout turns named columns into one flat vector of slots.

A cell of a summary is one integer vector. Adding two cells of the same layout is adding two vectors, so
merging is exact, associative and commutative, whatever the order in which chunks arrive.

Slots of a numeric column with edges ``e0 < … < eK``:

    0 missing | 1 invalid (±inf) | 2 underflow (x < e0) | 3 … K+2 bins [ej, ej+1), the last closed | K+3 overflow

Slots of a categorical column with categories ``c0 … cM-1``:

    0 missing | 1 other (a value that the baseline has never seen) | 2 … M+1 categories
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from detectors.bins import Bins, blocks

Role = Literal["feature", "score", "prediction", "label", "loss", "scored"]
Kind = Literal["numeric", "categorical"]
ROLES: tuple[Role, ...] = ("feature", "score", "prediction", "label", "loss", "scored")

MISSING, INVALID, UNDERFLOW, FIRST_BIN = 0, 1, 2, 3
OTHER, FIRST_CATEGORY = 1, 2

#: Bins for a column that no baseline describes: one per octave and sign, so that any magnitude has a place.
OCTAVE_EDGES: tuple[float, ...] = (
    *(-(2.0**k) for k in range(40, -21, -1)),
    0.0,
    *(2.0**k for k in range(-20, 41)),
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a layout: its name, its role, and its fixed bins or categories."""

    name: str
    role: Role
    kind: Kind
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def slots(self) -> int:
        """Number of slots that this column takes."""
        if self.kind == "numeric":
            return max(len(self.edges) - 1, 1) + 4
        return len(self.categories) + 2

    @property
    def key(self) -> str:
        """``role/name``: unique within a layout."""
        return f"{self.role}/{self.name}"


@dataclass(frozen=True)
class Layout:
    """An ordered, immutable set of columns and the slots that they occupy."""

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, columns: Iterable[Column]) -> Layout:
        """Build a layout with columns in canonical order (role, then name)."""
        return cls(tuple(sorted(columns, key=lambda c: (ROLES.index(c.role), c.name))))

    @cached_property
    def first_slots(self) -> tuple[int, ...]:
        """First slot of each column."""
        starts, at = [], 0
        for column in self.columns:
            starts.append(at)
            at += column.slots
        return tuple(starts)

    @cached_property
    def slots(self) -> int:
        """Total number of slots."""
        return sum(column.slots for column in self.columns)

    @cached_property
    def numeric(self) -> tuple[int, ...]:
        """Indices of the numeric columns, in order: the rows of a cell's moments."""
        return tuple(i for i, c in enumerate(self.columns) if c.kind == "numeric")

    @cached_property
    def categorical(self) -> tuple[int, ...]:
        """Indices of the categorical columns, in order: the rows of a cell's distinct-count registers."""
        return tuple(i for i, c in enumerate(self.columns) if c.kind == "categorical")

    @cached_property
    def index(self) -> dict[str, int]:
        """Column index by ``role/name``."""
        return {c.key: i for i, c in enumerate(self.columns)}

    @cached_property
    def layout_id(self) -> str:
        """Hash of the content: equal layouts have equal ids in every process."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=8).hexdigest()

    def slice_of(self, i: int) -> slice:
        """Slots of column i."""
        return slice(self.first_slots[i], self.first_slots[i] + self.columns[i].slots)

    @cached_property
    def column_of_slot(self) -> npt.NDArray[np.intp]:
        """Column index of every slot."""
        return np.repeat(np.arange(len(self.columns)), [c.slots for c in self.columns])

    @cached_property
    def _bins(self) -> Bins:
        return Bins([self.columns[i].edges for i in self.numeric], OCTAVE_EDGES)

    def slots_of_numbers(
        self, values: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Find the slots of all numeric columns at once.

        Parameters
        ----------
        values
            [numeric columns, rows], C-contiguous. NaN is missing; ±inf is invalid.

        Returns
        -------
        slots : int64 [numeric columns, rows]
            Absolute.
        are_finite : bool [numeric columns]
            Columns all of whose values are finite.
        """
        slots = np.empty(values.shape, dtype=np.int64)
        are_finite = np.empty(len(values), dtype=np.bool_)
        first = np.array([self.first_slots[i] for i in self.numeric], dtype=np.int64)[:, None]
        for block in blocks(*values.shape):
            here, out = values[block], slots[block]
            self._bins.edges_below(block, here, out)
            out += first[block] + UNDERFLOW
            # What is not finite leaves its trace in the sum, and a sum is quicker than looking at each.
            with np.errstate(over="ignore", invalid="ignore"):
                are_finite[block] = np.isfinite(here.sum(axis=1))
            if not are_finite[block].all():
                for slot, are in ((MISSING, np.isnan(here)), (INVALID, np.isinf(here))):
                    np.copyto(out, first[block] + slot, where=are)
        return slots, are_finite

    def to_json(self) -> str:
        """Canonical JSON."""
        return json.dumps(
            [
                {"name": c.name, "role": c.role, "kind": c.kind, "edges": c.edges, "categories": c.categories}
                for c in self.columns
            ],
            separators=(",", ":"),
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Read what `to_json` wrote."""
        return cls(
            tuple(
                Column(c["name"], c["role"], c["kind"], tuple(c["edges"]), tuple(c["categories"]))
                for c in json.loads(text)
            )
        )


def slots_of_numeric(column: Column, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Slot, relative to the column, of every value. NaN is missing; ±inf is invalid."""
    slots, _ = _alone(column).slots_of_numbers(np.ascontiguousarray(values, dtype=np.float64)[None])
    found: npt.NDArray[np.int64] = slots[0]
    return found


@lru_cache(maxsize=1024)
def _alone(column: Column) -> Layout:
    """Layout of one column, with its tables of bins."""
    return Layout((column,))


def slots_of_codes(
    column: Column, codes: npt.NDArray[np.int32], dictionary: list[str]
) -> npt.NDArray[np.int64]:
    """Slot, relative to the column, of every dictionary code. -1 is missing."""
    place = {c: FIRST_CATEGORY + j for j, c in enumerate(column.categories)}
    lookup = np.array([*(place.get(v, OTHER) for v in dictionary), MISSING], dtype=np.int64)
    return lookup[codes]
