"""What comes back on the bus: alarms, rollbacks and registry events, as they happen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from examples.flights.model import MODEL
from examples.flights.story import Release
from seawall.baseline import Baseline
from seawall.errors import Unavailable
from seawall.settings import Settings
from seawall.transport import kafka_config
from seawall.wire import decode, encode

Record = dict[str, Any]
#: Told of every record, as (topic, record), from the reader's own thread.
OnRecord = Callable[[str, Record], None]
_CONTRACTS = {"alarms": "alarm", "rollbacks": "rollback", "registry": "registry_event"}
#: States of a rollback in which somebody still has to act.
UNDER_WAY = frozenset({"requested", "approved"})


class Loop:
    """Reads the three topics whole, in a thread of its own. The product asks it which version serves.

    Attributes
    ----------
    alarms, rollbacks, registry : list of records, in the order in which they came
    """

    def __init__(self, settings: Settings, on_record: OnRecord) -> None:
        self.alarms: list[Record] = []
        self.rollbacks: list[Record] = []
        self.registry: list[Record] = []
        self._on_record = on_record
        self._names = {settings.topic(name): name for name in _CONTRACTS}
        self._is_stopping = threading.Event()
        self._changed = threading.Condition()
        config = {
            **kafka_config(settings),
            "group.id": "flights-demo",
            "enable.auto.commit": False,
            "log_level": 0,
        }
        # Partitions are assigned by hand: a product wants the whole topic, and no group to join or to leave.
        self._consumer = Consumer(
            {**config, "fetch.wait.max.ms": 50, "topic.metadata.refresh.interval.ms": 10_000}
        )
        self._thread = threading.Thread(target=self._read, name="flights-loop", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        metadata = self._consumer.list_topics(timeout=10).topics
        self._consumer.assign(
            [TopicPartition(t, p, OFFSET_BEGINNING) for t in self._names for p in metadata[t].partitions]
        )
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._is_stopping.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)
        self._consumer.close()

    def serving(self) -> str:
        """Return the version that was promoted last; empty while there is none."""
        promoted = [e for e in self.registry if e["action"] == "promoted"]
        return str(max(promoted, key=lambda e: e["ts"])["version"]) if promoted else ""

    def rollback_states(self) -> dict[str, str]:
        """Return the latest state of every rollback."""
        return {r["rollback_id"]: r["state"] for r in sorted(self.rollbacks, key=lambda r: int(r["seq"]))}

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something on the bus made `condition` true; False when the time ran out."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)

    def _read(self) -> None:
        while not self._is_stopping.is_set():
            for message in self._consumer.consume(100, 0.1):
                if message.error() is None:
                    self._take(self._names[cast(str, message.topic())], message.value() or b"")

    def _take(self, topic: str, payload: bytes) -> None:
        record = decode(payload, (_CONTRACTS[topic],))[1]
        if record["model"] != MODEL:
            return
        into: list[Record] = getattr(self, topic)
        with self._changed:
            if record in into:  # delivered again, after a restart
                return
            into.append(record)
            self._changed.notify_all()
        self._on_record(topic, record)


class Releases:
    """The release pipeline: registers and promotes versions, on the registry's topic."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer({**kafka_config(settings), "enable.idempotence": True, "log_level": 0})

    def register(self, release: Release, baseline: Baseline, at_us: int) -> None:
        """Announce a version."""
        lineage = {"baseline": baseline.baseline_id, "training": release.notes}
        self._event(release, "registered", at_us, lineage)

    def promote(self, release: Release) -> None:
        """Put a version into production."""
        self._event(release, "promoted", release.at_us, {})

    def _event(self, release: Release, action: str, ts: int, lineage: dict[str, str]) -> None:
        event = {
            "event_id": f"{MODEL}-{release.version}-{action}",
            "model": MODEL,
            "version": release.version,
            "action": action,
            "ts": ts,
            "stage": "production" if action == "promoted" else "registered",
            "parent": release.parent,
            "replaces": release.parent if action == "promoted" else None,
            "lineage": lineage,
            "actor": "release pipeline",
            "reason": release.notes,
            "rollback_id": None,
        }
        self._send(event)

    def _send(self, event: Record) -> None:
        errors: list[Any] = []
        self._producer.produce(
            self._settings.topic("registry"),
            encode("registry_event", event),
            MODEL.encode(),
            on_delivery=lambda error, _: errors.append(error) if error else None,
        )
        if self._producer.flush(15.0) or errors:
            msg = f"registry: {event['version']} {event['action']}: not delivered: {errors or 'within 15 s'}"
            raise Unavailable(msg)
