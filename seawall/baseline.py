"""A baseline: the reference that a model version was trained or validated on.

This module holds the object and its wire form, light enough for the SDK. Building one from data needs the
service extra and lives in `detectors.reference`.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
            "pane_counts": zlib.compress(self.pane_counts.astype("<u4").tobytes(), 6),
            "performance": dict(self.performance),
            "lineage": dict(self.lineage),
            "task": self.task,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Baseline:
        """Read what `to_record` laid out."""
        starts = np.frombuffer(record["pane_starts"], dtype="<i8")
        counts = np.frombuffer(zlib.decompress(record["pane_counts"]), dtype="<u4")
        return cls(
            model=record["model"],
            version=record["version"],
            rows=record["rows"],
            columns=tuple(_column(c) for c in record["columns"]),
            pane_us=record["pane_us"],
            pane_starts=starts,
            pane_counts=counts.reshape(len(starts), -1),
            created_us=record["created_us"],
            task=record["task"],
            performance=record["performance"],
            lineage=record["lineage"],
            baseline_id=record["baseline_id"],
        )

    def to_bytes(self) -> bytes:
        """Encode for the ``baselines`` topic, or for a file."""
        return encode("baseline", self.to_record())

    @classmethod
    def from_bytes(cls, payload: bytes) -> Baseline:
        """Read what `to_bytes` wrote."""
        return cls.from_record(decode(payload, ("baseline",))[1])


def _column(record: Mapping[str, Any]) -> BaselineColumn:
    tuples = ("edges", "categories", "quantile_levels", "quantiles")
    fields: dict[str, Any] = {k: tuple(v) if k in tuples else v for k, v in record.items()}
    return BaselineColumn(**fields)
