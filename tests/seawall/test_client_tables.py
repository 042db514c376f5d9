"""Tables: what a column of each library becomes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from seawall import Client, InMemoryTransport
from seawall.frames import Columns
from tests.seawall.frame_strategies import words
from tests.seawall.sdk import one, read

START = datetime(2026, 1, 1, tzinfo=UTC)
TS = 1_767_225_600_000_000


@pytest.fixture
def transport() -> InMemoryTransport:
    return InMemoryTransport()


@pytest.fixture
def client(transport: InMemoryTransport) -> Iterator[Client]:
    with Client("m", "1", transport=transport) as client:
        yield client


T0 = 1_700_000_000_000_000


def column(frame: Columns, name: str) -> list[Any]:
    """A column's values, None where missing."""
    if name in frame.categorical:
        return list(words(frame.categorical[name]))
    return [None if np.isnan(v) else v for v in frame.numeric[name].tolist()]


def series(values: Any, dtype: Any) -> Any:
    return pd.Series(values, dtype=dtype)


COLUMNS: list[tuple[Any, list[Any]]] = [
    ([1, 2, 3], [1.0, 2.0, 3.0]),
    ([1, None, 2.5], [1.0, None, 2.5]),
    ([True, False, None], [1.0, 0.0, None]),
    (["a", None, "b"], ["a", None, "b"]),
    (["a", 1, True], ["a", "1", "1"]),
    (("a", "b", "\ud800"), ["a", "b", "\ufffd"]),
    ([None, None, None], [None, None, None]),
    (np.array([1, 2, 3], dtype=np.uint8), [1.0, 2.0, 3.0]),
    (np.array([1.5, np.nan, -np.inf], dtype=np.float32), [1.5, None, -np.inf]),
    (np.array([True, False, True]), [1.0, 0.0, 1.0]),
    (np.array(["a", "b", "a"]), ["a", "b", "a"]),
    (np.array(["a", None, "b"], dtype=object), ["a", None, "b"]),
    (np.arange(6)[::2], [0.0, 2.0, 4.0]),
    (series([1, None, 3], "Int64"), [1.0, None, 3.0]),
    (series([1.5, None, 3], "Float64"), [1.5, None, 3.0]),
    (series([True, None, False], "boolean"), [1.0, None, 0.0]),
    (series(["a", None, "b"], "string"), ["a", None, "b"]),
    (series(["a", None, "b"], "str"), ["a", None, "b"]),
    (series(["a", None, "b"], "object"), ["a", None, "b"]),
    (series(["a", np.nan, 1], "object"), ["a", None, "1"]),
    (series(["b", None, "a"], "category"), ["b", None, "a"]),
    (series([3, None, 1], "category"), ["3", None, "1"]),
    (series([1, None, 3], "int64[pyarrow]"), [1.0, None, 3.0]),
    (series(["a", None, "b"], "string[pyarrow]"), ["a", None, "b"]),
    (pl.Series([1, None, 3]), [1.0, None, 3.0]),
    (pl.Series([1.5, None, float("nan")]), [1.5, None, None]),
    (pl.Series([True, None, False]), [1.0, None, 0.0]),
    (pl.Series(["a", None, "b"]), ["a", None, "b"]),
    (pl.Series(["a", None, "b"], dtype=pl.Categorical), ["a", None, "b"]),
    (pl.Series(["a", None, "b"], dtype=pl.Enum(["a", "b"])), ["a", None, "b"]),
    (pl.Series([1, 2, 3]).cast(pl.Decimal(10, 2)), [1.0, 2.0, 3.0]),
    (pl.Series([None, None, None]), [None, None, None]),
]


@pytest.mark.parametrize(("values", "expected"), COLUMNS)
def test_a_column_becomes_what_it_means(
    client: Client, transport: InMemoryTransport, values: Any, expected: list[Any]
) -> None:
    ids = client.log_predictions({"c": values}, ts=TS)
    assert client.flush()
    frame = one(transport)
    assert column(frame, "c") == expected
    assert frame.event_ids == list(ids)


@pytest.mark.parametrize("library", [pd, pl])
def test_a_frame_of_either_library_arrives_whole(
    client: Client, transport: InMemoryTransport, library: Any
) -> None:
    rows = 5000
    table = library.DataFrame(
        {
            "delay": np.arange(rows) / 8,
            "origin": [f"A{i % 700}" for i in range(rows)],
            "p": np.linspace(0, 1, rows),
            "id": [f"e{i}" for i in range(rows)],
            "at": [START + timedelta(minutes=i) for i in range(rows)],
        }
    )
    ids = client.log_predictions(table, scores="p", event_ids="id", ts="at", labels=np.arange(rows) % 2)
    assert client.flush(30)
    frames = read(transport)
    assert [f.rows for f in frames] == [2000, 2000, 1000]
    assert [i for f in frames for i in f.event_ids or ()] == [f"e{i}" for i in range(rows)] == list(ids)
    assert [v for f in frames for v in f.numeric["delay"].tolist()] == (np.arange(rows) / 8).tolist()
    assert [v for f in frames for v in words(f.categorical["origin"])] == [f"A{i % 700}" for i in range(rows)]
    assert [v for f in frames for v in f.scores["score"].tolist()] == np.linspace(0, 1, rows).tolist()
    assert [v for f in frames for v in f.ts.tolist()] == [TS + 60_000_000 * i for i in range(rows)]
    assert [v for f in frames for v in words(f.label)] == [str(i % 2) for i in range(rows)]
    assert set(frames[0].numeric) | set(frames[0].categorical) == {"delay", "origin"}


def test_ids_that_are_not_given_are_those_that_the_reader_implies(
    client: Client, transport: InMemoryTransport
) -> None:
    ids = client.log_predictions({"a": [float(i) for i in range(4500)]})
    assert client.flush()
    implied = [f"{f.frame_id}:{row}" for f in read(transport) for row in range(f.rows)]
    assert all(f.event_ids is None for f in read(transport))
    assert implied == list(ids)
    assert (ids[-1], ids[1999:2001]) == (implied[-1], implied[1999:2001])
    with pytest.raises(IndexError):
        ids[4500]


def test_scores_of_a_table_are_named_like_those_of_an_event(
    client: Client, transport: InMemoryTransport
) -> None:
    for scores in ([0.1, 0.2], np.eye(2), {"late": [0.1, 0.2]}, pd.DataFrame({"x": [1, 2], "y": [3, 4]})):
        client.log_predictions({"a": [1.0, 2.0]}, scores=scores)
    assert client.flush()
    assert [sorted(f.scores) for f in read(transport)] == [["score"], ["0", "1"], ["late"], ["x", "y"]]


def test_labels_by_column(client: Client, transport: InMemoryTransport) -> None:
    client.log_labels(["a", "b"], [1, None], ts=START)
    client.log_labels(pd.Series(["a", "b"]), pd.Series(["late", None]), ts=START)
    assert client.flush()
    number, text = read(transport)
    assert [number.event_ids, text.event_ids] == [["a", "b"]] * 2
    assert np.isnan(number.numeric["label"]).tolist() == [False, True]
    assert words(text.label) == ["late", None]


def test_labels_by_column_may_say_what_was_predicted(client: Client, transport: InMemoryTransport) -> None:
    client.log_labels(["a", "b"], ["late", "on time"], scores=[0.9, 0.2], predicted=["late", None], ts=START)
    assert client.flush()
    frame = one(transport)
    assert (words(frame.label), words(frame.predicted)) == (["late", "on time"], ["late", None])
    assert frame.scores["score"].tolist() == [0.9, 0.2]
    client.log_labels(["a"], [1.0], scores=[0.9, 0.2], ts=START)
    assert client.stats().invalid == 1


def test_many_short_tables_share_a_frame(client: Client, transport: InMemoryTransport) -> None:
    ids = [
        i
        for n in range(50)
        for i in client.log_predictions({"a": [n, None], "b": ["x", None]}, scores=[0, 1])
    ]
    assert client.flush()
    frame = one(transport)
    assert frame.event_ids == ids
    assert column(frame, "a") == [v for n in range(50) for v in (float(n), None)]
    assert column(frame, "b") == ["x", None] * 50


def test_the_table_may_change_after_the_call(client: Client, transport: InMemoryTransport) -> None:
    values, scores, ts = np.zeros(3), np.zeros(3), np.full(3, TS)
    client.log_predictions({"a": values}, scores=scores, ts=ts)
    values[:], scores[:], ts[:] = 9, 9, TS + 9
    assert client.flush()
    frame = one(transport)
    assert [frame.numeric["a"].tolist(), frame.scores["score"].tolist()] == [[0.0] * 3] * 2
    assert frame.ts.tolist() == [TS] * 3


@pytest.mark.parametrize(
    ("table", "options", "said"),
    [
        ({"a": [1, 2], "b": [1]}, {}, "b: has 1 rows, expected 2"),
        ({"a": [1, 2]}, {"scores": [0.1]}, "score: has 1 rows, expected 2"),
        ({"a": [1, 2]}, {"ts": [TS]}, "ts"),
        ({"a": [1, 2]}, {"event_ids": ["x", None]}, "event_ids: row 1 has none"),
        ({"a": [1, 2]}, {"scores": "p"}, "scores: there is no column 'p'"),
        ({"a": [1, 2]}, {"scores": ["x", "y"]}, "score 'score': holds text, expected numbers"),
        ({"a": [["x"], ["y"]]}, {}, "column 'a', first vector: ['x'] is a list but no row of numbers"),
        ({"a": pd.Series([START, START])}, {}, "column 'a': holds datetime64"),
        ({"a": pl.Series([START, START])}, {}, "column 'a': holds Datetime"),
        ({"a": 7}, {}, "has no len"),
        ({}, {}, "table: has no columns"),
        (7, {}, "table: a int has no columns"),
        ({"a": [1, 2]}, {"ts": pd.Series([datetime(2026, 1, 1)] * 2)}, "has no time zone"),  # noqa: DTZ001
        ({"a": [1, 2]}, {"ts": pl.Series([datetime(2026, 1, 1)] * 2)}, "has no time zone"),  # noqa: DTZ001
        ({"a": [1, 2]}, {"ts": [datetime(2026, 1, 1)] * 2}, "has no time zone"),  # noqa: DTZ001
        ({"a": [1, 2]}, {"ts": pd.Series([START, None])}, "ts: 1 of 2 times are missing"),
        ({"a": [1, 2]}, {"ts": np.array([TS, TS // 1000])}, "not within 1980 to 2262"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), {}, "column names repeat"),
    ],
)
def test_a_table_that_cannot_be_read_is_counted_and_explained(
    client: Client, caplog: pytest.LogCaptureFixture, table: Any, options: dict[str, Any], said: str
) -> None:
    assert list(client.log_predictions(table, **options)) == []
    client.flush()
    client.close()
    assert client.stats().invalid >= 1
    assert client.stats().sent == 0
    assert said in caplog.text


def test_a_long_table_does_not_overtake_a_short_one_that_waits_for_company():
    transport = InMemoryTransport()
    with Client("m", "v1", transport=transport, linger_s=60.0) as client:
        client.log_predictions({"x": [1.0, 2.0]}, ts=[T0, T0 + 1])
        client.log_predictions({"x": [3.0] * 200}, ts=[T0 + 2 + i for i in range(200)])
        assert client.flush(10)
    assert [int(frame.ts[0]) - T0 for frame in read(transport)] == [0, 2]
