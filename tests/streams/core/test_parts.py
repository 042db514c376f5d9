"""A chunk whose summary is larger than a message comes in parts, and counts as a whole."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from detectors.summary import merge
from seawall.frames import Columns
from seawall.wire import encode
from streams.core.build_baseline import build_baseline
from streams.core.chunks import PartitionChunker, read_block, read_sums
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.lives import Place
from streams.core.parts import Waiting
from streams.core.tally import Tally
from tests.streams.core.builders import MINUTE, T0, cut_after, frame, records
from tests.streams.core.folding import SPEC, engine


def _control() -> Control:
    """Return a baseline that has something summed across columns."""
    rng = np.random.default_rng(1)
    made = Control()
    made.set_monitor(SPEC)
    x = rng.normal(size=4000)
    reference = Columns(
        "predictions",
        "m",
        "v1",
        T0 + np.arange(4000) * MINUTE,
        numeric={"x": x},
        scores={"score": x + rng.normal(size=4000)},
    )
    made.set_baseline(build_baseline(reference, model="m", version="v1", now_us=0))
    return made


CONTROL = _control()


def told(message_bytes: int, frames: int = 6):
    """Return provisional and sealed messages of one chunk, and its rows."""
    rule = replace(cut_after(1 << 20, offsets=frames), message_bytes=message_bytes)
    c = PartitionChunker("predictions", 0, "predictions", LayoutBook(CONTROL), rule)
    messages = []
    for i in range(frames):
        ts = [T0 + (i % 3) * MINUTE, T0 + 5 * MINUTE]
        for cut in c.feed(records([frame(ts, [float(i), 1.0], [f"o{i}", "x"])], i)):
            messages += cut.summaries
        messages += c.provisional(caught_up=True)
    return messages


def test_no_message_is_larger_than_asked_for_and_together_they_are_the_whole():
    limit = 2_500
    parts = [m for m in told(limit) if m["sealed"]]
    (whole,) = [m for m in told(1 << 24) if m["sealed"]]
    assert len(parts) > 2
    assert max(len(encode("chunk_summary", p)) for p in parts) < limit + 5000
    (expected,) = [read_block(b) for b in whole["blocks"]]
    blocks = [read_block(b) for p in parts for b in p["blocks"]]
    found = merge(blocks)
    assert found.segments == expected.segments
    np.testing.assert_array_equal(found.panes, expected.panes)
    np.testing.assert_array_equal(found.counts, expected.counts)
    sums = [s for p in parts for b in p["blocks"] if (s := read_sums(b)) is not None]
    assert sum(int(s.sums[:, 0].sum()) for s in sums) == 12


def test_a_picture_counts_when_its_last_part_has_come_in_whatever_order():
    parts = [m for m in told(2_500) if m["sealed"]]
    for order in itertools.islice(itertools.permutations(parts), 12):
        waiting = Waiting()
        taken = [waiting.take(part) for part in order]
        assert taken[:-1] == [None] * (len(parts) - 1)
        assert taken[-1] is not None
        assert taken[-1]["blocks"] == [b for p in parts for b in p["blocks"]]
        assert not waiting


def test_parts_of_different_pictures_never_make_one():
    waiting = Waiting()
    first = [m for m in told(2_500) if m["sealed"]]
    other = [{**m, "digest": m["digest"] + 1} for m in first]
    assert waiting.take(first[0]) is None
    assert [waiting.take(p) for p in other[1:]] == [None] * (len(other) - 1)
    assert waiting.take(other[0]) is not None
    assert not waiting


def test_a_chunk_is_sealed_when_all_of_its_parts_are_there():
    parts = [m for m in told(2_500) if m["sealed"]]
    e: PartitionEngine = engine()
    for offset, part in enumerate(parts):
        sealed = e.models["m"].merge.sealed_upto if e.models else {}
        assert list(sealed.values()) == []
        e.on_record(part, offset, T0)
    assert list(e.models["m"].merge.sealed_upto.values()) == [Place(0, 6)]


def test_events_of_a_picture_in_parts_are_tallied_once():
    tallies = []
    for limit in (2_500, 1 << 24):
        tally = Tally()
        for message in told(limit):
            tally.take(message, 0)
        tallies.append(tally.counted)
    assert tallies[0] == tallies[1] == {"predictions": 12}
