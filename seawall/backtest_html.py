"""The backtest's report as HTML: when it would have paged, about what, and how that changes with the settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html import escape
from typing import TYPE_CHECKING

from seawall.drift_html import STYLE, bars, document
from seawall.durations import format_duration

if TYPE_CHECKING:
    from seawall.monitor import MonitorSpec
    from streams.core.backtest import Outcome, Page

_WIDTH, _LEFT, _ROW, _LANE = 1120, 170, 18, 26
#: Columns drawn, the furthest beyond their limit first, and cells across.
_COLUMNS, _CELLS = 14, 160
#: Columns of a page that are drawn.
_DRAWN = 2
#: Of the plot of pages against the budget.
_PLOT_WIDTH, _PLOT_HEIGHT = 520, 150
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STYLE = """
.sw h2{font-size:15px;margin:30px 0 6px;font-weight:650}
.sw svg text{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--soft)}
.sw svg .tick{stroke:var(--line)}.sw svg .cell{fill:var(--after)}.sw svg .hot{fill:var(--drift)}
.sw svg .bar{fill:var(--drift)}.sw svg .bar.warning{fill:var(--warning)}.sw svg .track{fill:var(--line);opacity:.35}
.sw polyline{fill:none;stroke:var(--after);stroke-width:2}
.sw polyline.budget{stroke:var(--soft);stroke-width:1;stroke-dasharray:5 4}
.sw .dot{fill:var(--after)}.sw .dot.own{fill:var(--drift)}
.sw svg{max-width:100%;height:auto}
.sw .why{max-width:620px}
"""


def page(outcomes: Sequence[Outcome], data_name: str, notes: Sequence[str] = ()) -> str:
    """Return a whole HTML document about every setting; the first is the monitor as written."""
    first = outcomes[0]
    model = first.setting.spec.model
    many, outside = len(first.pages), sum(first.others.values())
    said = "No page" if not many else f"{many} page" + "s" * (many != 1)
    body = (
        f'<div class="sw"><style>{STYLE}{_STYLE}</style>'
        f'<h1><span class="{"drift" if many else "stable"}">{said}</span> by {escape(model)}</h1>'
        f"{f'<p>{outside} of them outside the budget of false pages</p>' if outside else ''}"
        f"<p>{escape(data_name)}, {_time(first.start_us)} to {_time(first.end_us)} UTC, "
        f"{first.windows:,} windows</p>"
        f"{''.join(f'<p>Note: {escape(note)}</p>' for note in notes)}"
        f"{_settings(outcomes)}{by_budget(outcomes)}{''.join(_one(o) for o in outcomes)}</div>"
    )
    return document(f"{model}: backtest", body)


def _settings(outcomes: Sequence[Outcome]) -> str:
    rows = []
    for o in outcomes:
        period = format_duration(o.setting.spec.false_pages_period_us)
        rows.append(
            f'<tr><td class="name">{escape(o.setting.name)}</td><td class="n">{len(o.budgeted)}</td>'
            f'<td class="n">{o.pages_per_period:.2g} per {period}</td>'
            f'<td class="n">{o.setting.spec.false_pages:g} per {period}</td>'
            f'<td class="n">{_outside(o)}</td>'
            f'<td class="n">{o.setting.spec.effect:g}</td><td class="n">{o.alarmed_share:.1%}</td></tr>'
        )
    heads = "".join(
        f'<th class="n">{h}</th>'
        for h in ("pages", "pages per", "budget of false ones", "outside it", "effect", "in alarm")
    )
    return f"<table><thead><tr><th>setting</th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _outside(o: Outcome) -> str:
    return ", ".join(f"{many} {escape(kind)}" for kind, many in o.others.items()) or "–"


def by_budget(outcomes: Sequence[Outcome]) -> str:
    """Draw pages against the budget, of the settings that differ from the first in nothing else."""
    first = outcomes[0].setting.spec
    period_us = first.false_pages_period_us
    points = sorted(
        (_per(o.setting.spec.false_pages, o, period_us), _per(o.pages_per_period, o, period_us), i)
        for i, o in enumerate(outcomes)
        if _but_budget(o.setting.spec) == _but_budget(first)
    )
    if len(points) < 2:
        return ""
    period = format_duration(period_us)
    low, high = math.log(points[0][0]), math.log(points[-1][0])
    # A budget of many times the pages would press them flat: the broken line leaves at the top.
    most = max(*(1.1 * pages for _, pages, _ in points), first.false_pages)

    def x(budget: float) -> float:
        return _LEFT + (math.log(budget) - low) / max(high - low, 1e-9) * _PLOT_WIDTH

    def y(pages: float) -> float:
        return 12 + (1 - pages / most) * _PLOT_HEIGHT

    floor = y(0)
    parts = [
        f'<line class="tick" x1="{_LEFT}" x2="{_LEFT + _PLOT_WIDTH}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text x="{_LEFT - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{_count(v)}</text>'
        for v in (0.0, most / 2, most)
    ]
    allowed = [budget for budget, _, _ in points]
    steps = [allowed[0] * (allowed[-1] / allowed[0]) ** (k / 96) for k in range(97)]
    for name, line in (
        ("budget", [(x(b), y(b)) for b in steps if b <= most]),
        ("pages", [(x(b), y(pages)) for b, pages, _ in points]),
    ):
        at = " ".join(f"{left:.1f},{top:.1f}" for left, top in line)
        parts.append(f'<polyline class="{name}" points="{at}"/>')
    for budget, pages, i in points:
        name = escape(outcomes[i].setting.name)
        parts.append(
            f'<circle class="dot{" own" if i == 0 else ""}" cx="{x(budget):.1f}" cy="{y(pages):.1f}" r="4">'
            f"<title>{name}: {pages:.2g} pages per {period}, {_count(budget)} allowed to be false</title></circle>"
            f'<text x="{x(budget):.1f}" y="{floor + 18:.1f}" text-anchor="middle">{_count(budget)}</text>'
        )
    width, height = _LEFT + _PLOT_WIDTH + 40, floor + 28
    return (
        f"<h2>How it changes with the budget</h2>"
        f'<svg viewBox="0 0 {width} {height:.0f}" width="{width}" role="img" aria-label="pages by budget">'
        f"{''.join(parts)}</svg><p>Pages per {period} (line) against the false ones that the budget allows (below, and "
        "broken line). Where history is quiet, pages belong below the broken line; pages that stay when "
        "the budget shrinks are likelier to be real.</p>"
    )


def _count(v: float) -> str:
    return f"{v:,.0f}" if v >= 100 else f"{v:.3g}"


def _per(pages: float, o: Outcome, period_us: int) -> float:
    """Turn pages per a setting's own period into pages per another."""
    return pages * period_us / o.setting.spec.false_pages_period_us


def _but_budget(spec: MonitorSpec) -> MonitorSpec:
    return replace(spec, false_pages=1.0, false_pages_period_us=1)


def _one(o: Outcome) -> str:
    return f"<h2>{escape(o.setting.name)}</h2>{timeline(o)}{_pages(o.pages)}"


def _pages(pages: Sequence[Page]) -> str:
    if not pages:
        return "<p>Nothing would have paged.</p>"
    rows = "".join(
        f'<tr><td class="n">{_time(p.paged_us)}</td><td class="n">{_lasted(p)}</td>'
        f'<td><span class="v {_class(p)}">{escape(p.kind)}</span> <small>{escape(p.segment)}</small></td>'
        f'<td class="why">{escape(p.summary)}{_story(p)}</td><td>{_drawn(p)}</td></tr>'
        for p in pages
    )
    return (
        '<table><thead><tr><th class="n">paged, UTC</th><th class="n">lasted</th><th>what</th><th>why</th>'
        "<th>the worst columns, before and after</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _story(p: Page) -> str:
    return "".join(f"<br><small>{escape(said)}</small>" for said in (p.later_said, p.story) if said)


def _drawn(p: Page) -> str:
    """Draw the worst columns of a page."""
    return "".join(
        f"<small>{escape(c.name)}</small>{bars(c.name, c.bins, c.before, c.after)}"
        for c in p.culprits[:_DRAWN]
        if c.bins
    )


def timeline(o: Outcome) -> str:
    """Draw alarms as bars over time, and below them how near its limit each column was."""
    cells, worst = _grid(o)
    shown = sorted(worst, key=lambda key: (-worst[key], key))[:_COLUMNS]
    height = _LANE + len(shown) * _ROW + 30
    span = max(o.end_us - o.start_us, 1)

    def x(at_us: int) -> float:
        return _LEFT + min(max((at_us - o.start_us) / span, 0.0), 1.0) * (_WIDTH - _LEFT)

    parts = []
    for at_us, label in _ticks(o.start_us, o.end_us):
        parts.append(
            f'<line class="tick" x1="{x(at_us):.1f}" x2="{x(at_us):.1f}" y1="0" y2="{height - 18}"/>'
            f'<text x="{x(at_us) + 3:.1f}" y="{height - 5}">{label}</text>'
        )
    parts.append(f'<text x="{_LEFT - 8}" y="16" text-anchor="end">alarms</text>')
    parts.append(f'<rect class="track" x="{_LEFT}" y="5" width="{_WIDTH - _LEFT}" height="14" rx="2"/>')
    for p in o.pages:
        left, right = x(p.paged_us), x(o.end_us if p.resolved_us is None else p.resolved_us)
        title = f"<title>{escape(p.summary)}</title>"
        parts.append(
            f'<rect class="bar {_class(p)}" x="{left:.1f}" y="5" width="{max(right - left, 2.5):.1f}" height="14" '
            f'rx="2">{title}</rect>'
        )
    width = (_WIDTH - _LEFT) / _CELLS
    for row, key in enumerate(shown):
        y = _LANE + row * _ROW
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(_short(key))}</text>')
        parts.append(
            f'<rect class="track" x="{_LEFT}" y="{y + 2}" width="{_WIDTH - _LEFT}" height="{_ROW - 4}"/>'
        )
        for (cell, of), (ratio, hot) in cells.items():
            if of != key or (ratio < 0.15 and not hot):
                continue
            parts.append(
                f'<rect class="{"hot" if hot else "cell"}" x="{_LEFT + cell * width:.2f}" y="{y + 2}" '
                f'width="{width:.2f}" height="{_ROW - 4}" opacity="{min(0.15 + 0.6 * ratio, 1.0):.2f}"/>'
            )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" shape-rendering="crispEdges" '
        f'role="img" aria-label="timeline">{"".join(parts)}</svg>'
        "<p>The nearer a column's distance to its limit, the stronger its row; red where it was judged to drift.</p>"
    )


def _grid(o: Outcome) -> tuple[dict[tuple[int, str], tuple[float, bool]], dict[str, float]]:
    """Gather hours into cells: ((cell, column) to (ratio, drifted)), and each column's greatest."""
    span = max(o.end_us - o.start_us, 1)
    cells: dict[tuple[int, str], tuple[float, bool]] = {}
    worst: dict[str, float] = {}
    for hour, ratios in o.timeline.ratio.items():
        cell = min(max((hour - o.start_us) * _CELLS // span, 0), _CELLS - 1)
        for key, ratio in ratios.items():
            hot = key in o.timeline.drifted[hour]
            before = cells.get((cell, key), (0.0, False))
            cells[cell, key] = (max(ratio, before[0]), hot or before[1])
            worst[key] = max(worst.get(key, 0.0), ratio + hot)
    return cells, worst


def _ticks(start_us: int, end_us: int) -> list[tuple[int, str]]:
    """Place at most about ten labels on whole hours, days or weeks."""
    hour = 3_600_000_000
    span = max(end_us - start_us, 1)
    steps = [hour * h for h in (1, 2, 3, 6, 12, 24, 48, 24 * 7, 24 * 14, 24 * 28, 24 * 84, 24 * 365)]
    step = next((s for s in steps if span / s <= 10), steps[-1])
    first = -(-start_us // step) * step
    style = (
        "%H:%M" if step < 12 * hour and span < 24 * hour else "%d %b %H:%M" if step < 24 * hour else "%d %b"
    )
    return [
        (at, f"{_EPOCH + timedelta(microseconds=at):{style}}")
        for at in range(first, end_us, step)
        if (end_us - at) / span > 0.04  # a label at the edge would be cut
    ]


def _class(p: Page) -> str:
    return "drift" if p.severity in {"error", "critical"} else "warning"


def _short(key: str) -> str:
    role, name = key.split("/", 1)
    text = name if role == "feature" else f"{name} ({role})"
    return text if len(text) <= 22 else f"{text[:21]}…"


def _time(at_us: int) -> str:
    return f"{_EPOCH + timedelta(microseconds=at_us):%Y-%m-%d %H:%M}"


def _lasted(p: Page) -> str:
    if p.resolved_us is None:
        return "still open"
    minutes = max(p.resolved_us - p.paged_us, 0) // 60_000_000
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    said = [f"{n}{unit}" for n, unit in ((days, "d"), (hours, "h"), (rest, "m")) if n]
    return " ".join(said[:2]) or "0m"
