"""The poster reaches strangers only, and says nothing it should not."""

from __future__ import annotations

import asyncio
import socket
import traceback

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from streams.io.http import HttpPoster, NoAnswer, RefusedTarget, is_public, redact, safe_url
from tests.contract.receivers import ContractServer


class StubResolver(AbstractResolver):
    """Answers each look-up with the next of `answers`, the last for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer
        ]

    async def close(self) -> None:
        pass


INTERNAL_HOSTS = [
    "127.0.0.1",
    "127.8.9.10",
    "localhost",
    "[::1]",
    "169.254.169.254",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "[::]",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0x7f.0.0.1",
    "127.1",
    "0177.0.0.1",
    "[::ffff:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[::127.0.0.1]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "224.0.0.1",
    "255.255.255.255",
]


@pytest.mark.parametrize("host", INTERNAL_HOSTS)
async def test_no_way_of_writing_an_internal_address_gets_through(host: str) -> None:
    async with HttpPoster(timeout_s=5) as poster:
        with pytest.raises(RefusedTarget):
            await poster.post(f"https://{host}:9/hook", b"{}", {})


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_outside_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", ["", "example.org", "300.1.1.1", "fe80::1%eth0", "ff02::1"])
def test_what_is_no_address_outside_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "answer", [["127.0.0.1"], ["::ffff:127.0.0.1"], ["::1", "10.0.0.1"]], ids=["plain", "mapped", "several"]
)
async def test_a_name_that_leads_inside_is_refused(answer: list[str]) -> None:
    async with HttpPoster(timeout_s=5, resolver=StubResolver(answer)) as poster:
        with pytest.raises(RefusedTarget, match="internal address"):
            await poster.post("https://innocent.example/hook", b"{}", {})


async def test_a_name_that_changes_its_mind_after_it_was_checked_is_still_refused() -> None:
    """DNS rebinding: outside on the first look, inside on the next, where a server is really listening."""
    async with ContractServer() as server:
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        resolver = StubResolver(["8.8.8.8"], ["127.0.0.1"])
        [first_look] = await resolver.resolve("rebind.example", port)
        assert is_public(first_look["host"])
        async with HttpPoster(timeout_s=5, resolver=resolver) as poster:
            for _ in range(3):
                with pytest.raises(RefusedTarget, match="internal address"):
                    await poster.post(f"https://rebind.example:{port}/hook", b"{}", {})
        assert resolver.asked == 4
        assert server.requests == []


async def test_plain_http_is_refused() -> None:
    async with HttpPoster() as poster:
        with pytest.raises(RefusedTarget, match="https"):
            await poster.post("http://93.184.216.34/hook", b"{}", {})


@pytest.mark.parametrize("url", ["", "hook", "https://", "https://[", "file:///etc/passwd", "https://a:b/"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    async with HttpPoster(allow_private=True) as poster:
        with pytest.raises(RefusedTarget):
            await poster.post(url, b"{}", {})


async def test_an_allowed_internal_receiver_gets_the_bytes_and_headers() -> None:
    async with ContractServer() as server, HttpPoster(allow_private=True) as poster:
        reply = await poster.post(server.url, b'{"a":1}', {"webhook-id": "m"})
    assert (reply.status, reply.text) == (200, "ok")
    headers, body = server.requests[0]
    assert body == b'{"a":1}'
    assert headers["webhook-id"] == "m"


async def test_a_redirect_to_the_inside_is_not_followed() -> None:
    async with (
        ContractServer() as inside,
        ContractServer() as server,
        HttpPoster(allow_private=True) as poster,
    ):
        server.script.append(307)
        server.default = inside.url
        reply = await poster.post(server.url, b"{}", {})
        assert reply.status == 307
        assert inside.requests == []


async def test_a_receiver_that_hangs_is_left_at_the_deadline() -> None:
    async with ContractServer() as server, HttpPoster(timeout_s=0.05, allow_private=True) as poster:
        server.script.append("hang")
        with pytest.raises(NoAnswer, match=r"no answer within 0.05 s"):
            await poster.post(server.url, b"{}", {})


async def test_a_receiver_that_hangs_up_or_is_not_there_is_no_answer() -> None:
    async with HttpPoster(allow_private=True) as poster:
        async with ContractServer() as server:
            server.script.append("close")
            with pytest.raises(NoAnswer):
                await poster.post(server.url, b"{}", {})
            url = server.url
        with pytest.raises(NoAnswer):
            await poster.post(url, b"{}", {})


@pytest.mark.parametrize("trouble", ["close", "refuse", "hang", "bad url"])
async def test_an_error_tells_the_host_and_never_the_path(trouble: str) -> None:
    canary = "T00/B00/canary-6f1d"
    async with (
        ContractServer() as server,
        HttpPoster(timeout_s=0.05, allow_private=trouble != "refuse") as poster,
    ):
        server.default = trouble if trouble in ("close", "hang") else "ok"
        url = server.url.replace("/hook", f"/{canary}")
        if trouble == "bad url":
            url = f"https://user:{canary.replace('/', '')}@[/"
        with pytest.raises((NoAnswer, RefusedTarget)) as caught:
            await poster.post(url, b"{}", {})
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "canary" not in shown


def test_a_shortened_url_keeps_scheme_host_and_port_only() -> None:
    assert safe_url("https://u:p@hooks.slack.com:8443/services/T/B/X?y") == "https://hooks.slack.com:8443/…"
    assert redact("key abc and abc", ["abc", ""]) == "key [redacted] and [redacted]"


async def test_closing_ends_what_is_under_way() -> None:
    async with ContractServer() as server:
        server.script.append("hang")
        poster = HttpPoster(timeout_s=5, allow_private=True)
        task = asyncio.create_task(poster.post(server.url, b"{}", {}))
        while not server.requests:
            await asyncio.sleep(0)
        await poster.close()
        with pytest.raises(NoAnswer):
            await task
