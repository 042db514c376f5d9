"""The five verdicts, and what is said about one closed window."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Verdict(IntEnum):
    """Only DRIFT may open an alarm and only STABLE may close one. The numbers are those of the tables."""

    STABLE = 0
    WARNING = 1
    DRIFT = 2
    NOT_ENOUGH_DATA = 3
    ERROR = 4


@dataclass(frozen=True, slots=True)
class ColumnVerdict:
    """Why one column of one window drifts, or several together."""

    name: str
    role: str
    verdict: Verdict
    statistic: str
    """What was exceeded: ``js``, ``missing_share``, ``unseen_share``, ``out_of_range_share``, ``skew_js``; of
    several columns ``correlation`` (its change), ``reconstruction`` (the same) or ``mmd``."""
    value: float
    limit: float
    chance: float
    """What chance alone would give at this sample size."""
    detail: str = ""
    evidence: float | None = None
    """How many times as far from usual as is allowed, where that is more than value over limit: a share may fall."""
    importance: float | None = None
    """The model's own importance of it, where the baseline carries one."""
    moved: float | None = None
    """How far it has moved, in standard deviations of the reference; None of what is no column's own."""
    codes: tuple[int, ...] = ()
    """Of a pair: both of its codes in the baseline's plan."""
    of: tuple[str, ...] = ()
    """Of a pair: ``role/name`` of both columns."""
    odd: str = ""
    """Of a pair: ``role/name`` of the column that goes differently with others too, where that is known."""
    apart: str = ""
    """Of a pair: what others say of which of the two it is."""
    sudden: bool = False
    """Whether this column alone, in this window alone, is proof enough."""
    goes_with: tuple[str, ...] = ()
    """Of a column: ``role/name`` of those that it goes together with in its baseline, as far as that is watched."""

    @property
    def key(self) -> str:
        """``role/name``."""
        return f"{self.role}/{self.name}"


@dataclass(frozen=True, slots=True)
class WindowVerdict:
    """The judgement of one closed window ``[start_us, end_us)``. `columns` holds those that drifted."""

    model: str
    version: str
    source: str
    segment: str
    horizon_us: int
    start_us: int
    end_us: int
    rows: int
    verdict: Verdict
    kind: str = "drift"
    """Which alarm it speaks to: drift | skew | volume | freshness."""
    columns: tuple[ColumnVerdict, ...] = ()
    sudden: bool = False
    """Whether this window alone is proof enough: its alarm waits for no second one."""
    near: tuple[str, ...] = ()
    """Names of columns that are close to their limits, the one that moved most first."""
    warned: tuple[str, ...] = ()
    """``role/name`` of columns that are a warning, and of pairs close to their limits, which make no window one."""
