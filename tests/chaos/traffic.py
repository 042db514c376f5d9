"""What is sent, and the memory of it: every message with its rows, and what the broker said about it.

Event time runs about a hundred times as fast as the wall clock, out of order by less than the lateness and grace of the
monitors. Rows that must be counted, rows that must be late and rows that must be dead letters are known when they are
made: late ones lie hours before the first pane, and are sent only after windows of their model have closed.

Some single events are framed as Confluent's serializers do, under schema ids of a registry. There is a new id every few
seconds, as when a service is deployed, so that a registry that is out is missed by workers that asked it before.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from confluent_kafka import Producer

from seawall.contracts import contracts_dir
from seawall.frames import Categorical, Columns, Source, to_record
from seawall.settings import Settings
from seawall.transport import kafka_config
from seawall.wire import HEADER_BYTES, encode
from tests.streams.io.registry_server import RegistryServer

MINUTE = 60_000_000
ORIGINS = ("EWR", "JFK", "LGA")
LABELS = ("bad", "good")
#: What scores speak for.
POSITIVE = "good"
GOOD, LATE, DEAD = 0, 1, 2
PARTITIONS = 4
#: Event time that passes between two rounds.
STEP_US = 15_000_000
OUT_OF_ORDER_US = 90_000_000
ROUND_S = 0.15
#: Single events that name a schema of the registry, and rounds with one id for each contract.
CONFLUENT_SHARE = 0.3
ID_ROUNDS = 20
_CONTRACT: dict[Source, str] = {"predictions": "prediction", "features": "feature", "labels": "label"}


@cache
def schema_of_contract(contract: str) -> Mapping[str, Any]:
    """Return a contract's schema, as the registry holds it."""
    found: Mapping[str, Any] = json.loads((contracts_dir() / f"{contract}.avsc").read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class Flow:
    """Events of one model and version with one set of columns, so that they share a layout."""

    model: str
    version: str
    source: Source
    labelled: bool = False
    singles: bool = False
    score: str = ""
    """Name of the score that labels carry beside the predicted label; without one they carry no prediction."""


FLOWS = (
    Flow("loans", "v1", "predictions"),
    Flow("loans", "v1", "predictions", labelled=True, singles=True),
    Flow("loans", "v2", "predictions", labelled=True),
    Flow("loans", "v1", "features"),
    Flow("ads", "a", "predictions", singles=True),
    Flow("ads", "a", "predictions", labelled=True),
    Flow("ads", "a", "labels", labelled=True),
    # Of v1 the baseline knows losses, and which class its score speaks for; of v2 the score's name says that.
    Flow("loans", "v1", "labels", labelled=True, singles=True, score="score"),
    Flow("loans", "v2", "labels", labelled=True, score=POSITIVE),
)
MONITORS = {
    "loans": "model: loans\nwindows: {pane: 1m, horizons: [5m], lateness: 1m, grace: 20m, min_rows: 20}\n"
    "segments: [origin]\nnotify: [log]\ntask: binary_classification\n"
    'promise: {performance: {brier: "<= 0.5", log_loss: "<= 3"}}\n',
    "ads": "model: ads\nwindows: {pane: 1m, horizons: [3m], lateness: 2m, grace: 15m, min_rows: 20}\nnotify: [log]\n",
}
HORIZONS = {"loans": 5, "ads": 3}
SOURCES: tuple[Source, ...] = ("predictions", "features", "labels")


@dataclass
class Sent:
    """One message and its rows. `fate` says of each row whether it must be counted, late or dead."""

    number: int
    source: Source
    partition: int
    flow: Flow | None
    columns: Columns | None
    fate: npt.NDArray[np.int8]
    is_closing: bool = False
    """Sent at the very end to move the watermark on; not part of the recount."""
    offset: int | None = None
    """Where the broker says it is; None while that is not known."""
    error: str = ""

    @property
    def key(self) -> bytes:
        return str(self.number).encode()


@dataclass
class Traffic:
    """A producer on a thread of its own."""

    settings: Settings
    seed: int
    start_us: int
    registry: RegistryServer
    sent: list[Sent] = field(default_factory=list)
    late_allowed: set[tuple[str, str]] = field(default_factory=set)
    """(model, source) of which windows were seen closed."""

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        # Of its own, so that a seed's other events are what they were without a registry.
        self._framing = np.random.default_rng([self.seed, 1])
        # The same of labels with predictions.
        self._pricing = np.random.default_rng([self.seed, 2])
        self._rounds = 0
        self.confluent = 0
        """Events that named a schema of the registry."""
        self.clock_us = self.start_us
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.failure: BaseException | None = None
        self._producer = Producer(
            kafka_config(self.settings)
            | {
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "message.timeout.ms": 120_000,
                "log_level": 0,
            }
        )

    def open(self) -> None:
        """One event of every model on every partition, acknowledged: from then on, each holds the watermark."""
        for flow in FLOWS:
            for partition in range(PARTITIONS):
                self._frame(flow, partition, np.full(2, self.start_us, dtype=np.int64))
        self._settle()
        self._thread.start()

    def stop(self) -> None:
        """End the stream, and wait for what is under way."""
        self._stop.set()
        self._thread.join(60)
        if self.failure is not None:
            raise self.failure
        self._settle()

    def close(self) -> None:
        """Move every watermark far beyond the last event, so that every pane with events is closed."""
        end = self.clock_us + 90 * MINUTE
        for flow in {(f.model, f.source): f for f in FLOWS}.values():
            for partition in range(PARTITIONS):
                self._frame(flow, partition, np.full(1, end, dtype=np.int64), is_closing=True)
        self._settle()

    @property
    def rows(self) -> int:
        """Rows made so far."""
        return sum(len(s.fate) for s in self.sent)

    def _settle(self) -> None:
        self._producer.flush(130)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                self._round()
                self._producer.poll(0)
                self._stop.wait(max(ROUND_S - (time.monotonic() - began), 0))
        except BaseException as error:
            self.failure = error

    def _round(self) -> None:
        self.clock_us += STEP_US
        self._rounds += 1
        for flow in FLOWS:
            rng = self._draws(flow)
            partition = int(rng.integers(PARTITIONS))
            if flow.singles:
                for ts in self._times(flow, int(rng.integers(1, 12))):
                    self._single(flow, int(rng.integers(PARTITIONS)), int(ts))
                if rng.random() < 0.05 and self._may_be_late(flow):
                    self._single(flow, partition, self._late_time(flow), fate=LATE)
            else:
                self._frame(flow, partition, self._times(flow, int(rng.integers(1, 60))))
        if self._rng.random() < 0.1:
            self._poison(SOURCES[int(self._rng.integers(3))], int(self._rng.integers(PARTITIONS)))

    def _draws(self, flow: Flow) -> np.random.Generator:
        return self._pricing if flow.score else self._rng

    def _times(self, flow: Flow, rows: int) -> npt.NDArray[np.int64]:
        early = self._draws(flow).integers(0, OUT_OF_ORDER_US, rows)
        return np.maximum(self.clock_us - early, self.start_us).astype(np.int64)

    def _may_be_late(self, flow: Flow) -> bool:
        return (flow.model, flow.source) in self.late_allowed

    def _late_time(self, flow: Flow) -> int:
        # Few minutes, so that late events of several layouts fall together.
        return int(self.start_us - 10 * 60 * MINUTE - self._draws(flow).integers(0, 3) * MINUTE)

    def _columns(self, flow: Flow, ts: npt.NDArray[np.int64], *, strange: bool = True) -> Columns:
        rng, n = self._draws(flow), len(ts)
        columns = Columns(flow.source, flow.model, flow.version, ts, frame_id="f")
        if flow.source != "labels":
            x = np.where(rng.random(n) < 0.03, np.nan, rng.normal(10, 4, n).round(3))
            if strange:
                x[rng.random(n) < 0.01] = np.inf
            columns.numeric = {"x": x, "y": rng.lognormal(0, 2, n)}
            origins = rng.choice(np.array([*ORIGINS, None], dtype=object), n, p=[0.5, 0.3, 0.15, 0.05])
            columns.categorical = {"origin": Categorical.of(list(origins))}
        if flow.source == "predictions":
            columns.scores = {"score": rng.random(n)}
        if flow.labelled:
            columns.label = Categorical.of([LABELS[int(i)] for i in rng.integers(0, 2, n)])
        if flow.score:
            self._say_what_was_predicted(flow, columns, strange=strange)
        return columns

    def _say_what_was_predicted(self, flow: Flow, columns: Columns, *, strange: bool) -> None:
        """Put predictions into labels: some scores are missing, some no probability, some predicted labels missing."""
        rng, n = self._draws(flow), columns.rows
        score = rng.random(n).round(4)
        score[rng.random(n) < 0.03] = np.nan
        if strange:
            score[rng.random(n) < 0.02] = 1.5
            score[rng.random(n) < 0.01] = np.inf
        columns.scores = {flow.score: score}
        said: list[str | None] = [LABELS[int(i)] for i in rng.integers(0, 2, n)]
        if not flow.singles:  # of a single event without it, the columns are others
            said = [
                None if is_missing else word
                for word, is_missing in zip(said, rng.random(n) < 0.05, strict=True)
            ]
        columns.predicted = Categorical.of(said)
        origins = rng.choice(np.array([*ORIGINS, None], dtype=object), n, p=[0.5, 0.3, 0.15, 0.05])
        columns.segments = {"origin": Categorical.of(list(origins))}

    def _frame(
        self, flow: Flow, partition: int, ts: npt.NDArray[np.int64], *, is_closing: bool = False
    ) -> None:
        rng, rows = self._draws(flow), len(ts)
        fate = np.zeros(rows, dtype=np.int8)
        if rows > 5 and rng.random() < 0.06:  # a clock that counts milliseconds, for a few rows of the frame
            fate[:2] = DEAD
            ts = np.where(fate == DEAD, 1_700_000_000_000, ts)
        elif rows > 5 and rng.random() < 0.1 and self._may_be_late(flow):
            fate[:3] = LATE
            ts = np.where(fate == LATE, self._late_time(flow), ts)
        columns = self._columns(flow, ts)
        contract = f"{_CONTRACT[flow.source]}_frame"
        self._send(
            flow.source, partition, flow, columns, fate, encode(contract, to_record(columns)), is_closing
        )

    def _single(self, flow: Flow, partition: int, ts: int, fate: int = GOOD) -> None:
        as_json = self._draws(flow).random() < 0.3
        columns = self._columns(flow, np.array([ts], dtype=np.int64), strange=not as_json)
        event: dict[str, Any] = {
            "event_id": f"e{len(self.sent)}",
            "model": flow.model,
            "version": flow.version,
            "ts": ts,
            "scores": _numbers_of(columns.scores),
        }
        if flow.source == "labels":
            event["predicted"] = None if columns.predicted is None else _word_of(columns.predicted)
            event["segments"] = _words_of(columns.segments)
        else:
            event["numeric"], event["categorical"] = (
                _numbers_of(columns.numeric),
                _words_of(columns.categorical),
            )
        if columns.label is not None:
            event["label"] = _word_of(columns.label)
        contract = _CONTRACT[flow.source]
        payload = json.dumps(event).encode() if as_json else encode(contract, event)
        framing = self._pricing if flow.score else self._framing
        if not as_json and framing.random() < CONFLUENT_SHARE:
            payload = self._confluent(contract, payload)
        self._send(flow.source, partition, flow, columns, np.array([fate], dtype=np.int8), payload)

    def _confluent(self, contract: str, payload: bytes) -> bytes:
        """Name the schema by an id of the registry instead of its fingerprint."""
        schema_id = (
            1 + (self._rounds // ID_ROUNDS) * len(_CONTRACT) + list(_CONTRACT.values()).index(contract)
        )
        self.registry.register(schema_id, schema_of_contract(contract))
        self.confluent += 1
        return b"\0" + schema_id.to_bytes(4, "big") + payload[HEADER_BYTES:]

    def _poison(self, source: Source, partition: int) -> None:
        flow = next(f for f in FLOWS if f.source == source)
        whole = encode(
            f"{_CONTRACT[source]}_frame",
            to_record(self._columns(flow, np.array([self.clock_us], dtype=np.int64))),
        )
        payload = (b"\xff\xfe\x00", b'{"model": ', whole[: len(whole) // 2], b"\xc3\x01short")[
            int(self._rng.integers(4))
        ]
        self._send(source, partition, None, None, np.array([DEAD], dtype=np.int8), payload)

    def _send(
        self,
        source: Source,
        partition: int,
        flow: Flow | None,
        columns: Columns | None,
        fate: npt.NDArray[np.int8],
        payload: bytes,
        is_closing: bool = False,
    ) -> None:
        one = Sent(len(self.sent), source, partition, flow, columns, fate, is_closing)
        self.sent.append(one)

        def delivered(error: Any, message: Any) -> None:
            if error is not None:
                one.error = str(error)
            else:
                one.offset = message.offset()

        while True:
            try:
                self._producer.produce(
                    self.settings.topic(source), payload, one.key, partition=partition, on_delivery=delivered
                )
            except BufferError:
                self._producer.poll(0.5)
            else:
                return


def _numbers_of(columns: Mapping[str, npt.NDArray[np.float64]]) -> list[dict[str, Any]]:
    return [{"name": n, "value": None if np.isnan(v[0]) else float(v[0])} for n, v in columns.items()]


def _words_of(columns: Mapping[str, Categorical]) -> list[dict[str, Any]]:
    return [{"name": n, "value": _word_of(c)} for n, c in columns.items()]


def _word_of(column: Categorical) -> str | None:
    return column.dictionary[0] if column.codes[0] >= 0 else None


__all__ = [
    "DEAD",
    "FLOWS",
    "GOOD",
    "HORIZONS",
    "LATE",
    "MINUTE",
    "MONITORS",
    "PARTITIONS",
    "POSITIVE",
    "Flow",
    "Sent",
    "Traffic",
]
