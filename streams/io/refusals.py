"""Brokers that refuse us while we run: a password that was changed, a certificate that ran out.

aiokafka takes a refusal for a broken connection and tries again ten times a second, for ever: enough to lock an
account, and nobody is told. Here attempts at a broker that refuses us come a second apart, and how it stands is known
(see `streams.io.broker.until_refused`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiokafka.client
from aiokafka.errors import KafkaError

#: Between two attempts of one client.
_WAIT_S = 1.0
#: A broker that asks for a certificate says only after the handshake that it does not take ours, and hangs up.
_TROUBLES = (KafkaError, ssl.SSLError, ConnectionResetError)

Connect = Callable[..., Awaitable[Any]]


@dataclass
class Refusals:
    """How it stands between this process and the brokers; written from the threads of several event loops."""

    is_standing: bool = False
    """Whether the last connection that was tried came to nothing for want of trust, on either side."""

    def heeding(self, connect: Connect, wait_s: float = _WAIT_S) -> Connect:
        """Wrap aiokafka's way to connect: it waits after a refusal, and so does whoever asks next."""

        async def connect_in_time(*arguments: Any, **settings: Any) -> Any:
            try:
                connection = await connect(*arguments, **settings)
            except _TROUBLES:
                self.is_standing = True
                # aiokafka holds a lock meanwhile; connections that are there are used without it
                await asyncio.sleep(wait_s)
                raise
            self.is_standing = False
            return connection

        return connect_in_time


REFUSALS = Refusals()


def install() -> None:
    """Let aiokafka's clients heed refusals."""
    aiokafka.client.create_conn = REFUSALS.heeding(aiokafka.client.create_conn)
