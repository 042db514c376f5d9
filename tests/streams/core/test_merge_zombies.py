"""What workers that were replaced, or that learn of a baseline in the middle of a chunk, do to windows: nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from seawall.frames import Categorical, Columns, to_record
from seawall.monitor import MonitorSpec
from seawall.wire import encode
from streams.core.build_baseline import build_baseline
from streams.core.merge import LateEvents
from streams.core.watermark import Partition, Watermarks
from tests.streams.core.builders import MINUTE, T0
from tests.streams.core.test_merge import WALL, Log

P0, P1 = Partition("predictions", 0), Partition("predictions", 1)


def labelled(minutes: list[int], labels: list[str] | None) -> bytes:
    """A frame whose layout depends on whether it carries labels."""
    n = len(minutes)
    ts = np.array([T0 + m * MINUTE for m in minutes], dtype=np.int64)
    columns = Columns(
        "predictions", "m", "v1", ts, {"x": np.zeros(n)}, {"origin": Categorical.of(["JFK"] * n)}
    )
    columns.label = None if labels is None else Categorical.of(labels)
    return encode("prediction_frame", to_record(columns))


def late_rows(log: Log) -> dict[tuple[Any, ...], int]:
    """Late rows as the store has them: the last one of each key."""
    return dict(log.stored_late)


class StoredLog(Log):
    """A log that remembers late events under the natural key of their table."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.stored_late: dict[tuple[Any, ...], int] = {}
        super().__init__(*args, **kwargs)
        taken = self.merge.take_late

        def take_late() -> list[LateEvents]:
            late = taken()
            for e in late:
                self.stored_late[e.version, e.pane_start_us, e.partition, e.first_offset] = e.rows
            return late

        self.merge.take_late = take_late  # type: ignore[method-assign]


def test_late_events_with_other_columns_do_not_hide_each_other():
    spec = MonitorSpec("m", pane_us=MINUTE, horizons_us=(3 * MINUTE,), lateness_us=0, grace_us=5 * MINUTE)
    log = StoredLog(spec, rows=100, partitions=1)
    log.log[0] += [labelled([0, 50], None)]
    log.read(0)
    log.publish(0)
    log.log[0] += [labelled([1, 1], None), labelled([1, 1, 1], ["a", "b", "a"])]
    log.read(0)
    log.publish(0)
    assert late_rows(log) == {("v1", T0 + MINUTE, P0, 0): 5}


def learn_baseline(log: Log) -> None:
    reference = Columns(
        "predictions", "m", "v1", T0 - np.arange(1, 200) * MINUTE, {"x": np.linspace(-1, 60, 199)}
    )
    log.control.set_baseline(build_baseline(reference, model="m", version="v1", now_us=0))


def total(log: Log, width: int, end_minute: int) -> int:
    """Rows of a window over all layouts, as the store has them."""
    return sum(
        rows
        for (segment, w, end, _), rows in log.by_layout.items()
        if (segment, w, end) == ("", width, T0 + end_minute * MINUTE)
    )


class LayoutLog(Log):
    """A log that remembers windows of each layout."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.by_layout: dict[tuple[str, int, int, str], int] = {}
        super().__init__(*args, **kwargs)
        advance = self.merge.advance

        def remember(spec: MonitorSpec, now_us: int) -> Any:
            for batch in advance(spec, now_us):
                for w in range(batch.windows):
                    key = (batch.key[3], batch.width, (batch.first_end + w) * MINUTE, batch.key[2])
                    self.by_layout[key] = int(batch.rows[w])
                yield batch

        self.merge.advance = remember  # type: ignore[method-assign]


def test_a_chunk_made_again_in_another_layout_leaves_nothing_in_the_first():
    log = LayoutLog(rows=100, partitions=1)
    log.write(0, [0, 0, 0, 20])
    log.read(0)
    log.publish(0)
    assert total(log, 1, 1) == 3
    log.crash(0)
    learn_baseline(log)
    log.write(0, [21])
    log.read(0)
    log.publish(0)
    assert total(log, 1, 1) == 3
    assert total(log, 3, 2) == 3


def test_what_was_final_in_one_layout_is_not_late_in_another():
    spec = MonitorSpec("m", pane_us=MINUTE, horizons_us=(3 * MINUTE,), lateness_us=0, grace_us=5 * MINUTE)
    log = LayoutLog(spec, rows=100, partitions=1)
    log.write(0, [0, 0, 50])
    log.read(0)
    log.publish(0)
    log.crash(0)
    learn_baseline(log)
    log.write(0, [0, 51])  # one more for the minute that is final
    log.read(0)
    log.publish(0)
    assert total(log, 1, 1) == 2
    assert sum(log.late.values()) == 1


def test_a_replaced_worker_cannot_say_that_everything_was_read():
    marks = Watermarks({"predictions": "predictions"}, idle_timeout_us=1_000_000)
    spec = MonitorSpec("m", pane_us=MINUTE, lateness_us=0)
    for p in (P0, P1):
        marks.heard(p, 2, T0, 10, True, WALL)
        marks.saw("m", p, T0, WALL)
    later = WALL + 10_000_000
    marks.heard(P1, 2, T0 + 5 * MINUTE, 20, False, later)  # there is more to read on this partition …
    marks.heard(P1, 2, T0, 10, True, later)  # … whatever a worker says that stopped reading long ago
    marks.heard(P0, 2, T0 + 60 * MINUTE, 99, True, later)
    marks.saw("m", P0, T0 + 60 * MINUTE, later)
    reached = marks.of("m", "predictions", spec, later)
    assert reached is not None
    assert reached <= T0 + 5 * MINUTE


def test_a_worker_that_starts_again_further_back_still_holds_the_watermark():
    marks = Watermarks({"predictions": "predictions"}, idle_timeout_us=1_000_000)
    marks.heard(P0, 1, T0, 20, True, WALL)
    marks.heard(P0, 1, T0, 12, False, WALL)
    assert not marks.progress[P0].caught_up
