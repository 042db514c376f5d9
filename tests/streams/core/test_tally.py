"""Every event is tallied once, as counted or as late, however often its chunk is told of."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.tally import Tally, is_news
from tests.streams.core.builders import T0
from tests.streams.core.folding import engine, schedules, summaries


@settings(max_examples=40)
@given(schedules, st.integers(1, 20), st.data())
def test_counted_and_late_are_what_was_sent(
    schedule: list[tuple[int, list[int], float]], chunk_rows: int, data: st.DataObject
) -> None:
    log = summaries(schedule, chunk_rows)
    taker, tally, late_rows = engine(), Tally(), set()
    again = data.draw(st.lists(st.integers(0, len(log) - 1), max_size=5), label="told again")
    for offset, summary in enumerate([*log, *(log[i] for i in sorted(again))]):
        news = is_news(taker, summary, offset)
        effects = taker.on_record(summary, offset, T0 + offset)
        for report in effects.reports:
            for e in report["late"]:
                late_rows.add((e["partition"], e["first_offset"], e["pane_start"], e["rows"]))
        if news:
            tally.take(summary, effects.late_rows)
    greatest: dict[tuple[int, int, int], int] = {}
    for partition, first, pane, rows in late_rows:
        greatest[partition, first, pane] = max(rows, greatest.get((partition, first, pane), 0))
    assert sum(tally.late.values()) == sum(greatest.values())
    assert tally.counted["predictions"] + tally.late["predictions"] == sum(len(m) for _, m, _ in schedule)


def test_late_events_are_late_and_the_others_counted() -> None:
    log = summaries(
        [(0, [0, 1], 0.0), (1, [0, 1], 0.0), (0, [20], 0.0), (1, [20], 0.0), (0, [0, 1, 21], 0.0)]
    )
    taker, tally = engine(), Tally()
    for offset, summary in enumerate(log):
        news = is_news(taker, summary, offset)
        effects = taker.on_record(summary, offset, T0 + offset)
        if news:
            tally.take(summary, effects.late_rows)
    assert (tally.counted["predictions"], tally.late["predictions"]) == (7, 2)
