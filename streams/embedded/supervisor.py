"""Start, watch and stop the whole stack on one machine: broker, store, tables, topics, workers.

Everything happens in the calling thread, which must be the one that lives longest: the children die with it.
Order matters when stopping: workers first, so that they can still write and commit; then the store; then the
broker.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from seawall.errors import SeawallError, Unavailable
from seawall.settings import SECRETS, Settings
from streams.embedded import broker, store_process
from streams.embedded.processes import Child, child_env, spawn
from streams.embedded.reseed import reseed
from streams.embedded.running import State, clear_state, identity, stop_orphans, write_state
from streams.io.migrate import migrate
from streams.io.topics import create_topics

STOP_DEADLINE_S = 15.0
_BACK_OFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: A child that lived this long has recovered: its next end starts the back-off anew.
_SOUND_AFTER_S = 60.0
#: Called with a kind (start, ready, warn, stop) and a sentence.
Say = Callable[[str, str], None]


def embedded_settings(settings: Settings, *, own_broker: bool = True) -> Settings:
    """Point `settings` at the embedded broker and store that its ports name; a foreign broker's are kept."""
    if own_broker:
        settings = replace(settings, broker=f"127.0.0.1:{settings.broker_port}", broker_security="plaintext")
    return replace(
        settings,
        store_url=f"http://127.0.0.1:{settings.store_port}",
        data_dir=str(settings.data_path.absolute()),
    )


@dataclass
class _Slot:
    """A child that is kept running."""

    start: Callable[[], Child]
    child: Child
    started_s: float
    ends: int = 0
    retry_at_s: float | None = None


@dataclass
class Supervisor:
    """The stack of one data folder. Hold the folder's lock (`running.hold`) around its whole use."""

    settings: Settings
    workers: int = 1
    say: Say = lambda kind, text: None
    own_broker: bool = True
    """False: a broker that somebody else runs, at the address and with the security that the settings say."""
    clock: Callable[[], float] = time.monotonic
    memory_warning_bytes: int = 1 << 30
    """The broker deletes nothing, so its memory is worth a word at this size, and whenever it has doubled."""
    # -P: the folder that the user stands in must not shadow our modules
    worker_command: Sequence[str] = (sys.executable, "-P", "-m", "seawall", "worker")
    _slots: dict[str, _Slot] = field(default_factory=dict)

    def start(self) -> None:
        """Start everything; on failure everything that was started is stopped again.

        Raises
        ------
        SeawallError
            Naming the part that could not be started, and why.
        """
        self.settings = embedded_settings(self.settings, own_broker=self.own_broker)
        try:
            for orphan in stop_orphans(self.settings.data_path):
                self.say(
                    "warn", f"stopped {orphan.name} (pid {orphan.pid}), which a killed `seawall up` left"
                )
            self._start_services()
            for number in range(self.workers):
                self.start_worker(number)
        except BaseException:
            self.stop()
            raise

    def _start_services(self) -> None:
        s, logs = self.settings, self.settings.data_path / "logs"
        if self.own_broker:
            # it holds everything in memory: a new log begins, whose results outrank the old log's
            self.settings = s = replace(s, log_epoch=int(time.time()))
            self._keep("broker", lambda: broker.start_broker(s.broker_port, logs / "broker.log"))
            self.say("ready", f"broker at {s.broker} (in memory; log {logs / 'broker.log'})")
        self._keep(
            "store",
            lambda: store_process.start_store(
                s.data_path,
                s.store_port,
                logs / "store.log",
                username=s.store_username,
                password=s.store_password,
            ),
        )
        self.say("ready", f"store at {s.store_url} (data in {s.data_path / 'store'})")
        outcome = migrate(s)
        done = f", applied {', '.join(outcome.applied)}" if outcome.applied else ""
        self.say("ready", f"tables of database {outcome.database!r} at version {outcome.version}{done}")
        created = create_topics(s)
        counts = reseed(s) if self.own_broker else {}  # only the embedded broker forgets
        ended = counts.pop("alarms", 0)
        known = ", ".join(f"{count} {topic}" for topic, count in counts.items())
        self.say("ready", f"{len(created.created)} topics{f', remembered {known}' if known else ''}")
        if ended:
            many = "1 alarm was" if ended == 1 else f"{ended} alarms were"
            self.say(
                "warn",
                f"{many} open when the last broker ended: ended with it, and what lasts is paged again",
            )

    def start_worker(self, number: int = 0) -> None:
        """Start worker `number` and keep it running. Returns as soon as its process exists."""
        s = replace(self.settings, worker_health_port=self.settings.worker_health_port + number)
        name = f"worker-{number}"
        log_file = s.data_path / "logs" / f"{name}.log"
        self._keep(name, lambda: spawn(name, self.worker_command, log_file, child_env(s.to_env())))
        self.say("ready", f"{name} (pid {self.pid(name)}; log {log_file})")

    def stop_worker(self, number: int = 0, *, kill: bool = False) -> None:
        """Stop worker `number` and do not restart it; ``kill`` ends it as a power cut would."""
        slot = self._slots.pop(f"worker-{number}")
        if kill:
            slot.child.kill()
        else:
            slot.child.stop(STOP_DEADLINE_S)
        self._write_state()

    def watch(self) -> None:
        """Look at every child once and restart those that ended, with back-off. Call it a few times a second.

        Raises
        ------
        Unavailable
            The broker ended: what it held is gone, so the stack cannot go on as if nothing had happened.
        """
        self._watch_memory()
        for name, slot in self._slots.items():
            if slot.child.is_alive:
                continue
            now = self.clock()
            if name == "broker":
                msg = (
                    f"broker: ended with exit code {slot.child.process.returncode}: {slot.child.last_words()}"
                )
                raise Unavailable(msg)
            if slot.retry_at_s is None:
                self._plan_restart(name, slot, now)
            elif now >= slot.retry_at_s:
                self._restart(name, slot, now)

    def _watch_memory(self) -> None:
        used = self._slots["broker"].child.memory_bytes if "broker" in self._slots else 0
        if used > self.memory_warning_bytes:
            self.say(
                "warn",
                f"broker holds {used >> 20} MB in memory and deletes nothing: restart `seawall up` once the "
                "lag is 0, or use Apache Kafka for streams of this size",
            )
            self.memory_warning_bytes = 2 * used

    def _plan_restart(self, name: str, slot: _Slot, now: float) -> None:
        slot.ends = 1 if now - slot.started_s > _SOUND_AFTER_S else slot.ends + 1
        wait_s = _BACK_OFF_S[min(slot.ends, len(_BACK_OFF_S)) - 1]
        slot.retry_at_s = now + wait_s
        code = slot.child.process.returncode
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        said = slot.child.last_words(1)
        self.say("warn", f"{name} {how}, starting it again in {wait_s:g} s{f': {said}' if said else ''}")

    def _restart(self, name: str, slot: _Slot, now: float) -> None:
        slot.retry_at_s, slot.started_s = None, now
        try:
            slot.child = slot.start()
        except SeawallError as error:
            self.say("warn", str(error))
            return
        self.say("ready", f"{name} runs again (pid {slot.child.pid})")
        self._write_state()

    def stop(self) -> None:
        """Stop everything in order; what does not stop within its deadline is killed. Never raises."""
        names = sorted(self._slots, key=lambda name: {"broker": 0, "store": 1}.get(name, 2))
        for name in names:  # all workers are asked at once, then waited for
            if name.startswith("worker") and self._slots[name].child.is_alive:
                self._slots[name].child.process.terminate()
        for name in reversed(names):
            child = self._slots.pop(name).child
            if child.stop(STOP_DEADLINE_S):
                self.say("stop", f"{name} stopped")
            else:
                self.say("warn", f"{name} did not stop within {STOP_DEADLINE_S:g} s and was killed")
        clear_state(self.settings.data_path)

    def kill(self) -> None:
        """End everything at once."""
        for slot in self._slots.values():
            slot.child.kill()

    def pid(self, name: str) -> int:
        """Process id of a child."""
        return self._slots[name].child.pid

    def is_alive(self, name: str) -> bool:
        """Whether a child runs."""
        return name in self._slots and self._slots[name].child.is_alive

    def _keep(self, name: str, start: Callable[[], Child]) -> None:
        self._slots[name] = _Slot(start, start(), self.clock())
        self._write_state()

    def _write_state(self) -> None:
        s = self.settings
        ports = {"broker": s.broker_port, "store": s.store_port}
        children = tuple(
            identity(name, slot.child.pid, ports.get(name, 0)) for name, slot in self._slots.items()
        )
        shown = {k: v for k, v in s.to_env().items() if k.removeprefix("SEAWALL_").lower() not in SECRETS}
        write_state(
            Path(s.data_dir), State(identity("supervisor", os.getpid(), s.health_port), children, shown)
        )
