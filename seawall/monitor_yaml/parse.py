"""From a monitor file to a `MonitorSpec`, with everything that is wrong in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

from seawall.baseline import Baseline
from seawall.durations import format_duration
from seawall.monitor import ColumnRule, Effects, MonitorSpec, RollbackMode, RollbackPolicy
from seawall.monitor_yaml import rules, values
from seawall.monitor_yaml.against_baseline import check_against
from seawall.monitor_yaml.detectors import read_detectors
from seawall.monitor_yaml.nodes import Node, Section, compose, kind_of, line_of
from seawall.monitor_yaml.problems import MonitorError, Problem, Report, any_of, did_you_mean
from seawall.monitor_yaml.values import Value

T = TypeVar("T")


def parse_monitor(text: str, *, file: str = "<string>", baseline: Baseline | None = None) -> MonitorSpec:
    """Read a monitor file.

    Parameters
    ----------
    text
        The YAML.
    file
        Name for messages.
    baseline
        Checks column names against it, and takes the task from it when the file names none.

    Raises
    ------
    MonitorError
        With every problem found, not only the first.
    ConfigError
        When PyYAML, part of the service extra, is not installed.
    """
    spec, problems = check_monitor(text, file=file, baseline=baseline)
    if spec is None:
        raise MonitorError(problems)
    return spec


def check_monitor(
    text: str, *, file: str = "<string>", baseline: Baseline | None = None
) -> tuple[MonitorSpec | None, list[Problem]]:
    """Return (the monitor, or None when there are problems; the problems in line order)."""
    report = Report(file)
    node = compose(text, report)
    spec = _monitor(node, report, baseline) if node is not None else None
    problems = report.in_order()
    return (None if problems else spec), problems


class _Fields:
    """Fields of a dataclass that the file sets. What is absent keeps the dataclass's own default."""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.set: dict[str, Any] = {}

    def take(self, key: str, read: Callable[[Value], T | None], name: str | None = None) -> T | None:
        value = Value.of(self.section, key)
        found = None if value is None else read(value)
        if found is not None:
            self.set[name or key] = found
        return found


def _monitor(node: Node, report: Report, baseline: Baseline | None) -> MonitorSpec | None:
    if kind_of(node) != "map":
        report.add(line_of(node), "", "", "a mapping of keys and values, such as 'model: NAME'")
        return None
    top = Section(node, "", report, rules.KEYS)
    fields = _Fields(top)
    model = fields.take("model", values.text)
    if top.get("model") is None:
        report.add(top.line_of("model"), "model", "", "the model's name; a monitor needs one")
    task = fields.take("task", lambda v: values.choice(v, rules.TASKS))
    fields.set["task"] = _task(task, baseline)
    _promise(top, fields)
    _windows(top, fields)
    _segments(top, fields)
    fields.take("max_segments", lambda v: values.whole(v, 1, 10_000))
    effect, effects = _effects(top, tuple(rules.EFFECTS))
    fields.set |= {"effect": effect} if effect is not None else {}
    fields.set["effects"] = Effects(**effects)
    fields.take("timezone", values.timezone)
    fields.take("skew", values.flag)
    fields.take("multivariate", values.flag)
    alarm = _Fields(_section(top, "alarm", rules.ALARM_KEYS))
    alarm.take("open_after", lambda v: values.whole(v, 1, 1000))
    alarm.take("resolve_after", lambda v: values.whole(v, 1, 1000))
    fields.set |= alarm.set
    longest_panes = _longest_panes(fields)
    listed = Value.of(top, "detectors")
    if listed is not None:
        fields.set["detectors"] = read_detectors(listed, longest_panes)
    fields.set["columns"] = _columns(top, longest_panes)
    fields.set["rollback"] = _rollback(top)
    notify = Value.of(top, "notify")
    if notify is not None:
        fields.set["notify"] = tuple(r for r, _ in values.items(notify, _receiver, "[log, slack:#ml-oncall]"))
    if baseline is not None:
        check_against(top, model, baseline)
    return MonitorSpec(**fields.set) if model else None


def _section(top: Section, name: str, known: tuple[str, ...] | None) -> Section:
    node = top.get(name)
    if node is None:
        return Section.empty(top.field(name), top.report, top.line)
    return Section(node, top.field(name), top.report, known)


def _task(written: str | None, baseline: Baseline | None) -> str:
    if written is None:
        return baseline.task if baseline else ""
    return "" if written == "none" else written


def _promise(top: Section, fields: _Fields) -> None:
    section = _section(top, "promise", rules.PROMISE_KEYS)
    pages = Value.of(section, "false_pages")
    budget = values.rate(pages) if pages else None
    if budget:
        fields.set["false_pages"], fields.set["false_pages_period_us"] = budget
    promise = _Fields(section)
    promise.take("freshness", lambda v: values.duration(v, 1), "freshness_us")
    fields.set |= promise.set
    fields.set["performance"] = _performance(section, fields.set["task"])


def _performance(promise: Section, task: str) -> Mapping[str, tuple[str, float]]:
    section = _section(promise, "performance", None)
    found: dict[str, tuple[str, float]] = {}
    fitting = [name for name, m in rules.METRICS.items() if not task or task in m.tasks]
    for name, node in section.items():
        value = Value(node, section.field(name), section.report)
        metric = rules.METRICS.get(name)
        if metric is None:
            hint = did_you_mean(name, rules.METRICS)
            section.report.add(section.line_of(name), value.field, name, f"a metric: {any_of(fitting)}{hint}")
        elif name not in fitting:
            section.report.add(
                section.line_of(name), value.field, name, f"a metric of {task}: {any_of(fitting)}"
            )
        else:
            bound = values.bound(value, higher_is_better=metric.higher_is_better)
            if bound and (bound[1] < 0 or (metric.most is not None and bound[1] > metric.most)):
                value.refuse(f"from 0 to {metric.most:g}" if metric.most else "0 or more")
            elif bound:
                found[name] = bound
    return found


def _windows(top: Section, fields: _Fields) -> None:
    windows = _Fields(_section(top, "windows", rules.WINDOW_KEYS))
    windows.take("pane", lambda v: values.duration(v, rules.SHORTEST_PANE_US), "pane_us")
    pane_us: int | None = windows.set.get("pane_us", MonitorSpec.pane_us)
    if windows.section.get("pane") is not None and "pane_us" not in windows.set:
        pane_us = None  # unreadable and reported: nothing can be said about its multiples
    listed = Value.of(windows.section, "horizons")
    if listed is not None:
        windows.set["horizons_us"] = _horizons(listed, pane_us)
    elif pane_us and any(h % pane_us for h in MonitorSpec.horizons_us):
        windows.section.report.add(
            windows.section.line_of("pane"),
            windows.section.field("pane"),
            format_duration(pane_us),
            f"a divisor of the default horizons ({_listed(MonitorSpec.horizons_us)}), or horizons beside it",
        )
    windows.take("lateness", values.duration, "lateness_us")
    windows.take("grace", values.duration, "grace_us")
    windows.take("min_rows", lambda v: values.whole(v, 1, 1_000_000_000))
    windows.take("min_coverage", lambda v: values.share(v, zero=True))
    fields.set |= windows.set


def _listed(durations_us: tuple[int, ...]) -> str:
    return ", ".join(format_duration(d) for d in durations_us)


def _horizons(listed: Value, pane_us: int | None) -> tuple[int, ...]:
    before = len(listed.report.problems)
    found: list[int] = []
    for horizon_us, value in values.items(listed, lambda v: values.duration(v, 1), "[5m, 1h, 1d]"):
        if pane_us and horizon_us % pane_us:
            value.refuse(f"a multiple of the pane ({format_duration(pane_us)})")
        elif pane_us and horizon_us // pane_us > rules.MOST_PANES_IN_HORIZON:
            value.refuse(
                f"at most {rules.MOST_PANES_IN_HORIZON} panes of {format_duration(pane_us)}; use a wider pane"
            )
        elif found and horizon_us <= found[-1]:
            value.refuse(f"ascending lengths, each once; it follows {format_duration(found[-1])}")
        else:
            found.append(horizon_us)
    if len(listed.report.problems) == before and not 1 <= len(found) <= rules.MOST_HORIZONS:
        listed.refuse(f"from 1 to {rules.MOST_HORIZONS} horizons, found {len(found)}")
    return tuple(found)


def _effects(section: Section, known: tuple[str, ...]) -> tuple[float | None, dict[str, float]]:
    """Read the smallest effect on the distance, if it is given, and those on everything else that are."""
    value = Value.of(section, "effect")
    if value is None:
        return None, {}
    if kind_of(value.node) != "map":
        return values.share(value, zero=False), {}
    fields = _Fields(Section(value.node, value.field, value.report, known))
    for name in known:
        fields.take(name, partial(values.share, zero=False, most=rules.EFFECTS[name]))
    return fields.set.pop("js", None), fields.set


def _segments(top: Section, fields: _Fields) -> None:
    listed = Value.of(top, "segments")
    if listed is None:
        return
    found: list[str] = []
    for name, value in values.items(listed, values.text, "[origin, carrier]"):
        if name in found:
            value.refuse("each segment column once")
        found.append(name)
    fields.set["segments"] = tuple(found)


def _longest_panes(fields: _Fields) -> int | None:
    pane_us = fields.set.get("pane_us", MonitorSpec.pane_us)
    horizons_us = fields.set.get("horizons_us", MonitorSpec.horizons_us)
    return max(horizons_us) // pane_us if horizons_us else None


def _columns(top: Section, longest_panes: int | None) -> Mapping[str, ColumnRule]:
    section = _section(top, "columns", None)
    found: dict[str, ColumnRule] = {}
    for name, node in section.items():
        rule = _Fields(Section(node, section.field(name), section.report, rules.COLUMN_KEYS))
        rule.take("ignore", values.flag)
        effect, effects = _effects(rule.section, rules.COLUMN_EFFECTS)
        rule.set |= {"effect": effect, "effects": effects}
        rule.take("detectors", partial(read_detectors, longest_panes=longest_panes, column=name))
        found[name] = ColumnRule(**rule.set)
    return found


def _rollback(top: Section) -> RollbackPolicy:
    fields = _Fields(_section(top, "rollback", rules.ROLLBACK_KEYS))
    mode = fields.take("mode", lambda v: values.choice(v, rules.MODES))
    if mode is not None:
        fields.set["mode"] = cast(RollbackMode, mode)
    fields.take("target", values.text)
    fields.take("cooldown", values.duration, "cooldown_us")
    fields.take("release_window", lambda v: values.duration(v, 1), "release_window_us")
    fields.take("approval_timeout", lambda v: values.duration(v, 1), "approval_timeout_us")
    fields.take("recovery", lambda v: values.duration(v, 1), "recovery_us")
    return RollbackPolicy(**fields.set)


def _receiver(value: Value) -> str | None:
    if kind_of(value.node) == "map":
        value.refuse("a receiver without a space after the colon, such as slack:#channel")
        return None
    written = values.text(value)
    if written is None:
        return None
    name, colon, address = written.partition(":")
    if name not in rules.RECEIVERS:
        value.refuse(f"a receiver: {any_of(rules.RECEIVERS.values())}{did_you_mean(name, rules.RECEIVERS)}")
    elif name in rules.ADDRESSED and not address.strip():
        value.refuse(f"an address after the colon: {rules.RECEIVERS[name]}")
    elif name not in rules.ADDRESSED and colon:
        value.refuse(f"{name} alone; its address is a setting (SEAWALL_WEBHOOK_URL), not part of the monitor")
    else:
        return written
    return None
