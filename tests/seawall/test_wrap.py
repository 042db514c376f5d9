"""A watched model returns exactly what it returned, and what it served is logged."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import is_classifier
from sklearn.datasets import make_classification
from sklearn.linear_model import LinearRegression, LogisticRegression

from seawall import Client, ConfigError, InMemoryTransport, watch
from tests.seawall.frame_strategies import words
from tests.seawall.sdk import one, read

X, Y = make_classification(60, 4, random_state=7)
NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def transport() -> InMemoryTransport:
    return InMemoryTransport()


@pytest.fixture
def client(transport: InMemoryTransport) -> Iterator[Client]:
    with Client("m", "1", transport=transport) as client:
        yield client


@pytest.mark.parametrize("rows", [1, 3, 60])
def test_a_classifiers_probabilities_are_logged_with_its_features(
    client: Client, transport: InMemoryTransport, rows: int
) -> None:
    model = LogisticRegression().fit(X, Y)
    served = watch(model, client, feature_names=NAMES).predict_proba(X[:rows])
    assert np.array_equal(served, model.predict_proba(X[:rows]))
    assert client.flush()
    frame = one(transport)
    assert {n: v.tolist() for n, v in frame.numeric.items()} == {
        n: X[:rows, i].tolist() for i, n in enumerate(NAMES)
    }
    assert frame.scores["score"].tolist() == served[:, 1].tolist()


def test_more_classes_are_logged_by_name(client: Client, transport: InMemoryTransport) -> None:
    classes = np.array(["early", "late", "on time"])[np.arange(60) % 3]
    model = LogisticRegression().fit(pd.DataFrame(X, columns=NAMES), classes)
    served = watch(model, client).predict_proba(pd.DataFrame(X, columns=NAMES))
    assert client.flush()
    frame = one(transport)
    assert {n: v.tolist() for n, v in frame.scores.items()} == {
        "early": served[:, 0].tolist(),
        "late": served[:, 1].tolist(),
        "on time": served[:, 2].tolist(),
    }
    assert set(frame.numeric) == set(NAMES)


def test_predict_logs_labels_of_a_classifier_and_values_of_a_regressor(
    client: Client, transport: InMemoryTransport
) -> None:
    labels = watch(LogisticRegression().fit(X, Y), client).predict(X)
    values = watch(LinearRegression().fit(X, Y), client).predict(X)
    assert client.flush()
    classifier, regressor = read(transport)
    assert words(classifier.label) == [str(v) for v in labels]
    assert regressor.scores["score"].tolist() == values.tolist()
    assert set(regressor.numeric) == {"x0", "x1", "x2", "x3"}


def test_event_ids_are_told_from_the_input(client: Client, transport: InMemoryTransport) -> None:
    table = pd.DataFrame(X, columns=NAMES, index=[f"order-{i}" for i in range(60)])
    model = LogisticRegression().fit(table, Y)
    watch(model, client, event_ids=lambda given: given.index).predict_proba(table)
    assert client.flush()
    assert one(transport).event_ids == list(table.index)


def test_a_watched_estimator_is_otherwise_the_estimator(client: Client) -> None:
    model = LogisticRegression().fit(X, Y)
    watched = watch(model, client)
    assert np.array_equal(watched.coef_, model.coef_)
    assert watched.score(X, Y) == model.score(X, Y)
    assert is_classifier(model)
    with pytest.raises(AttributeError):
        _ = watched.no_such_attribute
    with pytest.raises(ValueError, match="features"):
        watched.predict(X[:, :2])
    assert client.stats().logged == 0


def test_what_cannot_be_logged_is_served_all_the_same(client: Client) -> None:
    class Odd:
        def predict(self, _given: Any) -> Any:
            return {"free": "form"}

        def predict_proba(self, _given: Any) -> Any:
            return "not a matrix"

    watched = watch(Odd(), client)
    assert watched.predict("input") == {"free": "form"}
    assert watched.predict_proba(None) == "not a matrix"
    client.flush()
    assert client.stats().invalid == 2


def test_a_function_is_watched_by_decoration(client: Client, transport: InMemoryTransport) -> None:
    @watch(client=client, model="ranker", version="3")
    def score(features: Mapping[str, Any], boost: float = 1.0) -> float:
        """Score one order."""
        return features["a"] * boost  # type: ignore[no-any-return]

    assert score({"a": 2.0, "b": "x"}, boost=2.0) == 4.0
    assert score(features={"a": 1.0, "b": "y"}) == 1.0
    assert score.__doc__ == "Score one order."
    assert client.flush()
    frame = one(transport)
    assert (frame.model, frame.version, frame.rows) == ("ranker", "3", 2)
    assert frame.scores["score"].tolist() == [4.0, 1.0]
    assert words(frame.categorical["b"]) == ["x", "y"]


@pytest.mark.parametrize(
    ("served", "scores", "labels"),
    [
        ("late", {}, ["late"]),
        (True, {}, ["1"]),
        (0.5, {"score": [0.5]}, None),
        ({"a": 0.25, "b": 0.75}, {"a": [0.25], "b": [0.75]}, None),
        ([0.25, 0.75], {"0": [0.25], "1": [0.75]}, None),
    ],
)
def test_what_a_function_returns_says_what_it_is(
    client: Client, transport: InMemoryTransport, served: Any, scores: Any, labels: Any
) -> None:
    assert watch(lambda _features: served, client)({"x": 1}) is served
    assert client.flush()
    frame = one(transport)
    assert {n: v.tolist() for n, v in frame.scores.items()} == scores
    assert (None if frame.label is None else words(frame.label)) == labels


def test_an_async_function_is_awaited(client: Client, transport: InMemoryTransport) -> None:
    @watch(client=client)
    async def score(features: Mapping[str, Any]) -> float:
        await asyncio.sleep(0)
        return float(features["a"])

    assert asyncio.run(score({"a": 2.0})) == 2.0
    assert client.flush()
    assert one(transport).scores["score"].tolist() == [2.0]


def test_a_function_of_tables_logs_tables(client: Client, transport: InMemoryTransport) -> None:
    table = pl.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    watch(lambda given: given["a"] * 2, client)(table)
    watch(lambda _given: ["early", "late"], client)(table)
    assert client.flush()
    numbers, labels = read(transport)
    assert numbers.scores["score"].tolist() == [2.0, 4.0]
    assert words(labels.label) == ["early", "late"]


def test_a_watched_estimator_can_be_copied_but_never_loops() -> None:
    class Plain:
        def predict(self, given: Any) -> Any:
            return given

    watched = watch(Plain(), Client("m", transport=InMemoryTransport()))
    with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
        pickle.dumps(watched)
    with pytest.raises(TypeError):
        copy.deepcopy(watched)


def test_watching_nothing_is_refused(client: Client) -> None:
    with pytest.raises(ConfigError, match="client: "):
        watch(lambda _: 1.0)
    with pytest.raises(ConfigError, match="target: "):
        watch(7, client)
