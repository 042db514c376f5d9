"""What only a baseline can tell about a monitor file: whether its columns exist."""

from __future__ import annotations

from seawall.baseline import Baseline
from seawall.monitor_yaml.detectors import ERROR, OF_ERRORS, STREAM, WINDOW
from seawall.monitor_yaml.nodes import Node, Section, kind_of
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
    _check_errors(top, baseline, whose)
    _check_calibration(top, baseline, whose)
    names = sorted({c.name for c in baseline.columns})
    node = top.get("columns")
    if node is None or kind_of(node) != "map":
        return
    _check_detectors(top, node, baseline)
    _check_effects(top, node, baseline)
    for key, _ in node.value:
        if key.id == "scalar" and key.value not in names:
            hint = did_you_mean(key.value, names)
            top.report.add(
                key.start_mark.line + 1,
                f"columns.{key.value}",
                key.value,
                f"a column of {whose}: {any_of(names)}{hint}",
            )


def _check_detectors(top: Section, columns: Node, baseline: Baseline) -> None:
    """Report detectors that need an order and are asked for a column that has none."""
    categories = {c.name for c in baseline.columns if c.kind == "categorical"}
    categories -= {c.name for c in baseline.columns if c.kind == "numeric"}
    without = [name for name, known in WINDOW.items() if not known.needs_order]
    for key, rule in columns.value:
        if key.id != "scalar" or key.value not in categories or kind_of(rule) != "map":
            continue
        listed = next((v for k, v in rule.value if k.id == "scalar" and k.value == "detectors"), None)
        for i, entry in enumerate(listed.value if listed is not None and kind_of(listed) == "seq" else ()):
            value = Value(entry, f"columns.{key.value}.detectors[{i}]", top.report)
            name = _name_of(entry)
            known = WINDOW.get(name) or STREAM.get(name)
            if known is not None and known.needs_order:
                value.refuse(f"a detector of categories: {any_of(without)}; {name} needs an order")


def _check_errors(top: Section, baseline: Baseline, whose: str) -> None:
    """Report detectors of errors where the baseline says that there are none."""
    listed = top.get("detectors")
    if (
        listed is None
        or kind_of(listed) != "seq"
        or f"loss/{ERROR}" in {f"{c.role}/{c.name}" for c in baseline.columns}
    ):
        return
    for i, entry in enumerate(listed.value):
        if _name_of(entry) in OF_ERRORS:
            Value(entry, f"detectors[{i}]", top.report).refuse(
                f"a detector of columns: {whose} has no errors, for it lacks truths or predicted labels"
            )


def _check_calibration(top: Section, baseline: Baseline, whose: str) -> None:
    """Report a promised calibration of scores that are no probabilities."""
    scores = [
        c for c in baseline.columns if c.role == "score" and c.kind == "numeric" and c.count > c.missing
    ]
    if not scores or any(0.0 <= c.minimum <= c.maximum <= 1.0 for c in scores):
        return
    promise = _inside(top.get("promise"), "performance")
    node = _inside(promise, "ece")
    if node is not None:
        of = scores[0]
        Value(node, "promise.performance.ece", top.report).refuse(
            f"another metric: the scores of {whose} go from {of.minimum:.4g} to {of.maximum:.4g}, "
            "and calibration is of probabilities from 0 to 1"
        )


def _inside(node: Node | None, key: str) -> Node | None:
    if node is None or kind_of(node) != "map":
        return None
    return next((v for k, v in node.value if k.id == "scalar" and k.value == key), None)


def _check_effects(top: Section, columns: Node, baseline: Baseline) -> None:
    """Report effects on what a column of its kind does not have: numbers leave a range, categories are new."""
    for key, rule in columns.value:
        kinds = {c.kind for c in baseline.columns if key.id == "scalar" and c.name == key.value}
        if len(kinds) != 1 or kind_of(rule) != "map":
            continue
        other, own, what = (
            ("unseen", "out_of_range", "numbers")
            if kinds == {"numeric"}
            else ("out_of_range", "unseen", "categories")
        )
        effect = next((v for k, v in rule.value if k.id == "scalar" and k.value == "effect"), None)
        for name, value in effect.value if effect is not None and kind_of(effect) == "map" else ():
            if name.id == "scalar" and name.value == other:
                field = f"columns.{key.value}.effect.{other}"
                Value(value, field, top.report).refuse(f"{own} in its place: the column holds {what}")


def _name_of(entry: Node) -> str:
    """Return the name in one entry of a list of detectors."""
    if kind_of(entry) == "map":
        found = [
            v.value for k, v in entry.value if k.id == "scalar" and k.value == "name" and v.id == "scalar"
        ]
        return str(found[0]) if found else ""
    return (
        str(entry.value).split()[0].split(">")[0] if entry.id == "scalar" and str(entry.value).split() else ""
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
