"""JSON events that are checked without Avro come out as Avro would have them; the others are left to it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall import wire
from seawall.errors import WireError
from seawall.plain import plain_event
from seawall.wire import decode

CONTRACTS = {
    "prediction": ("model", "version", "ts", "event_id"),
    "feature": ("model", "version", "ts", "event_id"),
    "label": ("model", "version", "ts", "event_id"),
}
#: What may stand in any place of an event, right or wrong.
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(st.characters(), max_size=4),
    st.sampled_from(["\ud800", "NaN", "é", ""]),
)
PAIRS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {"name": st.text(max_size=3), "value": st.one_of(st.none(), st.floats(), st.integers())}
        ),
        st.fixed_dictionaries({"name": SCALARS, "value": SCALARS}),
        st.fixed_dictionaries({"name": st.text(max_size=3)}, optional={"value": SCALARS, "more": SCALARS}),
        SCALARS,
    ),
    max_size=3,
)
FIELDS = (
    "event_id", "model", "version", "ts", "entity_id", "numeric", "categorical", "scores", "segments", "label",
    "value", "weight", "extra",
)  # fmt: skip


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An event that is mostly right, with some fields changed, added or taken away."""
    event: dict[str, Any] = {"event_id": "e", "model": "m", "version": "1", "ts": 1_700_000_000_000_000}
    for field in draw(st.lists(st.sampled_from(FIELDS), max_size=4, unique=True)):
        value = draw(st.one_of(SCALARS, PAIRS, st.dictionaries(st.text(max_size=2), SCALARS, max_size=1)))
        if draw(st.booleans()) or field not in event:
            event[field] = value
        else:
            del event[field]
    return event


def outcome(payload: bytes, name: str) -> str:
    try:
        return repr(decode(payload, (name,)))
    except WireError as error:
        return f"{error.reason}: {error.detail}"


@given(events(), st.sampled_from(sorted(CONTRACTS)))
def test_an_event_comes_out_as_if_it_had_come_in_avro(event: dict[str, Any], name: str) -> None:
    payload = json.dumps(event).encode()
    found = outcome(payload, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "plain_event", lambda name, record: None)
        assert found == outcome(payload, name)


@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_a_plain_event_needs_no_avro(name: str) -> None:
    numbers = [{"name": "a", "value": 1.5}, {"name": "b", "value": None}, {"name": "é", "value": 2}]
    words = [{"name": "c", "value": "x"}]
    record = {
        "event_id": "e", "model": "m", "version": "1", "ts": 5, "entity_id": None, "numeric": numbers,
        "categorical": words, "scores": [], "label": None, "value": None, "segments": words, "weight": 1,
        "predicted": None,
    }  # fmt: skip
    assert plain_event(name, record) is not None


@pytest.mark.parametrize(
    "field",
    [{"ts": 5.0}, {"ts": True}, {"ts": 2**63}, {"weight": True}, {"weight": 2**53 + 1}, {"model": "\ud800"}],
)
def test_what_is_unusual_is_left_to_avro(field: dict[str, Any]) -> None:
    record = {"event_id": "e", "model": "m", "version": "1", "ts": 5, "entity_id": None, "numeric": []}
    record |= {"categorical": [], "scores": [], "label": None, "segments": [], "weight": 1.0}
    assert plain_event("prediction", record) is not None
    assert plain_event("prediction", record | field) is None
