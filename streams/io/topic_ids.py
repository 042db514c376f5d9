"""The ids that a broker gives its topics: one that is deleted and made again under the same name has another.

aiokafka asks for metadata in a version that has no ids, so librdkafka is asked. Apache Kafka has them from 2.8 on, and
the embedded broker has them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from seawall.settings import Settings
from seawall.transport import kafka_config

log = logging.getLogger(__name__)
TIMEOUT_S = 5.0
#: What brokers answer that have none: sixteen bytes of 0.
_NONE = "A" * 22


class TopicIds:
    """Asks a broker for topics' ids, over one connection."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: Any = None
        self._lock = threading.Lock()

    def ask(self, names: Sequence[str]) -> dict[str, str]:
        """Return the ids of topics, by their full names; empty for a topic whose broker gives none.

        Topics of which the broker says nothing within `TIMEOUT_S` are left out: those that are not there, and all of
        them while it does not answer. Blocks for as long.
        """
        with self._lock:  # one client that several threads ask at once may answer none of them
            return self._ask(names)

    def _ask(self, names: Sequence[str]) -> dict[str, str]:
        from confluent_kafka import KafkaException, TopicCollection  # noqa: PLC0415
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415

        if self._admin is None:
            self._admin = AdminClient(kafka_config(self._settings) | {"log_level": 0})
        found: dict[str, str] = {}
        for name in names:
            try:
                asked = self._admin.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT_S)
                said = str(asked[name].result(2 * TIMEOUT_S).topic_id or _NONE).rstrip("=")
            except (KafkaException, TimeoutError) as error:
                log.debug("topic %s: %s", name, error)
            else:
                found[name] = "" if said == _NONE else said
        return found
