"""What the consumer of runs says of a partition's end, and what becomes of runs that a rebalance overtakes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import IllegalStateError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.util import commit_structure_validate
from faust.types import TP

from seawall.settings import Settings
from streams.io.consumer_thread import Fetched, _leave_unwrapped
from streams.io.kafka import Assignment, Run, RunApp, make_app


async def test_the_end_of_a_partition_that_was_just_revoked_is_not_known() -> None:
    app = make_app(Settings())

    class Client:
        """aiokafka's consumer, as far as this question goes, with nothing assigned."""

        def last_stable_offset(self, tp: TP) -> int:
            assert SubscriptionState().is_assigned(tp), "Partition is not assigned"
            return 0

    app.runs._thread._consumer = Client()  # type: ignore[attr-defined]
    assert app.runs.highwater(TP("predictions", 0)) is None


TP0 = TP("predictions", 0)


def fed(app: RunApp, monkeypatch: pytest.MonkeyPatch, fetches: Iterable[tuple[list[int], int]]) -> None:
    """Let the consumer fetch runs of `TP0`: offsets, and the position after them."""
    left = iter(fetches)

    async def fetch(timeout: float) -> Any:
        offsets, position = next(left)
        records = [
            SimpleNamespace(
                offset=o, timestamp=0, timestamp_type=0, key=b"", value=b"", checksum=0, headers=(),
                serialized_key_size=0, serialized_value_size=0, topic=TP0.topic, partition=0,
            )
            for o in offsets
        ]  # fmt: skip
        return Fetched({TP0: records} if records else {}, {TP0: position}), {TP0}

    monkeypatch.setattr(app.runs, "_wait_next_records", fetch)
    monkeypatch.setattr(app.runs, "highwater", lambda tp: None)
    app.flow_control.resume()
    app.runs.can_resume_flow.set()
    app.runs.flow_active = True


async def one_fetch(app: RunApp) -> list[int]:
    return [r.offset for _, m in [x async for x in app.runs.getmany(0.1)] for r in m.value.records]


async def test_a_gap_is_read_once_the_records_before_it_were_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(Settings())
    fed(app, monkeypatch, [([3, 4], 5), ([7], 8), ([], 20)])
    assert await one_fetch(app) == [3, 4]
    assert app.runs.reached(TP0, 3) == 3
    assert app.runs.reached(TP0, 5) == 5
    assert await one_fetch(app) == [7]
    assert await one_fetch(app) == []
    assert app.runs.reached(TP0, 5) == 5, "a record lies between"
    assert app.runs.reached(TP0, 8) == 20


async def test_a_partition_without_any_record_is_read_to_where_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app(Settings())
    fed(app, monkeypatch, [([], 1000)])
    assert await one_fetch(app) == []
    assert app.runs.reached(TP0, 0) == 1000


async def test_a_fetch_from_before_a_rewind_says_nothing_about_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(Settings())
    fed(app, monkeypatch, [([3], 20), ([], 20)])
    assert await one_fetch(app) == [3]
    assert app.runs.reached(TP0, 4) == 20
    fetch = app.runs._wait_next_records

    async def overtaken(timeout: float) -> Any:
        found = await fetch(timeout)
        await app.runs.rewind(TP0)
        return found

    monkeypatch.setattr(app.runs, "_wait_next_records", overtaken)
    assert await one_fetch(app) == []
    assert app.runs.reached(TP0, 4) == 4


def partition_records(tp: TP) -> PartitionRecords:
    """What one fetch brought, as aiokafka makes it."""
    batch = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for offset in range(20):
        headers = [("h", b"1")] if offset % 3 else []
        batch.append(
            offset, 1_700_000_000_000 + offset, b"k" if offset % 2 else None, b"v%d" % offset, headers
        )
    return PartitionRecords(
        tp, MemoryRecords(bytes(batch.build())), [], 5, None, None, True, "read_committed"
    )


def test_a_record_that_is_left_unwrapped_says_what_a_wrapped_one_says() -> None:
    tp = TP("t", 0)
    wrapped, plain = partition_records(tp), partition_records(tp)
    _leave_unwrapped(FetchResult(tp, assignment=None, partition_records=plain, backoff=0.0))
    first, second = list(wrapped), list(plain)
    assert type(first[0]) is not type(second[0])
    assert len(second) == 15
    for name in ("offset", "timestamp", "timestamp_type", "key", "value", "checksum"):
        assert [getattr(r, name) for r in first] == [getattr(r, name) for r in second]
    assert [list(r.headers) for r in first] == [list(r.headers) for r in second]
    assert wrapped.next_fetch_offset == plain.next_fetch_offset == 20
    runs = [Run(tp, records, 0, None).plain() for records in (first, second)]
    assert list(runs[0]) == list(runs[1])


def test_an_error_in_place_of_records_is_left_alone() -> None:
    error = FetchError(error=ValueError("x"), backoff=0.0)
    _leave_unwrapped(error)
    with pytest.raises(ValueError, match="x"):
        error.check_raise()


async def test_where_nothing_was_committed_the_place_where_reading_begins_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Retention moves the beginning of the log; a chunk that never fills must not move with it."""
    app = make_app(Settings())
    known, unheard, fresh = (TP("predictions", p) for p in range(3))

    async def seek_to_committed() -> dict[TP, int | None]:
        return {known: 40, unheard: None, fresh: None}

    async def seek_to_begin(partitions: Iterable[TP]) -> dict[TP, int]:
        assert set(partitions) == {unheard, fresh}
        return {fresh: 7}  # of the other, the broker did not answer

    monkeypatch.setattr(app.runs, "seek_to_committed", seek_to_committed)
    monkeypatch.setattr(app.runs._thread, "seek_to_begin", seek_to_begin)
    await app.runs.perform_seek()
    assert app.runs.current.starts == {known: 40, unheard: None, fresh: 7}
    assert app.runs.ledger == {fresh: 7}
    assert list(app.runs._filter_committable_offsets(app.runs.ledger)) == [fresh]
    assert app.runs.durable(fresh) == 7


# -- seeks that fetches overlap: Faust resumes the flow of a rebalance that another one has overtaken ---------------


@dataclass
class Seeks:
    """Stands for the thread around aiokafka's consumer: answers when it is let, and notes where it is sent."""

    committed: dict[TP, int | None]
    answers: asyncio.Event = field(default_factory=asyncio.Event)
    sought: list[tuple[TP, int]] = field(default_factory=list)

    async def answered(self) -> dict[TP, int | None]:
        await self.answers.wait()
        return self.committed

    def install(self, app: RunApp, monkeypatch: pytest.MonkeyPatch) -> None:
        async def seek(tp: TP, offset: int) -> None:
            self.sought.append((tp, offset))

        monkeypatch.setattr(app.runs, "seek_to_committed", self.answered)
        monkeypatch.setattr(app.runs, "_seek", seek)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_a_fetch_brings_that_seeks_overtook_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fetch may have taken records from where the partition was sought to, and nobody would read these again."""
    app, seeks = make_app(Settings()), Seeks({TP0: 3})
    seeks.install(app, monkeypatch)
    fed(app, monkeypatch, [([3, 4], 5), ([3, 4], 5)])
    fetch, began, brings = app.runs._wait_next_records, asyncio.Event(), asyncio.Event()

    async def slow(timeout: float) -> Any:
        began.set()
        await brings.wait()
        return await fetch(timeout)

    monkeypatch.setattr(app.runs, "_wait_next_records", slow)
    fetching = asyncio.ensure_future(one_fetch(app))
    await began.wait()
    seeking = asyncio.ensure_future(app.runs.perform_seek())
    await turns()
    brings.set()
    await turns()
    assert not fetching.done()
    seeks.answers.set()
    await seeking
    assert await fetching == []
    assert seeks.sought == [(TP0, 3)]
    assert await one_fetch(app) == [3, 4]
    assert app.runs.durable(TP0) == 3


async def test_nothing_is_fetched_while_positions_are_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    app, seeks = make_app(Settings()), Seeks({TP0: 3})
    seeks.install(app, monkeypatch)
    fed(app, monkeypatch, [([3, 4], 5)])
    seeking = asyncio.ensure_future(app.runs.perform_seek())
    await turns()
    fetching = asyncio.ensure_future(one_fetch(app))
    await turns()
    assert not fetching.done()
    seeks.answers.set()
    await seeking
    assert await fetching == [3, 4]
    assert seeks.sought == []


async def test_runs_of_one_fetch_are_not_delivered_or_sought_after_a_rebalance_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, other = make_app(Settings()), TP("predictions", 1)
    seeks = Seeks({TP0: 3, other: 3})
    seeks.answers.set()
    seeks.install(app, monkeypatch)
    fed(app, monkeypatch, [([7], 8)])
    fetch = app.runs._wait_next_records

    async def of_both(timeout: float) -> Any:
        records, _ = await fetch(timeout)
        return Fetched(dict.fromkeys((TP0, other), records[TP0]), {TP0: 8, other: 8}), {TP0}

    monkeypatch.setattr(app.runs, "_wait_next_records", of_both)
    delivery = app.runs.getmany(0.1)
    assert (await anext(delivery))[0] == TP0
    await app.runs.perform_seek()
    assert [tp async for tp, _ in delivery] == []
    assert seeks.sought == [], "the other one is where the rebalance left it"


class Client:
    """aiokafka's consumer, as far as a seek to committed offsets goes."""

    def __init__(self) -> None:
        self._subscription = SubscriptionState()
        self._subscription.subscribe({TP0.topic})
        self.rebalance()
        self.moved: list[tuple[TP, int]] = []
        self.commits: list[dict[TopicPartition, int]] = []
        self.asked = lambda: None

    def rebalance(self, *partitions: int) -> object:
        assigned = {TopicPartition(TP0.topic, partition) for partition in partitions or (0,)}
        self._subscription.assign_from_subscribed(assigned)
        return self._subscription.subscription.assignment

    def assignment(self) -> set[TopicPartition]:
        return set(self._subscription.assigned_partitions())

    async def committed(self, tp: TP) -> int:
        self.asked()
        return 5

    async def commit(self, offsets: dict[TopicPartition, Any]) -> None:
        offsets = commit_structure_validate(offsets)
        self.commits.append({tp: found.offset for tp, found in offsets.items()})

    def seek(self, tp: TP, offset: int) -> None:
        self._subscription.seek(TopicPartition(*tp), offset)
        self.moved.append((tp, offset))


def with_client(app: RunApp) -> tuple[Client, Any]:
    client = Client()
    thread: Any = app.runs._thread
    thread._consumer = client
    return client, thread


async def test_a_seek_whose_rebalance_was_overtaken_moves_nothing() -> None:
    app = make_app(Settings())
    client, thread = with_client(app)
    assert await thread._seek_to_committed(app.runs, app.runs.current) == {TP0: 5}
    assert client.moved == [(TP0, 5)]
    client.asked = lambda: app.runs._begin_epoch({})
    await thread._seek_to_committed(app.runs, app.runs.current)
    assert client.moved == [(TP0, 5)]
    client.asked = client.rebalance
    await thread._seek_to_committed(app.runs, app.runs.current)
    assert client.moved == [(TP0, 5)], "that is not where somebody else may have got"


async def test_what_was_fetched_for_an_assignment_that_nobody_has_sought_in_is_not_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another worker may have had the partition in between: the chunk that fills here would have a hole."""
    app, seeks = make_app(Settings()), Seeks({TP0: 3})
    seeks.answers.set()
    seeks.install(app, monkeypatch)
    client, _ = with_client(app)
    await app.runs.perform_seek()
    sought = app.runs.current.of
    assert sought is client._subscription.subscription.assignment
    fed(app, monkeypatch, [([3, 4], 5), ([500, 501], 502)])
    fetch, of = app.runs._wait_next_records, sought

    async def of_assignment(timeout: float) -> Any:
        records, active = await fetch(timeout)
        return Fetched(records, records.positions, of), active

    monkeypatch.setattr(app.runs, "_wait_next_records", of_assignment)
    assert await one_fetch(app) == [3, 4]
    of = client.rebalance()
    assert await one_fetch(app) == []
    assert seeks.sought == [], "the rebalance will seek"
    assert app.runs.reached(TP0, 5) == 5


async def test_a_seek_that_another_assignment_overtakes_begins_no_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the new partitions it has not asked; to take them for never committed would commit where their log begins."""
    app = make_app(Settings())
    client, _ = with_client(app)
    sought_to_begin: list[TP] = []

    async def seek_to_begin(partitions: Iterable[TP]) -> dict[TP, int]:
        sought_to_begin.extend(partitions)
        return dict.fromkeys(partitions, 0)

    async def seek_to_committed() -> dict[TP, int]:
        client.rebalance(0, 1)
        return {TP0: 5}

    monkeypatch.setattr(app.runs, "seek_to_committed", seek_to_committed)
    monkeypatch.setattr(app.runs._thread, "seek_to_begin", seek_to_begin)
    await app.runs.perform_seek()
    assert app.runs.current.starts == {}
    assert app.runs.ledger == {}
    assert sought_to_begin == []


async def test_a_partition_that_was_just_revoked_is_not_rewound(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka has no other word for it than an error, which ended the worker."""
    app, seeks = make_app(Settings()), Seeks({TP0: 3})
    seeks.answers.set()
    client, thread = with_client(app)
    monkeypatch.setattr(app.runs, "seek_to_committed", seeks.answered)

    async def call_thread(method: Any, *args: Any) -> Any:
        return await method(*args)

    monkeypatch.setattr(thread, "call_thread", call_thread)
    await app.runs.perform_seek()
    await app.runs.rewind(TP0)
    assert client.moved == [(TP0, 3)]
    client.rebalance(1)
    await app.runs.rewind(TP0)
    client.rebalance(0)
    await app.runs.rewind(TP0)
    assert client.moved == [(TP0, 3)], "the rebalance will seek"


@pytest.mark.parametrize("partition", [0, 1])
async def test_what_was_durable_in_one_assignment_is_not_committed_in_the_next(
    monkeypatch: pytest.MonkeyPatch, partition: int
) -> None:
    """Another worker may have got further in between; and a commit of nothing is an error, which ended the worker."""
    app, seeks = make_app(Settings()), Seeks({TP0: 3})
    seeks.answers.set()
    seeks.install(app, monkeypatch)
    client, thread = with_client(app)
    await app.runs.perform_seek()
    app.runs.ledger[TP0] = 7
    crashes: list[BaseException] = []

    async def crash(error: BaseException) -> None:
        crashes.append(error)

    async def at_once(method: Any, *args: Any) -> Any:
        return await method(*args)

    async def late(method: Any, *args: Any) -> Any:
        client.rebalance(partition)
        return await method(*args)

    monkeypatch.setattr(thread, "crash", crash)
    monkeypatch.setattr(thread, "call_thread", late)
    assert not await app.runs.commit()
    assert client.commits == []
    assert crashes == []
    monkeypatch.setattr(thread, "call_thread", at_once)
    client.rebalance(0)
    await app.runs.perform_seek()
    app.runs.ledger[TP0] = 7
    assert await app.runs.commit()
    assert client.commits == [{TopicPartition(*TP0): 7}]


async def test_an_assignment_without_partitions_ends_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust seeks only where there are some. Ticks went on telling of partitions that others have."""
    app, seeks = make_app(Settings()), Seeks({TP0: 3})
    seeks.answers.set()
    seeks.install(app, monkeypatch)
    await app.runs.perform_seek()
    app.runs.ledger[TP0] = 7
    before = app.runs.current

    async def nothing_more(assigned: set[TP], generation_id: int) -> None:
        pass

    monkeypatch.setattr(app.runs, "_on_partitions_assigned", nothing_more)
    await app.runs.on_partitions_assigned(set(), 2)
    assert app.runs.current.epoch > before.epoch
    assert app.runs.current.starts == {}
    assert app.runs.ledger == {}


async def test_a_rebalance_that_is_overtaken_leaves_an_epoch_in_which_nothing_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app, seeks = make_app(Settings()), Seeks({TP0: 3})
    seeks.install(app, monkeypatch)
    seeking = asyncio.ensure_future(app.runs.perform_seek())
    await turns()
    during = app.runs.current
    seeking.cancel()
    await asyncio.gather(seeking, return_exceptions=True)
    assert app.runs.current is not during
    assert app.runs.current.starts == {}
    seeks.answers.set()
    await app.runs.perform_seek()
    assert app.runs.current.starts == {TP0: 3}


async def test_what_is_read_again_is_delivered_whatever_faust_noted_of_the_first_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faust notes an offset after its agent had room, which may be after a rebalance, and drops what is below."""
    app = make_app(Settings())
    fed(app, monkeypatch, [([3, 4], 5)])
    delivered: list[int] = []
    fetcher = SimpleNamespace(_stopped=asyncio.Event())

    async def take(message: Any) -> None:
        delivered.extend(r.offset for r in message.value.records)
        fetcher._stopped.set()

    app.runs.callback = take
    app.runs._read_offset[TP0] = 300
    await app.runs._drain_messages(fetcher)  # type: ignore[arg-type]
    assert delivered == [3, 4]


async def test_a_partition_of_a_topic_that_was_made_again_is_read_from_its_beginning_and_that_is_committed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app(Settings())
    app.runs.current = Assignment(1, {TP0: 40})
    app.runs.ledger[TP0] = 60
    app.runs._committed_offset[TP0] = 60

    async def seek_to_begin(partitions: Iterable[TP]) -> dict[TP, int]:
        return {TP0: 0}

    monkeypatch.setattr(app.runs._thread, "seek_to_begin", seek_to_begin)
    await app.runs.begin_anew(TP0)
    assert app.runs.durable(TP0) == 0
    assert app.runs.rewinds == {TP0: 1}
    assert app.runs._filter_committable_offsets([TP0]) == {TP0: 0}, "although more was committed before"


@pytest.mark.parametrize("is_seen_by_the_client", [False, True])
async def test_a_partition_that_is_revoked_while_it_begins_anew_is_left_to_the_next_assignment(
    is_seen_by_the_client: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_app(Settings())
    app.runs.current = Assignment(1, {TP0: 40})
    other = Assignment(2, {})

    async def seek_to_begin(partitions: Iterable[TP]) -> dict[TP, int]:
        app.runs.current = other
        if is_seen_by_the_client:
            raise IllegalStateError("not assigned")
        return {TP0: 0}

    monkeypatch.setattr(app.runs._thread, "seek_to_begin", seek_to_begin)
    await app.runs.begin_anew(TP0)
    assert other.starts == {}
    assert app.runs.ledger == {}
