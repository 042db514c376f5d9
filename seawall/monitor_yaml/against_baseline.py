"""What only a baseline can tell about a monitor file: whether its columns exist."""

from __future__ import annotations

from seawall.baseline import Baseline
from seawall.monitor_yaml.nodes import Section, kind_of
from seawall.monitor_yaml.problems import any_of, did_you_mean
from seawall.monitor_yaml.values import Value


def check_against(top: Section, model: str | None, baseline: Baseline) -> None:
    """Report names that the baseline does not have, and segments that it cannot split by."""
    if model and model != baseline.model:
        value = Value.of(top, "model")
        if value is not None:
            value.refuse(f"the baseline's model, {baseline.model!r}")
    whose = f"the baseline of {baseline.model} {baseline.version}"
    _check_segments(top, baseline, whose)
    names = sorted({c.name for c in baseline.columns})
    node = top.get("columns")
    if node is None or kind_of(node) != "map":
        return
    for key, _ in node.value:
        if key.id == "scalar" and key.value not in names:
            hint = did_you_mean(key.value, names)
            top.report.add(
                key.start_mark.line + 1,
                f"columns.{key.value}",
                key.value,
                f"a column of {whose}: {any_of(names)}{hint}",
            )


def _check_segments(top: Section, baseline: Baseline, whose: str) -> None:
    node = top.get("segments")
    if node is None or kind_of(node) != "seq":
        return
    kinds = {c.name: c.kind for c in baseline.columns if c.role == "feature"}
    usable = sorted(name for name, kind in kinds.items() if kind == "categorical")
    for i, entry in enumerate(node.value):
        if entry.id != "scalar" or entry.value in usable:
            continue
        value = Value(entry, f"segments[{i}]", top.report)
        choices = f"a categorical column of {whose}: {any_of(usable) or 'it has none'}"
        numeric = kinds.get(entry.value) == "numeric"
        value.refuse(
            f"{choices}; this one is numeric" if numeric else choices + did_you_mean(entry.value, usable)
        )
