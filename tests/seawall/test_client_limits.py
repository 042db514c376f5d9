"""The client under pressure: bounded memory, honest counters, one warning, an end within its time."""

from __future__ import annotations

import logging
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seawall import Client, InMemoryTransport
from seawall.cutting import MAX_FRAME_BYTES
from tests.seawall.sdk import HeldTransport, RefusingTransport, read, total


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_a_full_buffer_drops_counts_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    transport = HeldTransport()
    client = Client("m", transport=transport, max_buffer_events=10, linger_s=0.0)
    client.log_prediction({"a": 1.0})
    assert transport.asked.wait(10)  # the thread has taken the first event and now waits for the broker
    for _ in range(100):
        assert client.log_prediction({"a": 1.0})
    held = client.stats()
    assert (held.logged, held.dropped, held.queued, held.in_flight) == (101, 90, 10, 1)
    transport.opened.set()
    assert client.close()
    assert client.stats().sent == 11
    assert len(warnings_of(caplog)) == 1
    assert "the buffer is full (10 events of 10" in caplog.text


def test_the_buffer_is_bounded_in_bytes(caplog: pytest.LogCaptureFixture) -> None:
    transport = HeldTransport()
    client = Client("m", transport=transport, max_buffer_bytes=1_000_000, linger_s=60.0)
    client.log_prediction({"text": "x" * 100_000})
    assert transport.asked.wait(10)  # one this large does not linger
    for _ in range(10):
        client.log_prediction({"text": "x" * 100_000})
    stats = client.stats()
    assert stats.queued == 2
    assert 0 < stats.queued_bytes <= 1_000_000
    assert stats.dropped == 8
    transport.opened.set()
    client.close()
    assert client.stats().queued_bytes == 0
    assert len(warnings_of(caplog)) == 1


def test_a_small_buffer_does_not_wait_for_a_full_frame() -> None:
    with Client("m", transport=InMemoryTransport(), max_buffer_events=8, linger_s=600.0) as client:
        for i in range(200):
            client.log_predictions(
                {"a": [float(i)]}, wait_s=60.0
            )  # without a flush, only the thread makes room
        client.log_predictions({"a": [1.0] * 100}, wait_s=60.0)
        client.flush()
        assert (client.stats().sent, client.stats().dropped) == (300, 0)


def test_a_table_may_wait_for_room(caplog: pytest.LogCaptureFixture) -> None:
    with Client("m", transport=InMemoryTransport(), max_buffer_events=3000) as client:
        client.log_predictions({"a": [1.0] * 50_000}, wait_s=60.0)
        assert client.flush(60.0)
        assert (client.stats().sent, client.stats().dropped) == (50_000, 0)
    assert not caplog.records


def test_flush_gives_up_in_time_when_the_broker_is_away() -> None:
    transport = HeldTransport()
    client = Client("m", transport=transport)
    client.log_prediction({"a": 1.0})
    start_s = time.monotonic()
    assert not client.flush(0.05)
    assert not client.close(0.05)
    assert time.monotonic() - start_s < 5
    stats = client.stats()
    assert stats.logged == stats.dropped == total(stats) == 1


def test_after_close_events_are_dropped_and_nothing_raises(caplog: pytest.LogCaptureFixture) -> None:
    client = Client("m", transport=InMemoryTransport())
    assert client.close()
    assert client.close()
    for _ in range(3):
        client.log_prediction({"a": 1.0})
    client.log_labels(["a", "b"], [1, 0], wait_s=60.0)
    assert client.stats().dropped == 5
    assert len(warnings_of(caplog)) == 1


def test_a_failed_delivery_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    with Client("m", transport=RefusingTransport("the topic is gone")) as client:
        client.log_predictions({"a": [1.0, 2.0]})
        client.flush()
        assert (client.stats().failed, client.stats().sent) == (2, 0)
    assert "the topic is gone" in caplog.text


def test_a_transport_that_raises_costs_its_batch_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    transport = RefusingTransport(OSError("broken pipe"))
    with Client("m", transport=transport) as client:
        client.log_prediction({"a": 1.0})
        client.flush()
        transport.error = ""
        client.log_prediction({"a": 1.0})
        client.flush()
        stats = client.stats()
        assert (stats.failed, stats.sent, total(stats)) == (1, 1, 2)
    assert "broken pipe" in caplog.text


def test_a_frame_too_large_for_the_broker_is_halved_until_it_fits() -> None:
    transport = RefusingTransport(max_bytes=5000)
    with Client("m", transport=transport) as client:
        ids = [client.log_prediction({"a": float(i)}) for i in range(1000)]
        assert client.flush()
        assert client.stats().sent == 1000
    assert [i for f in read(transport) for i in f.event_ids or ()] == ids
    assert [v for f in read(transport) for v in f.numeric["a"].tolist()] == [float(i) for i in range(1000)]
    assert max(len(value) for _, _, value in transport.messages) <= 5000


def test_a_single_event_too_large_for_a_frame_fails_alone() -> None:
    transport = InMemoryTransport()
    with Client("m", transport=transport) as client:
        client.log_prediction({"text": "x" * 2_000_000})
        client.log_prediction({"text": "small"})
        client.flush()
        assert (client.stats().failed, client.stats().sent) == (1, 1)


def test_no_frame_is_larger_than_a_broker_takes() -> None:
    transport = InMemoryTransport()
    with Client("m", transport=transport) as client:
        client.log_predictions({f"c{i}": [float(i)] * 3000 for i in range(300)})
        client.log_predictions({"text": ["é" * 1000 + str(i) for i in range(3000)]})
        for i in range(3000):
            client.log_prediction({"text": "é" * 1000 + str(i)})
        assert client.flush(60.0)
        assert client.stats().sent == 9000
    assert max(len(value) for _, _, value in transport.messages) <= MAX_FRAME_BYTES


def test_a_logging_filter_that_raises_does_not_reach_the_product() -> None:
    def explode(_record: logging.LogRecord) -> bool:
        raise RuntimeError("filter")

    log = logging.getLogger("seawall.client")
    log.addFilter(explode)
    try:
        with Client("m", transport=InMemoryTransport()) as client:
            client.log_prediction({"a": object()})  # type: ignore[dict-item]
            client.flush()
            client.log_prediction({"a": 1.0})
            assert client.flush()
            assert (client.stats().invalid, client.stats().sent) == (1, 1)
    finally:
        log.removeFilter(explode)


actions = st.lists(
    st.sampled_from(["event", "bad", "table", "label", "flush", "open", "hold", "fail", "mend"]), max_size=40
)


@given(actions)
@settings(max_examples=60, deadline=None)
def test_every_event_is_in_exactly_one_counter(steps: list[str]) -> None:
    class Moody(RefusingTransport):
        is_open = True

        def send(self, *message: object) -> bool:
            return self.is_open and super().send(*message)  # type: ignore[arg-type]

        def poll(self, timeout_s: float) -> None:
            """Come back at once."""

    transport = Moody()
    client = Client("m", transport=transport, max_buffer_events=20, linger_s=0.0, sample={"half": 0.5})
    logged = 0
    for step in steps:
        if step in {"event", "bad", "label", "table"}:
            logged += 3 if step == "table" else 1
        if step == "event":
            client.log_prediction({"a": 1.0}, model="half")
        elif step == "bad":
            client.log_prediction({"a": object()})  # type: ignore[dict-item]
        elif step == "table":
            client.log_predictions({"a": [1, 2, 3]}, model="half")
        elif step == "label":
            client.log_label("e", 1)
        elif step == "flush":
            client.flush(0.01)
        elif step in {"open", "hold"}:
            transport.is_open = step == "open"
        else:
            transport.error = "no" if step == "fail" else ""
        stats = client.stats()
        assert stats.logged == total(stats) == logged
        assert min(stats.queued, stats.in_flight, stats.queued_bytes) >= 0
    transport.is_open = True
    client.close()
    stats = client.stats()
    assert stats.logged == total(stats) == logged
    assert stats.queued == stats.in_flight == stats.queued_bytes == 0
    assert sum(f.rows for f in read(transport)) == stats.sent
