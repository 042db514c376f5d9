"""Which layout an event is counted in: its version's baseline, plus whatever columns the baseline lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from detectors.layout import OCTAVE_EDGES, Column, Layout, Role
from detectors.score_grid import EDGES
from seawall.baseline import Baseline
from seawall.frames import Columns, Source
from seawall.monitor import MonitorSpec
from streams.core.losses import SCORED, TRUTH, LossRule, rule_for, with_losses

#: Roles that an event of each source can carry.
SOURCE_ROLES: Mapping[Source, tuple[Role, ...]] = {
    "predictions": ("feature", "score", "prediction"),
    "features": ("feature",),
    "labels": ("label", "loss", "scored"),
}
#: More columns than this in one event is taken for a mistake (names that hold values).
MAX_COLUMNS = 4096


@dataclass(slots=True)
class Control:
    """What the control topics said last: monitors by model, baselines by (model, version)."""

    monitors: dict[str, MonitorSpec] = field(default_factory=dict)
    baselines: dict[tuple[str, str], Baseline] = field(default_factory=dict)
    generation: int = 0
    """Raised by every change, so that caches know."""

    def monitor(self, model: str) -> MonitorSpec:
        """Return the model's monitor, or one made of defaults."""
        return self.monitors.get(model) or _defaults(model)

    def set_monitor(self, spec: MonitorSpec) -> None:
        """Put or replace a monitor."""
        self.monitors[spec.model] = spec
        self.generation += 1

    def drop_monitor(self, model: str) -> None:
        """Go back to defaults."""
        self.monitors.pop(model, None)
        self.generation += 1

    def set_baseline(self, baseline: Baseline) -> None:
        """Put or replace a baseline."""
        self.baselines[baseline.model, baseline.version] = baseline
        self.generation += 1


@lru_cache(maxsize=4096)
def _defaults(model: str) -> MonitorSpec:
    # Asked for with every summary. Not kept for ever: models need not be declared, and names may be made up.
    return MonitorSpec(model)


class LayoutBook:
    """Resolves layouts, and remembers them. The resolution depends on the control state alone."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self._cache: dict[Any, tuple[Layout, str]] = {}
        self._rules: dict[tuple[str, str], LossRule] = {}
        self._generation = control.generation

    def resolve(self, columns: Columns) -> tuple[Layout, str]:
        """Return (layout, baseline_id or ``""``) for events with these columns."""
        self._forget_if_changed()
        key = (
            columns.model,
            columns.version,
            columns.source,
            tuple(columns.numeric),
            tuple(columns.categorical),
            tuple(columns.scores),
            columns.label is not None,
        )
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) > 10_000:
                self._cache.clear()
            found = self._cache[key] = self._resolve(columns)
        return found

    def with_losses(self, columns: Columns) -> Columns:
        """Return labels with what their predictions cost, for those that carry them."""
        self._forget_if_changed()
        key = (columns.model, columns.version)
        rule = self._rules.get(key)
        if rule is None:
            if len(self._rules) > 10_000:
                self._rules.clear()
            baseline = self.control.baselines.get(key)
            rule = self._rules[key] = rule_for(self.control.monitor(columns.model), baseline)
        return with_losses(columns, rule)

    def _forget_if_changed(self) -> None:
        if self._generation != self.control.generation:
            self._cache.clear()
            self._rules.clear()
            self._generation = self.control.generation

    def _resolve(self, columns: Columns) -> tuple[Layout, str]:
        baseline = self.control.baselines.get((columns.model, columns.version))
        known = {c.key: c for c in baseline_layout(baseline, columns.source).columns} if baseline else {}
        for column in columns_present(columns):
            known.setdefault(column.key, column)
        return Layout.of(known.values()), baseline.baseline_id if baseline else ""


def baseline_layout(baseline: Baseline, source: Source | None = None) -> Layout:
    """Layout that a baseline's columns define, for one source or (None) for all of `pane_counts`."""
    roles = SOURCE_ROLES[source] if source else None
    return Layout(
        tuple(
            Column(c.name, c.role, c.kind, c.edges, c.categories)  # type: ignore[arg-type]  # checked when read
            for c in baseline.columns
            if roles is None or c.role in roles
        )
    )


def columns_present(columns: Columns) -> list[Column]:
    """Every column of `columns`, binned as a column that no baseline describes."""
    found = [number_column(columns.source, n) for n in columns.numeric]
    found += [Column(n, "feature", "categorical") for n in columns.categorical]
    found += [Column(n, "score", "numeric", OCTAVE_EDGES) for n in columns.scores]
    if columns.label is not None:
        found.append(Column("label", label_role(columns.source), "categorical"))
    return found


def label_role(source: Source) -> Role:
    """Role of the column ``label`` of a source's events."""
    return "label" if source == "labels" else "prediction"


def number_column(source: Source, name: str) -> Column:
    """Return the column of a number that is no score, binned as one that no baseline describes."""
    if source != "labels":
        return Column(name, "feature", "numeric", OCTAVE_EDGES)
    if name in SCORED:
        return Column(name, "scored", "numeric", EDGES)
    return Column(name, "label" if name == TRUTH else "loss", "numeric", OCTAVE_EDGES)


def with_ignored(spec: MonitorSpec, layout: Layout) -> Layout:
    """Layout without the columns that the monitor ignores."""
    return replace(
        layout,
        columns=tuple(c for c in layout.columns if not (r := spec.columns.get(c.name)) or not r.ignore),
    )
