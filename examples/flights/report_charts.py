"""The parts of the report that are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.flights import story
from examples.flights.charts import Chart, heat_map, histogram
from examples.flights.data import DAY_US, HOUR_US
from examples.flights.loop import Record
from examples.flights.report_data import served_values
from examples.flights.report_parts import Told, legend, section
from examples.flights.screen import clock
from examples.flights.world import World

CULPRIT = "airport_delay_min"
CULPRITS = (CULPRIT, "carrier_delay_min", "score")
_DELAY_EDGES = (-np.inf, -5, 0, 5, 10, 20, 40, 80, 160, 320, 640, 1280, np.inf)
_DELAY_NAMES = (
    *("< −5", "−5–0", "0–5", "5–10", "10–20", "20–40"),
    *("40–80", "80–160", "160–320", "320–640", "640–1280", "> 1280"),
)
_FAULT_STYLES = {"version": "bad", "world": "world"}


def timeline(told: Told) -> str:
    """Draw who served, and every alarm and rollback of the year."""
    lanes = _lanes(told.alarms, told.span_us[1])
    y0, depth = 66, max(lanes, default=0) + 1
    chart = Chart(*told.span_us, height=128 + 15 * depth)
    for name, y in (("serving", y0 + 13), ("alarms", y0 + 37)):
        chart.draw(f'<text class="tick" x="110" y="{y}" text-anchor="end">{name}</text>')
    for start_us, end_us, version in _reigns(told):
        chart.block(start_us, end_us, y0, 18, version, f"{version} serves from {clock(start_us)}")
    for alarm, lane in zip(told.alarms, lanes, strict=True):
        style = _FAULT_STYLES.get(alarm["attribution"], "soft")
        end_us = alarm["resolved_us"] or told.span_us[1]
        words = f"{clock(alarm['opened_us'])}: {alarm['summary']}"
        chart.block(alarm["opened_us"], end_us, y0 + 27 + 15 * lane, 11, style, words)
    chart.marker(max(story.V1_RELEASED_US, told.span_us[0]), "v1 released", "v1")
    chart.marker(story.V2_RELEASED_US, "v2 released", "v2", to_left=True)
    if told.applied:
        chart.marker(told.applied["states_us"]["applied"], "rolled back to v1", "bad")
    keys = legend(
        ("v1", "v1 serves"),
        ("v2", "v2 serves"),
        ("bad", "alarm: the version's fault"),
        ("world", "alarm: the world changed"),
        ("soft", "alarm: fault unknown"),
    )
    words = "Who served, and every alarm on all traffic. Point at a bar to read it."
    return section("The year", words, keys, chart.svg("Timeline of releases, alarms and rollbacks"))


def _reigns(told: Told) -> list[tuple[int, int, str]]:
    promoted = sorted(
        (e for e in told.results.registry if e["action"] == "promoted"), key=lambda e: int(e["ts"])
    )
    starts = [max(int(e["ts"]), told.span_us[0]) for e in promoted]
    ends = [*starts[1:], told.span_us[1]]
    return [(s, e, str(p["version"])) for s, e, p in zip(starts, ends, promoted, strict=True) if e > s]


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


def release(told: Told) -> str:
    """Draw the hours around the release."""
    near = told.data.near
    if not any(version == "v2" for version, _ in near):
        return ""
    top = max((v for key, s in near.items() if key[1] in CULPRITS for _, v in s), default=2.0)
    chart = Chart(*told.around_us, height=320, high=max(top * 1.08, 2.0), label="distance ÷ limit")
    chart.grid([v for v in (0, 1, 2, 4, 8, 12, 16, 20) if v <= chart.high])
    chart.line([(told.around_us[0], 1.0), (told.around_us[1], 1.0)], "limit")
    for version in ("v1", "v2"):
        for column in CULPRITS:
            for run in _runs(near.get((version, column), []), 2 * HOUR_US):
                chart.line(run, "score" if column == "score" else version)
    chart.marker(story.V2_RELEASED_US, "v2 released", "v2", to_left=True)
    if told.applied:
        states = told.applied["states_us"]
        chart.marker(states["applied"], f"rolled back, {told.applied['delay_hours']:.1f} h later", "bad")
        if states.get("recovered", told.around_us[1]) < told.around_us[1]:
            chart.marker(states["recovered"], "recovered", "good", row=1)
    words = (
        "Six-hour windows of the two delay features and of the score, each against the baseline of the version that "
        "served, drawn where the window ends. A window is judged once half of it lies after the release; gaps are "
        "hours with too few flights to say anything."
    )
    keys = legend(
        ("v1", "v1: delay features"), ("v2", "v2: delay features"), ("score", "score, either version")
    )
    return section(
        "The release", words, keys, chart.svg("Distance from the baseline around the release of v2")
    )


def culprit(told: Told, world: World, served_by: npt.NDArray[np.object_]) -> str:
    """Draw what the culprit looked like before, during and after."""
    end_us = told.applied["states_us"]["applied"] if told.applied else told.around_us[1]
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
    words = (
        "Share of flights by the recent delay at their airport, as each version's pipeline handed it to the model. "
        "The new feed speaks in seconds; the model had learnt minutes."
    )
    body = histogram(
        _DELAY_NAMES, series, "The culprit before, during and after", f"{CULPRIT}, as fed to the model"
    )
    return section("The culprit", words, legend(*((style, name) for name, style, _ in series)), body)


def heat(told: Told) -> str:
    """Draw every column against time."""
    outputs = ("score", "warned or not")
    rows = [(name, told.data.heat[name]) for name in sorted(told.data.heat, key=lambda n: (n in outputs, n))]
    if not rows:
        return ""
    words = (
        "One-day windows, the worst of each day, in units of the column's limit. The stripe in early May is version 2. "
        "The long warm bands are temperature and dew point, warmer than any January: real drift, but nobody's fault, "
        "and nothing that a rollback could mend."
    )
    names = ("below 0.4", "to 0.7", "to 1", "drift", "over 1.5", "over 3 × limit")
    keys = legend(*((f"heat{i}", name) for i, name in enumerate(names)))
    picture = heat_map(rows, *told.span_us, DAY_US, "Heat map of drift by feature and day")
    return section("Drift, feature by feature", words, keys, picture)


def scores(told: Told) -> str:
    """Draw what version 1 said over the year."""
    days = [(int(row["day_us"]), row) for row in told.data.scores]
    if not days:
        return ""
    chart = Chart(*told.span_us, height=230, high=1.0, label="score")
    chart.grid((0, 0.25, 0.5, 0.75, 1))
    for run in _runs(days, 3 * DAY_US):
        for low, high, style in (("p05", "p95", "score"), ("p25", "p75", "score inner")):
            chart.band([(t, float(r[low])) for t, r in run], [(t, float(r[high])) for t, r in run], style)
        chart.line([(t, float(r["p50"])) for t, r in run], "score")
    words = "Version 1's scores by day: median, middle half, and 5 % to 95 %."
    return section("What the model said", words, chart.svg("Score quantiles by day"))


def quality(told: Told) -> str:
    """Draw how right each version was, from the labels."""
    weekly = told.data.weekly
    if not any(weekly.values()):
        return ""
    chart = Chart(*told.span_us, height=260, low=0.05, high=0.4, label="Brier score")
    chart.grid((0.1, 0.15, 0.2, 0.25, 0.3, 0.35))
    half_us = 3.5 * DAY_US
    chart.line([(t + half_us, q["brier"]) for t, q, _ in weekly.get("v1", [])], "v1")
    for version, shift_us in (("v1", half_us), ("v2", 0.0)):
        chart.dots(
            [
                (
                    t + shift_us,
                    min(q["brier"], 0.4),
                    f"{version}, {n} labels: Brier {q['brier']:.3f}, AUC {q['roc_auc']:.3f}, {q['accuracy']:.0%} right",
                )
                for t, q, n in weekly.get(version, [])
            ],
            version,
        )
    words = "Brier score per week, from labels as flights arrived; lower is better."
    v2, promised = weekly.get("v2", []), told.results.performance.get("v2", {})
    if v2 and promised:
        _, reached, n = v2[0]
        words += (
            f" Out of fold, version 2 had promised {promised['brier']:.3f}; on the {n} flights that it served, through "
            f"its broken pipeline, it scored {reached['brier']:.3f} and was right about {reached['accuracy']:.0%} of "
            "them. Labels come hours after predictions; the rollback did not have to wait for them."
        )
    wrong = {v: of["errors"] / of["labels"] for v, of in told.results.errors.items() if of["labels"]}
    if wrong:
        said = ", ".join(f"{share:.1%} by {version}" for version, share in wrong.items())
        words += f" Labels carry what was predicted, so Seawall counts errors too: {said}."
    keys = legend(("v1", "v1, by week"), ("v2", "v2, the hours that it served"))
    return section("Was it right?", words, keys, chart.svg("Brier score per week"))


def volume(told: Told) -> str:
    """Draw predictions per day."""
    top = max((v for s in told.data.volume.values() for _, v in s), default=0.0)
    if not top:
        return ""
    chart = Chart(*told.span_us, height=190, high=top * 1.05, label="a day")
    chart.grid(range(0, int(top) + 1, 250))
    v1, v2 = told.data.volume.get("v1", []), told.data.volume.get("v2", [])
    ground = dict(v1)
    chart.bars(v1, DAY_US, "v1")
    chart.bars(v2, DAY_US, "v2", [ground.get(t, 0.0) for t, _ in v2])
    words = "Predictions per day, counted from the windows in the store."
    return section("Traffic", words, legend(("v1", "by v1"), ("v2", "by v2")), chart.svg(escape(words)))


def _runs(points: Sequence[tuple[int, Any]], gap_us: int) -> list[list[tuple[int, Any]]]:
    """Split a series where it has gaps."""
    runs: list[list[tuple[int, Any]]] = []
    for point in points:
        if runs and point[0] - runs[-1][-1][0] <= gap_us:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs
