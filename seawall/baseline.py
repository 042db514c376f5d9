"""A baseline: the reference that a model version was trained or validated on.

This module holds the object and its wire form, light enough for the SDK. Building one from data needs the
service extra and lives in `detectors.reference`.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from seawall.wire import decode, encode


@dataclass(frozen=True)
class BaselineColumn:
    """One column of the reference: its fixed bins and what it looked like."""

    name: str
    role: str
    kind: str
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    count: int = 0
    missing: int = 0
    mean: float = 0.0
    std: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0
    quantile_levels: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()
    distinct: int = 0
    importance: float | None = None


@dataclass(frozen=True)
class BaselineJoint:
    """What the reference looks like across columns; `detectors.joint` says what codes and sums are.

    `columns` names the column of each code (``role/name``); `bends` says which codes are of how far a value is from
    its median; `codes` are int8, one for every slot of the column, code after code; `frequencies` int16 [waves, codes];
    `sums` the packed sums of every pane of the reference.
    """

    columns: tuple[str, ...]
    bends: tuple[bool, ...]
    codes: bytes
    frequencies: npt.NDArray[np.int16]
    dof: float
    sums: bytes

    def unpacked(self, panes: int) -> npt.NDArray[np.int64]:
        """Return the sums of each pane: int64 [panes, sums]."""
        return np.frombuffer(zlib.decompress(self.sums), dtype="<i8").reshape(panes, -1)

    def to_record(self) -> dict[str, Any]:
        """Lay out as part of the ``baseline`` contract."""
        return {
            "columns": list(self.columns),
            "bends": bytes(self.bends),
            "codes": self.codes,
            "frequencies": self.frequencies.astype("<i2").tobytes(),
            "dof": self.dof,
            "sums": self.sums,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | None) -> BaselineJoint | None:
        """Read what `to_record` laid out."""
        if record is None:
            return None
        columns = tuple(record["columns"])
        return cls(
            columns,
            tuple(bool(b) for b in record["bends"]),
            record["codes"],
            np.frombuffer(record["frequencies"], dtype="<i2").reshape(-1, max(len(columns), 1)),
            record["dof"],
            record["sums"],
        )


@dataclass(frozen=True)
class Baseline:
    """The reference of one model version. Columns are in layout order (role, then name).

    `pane_counts` is [panes, slots]: what every reference pane held, slot by slot, in the layout that the
    columns define. From it follow the overall distribution (sum over panes), the seasonal pattern, and how far
    a quiet window naturally wanders. Data without time has one pane and `pane_us` 0.
    """

    model: str
    version: str
    rows: int
    columns: tuple[BaselineColumn, ...]
    pane_us: int
    pane_starts: npt.NDArray[np.int64]
    pane_counts: npt.NDArray[np.uint32]
    created_us: int = 0
    task: str = ""
    performance: Mapping[str, float] = field(default_factory=dict)
    lineage: Mapping[str, str] = field(default_factory=dict)
    baseline_id: str = ""
    segments: Mapping[str, bytes] = field(default_factory=dict)
    """Packed pane counts of the rows in which one feature has one value, by ``column=value``."""
    joint: BaselineJoint | None = None
    """What the reference looks like across columns; none where fewer than two can be watched together."""
    positive: str = ""
    """Class that a binary score speaks for, where it is a probability and the truth is known."""

    @cached_property
    def importances(self) -> Mapping[str, float]:
        """How much the model makes of each column, by ``role/name``, where that is known."""
        return {f"{c.role}/{c.name}": c.importance for c in self.columns if c.importance is not None}

    def segment_counts(self, segment: str) -> npt.NDArray[np.uint32] | None:
        """Pane counts of one segment ("" is all rows): uint32 [panes, slots]; None where it is not known."""
        if not segment:
            return self.pane_counts
        packed = self.segments.get(segment)
        return None if packed is None else unpack_counts(packed, len(self.pane_starts))

    def with_id(self) -> Baseline:
        """Return a copy whose `baseline_id` is the hash of its content (creation time left out)."""
        content = encode("baseline", replace(self, created_us=0, baseline_id="").to_record())
        return replace(self, baseline_id=hashlib.blake2b(content, digest_size=8).hexdigest())

    def to_record(self) -> dict[str, Any]:
        """Lay out as the ``baseline`` contract."""
        return {
            "model": self.model,
            "version": self.version,
            "baseline_id": self.baseline_id,
            "created_us": self.created_us,
            "rows": self.rows,
            "columns": [{**vars(c)} for c in self.columns],
            "pane_us": self.pane_us,
            "pane_starts": self.pane_starts.astype("<i8").tobytes(),
            "pane_counts": pack_counts(self.pane_counts),
            "segments": [{"segment": s, "pane_counts": c} for s, c in self.segments.items()],
            "performance": dict(self.performance),
            "lineage": dict(self.lineage),
            "task": self.task,
            "joint": self.joint.to_record() if self.joint else None,
            "positive": self.positive,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Baseline:
        """Read what `to_record` laid out."""
        starts = np.frombuffer(record["pane_starts"], dtype="<i8")
        return cls(
            model=record["model"],
            version=record["version"],
            rows=record["rows"],
            columns=tuple(_column(c) for c in record["columns"]),
            pane_us=record["pane_us"],
            pane_starts=starts,
            pane_counts=unpack_counts(record["pane_counts"], len(starts)),
            segments={s["segment"]: s["pane_counts"] for s in record["segments"]},
            created_us=record["created_us"],
            task=record["task"],
            performance=record["performance"],
            lineage=record["lineage"],
            baseline_id=record["baseline_id"],
            joint=BaselineJoint.from_record(record["joint"]),
            positive=record["positive"],
        )

    def to_bytes(self) -> bytes:
        """Encode for the ``baselines`` topic, or for a file."""
        return encode("baseline", self.to_record())

    @classmethod
    def from_bytes(cls, payload: bytes) -> Baseline:
        """Read what `to_bytes` wrote."""
        return cls.from_record(decode(payload, ("baseline",))[1])


def pack_counts(counts: npt.NDArray[np.uint32]) -> bytes:
    """Compress pane counts; most are zero."""
    return zlib.compress(counts.astype("<u4").tobytes(), 6)


def pack_sums(sums: npt.NDArray[np.int64]) -> bytes:
    """Compress the sums of panes, [panes, sums]."""
    return zlib.compress(sums.astype("<i8").tobytes(), 6)


def unpack_counts(packed: bytes, panes: int) -> npt.NDArray[np.uint32]:
    """Undo `pack_counts`: uint32 [panes, slots]."""
    return np.frombuffer(zlib.decompress(packed), dtype="<u4").reshape(panes, -1)


def _column(record: Mapping[str, Any]) -> BaselineColumn:
    tuples = ("edges", "categories", "quantile_levels", "quantiles")
    fields: dict[str, Any] = {k: tuple(v) if k in tuples else v for k, v in record.items()}
    return BaselineColumn(**fields)
