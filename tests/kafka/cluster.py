"""Apache Kafka for tests: one KRaft node on loopback, from its Maven artifacts. Needs Java 17 and Maven.

``python -m tests.kafka.cluster`` fetches the artifacts into ``build/kafka`` and says where they are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seawall.errors import Unavailable
from streams.embedded.broker import answers
from streams.embedded.processes import Child, free_port, spawn

POM = Path(__file__).with_name("pom.xml")
BUILD = POM.parents[2] / "build" / "kafka"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
FETCH_DEADLINE_S = 300.0
READY_DEADLINE_S = 120.0
STOP_DEADLINE_S = 20.0
MECHANISM = "SCRAM-SHA-512"
#: A broker that serves tests needs a quick start more than compiled code.
JVM = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=INFO")


@dataclass(frozen=True)
class Listener:
    """One more door of the broker: its protocol, and what it shows who knocks."""

    protocol: str
    """SSL | SASL_SSL | SASL_PLAINTEXT"""
    certificate: Path | None = None
    """PEM file: private key in PKCS 8, then the certificate."""
    trusts: Path | None = None
    """Certificates of clients are required, and must be signed by one in this file."""


def missing_tools() -> str:
    """Say which tools are missing for Apache Kafka here; empty when none is."""
    missing = [
        f"{tool} ({package})"
        for tool, package in (("java", "Java 17"), ("mvn", "Maven"))
        if not shutil.which(tool)
    ]
    return (
        f"Apache Kafka cannot be started here: {' and '.join(missing)} not found on the PATH"
        if missing
        else ""
    )


def version() -> str:
    """Kafka's version, as the pom pins it."""
    found = ET.parse(POM).getroot().findtext(".//{*}kafka.version")
    assert found
    return found


def fetch() -> Path:
    """Return the folder of the broker's jars, fetched once for each edition of the pom."""
    folder = BUILD / version()
    libs, stamp = folder / "libs", folder / "pom.xml"
    if stamp.exists() and stamp.read_bytes() == POM.read_bytes():
        return libs
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD) as fresh:
        command = [
            "mvn",
            "-B",
            "-q",
            "-f",
            str(POM),
            COPY,
            f"-DoutputDirectory={fresh}/libs",
            "-DincludeScope=runtime",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_DEADLINE_S, check=False)
        if done.returncode:
            words = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
            msg = f"kafka: Maven could not fetch {version()}: {words[0] if words else done.stderr[-500:]}"
            raise Unavailable(msg)
        shutil.rmtree(libs, ignore_errors=True)
        Path(fresh, "libs").rename(libs)
    shutil.copy(POM, stamp)
    return libs


@dataclass
class Kafka:
    """A broker that can be stopped and started again on the same log and ports."""

    directory: Path
    listeners: Mapping[str, Listener] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    """SCRAM passwords by user name."""
    more: Mapping[str, object] = field(default_factory=dict)
    """Properties of the broker besides what is needed."""
    ports: dict[str, int] = field(default_factory=dict)
    child: Child | None = None

    def address(self, listener: str = "PLAINTEXT", host: str = "127.0.0.1") -> str:
        """Bootstrap address of a listener."""
        return f"{host}:{self.ports[listener]}"

    def start(self) -> None:
        """Start the broker and wait until it answers; the first start formats its log."""
        classpath = f"{fetch()}/*"
        config, log_file = self.directory / "server.properties", self.directory / "kafka.log"
        if not config.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            self.ports = {name: free_port() for name in ("PLAINTEXT", "CONTROLLER", *self.listeners)}
            config.write_text("".join(f"{k}={v}\n" for k, v in self._properties().items()), encoding="utf-8")
            self._format(classpath, config)
        command = ["java", *JVM, "-cp", classpath, "kafka.Kafka", str(config)]
        self.child = spawn("kafka", command, log_file, _plain_env())
        self.child.wait_ready(lambda: answers(self.ports["PLAINTEXT"]), READY_DEADLINE_S)

    def stop(self) -> None:
        """Stop it with SIGTERM, as a deployment does."""
        if self.child is not None:
            self.child.stop(STOP_DEADLINE_S)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        assert self.child is not None
        self.child.kill()

    def _format(self, classpath: str, config: Path) -> None:
        scram = [f"--add-scram={MECHANISM}=[name={n},password={p}]" for n, p in self.users.items()]
        command = ["java", *JVM, "-cp", classpath, "kafka.tools.StorageTool", "format", "-c", str(config)]
        done = subprocess.run(
            [*command, f"--cluster-id={_cluster_id()}", *scram],
            capture_output=True,
            text=True,
            timeout=120,
            env=_plain_env(),
            check=False,
        )
        if done.returncode:
            msg = f"kafka: its log could not be formatted: {done.stderr.strip() or done.stdout.strip()}"
            raise Unavailable(msg)

    def _properties(self) -> dict[str, object]:
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"} | {
            n: x.protocol for n, x in self.listeners.items()
        }
        where = {name: f"{name}://127.0.0.1:{port}" for name, port in self.ports.items()}
        properties: dict[str, object] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.ports['CONTROLLER']}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listeners": ",".join(where.values()),
            # "localhost" for TLS, because certificates name hosts
            "advertised.listeners": ",".join(
                url.replace("127.0.0.1", "localhost") if protocols[name].endswith("SSL") else url
                for name, url in where.items()
                if name != "CONTROLLER"
            ),
            "listener.security.protocol.map": ",".join(
                f"{name}:{protocol}" for name, protocol in protocols.items()
            ),
            "log.dirs": self.directory / "log",
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 2,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "num.network.threads": 2,
            "num.io.threads": 2,
            "background.threads": 2,
            "sasl.enabled.mechanisms": f"{MECHANISM},PLAIN",
        }
        for name, listener in self.listeners.items():
            properties |= _listener_properties(f"listener.name.{name.lower()}.", listener, self.users)
        return properties | dict(self.more)


def _listener_properties(prefix: str, listener: Listener, users: Mapping[str, str]) -> dict[str, object]:
    properties: dict[str, object] = {}
    if listener.certificate:
        properties |= {
            prefix + "ssl.keystore.type": "PEM",
            prefix + "ssl.keystore.location": listener.certificate,
        }
    if listener.trusts:
        properties |= {
            prefix + "ssl.truststore.type": "PEM",
            prefix + "ssl.truststore.location": listener.trusts,
            prefix + "ssl.client.auth": "required",
        }
    if listener.protocol.startswith("SASL"):
        modules = "org.apache.kafka.common.security"
        known = " ".join(f'user_{name}="{password}"' for name, password in users.items())
        properties |= {
            prefix + f"{MECHANISM.lower()}.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
            prefix + "plain.sasl.jaas.config": f"{modules}.plain.PlainLoginModule required {known};",
        }
    return properties


def _cluster_id() -> str:
    import base64

    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _plain_env() -> dict[str, str]:
    # options of the machine's other Java programs are not this broker's
    return {
        k: v for k, v in os.environ.items() if not k.startswith(("SEAWALL_", "KAFKA_")) and k != "CLASSPATH"
    }


def main(arguments: Sequence[str]) -> int:
    """Fetch the artifacts; exit code 3 when the tools for that are missing."""
    if missing_tools():
        print(missing_tools(), file=sys.stderr)
        return 3
    print(f"Apache Kafka {version()}: {fetch()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
