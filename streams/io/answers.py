"""Receiving a broker's answers where they are needed, instead of piece by piece.

An answer to a fetch is some megabytes long. asyncio's streams receive it in pieces of 256 KiB, each a new object that
is copied behind what came before, and the whole is copied once more. For every piece the consumer's thread also has
to get the interpreter back from whoever counts meanwhile. Here the kernel writes into the answer itself, as much of
it as there is, and the event loop only wakes whoever waits once it is complete.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiokafka.conn

#: Answers up to this size go the usual way.
_SMALL = 64 << 10


class WholeAnswers(aiokafka.conn.AIOKafkaProtocol, asyncio.BufferedProtocol):  # type: ignore[misc]  # untyped
    """aiokafka's protocol, whose reader receives long answers in place."""

    def __init__(self, closed: Any, reader: asyncio.StreamReader, *, loop: Any) -> None:
        super().__init__(closed, reader, loop=loop)
        self._reader = reader
        self._usual = reader.readexactly
        reader.readexactly = self.readexactly  # type: ignore[method-assign,assignment]  # aiokafka makes it
        self._scratch = memoryview(bytearray(_SMALL))
        self._rest: memoryview | None = None
        """What is still to be received of a long answer."""

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes belong."""
        return self._scratch if self._rest is None else self._rest

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of bytes that have arrived there."""
        if self._rest is None:
            self.data_received(bytes(self._scratch[:nbytes]))
        elif nbytes < len(self._rest):
            self._rest = self._rest[nbytes:]
        else:
            self._rest = None
            self._reader._wakeup_waiter()  # type: ignore[attr-defined]

    async def readexactly(self, n: int) -> bytes | bytearray:
        """Read `n` bytes, as `asyncio.StreamReader.readexactly` does."""
        reader: Any = self._reader
        if n <= _SMALL or len(reader._buffer) >= n or reader._exception is not None:
            return await self._usual(n)
        whole, here = bytearray(n), len(reader._buffer)
        whole[:here] = reader._buffer
        reader._buffer.clear()
        self._rest = memoryview(whole)[here:]
        while self._rest is not None:
            if reader._eof:
                raise asyncio.IncompleteReadError(bytes(whole[: n - len(self._rest)]), n)
            await reader._wait_for_data(
                "readexactly"
            )  # also listens again, and raises what the connection ended with
        return whole


def install() -> None:
    """Let aiokafka's connections use it."""
    aiokafka.conn.AIOKafkaProtocol = WholeAnswers


__all__ = ["WholeAnswers", "install"]
