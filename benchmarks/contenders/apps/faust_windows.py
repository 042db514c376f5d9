"""Faust as its manual shows it: an agent, a tumbling table, one event after the other.

With ``BENCH_BATCH`` the agent takes that many events at a time and counts them with numpy, which is as far as one
gets without leaving Faust's own tools (and which loses events when the agent raises: `Stream.take`).

A window is published when the first event of a later one comes: Faust closes windows by the wall clock, and hands
none of them over.
"""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import groupby

import faust
from faust.serializers import codecs

from benchmarks.contenders.apps.task import (
    BROKER,
    GROUP,
    MODEL,
    OUT,
    STATE_DIR,
    TOPIC,
    Running,
    decode,
    window_of,
)

BATCH = int(os.environ.get("BENCH_BATCH", "0"))


class Avro(codecs.Codec):
    """Avro in single-object encoding."""

    def _loads(self, s: bytes):
        return decode(s)


codecs.register("bench-avro", Avro())
app = faust.App(
    GROUP,
    broker=f"kafka://{BROKER}",
    store="memory://",
    datadir=STATE_DIR,
    web_enabled=False,
    topic_partitions=1,
    consumer_auto_offset_reset="earliest",
    broker_max_poll_records=4000,
)
events_topic = app.topic(TOPIC, key_type=bytes, value_serializer="bench-avro", key_serializer="raw")
out_topic = app.topic(OUT, value_serializer="raw")
table = app.Table(
    "minutes",
    default=bytes,
    partitions=1,
    schema=faust.Schema(key_serializer="json", value_type=bytes, value_serializer="raw"),
    use_partitioner=bool(BATCH),  # a batch is no event, from which a table would take the partition
)
minutes = table.tumbling(timedelta(minutes=1), expires=timedelta(days=1)).relative_to(
    lambda event: event.value[0] / 1e6
)
current = 0


async def go_on_to(start: int) -> None:
    """Publish the window before, when this one is the first of a later minute."""
    global current  # noqa: PLW0603 - one agent, one partition
    if current and start > current:
        # There is no public way to a window other than the current event's.
        state = table._windowed_timestamp(MODEL, current / 1e6)
        await out_topic.send(value=Running(state).to_result(current))
    current = start


@app.agent(events_topic)
async def count(stream) -> None:
    if BATCH:
        async for batch in stream.take(BATCH, within=0.1):
            for start, rows in groupby(batch, key=lambda event: window_of(event[0])):
                await go_on_to(start)
                state = Running(table._windowed_timestamp(MODEL, start / 1e6))
                state.add_table([values for _, values in rows])
                table._set_windowed(MODEL, state.to_bytes(), start / 1e6)
        return
    async for ts, values in stream:
        await go_on_to(window_of(ts))
        state = Running(minutes[MODEL].value())
        state.add(values)
        minutes[MODEL] = state.to_bytes()


if __name__ == "__main__":
    app.main()
