"""What the sections of the report share: the story that they tell, and the frame around each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape

from examples.flights.data import DAY_US, HOUR_US
from examples.flights.loop import Record
from examples.flights.report_data import ReportData
from examples.flights.results import Results, rollback_entry


@dataclass
class Told:
    """The run, and the stretches of event time that are drawn."""

    results: Results
    data: ReportData
    span_us: tuple[int, int]
    around_us: tuple[int, int]

    @cached_property
    def rollbacks(self) -> list[Record]:
        """Every rollback, as in ``demo.json``."""
        return [rollback_entry(r) for r in self.results.rollbacks]

    @cached_property
    def applied(self) -> Record | None:
        """The first rollback that was carried out."""
        return next((r for r in self.rollbacks if r["delay_hours"] is not None), None)

    @cached_property
    def alarms(self) -> list[Record]:
        """Alarms on all traffic, in the order in which they opened."""
        return sorted((a for a in self.results.alarms if not a["segment"]), key=lambda a: int(a["opened_us"]))


def section(title: str, words: str, *body: str) -> str:
    """Wrap a chart with its title and what to see in it."""
    return f"<section><h2>{escape(title)}</h2><p class='soft'>{words}</p>{''.join(body)}</section>"


def legend(*keys: tuple[str, str]) -> str:
    """Explain colours, given as (style, name)."""
    items = (f"<span><i class='key {style}'></i>{escape(name)}</span>" for style, name in keys)
    return f"<div class='legend'>{''.join(items)}</div>"


def table(head: list[str], rows: list[list[str]], numbers: frozenset[int] = frozenset()) -> str:
    """Lay cells out; they are HTML already. `numbers` are the columns to align to the right."""

    def row(kind: str, cells: list[str]) -> str:
        made = (
            f"<{kind}{' class=n' if i in numbers else ''}>{cell}</{kind}>" for i, cell in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(row("td", cells) for cells in rows)
    return f"<div class='scroll'><table>{row('th', head)}{body}</table></div>"


def hours(value: float | None) -> str:
    """Hours as words; nothing when they are not known."""
    return "" if value is None else f"{value:.1f} h"


def span(us: int) -> str:
    """How long something lasted."""
    return f"{us / HOUR_US:.0f} h" if us < 2 * DAY_US else f"{us / DAY_US:.0f} days"
