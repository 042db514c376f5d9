"""A whole stack for tests, the demo and notebooks: free ports, its own folder, nothing left afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from seawall.settings import Settings
from streams.embedded.processes import free_port
from streams.embedded.running import hold
from streams.embedded.supervisor import Say, Supervisor


class Stack:
    """A running stack. `settings` point at it."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor

    @property
    def settings(self) -> Settings:
        """Settings of the stack, for `connect`, a client or ``child_env(stack.settings.to_env())``."""
        return self.supervisor.settings

    def start_worker(self, number: int = 0) -> int:
        """Start a worker; returns its pid. Give each its own number."""
        self.supervisor.start_worker(number)
        return self.worker_pid(number)

    def stop_worker(self, number: int = 0) -> None:
        """Stop a worker with SIGTERM, as a deployment does."""
        self.supervisor.stop_worker(number)

    def kill_worker(self, number: int = 0) -> None:
        """Kill a worker with SIGKILL."""
        self.supervisor.stop_worker(number, kill=True)

    def worker_pid(self, number: int = 0) -> int:
        """Process id of a worker."""
        return self.supervisor.pid(f"worker-{number}")

    def worker_log(self, number: int = 0) -> str:
        """Everything that a worker has written so far."""
        path = self.settings.data_path / "logs" / f"worker-{number}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def fresh_settings(data_dir: Path, settings: Settings | None = None) -> Settings:
    """Return settings with free ports and `data_dir`; the rest as in `settings`."""
    return replace(
        settings or Settings(),
        data_dir=str(data_dir),
        broker_port=free_port(),
        store_port=free_port(),
        health_port=free_port(),
        worker_health_port=free_port(),
    )


@contextmanager
def running_stack(
    data_dir: Path,
    workers: int = 1,
    settings: Settings | None = None,
    say: Say = lambda kind, text: None,
    *,
    own_broker: bool = True,
) -> Iterator[Stack]:
    """Run broker, store, tables, topics and `workers` workers in `data_dir`; stop them all at the end.

    Workers are not restarted when they end, so that a test sees it; ``stack.supervisor.watch()`` does that.
    Enter it from a thread that outlives the block (the main one): the children die with their thread.

    Parameters
    ----------
    settings
        Overrides such as a topic prefix or chunk sizes; its ports and data folder are replaced.
    own_broker
        False uses the broker that `settings` name, which somebody else runs, instead of starting one. Several
        stacks on one broker need a topic prefix and a group each.
    """
    supervisor = Supervisor(fresh_settings(data_dir, settings), workers, say, own_broker)
    with hold(supervisor.settings.data_path):
        supervisor.start()
        try:
            yield Stack(supervisor)
        finally:
            supervisor.stop()
