"""The first question to a broker: does it let us in, and what is there? An answer, or one sentence why not."""

from __future__ import annotations

import re
import socket
import ssl
import time
from typing import Any

from seawall.errors import Unavailable
from seawall.settings import Settings
from seawall.transport import kafka_config
from streams.io.health import secrets_of
from streams.io.http import redact
from streams.io.kafka import ssl_context

#: librdkafka's words: protocol and server, the reason, and details that help nobody.
_ERROR = re.compile(r"\w+://(?P<server>[^/]+)/\w+: (?P<reason>.*?)(?: \(after \d+ms.*\))?$", re.DOTALL)
#: What another attempt will not mend.
_HOPELESS = re.compile(r"authentication|SSL|certificate", re.IGNORECASE)


def ask(settings: Settings, timeout_s: float) -> Any:
    """Return the cluster's metadata: confluent-kafka's ``ClusterMetadata``.

    Blocks up to `timeout_s` while the broker does not answer, but returns at once when every server of
    `Settings.broker` refuses the password or shows a certificate that is not believed: more attempts would
    only lock an account.

    Raises
    ------
    Unavailable
        In one line, without secrets.
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
    admin = AdminClient(config)
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
                said = _tls_trouble(settings, server) or said
            msg = f"broker: {server} does not answer: {redact(' '.join(said.split()), secrets_of(settings))}"
            raise Unavailable(msg)


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
