"""Quix Streams: collect each window in its state store, then count it with numpy."""

from __future__ import annotations

from quixstreams import Application
from quixstreams.models import Deserializer, SerializationContext

from benchmarks.contenders.apps.task import (
    BROKER,
    GROUP,
    OUT,
    STATE_DIR,
    TOPIC,
    WINDOW_US,
    decode,
    summarise,
)


class Event(Deserializer):
    """Avro in single-object encoding."""

    def __call__(self, value: bytes, ctx: SerializationContext) -> dict:
        ts, values = decode(value)
        return {"ts": ts, "values": values}


app = Application(
    broker_address=BROKER,
    consumer_group=GROUP,
    auto_offset_reset="earliest",
    state_dir=STATE_DIR,
    loglevel="WARNING",
)
events = app.topic(
    TOPIC,
    value_deserializer=Event(),
    timestamp_extractor=lambda value, headers, timestamp, kind: value["ts"] // 1000,
)
out = app.topic(OUT, value_serializer="bytes")
frame = app.dataframe(events)
frame = frame.apply(lambda event: event["values"]).tumbling_window(WINDOW_US // 1000).collect().final()
frame = frame.apply(lambda window: summarise(window["start"] * 1000, window["value"]))
frame.to_topic(out)

if __name__ == "__main__":
    app.run()
