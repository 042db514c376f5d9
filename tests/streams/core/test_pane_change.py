"""A monitor may change the width of its panes while the model is live: every row stays in exactly one of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seawall.monitor import MonitorSpec
from seawall.wire import decode, encode
from streams.core.chunks import PartitionChunker
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.registry import RegistryView
from streams.core.state import claim_of, restore, save
from streams.core.tally import is_news
from streams.core.watermark import Watermarks
from tests.streams.core.builders import MINUTE, cut_after, frame, records
from tests.streams.core.builders import T0 as _HOUR

WIDTHS = (MINUTE, 5 * MINUTE, 7 * MINUTE, 60 * MINUTE)
HORIZON = 420 * MINUTE
"""A multiple of all of them."""
T0 = _HOUR // HORIZON * HORIZON
LONG = 100_000 * MINUTE
WALL = T0 + LONG


def spec_of(pane_us: int, grace_us: int = LONG) -> MonitorSpec:
    return MonitorSpec(
        "m", pane_us=pane_us, horizons_us=(HORIZON,), lateness_us=0, grace_us=grace_us, segments=("origin",)
    )


class Service:
    """Workers that count two partitions, and one that decides; each learns of a monitor when it is told."""

    def __init__(self, pane_us: int = MINUTE, grace_us: int = LONG, chunk_rows: int = 40) -> None:
        self.grace_us = grace_us
        self.counting, self.deciding = Control(), Control()
        self.rule = cut_after(chunk_rows)
        self.log: list[list[tuple[int, bytes]]] = [[], []]
        self.committed = [0, 0]
        self.width_us = pane_us
        self.tell_counting(pane_us)
        self.deciding.set_monitor(spec_of(pane_us, grace_us))
        self.chunkers = [self._chunker(p) for p in (0, 1)]
        self.engine = self._engine()
        self.offset = 0
        self.starts: list[dict[int, int]] = [{}, {}]
        """Start of the pane that each row is counted in."""
        self.windows: dict[tuple[str, int, int], int] = {}
        """Rows by segment, length and end, as they were told last; since the width changed last."""
        self.told: Counter[int] = Counter()
        """Rows by pane width, of panes of all traffic that were told for the first time."""
        self.late: dict[tuple[int, int], int] = {}
        self.closed_at_change_us = 0

    def _chunker(self, p: int) -> PartitionChunker:
        made = PartitionChunker(
            "predictions", p, "predictions", LayoutBook(self.counting), self.rule, None, 2
        )
        made.start_at(self.committed[p])
        return made

    def _engine(self) -> PartitionEngine:
        marks = Watermarks({"predictions": "predictions"}, 30_000_000, replay=True)
        return PartitionEngine(self.deciding, RegistryView(), marks)

    @property
    def merge(self) -> Any:
        return self.engine.state("m").merge

    def tell_counting(self, pane_us: int) -> None:
        self.width_us = pane_us
        self.counting.set_monitor(spec_of(pane_us, self.grace_us))

    def tell_deciding(self, pane_us: int) -> None:
        self.deciding.set_monitor(spec_of(pane_us, self.grace_us))
        self.closed_at_change_us = self.merge.closed_us.get("predictions", 0)
        self.windows.clear()

    def change(self, pane_us: int) -> None:
        self.tell_counting(pane_us)
        self.tell_deciding(pane_us)

    def write(self, p: int, *minutes: int) -> None:
        for minute in minutes:
            self.log[p].append((T0 + minute * MINUTE, frame([T0 + minute * MINUTE], [float(minute)])))

    def read(self, p: int) -> None:
        """Count what was written, and tell of it."""
        chunker = self.chunkers[p]
        first = chunker.next_offset
        for cut in chunker.feed(records([value for _, value in self.log[p][first:]], first)):
            for summary in cut.summaries:
                self.send(summary)
            self.committed[p] = cut.next_offset
        for offset, (ts, _) in enumerate(self.log[p][first:], first):
            self.starts[p][offset] = ts // self.width_us * self.width_us
        self.publish(p)

    def publish(self, p: int, *, caught_up: bool = False, wall_us: int = WALL) -> None:
        for summary in self.chunkers[p].provisional(caught_up=caught_up):
            self.send(summary, wall_us)
        self.send(self.chunkers[p].progress(caught_up=caught_up), wall_us)

    def crash(self, p: int) -> None:
        """A worker starts again: it makes the open chunk anew, in the width of now."""
        self.chunkers[p] = self._chunker(p)

    def restart(self) -> None:
        """The one that decides starts again from what it saved."""
        parts = [part for stage in save(self.engine, self.offset - 1, claim_of(1, "a")) for part in stage]
        self.engine = self._engine()
        assert restore(self.engine, {k: v for k, v in parts if v}) == self.offset - 1

    def send(self, summary: dict[str, Any], wall_us: int = WALL) -> None:
        summary = decode(encode("chunk_summary", summary), ("chunk_summary",))[1]
        news = is_news(self.engine, summary, self.offset)
        effects = self.engine.on_record(summary, self.offset, wall_us)
        self.offset += 1
        if news:
            self.late[summary["partition"], summary["first_offset"]] = effects.late_rows
        for report in effects.reports:
            ends = np.frombuffer(report["ends"], dtype="<i8").tolist()
            rows = np.frombuffer(report["rows"], dtype="<i8").tolist()
            revisions = np.frombuffer(report["revisions"], dtype="<i4").tolist()
            for end, n, revision in zip(ends, rows, revisions, strict=True):
                key = (report["segment"], report["horizon_us"], end)
                assert revision or key not in self.windows, "a window was closed twice"
                self.windows[key] = n
                if not revision and not report["segment"] and report["horizon_us"] in WIDTHS:
                    self.told[report["horizon_us"]] += n

    def finish(self) -> None:
        for p in (0, 1):
            self.read(p)
        for wall_us in (WALL, WALL + 60_000_000, WALL + 120_000_000):
            for p in (0, 1):
                self.publish(p, caught_up=True, wall_us=wall_us)

    def held(self, segment: str = "") -> int:
        """Rows that are in panes."""
        merge = self.merge
        sealed = sum(int(s.rows.sum()) for key, s in merge.series.items() if key[3] == segment)
        return sealed + sum(
            int(cells.rows.sum())
            for part in merge.open.values()
            for key, cells in part.cells.items()
            if key[3] == segment
        )

    def expected(self) -> dict[tuple[str, int, int], int]:
        """Windows that closed since the last change, by a count of each row's pane."""
        pane_us, closed_us = self.merge.pane_us, self.merge.closed_us["predictions"]
        rows = Counter(start // pane_us for of in self.starts for start in of.values())
        found: Counter[tuple[str, int, int]] = Counter()
        for pane, n in rows.items():
            for width in (1, HORIZON // pane_us):
                for end in range(pane + 1, pane + width + 1):
                    if self.closed_at_change_us // pane_us < end <= closed_us // pane_us:
                        for segment in ("", "origin=JFK"):
                            found[segment, width * pane_us, end * pane_us] += n
        return dict(found)


def minutes_of(service: Service, first: int, after: int) -> None:
    """Three minutes at a time, a row a minute in each partition."""
    for minute in range(first, after, 3):
        for p in (0, 1):
            service.write(p, *range(minute, min(minute + 3, after)))
            service.read(p)


@pytest.mark.parametrize(
    "widths",
    [(1, 60), (5, 1), (5, 7), (60, 1), (7, 5), (1, 60, 1), (60, 1, 60), (1, 5, 60), (5, 1, 7)],
    ids=lambda widths: " to ".join(f"{w}m" for w in widths),
)
@pytest.mark.parametrize(
    ("chunk_rows", "restart"),
    [(7, False), (10_000, True)],
    ids=["short chunks", "one open chunk and a restart"],
)
def test_windows_go_on_in_the_new_width_and_hold_every_row_once(widths, chunk_rows, restart):
    service = Service(widths[0] * MINUTE, chunk_rows=chunk_rows)
    minutes_of(service, 0, 157)
    first = 157
    for width in widths[1:]:
        service.change(width * MINUTE)
        if restart:
            service.restart()
        minutes_of(service, first, first + 26)
        first += 26
    minutes_of(service, first, 300)
    service.finish()
    assert service.late == dict.fromkeys(service.late, 0)
    assert service.held() == service.held("origin=JFK") == 600
    expected = service.expected()
    assert {key: rows for key, rows in service.windows.items() if key in expected} == expected
    pane_us = widths[-1] * MINUTE
    assert max(end for _, width, end in expected if width == pane_us) >= T0 + 300 * MINUTE


def test_narrower_panes_begin_where_the_last_wider_one_was_told():
    service = Service(5 * MINUTE)
    minutes_of(service, 0, 22)
    service.change(MINUTE)
    minutes_of(service, 22, 130)
    service.finish()
    assert service.told == {5 * MINUTE: 2 * 20, MINUTE: 2 * 110}
    panes = {
        end: n for (segment, width, end), n in service.windows.items() if not segment and width == MINUTE
    }
    # Two minutes were counted in a pane of five, and lie in the minute in which it begins.
    assert [panes.get(T0 + m * MINUTE, 0) for m in range(20, 25)] == [0, 4, 0, 2, 2]


def test_a_wider_pane_adds_up_the_narrower_ones_that_it_holds():
    service = Service(MINUTE)
    minutes_of(service, 0, 90)
    service.change(60 * MINUTE)
    minutes_of(service, 90, 240)
    service.finish()
    panes = {
        e: n for (segment, width, e), n in service.windows.items() if not segment and width == 60 * MINUTE
    }
    assert panes == {T0 + hour * 60 * MINUTE: 120 for hour in (2, 3, 4)}


def test_a_monitor_that_is_withdrawn_leaves_panes_of_the_default_width():
    service = Service(60 * MINUTE)
    minutes_of(service, 0, 130)
    service.counting.drop_monitor("m")
    service.deciding.drop_monitor("m")
    service.width_us = MINUTE
    minutes_of(service, 130, 300)
    panes = {e: n for (segment, width, e), n in service.windows.items() if not segment and width == MINUTE}
    assert {end: n for end, n in panes.items() if end > T0 + 131 * MINUTE} == {
        T0 + m * MINUTE: 2 for m in range(132, 299)
    }
    assert service.held() == 600


def test_rows_in_panes_of_the_old_width_are_taken_after_the_change():
    service = Service(5 * MINUTE)
    minutes_of(service, 0, 31)
    service.tell_deciding(60 * MINUTE)
    minutes_of(service, 31, 100)  # whoever counts has not heard of it yet
    service.tell_counting(60 * MINUTE)
    minutes_of(service, 100, 250)
    service.finish()
    panes = {
        e: n for (segment, width, e), n in service.windows.items() if not segment and width == 60 * MINUTE
    }
    assert panes == {T0 + 60 * MINUTE: 120, T0 + 120 * MINUTE: 120, T0 + 180 * MINUTE: 120, T0 + 240 * MINUTE: 120,
                     T0 + 300 * MINUTE: 20}  # fmt: skip


def test_a_chunk_whose_width_changes_while_it_is_open_says_of_each_block_how_wide_its_panes_are():
    service = Service(5 * MINUTE, chunk_rows=10_000)
    service.write(0, *range(10))
    service.read(0)
    service.tell_counting(MINUTE)
    service.write(0, *range(8, 14))
    list(service.chunkers[0].feed(records([v for _, v in service.log[0][10:]], 10)))
    (summary,) = service.chunkers[0].provisional(caught_up=True)
    found = {
        (block["pane_us"], (pane - T0) // MINUTE): rows
        for block in summary["blocks"]
        for segment, pane, rows in zip(
            block["segments"],
            np.frombuffer(block["panes"], dtype="<i8").tolist(),
            np.frombuffer(block["rows"], dtype="<i8").tolist(),
            strict=True,
        )
        if not segment
    }
    assert found == {(5 * MINUTE, 0): 5, (5 * MINUTE, 5): 5} | {(MINUTE, m): 1 for m in range(8, 14)}


@pytest.mark.parametrize("widths", [(1, 60), (60, 1), (5, 7)], ids=["wider", "narrower", "across"])
def test_of_a_chunk_made_again_in_another_width_no_row_is_counted_twice(widths):
    """Some of its rows were folded when their panes became final, and lie in other panes now."""
    service = Service(widths[0] * MINUTE, grace_us=10 * MINUTE, chunk_rows=10_000)
    minutes_of(service, 0, 157)
    service.change(widths[1] * MINUTE)
    service.crash(0)
    minutes_of(service, 157, 300)
    service.finish()
    late = sum(service.late.values())
    assert service.held() + late == 600
    assert late <= 60 + 10  # at most the hour in which the chunk was made again, of one partition


@pytest.mark.parametrize("is_restarted", [False, True], ids=["", "restarted"])
def test_windows_of_a_horizon_that_was_added_are_covered_only_from_where_panes_were_kept(is_restarted):
    """Panes were forgotten that no window of the horizons before could hold."""
    service = Service(grace_us=5 * MINUTE)
    short = replace(spec_of(MINUTE, 5 * MINUTE), horizons_us=(5 * MINUTE,), segments=())
    service.deciding.set_monitor(short)
    minutes_of(service, 0, 150)
    if is_restarted:
        service.restart()
    longer = replace(short, horizons_us=(5 * MINUTE, 60 * MINUTE))
    service.deciding.set_monitor(longer)
    merge, found = service.merge, []
    advance = merge.advance

    def noting(spec, now_us):
        for batch in advance(spec, now_us):
            found.append(batch)
            yield batch

    merge.advance = noting
    minutes_of(service, 150, 260)
    rows = {
        batch.first_end + w: (int(batch.rows[w]), batch.first_end + w - batch.first_pane >= batch.width)
        for batch in found
        if batch.width == 60 and not batch.key[3]
        for w in range(batch.windows)
    }
    assert {n for n, is_covered in rows.values() if is_covered} == {120}
    assert min(n for n, is_covered in rows.values() if not is_covered) < 120


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 1), st.lists(st.integers(0, 25), min_size=1, max_size=12)),
        st.tuples(st.just("change"), st.sampled_from(WIDTHS)),
        st.tuples(st.just("count in"), st.sampled_from(WIDTHS)),
        st.tuples(st.just("decide in"), st.sampled_from(WIDTHS)),
        st.tuples(st.just("crash"), st.integers(0, 1)),
        st.tuples(st.just("restart")),
    ),
    min_size=1,
    max_size=20,
)


def play(service: Service, schedule: list[Any]) -> int:
    """Time goes on by about ten minutes with each step; returns how many rows were written."""
    rows = 0
    service.write(0, 0)
    service.write(1, 0)
    for number, step in enumerate(schedule):
        if step[0] == "write":
            service.write(step[1], *(max(11 * number - 20 + m, 0) for m in step[2]))
            service.read(step[1])
            rows += len(step[2])
        elif step[0] == "change":
            service.change(step[1])
        elif step[0] == "count in":
            service.tell_counting(step[1])
        elif step[0] == "decide in":
            service.tell_deciding(step[1])
        elif step[0] == "crash":
            service.crash(step[1])
        elif service.offset:
            service.restart()
    service.finish()
    return rows + 2


@settings(max_examples=20, deadline=None)
@given(steps, st.sampled_from([5, 10_000]))
def test_however_often_the_width_changes_windows_are_those_of_a_count_of_each_rows_pane(schedule, chunk_rows):
    service = Service(chunk_rows=chunk_rows)
    rows = play(service, schedule)
    assert not any(service.late.values())
    assert service.held() == rows
    expected = service.expected()
    assert {key: n for key, n in service.windows.items() if key in expected} == expected
    recounted = Counter(start // service.merge.pane_us for of in service.starts for start in of.values())
    for (_, width_us, end), n in service.windows.items():
        width, last = width_us // service.merge.pane_us, end // service.merge.pane_us
        assert n == sum(recounted[pane] for pane in range(last - width, last))


@settings(max_examples=30, deadline=None)
@example(
    [
        ("write", 0, [0]), ("change", 5 * MINUTE), ("write", 1, [0]), ("change", MINUTE), ("write", 0, [0]),
        ("change", 5 * MINUTE), ("crash", 1),
    ], 5, 0,
)  # fmt: skip
@given(steps, st.sampled_from([5, 10_000]), st.sampled_from([0, 12, 70]))
def test_however_often_the_width_changes_every_row_is_in_one_pane_or_late(schedule, chunk_rows, grace):
    service = Service(grace_us=grace * MINUTE, chunk_rows=chunk_rows)
    rows = play(service, schedule)
    assert service.held() + sum(service.late.values()) == rows
    assert service.held() == service.held("origin=JFK")
