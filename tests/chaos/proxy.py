"""A TCP proxy in front of the store that can lose replies: the insert was applied, its sender never hears of it."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Forwards connections to loopback port `target`."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.loses_replies = False
        self.lost = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                store = socket.create_connection(("127.0.0.1", self.target), timeout=5)
            except OSError:
                client.close()
                continue
            store.settimeout(None)
            threading.Thread(target=self._requests, args=(client, store), daemon=True).start()
            threading.Thread(target=self._replies, args=(client, store), daemon=True).start()

    def _requests(self, client: socket.socket, store: socket.socket) -> None:
        _pump(client, store)

    def _replies(self, client: socket.socket, store: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := store.recv(1 << 16):
                if self.loses_replies:
                    # The store has done what it was asked and says so; a closed connection is all that its client sees.
                    self.lost += 1
                    break
                client.sendall(data)
        _hang_up(client)
        _hang_up(store)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(
        OSError
    ):  # the other direction's thread waits in recv; closing alone would not wake it
        one.shutdown(socket.SHUT_RDWR)
    one.close()
