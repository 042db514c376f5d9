"""What decoding costs: a run of single events at once, one by one, and beside what nobody can do without.

Run ``python -m benchmarks.decode``; ``--broker`` adds the floor: consuming the same records from an embedded
broker with confluent-kafka and decoding each batch as one Avro block with polars, and nothing else. Contenders
take turns in every round, so that another process on the machine slows all of them; the ratios are what counts.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fastavro
import numpy as np
import polars as pl

from seawall.contracts import contract
from seawall.frames import Columns, to_record
from seawall.wire import HEADER_BYTES, decode, encode
from streams.core.columnar import decode_run
from streams.core.decode import Record, decode_record, gather
from streams.core.shapes import zigzag

T0 = 1_700_000_000_000_000
SYNC = bytes(16)
#: What one fetch delivers.
RUN = 4000


def single_events(count: int, features: int, missing: float, models: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    values, absent = rng.normal(size=(count, features)), rng.random((count, features)) < missing
    return [
        encode(
            "prediction",
            {
                "event_id": str(uuid.UUID(int=i)),
                "model": f"model-{i % models}",
                "version": "v1",
                "ts": T0 + i,
                "numeric": [
                    {"name": f"f{j}", "value": None if absent[i, j] else float(values[i, j])}
                    for j in range(features)
                ],
                "scores": [{"name": "score", "value": 0.5}],
            },
        )
        for i in range(count)
    ]


def frames(count: int, features: int, rows: int) -> list[bytes]:
    rng = np.random.default_rng(0)
    return [
        encode(
            "prediction_frame",
            to_record(
                Columns(
                    "predictions",
                    "model",
                    "v1",
                    T0 + np.arange(rows) + i,
                    {f"f{j}": rng.normal(size=rows) for j in range(features)},
                    frame_id=str(i),
                )
            ),
        )
        for i in range(count // rows)
    ]


def records(values: list[bytes]) -> list[Record]:
    return [Record(i, T0 + 10**9, value) for i, value in enumerate(values)]


def block_header() -> tuple[bytes, Any]:
    """Header of an object container without what polars' reader refuses: named types and defaults of numbers."""
    raw = json.loads(json.dumps(contract("prediction").schema))
    pairs = {"scores": "NumericValue", "segments": "CategoricalValue"}
    raw["fields"] = [{k: v for k, v in f.items() if k != "default"} for f in raw["fields"]]
    of = {f["name"]: f for f in raw["fields"]}
    for name, like in pairs.items():
        source = "numeric" if like == "NumericValue" else "categorical"
        items = {**of[source]["type"]["items"], "name": f"{like}Of{name}"}
        of[name]["type"] = {"type": "array", "items": items}
    header = io.BytesIO()
    parsed = fastavro.parse_schema(json.loads(json.dumps(raw)))
    fastavro.writer(header, parsed, [], sync_marker=SYNC)
    return header.getvalue(), parsed


def with_polars(header: bytes, values: list[bytes]) -> pl.DataFrame:
    """One block of trusted datums: a damaged one would eat its neighbour."""
    body = b"".join(v[HEADER_BYTES:] for v in values)
    return pl.read_avro(io.BytesIO(header + zigzag(len(values)) + zigzag(len(body)) + body + SYNC))


def contenders(values: list[bytes]) -> dict[str, Callable[[], Any]]:
    schema, run, header = contract("prediction").schema, records(values), block_header()[0]
    lines = records([json.dumps(decode(v, ("prediction",))[1]).encode() for v in values])

    def fastavro_only() -> None:
        for value in values:
            fastavro.schemaless_reader(io.BytesIO(value[HEADER_BYTES:]), schema)

    def one_by_one() -> None:
        decoded = [decode_record("predictions", r).single for r in run]
        gather("predictions", [event for event in decoded if event is not None])

    return {
        "fastavro, one by one, no checks": fastavro_only,
        "seawall, one by one": one_by_one,
        "seawall, a run at once": lambda: decode_run("predictions", run).part(0, len(run)),
        "polars, one block, no checks": lambda: with_polars(header, values),
        "json.loads, one by one, no checks": lambda: [json.loads(r.value) for r in lines],
        "seawall, the same events in JSON": lambda: decode_run("predictions", lines).part(0, len(lines)),
    }


def measure(work: dict[str, Callable[[], Any]], events: int, rounds: int) -> dict[str, list[float]]:
    """Events a second of processor time of each contender in each round."""
    out: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, do in work.items():
            start = time.process_time()
            do()
            out[name].append(events / (time.process_time() - start))
    return out


def show(title: str, measured: dict[str, list[float]], unit: str) -> None:
    print(f"\n{title}")
    base = statistics.median(measured[unit])
    for name, runs in measured.items():
        middle = statistics.median(runs)
        print(f"  {name:<34} {middle:>12,.0f} /s   {middle / base:>7.1f} ×   best {max(runs):>12,.0f}")


def floor(values: list[bytes], rounds: int) -> dict[str, list[float]]:
    """Consume from a broker, and decode or not. Wall clock: the client works in threads of its own."""
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic

    from streams.embedded.broker import start_broker
    from streams.embedded.processes import free_port

    header = block_header()[0]
    decoders: dict[str, Callable[[list[bytes]], Any]] = {
        "consume, nothing else": len,
        "consume, polars (the floor)": lambda batch: with_polars(header, batch),
        "consume, seawall": lambda batch: decode_run("predictions", records(batch)).part(0, len(batch)),
    }
    out: dict[str, list[float]] = {name: [] for name in decoders}
    with TemporaryDirectory() as directory:
        port = free_port()
        broker = start_broker(port, Path(directory) / "broker.log")
        try:
            server = {"bootstrap.servers": f"127.0.0.1:{port}"}
            AdminClient(server).create_topics([NewTopic("decode", 1, 1)])["decode"].result(30)
            producer = Producer({**server, "linger.ms": 20, "queue.buffering.max.messages": 10**6})
            for value in values:
                producer.produce("decode", value, partition=0)
            producer.flush()
            for _ in range(rounds):
                for name, decode in decoders.items():
                    consumer = Consumer({**server, "group.id": "bench", "enable.auto.commit": False})
                    consumer.assign([TopicPartition("decode", 0, 0)])
                    batch, seen = [m.value() for m in consumer.consume(1, 30)], 0
                    start = time.perf_counter()
                    while seen < len(values):
                        batch += [m.value() for m in consumer.consume(RUN, 1.0)]
                        decode(batch)
                        seen, batch = seen + len(batch), []
                    out[name].append(len(values) / (time.perf_counter() - start))
                    consumer.close()
        finally:
            broker.stop()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--broker", action="store_true", help="measure the floor as well")
    options = parser.parse_args()
    for title, missing, models in (("", 0.0, 1), (", 10 % missing", 0.1, 1), (", 100 models", 0.0, 100)):
        work = contenders(single_events(RUN, options.features, missing, models))
        measured = measure(work, RUN, options.rounds)
        show(f"single events, {options.features} numbers{title}", measured, "fastavro, one by one, no checks")
    work = {}
    for rows in (50, 2000):
        run = records(frames(40_000, options.features, rows))
        work[f"frames of {rows}"] = lambda run=run: decode_run("predictions", run)  # type: ignore[misc]
    show(f"rows of frames, {options.features} numbers", measure(work, 40_000, options.rounds), "frames of 50")
    if options.broker:
        measured = floor(single_events(100_000, options.features, 0.0, 1), options.rounds)
        show("from a broker, single events (wall clock)", measured, "consume, polars (the floor)")


if __name__ == "__main__":
    main()
