"""A first monitor file: commented, with defaults derived from a baseline."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from seawall.baseline import Baseline
from seawall.durations import format_duration
from seawall.monitor import Effects, MonitorSpec, RollbackPolicy
from seawall.monitor_yaml import rules, traffic

_WATCHED = "Watched where labels say what was predicted"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
#: Words that YAML takes for something other than text.
_NOT_TEXT = frozenset({"yes", "no", "y", "n", "true", "false", "on", "off", "null"})


def monitor_template(
    model: str, baseline: Baseline | None = None, scatter: Mapping[str, traffic.Scatter] | None = None
) -> str:
    """Write a monitor file for a model. It passes `check_monitor`, against `baseline` too.

    Parameters
    ----------
    scatter
        How windows of the reference scatter, by metric, where that is known: a promise leaves room for it.
    """
    lines = [
        *_head(model, baseline),
        *_promise(baseline, scatter or {}),
        *_windows(baseline),
        *_segments(baseline),
        *_columns(baseline),
        *_rest(),
    ]
    return "\n".join(lines) + "\n"


def scalar(text: str) -> str:
    r"""Write text so that YAML reads exactly that text.

    Examples
    --------
    >>> scalar("origin"), scalar("no"), scalar("a: b")
    ('origin', '"no"', '"a: b"')
    """
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return '"' + "".join(_escaped(c) for c in text) + '"'


def _escaped(character: str) -> str:
    if character in {'"', "\\"}:
        return "\\" + character
    if character == " " or (character.isprintable() and character.isascii()):
        return character
    # Spaces and line ends of other scripts would be folded, and some characters YAML refuses unescaped.
    if character.isprintable() and not character.isspace() and character != "\ufeff":
        return character
    return f"\\U{ord(character):08x}"


def _head(model: str, baseline: Baseline | None) -> list[str]:
    of = f"baseline {scalar(baseline.version)}, {baseline.rows} rows" if baseline else "no baseline"
    task = baseline.task if baseline and baseline.task in rules.TASKS else "none"
    return [
        f"# What good looks like for {scalar(model)}. Written by `seawall monitor init` from {of}.",
        "# Only `model` is needed; docs/monitor.md has every key.",
        "# Check with `seawall check`, publish with `seawall monitor publish`.",
        f"model: {scalar(model)}",
        f"task: {task}  # {' | '.join(rules.TASKS)}",
    ]


def _promise(baseline: Baseline | None, scatter: Mapping[str, traffic.Scatter]) -> list[str]:
    period = format_duration(MonitorSpec.false_pages_period_us)
    lines = [
        "",
        "promise:",
        "  # How often you are willing to be paged for nothing. Thresholds follow from it.",
        f"  false_pages: {MonitorSpec.false_pages:g} per {period}",
    ]
    promises = traffic.promises_for(baseline, scatter) if baseline else {}
    if promises and baseline:
        reached = ", ".join(
            f"{name} {baseline.performance[name]:.4g}{_worst(scatter.get(name))}" for name in promises
        )
        inside = ", ".join(f'{name}: "{bound}"' for name, bound in promises.items())
        lines += [
            f"  # The reference reached {reached}. {_WATCHED}.",
            f"  performance: {{{inside}}}",
        ]
    else:
        lines += [f'  # performance: {{accuracy: ">= 0.80"}}  # {_WATCHED[0].lower()}{_WATCHED[1:]}']
    others = traffic.other_metrics(baseline) if baseline else {}
    if others:
        had = ", ".join(f"{name} ({reached:.4g})" for name, reached in others.items())
        lines += [f"  # May be promised too: {had}."]
    freshness_us = traffic.freshness_for(baseline) if baseline else None
    if freshness_us is None:
        return [*lines, "  # freshness: 5m  # page when no prediction came for this long"]
    return [
        *lines,
        "  # Page when no prediction came for this long; the reference had no such gap but in outages.",
        f"  freshness: {format_duration(freshness_us)}",
    ]


def _worst(scatter: traffic.Scatter | None) -> str:
    """Say what the worst window reached, where that is known."""
    return f", and {scatter.worst:.4g} in its worst {format_duration(scatter.horizon_us)}" if scatter else ""


def _windows(baseline: Baseline | None) -> list[str]:
    windows = traffic.windows_for(baseline)
    rate = traffic.rows_per_hour(baseline) if baseline else None
    lines = ["", "windows:"]
    if rate is not None:
        lines.append(
            f"  # The reference had about {rate:.3g} rows an hour; change this if live traffic differs."
        )
    return [
        *lines,
        f"  pane: {format_duration(windows.pane_us)}  # windows slide by this",
        f"  horizons: [{', '.join(format_duration(h) for h in windows.horizons_us)}]  # window lengths",
        f"  lateness: {format_duration(MonitorSpec.lateness_us)}  # how long a window waits for late events",
        f"  grace: {format_duration(windows.grace_us)}  # how long later ones still revise it",
        f"  min_rows: {MonitorSpec.min_rows}  # fewer are not enough for a verdict",
    ]


def _segments(baseline: Baseline | None) -> list[str]:
    chosen, others = traffic.segments_for(baseline) if baseline else ([], [])
    lines = ["", "# Columns by whose values traffic is watched separately."]
    if others:
        lines.append(f"# These would do too: {_listed(others)}")
    return [
        *lines,
        f"segments: [{_listed(chosen)}]",
        f"max_segments: {MonitorSpec.max_segments}",
        "",
        "# Whose hours of the day the traffic follows, such as America/New_York: it matters where clocks change.",
        f"timezone: {MonitorSpec.timezone}",
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(scalar(name) for name in names)


def _columns(baseline: Baseline | None) -> list[str]:
    effects = {"js": MonitorSpec.effect, **asdict(Effects())}
    every = ", ".join(f"{name}: {value:g}" for name, value in effects.items())
    lines = [
        "",
        "# Smallest change worth a page: Jensen-Shannon distance, from 0 (same) to 1 (nothing in common).",
        "# Of other statistics too, here and for single columns:",
        f"#   effect: {{{every}}}",
        f"effect: {MonitorSpec.effect}",
    ]
    ids = traffic.identifiers(baseline) if baseline else []
    if not ids:
        return [
            *lines,
            "# columns:",
            "#   some_column: {effect: {js: 0.2, missing: 0.02}}",
            "#   some_id: {ignore: true}",
        ]
    return [
        *lines,
        "columns:",
        *(
            f"  {scalar(c.name)}: {{ignore: true}}  # {c.distinct} values in {c.count} rows: an identifier?"
            for c in ids
        ),
    ]


def _rest() -> list[str]:
    policy = RollbackPolicy()
    return [
        "",
        "# Panes in a row before an alarm opens, and before it closes.",
        f"alarm: {{open_after: {MonitorSpec.open_after}, resolve_after: {MonitorSpec.resolve_after}}}",
        "",
        "# Compare the features that predictions carried with those that the feature store sent.",
        "skew: true",
        "",
        "# Watch columns together too: changes of relations, which no single column shows.",
        "multivariate: true",
        "",
        "rollback:",
        f"  mode: {policy.mode}  # {' | '.join(rules.MODES)}",
        f"  target: {policy.target}  # the version that served before, or one by name",
        f"  cooldown: {format_duration(policy.cooldown_us)}",
        f"  release_window: {format_duration(policy.release_window_us)}  # older releases are not suspected",
        f"  approval_timeout: {format_duration(policy.approval_timeout_us)}",
        f"  recovery: {format_duration(policy.recovery_us)}  # in which a rollback has to show its worth",
        "",
        "notify: [log]  # also webhook, slack:#channel, pagerduty:service",
    ]
