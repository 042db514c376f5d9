"""Child processes that never outlive their parent: log file, readiness deadline, bounded stop."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seawall.errors import Unavailable

_PR_SET_PDEATHSIG = 1
#: Loaded before the fork: the child must not import or allocate more than it needs.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


#: Where the system takes the ports of outgoing connections from, first and last.
_GIVEN_AWAY = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT = 10_000
#: What keeps others of this machine from the ports that this process was told of.
_reserved: list[socket.socket] = []


def free_port() -> int:
    """Return a loopback port that nobody listens on, and that is this process's to give to a child.

    It lies below those that the system gives away: between this call and the child's `bind` any connection of anybody
    could take one of these. Nor is another process told of it while this one lives (Linux).
    """
    while True:
        port = random.randrange(_LOWEST_PORT, _first_given_away())  # noqa: S311 - no secret
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if _reserve(port):
            return port


def _first_given_away() -> int:
    try:
        first = int(_GIVEN_AWAY.read_text(encoding="ascii").split()[0])
    except OSError:
        first = 32_768  # Linux's; others begin at 49152
    # where it begins lower still, there is nothing below that is free for everybody to use
    return first if first > _LOWEST_PORT + 1_000 else 32_768


def _reserve(port: int) -> bool:
    """Tell all processes that ask, for as long as this one lives, that a port is taken before it is listened on."""
    if sys.platform != "linux":
        return True
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0seawall-port-{port}")
    except OSError:
        name.close()
        return False
    _reserved.append(name)
    return True


def is_listening(port: int) -> bool:
    """Tell whether something on loopback accepts connections at `port`."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check_port_free(port: int, what: str, setting: str) -> None:
    """Raise `Unavailable` when `port` is taken, naming the setting that changes it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            msg = f"{what}: port {port} is in use; stop what listens there or set {setting} to a free port"
            raise Unavailable(msg) from error


def child_env(extra: Mapping[str, str]) -> dict[str, str]:
    """Environment for a child: this process's without its ``SEAWALL_*`` variables, plus `extra`."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SEAWALL_")}
    return {**inherited, **extra}


def wait_until(ready: Callable[[], bool], deadline_s: float, interval_s: float = 0.05) -> bool:
    """Poll `ready` until it holds or the deadline passes; returns whether it held."""
    deadline = time.monotonic() + deadline_s
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval_s)
    return True


@dataclass
class Child:
    """A running child process and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    @property
    def memory_bytes(self) -> int:
        """Resident memory; 0 where the system does not say."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, ValueError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def last_words(self, lines: int = 5) -> str:
        """Return the end of its log, for an error message."""
        try:
            text = self.log_file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-lines:])

    def wait_ready(self, ready: Callable[[], bool], deadline_s: float) -> None:
        """Wait until `ready` holds; a child that ends or stays silent is an error that quotes its log."""
        wait_until(lambda: not self.is_alive or ready(), deadline_s)
        if not self.is_alive:
            lines = self.last_words().splitlines()
            # one of Seawall's own processes ends with a sentence; others need all they said
            own = [line.removeprefix("seawall: ") for line in lines if line.startswith("seawall: ")]
            said = own[-1] if own else " | ".join(lines)
            msg = f"{self.name}: ended at once with exit code {self.process.returncode}: {said}"
            raise Unavailable(msg)
        if not ready():
            self.stop(1.0)
            msg = f"{self.name}: not ready within {deadline_s:g} s; see {self.log_file}"
            raise Unavailable(msg)

    def stop(self, deadline_s: float = 10.0) -> bool:
        """Ask it to end and, past the deadline, end it; returns whether asking was enough."""
        if self.is_alive:
            self.process.terminate()
        try:
            self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


def spawn(name: str, command: Sequence[str], log_file: Path, env: Mapping[str, str]) -> Child:
    """Start a child in a session of its own: Ctrl-C reaches the supervisor only, which stops it in order.

    The kernel kills it when the thread that called this ends (Linux), so call it from a thread that lives as
    long as the child should: the main one.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    parent = os.getpid()

    def die_with_parent() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before the line above
                os._exit(1)

    with log_file.open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - the commands are Seawall's own
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=dict(env),
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - only a preloaded system call runs in it
        )
    return Child(name, process, log_file)
