"""Framing: every way in which bytes can be wrong is a `WireError` with a reason that can be published."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall.contracts import contract
from seawall.errors import UnknownSchema, WireError
from seawall.frames import FRAME_CONTRACT, Columns, to_record
from seawall.wire import HEADER_BYTES, decode, encode
from tests.seawall.frame_strategies import columns

ACCEPT = ("prediction", "prediction_frame", "feature_frame", "label_frame")
EVENT = {"event_id": "e1", "model": "m", "version": "1", "ts": 1_700_000_000_000_000}


def reason(payload: bytes, accept: tuple[str, ...] = ACCEPT) -> str:
    with pytest.raises(WireError) as refused:
        decode(payload, accept)
    refused.value.detail.encode()  # it travels on in a header
    assert len(refused.value.detail) < 1000
    return refused.value.reason


def as_json(**fields: Any) -> bytes:
    return json.dumps({**EVENT, **fields}).encode()


@given(columns(max_rows=4))
@settings(max_examples=25, deadline=None)
def test_a_frame_cut_anywhere_is_refused(made: Columns) -> None:
    payload = encode(FRAME_CONTRACT[made.source], to_record(made))
    for length in range(len(payload)):
        assert reason(payload[:length]) in {"empty", "alien_bytes", "truncated"}


@given(columns(max_rows=3), st.binary(min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_bytes_after_a_frame_are_refused(made: Columns, more: bytes) -> None:
    assert reason(encode(FRAME_CONTRACT[made.source], to_record(made)) + more) == "trailing_bytes"


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_alien_bytes_are_refused(payload: bytes) -> None:
    assert reason(payload) in {"empty", "alien_bytes", "truncated", "unknown_schema", "bad_json", "bad_field"}


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_alien_bytes_behind_a_true_header_are_refused_or_read(body: bytes) -> None:
    header = encode("prediction_frame", to_record(_nothing()))[:HEADER_BYTES]
    try:
        decode(header + body, ACCEPT)
    except WireError as error:
        why = error.reason
    else:
        return
    assert why in {"truncated", "trailing_bytes"}


def _nothing() -> Columns:
    import numpy as np

    return Columns("predictions", "", "", np.empty(0, dtype=np.int64))


def test_an_unknown_schema_is_told_from_damage() -> None:
    with pytest.raises(UnknownSchema):
        decode(b"\xc3\x01" + b"\x00" * 8 + b"body", ACCEPT)
    with pytest.raises(UnknownSchema):
        decode(b"\x00\x00\x00\x00\x07body", ACCEPT)


def test_a_known_contract_on_the_wrong_topic_is_refused() -> None:
    assert reason(encode("prediction", {**EVENT, "numeric": []}), ("label",)) == "wrong_contract"


def test_a_json_event_is_what_the_avro_event_is() -> None:
    payload = as_json(numeric=[{"name": "delay", "value": 1.5}], label="late")
    from_json = decode(payload, ACCEPT)
    record = {**EVENT, "numeric": [{"name": "delay", "value": 1.5}], "label": "late"}
    assert from_json == decode(encode("prediction", record), ACCEPT)


@pytest.mark.parametrize(
    "fields",
    [
        {"ts": "yesterday"},
        {"ts": 1.5},
        {"ts": True},
        {"ts": 2**63},
        {"weight": "1"},
        {"weight": 10**400},
        {"numeric": [{"name": "delay", "value": "1.5"}]},
        {"numeric": [{"name": "delay", "value": True}]},
        {"numeric": {"delay": 1.5}},
        {"numeric": ["-type"]},
        {"event_id": None},
        {"event_id": ["e1"]},
        {"label": 1},
        {"label": {"-type": "string"}},
        {"event_id": "\ud800"},
        {"event_id": {"\ud800": 1}},
        {"model": "x" * 100_000, "ts": "\udfff" * 100_000},
    ],
)
def test_json_that_does_not_fit_the_contract_names_a_bad_field(fields: dict[str, Any]) -> None:
    assert reason(as_json(**fields)) == "bad_field"


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b'{"ts":',
        b'{"ts": 1} tail',
        b"{'ts': 1}",
        b'{"a":' * 100_000,
        b'{"numeric":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"ts": ' + b"9" * 5000 + b"}",
        b'{"ts": "\xff"}',
    ],
)
def test_broken_and_bottomless_json_is_bad_json(payload: bytes) -> None:
    assert reason(payload) == "bad_json"


def nested(depth: int) -> Any:
    value: Any = "end"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("name", [7, None, ["prediction"], {"a": 1}, "\ud800", "x" * 100_000, nested(800)])
def test_json_that_names_no_contract_is_refused(name: Any) -> None:
    assert reason(as_json(type=name)) == "wrong_contract"


@pytest.mark.parametrize("depth", [50, 300, 800])
def test_deep_json_in_a_field_is_a_bad_field(depth: int) -> None:
    assert reason(as_json(label=nested(depth))) in {"bad_field", "bad_json"}


def test_unknown_json_fields_are_ignored_and_missing_ones_take_their_default() -> None:
    name, record = decode(as_json(comment="from curl"), ACCEPT)
    assert name == "prediction"
    assert set(record) == {field["name"] for field in contract("prediction").schema["fields"]}
    assert record["weight"] == 1.0
