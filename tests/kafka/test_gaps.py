"""Topics with holes, on Apache Kafka: transactions that were aborted, their markers, and records that are gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from seawall.publish import publish_monitor
from seawall.settings import Settings
from seawall.transport import kafka_config
from streams.embedded.processes import wait_until
from streams.embedded.stack import running_stack
from streams.io.clickhouse import Store
from streams.io.offsets import end_offsets
from tests.conftest import TEST_BROKER
from tests.e2e.produce import append, committed, singles
from tests.kafka.cluster import Kafka, missing_tools
from tests.streams.core.builders import MINUTE, T0, single

pytestmark = [pytest.mark.kafka, pytest.mark.skipif(bool(missing_tools()), reason=missing_tools() or "never")]

MONITOR = "model: m\nwindows: {pane: 1m, horizons: [5m], lateness: 1m, grace: 1d}\nnotify: [log]\n"
WIDE = 5_000


@pytest.fixture
def settings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Small chunks, so that cuts fall into the gaps."""
    own = Settings(
        topic_prefix="gaps.",
        group="gaps",
        replay=True,
        idle_timeout_s=1.5,
        publish_interval_s=0.3,
        save_interval_s=1.0,
        chunk_bytes=2_000,
        chunk_offsets=32,
    )
    if TEST_BROKER == "kafka":
        yield Settings(**{**vars(own), "broker": request.getfixturevalue("broker")})
        return
    kafka = Kafka(tmp_path_factory.mktemp("kafka"))
    kafka.start()
    yield Settings(**{**vars(own), "broker": kafka.address()})
    kafka.stop()


class Transactions:
    """A transactional producer for one partition of ``predictions``."""

    def __init__(self, settings: Settings, partition: int) -> None:
        self.topic, self.partition = settings.topic("predictions"), partition
        self.producer = Producer({**kafka_config(settings), "transactional.id": f"t{partition}"})
        self.producer.init_transactions(30)

    def send(self, values: Iterable[bytes], *, commit: bool) -> None:
        self.producer.begin_transaction()
        for value in values:
            self.producer.produce(self.topic, value, partition=self.partition)
        if commit:
            self.producer.commit_transaction(30)
        else:
            self.producer.flush(30)  # an abort forgets what was not sent yet
            self.producer.abort_transaction(30)


def counted(store: Store) -> int:
    sql = "SELECT sum(rows) AS n FROM windows FINAL WHERE segment = '' AND horizon_us = %(p)s"
    return int(store.query(sql, {"p": MINUTE})[0]["n"])


def test_what_was_aborted_is_not_counted_and_no_gap_is_waited_for(settings: Settings, tmp_path: Path) -> None:
    with running_stack(tmp_path, workers=0, settings=settings, own_broker=False) as stack:
        own = stack.settings
        publish_monitor(own, "m", MONITOR)
        # 0: ends with records that were aborted, and their marker
        mixed = Transactions(own, 0)
        mixed.send(singles(0, 50), commit=True)
        mixed.send(singles(50, 80), commit=False)
        mixed.send(singles(80, 100), commit=True)
        mixed.send(singles(100, 100 + WIDE), commit=False)
        # 1: holds nothing else
        Transactions(own, 1).send(singles(0, 40), commit=False)
        # 2: held records that retention has removed
        append(own, "predictions", 2, singles(0, 300))
        place = TopicPartition(own.topic("predictions"), 2, 300)
        admin = AdminClient(kafka_config(own))  # must outlive its answer
        admin.delete_records([place])[place].result(30)
        ends = end_offsets(own, [(own.topic("predictions"), p) for p in range(3)])
        assert ends == {
            (own.topic("predictions"), 0): 50 + 1 + 30 + 1 + 20 + 1 + WIDE + 1,
            (own.topic("predictions"), 1): 41,
            (own.topic("predictions"), 2): 300,
        }

        stack.start_worker()
        store = Store(own)
        # In a replay the last pane closes once every partition is read to its end, and not before.
        assert wait_until(lambda: counted(store) == 70, 60), (counted(store), stack.worker_log())

        # From the offset that was committed inside the gap, by another process.
        stack.kill_worker()
        mixed.send(singles(120, 150), commit=True)
        mixed.send(singles(150, 160), commit=False)
        stack.start_worker()
        assert wait_until(lambda: counted(store) == 100, 60), (counted(store), stack.worker_log())
        assert committed(own, "predictions", 0) is not None
        assert store.query("SELECT sum(rows) AS n FROM late_events FINAL")[0]["n"] == 0


def test_what_retention_took_before_a_chunk_was_full_stays_counted_once(
    settings: Settings, tmp_path: Path
) -> None:
    names = {"topic_prefix": "retention.", "group": "retention"}
    wide = Settings(**{**vars(settings), **names, "chunk_bytes": 1 << 20, "chunk_offsets": 8192})
    minutes = [single(T0 + i * MINUTE, 1.0) for i in range(120)]
    with running_stack(tmp_path, workers=0, settings=wide, own_broker=False) as stack:
        own = stack.settings
        publish_monitor(own, "m", MONITOR)
        append(own, "predictions", 0, minutes[:100])
        stack.start_worker()
        store = Store(own)
        assert wait_until(lambda: counted(store) == 100, 60), (counted(store), stack.worker_log())
        admin = AdminClient(kafka_config(own))
        place = TopicPartition(own.topic("predictions"), 0, 100)
        for place.offset, sent in ((40, 110), (110, 120)):
            stack.kill_worker()
            assert committed(own, "predictions", 0) == 0
            admin.delete_records([place])[place].result(30)
            append(own, "predictions", 0, minutes[sent - 10 : sent])
            stack.start_worker()
            assert wait_until(lambda: counted(store) == sent, 60), (counted(store), stack.worker_log())  # noqa: B023
        assert store.query("SELECT sum(rows) AS n FROM late_events FINAL")[0]["n"] == 0
