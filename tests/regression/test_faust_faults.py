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
import importlib.util
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.protocol.transaction import TxnOffsetCommitRequestStruct
from faust.events import Event
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer
from faust.types import TP
from faust.types.enums import ProcessingGuarantee
from faust.types.tuples import Message
from faust.utils.tracing import traced_from_parent_span
from intervaltree import IntervalTree

from seawall.settings import Settings
from streams.io.kafka import Assignment, RunConsumer, make_app

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


def test_a_commit_passes_messages_that_were_never_acknowledged() -> None:
    assert Consumer._new_offset(bookkeeping(0, [5, 6]), TP0) == 7, MENDED


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


# -- transactions -----------------------------------------------------------------------------------------------


def test_offsets_in_a_transaction_do_not_say_whose_they_are_and_we_use_none() -> None:
    """A worker that the group gave up can commit them all the same: we are at-least-once, and counts are idempotent."""
    fields = set(TxnOffsetCommitRequestStruct.SCHEMA.names)
    assert "producer_epoch" in fields
    assert not fields & {"generation_id", "member_id"}, MENDED
    ours = make_app(Settings(broker="127.0.0.1:1"))
    assert ours.conf.processing_guarantee is ProcessingGuarantee.AT_LEAST_ONCE
    assert not ours.in_transaction


# -- rebalances: what was fetched before, and what is paused ----------------------------------------------------


def fetched(app: Any, monkeypatch: pytest.MonkeyPatch, during: Callable[[], None]) -> list[TP]:
    """Let the consumer fetch one record of `TP0` while something else happens; returns where it seeks to."""
    record = SimpleNamespace(
        topic="t", partition=0, offset=7, timestamp=0, timestamp_type=0, headers=(), key=b"k", value=b"v",
        checksum=0, serialized_key_size=1, serialized_value_size=1,
    )  # fmt: skip
    sought: list[TP] = []

    async def fetch(timeout: float) -> Any:
        active = set(app.consumer._get_active_partitions())
        during()
        return {TP0: [record]}, active

    async def seek(tp: TP, offset: int) -> None:
        sought.append((tp, offset))  # type: ignore[arg-type]

    monkeypatch.setattr(app.consumer, "_wait_next_records", fetch)
    monkeypatch.setattr(app.consumer, "_seek", seek)
    monkeypatch.setattr(app.consumer, "highwater", lambda tp: None)
    app.flow_control.resume()
    app.consumer.resume_flow()
    app.consumer._active_partitions = {TP0}
    return sought


async def delivered(app: Any) -> list[Any]:
    return [message async for _, message in app.consumer.getmany(0.1)]


@pytest.fixture
async def stock_app() -> AsyncIterator[Any]:
    made = faust.App("stock", broker="kafka://127.0.0.1:1", store="memory://", web_enabled=False)
    yield made
    made.consumer._thread.thread_loop.close()  # type: ignore[attr-defined]


async def test_what_was_fetched_before_a_rebalance_is_delivered_as_if_it_came_after(
    stock_app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rebalance() -> None:
        stock_app.consumer_generation_id += 1

    fetched(stock_app, monkeypatch, rebalance)
    (message,) = await delivered(stock_app)
    assert message.generation_id == stock_app.consumer_generation_id, MENDED


async def test_what_our_consumer_fetched_before_a_rebalance_is_read_again_from_what_is_committed(
    consumer: RunConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rebalance() -> None:
        consumer.current = Assignment(consumer.current.epoch + 1, {TP0: 3})

    sought = fetched(consumer.app, monkeypatch, rebalance)
    assert await delivered(consumer.app) == []
    assert sought == [(TP0, 3)]


async def test_after_a_rebalance_partitions_are_sought_before_anything_is_read_from_them() -> None:
    """Partitions are resumed first, and a fetch may be under way then; only the flow comes last."""
    done: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *_, **__: done.append(name)

    async def perform_seek() -> None:
        done.append("seek")

    async def nothing(*_: Any, **__: Any) -> None:
        pass

    on_consumer = SimpleNamespace(
        assignment=lambda: {TP0},
        resume_partitions=note("resume partitions"),
        perform_seek=perform_seek,
        resume_flow=note("resume flow"),
    )
    app = SimpleNamespace(
        consumer=on_consumer,
        consumer_generation_id=1,
        conf=SimpleNamespace(broker_request_timeout=5.0),
        on_rebalance_complete=SimpleNamespace(send=nothing),
        flow_control=SimpleNamespace(resume=note("resume streams")),
        _fetcher=SimpleNamespace(maybe_start=nothing),
        on_rebalance_end=note("end"),
    )
    log = SimpleNamespace(dev=print, info=print, warning=print)
    tables = SimpleNamespace(on_actives_ready=print, on_standbys_ready=print)
    recovery = SimpleNamespace(
        app=app, log=log, tables=tables, completed=asyncio.Event(), _is_changelog_tp=lambda tp: False
    )
    recovery._wait = asyncio.wait_for
    await Recovery._resume_streams(recovery, generation_id=1)  # type: ignore[arg-type]
    assert done == ["resume partitions", "seek", "resume streams", "resume flow", "end"], (
        "the order is another one: review RunConsumer.getmany and perform_seek"
    )


async def test_a_buffer_that_drains_resumes_a_partition_that_was_paused_meanwhile(stock_app: Any) -> None:
    stock_app.consumer._active_partitions = {TP0}
    stock_app.consumer.on_buffer_full(TP0)
    stock_app.consumer.pause_partitions({TP0})
    stock_app.consumer.on_buffer_drop(TP0)
    assert TP0 in stock_app.consumer._get_active_partitions(), MENDED


async def test_a_partition_of_ours_that_was_paused_stays_so_when_its_buffer_drains(
    consumer: RunConsumer,
) -> None:
    consumer._active_partitions = {TP0}
    consumer.on_buffer_full(TP0)
    consumer.pause_partitions({TP0})
    consumer.on_buffer_drop(TP0)
    assert TP0 not in consumer._get_active_partitions()
    consumer.resume_partitions({TP0})
    assert TP0 in consumer._get_active_partitions()


async def test_what_was_fetched_while_the_buffer_became_full_is_delivered(
    consumer: RunConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought = fetched(consumer.app, monkeypatch, lambda: None)
    consumer.on_buffer_full(TP0)
    (message,) = await delivered(consumer.app)
    assert [r.offset for r in message.value.records] == [7]
    assert sought == []


async def test_what_was_fetched_of_a_paused_partition_is_not_lost_but_fetched_again(
    consumer: RunConsumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sought = fetched(consumer.app, monkeypatch, lambda: None)
    consumer.pause_partitions({TP0})
    assert await delivered(consumer.app) == []
    assert sought == [(TP0, 7)]


def test_a_rebalance_needs_no_tracing_library() -> None:
    """In earlier versions every rebalance failed where opentracing was not installed, as it is not here."""
    assert importlib.util.find_spec("opentracing") is None
    assert traced_from_parent_span()(lambda x: x + 1)(1) == 2


# -- windowed tables, and their recovery --------------------------------------------------------------------------

LONG_AGO = 1_357_000_000.0  # the first of January 2013


@pytest.fixture
def stock_table(stock_app: Any) -> Callable[..., Any]:
    """Make a table with windows of a minute that are kept for an hour, and a log of the windows that closed."""

    def make(closed: list[Any]) -> Any:
        return stock_app.Table(
            f"counts{len(stock_app.tables)}",
            default=int,
            on_window_close=lambda key, value: closed.append((key, value)),
        ).tumbling(60.0, expires=3600.0)

    return make


def put(table: Any, key: str, value: Any, at: float, partition: int = 0) -> None:
    """What an agent does for an event of this time."""
    stored = table.table
    (window,) = stored._window_ranges(at)
    stored.data[key, window] = value
    stored._maybe_set_key_ttl((key, window), partition)


async def test_windows_expire_by_the_wall_clock_while_history_is_replayed(stock_table: Any) -> None:
    table = stock_table([])
    put(table, "m", 5, LONG_AGO)
    await table.table._del_old_keys()
    assert len(table.table.data) == 0, MENDED


async def test_a_closed_window_is_not_given_what_was_aggregated_in_it(stock_table: Any) -> None:
    closed: list[Any] = []
    table = stock_table(closed)
    put(table, "m", (1,), LONG_AGO)
    await table.table._del_old_keys()
    # What was found under the window would come as a list.
    assert [value for _, value in closed] == [(1,)], MENDED


async def test_windows_of_a_partition_that_lags_close_in_silence(stock_table: Any) -> None:
    closed: list[Any] = []
    table = stock_table(closed)
    put(table, "ahead", 1, LONG_AGO + 3600, partition=0)
    put(table, "behind", 1, LONG_AGO, partition=1)
    await table.table._del_old_keys()
    assert [key for (key, _), _ in closed] == ["ahead"], MENDED


async def test_windows_of_before_a_restart_never_expire(stock_table: Any) -> None:
    before, after = stock_table([]), stock_table([])
    put(before, "m", 1, LONG_AGO)
    for (
        key,
        value,
    ) in before.table.data.items():  # what recovery does: the times at which keys expire are in no topic
        after.table.data[key] = value
    await after.table._del_old_keys()
    assert len(after.table.data) == 1, MENDED


def test_no_agent_of_ours_uses_a_table() -> None:
    """Nor has anything to recover, which may take for ever (faust-streaming 432, 73)."""
    house = Path(__file__).parents[2]
    made = {"Table", "GlobalTable", "SetTable", "SetGlobalTable", "tumbling", "hopping"}
    way_out = {"faust.tables.manager", "faust.tables.recovery"}  # of a rebalance, with tables or without
    paths = [path for room in ("streams", "seawall", "detectors") for path in (house / room).rglob("*.py")]
    named = {
        f"{path.name}:{node.lineno}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in made)
        or (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("faust.tables")
            and node.module not in way_out
        )
    }
    assert len(paths) > 100
    assert named == set()
    ours = make_app(Settings(broker="127.0.0.1:1"))
    assert len(ours.tables) == 0
    assert str(ours.conf.store) == "memory:"
    locked = (house / "requirements.lock").read_text(encoding="utf-8").lower()
    assert "faust-streaming==" in locked
    assert "rocks" not in locked


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
