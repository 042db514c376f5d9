"""The terminal while the year goes by. Plain lines when nobody is watching."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from examples.flights.data import NEW_YORK

_BARS = "▁▂▃▄▅▆▇█"
_STYLES = {"alarms": "yellow", "rollbacks": "magenta", "registry": "cyan", "pacing": "blue", "demo": "dim"}
_PLAIN_EVERY_S = 5.0


def clock(us: int, form: str = "%a %d %b %H:%M") -> str:
    """Event time on New York's wall."""
    return dt.datetime.fromtimestamp(us / 1e6, tz=ZoneInfo(NEW_YORK)).strftime(form)


def sparkline(ratios: Sequence[float]) -> Text:
    """Draw distances in units of their limit: a full bar is twice the limit, and what exceeds it is red."""
    out = Text()
    for ratio in ratios:
        bar = _BARS[min(int(max(ratio, 0.0) / 2 * len(_BARS)), len(_BARS) - 1)]
        out.append(bar, style="red" if ratio >= 1 else "yellow" if ratio >= 0.8 else "green")
    return out


def sentence(topic: str, record: Mapping[str, Any]) -> str:
    """Put a record from the bus into one line."""
    if topic == "alarms":
        whose = f" [{record['attribution']}]" if record["attribution"] != "unknown" else ""
        part = " (part of the same incident)" if record["incident_id"] not in {"", record["alarm_id"]} else ""
        return f"alarm {record['state']}{part}: {record['summary']}{whose} {record['story']}".rstrip()
    if topic == "rollbacks":
        return f"rollback {record['state']}: {record['from_version']} → {record['to_version']}. {record['reason']}"
    if topic == "registry":
        return f"registry: {record['version']} {record['action'].replace('_', ' ')} by {record['actor'] or 'somebody'}"
    return str(record["text"])


def event_time_us(topic: str, record: Mapping[str, Any]) -> int:
    """Event time of a record from the bus."""
    return int(record["updated_us"] if topic == "alarms" else record["ts"])


class Screen:
    """Everything on show. Thread-safe: the loop reports from its own thread."""

    def __init__(self, start_us: int, end_us: int, console: Console | None = None) -> None:
        self.console = console or Console()
        self.start_us, self.end_us = start_us, end_us
        self.now_us, self.events, self.lag_us = start_us, 0, 0
        self.version, self.pace = "", "full speed"
        self.worst: list[tuple[str, list[float]]] = []
        self.open_alarms: dict[str, str] = {}
        self._rates: deque[tuple[float, int]] = deque(maxlen=40)
        self._lines: deque[Text] = deque(maxlen=14)
        self._lock = threading.Lock()
        self._said_s = 0.0
        self._live = Live(
            console=self.console, refresh_per_second=4, get_renderable=self.render, transient=True
        )

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def moved(self, now_us: int, events: int, version: str) -> None:
        """Event time has come to `now_us`, after so many events."""
        self.now_us, self.events, self.version = now_us, events, version
        self._rates.append((time.monotonic(), events))
        if not self.console.is_terminal and time.monotonic() - self._said_s > _PLAIN_EVERY_S:
            self._said_s = time.monotonic()
            serving = self.version or "no model yet"
            self.console.print(
                f"{clock(now_us)}  {events:>9,} events  {self.rate():>8,.0f}/s  {serving}  {self.pace}"
            )

    def rate(self) -> float:
        """Events a second over the last moments."""
        if len(self._rates) < 2 or self._rates[-1][0] == self._rates[0][0]:
            return 0.0
        (t0, n0), (t1, n1) = self._rates[0], self._rates[-1]
        return (n1 - n0) / (t1 - t0)

    def tell(self, topic: str, record: Mapping[str, Any], at_us: int | None = None) -> None:
        """Show a line: a record from the bus, or the demo's own words under ``{"text": …}``."""
        when = clock(event_time_us(topic, record) if at_us is None else at_us)
        line = Text.assemble((when, "dim"), "  ", (sentence(topic, record), _STYLES.get(topic, "")))
        with self._lock:
            if topic == "alarms" and record["state"] == "resolved":
                self.open_alarms.pop(record["alarm_id"], None)
            elif topic == "alarms":
                self.open_alarms[record["alarm_id"]] = record["severity"]
            self._lines.append(line)
        if not self.console.is_terminal:
            self.console.print(line, soft_wrap=True)

    def render(self) -> RenderableType:
        """Draw the whole."""
        done = (self.now_us - self.start_us) / max(self.end_us - self.start_us, 1)
        head = Table.grid(padding=(0, 2), expand=True)
        head.add_column(ratio=1)
        head.add_column(justify="right")
        head.add_row(
            Text.assemble((clock(self.now_us, "%a %d %b %Y %H:%M"), "bold"), "  New York"),
            Text.assemble(f"{self.events:,} events  ", (f"{self.rate():,.0f}/s", "bold")),
        )
        head.add_row(ProgressBar(total=1.0, completed=done), f"{done:4.0%}")
        alarms = f"{len(self.open_alarms)} open" if self.open_alarms else "none open"
        head.add_row(
            Text.assemble("serving ", (self.version or "nothing yet", "bold cyan"), f"   alarms: {alarms}"),
            "",
        )
        columns = Table.grid(padding=(0, 1))
        for name, ratios in self.worst:
            columns.add_row(
                Text(name, style="bold"), sparkline(ratios), f"{ratios[-1] if ratios else 0:.1f} × limit"
            )
        with self._lock:
            lines = list(self._lines)
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(
            Panel(
                Group(head, Text(self.pace, style="blue")),
                title="Seawall: a year of flights",
                border_style="cyan",
            ),
            Panel(columns, title="furthest from their baseline, last 6 h windows", border_style="dim"),
            Panel(Group(*lines), title="what happened", border_style="dim"),
        )
