"""Faults of Faust that Seawall is built around, each shown in the installed version, and that we are not affected.

When one of these fails because upstream has mended the fault, the message says what to review. No broker runs here:
streams are fed by hand, and the commit arithmetic is called on a bare object that has only the fields it reads. Those
are stand-ins for Faust's own surroundings, never for Seawall's parts; the worker as a whole is killed and recounted in
``tests/e2e`` and ``tests/chaos``.
"""

from __future__ import annotations

import ast
import asyncio
import collections
import contextlib
import gc
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.events import Event
from faust.transport.consumer import Consumer
from faust.types import TP
from faust.types.tuples import Message
from intervaltree import IntervalTree

from seawall.settings import Settings
from streams.io.kafka import RunConsumer, make_app

EXAMINED = "0.15.3"
TP0 = TP("t", 0)
MENDED = "Faust seems to have mended this: review the module docstring of streams/io/kafka.py, then this test"


def test_these_faults_were_examined_in_the_installed_version() -> None:
    installed = version("faust-streaming")
    assert installed == EXAMINED, (
        f"{installed} is new here: run this file, read its changelog, then raise EXAMINED"
    )


# -- streams: fed by hand, a stand-in for the consumer that records acks -------------------------------------


class Acks:
    """Stands in for the consumer; Faust's compiled streams write into it directly."""

    def __init__(self) -> None:
        self.unacked: set[Any] = set()
        self.messages: list[Any] = []

    def ack(self, message: Any) -> bool:
        message.acked = True
        return True

    @property
    def offsets(self) -> set[int]:
        """Offsets that were acknowledged."""
        return {message.offset for message in self.messages if message.acked}

    async def deliver(self, app: Any, stream: Any, offsets: range) -> None:
        for offset in offsets:
            message = Message("t", 0, offset, 0.0, 0, [], b"k", b"v", None, 0, 0, TP0)
            message.tracked, message.refcount, message.generation_id = True, 1, app.consumer_generation_id
            self.messages.append(message)
            await stream.channel.queue.put(Event(app, b"k", offset, {}, message))


def stock_stream() -> tuple[Any, Any, Acks]:
    address, loop = "kafka://127.0.0.1:1", asyncio.get_running_loop()
    app = faust.App("stock", broker=address, store="memory://", web_enabled=False, loop=loop)
    acks = Acks()
    app.__dict__["consumer"] = acks
    app.flow_control.resume()
    return app, app.channel(maxsize=100).stream(), acks


@pytest.fixture(autouse=True)
def swept() -> Iterator[None]:
    """Let what abandoned Faust objects leave behind be collected here, where it is expected."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


async def crash(agent: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(agent(), 5)
    for _ in range(20):  # what Faust does behind our back
        await asyncio.sleep(0.01)


async def test_take_acknowledges_a_batch_whose_agent_failed_and_events_that_nobody_saw() -> None:
    app, stream, acks = stock_stream()
    await acks.deliver(app, stream, range(5))

    async def agent() -> None:
        async for _batch in stream.take(3, within=1):
            raise ZeroDivisionError

    await crash(agent)
    await acks.deliver(app, stream, range(5, 8))
    for _ in range(100):
        await asyncio.sleep(0.01)
    assert acks.offsets >= {0, 1, 2}, MENDED
    assert acks.offsets & {3, 4, 5, 6, 7}, MENDED
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(stream.stop(), 2)


async def test_plain_iteration_acknowledges_the_event_that_failed() -> None:
    app, stream, acks = stock_stream()
    await acks.deliver(app, stream, range(5))

    async def agent() -> None:
        async for value in stream:
            if value == 2:
                raise ZeroDivisionError

    await crash(agent)
    assert 2 in acks.offsets, MENDED
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(stream.stop(), 2)


def test_no_agent_of_ours_uses_take() -> None:
    streams = Path(__file__).parents[2] / "streams"
    calls = [
        (path.name, node.func)
        for path in streams.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    assert ("app.py", "events") in {(name, func.attr) for name, func in calls}  # what agents do use is seen
    used = {
        f"{name}:{func.lineno}"
        for name, func in calls
        if func.attr in {"noack_take", "take_with_timestamp"}
        or (func.attr == "take" and isinstance(func.value, ast.Name) and func.value.id == "stream")
    }
    assert used == set()


# -- commits: the arithmetic on a bare object -----------------------------------------------------------------


def bookkeeping(committed: int, acked: list[int]) -> Any:
    return SimpleNamespace(
        _committed_offset={TP0: committed},
        _gap=collections.defaultdict(IntervalTree),
        _acked=collections.defaultdict(list, {TP0: list(acked)}),
        _acked_index=collections.defaultdict(set, {TP0: set(acked)}),
        ledger={},
    )


def test_a_commit_passes_a_message_in_flight() -> None:
    in_flight = 2585
    offset = Consumer._new_offset(bookkeeping(in_flight, [2586, 2587, 2588, 2589]), TP0)
    assert offset is not None, MENDED
    assert offset > in_flight, MENDED


async def test_a_commit_passes_a_message_in_flight_after_transaction_markers() -> None:
    state = bookkeeping(5, [])
    await Consumer._add_gap(state, TP0, 10, 12)  # 10 and 11 are markers; 12 was just read
    for offset in (5, 6, 7, 8, 9, 13):
        state._acked[TP0].append(offset)
        state._acked_index[TP0].add(offset)
    committed = Consumer._new_offset(state, TP0)
    assert committed is not None, MENDED
    assert committed > 12, MENDED


@pytest.fixture
async def consumer() -> AsyncIterator[RunConsumer]:
    made = make_app(Settings(broker="127.0.0.1:1")).runs
    yield made
    made._thread.thread_loop.close()  # of a thread that was never started


async def test_our_commits_are_what_the_ledger_says_whatever_was_acknowledged(consumer: RunConsumer) -> None:
    consumer._committed_offset[TP0] = 2585
    message = Message("t", 0, 2586, 0.0, 0, [], b"k", b"v", None, 0, 0, TP0)
    consumer.track_message(message)
    assert consumer.ack(message) is False
    assert not consumer._acked[TP0]
    await consumer._add_gap(TP0, 2587, 2600)
    assert consumer._new_offset(TP0) is None
    assert list(consumer._filter_tps_with_pending_acks()) == []
    consumer.ledger[TP0] = 2580
    assert consumer._new_offset(TP0) == 2580
    assert list(consumer._filter_tps_with_pending_acks()) == [TP0]


async def test_gaps_of_ten_million_offsets_cost_us_nothing(consumer: RunConsumer) -> None:
    await consumer._add_gap(TP0, 0, 10_000_000)
    assert not consumer._gap[TP0]


# -- security ---------------------------------------------------------------------------------------------------


def test_ssl_credentials_need_a_purpose_and_ours_bring_a_context() -> None:
    with pytest.raises(TypeError):  # once none is raised: see MENDED
        faust.SSLCredentials()
    credentials = make_app(Settings(broker="127.0.0.1:1", broker_security="ssl")).conf.broker_credentials
    assert credentials.context.check_hostname
    assert credentials.protocol.value == "SSL"


def test_sasl_credentials_without_a_context_travel_in_the_clear() -> None:
    stock = faust.SASLCredentials(username="u", password="p")
    assert (stock.protocol.value, stock.mechanism.value) == ("SASL_PLAINTEXT", "PLAIN"), MENDED
    settings = Settings(
        broker="127.0.0.1:1", broker_security="sasl_ssl", broker_username="u", broker_password="p"
    )
    ours = make_app(settings).conf.broker_credentials
    assert (ours.protocol.value, ours.mechanism.value) == ("SASL_SSL", "SCRAM-SHA-512")


def test_the_web_server_that_shows_tables_is_on_in_faust_and_off_here() -> None:
    stock = faust.App("stock", broker="kafka://127.0.0.1:1")
    assert stock.conf.web_enabled, MENDED
    assert not make_app(Settings(broker="127.0.0.1:1")).conf.web_enabled
