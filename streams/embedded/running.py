"""Who runs in a data folder: the lock that one ``seawall up`` holds, and the file that names its processes.

The lock ends with its holder, however it ends; the file may outlive it, and then names orphans to stop. A
process id alone proves nothing, since the system hands it out again, so each is recorded with its start time.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from seawall.errors import Unavailable
from streams.embedded.processes import wait_until

STATE_FILE = "up.json"
LOCK_FILE = "lock"


@dataclass(frozen=True)
class Running:
    """One process, told apart from a later one with the same id by when it started."""

    name: str
    pid: int
    started: str
    port: int = 0


@dataclass(frozen=True)
class State:
    """What ``up.json`` holds."""

    supervisor: Running
    children: tuple[Running, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    """As environment variables, without secrets: what ``seawall status`` needs to reach this stack."""

    def port(self, name: str) -> int:
        """Port of the process called `name`; 0 when there is none."""
        return next((c.port for c in self.children if c.name == name), 0)

    def describe(self) -> str:
        """Say which process and ports these are, in one line."""
        return (
            f"pid {self.supervisor.pid}, broker port {self.port('broker')}, store port {self.port('store')}, "
            f"health port {self.supervisor.port}"
        )


def identity(name: str, pid: int, port: int = 0) -> Running:
    """Describe a live process."""
    return Running(name, pid, started_at(pid), port)


def started_at(pid: int) -> str:
    """When `pid` was started, as text that no other process with this id will have; empty when it is gone."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # the name, in parentheses, may hold anything; after it come the state and then numbers
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        if fields[0] in {"Z", "X"}:
            return ""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}:{fields[19]}"
    command = ["/bin/ps", "-o", "lstart=", "-p", str(pid)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no foreign text
    return found.stdout.strip()


def is_same(running: Running) -> bool:
    """Tell whether that very process is still alive."""
    return running.pid > 1 and bool(running.started) and started_at(running.pid) == running.started


@contextmanager
def hold(data_dir: Path) -> Iterator[None]:
    """Hold the data folder's lock.

    Raises
    ------
    Unavailable
        Somebody else holds it, saying who.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            state = read_state(data_dir)
            who = state.describe() if state else "it is just starting"
            msg = f"up: Seawall is already running in {str(data_dir)!r} ({who}); `seawall down` stops it"
            raise Unavailable(msg) from error
        yield


def is_held(data_dir: Path) -> bool:
    """Tell whether a ``seawall up`` holds the data folder."""
    if not (data_dir / LOCK_FILE).exists():
        return False
    with (data_dir / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def write_state(data_dir: Path, state: State) -> None:
    """Replace ``up.json`` in one step; readable by its owner only."""
    draft = data_dir / f"{STATE_FILE}.new"
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(state), file, indent=2)
    draft.replace(data_dir / STATE_FILE)


def read_state(data_dir: Path) -> State | None:
    """Read ``up.json``; None when there is none, or it is not one."""
    try:
        raw = json.loads((data_dir / STATE_FILE).read_text(encoding="utf-8"))
        children = tuple(Running(**child) for child in raw["children"])
        return State(Running(**raw["supervisor"]), children, dict(raw["settings"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def clear_state(data_dir: Path) -> None:
    """Remove ``up.json``."""
    (data_dir / STATE_FILE).unlink(missing_ok=True)


def stop_orphans(data_dir: Path, deadline_s: float = 10.0) -> list[Running]:
    """Stop what a killed supervisor left behind; returns what was found alive. Call it holding the lock."""
    state = read_state(data_dir)
    orphans = [child for child in state.children if is_same(child)] if state else []
    for orphan in orphans:
        with suppress(ProcessLookupError):
            os.kill(orphan.pid, signal.SIGTERM)
    for orphan in orphans:
        if not wait_until(lambda one=orphan: not is_same(one), deadline_s):  # type: ignore[misc]
            with suppress(ProcessLookupError):
                os.kill(orphan.pid, signal.SIGKILL)
            wait_until(lambda one=orphan: not is_same(one), 5.0)  # type: ignore[misc]
    return orphans
