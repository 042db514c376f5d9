"""Single events: what the product says is what arrives, and nothing it says can hurt it."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seawall
from seawall import Client, ConfigError, InMemoryTransport
from tests.seawall.frame_strategies import words
from tests.seawall.sdk import one, read, total

TS = 1_767_225_600_000_000


@pytest.fixture
def transport() -> InMemoryTransport:
    return InMemoryTransport()


@pytest.fixture
def client(transport: InMemoryTransport) -> Iterator[Client]:
    with Client("late-arrival", "7", transport=transport) as client:
        yield client


def test_a_prediction_arrives_as_it_was_logged(client: Client, transport: InMemoryTransport) -> None:
    event_id = client.log_prediction(
        {"delay": 1.5, "stops": 2, "is_late": True, "origin": "JFK", "gate": None, "wind": float("nan")},
        score=0.25,
        label="late",
        entity_id="UA 1",
        ts=TS,
        segments={"region": "eu"},
    )
    assert client.flush()
    frame = one(transport)
    assert (frame.source, frame.model, frame.version, frame.weight) == (
        "predictions",
        "late-arrival",
        "7",
        1.0,
    )
    assert {n: v.tolist() for n, v in frame.numeric.items() if n not in {"gate", "wind"}} == {
        "delay": [1.5],
        "stops": [2.0],
        "is_late": [1.0],
    }
    assert np.isnan(frame.numeric["gate"]).all()
    assert np.isnan(frame.numeric["wind"]).all()
    assert words(frame.categorical["origin"]) == ["JFK"]
    assert frame.scores["score"].tolist() == [0.25]
    assert words(frame.label) == ["late"]
    assert words(frame.segments["region"]) == ["eu"]
    assert frame.ts.tolist() == [TS]
    assert frame.event_ids == [event_id]
    assert frame.entity_ids == ["UA 1"]


def test_features_and_labels_join_their_prediction(client: Client, transport: InMemoryTransport) -> None:
    event_id = client.log_prediction({"delay": 1.0}, score=0.5)
    assert client.log_features({"delay": 2.0}, event_id=event_id) == event_id
    client.log_label(event_id, True)
    client.log_label(event_id, "late")
    assert client.flush()
    by_source = [(f.source, f.event_ids) for f in read(transport)]
    assert sorted(by_source) == sorted(
        [(s, [event_id]) for s in ("predictions", "features", "labels", "labels")]
    )
    values = [f.numeric["label"].tolist() for f in read(transport) if f.numeric and f.source == "labels"]
    classes = [words(f.label) for f in read(transport) if f.label is not None]
    assert (values, classes) == ([[1.0]], [["late"]])


def test_a_label_may_say_what_was_predicted(client: Client, transport: InMemoryTransport) -> None:
    client.log_label("a", "late", score=0.75, predicted="on time")
    client.log_label("b", 1, score={"0": 0.25, "1": 0.75}, predicted=1)
    client.log_label("c", 12.5, score=11.0)
    client.log_label("d", True)
    assert client.flush()
    frames = {f.event_ids[0]: f for f in read(transport) if f.event_ids}
    assert sorted(frames) == ["a", "b", "c", "d"]
    a, b, c, d = (frames[i] for i in "abcd")
    assert (words(a.label), words(a.predicted), a.scores["score"].tolist()) == (["late"], ["on time"], [0.75])
    assert (b.numeric["label"].tolist(), words(b.predicted)) == ([1.0], ["1"])
    assert {n: v.tolist() for n, v in b.scores.items()} == {"0": [0.25], "1": [0.75]}
    assert (c.numeric["label"].tolist(), c.scores["score"].tolist(), c.predicted) == ([12.5], [11.0], None)
    assert (d.numeric["label"].tolist(), d.scores, d.predicted) == ([1.0], {}, None)


def test_events_of_one_shape_share_a_frame_and_keep_their_order(
    client: Client, transport: InMemoryTransport
) -> None:
    ids = [client.log_prediction({"a": float(i), "b": str(i % 3)}, score=i / 100) for i in range(100)]
    ids += [client.log_prediction({"b": str(i % 3), "a": float(i)}, score=i / 100) for i in range(100, 200)]
    other = client.log_prediction({"a": 1.0}, version="8")
    assert client.flush()
    frames = {f.version: f for f in read(transport)}
    assert len(transport.messages) == 2
    assert frames["7"].event_ids == ids
    assert frames["7"].numeric["a"].tolist() == [float(i) for i in range(200)]
    assert words(frames["7"].categorical["b"]) == [str(i % 3) for i in range(200)]
    assert frames["8"].event_ids == [other]


def test_an_event_is_sent_by_itself_after_the_linger_time(transport: InMemoryTransport) -> None:
    sent = threading.Event()
    send = transport.send

    class Telling(InMemoryTransport):
        def send(self, *message: Any) -> bool:
            sent.set()
            return send(*message)

    with Client("m", transport=Telling(), linger_s=0.01) as client:
        client.log_prediction({"a": 1.0})
        assert sent.wait(10)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.5, {"score": 0.5}),
        (1, {"score": 1.0}),
        (np.float32(0.5), {"score": 0.5}),
        (np.array(0.5), {"0": 0.5}),
        ({"late": 0.75, 3: 0.25}, {"late": 0.75, "3": 0.25}),
        ([0.25, 0.75], {"0": 0.25, "1": 0.75}),
        (np.array([0.25, 0.75]), {"0": 0.25, "1": 0.75}),
    ],
)
def test_scores_are_named_by_what_they_are(
    client: Client, transport: InMemoryTransport, score: Any, expected: dict[str, float]
) -> None:
    client.log_prediction({"a": 1.0}, score=score)
    assert client.flush()
    got = {n: v.tolist()[0] for n, v in one(transport).scores.items()}
    assert got == (expected if not (isinstance(score, np.ndarray) and not score.ndim) else {"score": 0.5})


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        (TS, TS),
        (np.int64(TS), TS),
        (datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC), TS + 123456),
        (datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), TS),
        (pd.Timestamp("2026-01-01", tz="UTC"), TS),
        (np.datetime64("2026-01-01"), TS),
    ],
)
def test_times_become_microseconds_utc(
    client: Client, transport: InMemoryTransport, ts: Any, expected: int
) -> None:
    client.log_prediction({"a": 1.0}, ts=ts)
    assert client.flush()
    assert one(transport).ts.tolist() == [expected]


class Colour(str, Enum):  # noqa: UP042 - StrEnum hashes as its text, this one does not
    RED = "red"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1.5"), 1.5),
        (np.int8(3), 3.0),
        (np.bool_(True), 1.0),
        (2**60 + 1, float(2**60)),
        (Colour.RED, "red"),
        (np.str_("JFK"), "JFK"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("😀", "😀"),
        (pd.NA, None),
        (pd.NaT, None),
    ],
)
def test_values_of_other_types_are_reduced(
    client: Client, transport: InMemoryTransport, value: Any, expected: Any
) -> None:
    client.log_prediction({"a": value})
    assert client.flush()
    frame = one(transport)
    if isinstance(expected, str):
        assert words(frame.categorical["a"]) == [expected]
    else:
        assert [None if math.isnan(v) else v for v in frame.numeric["a"].tolist()] == [expected]


def test_a_column_of_two_kinds_is_told_apart(client: Client, transport: InMemoryTransport) -> None:
    for value in (1.0, "one", None, 2.0):
        client.log_prediction({"a": value})
    assert client.flush()
    frames = read(transport)
    assert sorted(f.rows for f in frames) == [1, 3]
    assert [words(f.categorical["a"]) for f in frames if f.categorical] == [["one"]]


def test_a_text_column_that_is_missing_stays_text(client: Client, transport: InMemoryTransport) -> None:
    client.log_prediction({"origin": "JFK"})
    assert client.flush()
    client.log_prediction({"origin": None})
    assert client.flush()
    assert [words(f.categorical["origin"]) for f in read(transport)] == [["JFK"], [None]]


def test_labels_of_one_class_are_one_label(client: Client, transport: InMemoryTransport) -> None:
    labels: list[Any] = [1, 1.0, True, np.int64(1), "1"]
    for label in labels:
        client.log_prediction({"a": 1.0}, label=label)
    assert client.flush()
    assert words(one(transport).label) == ["1"] * 5


class Hostile:
    """Raises whatever one does with it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __hash__(self) -> int:
        raise RuntimeError("hash")


@pytest.mark.parametrize(
    "call",
    [
        {"features": None},
        {"features": 7},
        {"features": {"a": [1.0]}},
        {"features": {"a": b"bytes"}},
        {"features": {"a": object()}},
        {"features": {"a": Hostile()}},
        {"features": {"a": 10**400}},
        {"features": {1: 1.0, "1": 2.0}},
        {"ts": datetime(2026, 1, 1)},  # noqa: DTZ001 - the point
        {"ts": TS // 1000},
        {"ts": TS * 1000},
        {"ts": TS / 1.0},
        {"ts": "2026-01-01"},
        {"score": "high"},
        {"score": [0.1, "b"]},
        {"score": Hostile()},
        {"label": [1]},
        {"model": 7},
        {"model": ["m"]},
        {"version": 7},
        {"event_id": Hostile()},
        {"entity_id": Hostile()},
        {"segments": ["eu"]},
        {"segments": {"region": ["eu"]}},
    ],
)
def test_bad_input_is_counted_and_its_neighbours_arrive(
    client: Client, transport: InMemoryTransport, caplog: pytest.LogCaptureFixture, call: dict[str, Any]
) -> None:
    for _ in range(2):
        good = client.log_prediction({"a": 1.0}, event_id="good")
        assert isinstance(client.log_prediction(**{"features": {"a": 1.0}, **call}), str)
    assert client.flush()
    stats = client.stats()
    assert (stats.invalid, stats.sent, stats.queued_bytes) == (2, 2, 0)
    assert [i for f in read(transport) for i in f.event_ids or ()] == [good, good]
    client.close()
    assert len([r for r in caplog.records if "left out" in r.getMessage()]) == 1


def test_the_warning_names_field_value_and_expectation(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    features: dict[str, Any] = {"delay": {"a": 1.0}}
    client.log_prediction(features)
    client.flush()
    client.close()
    assert (
        "feature 'delay': {'a': 1.0} is a dict, expected a number, bool, str, vector or None" in caplog.text
    )


def test_without_a_model_an_event_is_invalid() -> None:
    with Client(transport=InMemoryTransport()) as client:
        client.log_prediction({"a": 1.0})
        client.log_prediction({"a": 1.0}, model="named")
        client.flush()
        assert (client.stats().invalid, client.stats().sent) == (1, 1)


def test_later_changes_by_the_product_do_not_reach_the_frame(
    client: Client, transport: InMemoryTransport
) -> None:
    features: dict[str, Any] = {"a": 1.0}
    score = [0.5, 0.5]
    segments = {"region": "eu"}
    client.log_prediction(features, score=score, segments=segments)
    features["a"], score[0], segments["region"] = 2.0, 9.0, "us"
    client.flush()
    frame = one(transport)
    assert frame.numeric["a"].tolist() == [1.0]
    assert frame.scores["0"].tolist() == [0.5]
    assert words(frame.segments["region"]) == ["eu"]


def test_default_segments_are_merged_with_the_call(transport: InMemoryTransport) -> None:
    with Client("m", transport=transport, segments={"region": "eu", "tier": 1}) as client:
        client.log_prediction({"a": 1.0}, segments={"region": "us"})
        client.log_predictions({"a": [1.0, 2.0]}, segments={"region": ["us", "eu"]})
    assert sorted(words(f.segments["region"]) for f in read(transport)) == [["us", "us", "eu"]]
    assert [words(f.segments["tier"]) for f in read(transport)] == [["1"] * 3]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"model": ""}, "model"),
        ({"model": 7}, "model"),
        ({"version": None}, "version"),
        ({"sample": 0.0}, "sample"),
        ({"sample": 1.5}, "sample"),
        ({"sample": True}, "sample"),
        ({"sample": float("nan")}, "sample"),
        ({"sample": {"m": -1}}, r"sample\['m'\]"),
        ({"segments": {"region": [1]}}, "segments"),
        ({"segments": ["eu"]}, "segments"),
        ({"linger_s": -1}, "linger_s"),
        ({"max_buffer_events": 0}, "max_buffer_events"),
        ({"max_buffer_bytes": float("inf")}, "max_buffer_bytes"),
    ],
)
def test_a_bad_configuration_is_refused_by_name(arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field}: "):
        Client(**{"transport": InMemoryTransport(), **arguments})


values = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)


@given(st.lists(st.dictionaries(st.text(max_size=3), values, max_size=3), max_size=12))
@settings(max_examples=60, deadline=None)
def test_whatever_is_logged_arrives_once_with_its_values(events: list[dict[str, Any]]) -> None:
    transport = InMemoryTransport()
    with Client("m", transport=transport) as client:
        logged = {client.log_prediction(event): event for event in events}
        assert client.flush()
        assert client.stats().sent == len(events)
    arrived: dict[str, dict[str, Any]] = {}
    for frame in read(transport):
        columns = {n: v.tolist() for n, v in frame.numeric.items()}
        columns |= {n: words(c) for n, c in frame.categorical.items()}
        for row, event_id in enumerate(frame.event_ids or ()):
            assert event_id not in arrived
            arrived[event_id] = {n: column[row] for n, column in columns.items()}
    assert {i: simple(e) for i, e in arrived.items()} == {i: simple(e) for i, e in logged.items()}


def simple(event: dict[str, Any]) -> dict[str, Any]:
    """Missing as None, numbers as floats, what UTF-8 cannot carry as U+FFFD."""
    reduced: dict[str, Any] = {}
    for name, value in event.items():
        if isinstance(value, str):
            reduced[name] = value
        else:
            reduced[name] = None if value is None or math.isnan(value) else float(value)
    return reduced


def test_many_threads_lose_nothing(client: Client, transport: InMemoryTransport) -> None:
    def work(name: str) -> None:
        for i in range(500):
            client.log_prediction({"a": float(i)}, event_id=f"{name}-{i}")

    threads = [threading.Thread(target=work, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush()
    ids = [i for f in read(transport) for i in f.event_ids or ()]
    assert sorted(ids) == sorted(f"{n}-{i}" for n in range(8) for i in range(500))
    assert client.stats().logged == total(client.stats()) == 4000


def test_stats_have_the_documented_counters() -> None:
    assert [f.name for f in fields(seawall.ClientStats)] == [
        "logged",
        "sampled_out",
        "queued",
        "in_flight",
        "sent",
        "dropped",
        "invalid",
        "failed",
        "queued_bytes",
        "frames",
    ]
