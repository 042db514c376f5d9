"""Start the embedded store as a child process."""

from __future__ import annotations

import http.client
import sys
from pathlib import Path

from streams.embedded.processes import Child, check_port_free, child_env, spawn

READY_DEADLINE_S = 60.0


def start_store(
    data_dir: Path,
    port: int,
    log_file: Path,
    *,
    username: str = "default",
    password: str = "",
    deadline_s: float = READY_DEADLINE_S,
) -> Child:
    """Start the store of `data_dir` on loopback and wait until it answers.

    Raises
    ------
    Unavailable
        The port is in use, another process has the directory open, or the store was not ready in time.
    """
    check_port_free(port, "store", "SEAWALL_STORE_PORT (or --store-port)")
    credentials = {"SEAWALL_STORE_USERNAME": username, "SEAWALL_STORE_PASSWORD": password} if password else {}
    child = spawn(
        "store",
        # -P: the folder that the user stands in must not shadow our modules
        [
            sys.executable,
            "-P",
            "-m",
            "streams.embedded.store",
            "--data-dir",
            str(data_dir),
            "--port",
            str(port),
        ],
        log_file,
        child_env(credentials),
    )
    child.wait_ready(lambda: answers(port), deadline_s)
    return child


def answers(port: int) -> bool:
    """Tell whether a store on loopback answers ``/ping``."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().read() == b"Ok.\n"
    except OSError:
        return False
    finally:
        connection.close()
