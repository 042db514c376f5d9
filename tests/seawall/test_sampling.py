"""Sampling keeps all of an event or nothing of it, and says what the rest stands for."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall import Client, InMemoryTransport
from seawall.sampling import Sampler, position
from tests.seawall.sdk import read


@given(st.text(), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_what_a_lower_rate_keeps_a_higher_rate_keeps_too(event_id: str, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert not Sampler(low).keeps("m", event_id) or Sampler(high).keeps("m", event_id)


def test_the_rule_is_the_documented_one_for_other_languages() -> None:
    digest = hashlib.blake2b("Zürich-1".encode(), digest_size=8).digest()
    assert position("Zürich-1") == int.from_bytes(digest, "big") / 2**64


def test_the_share_kept_is_the_rate() -> None:
    kept = sum(Sampler(0.1).keeps("m", f"order-{i}") for i in range(100_000))
    assert abs(kept - 10_000) < 5 * np.sqrt(100_000 * 0.1 * 0.9)


@pytest.mark.parametrize("rate", [0.25, {"m": 0.25}])
def test_prediction_features_and_label_stay_together(rate: float | dict[str, float]) -> None:
    transport = InMemoryTransport()
    ids = [f"e{i}" for i in range(400)]
    with Client("m", transport=transport, sample=rate) as client:
        for event_id in ids:
            client.log_prediction({"a": 1.0}, event_id=event_id)
            client.log_label(event_id, 1)
        client.log_features({"a": [1.0] * 400}, event_ids=ids)
        client.flush()
        stats = client.stats()
    kept = {(f.source, f.weight): sorted(f.event_ids or ()) for f in read(transport)}
    expected = sorted(i for i in ids if Sampler(0.25).keeps("m", i))
    assert 50 < len(expected) < 150
    assert kept == {(s, 4.0): expected for s in ("predictions", "features", "labels")}
    assert stats.sampled_out == 3 * (400 - len(expected))


def test_a_sampled_table_keeps_the_ids_that_it_promised() -> None:
    transport = InMemoryTransport()
    with Client("m", transport=transport, sample=0.5) as client:
        promised = client.log_predictions({"a": [float(i) for i in range(5000)]})
    value_of = {i: float(row) for row, i in enumerate(promised)}
    for frame in read(transport):
        assert frame.numeric["a"].tolist() == [value_of[i] for i in frame.event_ids or ()]
    assert 2000 < sum(f.rows for f in read(transport)) < 3000


def test_a_model_that_is_not_named_is_kept_whole() -> None:
    assert Sampler({"busy": 0.01}).rate("quiet") == 1.0
    assert Sampler({"busy": 0.01}).weight("busy") == 100.0
