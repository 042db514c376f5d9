"""One small HTTP poster for everything that Seawall tells the outside."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from seawall.errors import SeawallError

_REPLY_BYTES = 2048

# Reachable by the rules of `ipaddress`, yet never a stranger's server.
_INTERNAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure's host agent, reachable from every virtual machine
        "192.0.0.0/24",  # Oracle Cloud's metadata service lives at 192.0.0.192
        "fec0::/10",  # site-local, deprecated yet routed here and there
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class RefusedTarget(SeawallError):  # noqa: N818 - reads as what it is
    """The target may not be reached: an internal address, plain HTTP, or no URL at all. Never retried."""


class NoAnswer(SeawallError):  # noqa: N818 - reads as what it is
    """No complete answer came. The request may have been acted upon all the same."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    retry_after: str = ""
    """The header as sent."""
    date: str = ""
    """The ``Date`` header: what a date in `retry_after` has to be compared with."""
    text: str = ""
    """Beginning of the body."""


def is_public(address: str) -> bool:
    """Say whether `address`, a numeric peer address, lies outside.

    IPv4 inside IPv6 (mapped, 6to4, NAT64) is judged by the IPv4 address. Loopback, private, link-local,
    multicast, reserved and the clouds' metadata addresses are inside; so is what is no address.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    if any(ip in network for network in _INTERNAL if network.version == ip.version):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def safe_url(url: str) -> str:
    """Shorten a URL to what may be shown: scheme, host, port. Slack's path is a secret; so is user info."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not a URL)"
    return f"{parts.scheme}://{parts.hostname or ''}{port}/…"


def redact(text: str, secrets: Iterable[str]) -> str:
    """Replace every occurrence of every secret."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[redacted]")
    return text


class HttpPoster:
    """Posts bytes and returns the answer, whatever its status.

    The peer's *address* is judged at the moment of connecting, after name resolution and on the very address
    that the socket is given, so a name that resolves to the inside, now or on the second look (DNS
    rebinding), is refused, and so are numeric hosts in decimal, octal or hexadecimal. Redirects are not
    followed: a 3xx is returned as it is. Proxies in the environment are ignored, since behind one the peer
    cannot be judged.

    Use as an async context manager, or call `close`.

    Parameters
    ----------
    timeout_s
        Deadline of one post, from resolving the name to the last byte read.
    allow_private
        Permit inside addresses, and plain HTTP. Without it, what is sent is neither readable on the way nor
        usable to probe the inside.
    resolver
        Name resolution; the system's when None.
    """

    def __init__(
        self,
        *,
        timeout_s: float = 15.0,
        allow_private: bool = False,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. A post under way fails with `NoAnswer`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Send once.

        Blocks up to `timeout_s`. Nothing is retried here (see :mod:`streams.io.retry`) and nothing is kept:
        on failure the data is still the caller's. Errors name the host and the kind of failure only; the
        library's own error text, which may hold the URL, is left behind.

        Raises
        ------
        RefusedTarget
            Nothing was sent, and never will be.
        NoAnswer
            The connection failed, broke or took too long.
        """
        failure: str
        try:
            if urlsplit(url).scheme not in ({"http", "https"} if self._allow_private else {"https"}):
                msg = f"{safe_url(url)}: only https is allowed"
                raise RefusedTarget(msg)
            async with self._open_session().post(
                url, data=body, headers=dict(headers), allow_redirects=False
            ) as answer:
                text = (await answer.content.read(_REPLY_BYTES)).decode("utf-8", "replace")
                return Reply(
                    answer.status, answer.headers.get("Retry-After", ""), answer.headers.get("Date", ""), text
                )
        except _InternalPeer as error:
            msg = f"{safe_url(url)}: {error} is an internal address"
            raise RefusedTarget(msg) from None
        except (aiohttp.InvalidURL, ValueError):
            msg = f"{safe_url(url)}: not a usable URL"
            raise RefusedTarget(msg) from None
        except TimeoutError:
            failure = f"no answer within {self._timeout_s:g} s"
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
            failure = type(error).__name__
        msg = f"{safe_url(url)}: {failure}"
        raise NoAnswer(msg)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=self._resolver,
                use_dns_cache=False,
                socket_factory=self._guarded_socket,
                # one address after the other: a refusal ends the attempt instead of racing the next address
                happy_eyeballs_delay=None,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a reply's text is only ever shown: no bomb to unpack
                headers={"User-Agent": "Seawall"},
            )
        return self._session

    def _guarded_socket(self, target: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, proto, _, address = target
        if not self._allow_private and not is_public(str(address[0])):
            raise _InternalPeer(str(address[0]))
        return socket.socket(family, kind, proto)


class _InternalPeer(Exception):  # noqa: N818
    """Deliberately no `OSError`: aiohttp would take it for a bad connection and try the next address."""
