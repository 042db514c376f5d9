"""Forks and exits: every event is sent once, by the process that logged it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from seawall import Client, InMemoryTransport
from seawall.wire import decode
from tests.seawall.sdk import HeldTransport, read

#: Writes every message into a file: both sides of a fork can be read afterwards.
FILE_TRANSPORT = """
import os, sys, seawall

class FileTransport(seawall.InMemoryTransport):
    def send(self, topic, key, value, delivered):
        with open(f"{sys.argv[1]}/{os.getpid()}-{key.decode()}", "wb") as file:
            file.write(value)
        delivered(None)
        return True
"""


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked child and return its exit status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(code: str, folder: Path) -> list[tuple[int, list[str]]]:
    """Run a program and return what it sent: (process, event ids)."""
    done = subprocess.run(
        [sys.executable, "-c", FILE_TRANSPORT + textwrap.dedent(code), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    sent = []
    for file in sorted(folder.iterdir()):
        record = decode(file.read_bytes(), ("prediction_frame",))[1]
        ends = memoryview(record["event_ids"]["ends"]).cast("i").tolist()
        text = record["event_ids"]["data"].decode()
        ids = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        sent.append((int(file.name.split("-")[0]), ids))
    return sent


def test_a_child_starts_empty_and_the_parent_sends_what_it_had() -> None:
    transport = InMemoryTransport()
    with Client("m", transport=transport, linger_s=60.0) as client:
        mine = client.log_prediction({"a": 1.0})

        def work() -> None:
            assert client.stats().logged == 0
            theirs = client.log_prediction({"a": 2.0})
            assert theirs != mine
            assert client.flush()
            assert [f.event_ids for f in read(transport)] == [[theirs]]
            assert client.close()

        assert in_child(work) == 0
        assert client.flush()
        assert [f.event_ids for f in read(transport)] == [[mine]]


def test_children_of_one_parent_give_out_different_ids() -> None:
    readable, writable = os.pipe()
    with Client("m", transport=InMemoryTransport()) as client:

        def work() -> None:
            os.write(writable, client.log_prediction({"a": 1.0}).encode() + b"\n")

        assert [in_child(work) for _ in range(3)] == [0, 0, 0]
    os.close(writable)
    with os.fdopen(readable) as ids:
        assert len(set(ids.read().split())) == 3


def test_a_fork_while_the_senders_thread_works_is_harmless() -> None:
    transport = HeldTransport()
    client = Client("m", transport=transport, linger_s=0.0)
    client.log_prediction({"a": 1.0})
    assert transport.asked.wait(10)

    def work() -> None:
        transport.opened.set()
        client.log_prediction({"a": 2.0})
        assert client.close()
        assert client.stats().sent == 1

    assert in_child(work) == 0
    transport.opened.set()
    assert client.close()
    assert client.stats().sent == 1


def test_what_was_logged_is_sent_when_the_program_ends(tmp_path: Path) -> None:
    code = """
        client = seawall.Client("m", transport=FileTransport(), linger_s=60.0)
        for i in range(10):
            client.log_prediction({"a": 1.0}, event_id=str(i))
        del client
        """
    ((_, ids),) = run(code, tmp_path)
    assert ids == [str(i) for i in range(10)]


def test_parent_and_child_each_send_their_own_at_exit(tmp_path: Path) -> None:
    code = """
        client = seawall.Client("m", transport=FileTransport(), linger_s=60.0)
        client.log_prediction({"a": 1.0}, event_id="parent")
        pid = os.fork()
        client.log_prediction({"a": 1.0}, event_id="after")
        if pid:
            os.waitpid(pid, 0)
        """
    sent = dict(run(code, tmp_path))
    assert sorted(sent.values()) == [["after"], ["parent", "after"]]


def test_the_end_of_the_program_is_not_held_up_by_a_broker_that_is_away(tmp_path: Path) -> None:
    code = """
        import logging, seawall.sender
        logging.disable()
        seawall.sender.EXIT_TIMEOUT_S = 0.2
        client = seawall.Client("m", broker="127.0.0.1:1")
        client.log_prediction({"a": 1.0})
        if os.fork() == 0:
            client.log_prediction({"a": 1.0})
        """
    assert run(code, tmp_path) == []


def test_a_signal_handler_may_log_while_the_same_thread_logs(tmp_path: Path) -> None:
    code = """
        import signal
        client = seawall.Client("m", transport=FileTransport(), linger_s=60.0)
        count = 0
        def handler(*_):
            global count
            count += 1
            client.log_prediction({"a": 1.0})
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        while count < 200:
            client.log_prediction({"a": 1.0})
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert client.close(30), client.stats()
        stats = client.stats()
        assert stats.logged == stats.sent + stats.dropped
        """
    assert run(code, tmp_path)
