"""What the embedded broker's memory does as records go through it: per record, per topic setting, over time.

    python benchmarks/broker_memory.py

Prints the broker's resident memory while records are produced, after their retention has passed, after a
compaction would have been due and after the topic was deleted.
"""

from __future__ import annotations

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


def produce(broker: str, topic: str, records: int, size: int, *, keys: int, linger_ms: int = 50) -> float:
    """Produce; returns seconds."""
    producer = Producer({"bootstrap.servers": broker, "linger.ms": linger_ms, "batch.size": 1_000_000})
    started = time.monotonic()
    value = b"x" * size
    for number in range(records):
        while True:
            try:
                producer.produce(topic, value, key=str(number % keys).encode())
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush(120)
    return time.monotonic() - started


def low_and_high(broker: str, topic: str) -> tuple[int, int]:
    """Watermarks of partition 0."""
    consumer = Consumer({"bootstrap.servers": broker, "group.id": "memory"})
    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        return int(low), int(high)
    finally:
        consumer.close()


def main() -> None:
    """Run it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        broker = start_broker(port, Path(folder) / "broker.log")
        address = f"127.0.0.1:{port}"
        admin = AdminClient({"bootstrap.servers": address})
        try:
            print(f"fresh broker: {rss_mb(broker.pid):.0f} MB")
            for topic, config, size, records, linger_ms in (
                ("small", {"cleanup.policy": "delete", "retention.ms": "10000"}, 100, 1_000_000, 50),
                ("large", {"cleanup.policy": "delete", "retention.ms": "10000"}, 10_000, 30_000, 50),
                ("single", {"cleanup.policy": "delete", "retention.ms": "10000"}, 100, 20_000, 0),
                ("compact", {"cleanup.policy": "compact"}, 1_000, 100_000, 50),
            ):
                admin.create_topics([NewTopic(topic, 1, 1, config=config)])[topic].result()
                before = rss_mb(broker.pid)
                took_s = produce(address, topic, records, size, keys=10, linger_ms=linger_ms)
                grown = rss_mb(broker.pid) - before
                print(
                    f"{topic}: {records} records of {size} bytes in {took_s:.1f} s: +{grown:.0f} MB, "
                    f"{grown * 1048576 / records:.0f} bytes a record; offsets {low_and_high(address, topic)}"
                )
            time.sleep(45)
            print(
                f"45 s later, retention 10 s: {rss_mb(broker.pid):.0f} MB, {low_and_high(address, 'small')}"
            )
            admin.delete_topics(["small", "large"])["small"].result()
            time.sleep(5)
            print(f"two topics deleted: {rss_mb(broker.pid):.0f} MB")
        finally:
            broker.stop()


if __name__ == "__main__":
    main()
