"""The first question to a broker, and at times again: does it let us in, and what is there? An answer, or why not."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from seawall.errors import ConfigError, SeawallError, Unavailable
from seawall.settings import Settings
from seawall.transport import kafka_config
from streams.io.health import secrets_of
from streams.io.http import redact
from streams.io.kafka import ssl_context
from streams.io.refusals import REFUSALS, Refusals

#: librdkafka's words: protocol and server, the reason, and details that help nobody.
_ERROR = re.compile(r"\w+://(?P<server>[^/]+)/\w+: (?P<reason>.*?)(?: \(after \d+ms.*\))?$", re.DOTALL)
#: OpenSSL's words for what the other side has against a certificate.
_ALERT = re.compile(r"alert (?P<what>[a-z ]*certificate[a-z ]*|unknown ca)")
#: Between two looks at how it stands, and how often it must stand badly.
_LOOK_S = 4.0
_LOOKS = 2
#: What another attempt will not mend.
_HOPELESS = re.compile(r"authentication|SSL|certificate", re.IGNORECASE)


class Refused(Unavailable):
    """Every server of the settings refuses us, or is not believed: another attempt will not mend it."""


def ask(settings: Settings, timeout_s: float) -> Any:
    """Return the cluster's metadata: confluent-kafka's ``ClusterMetadata``.

    Blocks up to `timeout_s` while the broker does not answer, but returns at once when every server of
    `Settings.broker` refuses the password or shows a certificate that is not believed: more attempts would
    only lock an account.

    Raises
    ------
    Refused
        The password or a certificate is not accepted. In one line, without secrets.
    Unavailable
        No answer, for another reason; likewise.
    ConfigError
        For settings that cannot be used as written.
    """
    from confluent_kafka import KafkaException  # noqa: PLC0415
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    refusals: dict[str, str] = {}

    def on_error(error: Any) -> None:
        match = _ERROR.match(error.str())
        if match:
            refusals[match["server"]] = match["reason"]

    config: dict[str, Any] = {**kafka_config(settings), "error_cb": on_error, "log_level": 0}
    try:
        admin = AdminClient(config)
    except KafkaException as error:  # a file that is not there, or cannot be read
        msg = f"broker: the connection cannot be set up: {redact(error.args[0].str(), secrets_of(settings))}"
        raise ConfigError(msg) from None
    servers = [server.strip() for server in settings.broker.split(",")]
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return admin.list_topics(timeout=min(1.0, timeout_s))
        except KafkaException as error:
            reason = error.args[0].str()
        admin.poll(0)
        hopeless = [server for server in servers if _HOPELESS.search(refusals.get(server, ""))]
        if len(hopeless) == len(servers) or time.monotonic() > deadline:
            server = (hopeless or list(refusals) or servers)[0]
            said = refusals.get(server, reason)
            if "SSL" in said or "certificate" in said:
                said = _tls_trouble(settings, server) or _in_words(said)
            msg = f"broker: {server} does not answer: {redact(' '.join(said.split()), secrets_of(settings))}"
            raise Refused(msg) if len(hopeless) == len(servers) else Unavailable(msg)


def _in_words(said: str) -> str:
    """Say what a broker's alert means: it asked for a certificate, and does not take ours."""
    alert = _ALERT.search(said)
    return f"our certificate is not accepted: {alert['what'].strip()}" if alert else said


def _tls_trouble(settings: Settings, server: str) -> str:
    """Ask Python what is wrong with a server's certificate; librdkafka says only that something is."""
    context = ssl_context(settings)
    host, _, port = server.rpartition(":")
    if context is None or not port.isdigit():
        return ""
    try:
        with (
            socket.create_connection((host, int(port)), timeout=3.0) as connection,
            context.wrap_socket(connection, server_hostname=host.strip("[]")),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not accepted: {error.verify_message}"
    except OSError:
        return ""


async def until_refused(
    settings: Settings,
    refusals: Refusals = REFUSALS,
    look: Callable[[Settings, float], object] = ask,
    look_s: float = _LOOK_S,
) -> str:
    """Wait until the brokers refuse us for good; returns why, in one sentence without secrets.

    A worker then ends, as one that is refused at its start does. Whoever starts it again gives it what is right: a
    password is in the environment, and certificates are read from their files.

    What is no connection's fault is left to aiokafka: a broker that is away, or one of several that refuses us. The
    brokers are asked anew before the worst is believed, twice, for one that starts may not know its users yet.
    """
    refused = 0
    while True:
        await asyncio.sleep(look_s)
        if not refusals.is_standing:
            refused = 0
            continue
        try:
            await asyncio.to_thread(look, settings, look_s)
        except Refused as error:
            refused += 1
            if refused == _LOOKS:
                return str(error)
        except SeawallError:
            refused = 0
        else:
            refused = 0
