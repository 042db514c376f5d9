"""A broker for the run, and the environment in which the other contenders live."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from seawall.errors import Unavailable
from streams.embedded.broker import start_broker
from streams.embedded.processes import free_port
from tests.kafka.cluster import Kafka, missing_tools

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def python(out: Path) -> Path:
    """Return the interpreter of the contenders' environment, made once for each edition of the requirements."""
    venv = out / "contenders-venv"
    stamp = venv / "requirements.txt"
    if not (stamp.exists() and stamp.read_bytes() == REQUIREMENTS.read_bytes()):
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run([*pip, "-r", str(REQUIREMENTS)], capture_output=True, text=True, check=False)
        if done.returncode:
            msg = f"the contenders could not be installed: {done.stderr.strip()[-500:]}"
            raise Unavailable(msg)
        shutil.copy(REQUIREMENTS, stamp)
    return (venv / "bin/python").absolute()


@contextmanager
def broker(kind: str, more: Mapping[str, object] | None = None) -> Iterator[tuple[str, str]]:
    """Start a broker; yields its address and what it is. ``auto`` is Apache Kafka where Java and Maven are.

    `more` are properties of Apache Kafka besides what is needed.
    """
    with tempfile.TemporaryDirectory(prefix="seawall-bench-") as directory:
        if kind == "kafka" or (kind == "auto" and not missing_tools()):
            if missing_tools():
                raise Unavailable(missing_tools())
            kafka = Kafka(Path(directory), more=more or {})
            kafka.start()
            try:
                yield kafka.address(), "Apache Kafka"
            finally:
                kafka.stop()
            return
        port = free_port()
        child = start_broker(port, Path(directory) / "broker.log")
        try:
            yield f"127.0.0.1:{port}", "the embedded broker"
        finally:
            child.stop()
