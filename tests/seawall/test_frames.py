"""Frames: what goes in comes out, and a damaged frame is refused with a reason."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from seawall.errors import WireError
from seawall.frames import FRAME_CONTRACT, Categorical, Columns, from_record, to_record
from seawall.wire import decode, encode
from tests.seawall.frame_strategies import columns, content

ALL = tuple(FRAME_CONTRACT.values())


def sample() -> Columns:
    return Columns(
        "predictions",
        "late-arrival",
        "7",
        np.array([1_700_000_000_000_000, 5, -1], dtype=np.int64),
        numeric={"delay": np.array([1.0, -0.0, np.nan])},
        categorical={"origin": Categorical.of(["JFK", "Zürich", None])},
        scores={"score": np.array([0.1, 0.2, 0.3])},
        label=Categorical.of(["late", None, "on time"]),
        segments={"region": Categorical.of(["eu", "eu", None])},
        weight=2.5,
        frame_id="f",
        event_ids=["1", "", "😀"],
        entity_ids=["", "b", "c"],
    )


def record() -> dict[str, Any]:
    return decode(encode("prediction_frame", to_record(sample())), ALL)[1]


@given(columns())
@settings(max_examples=150, deadline=None)
def test_columns_survive_the_wire_bit_by_bit(made: Columns) -> None:
    name, read = decode(encode(FRAME_CONTRACT[made.source], to_record(made)), ALL)
    assert name == FRAME_CONTRACT[made.source]
    assert content(from_record(made.source, read)) == content(made)


def test_an_empty_frame_survives_the_wire() -> None:
    empty = Columns("features", "m", "", np.empty(0, dtype=np.int64), event_ids=[])
    read = from_record("features", decode(encode("feature_frame", to_record(empty)), ALL)[1])
    assert content(read) == content(empty)


def test_arrays_of_other_layouts_are_written_as_what_they_mean() -> None:
    made = sample()
    every_other: Any = np.arange(6, dtype=np.float32)[::2]
    big_endian: Any = np.array([1, 2, 3], dtype=">i4")
    made.numeric["delay"], made.ts = every_other, big_endian
    read = from_record("predictions", decode(encode("prediction_frame", to_record(made)), ALL)[1])
    assert read.ts.tolist() == [1, 2, 3]
    assert read.numeric["delay"].tolist() == [0.0, 2.0, 4.0]


def test_a_null_mask_makes_values_missing() -> None:
    read = record()
    read["numeric"][0]["nulls"] = np.packbits([True, False, False]).tobytes()
    values = from_record("predictions", read).numeric["delay"]
    assert np.isnan(values).tolist() == [True, False, True]
    assert np.signbit(values[1])


def cut_short(read: dict[str, Any]) -> None:
    read["numeric"][0]["values"] = read["numeric"][0]["values"][:-1]


def one_row_short(read: dict[str, Any]) -> None:
    read["scores"][0]["values"] = read["scores"][0]["values"][:-8]


def negative_rows(read: dict[str, Any]) -> None:
    read["rows"] = -1


def more_rows_than_times(read: dict[str, Any]) -> None:
    read["rows"] = 2**31 - 1


def code_beyond_dictionary(read: dict[str, Any]) -> None:
    read["categorical"][0]["dictionary"] = ["JFK"]


def code_below_missing(read: dict[str, Any]) -> None:
    read["label"]["codes"] = np.array([0, -2, 1], dtype="<i4").tobytes()


def short_null_mask(read: dict[str, Any]) -> None:
    read["numeric"][0]["nulls"] = b"\x00\x00"


def ids_that_go_back(read: dict[str, Any]) -> None:
    read["event_ids"]["ends"] = np.array([5, 1, 5], dtype="<i4").tobytes()


def ids_that_wrap_around(read: dict[str, Any]) -> None:
    read["event_ids"]["ends"] = np.array([2**31 - 1, -(2**31), 5], dtype="<i4").tobytes()


def ids_that_leave_text_over(read: dict[str, Any]) -> None:
    read["event_ids"]["data"] += b"x"


def ids_that_split_a_character(read: dict[str, Any]) -> None:
    read["event_ids"]["ends"] = np.array([1, 3, 5], dtype="<i4").tobytes()


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        one_row_short,
        negative_rows,
        more_rows_than_times,
        code_beyond_dictionary,
        code_below_missing,
        short_null_mask,
        ids_that_go_back,
        ids_that_wrap_around,
        ids_that_leave_text_over,
        ids_that_split_a_character,
    ],
)
def test_a_frame_that_contradicts_itself_is_refused(damage: Any) -> None:
    read = record()
    damage(read)
    with pytest.raises(WireError) as refused:
        from_record("predictions", read)
    assert refused.value.reason == "bad_frame"


def test_text_without_rows_is_refused() -> None:
    empty = Columns("features", "m", "", np.empty(0, dtype=np.int64), event_ids=[])
    read = to_record(empty)
    read["event_ids"]["data"] = b"left over"
    with pytest.raises(WireError, match="row ends do not fit"):
        from_record("features", read)


@pytest.mark.parametrize("part", ["numeric", "categorical", "scores", "segments"])
def test_a_name_that_stands_for_two_columns_is_refused(part: str) -> None:
    read = record()
    read[part] = read[part] * 2
    with pytest.raises(WireError) as refused:
        from_record("predictions", read)
    assert refused.value.reason == "duplicate_column"


def test_a_damaged_byte_gives_a_reason_and_never_another_error() -> None:
    payload = encode("prediction_frame", to_record(sample()))
    chance = random.Random(7)
    refusals = []
    for _ in range(3000):
        damaged = bytearray(payload)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.choice([chance.randrange(256), 0xFF, 0x80, 0])
        try:
            from_record("predictions", decode(bytes(damaged), ALL)[1])
        except WireError as error:
            refusals.append(error)
    assert len(refusals) > 1000
    assert all(error.reason and error.detail.encode() for error in refusals)
