"""Bytewax: collect each window, then count it with numpy.

Collecting and counting a window at once is quicker here than folding event by event: a fold calls Python for each.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource
from bytewax.connectors.kafka import operators as kop
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from benchmarks.contenders.apps.task import BROKER, MODEL, OUT, TOPIC, decode, summarise, window_of

Event = tuple[datetime, int, list[float]]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(message) -> tuple[str, Event]:
    ts, values = decode(message.value)
    return MODEL, (datetime.fromtimestamp(ts / 1e6, UTC), ts, values)


def count(found: tuple[str, tuple[int, list[Event]]]) -> KafkaSinkMessage:
    _, (_, events) = found
    value = summarise(window_of(events[0][1]), [values for _, _, values in events])
    return KafkaSinkMessage(None, value)


flow = Dataflow("bench")
messages = op.input("events", flow, KafkaSource([BROKER], [TOPIC], batch_size=1000))
keyed = op.map("decode", messages, read)
clock = win.EventClock(lambda event: event[0], wait_for_system_duration=timedelta(seconds=10))
windows = win.collect_window(
    "minutes", keyed, clock, win.TumblingWindower(length=timedelta(minutes=1), align_to=EPOCH), ordered=False
)
kop.output("windows", op.map("count", windows.down, count), brokers=[BROKER], topic=OUT)

if __name__ == "__main__":
    cli_main(flow)
