"""Embeddings: the same vector becomes the same numbers wherever it is met, and a bad one hurts nobody."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from seawall import Client, InMemoryTransport
from seawall.build import build_baseline
from seawall.drift_report import compare
from seawall.embeddings import DIRECTIONS, directions, names_of, packed, project
from seawall.errors import ContractError
from tests.seawall.sdk import one, read

RNG = np.random.default_rng(7)
VECTORS = RNG.normal(size=(50, 24))


@pytest.fixture
def transport() -> InMemoryTransport:
    return InMemoryTransport()


@pytest.fixture
def client(transport: InMemoryTransport) -> Iterator[Client]:
    with Client("m", "1", transport=transport) as client:
        yield client


def slow_projection(vector: np.ndarray) -> list[float]:
    """The formula of the documentation, bit by bit."""
    d = len(vector)
    drawn = hashlib.shake_128(f"seawall directions {d}".encode()).digest(2 * d)
    out = []
    for k in range(1, 17):
        total = 0.0
        for i, x in enumerate(vector):
            bit = 16 * i + k - 1
            total += x if drawn[bit // 8] >> (bit % 8) & 1 else -x
        out.append(total / d**0.5)
    return [*out, float(np.sqrt((vector**2).sum()))]


def test_numbers_follow_from_the_documented_formula() -> None:
    found = project("e", VECTORS)
    assert tuple(found) == names_of("e")
    for row, vector in enumerate(VECTORS):
        assert [found[n][row] for n in names_of("e")] == pytest.approx(
            slow_projection(vector), rel=1e-5, abs=1e-5
        )


def test_directions_have_length_one_and_nearly_right_angles() -> None:
    for d in (24, 768, 1024):
        products = directions(d).T.astype(float) @ directions(d)
        np.testing.assert_allclose(np.diag(products), 1.0, rtol=1e-5)
        assert np.abs(products - np.eye(DIRECTIONS)).max() < 5 / np.sqrt(d)


@pytest.mark.parametrize(
    "column",
    [
        VECTORS,
        VECTORS.astype(np.float32),
        [list(v) for v in VECTORS],
        [tuple(v) for v in VECTORS],
        list(VECTORS),
        pd.Series(list(VECTORS)),
        pd.Series([list(v) for v in VECTORS]),
        pl.Series([list(v) for v in VECTORS]),
        pl.Series(VECTORS.tolist(), dtype=pl.Array(pl.Float64, 24)),
    ],
    ids=[
        "matrix",
        "float32",
        "lists",
        "tuples",
        "arrays",
        "pandas arrays",
        "pandas lists",
        "polars list",
        "polars array",
    ],
)
def test_a_column_of_any_library_and_single_events_become_the_same_numbers(column: Any) -> None:
    tables, events = InMemoryTransport(), InMemoryTransport()
    with Client("m", "1", transport=tables) as client:
        client.log_predictions({"n": np.arange(50.0), "e": column})
    with Client("m", "1", transport=events) as client:
        for k, vector in enumerate(VECTORS):
            client.log_prediction({"n": float(k), "e": vector})
    table, single = one(tables), one(events)
    assert list(table.numeric) == list(single.numeric) == ["n", *names_of("e")]
    for name in names_of("e"):
        np.testing.assert_allclose(single.numeric[name], table.numeric[name], rtol=1e-6)
    np.testing.assert_allclose(table.numeric["e[length]"], np.linalg.norm(VECTORS, axis=1), rtol=1e-5)


def test_parquet_gives_the_numbers_of_live_traffic(tmp_path: Path) -> None:
    pd.DataFrame({"e": list(VECTORS)}).to_parquet(tmp_path / "e.parquet")
    baseline = build_baseline(pd.read_parquet(tmp_path / "e.parquet"), model="m", version="1")
    assert [c.name for c in baseline.columns] == sorted(names_of("e"))
    by_name = {c.name: c for c in baseline.columns}
    for name, values in project("e", VECTORS).items():
        assert by_name[name].mean == pytest.approx(values.mean(), rel=1e-6)


def test_a_vector_that_is_missing_is_missing_in_all_its_numbers(
    client: Client, transport: InMemoryTransport
) -> None:
    client.log_prediction({"e": [1.0, 2.0]})
    client.log_prediction({"e": None})
    client.log_prediction({"e": [1.0, float("nan")]})
    client.log_prediction({"e": [1.0, None]})
    client.log_prediction({"e": [1.0, float("inf")]})
    client.flush()
    client.log_prediction({"e": None})  # alone in its frame: what it was before is remembered
    client.flush()
    first, second = read(transport)
    for name in names_of("e"):
        assert np.isnan(first.numeric[name]).tolist() == [False, True, True, True, True]
        assert np.isnan(second.numeric[name]).all()
    assert "e" not in second.numeric


def test_vectors_of_another_length_and_plain_numbers_go_into_frames_of_their_own(
    client: Client, transport: InMemoryTransport
) -> None:
    for value in ([1.0, 2.0], [1.0, 2.0, 3.0], 4.0, [3.0, 4.0]):
        client.log_prediction({"e": value})
    client.flush()
    frames = read(transport)
    assert sorted(f.rows for f in frames) == [1, 1, 2]
    lengths = [f.numeric["e[length]"].tolist() for f in frames if "e[length]" in f.numeric]
    assert sorted(map(sorted, lengths)) == [pytest.approx([5**0.5, 5.0]), pytest.approx([14**0.5])]
    assert [f.numeric["e"].tolist() for f in frames if "e" in f.numeric] == [[4.0]]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1.0], "a vector of 1 numbers, expected 2 to 1024"),
        (np.zeros(1025), "a vector of 1025 numbers, expected 2 to 1024"),
        (np.zeros((2, 2)), "no row of numbers"),
        (["a", "b"], "no row of numbers"),
        ([[1.0, 2.0], [3.0]], "no row of numbers"),
        (b"abcdefgh", "is bytes, expected"),
    ],
)
def test_what_is_no_vector_is_left_out_with_its_reason_and_its_neighbours_arrive(
    client: Client, transport: InMemoryTransport, caplog: pytest.LogCaptureFixture, value: Any, reason: str
) -> None:
    client.log_prediction({"e": [1.0, 2.0]})
    client.log_prediction({"e": value})
    client.log_prediction({"e": [3.0, 4.0]})
    client.close()
    assert sum(f.rows for f in read(transport)) == 2
    assert client.stats().invalid == 1
    assert reason in caplog.text
    assert "'e'" in caplog.text


def test_a_table_names_the_row_whose_vector_is_not_like_the_first() -> None:
    with pytest.raises(
        ContractError, match=r"column 'e', row 2: a vector of 3 numbers, expected 2 as in the first"
    ):
        build_baseline({"e": [[1, 2], None, [1, 2, 3]]}, model="m", version="1")
    with pytest.raises(ContractError, match=r"column 'e': a vector of 2000 numbers"):
        build_baseline({"e": np.zeros((3, 2000))}, model="m", version="1")


def test_a_product_may_change_a_vector_as_soon_as_it_is_logged(
    client: Client, transport: InMemoryTransport
) -> None:
    array, values = np.array([3.0, 4.0]), [3.0, 4.0]
    client.log_prediction({"a": array, "l": values})
    array[:], values[:] = 0.0, [9.0, 9.0]
    client.flush()
    frame = one(transport)
    assert frame.numeric["a[length]"].tolist() == frame.numeric["l[length]"].tolist() == [5.0]


def test_one_feature_vector_that_begins_with_an_embedding_is_told_from_a_table_by_its_id(
    client: Client, transport: InMemoryTransport
) -> None:
    client.log_features({"e": [3.0, 4.0], "n": 1.0}, event_id="a")
    client.log_features({"n": 1.0, "e": [3.0, 4.0]})
    client.log_features({"n": [1.0, 2.0]})
    client.flush()
    lengths = [f.numeric["e[length]"].tolist() for f in read(transport) if "e[length]" in f.numeric]
    assert [length for part in lengths for length in part] == [5.0, 5.0]


def test_pythons_collector_has_nothing_to_look_at_in_a_waiting_vector() -> None:
    event = ("m", packed("e", [1.0, 2.0]))
    gc.collect()
    assert not gc.is_tracked(event)


def test_an_embedding_model_that_was_swapped_is_a_drift_though_no_component_moved_far() -> None:
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(8, 256)) / 8**0.5
    reference = rng.normal(size=(8000, 8)) @ mixing
    fresh = rng.normal(size=(2000, 8)) @ mixing
    # Another model of the same family: the same spread of every component, other directions.
    other = rng.normal(size=(8, 256)) / 8**0.5
    other *= np.linalg.norm(mixing, axis=0) / np.linalg.norm(other, axis=0)
    swapped = rng.normal(size=(2000, 8)) @ other
    quiet = compare({"e": reference}, {"e": fresh})
    loud = compare({"e": reference}, {"e": swapped})
    assert quiet.verdict != "drift"
    assert loud.verdict == "drift"
