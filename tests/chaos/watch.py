"""Committed ≤ durable, at every look: what the group has committed must be somewhere that outlives every process.

What is committed of an input topic must be covered by sealed summaries in the summaries topic; of summaries, by saved
state; of windows, by rows in the store. The offsets are read first and the durable side afterwards, so that a commit that
ran ahead of its write is seen even when the write follows.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from seawall.errors import Unavailable
from seawall.settings import Settings
from seawall.transport import kafka_config
from seawall.wire import decode
from streams.io.clickhouse import Store
from streams.io.offsets import end_offsets
from tests.chaos.traffic import PARTITIONS, SOURCES

_INTERVAL_S = 1.0
_TAILED = ("summaries", "state", "windows")


class Watch:
    """Looks about once a second, on a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.looks = 0
        self.store_looks = 0
        self.committed: dict[tuple[str, int], int] = {}
        self.violations: list[str] = []
        self.failure: BaseException | None = None
        self._sealed: dict[tuple[str, int], int] = defaultdict(int)
        self._saved: dict[int, int] = defaultdict(int)
        self._reports: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        self._stored_upto: dict[int, int] = defaultdict(int)
        self._read: dict[tuple[str, int], int] = defaultdict(int)
        self._store = Store(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join(60)
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        base = kafka_config(self.settings) | {"enable.auto.commit": False, "log_level": 0}
        group = Consumer(base | {"group.id": self.settings.group})
        tail = Consumer(base | {"group.id": "chaos.watch", "auto.offset.reset": "earliest"})
        tail.assign(
            [TopicPartition(self.settings.topic(t), p, 0) for t in _TAILED for p in range(PARTITIONS)]
        )
        try:
            while not self._stop.wait(_INTERVAL_S):
                try:
                    self._look(group, tail)
                except Unavailable:
                    continue  # the broker is being bounced
        except BaseException as error:
            self.failure = error
        finally:
            group.close()
            tail.close()

    def _look(self, group: Consumer, tail: Consumer) -> None:
        from confluent_kafka import KafkaException

        topics = {self.settings.topic(t): t for t in (*SOURCES, "summaries", "windows")}
        asked = [TopicPartition(t, p) for t in topics for p in range(PARTITIONS)]
        try:
            answer = group.committed(asked, timeout=5)
        except KafkaException:
            return
        committed = {(topics[a.topic], a.partition): a.offset for a in answer if a.offset > 0}
        ends = end_offsets(
            self.settings, [(self.settings.topic(t), p) for t in _TAILED for p in range(PARTITIONS)]
        )
        self._follow(tail, ends)
        for (topic, partition), offset in committed.items():
            if topic == "windows":
                self._check_stored(partition, offset)
                continue
            durable = self._saved[partition] if topic == "summaries" else self._sealed[topic, partition]
            if offset > durable:
                self.violations.append(
                    f"{topic}/{partition}: committed {offset}, durable {durable}, look {self.looks}"
                )
        self.committed |= committed
        self.looks += 1

    def _follow(self, tail: Consumer, ends: dict[tuple[str, int], int]) -> None:
        while any(self._read[where] < end for where, end in ends.items()):
            message = tail.poll(5.0)
            if message is None:
                raise Unavailable("the tail does not reach the end")
            if message.error() is not None:
                continue
            topic, partition = str(message.topic()), int(message.partition() or 0)
            self._read[topic, partition] = int(message.offset() or 0) + 1
            self._take(topic.removeprefix(self.settings.topic_prefix), partition, message)

    def _take(self, topic: str, partition: int, message: Any) -> None:
        value = message.value()
        if value is None:
            return
        if topic == "summaries":
            summary = decode(value, ("chunk_summary",))[1]
            if summary["sealed"]:
                where = (summary["topic"], summary["partition"])
                self._sealed[where] = max(self._sealed[where], summary["next_offset"])
        elif topic == "state":
            record = decode(value, ("model_state",))[1]
            if record["kind"] == "partition":
                self._saved[partition] = max(self._saved[partition], record["through"] + 1)
        else:
            report = decode(value, ("window_report",))[1]
            if report["windows"]:
                self._reports[partition].append((message.offset(), report))

    def _check_stored(self, partition: int, committed: int) -> None:
        """The last report before the committed offset is in the store: runs are stored in order."""
        covered = [r for r in self._reports[partition] if r[0] < committed]
        if not covered or covered[-1][0] <= self._stored_upto[partition]:
            return
        offset, report = covered[-1]
        where = {k: report[k] for k in ("model", "version", "source", "segment", "horizon_us", "layout_id")}
        end_us = int.from_bytes(report["ends"][-8:], "little", signed=True)
        conditions = " AND ".join(f"{k} = %({k})s" for k in where)
        try:
            (row,) = self._store.query(
                f"SELECT max(ver) AS ver FROM windows WHERE {conditions} AND toUnixTimestamp64Micro(end) = %(e)s",
                where | {"e": end_us},
            )
        except Unavailable:
            return  # the store is out; what is committed by now is looked at again when it is back
        self.store_looks += 1
        if row["ver"] < report["ver"]:
            self.violations.append(
                f"windows/{partition}: committed {committed}, but offset {offset} is not stored"
            )
        self._stored_upto[partition] = offset


__all__ = ["Watch"]
