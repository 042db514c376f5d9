"""Ports for children: nobody else may come by one between the look and the child's bind."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from streams.embedded import processes
from streams.embedded.processes import free_port

ASK = "from streams.embedded.processes import free_port\nprint(*(free_port() for _ in range(40)), flush=True)\ninput()"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ports are not reserved between processes")
def test_processes_that_ask_at_once_are_told_of_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of so few ports that they would be told of the same ones."""
    few = 10_100
    ask = ASK.replace(
        "\n", f"\nimport streams.embedded.processes as p\np._first_given_away = lambda: {few}\n", 1
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", ask], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    told = [child.stdout.readline().split() for child in children if child.stdout]
    for child in children:
        child.communicate("\n")
    assert [len(ports) for ports in told] == [40, 40]
    assert len(set(told[0]) | set(told[1])) == 80
    monkeypatch.setattr(processes, "_first_given_away", lambda: few)
    again = {str(free_port()) for _ in range(50)}
    assert again & (set(told[0]) | set(told[1])), "what ended processes had is free again"


def test_a_port_is_none_that_the_system_gives_to_connections() -> None:
    if not Path("/proc/sys/net/ipv4/ip_local_port_range").exists():
        pytest.skip("Linux says which these are")
    with socket.create_server(("127.0.0.1", 0)) as server:
        given = server.getsockname()[1]
    assert all(free_port() < given for _ in range(50))


def test_a_port_that_somebody_listens_on_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        monkeypatch.setattr(processes, "_reserve", lambda port: True)
        monkeypatch.setattr(processes, "_LOWEST_PORT", port)
        monkeypatch.setattr(processes, "_first_given_away", lambda: port + 10)
        found = {free_port() for _ in range(60)}
    assert port not in found
