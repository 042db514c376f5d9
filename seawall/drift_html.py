"""The drift report as HTML: one file without scripts or links, at home on light and dark screens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from seawall.drift_report import SMALL, STATISTICS_SAID, DriftReport, is_small, limit_said, relation_said

if TYPE_CHECKING:
    from streams.core.one_off import ColumnFinding

_WIDTH, _HEIGHT, _GAP = 260, 56, 1.5
STYLE = """
.sw{--ink:#1b2430;--soft:#5d6b7c;--line:#dfe5ec;--paper:#fff;--before:#aeb9c6;--after:#2a78d6;
--drift:#c2361b;--warning:#9a6700;--stable:#1a7f47;--muted:#6b7785;
color:var(--ink);background:var(--paper);font:14px/1.45 system-ui,-apple-system,"Segoe UI",sans-serif}
@media (prefers-color-scheme:dark){.sw{--ink:#e6ebf1;--soft:#9aa7b6;--line:#2c3540;--paper:#12171d;--before:#56616e;
--after:#58a2f5;--drift:#ff7b60;--warning:#e0b03a;--stable:#4fc47f;--muted:#8b98a7}}
.sw h1{font-size:20px;margin:0 0 4px;font-weight:650}
.sw p{margin:2px 0;color:var(--soft)}
.sw table{border-collapse:collapse;width:100%;margin-top:18px}
.sw th{font-weight:500;color:var(--soft);font-size:12px;padding:6px 14px 6px 0;text-align:left;
border-bottom:1px solid var(--line)}
.sw td{padding:10px 14px 10px 0;border-bottom:1px solid var(--line);vertical-align:middle;text-align:left}
.sw .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.sw td small,.sw small{color:var(--soft);font-size:12px}
.sw .name{font-weight:600;overflow-wrap:anywhere}
.sw .v{display:inline-block;padding:1px 9px;border-radius:10px;font-size:12px;font-weight:600;white-space:nowrap;
border:1px solid currentColor}
.sw .drift{color:var(--drift)}.sw .warning{color:var(--warning)}.sw .stable{color:var(--stable)}
.sw .not_enough_data,.sw .error{color:var(--muted)}
.sw svg{display:block}
.sw .before{fill:var(--before)}.sw .after{fill:var(--after)}.sw .axis{stroke:var(--line)}
.sw .key{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 4px 0 12px}
.sw .meter{height:4px;border-radius:2px;background:var(--line);margin-top:5px;position:relative;min-width:130px}
.sw .meter i{display:block;height:4px;border-radius:2px;background:currentColor}
.sw .meter b{position:absolute;left:50%;top:-3px;width:2px;height:10px;background:var(--ink)}
"""


def page(report: DriftReport) -> str:
    """Return a whole HTML document."""
    title = f"{report.current_name} against {report.reference_name}"
    return document(title, fragment(report))


def document(title: str, body: str) -> str:
    """Wrap a fragment into a document that follows the reader's light or dark setting."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title>"
        "<style>body{margin:0;background:#fff}@media (prefers-color-scheme:dark){body{background:#12171d}}"
        ".sw{max-width:1180px;margin:0 auto;padding:28px 24px 48px}</style>"
        f"</head><body>{body}</body></html>\n"
    )


def fragment(report: DriftReport) -> str:
    """Return the report as an element that brings its own style, for notebooks."""
    rows = "".join(_row(c) for c in report.found.columns)
    relations = "".join(
        f'<p><span class="v {r.verdict.name.lower()}">{r.verdict.name.lower()}</span> {escape(relation_said(r))}</p>'
        for r in report.found.relations
    )
    notes = "".join(f"<p>{escape(note)}</p>" for note in report.found.notes)
    return (
        f'<div class="sw"><style>{STYLE}</style>'
        f'<h1><span class="{report.verdict}">{escape(report.verdict.replace("_", " ").capitalize())}</span> '
        f"{escape(report.headline().split(':', 1)[1].split('(')[0].strip())}</h1>"
        f"<p>{escape(report.current_name)}, {report.found.current_rows:,} rows, against "
        f"{escape(report.reference_name)}, {report.found.reference_rows:,} rows"
        '<span class="key" style="background:var(--before)"></span>before'
        '<span class="key" style="background:var(--after)"></span>after</p>'
        f"{relations}{notes}"
        "<table><thead><tr><th>column</th><th>verdict</th><th>distribution, before and after</th>"
        '<th>against its limit</th><th class="n">chance</th><th class="n">missing</th><th class="n">mean</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(c: ColumnFinding) -> str:
    verdict = c.verdict.name.lower()
    detail = f"<br><small>{escape(c.detail)}</small>" if c.detail else ""
    role = "" if c.role == "feature" else f" <small>{c.role}</small>"
    small = f"<br><small>{SMALL}</small>" if is_small(c) else ""
    return (
        f'<tr><td><span class="name">{escape(c.name)}</span>{role}{detail}</td>'
        f'<td><span class="v {verdict}">{verdict.replace("_", " ")}</span>{small}</td>'
        f"<td>{histogram(c)}</td><td>{_meter(c, verdict)}</td>"
        f'<td class="n">{_share_or_number(c, c.chance)}</td>'
        f'<td class="n">{_missing(c)}</td><td class="n">{_mean(c)}</td></tr>'
    )


def _meter(c: ColumnFinding, verdict: str) -> str:
    """Draw the value so that the limit is the middle of the bar."""
    if not math.isfinite(c.ratio):
        return "<small>nothing to compare</small>"
    usually = "" if c.statistic == "js" else f", usually {_share_or_number(c, c.usual)}"
    width = min(c.ratio / 2.0, 1.0) * 100
    return (
        f"{STATISTICS_SAID[c.statistic]} <b>{_share_or_number(c, c.value)}</b> "
        f"<small>limit {limit_said(c)}{usually}</small>"
        f'<div class="meter {verdict}"><i style="width:{width:.0f}%"></i><b></b></div>'
    )


def _share_or_number(c: ColumnFinding, value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.3f}" if c.statistic == "js" else f"{value:.1%}"


def _missing(c: ColumnFinding) -> str:
    before, after = c.missing
    if max(before, after) == 0.0:
        return "<small>none</small>"
    return f"{before:.1%} → {after:.1%}"


def _mean(c: ColumnFinding) -> str:
    before, after = c.mean
    if not math.isfinite(before) or (c.missing[0] == 1.0 and not math.isfinite(after)):
        return ""
    if c.missing[0] == 1.0:
        return f"– → {after:.4g}"
    return f"{before:.4g} → {after:.4g}" if math.isfinite(after) else f"{before:.4g} → –"


def histogram(c: ColumnFinding) -> str:
    """Draw both sides in one SVG: a grey bar before, and a narrower coloured one after in front of it."""
    return bars(c.name, c.histogram.labels, c.histogram.reference, c.histogram.current)


def bars(name: str, labels: Sequence[str], before: Sequence[float], after: Sequence[float]) -> str:
    """Draw shares before and after, a bar for each label, as an SVG element."""
    most = max((*before, *after), default=0.0)
    if most <= 0.0:
        return "<small>no values</small>"
    step = _WIDTH / len(labels)
    drawn = []
    for i, (label, old, new) in enumerate(zip(labels, before, after, strict=True)):
        said = f"<title>{escape(label)}: {old:.1%} → {new:.1%}</title>"
        inner = []
        for side, share, inset in (("before", old, 0.0), ("after", new, 0.25)):
            height = share / most * (_HEIGHT - 2)
            x = i * step + _GAP / 2 + inset * (step - _GAP)
            width = (step - _GAP) * (1.0 - 2.0 * inset)
            inner.append(
                f'<rect class="{side}" x="{x:.1f}" y="{_HEIGHT - height:.1f}" '
                f'width="{width:.1f}" height="{height:.1f}"/>'
            )
        drawn.append(f"<g>{said}{''.join(inner)}</g>")
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT + 1}" viewBox="0 0 {_WIDTH} {_HEIGHT + 1}" role="img" '
        f'aria-label="{escape(name)} before and after">{"".join(drawn)}'
        f'<line class="axis" x1="0" y1="{_HEIGHT + 0.5}" x2="{_WIDTH}" y2="{_HEIGHT + 0.5}"/></svg>'
    )
