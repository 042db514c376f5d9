"""What the contenders are given and how they are judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.contenders.race import Outcome, Seen, judged
from benchmarks.contenders.workload import MINUTE_US, MODEL, Window, Workload
from seawall.wire import decode

WORK = Workload(minutes=3, per_minute=40, features=4, end_us=1_795_617_600_000_000)


def right(start_us: int) -> Window:
    window = WORK.window(start_us)
    assert window is not None
    return window


def starts() -> list[int]:
    return [WORK.end_us - k * MINUTE_US for k in (3, 2, 1)]


def seen(windows: list[tuple[int, Window]]) -> Seen:
    timed = [(10.0 + i, start, window) for i, (start, window) in enumerate(windows)]
    return Seen(8.0, timed, [(0.0, 0.0), (100.0, 50.0)], 1)


def test_encoded_events_hold_the_times_and_values_that_the_windows_are_made_of() -> None:
    events = [decode(value, ("prediction",))[1] for value in WORK.single_events()]
    assert [e["ts"] for e in events] == WORK.times(0, WORK.events + 1).tolist()
    values = np.array([[pair["value"] for pair in e["numeric"]] for e in events])
    assert (values == WORK.rows(0, WORK.events + 1)).all()
    assert len({e["event_id"] for e in events}) == len(events) == WORK.events + 1
    assert {e["model"] for e in events} == {MODEL}


def test_every_event_but_the_last_lies_in_a_window_that_closes() -> None:
    of_window = WORK.times(0, WORK.events + 1) // MINUTE_US * MINUTE_US
    assert [WORK.window(int(start)) is not None for start in of_window] == [True] * WORK.events + [False]
    assert sum(right(start).rows for start in starts()) == WORK.events
    for start in starts():
        table = WORK.rows(*np.searchsorted(of_window, [start, start + 1]).tolist())
        assert (right(start).counts.sum(axis=1) == len(table)).all()
        np.testing.assert_allclose(right(start).moments[:, 0], table.mean(axis=0))


def test_right_windows_count_and_the_clock_stops_with_the_last_of_them() -> None:
    outcome = judged(WORK, seen([(start, right(start)) for start in starts()]))
    assert outcome == Outcome(120, 4.0, 2.0, 1, 3)
    assert outcome.rate == 30.0
    assert outcome.cpu_rate == 60.0


def test_one_event_in_another_bin_is_found() -> None:
    counts = right(starts()[1]).counts.copy()
    counts[2, np.argmax(counts[2])] -= 1
    wrong = replace(right(starts()[1]), counts=counts)
    outcome = judged(WORK, seen([(starts()[0], right(starts()[0])), (starts()[1], wrong)]))
    assert len(outcome.wrong) == 1
    assert "f2" in outcome.wrong[0]


def test_a_lost_event_and_a_moment_that_is_off_are_found() -> None:
    first = right(starts()[0])
    assert first.difference(replace(first, rows=first.rows - 1))
    assert first.difference(replace(first, moments=first.moments + 1e-6))
    assert not first.difference(replace(first, moments=first.moments * (1 + 1e-12)))


def test_a_window_that_was_revised_counts_once_and_as_it_was_last() -> None:
    start = starts()[0]
    early = replace(right(start), rows=1)
    outcome = judged(WORK, seen([(start, early), (start, right(start))]))
    assert (outcome.events, outcome.wrong) == (40, [])
