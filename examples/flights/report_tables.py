"""The parts of the report that are read rather than looked at."""

from __future__ import annotations

from collections.abc import Collection
from html import escape

from examples.flights import story
from examples.flights.loop import Record
from examples.flights.report_parts import Told, hours, section, span, table
from examples.flights.results import alarm_entry
from examples.flights.screen import clock
from seawall.drift_html import bars

#: Columns of an alarm that are drawn.
_DRAWN = 2


def head(told: Told) -> str:
    """Say in three sentences and six numbers what happened."""
    results, applied = told.results, told.applied
    sent = sum(e["sent"] for e in results.events.values())
    accounted = "events, every one accounted for" if results.is_exact else "events, NOT all accounted for"
    tiles = [
        (
            hours(applied["delay_hours"]) if applied else "none",
            "from release to applied rollback, event time",
        ),
        (f"{len(told.alarms)}", "alarms on all traffic"),
        (f"{sum(1 for r in told.rollbacks if r['delay_hours'] is not None)}", "rollback applied"),
        (f"{sent:,}", accounted),
        (f"{results.full_speed_events_per_second:,.0f}/s", "at full speed, SDK to store"),
        (f"{results.peak_rss_bytes.get('worker', 0) >> 20} MiB", "worker's peak memory"),
    ]
    boxes = "".join(f"<div class='tile'><b>{escape(b)}</b><span>{escape(s)}</span></div>" for b, s in tiles)
    title = "<h1>A year of flights, one bad release</h1>"
    return f"{title}<p class='lead'>{_said(told)}</p><div class='tiles'>{boxes}</div>"


def _said(told: Told) -> str:
    if told.applied is None:
        return "No rollback was applied in this run."
    others = [a for a in told.alarms if a["version"] != told.applied["from_version"]]
    world = sum(1 for a in others if a["attribution"] == "world")
    return (
        f"Version 2 went live on {clock(story.V2_RELEASED_US, '%-d %B at %H:%M')} with a serving pipeline that read "
        "delays in seconds, where training had seen minutes. Seawall put it down to the release and had version 1 back "
        f"in production <b>{told.applied['delay_hours']:.1f} hours of event time later</b>. When the world itself "
        f"changed, storms, spring and summer, it paged a person ({world} times in the year) and rolled nothing back."
    )


def decisions(told: Told) -> str:
    """List rollbacks and alarms."""
    rollbacks = [
        [
            f"{escape(r['from_version'])} → {escape(r['to_version'])}",
            escape(r["state"].replace("_", " ")),
            hours(r["requested_after_hours"]),
            hours(r["delay_hours"]),
            hours(r["recovered_after_hours"]),
            escape(r["reason"]),
        ]
        for r in told.rollbacks
    ]
    shown = {str(a["alarm_id"]) for a in told.alarms}
    segments = sum(1 for a in told.results.alarms if a["segment"] and a["incident_id"] == a["alarm_id"])
    more = f" {segments} more alarms were about a single airport." if segments else ""
    return section(
        "Rollbacks and alarms",
        "Delays are hours of event time since the release. Bars are shares of the worst columns: wide and grey as the "
        f"baseline has them at those hours, narrow and blue as the window had them.{more}",
        table(
            ["rollback", "state", "requested", "applied", "recovered", "why"], rollbacks, frozenset({2, 3, 4})
        ),
        "<br>",
        table(
            ["opened", "version", "kind", "fault", "lasted", "what was seen, and why", "before and after"],
            [_alarm(a, shown) for a in told.alarms],
            frozenset({4}),
        ),
    )


def _alarm(alarm: Record, shown: Collection[str]) -> list[str]:
    entry = alarm_entry(alarm)
    fault = escape(entry["attribution"])
    lasted = "still open" if alarm["resolved_us"] is None else span(alarm["resolved_us"] - alarm["opened_us"])
    seen = ", ".join(entry["features"][:6]) or entry["summary"]
    # What the alarm of an airport speaks for is told here: alarms of airports are not in the table.
    is_joined = entry["incident_id"] != entry["alarm_id"] and entry["incident_id"] in shown
    told = "Told by the alarm of the same cause." if is_joined else entry["story"] or entry["attribution_why"]
    drawn = [f for f in alarm["features"] if f["bins"]][: 0 if is_joined else _DRAWN]
    return [
        clock(alarm["opened_us"], "%-d %b %H:%M"),
        escape(entry["version"]),
        escape(entry["kind"]),
        f"<span class='tag {fault}'>{fault}</span>",
        lasted,
        f"{escape(seen)}<br><span class='soft'>{escape(told)}</span>",
        "".join(
            f"<span class='soft'>{escape(f['name'])}</span>{bars(f['name'], f['bins'], f['before'], f['after'])}"
            for f in drawn
        ),
    ]


def accounting(told: Told) -> str:
    """Show that nothing was lost."""
    pace = told.results.pace
    words = (
        "Sent by the product through the SDK, and found in the store. The replay ran at full speed, except for "
        f"{pace.paced_hours} hours of event time around the release, which took {pace.paced_wall_seconds:.0f} s. "
        "In January and February there was no model yet: features and arrivals were recorded, nothing was predicted."
    )
    names = ["sent", "counted", "late", "dead_lettered"]
    rows = [[topic, *(f"{e[name]:,}" for name in names)] for topic, e in told.results.events.items()]
    return section(
        "Every event, once",
        words,
        table(["topic", "sent", "counted", "late", "dead-lettered"], rows, frozenset({1, 2, 3, 4})),
    )
