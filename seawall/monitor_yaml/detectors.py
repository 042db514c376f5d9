"""Classic detectors in a monitor file: ``psi > 0.2``, ``ks p < 0.01``, ``js calibrated 0.01``, ``adwin``.

Or as mappings: ``{name: psi, above: 0.2}``, ``{name: adwin, delta: 0.001}``. What there is by name is written down
here, so that a file can be checked without the service extra; a test holds it against `detectors.registry`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from seawall.monitor import DetectorRule
from seawall.monitor_yaml.nodes import Section, kind_in_words, kind_of
from seawall.monitor_yaml.problems import any_of, did_you_mean
from seawall.monitor_yaml.values import Value, items

_TEXT = re.compile(r"\s*([A-Za-z_0-9-]+)\s*(?:(>|p\s*<|calibrated)\s*(\S+))?\s*")
EXAMPLE = "[psi > 0.2, ks p < 0.01, js calibrated 0.001, adwin]"


@dataclass(frozen=True, slots=True)
class Known:
    """What a detector of some name can be asked for."""

    needs_order: bool = False
    """Not for categories."""
    p: tuple[float, float] | None = None
    """The p-values that it may be given, ends included (0 and 1 are not)."""
    parameters: tuple[str, ...] | None = None
    """Those of a stream detector."""
    least_panes: int = 0
    """Panes that a stream detector needs before it can say anything."""
    of_errors: bool = False
    """Watches a model's errors one by one."""


_ANY = (0.0, 1.0)
WINDOW: Mapping[str, Known] = {
    "psi": Known(),
    "ks": Known(True, _ANY),
    "chi2": Known(False, _ANY),
    "js": Known(),
    "hellinger": Known(),
    "wasserstein": Known(True),
    "cramer_von_mises": Known(True, (0.001, 0.25)),
    "anderson_darling": Known(True, (0.001, 0.25)),
    "energy": Known(True),
    "total_variation": Known(),
    "g_test": Known(False, _ANY),
    "fisher": Known(False, _ANY),
    "z_test": Known(False, _ANY),
    "mann_whitney": Known(True, _ANY),
}
#: Stream detectors, which are fed one number for each pane, or the errors of each.
STREAM: Mapping[str, Known] = {
    "adwin": Known(True, parameters=("delta", "min_window_length", "grace_period"), least_panes=12),
    "kswin": Known(True, parameters=("alpha", "window_size", "stat_size"), least_panes=100),
    "page_hinkley": Known(True, parameters=("min_instances", "delta", "threshold", "alpha"), least_panes=30),
    "ddm": Known(True, parameters=("warm_start", "drift_threshold"), of_errors=True),
    "eddm": Known(True, parameters=("warm_start", "alpha", "beta"), of_errors=True),
    "hddm_a": Known(True, parameters=("drift_confidence",), of_errors=True),
    "hddm_w": Known(True, parameters=("drift_confidence", "lambda_val"), of_errors=True),
}
OF_ERRORS = tuple(name for name, known in STREAM.items() if known.of_errors)
#: The column that they watch.
ERROR = "error"


def read_detectors(
    value: Value, longest_panes: int | None, column: str | None = None
) -> tuple[DetectorRule, ...]:
    """Read a list of detectors, reporting what is wrong with each.

    Parameters
    ----------
    longest_panes
        Panes in the longest horizon; None when that could not be read.
    column
        Name of the column whose they are; None for those of the whole monitor.
    """
    read = items(value, lambda v: _rule(v, longest_panes, column), EXAMPLE)
    found: list[DetectorRule] = []
    for rule, each in read:
        if rule in found:
            each.refuse("each detector once")
        else:
            found.append(rule)
    return tuple(found)


def _rule(value: Value, longest_panes: int | None, column: str | None) -> DetectorRule | None:
    if kind_of(value.node) == "map":
        rule = _of_mapping(value)
    elif kind_of(value.node) == "str":
        rule = _of_text(value)
    else:
        value.refuse(f"a detector, such as psi > 0.2, found {kind_in_words(value.node)}")
        return None
    return rule if rule is not None and _can_be(value, rule, longest_panes, column) else None


def _of_text(value: Value) -> DetectorRule | None:
    match = _TEXT.fullmatch(value.node.value)
    if match is None:
        value.refuse(f"a name, and > NUMBER, p < NUMBER or calibrated RATE behind it, such as {EXAMPLE}")
        return None
    name = match[1].lower().replace("-", "_")
    if match[2] is None:
        return DetectorRule(name)
    number = _number(match[3])
    if number is None:
        value.refuse(f"a number behind {match[2]!r}, found {match[3]!r}")
        return None
    if match[2] == ">":
        return DetectorRule(name, above=number)
    return DetectorRule(name, calibrated=number) if match[2] == "calibrated" else DetectorRule(name, p=number)


def _of_mapping(value: Value) -> DetectorRule | None:
    section = Section(value.node, value.field, value.report, None)
    numbers: dict[str, float] = {}
    name = ""
    before = len(value.report.problems)
    for key, node in section.items():
        entry = Value(node, section.field(key), value.report)
        if key == "name":
            name = str(node.value).lower().replace("-", "_") if node.id == "scalar" else ""
            continue
        number = _number(str(node.value)) if node.id == "scalar" and kind_of(node) != "bool" else None
        if number is None:
            entry.refuse_kind("a number")
        else:
            numbers[key] = number
    if not name:
        value.refuse("a mapping with a name, such as {name: psi, above: 0.2}")
    if not name or len(value.report.problems) > before:
        return None
    limits = {k: numbers.pop(k) for k in ("above", "p", "calibrated") if k in numbers}
    if len(limits) > 1:
        value.refuse(f"one of above, p and calibrated, found {' and '.join(limits)}")
        return None
    known = STREAM.get(name)
    allowed = ("name", "above", "p", "calibrated") if known is None else ("name", *(known.parameters or ()))
    for key in numbers:
        if key not in allowed:
            hint = did_you_mean(key, allowed) or f": {any_of(allowed)}"
            value.report.add(section.line_of(key), section.field(key), key, f"a known key of {name}{hint}")
            return None
    return DetectorRule(name, **limits, parameters=tuple(numbers.items()))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _can_be(value: Value, rule: DetectorRule, longest_panes: int | None, column: str | None) -> bool:
    """Report why a detector cannot be asked for so; true when it can."""
    if rule.name in OF_ERRORS and column not in {None, ERROR}:
        value.refuse(
            f"a detector of columns; {rule.name} watches the model's errors: under detectors, or columns.{ERROR}"
        )
        return False
    known = WINDOW.get(rule.name) or STREAM.get(rule.name)
    if known is None:
        names = [*WINDOW, *STREAM]
        value.refuse(f"a detector{did_you_mean(rule.name, names) or ': ' + any_of(names, 20)}")
        return False
    problem = _limit_problem(rule, known) or (
        _stream_problem(rule, known, longest_panes) if rule.name in STREAM else ""
    )
    if problem:
        value.refuse(problem)
    return not problem


def _limit_problem(rule: DetectorRule, known: Known) -> str:
    is_limited = (rule.above, rule.p, rule.calibrated) != (None, None, None)
    if rule.name in STREAM:
        parameter = (known.parameters or ("delta",))[0]
        return (
            f"{rule.name} with its own parameters: {{name: {rule.name}, {parameter}: …}}"
            if is_limited
            else ""
        )
    if rule.above is not None and rule.above < 0:
        return "a limit of 0 or more"
    if rule.calibrated is not None and not 1e-5 <= rule.calibrated <= 0.5:
        return "a share of windows from 0.00001 to 0.5 behind calibrated"
    return "" if rule.p is None else _p_problem(rule.name, rule.p, known.p)


def _p_problem(name: str, p: float, allowed: tuple[float, float] | None) -> str:
    if allowed is None:
        return f"{name} > NUMBER or {name} calibrated RATE: {name} has no p-value"
    least, most = allowed
    if least <= p <= most and 0 < p < 1:
        return ""
    return f"a p-value from {least:g} to {most:g} for {name}" if least else "a p-value above 0 and below 1"


def _stream_problem(rule: DetectorRule, known: Known, longest_panes: int | None) -> str:
    given = dict(rule.parameters)
    least = max(known.least_panes, int(given.get("window_size", given.get("min_instances", 0))))
    if longest_panes is not None and longest_panes < least:
        return (
            f"a horizon of {least} panes or more for {rule.name}, which is fed one number a pane; "
            f"the longest has {longest_panes}"
        )
    bad = [n for n, v in given.items() if v <= 0]
    return f"parameters above 0, {bad[0]} is {given[bad[0]]:g}" if bad else ""
