"""`seawall up` and its companions as an operator runs them: real processes, real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from seawall.settings import Settings
from streams.embedded.processes import child_env, is_listening, wait_until
from streams.embedded.running import is_held, is_same, read_state
from streams.embedded.stack import fresh_settings
from streams.io.clickhouse import connect

pytestmark = pytest.mark.e2e

DEADLINE_S = 60.0


@dataclass
class Up:
    process: subprocess.Popen[str]
    settings: Settings
    said: Path

    def wait_ready(self) -> None:
        ready = wait_until(
            lambda: '"event": "up"' in self.words() or self.process.poll() is not None, DEADLINE_S
        )
        assert ready, self.words()
        assert self.process.poll() is None, self.words()

    def words(self) -> str:
        return self.said.read_text(encoding="utf-8")

    def pids(self) -> list[int]:
        state = read_state(self.settings.data_path)
        assert state is not None
        return [child.pid for child in state.children]


def _command(settings: Settings, *words: str) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-P", "-m", "seawall", *words], child_env(settings.to_env())


@contextmanager
def running_up(settings: Settings, *options: str) -> Iterator[Up]:
    said = settings.data_path.parent / "said.txt"
    command, env = _command(settings, "up", "--json", *options)
    with said.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT, text=True)
    up = Up(process, settings, said)
    try:
        up.wait_ready()
        yield up
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(DEADLINE_S)


def run(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    command, env = _command(settings, *words)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    return fresh_settings(tmp_path / "data")


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_everything_runs_and_ctrl_c_leaves_nothing_behind(own: Settings) -> None:
    with running_up(own, "--no-worker") as up:
        pids = up.pids()
        assert len(pids) == 2
        assert is_listening(own.broker_port)
        status = run(own, "status", "--json")
        assert status.returncode == 0, status.stdout + status.stderr
        assert json.loads(status.stdout)["lag"]["predictions"] == 0
        with urllib.request.urlopen(f"http://127.0.0.1:{own.health_port}/health", timeout=10) as answer:
            assert json.load(answer)["store"] == "ok"
        with urllib.request.urlopen(f"http://127.0.0.1:{own.health_port}/", timeout=10) as answer:
            assert "<h1>Seawall</h1>" in answer.read().decode()
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(DEADLINE_S) == 0
    assert all(wait_until(lambda pid=pid: _gone(pid), 5.0) for pid in pids)  # type: ignore[misc]
    assert not is_held(own.data_path)
    assert read_state(own.data_path) is None


def test_a_second_up_says_who_runs_and_ends(own: Settings) -> None:
    with running_up(own, "--no-worker") as up:
        second = run(own, "up", "--no-worker")
        assert second.returncode == 1
        assert f"pid {up.process.pid}" in second.stderr
        assert str(own.broker_port) in second.stderr
        assert up.process.poll() is None


def test_down_stops_a_running_up(own: Settings) -> None:
    with running_up(own, "--no-worker") as up:
        down = run(own, "down")
        assert down.returncode == 0, down.stderr
        assert up.process.wait(DEADLINE_S) == 0
    assert "nothing is running" in run(own, "down").stdout


def test_after_kill_9_the_next_up_starts_and_the_data_are_there(own: Settings) -> None:
    with running_up(own, "--no-worker") as up:
        pids = up.pids()
        client = connect(own_url(own))
        client.command("INSERT INTO registry_events (event_id, model) VALUES ('kept', 'm')")
        client.close()
        up.process.kill()
        up.process.wait(DEADLINE_S)
    assert all(wait_until(lambda pid=pid: _gone(pid), 5.0) for pid in pids)  # type: ignore[misc]
    with running_up(own, "--no-worker"):
        client = connect(own_url(own))
        assert client.command("SELECT event_id FROM registry_events") == "kept"
        client.close()


def test_orphans_that_outlived_their_supervisor_are_stopped_by_the_next_up(own: Settings) -> None:
    from streams.embedded.running import Running, State, identity, write_state

    # where the kernel cannot end them with their parent, they are found by id and start time
    orphan = subprocess.Popen(["/bin/sleep", "300"])
    bystander = subprocess.Popen(["/bin/sleep", "300"])
    try:
        own.data_path.mkdir()
        known = identity("store", orphan.pid)
        reused = Running("broker", bystander.pid, "another start time")
        write_state(own.data_path, State(Running("supervisor", 1, ""), (known, reused)))
        with running_up(own, "--no-worker"):
            assert orphan.wait(DEADLINE_S) == -signal.SIGTERM
            assert bystander.poll() is None
            assert not is_same(reused)
    finally:
        for process in (orphan, bystander):
            process.kill()
            process.wait()


@pytest.mark.parametrize("port", ["broker_port", "store_port", "health_port"])
def test_a_port_in_use_is_one_sentence_that_names_it_and_its_setting(own: Settings, port: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        second = run(replace(own, **{port: number}), "up", "--no-worker")
    assert second.returncode == 1
    assert f"port {number} is in use" in second.stderr
    assert f"SEAWALL_{port.upper()}" in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert not is_held(own.data_path)


def test_a_worker_that_is_killed_is_started_again(own: Settings) -> None:
    with running_up(own, "--workers", "1") as up:
        state = read_state(own.data_path)
        assert state is not None
        worker = next(child.pid for child in state.children if child.name == "worker-0")
        os.kill(worker, signal.SIGKILL)
        assert wait_until(lambda: "worker-0 runs again" in up.words(), DEADLINE_S), up.words()
        assert "worker-0 was ended by signal 9" in up.words()


def test_status_says_so_when_nothing_runs(own: Settings) -> None:
    nowhere = replace(
        own, broker=f"127.0.0.1:{own.broker_port}", store_url=f"http://127.0.0.1:{own.store_port}"
    )
    status = run(nowhere, "status")
    assert status.returncode == 1
    assert "nothing answers" in status.stdout


def own_url(settings: Settings) -> Settings:
    return replace(settings, store_url=f"http://127.0.0.1:{settings.store_port}")
