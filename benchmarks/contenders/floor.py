"""The floor: confluent-kafka's consumer and the columnar decoder, and nothing else, as a process of its own."""

from __future__ import annotations

import os
import sys
import time

from confluent_kafka import Consumer, TopicPartition

from streams.core.columnar import decode_run
from streams.core.decode import Record

#: What one fetch of a worker delivers.
RUN = 4000


def main() -> int:
    """Read the topic to its end, decode it, and print when the first and the last were there."""
    topic = os.environ["BENCH_TOPIC"]
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BENCH_BROKER"],
            "group.id": "floor",
            # What a worker fetches at once, and no pause when the queue is full: the defaults halve the rate.
            "max.partition.fetch.bytes": 8 << 20,
            "fetch.queue.backoff.ms": 5,
        }
    )
    low, high = consumer.get_watermark_offsets(TopicPartition(topic, 0), 30)
    consumer.assign([TopicPartition(topic, 0, low)])
    after, events = low, 0
    while after < high:
        batch = consumer.consume(RUN, 1.0)
        if batch and after == low:
            print(f"first {time.time()}", flush=True)
        records = [Record(m.offset(), m.timestamp()[1] * 1000, m.value(), m.key()) for m in batch]
        events += int(decode_run("predictions", records).rows.sum())
        after = records[-1].offset + 1 if records else after
    print(f"done {time.time()} {events}", flush=True)
    consumer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
