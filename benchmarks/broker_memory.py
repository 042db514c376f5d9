"""What the embedded broker's memory does as records go through it: per record, per topic setting, over time.

    python benchmarks/broker_memory.py [seconds to wait, default 45]

Prints the broker's resident memory while records are produced, after their retention has passed, after a
compaction would have been due and after the topic was deleted.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not in its __all__

from streams.embedded.broker import start_broker
from streams.embedded.processes import free_port


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def produce(broker: str, topic: str, records: int, size: int, **config: object) -> float:
    """Produce records of random-looking text under ten keys; returns seconds."""
    producer = Producer({"bootstrap.servers": broker, "batch.size": 1_000_000, **config})
    started = time.monotonic()
    value = (hashlib.sha512(topic.encode()).hexdigest() * (1 + size // 128))[:size].encode()
    for number in range(records):
        while True:
            try:
                producer.produce(topic, value, key=str(number % 10).encode())
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    if producer.flush(120):
        raise SystemExit("the broker did not take all records")
    return time.monotonic() - started


def first_offset(broker: str, topic: str) -> int:
    """Return the first offset that partition 0 still has."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "memory"})
    try:
        low, _ = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        return int(low)
    finally:
        consumer.close()


def main() -> None:
    """Run it."""
    port = free_port()
    wait_s = int(sys.argv[1]) if len(sys.argv) > 1 else 45
    short = {"cleanup.policy": "delete", "retention.ms": "10000"}
    batched: dict[str, object] = {"linger.ms": 50}
    cases: tuple[tuple[str, dict[str, str], int, int, dict[str, object]], ...] = (
        ("small", short, 100, 1_000_000, batched),
        ("large", short, 10_000, 30_000, batched),
        ("single", short, 100, 20_000, {"linger.ms": 0}),
        ("lz4", short, 1_000, 100_000, {**batched, "compression.type": "lz4"}),
        ("compact", {"cleanup.policy": "compact"}, 1_000, 100_000, batched),
    )
    with tempfile.TemporaryDirectory() as folder:
        broker = start_broker(port, Path(folder) / "broker.log")
        address = f"127.0.0.1:{port}"
        admin = AdminClient({"bootstrap.servers": address})
        try:
            print(f"fresh broker: {rss_mb(broker.pid):.0f} MB")
            for topic, topic_config, size, records, config in cases:
                admin.create_topics([NewTopic(topic, 1, 1, config=topic_config)])[topic].result()
                before = rss_mb(broker.pid)
                took_s = produce(address, topic, records, size, **config)
                grown = rss_mb(broker.pid) - before
                print(
                    f"{topic}: {records} records of {size} bytes in {took_s:.1f} s: +{grown:.0f} MB, "
                    f"{grown * 1048576 / records:.0f} bytes a record"
                )
            time.sleep(wait_s)
            first = {topic: first_offset(address, topic) for topic in ("small", "compact")}
            print(f"{wait_s} s later, retention 10 s: {rss_mb(broker.pid):.0f} MB, first offsets {first}")
            for topic, deletion in admin.delete_topics([case[0] for case in cases]).items():
                deletion.result()
                print(f"deleted {topic}")
            time.sleep(5)
            print(f"all topics deleted: {rss_mb(broker.pid):.0f} MB")
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
