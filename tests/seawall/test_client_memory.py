"""What waits in the client costs the product's garbage collector nothing."""

from __future__ import annotations

import gc
import time

import pytest

from seawall import Client, InMemoryTransport
from tests.seawall.sdk import HeldTransport, one, read

EVENTS = 5000
FEATURES = {f"f{i}": float(i) for i in range(20)} | {"origin": "JFK", "gone": None}


def objects() -> int:
    """Count what the collector would look at. A tuple in a tuple is forgotten a pass before the outer one."""
    for _ in range(3):
        gc.collect()
    return len(gc.get_objects())


@pytest.mark.parametrize("segments", [None, {"region": "eu"}])
def test_events_that_wait_for_a_broker_are_not_looked_at_by_the_collector(
    segments: dict[str, str] | None,
) -> None:
    transport = HeldTransport()
    client = Client("m", transport=transport, linger_s=0.0)
    client.log_prediction(FEATURES)
    assert transport.asked.wait(10)  # the thread holds the first event, and takes no other
    before = objects()
    for i in range(EVENTS):
        client.log_prediction(FEATURES, score=0.5, entity_id=f"e{i}", segments=segments)
    assert client.stats().queued == EVENTS
    assert objects() - before < EVENTS / 50
    transport.opened.set()
    client.close()


def test_events_that_wait_for_company_are_not_looked_at_by_the_collector() -> None:
    with Client(transport=InMemoryTransport(), linger_s=60.0) as client:
        deadline = time.monotonic() + 20

        def until_grouped(events: int) -> None:
            while sum(map(len, client._sender._groups.values())) < events:
                assert time.monotonic() < deadline
                time.sleep(0.01)

        before = objects()
        for i in range(3000):  # enough to wake the thread, and too few of each model for a frame
            client.log_prediction(FEATURES, model="ab"[i % 2], score=0.5, entity_id=f"e{i}")
            if i == 0:
                # A first look at however many are there would leave too few to wake the thread a second time.
                until_grouped(1)
        until_grouped(2000)
        assert client.stats().queued == 3000
        assert objects() - before < 3000 / 50


def test_names_that_are_equal_and_not_the_same_stay_apart() -> None:
    transport = InMemoryTransport()
    with Client("m", transport=transport) as client:
        client.log_prediction({1: 1.0})  # type: ignore[dict-item]  # a product may do so
        client.log_prediction({True: 2.0})  # type: ignore[dict-item]
        client.flush()
        assert client.stats().sent == 2
    assert {n: v.tolist() for frame in read(transport) for n, v in frame.numeric.items()} == {
        "1": [1.0],
        "True": [2.0],
    }


def test_features_in_another_order_share_a_frame() -> None:
    transport = InMemoryTransport()
    with Client("m", transport=transport) as client:
        client.log_prediction({"a": 1.0, "b": 2.0, "c": "x"})
        client.log_prediction({"c": "y", "b": 3.0, "a": 4.0})
        client.flush()
    frame = one(transport)
    assert {n: v.tolist() for n, v in frame.numeric.items()} == {"a": [1.0, 4.0], "b": [2.0, 3.0]}
    assert frame.categorical["c"].dictionary == ["x", "y"]


def test_the_collector_meets_wide_events_a_few_at_a_time() -> None:
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(gc.get_count()[0])

    wide = {f"f{i}": float(i) for i in range(500)}
    with Client("m", transport=InMemoryTransport(), linger_s=60.0) as client:
        gc.collect()
        gc.callbacks.append(note)
        try:
            for _ in range(300):
                client.log_prediction(wide)
        finally:
            gc.callbacks.remove(note)
        # Of its own accord it would come by once for every 700 of them.
        assert len(seen) >= 300 * 500 // 20_000
        gc.disable()
        try:
            seen.clear()
            gc.callbacks.append(note)
            for _ in range(100):
                client.log_prediction(wide)
            assert seen == []  # a product that has switched it off wants it off
        finally:
            gc.callbacks.remove(note)
            gc.enable()


def test_the_collector_never_searches_the_whole_process_because_of_what_is_logged() -> None:
    full: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            full.append(info["generation"])

    with Client("m", transport=InMemoryTransport()) as client:
        gc.collect()
        gc.callbacks.append(note)
        try:
            for _ in range(60_000):
                client.log_prediction(FEATURES, score=0.5)
            client.flush()
        finally:
            gc.callbacks.remove(note)
    assert full == []
