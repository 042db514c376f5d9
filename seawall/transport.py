"""How frames leave the process: to Kafka, or into a list for tests."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

from seawall.errors import ConfigError
from seawall.settings import Settings

#: Told once per message: None when the broker has it, otherwise why it has not.
Delivered = Callable[[str | None], None]
_SECURITY = ("plaintext", "ssl", "sasl_ssl", "sasl_plaintext")
_MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
_log = logging.getLogger("seawall.transport")


class MessageTooLarge(Exception):  # noqa: N818 - reads as what it is
    """The transport will not take a message of this size; smaller ones may pass."""


@runtime_checkable
class Transport(Protocol):
    """Where the client hands its frames. Called from the client's own thread, never from the product's."""

    def send(self, topic: str, key: bytes, value: bytes, delivered: Delivered) -> bool:
        """Take a message, or return False when there is no room now. May raise `MessageTooLarge`."""

    def poll(self, timeout_s: float) -> None:
        """Serve delivery reports, waiting for one at most this long."""

    def flush(self, timeout_s: float) -> bool:
        """Wait until every message was delivered or failed; False when the time ran out."""

    def close(self, timeout_s: float) -> None:
        """Let go. Messages still under way are abandoned."""

    def after_fork(self) -> None:
        """In a forked child: become as new, touching nothing that the parent still uses."""


class InMemoryTransport:
    """Keep messages in `messages`, as (topic, key, value). For tests and notebooks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.messages: list[tuple[str, bytes, bytes]] = []

    def send(self, topic: str, key: bytes, value: bytes, delivered: Delivered) -> bool:
        """Append the message; it counts as delivered at once."""
        with self._lock:
            self.messages.append((topic, key, value))
        delivered(None)
        return True

    def poll(self, timeout_s: float) -> None:
        """Do nothing: reports come with `send`."""

    def flush(self, timeout_s: float) -> bool:
        """Nothing is ever under way."""
        return True

    def close(self, timeout_s: float) -> None:
        """Keep the messages for whoever looks."""

    def after_fork(self) -> None:
        """Forget the parent's messages."""
        self._lock = threading.Lock()
        self.messages = []


def kafka_config(settings: Settings) -> dict[str, Any]:
    """Say connection settings in librdkafka's words, for any Kafka client of Seawall.

    Raises
    ------
    ConfigError
        For an unknown protocol, a missing user name, or a password that would travel in the clear.
    """
    security = settings.broker_security.lower()
    if security not in _SECURITY:
        msg = f"broker_security: {settings.broker_security!r} is unknown, expected {' | '.join(_SECURITY)}"
        raise ConfigError(msg)
    if not settings.broker.strip():
        raise ConfigError("broker: the address is empty, expected host:port, comma separated")
    config: dict[str, Any] = {
        "bootstrap.servers": settings.broker,
        "security.protocol": security,
        # librdkafka's own pace, ten attempts a second and more, would hammer a broker that refuses a password
        "reconnect.backoff.ms": 2_000,
        "reconnect.backoff.max.ms": 10_000,
    }
    if security.startswith("sasl"):
        mechanism = settings.broker_sasl_mechanism.upper()
        if mechanism not in _MECHANISMS:
            msg = f"broker_sasl_mechanism: {mechanism!r} is unknown, expected {' | '.join(_MECHANISMS)}"
            raise ConfigError(msg)
        if security == "sasl_plaintext" and mechanism == "PLAIN" and not settings.broker_allow_insecure:
            msg = (
                "broker_security: sasl_plaintext with PLAIN sends the password in the clear, expected "
                "sasl_ssl or a SCRAM mechanism (broker_allow_insecure permits it)"
            )
            raise ConfigError(msg)
        if not settings.broker_username:
            msg = f"broker_username: is empty, expected a user name for {security}"
            raise ConfigError(msg)
        config |= {
            "sasl.mechanism": mechanism,
            "sasl.username": settings.broker_username,
            "sasl.password": settings.broker_password,
        }
    if security.endswith("ssl"):
        files = {
            "ssl.ca.location": settings.broker_ca_file,
            "ssl.certificate.location": settings.broker_cert_file,
            "ssl.key.location": settings.broker_key_file,
        }
        config |= {name: path for name, path in files.items() if path}
    return config


class KafkaTransport:
    """Send to a Kafka-compatible broker, each message once and in order (idempotent producer, all replicas).

    librdkafka retries by itself. A message that was not acknowledged within `delivery_timeout_s` has
    failed; it is counted and given up, since a product's memory is worth more than a monitor's sample.
    Topics are never created from here: their partitions and retention are the service's to decide.
    """

    def __init__(
        self, settings: Settings, *, max_queue_bytes: int = 32 << 20, delivery_timeout_s: float = 120.0
    ) -> None:
        self._config: dict[str, Any] = {
            **kafka_config(settings),
            "client.id": "seawall-sdk",
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 5,  # frames are batches already
            "message.timeout.ms": int(delivery_timeout_s * 1000),
            "queue.buffering.max.kbytes": max(max_queue_bytes >> 10, 2048),  # two frames at the least
            "partitioner": "murmur2_random",  # the Java client's: a key means one partition everywhere
            "allow.auto.create.topics": False,
            "error_cb": self._on_error,
            "log_level": 2,  # what matters comes to error_cb, and librdkafka would say it a second time
        }
        self._is_warned = False
        self._producer = self._connect()

    def send(self, topic: str, key: bytes, value: bytes, delivered: Delivered) -> bool:
        """Hand a message to librdkafka's queue."""
        try:
            self._producer.produce(topic, value, key, on_delivery=partial(self._report, delivered))
        except BufferError:
            return False
        except self._kafka.KafkaException as error:
            if error.args[0].code() == self._kafka.KafkaError.MSG_SIZE_TOO_LARGE:
                raise MessageTooLarge(str(error.args[0])) from error
            delivered(str(error.args[0]))
        return True

    def poll(self, timeout_s: float) -> None:
        """Serve delivery reports and librdkafka's log."""
        self._producer.poll(timeout_s)

    def flush(self, timeout_s: float) -> bool:
        """Wait until librdkafka's queue is empty."""
        return bool(self._producer.flush(timeout_s) == 0)

    def close(self, timeout_s: float) -> None:
        """Abandon what is still queued, each message reported as failed."""
        self._producer.purge()
        self._producer.poll(0)

    def after_fork(self) -> None:
        """Open a producer of the child's own.

        The inherited one has no threads here. Destroying it would wait for them forever, so it is given a
        reference that nobody returns.
        """
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._producer))
        self._is_warned = False
        self._producer = self._connect()

    def _connect(self) -> Any:
        # Imported here: a client with another transport should not pay for librdkafka.
        import confluent_kafka  # noqa: PLC0415

        self._kafka: Any = confluent_kafka
        try:
            return confluent_kafka.Producer(self._config, logger=_log)
        except (confluent_kafka.KafkaException, ValueError, TypeError) as error:
            detail = str(error.args[0]) if error.args else type(error).__name__
            address = self._config["bootstrap.servers"]
            msg = f"broker: {address!r} with these settings is refused by librdkafka: {detail}"
            raise ConfigError(msg) from error

    def _report(self, delivered: Delivered, error: Any, _message: Any) -> None:
        if error is None:
            self._is_warned = False
        delivered(None if error is None else str(error))

    def _on_error(self, error: Any) -> None:
        # One line per outage: librdkafka repeats itself once a second for as long as it lasts.
        if not self._is_warned:
            self._is_warned = True
            _log.warning("broker %s: %s", self._config["bootstrap.servers"], error)
