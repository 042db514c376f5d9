"""A broker's answers arrive whole, in order and once, whatever their length and however the network cuts them."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import aiokafka.conn
import numpy as np
import pytest

import streams.io.kafka  # noqa: F401 - what a worker imports
from streams.io.answers import WholeAnswers

LENGTHS = [1, 70_000, 0, 64 << 10, (64 << 10) + 1, 3_000_000, 5, 12, 1_000_000]


async def connected(port: int) -> tuple[asyncio.StreamReader, Any]:
    """Connect as aiokafka does."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=8 << 20, loop=loop)
    protocol = aiokafka.conn.AIOKafkaProtocol(loop.create_future(), reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, "127.0.0.1", port)
    return reader, transport


async def answer(reader: asyncio.StreamReader) -> bytes:
    (length,) = struct.unpack(">i", await reader.readexactly(4))
    return bytes(await reader.readexactly(length))


def served(sent: bytes, pieces: list[int], read: Any, *, abort: bool = False) -> Any:
    """Serve some bytes in pieces of these lengths, over and over, and return what `read` makes of them."""

    async def run() -> Any:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            at, turn = 0, 0
            while at < len(sent):
                after = at + pieces[turn % len(pieces)]
                writer.write(sent[at:after])
                await writer.drain()
                await asyncio.sleep(0)
                at, turn = after, turn + 1
            if abort:
                await asyncio.sleep(0.05)
                writer.transport.abort()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        reader, transport = await connected(server.sockets[0].getsockname()[1])
        try:
            return await asyncio.wait_for(read(reader), 20)
        finally:
            transport.close()
            server.close()

    return asyncio.run(run())


def test_workers_receive_answers_in_place() -> None:
    assert aiokafka.conn.AIOKafkaProtocol is WholeAnswers


@pytest.mark.parametrize("pieces", [[1 << 30], [1000], [3, 50_000, 1], [65_536, 7], [200_000, 1, 2, 3]])
def test_answers_of_any_length_arrive_as_they_were_sent(pieces: list[int]) -> None:
    rng = np.random.default_rng(1)
    answers = [rng.bytes(length) for length in LENGTHS * 2]
    sent = b"".join(struct.pack(">i", len(a)) + a for a in answers)

    async def read(reader: asyncio.StreamReader) -> list[bytes]:
        return [await answer(reader) for _ in answers]

    assert served(sent, pieces, read) == answers


def test_more_than_the_reader_holds_does_not_stop_it() -> None:
    sent = struct.pack(">i", 40 << 20) + bytes(40 << 20) + struct.pack(">i", 1) + b"x"

    async def read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        await asyncio.sleep(0.1)  # as much as fits has come by now
        return len(await answer(reader)), await answer(reader)

    assert served(sent, [1 << 30], read) == (40 << 20, b"x")


@pytest.mark.parametrize("length", [10, 1_000_000])
def test_an_answer_that_breaks_off_is_an_error(length: int) -> None:
    sent = struct.pack(">i", length) + bytes(length - 1)
    with pytest.raises(asyncio.IncompleteReadError) as error:
        served(sent, [1 << 30], answer)
    assert (len(error.value.partial), error.value.expected) == (length - 1, length)


def test_a_connection_that_is_reset_is_an_error() -> None:
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        served(struct.pack(">i", 1_000_000) + bytes(500_000), [1 << 30], answer, abort=True)
