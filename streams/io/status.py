"""What an operator asks first: which models, how far behind, what is wrong. Read from bus and store."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from seawall.contracts import topics
from seawall.errors import SeawallError
from seawall.settings import Settings
from streams.io.baseline_notes import baseline_notes
from streams.io.clickhouse import connect
from streams.io.offsets import end_offsets
from streams.io.topics import client_config

TIMEOUT_S = 5.0
#: Topics that the consumer group works through.
CONSUMED = tuple(name for name, topic in topics().items() if topic.direction == "in" or name == "summaries")
_MODELS = """
SELECT model, max(seen) AS version, max(end) AS window_end, max(current) AS current_version,
    max(open) AS open_alarms
FROM (
    SELECT model, argMax(version, windows.end) AS seen, toNullable(max(windows.end)) AS end,
        '' AS current, 0 AS open
    FROM windows FINAL GROUP BY model
    UNION ALL
    SELECT model, '' AS seen, NULL AS end, argMax(version, ts) AS current, 0 AS open
    FROM registry_events FINAL WHERE action IN ('promoted', 'rolled_back') GROUP BY model
    UNION ALL
    SELECT model, '' AS seen, NULL AS end, '' AS current,
        countIf(last != 'resolved' AND speaker IN ('', alarm_id)) AS open
    FROM (
        SELECT model, alarm_id, argMax(state, revision) AS last, argMax(incident_id, revision) AS speaker
        FROM alarms FINAL GROUP BY model, alarm_id
    )
    GROUP BY model
) GROUP BY model ORDER BY model
"""
_ALARMS = """
SELECT alarm_id, model, version, kind, severity, opened, onset, summary, story, moved
FROM (SELECT * FROM alarms FINAL ORDER BY alarm_id, revision DESC LIMIT 1 BY alarm_id)
WHERE state != 'resolved' AND incident_id IN ('', alarm_id) ORDER BY opened DESC, alarm_id LIMIT 100
"""


@dataclass(frozen=True)
class Model:
    """One model. `current_version` is what the registry says serves; `version` what the last window saw."""

    model: str
    version: str
    current_version: str
    window_end: str
    open_alarms: int


@dataclass(frozen=True)
class Alarm:
    """One open incident: of alarms with one cause, the one that speaks for them."""

    alarm_id: str
    model: str
    version: str
    kind: str
    severity: str
    opened: str
    """Since when it has been seen."""
    summary: str
    onset: str = ""
    """When it most likely began; empty when that is not known."""
    story: str = ""
    moved: str = ""


@dataclass(frozen=True)
class Status:
    """One look at a deployment. A part that could not be asked has its reason in `broker` or `store`."""

    asked: str
    broker: str = "ok"
    store: str = "ok"
    lag: dict[str, int] = field(default_factory=dict)
    """Records that the consumer group has not committed yet, by short topic name."""
    models: list[Model] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the baselines of serving versions are too short to teach."""

    @property
    def is_reachable(self) -> bool:
        """Whether anything answered."""
        return self.broker == "ok" or self.store == "ok"

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def read_status(settings: Settings) -> Status:
    """Ask the broker and the store; neither's failure hides the other. Blocks, see `TIMEOUT_S`."""
    broker = store = "ok"
    lag: dict[str, int] = {}
    models: list[Model] = []
    alarms: list[Alarm] = []
    notes: list[str] = []
    try:
        lag = read_lag(settings)
    except SeawallError as error:
        broker = str(error)
    try:
        models, alarms, notes = _read_store(settings)
    except SeawallError as error:
        store = str(error)
    return Status(datetime.now(UTC).isoformat(timespec="seconds"), broker, store, lag, models, alarms, notes)


def read_lag(settings: Settings) -> dict[str, int]:
    """Return how many records of each consumed topic ``settings.group`` has not committed yet.

    Raises
    ------
    Unavailable
        The broker does not answer.
    """
    from confluent_kafka import Consumer, KafkaException, TopicPartition  # noqa: PLC0415

    from seawall.errors import Unavailable  # noqa: PLC0415

    # it never subscribes, so it does not join the group and disturbs nobody
    consumer = Consumer(
        client_config(settings) | {"group.id": settings.group, "enable.auto.commit": False, "log_level": 0}
    )
    try:
        known = consumer.list_topics(timeout=TIMEOUT_S).topics
        asked = [
            TopicPartition(settings.topic(name), partition)
            for name in CONSUMED
            if settings.topic(name) in known
            for partition in known[settings.topic(name)].partitions
        ]
        committed = consumer.committed(asked, timeout=TIMEOUT_S) if asked else []
        positions = {(p.topic, p.partition): p.offset for p in committed}
        lag = {name: 0 for name in CONSUMED if settings.topic(name) in known}
        for (topic, partition), end in end_offsets(settings, positions, TIMEOUT_S).items():
            start = positions[topic, partition]
            if start < 0:  # nothing committed yet: everything there is
                start, _ = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)
            lag[topic.removeprefix(settings.topic_prefix)] += max(0, end - start)
    except KafkaException as error:
        msg = f"broker: {settings.broker} does not answer: {error.args[0].str()}"
        raise Unavailable(msg) from error
    finally:
        consumer.close()
    return lag


def _read_store(settings: Settings) -> tuple[list[Model], list[Alarm], list[str]]:
    from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415

    from seawall.errors import Unavailable  # noqa: PLC0415

    client = connect(settings)
    try:
        models = [
            Model(
                m["model"], m["version"], m["current_version"], _iso(m["window_end"]), int(m["open_alarms"])
            )
            for m in client.query(_MODELS).named_results()
        ]
        alarms = [
            Alarm(**{**a, "opened": _iso(a["opened"]), "onset": _iso(a["onset"])})
            for a in client.query(_ALARMS).named_results()
        ]
        notes = baseline_notes(client, {m.model: m.current_version or m.version for m in models})
    except ClickHouseError as error:
        words = " ".join(str(error).split())[:300]
        if "Max retries exceeded" in words:
            words = "does not answer"
        hint = " (run `seawall migrate`?)" if "UNKNOWN_TABLE" in words or "UNKNOWN_DATABASE" in words else ""
        msg = f"store: {settings.store_url}: {words}{hint}"
        raise Unavailable(msg) from error
    finally:
        client.close()
    return models, alarms, notes


def _iso(moment: datetime | None) -> str:
    if moment is None:
        return ""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat(timespec="seconds")
