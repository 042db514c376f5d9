"""A monitor: what its owner says good looks like, with every default filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

RollbackMode = Literal["observe", "approve", "auto"]


@dataclass(frozen=True)
class RollbackPolicy:
    """When and how Seawall may ask the registry to go back."""

    mode: RollbackMode = "observe"
    target: str = "last_good"
    """``last_good`` (the version that served before) or a version by name."""
    cooldown_us: int = 6 * HOUR_US
    """No second rollback of the model within this event time."""
    release_window_us: int = 7 * DAY_US
    """A release older than this is not suspected."""
    approval_timeout_us: int = 6 * HOUR_US
    recovery_us: int = 1 * DAY_US
    """How long after it was applied a rollback has to show that it helped."""


@dataclass(frozen=True)
class DetectorRule:
    """A classic detector by name, with its limit: at most one of `above`, `p` and `calibrated`, else the textbook's."""

    name: str
    above: float | None = None
    """A window alarms above this value of the statistic."""
    p: float | None = None
    """… or at a smaller p-value than this."""
    calibrated: float | None = None
    """… or above what this share of windows without change exceeds."""
    parameters: tuple[tuple[str, float], ...] = ()
    """River's own, of stream detectors."""

    @property
    def said(self) -> str:
        """The rule as a monitor has it."""
        if self.above is not None:
            return f"{self.name} > {self.above:g}"
        if self.p is not None:
            return f"{self.name} p < {self.p:g}"
        if self.calibrated is not None:
            return f"{self.name} calibrated {self.calibrated:g}"
        given = ", ".join(f"{name} {value:g}" for name, value in self.parameters)
        return f"{self.name} ({given})" if given else self.name


@dataclass(frozen=True)
class Effects:
    """Smallest changes worth a page of every statistic but the distance, whose own is `MonitorSpec.effect`."""

    missing: float = 0.05
    """Of the share of missing values, 0..1; by default a tenth of it where the baseline has (nearly) none."""
    unseen: float = 0.05
    """Of the share of categories never seen, 0..1."""
    out_of_range: float = 0.05
    """Of the share of numbers out of range, 0..1; those that are far out of it count as many."""
    correlation: float = 0.2
    """Of the correlation of two columns, 0..2."""
    mmd: float = 0.03
    """A distance of mean embeddings of all columns, 0..2."""
    reconstruction: float = 0.05
    """Of the share of variance outside of the main directions, 0..1."""
    loss: float = 0.05
    """Jensen-Shannon distance (base 2, 0..1) of a loss: an error rate of 4 % becomes 7 %, or one of 20 % 25 %."""


@dataclass(frozen=True)
class ColumnRule:
    """An owner's override for one column."""

    ignore: bool = False
    effect: float | None = None
    """Smallest Jensen-Shannon distance (base 2, 0..1) worth a page."""
    effects: Mapping[str, float] = field(default_factory=dict)
    """Those of `Effects` that are this column's own: missing, unseen, out_of_range."""
    detectors: tuple[DetectorRule, ...] = ()
    """Classic detectors of this column, beside those of the whole monitor."""


@dataclass(frozen=True)
class MonitorSpec:
    """One model's monitor. Times are microseconds."""

    model: str
    task: str = ""
    pane_us: int = MINUTE_US
    horizons_us: tuple[int, ...] = (5 * MINUTE_US, HOUR_US, DAY_US)
    """Window lengths, multiples of the pane, ascending. Every window slides by one pane."""
    lateness_us: int = MINUTE_US
    """A window closes when the watermark (greatest event time less this) passes its end."""
    grace_us: int = HOUR_US
    """An event this much later still revises its windows; a later one is counted late."""
    segments: tuple[str, ...] = ()
    """Categorical columns by whose values traffic is watched separately."""
    max_segments: int = 200
    """Values of one segment column beyond this many share the segment ``column=(other)``."""
    false_pages: float = 1.0
    false_pages_period_us: int = 30 * DAY_US
    performance: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Metric to (comparison, bound), such as ``{"roc_auc": (">=", 0.8)}``."""
    freshness_us: int | None = None
    """Page when no prediction came for this long."""
    min_rows: int = 30
    """Fewer rows than this is not enough data for a verdict."""
    min_coverage: float = 0.5
    """Nor is a window of which less than this share lies after the version's first event."""
    effect: float = 0.1
    """Smallest Jensen-Shannon distance (base 2, 0..1) worth a page, unless a column says otherwise."""
    effects: Effects = field(default_factory=Effects)
    """… and smallest changes of everything else, unless a column says otherwise."""
    open_after: int = 2
    """Consecutive drifted panes before an alarm opens, unless one alone is proof enough …"""
    resolve_after: int = 4
    """… and consecutive stable panes before it closes."""
    columns: Mapping[str, ColumnRule] = field(default_factory=dict)
    """Overrides by column name."""
    detectors: tuple[DetectorRule, ...] = ()
    """Classic detectors of every column that they can watch; their alarms are outside the budget."""
    timezone: str = "UTC"
    """IANA zone in which the baseline's hours are compared with a window's."""
    skew: bool = True
    """Compare feature events with the features that predictions carried."""
    multivariate: bool = True
    """Watch columns together too: changes that no single one shows."""
    rollback: RollbackPolicy = field(default_factory=RollbackPolicy)
    notify: tuple[str, ...] = ()
    """Receivers: ``log``, ``webhook``, ``slack:#channel``, ``pagerduty:service``."""

    def effects_on(self, statistic: str, columns: Sequence[str]) -> list[float]:
        """Return the smallest effect worth a page on each of some columns: of ``js``, or by the names of `Effects`."""
        usual: float = self.effect if statistic == "js" else getattr(self.effects, statistic)
        if not self.columns:
            return [usual] * len(columns)  # as in most monitors, and asked four times for each window
        rules = self.columns
        if statistic == "js":
            return [
                usual if (rule := rules.get(name)) is None or rule.effect is None else rule.effect
                for name in columns
            ]
        return [
            usual if (rule := rules.get(name)) is None else rule.effects.get(statistic, usual)
            for name in columns
        ]
