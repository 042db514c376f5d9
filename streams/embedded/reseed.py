"""Give a fresh broker the control messages that the last one forgot, from the store's ``control`` table.

Alarms that were open then are ended (`streams.embedded.ended`).

The workers' sink writes every message of the control topics there: its topic's short name, its key (for the
registry, which is a log, the event's id) and its bytes in base64. Order and timestamps are kept.
"""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from seawall.errors import SeawallError, Unavailable
from seawall.settings import Settings
from seawall.wire import decode
from streams.embedded.ended import endings
from streams.io.clickhouse import connect
from streams.io.topics import TIMEOUT_S, client_config

TOPICS = ("monitors", "baselines", "registry", "rollbacks")


def reseed(settings: Settings) -> dict[str, int]:
    """Publish the remembered control messages and the ends of alarms; returns how many per topic.

    For a broker that has none.

    Raises
    ------
    Unavailable
        The store or the broker did not take part.
    """
    messages = [
        (topic, _message_key(topic, key, payload), payload, published_ms)
        for topic, key, payload, published_ms in _remembered(settings)
        # An empty payload is a deletion, which a fresh topic does not need.
        if topic in TOPICS and payload
    ]
    now_ms = time.time_ns() // 1_000_000
    messages += [(topic, key, payload, now_ms) for topic, key, payload in endings(settings)]
    _publish(settings, messages)
    return dict(Counter(topic for topic, *_ in messages))


def _publish(settings: Settings, messages: Iterable[tuple[str, bytes, bytes, int]]) -> None:
    from confluent_kafka import KafkaException, Producer  # noqa: PLC0415

    failures: list[str] = []
    producer = Producer(
        client_config(settings)
        | {
            "enable.idempotence": True,
            "message.max.bytes": 64 << 20,
            # one message a batch: the embedded broker takes the start of the last batch for the end of the log,
            # and a reader that believes it would miss the rest of that batch
            "batch.num.messages": 1,
            "log_level": 0,
        }
    )

    def delivered(error: Any, message: Any) -> None:
        if error is not None:
            failures.append(f"{message.topic()}: {error.str()}")

    for topic, key, payload, stamp_ms in messages:
        while True:
            try:
                producer.produce(
                    settings.topic(topic),
                    payload,
                    key=key,
                    timestamp=stamp_ms,
                    on_delivery=delivered,
                )
                break
            except BufferError:  # the producer's queue is full: let it drain
                producer.poll(0.1)
            except KafkaException as error:
                msg = f"broker: {settings.topic(topic)!r} refused a message: {error.args[0].str()}"
                raise Unavailable(msg) from error
    left = producer.flush(TIMEOUT_S)
    if failures or left:
        why = failures[0] if failures else f"{left} were left after {TIMEOUT_S:g} s"
        msg = f"broker: remembered messages were not delivered: {why}"
        raise Unavailable(msg)


def _remembered(settings: Settings) -> list[tuple[str, str, bytes, int]]:
    from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415

    client = connect(settings)
    try:
        rows = client.query(
            "SELECT topic, key, payload, toUnixTimestamp64Milli(published) "
            "FROM control FINAL ORDER BY published, key"
        ).result_rows
    except ClickHouseError as error:
        msg = f"store: the control table cannot be read: {str(error).splitlines()[0][:300]}"
        raise Unavailable(msg) from error
    finally:
        client.close()
    return [(topic, key, base64.b64decode(payload), int(ms)) for topic, key, payload, ms in rows]


def _message_key(topic: str, key: str, payload: bytes) -> bytes:
    if topic != "registry":
        return key.encode()
    try:
        return str(decode(payload, ("registry_event",))[1]["model"]).encode()
    except SeawallError:
        return key.encode()  # the workers will say what is wrong with it, as they did the first time
