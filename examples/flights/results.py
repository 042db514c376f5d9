"""What came of it: the numbers for machines (``build/demo.json``) and the table at the end."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from examples.flights import story
from examples.flights.data import HOUR_US
from examples.flights.loop import Loop, Record
from examples.flights.replay import Pace
from examples.flights.screen import clock
from examples.flights.store import Questions

TOPICS = ("predictions", "features", "labels")
SETTLE_DEADLINE_S = 90.0


@dataclass
class Results:
    """Everything that ``demo.json`` holds."""

    events: dict[str, dict[str, int]]
    alarms: list[Record]
    rollbacks: list[Record]
    registry: list[Record]
    pace: Pace
    settle_seconds: float
    peak_rss_bytes: dict[str, int]
    wall_seconds: float
    performance: dict[str, dict[str, float]] = field(default_factory=dict)
    errors: dict[str, dict[str, int]] = field(default_factory=dict)
    """By version, from the store: labels that said what had been predicted, and of how many it was wrong."""

    @property
    def is_exact(self) -> bool:
        """Whether every event that was sent is accounted for."""
        return all(e["sent"] == e["counted"] + e["late"] + e["dead_lettered"] for e in self.events.values())

    @property
    def events_per_second(self) -> float:
        """Events over the time from the first one sent to the last one stored, pacing included."""
        return self._sent() / max(self.pace.wall_seconds + self.settle_seconds, 1e-9)

    @property
    def full_speed_events_per_second(self) -> float:
        """The same without the stretches in which the replay held itself back."""
        seconds = self.pace.wall_seconds - self.pace.paced_wall_seconds + self.settle_seconds
        return (self._sent() - self.pace.paced_events) / max(seconds, 1e-9)

    def _sent(self) -> int:
        return sum(e["sent"] for e in self.events.values())

    def to_json(self) -> str:
        """Render for machines. Times are microseconds UTC, delays are hours of event time."""
        return json.dumps(
            {
                "events": self.events,
                "exact": self.is_exact,
                "alarms": [alarm_entry(a) for a in self.alarms],
                "rollbacks": [rollback_entry(r) for r in self.rollbacks],
                "registry": self.registry,
                "events_per_second": round(self.events_per_second, 1),
                "full_speed_events_per_second": round(self.full_speed_events_per_second, 1),
                "peak_rss_bytes": self.peak_rss_bytes,
                "wall_seconds": round(self.wall_seconds, 2),
                "replay_seconds": round(self.pace.wall_seconds, 2),
                "paced": {
                    "hours_of_event_time": self.pace.paced_hours,
                    "wall_seconds": round(self.pace.paced_wall_seconds, 2),
                    "missed_deadlines": self.pace.missed_deadlines,
                    "stretches_us": self.pace.paced_us,
                },
                "replayed_us": list(story.YEAR),
                "performance_out_of_fold": self.performance,
                "errors": self.errors,
            },
            indent=1,
        )


def settled(
    questions: Questions, sent: dict[str, int], deadline_s: float = SETTLE_DEADLINE_S
) -> dict[str, dict[str, int]]:
    """Wait until every event is accounted for in the store, or the deadline has passed; returns the tallies."""
    until_s = time.monotonic() + deadline_s
    while True:
        found = questions.tallies()
        none = {"counted": 0, "late": 0, "dead_lettered": 0}
        events = {topic: {"sent": sent.get(topic, 0), **found.get(topic, none)} for topic in TOPICS}
        if all(e["sent"] == e["counted"] + e["late"] + e["dead_lettered"] for e in events.values()):
            return events
        if time.monotonic() > until_s:
            return events
        time.sleep(0.25)


def stories(loop: Loop) -> tuple[list[Record], list[Record]]:
    """Fold the steps on the bus into one record per alarm and one per rollback."""
    alarms: dict[str, list[Record]] = {}
    for step in loop.alarms:
        alarms.setdefault(step["alarm_id"], []).append(step)
    rollbacks: dict[str, list[Record]] = {}
    for step in loop.rollbacks:
        rollbacks.setdefault(step["rollback_id"], []).append(step)
    return (
        [_alarm(sorted(steps, key=lambda s: int(s["revision"]))) for steps in alarms.values()],
        [_rollback(sorted(steps, key=lambda s: int(s["seq"])), loop) for steps in rollbacks.values()],
    )


def _alarm(steps: list[Record]) -> Record:
    told = [s for s in steps if s["state"] != "resolved"]
    # The widest evidence is the latest told; the resolving step only closes it.
    last = told[-1] if told else steps[-1]
    return {
        **last,
        "opened_us": steps[0]["opened_us"],
        "resolved_us": steps[-1]["resolved_us"],
        "first": steps[0],
        "steps": len(steps),
    }


def _rollback(steps: list[Record], loop: Loop) -> Record:
    by_state = {s["state"]: int(s["ts"]) for s in steps}
    released = [
        int(e["ts"])
        for e in loop.registry
        if e["action"] == "promoted" and e["version"] == steps[0]["from_version"]
    ]
    return {
        **steps[-1],
        "released_us": min(released) if released else None,
        "states_us": by_state,
        "reason": steps[0]["reason"],
        "last_reason": steps[-1]["reason"],
    }


def _hours(later_us: int | None, earlier_us: int | None) -> float | None:
    return None if later_us is None or earlier_us is None else round((later_us - earlier_us) / HOUR_US, 2)


def alarm_entry(alarm: Record) -> Record:
    """Lay an alarm out for ``demo.json``."""
    serving = [r for r in story.RELEASES if r.version == alarm["version"]]
    return {
        **{
            k: alarm[k]
            for k in ("alarm_id", "version", "segment", "kind", "severity", "attribution", "attribution_why")
        },
        "state": "resolved" if alarm["resolved_us"] else "open",
        "opened_us": alarm["opened_us"],
        "opened": clock(alarm["opened_us"], "%Y-%m-%d %H:%M"),
        "resolved_us": alarm["resolved_us"],
        "hours_after_release": _hours(alarm["opened_us"], serving[0].at_us if serving else None),
        "incident_id": alarm["incident_id"],
        "onset_us": alarm["onset_us"],
        "began": None if alarm["onset_us"] is None else clock(alarm["onset_us"], "%Y-%m-%d %H:%M"),
        "moved": alarm["moved"],
        "coincides": [c["what"] for c in alarm["coincides"]],
        "summary": alarm["summary"],
        "story": alarm["story"],
        "features": [f["name"] for f in alarm["features"] if f["role"] != "segment"],
        "steps": alarm["steps"],
    }


def rollback_entry(rollback: Record) -> Record:
    """Lay a rollback out for ``demo.json``: its delays are hours of event time from the release."""
    states = rollback["states_us"]
    return {
        **{
            k: rollback[k]
            for k in ("rollback_id", "from_version", "to_version", "state", "mode", "alarm_id", "reason")
        },
        "released_us": rollback["released_us"],
        "requested_after_hours": _hours(states.get("requested"), rollback["released_us"]),
        "delay_hours": _hours(states.get("applied"), rollback["released_us"]),
        "recovered_after_hours": _hours(states.get("recovered"), rollback["released_us"]),
        "states_us": states,
    }


def peak_rss_bytes(pids: dict[str, int]) -> dict[str, int]:
    """Greatest resident memory of each process so far, and their sum. Only Linux remembers the peak."""
    found = {name: _peak(pid) for name, pid in pids.items()}
    return {**found, "total": sum(found.values())}


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        return 0
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return int(shown.stdout.strip() or 0) << 10


def summary(results: Results) -> Table:
    """Return the table that ends the demo."""
    table = Table(
        title="Seawall: what came of it", title_style="bold", show_header=False, border_style="cyan"
    )
    for topic, e in results.events.items():
        parts = f"{e['counted']:,} counted + {e['late']:,} late + {e['dead_lettered']:,} dead-lettered"
        said = f"{e['sent']:,} sent = {parts}"
        is_exact = e["sent"] == e["counted"] + e["late"] + e["dead_lettered"]
        table.add_row(topic, said if is_exact else f"[red]{said.replace('=', '≠')}")
    for alarm in results.alarms:
        entry = alarm_entry(alarm)
        whose = {"version": "the version's fault", "world": "the world changed"}.get(
            entry["attribution"], "fault unknown"
        )
        features = ", ".join(entry["features"][:4]) or entry["kind"]
        if entry["incident_id"] != entry["alarm_id"]:
            continue  # another alarm speaks for it
        table.add_row(
            f"alarm {entry['opened'][5:]}",
            f"{entry['version']} {entry['segment']} {entry['kind']}: {features} ({whose}; {entry['state']})",
        )
    for entry in map(rollback_entry, results.rollbacks):
        delay = (
            f", applied {entry['delay_hours']:.1f} h of event time after the release"
            if entry["delay_hours"] is not None
            else ""
        )
        table.add_row("rollback", f"{entry['from_version']} → {entry['to_version']}: {entry['state']}{delay}")
    for version, of in results.errors.items():
        share = of["errors"] / max(of["labels"], 1)
        table.add_row(f"errors of {version}", f"{share:.1%} of {of['labels']:,} labels")
    table.add_row(
        "speed",
        f"{results.events_per_second:,.0f} events/s, {results.full_speed_events_per_second:,.0f} at full speed",
    )
    table.add_row(
        "memory",
        f"{results.peak_rss_bytes['worker'] >> 20} MiB worker, {results.peak_rss_bytes['total'] >> 20} MiB in all",
    )
    table.add_row("time", f"{results.wall_seconds:.0f} s")
    return table
