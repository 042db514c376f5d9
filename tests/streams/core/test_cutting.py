"""Where a chunk is cut depends on the log alone, however many records are decoded at a time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.monitor import MonitorSpec
from streams.core.chunks import ChunkRule, Cut, PartitionChunker, read_block
from streams.core.decode import Record
from streams.core.layouts import Control, LayoutBook
from tests.streams.core.builders import NOW, T0, cut_after, frame, single

lengths = st.lists(st.integers(1, 7), min_size=1, max_size=60)


def chunker(rule: ChunkRule) -> PartitionChunker:
    return PartitionChunker("predictions", 0, "predictions", LayoutBook(Control()), rule)


@settings(max_examples=60, deadline=None)
@given(
    gaps=lengths,
    kinds=st.lists(st.sampled_from(["single"] * 20 + ["poison", "frame"]), min_size=60, max_size=60),
    rule=st.builds(cut_after, st.integers(1, 40), st.integers(1, 60)),
    sizes=st.lists(st.integers(1, 60), min_size=60, max_size=60),
)
def test_runs_of_any_size_are_cut_where_single_records_are(
    gaps: list[int], kinds: list[str], rule: ChunkRule, sizes: list[int]
) -> None:
    values = {"poison": b"?", "frame": frame([T0, T0 + 1, T0 + 2], [1.0, 2.0, 3.0])}
    log, offset = [], 5
    for i, (gap, kind) in enumerate(zip(gaps, kinds, strict=False)):
        offset += gap
        log.append(Record(offset, NOW, values.get(kind) or single(T0 + i * 10**6, float(i))))

    def described(size_of_runs: list[int]) -> tuple[list[Cut], list[int], int, int, int]:
        c, left, cuts = chunker(rule), list(log), []
        for size in size_of_runs:
            # A run may begin with what was read before.
            again = log[max(len(log) - len(left) - 2, 0) : len(log) - len(left)]
            cuts += list(c.feed([*again, *left[:size]]))
            left = left[size:]
        return cuts, [d.offset for d in c.dead], c.next_offset, c.events_seen, c.max_ts

    cuts, *rest = described(sizes)
    expected, *rest_expected = described([1] * 60)
    assert rest == rest_expected
    assert [c.next_offset for c in cuts] == [c.next_offset for c in expected]
    for cut, of in zip(cuts, expected, strict=True):
        for summary, like in zip(cut.summaries, of.summaries, strict=True):
            counted = [(b["rows"], b["counts"], b["panes"], b["segments"]) for b in summary["blocks"]]
            assert counted == [(b["rows"], b["counts"], b["panes"], b["segments"]) for b in like["blocks"]]
            assert summary["max_ts"] == like["max_ts"]


@settings(max_examples=40, deadline=None)
@given(
    origins=st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=5), min_size=2, max_size=20),
    sizes=st.lists(st.integers(1, 20), min_size=20, max_size=20),
)
def test_which_segments_are_too_many_does_not_depend_on_the_fetches(
    origins: list[list[str]], sizes: list[int]
) -> None:
    """Frames, whose dictionaries may differ from one another, are joined when they are fetched together."""
    control = Control()
    control.set_monitor(MonitorSpec("m", segments=("origin",), max_segments=3))
    log = [
        Record(i, NOW, frame([T0] * len(of), [float(i)] * len(of), list(of))) for i, of in enumerate(origins)
    ]

    def described(size_of_runs: list[int]) -> list[dict[str, int]]:
        c = PartitionChunker("predictions", 0, "predictions", LayoutBook(control), cut_after(30))
        left, summaries = list(log), []
        for size in size_of_runs:
            summaries += [s for cut in c.feed(left[:size]) for s in cut.summaries]
            left = left[size:]
        summaries += c.provisional(caught_up=True)
        blocks = [read_block(b) for s in summaries for b in s["blocks"]]
        return [dict(zip(b.segments, b.rows.tolist(), strict=True)) for b in blocks]

    assert described(sizes) == described([1] * 20)


def test_runs_of_one_shape_make_the_same_bytes_whatever_their_size() -> None:
    log = [Record(i, NOW, single(T0 + i * 10**6, i / 7)) for i in range(200)]
    whole = [cut.summaries for cut in chunker(cut_after(60)).feed(log)]
    c = chunker(cut_after(60))
    assert [cut.summaries for record in log for cut in c.feed([record])] == whole
    assert len(whole) == 3
