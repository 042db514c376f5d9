"""A frame that is read in place is the frame that a general decoder reads, or is left to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.errors import WireError
from seawall.frames import FRAME_CONTRACT, Categorical, Columns, Source, from_record, to_record
from seawall.wire import decode, encode
from streams.core.decode import Record, decode_record
from streams.core.frame_views import Remembered, read_frame
from tests.streams.core.builders import T0

SOURCES: tuple[Source, ...] = ("predictions", "features", "labels")


@st.composite
def frames(draw: st.DrawFn) -> tuple[str, bytes]:
    source = draw(st.sampled_from(SOURCES))
    rows = draw(st.integers(0, 5))
    words = [*draw(st.lists(st.text(max_size=3), min_size=1, max_size=3, unique=True))]

    def column() -> Categorical:
        return Categorical(
            np.array(draw(st.lists(st.integers(-1, len(words) - 1), min_size=rows, max_size=rows)), "i4"),
            words,
        )

    names = draw(st.lists(st.text(max_size=4), max_size=3, unique=True))
    columns = Columns(
        source, "m", draw(st.text(max_size=3)), T0 + np.arange(rows), weight=draw(st.floats(0.5, 2.0))
    )
    columns.frame_id = "f"
    columns.segments = {n: column() for n in names[:1]}
    if source == "labels":
        columns.numeric = {"label": np.arange(rows, dtype=float)} if draw(st.booleans()) else {}
    else:
        columns.numeric = {n: np.arange(rows) / 3 for n in names}
        columns.categorical = {n: column() for n in names}
    if source != "features" and draw(st.booleans()):
        columns.scores = {"score": np.arange(rows) / 7}
    if source == "labels" and draw(st.booleans()):
        columns.predicted = column()
    if source != "features" and draw(st.booleans()):
        columns.label = column()
    if draw(st.booleans()):
        columns.event_ids = draw(st.lists(st.text(max_size=3), min_size=rows, max_size=rows))
    return FRAME_CONTRACT[source], encode(FRAME_CONTRACT[source], to_record(columns))


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return bytes(value) if isinstance(value, memoryview) else value


@given(frames())
def test_what_is_read_in_place_is_what_was_written(written: tuple[str, bytes]) -> None:
    name, value = written
    found = read_frame(name, value)
    assert found is not None
    assert plain(found) == decode(value, (name,))[1]


@given(st.lists(frames(), min_size=2, max_size=4))
def test_frames_are_read_alike_whatever_was_read_before(written: list[tuple[str, bytes]]) -> None:
    for name, value in [*written, *reversed(written)]:
        assert plain(read_frame(name, value)) == decode(value, (name,))[1]


def test_columns_are_compared_with_an_earlier_frame_that_began_alike() -> None:
    def frame(names: list[str], rows: int, nulls: bytes = b"") -> bytes:
        columns = Columns("features", "m", "1", T0 + np.arange(rows))
        columns.numeric = {name: np.arange(rows) + i / 7 for i, name in enumerate(names)}
        record = to_record(columns)
        record["numeric"][-1]["nulls"] = nulls
        return encode("feature_frame", record)

    for value in (
        frame(["a", "b", "c"], 3),
        frame(["a", "b", "c"], 3),
        frame(["a", "b", "c"], 200),
        frame(["a", "bb", "c"], 3),
        frame(["a", "b", "c"], 3, b"\x20"),
        frame(["a", "b", "d"], 3),
        frame(["a", "b", "c"], 0),
    ):
        found = read_frame("feature_frame", value)
        assert found is not None
        assert plain(found) == decode(value, ("feature_frame",))[1]


def test_names_that_are_remembered_take_bounded_memory() -> None:
    kept = Remembered(2000)
    for i in range(100):
        kept.add(b"begin %d" % i, [(b"piece", "name")] * 3)
        assert kept.bytes <= 2000
        assert len(kept.of(b"begin %d" % i)) == 1
    kept.add(b"long", [(b"piece" * 1000, "name")])
    assert not kept.of(b"long")
    assert not kept.of(b"begin 99")


def test_versions_that_begin_alike_are_remembered_side_by_side() -> None:
    kept = Remembered(1 << 20)
    for number in range(6):
        kept.add(b"begin", [(b"piece", f"v{number}")])
    assert [between[0][1] for between in kept.of(b"begin")] == ["v5", "v4", "v3", "v2"]


@settings(max_examples=300)
@given(frames(), st.booleans(), st.data())
def test_damage_is_left_to_the_general_decoder_or_read_as_it_reads_it(
    written: tuple[str, bytes], was_read_before: bool, data: st.DataObject
) -> None:
    name, value = written
    if was_read_before:
        assert read_frame(name, value) is not None
    at = data.draw(st.integers(0, len(value) - 1))
    kind = data.draw(st.sampled_from(["cut", "more", "other"]))
    if kind == "cut":
        value = value[:at]
    elif kind == "more":
        value += data.draw(st.binary(min_size=1, max_size=3))
    else:
        value = value[:at] + bytes([value[at] ^ data.draw(st.integers(1, 255))]) + value[at + 1 :]
    found = read_frame(name, value)
    if found is not None:
        assert repr(plain(found)) == repr(decode(value, (name,))[1])  # a weight may have become NaN


def test_other_framings_and_contracts_are_left_to_the_general_decoder() -> None:
    columns = Columns("features", "m", "1", np.array([T0]))
    value = encode("feature_frame", to_record(columns))
    assert read_frame("feature_frame", value) is not None
    for name, other in (
        ("prediction_frame", value),
        ("feature_frame", b""),
        ("feature_frame", b"{}"),
        ("feature_frame", value[:9]),
        ("feature_frame", b"\x00" + value),
    ):
        assert read_frame(name, other) is None


def with_ids(data: bytes, ends: list[int]) -> dict[str, Any]:
    record = to_record(Columns("features", "m", "1", np.full(len(ends), T0), frame_id="f"))
    return {**record, "event_ids": {"data": data, "ends": np.array(ends, "<i4").tobytes()}}


@pytest.mark.parametrize(
    ("data", "ends"),
    [
        ("aé€".encode(), [1, 3, 6]),
        ("aé€".encode(), [0, 0, 6]),
        ("aé€".encode(), [2, 3, 6]),  # within a character
        (b"a\xff", [1, 2]),
        (b"abc", [1, 2]),
        (b"abc", [3, 2, 3]),
        (b"", [0, 0]),
    ],
)
def test_ids_that_nobody_reads_are_checked_as_those_that_are(data: bytes, ends: list[int]) -> None:
    outcomes = []
    for ids in (True, False):
        try:
            found = from_record("features", with_ids(data, ends), ids=ids)
            outcomes.append(("", found.rows))
            assert (found.event_ids is None) != ids
        except WireError as error:
            outcomes.append((error.detail, -1))
    assert outcomes[0] == outcomes[1]


def test_a_dead_frame_says_why_as_before() -> None:
    value = encode("feature_frame", with_ids(b"a\xff", [1, 2]))
    (letter,) = decode_record("features", Record(0, T0, value)).dead
    assert (letter.reason, letter.detail[:10]) == ("bad_frame", "event_ids:")
