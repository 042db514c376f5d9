"""The thread around aiokafka's consumer: what it fetches, where it is sent, and for which assignment.

Everything that moves a position or commits an offset does so here, in aiokafka's own thread, and only while the
assignment that it was meant for lasts: another one may have come since somebody asked for it in Faust's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP


class Fetched(dict[TP, list[Any]]):
    """Records by partition, as one fetch returned them.

    `positions` is where each partition is read on, `of` the assignment of aiokafka's that they were fetched for.
    """

    def __init__(
        self, records: Mapping[TP, list[Any]], positions: Mapping[TP, int], of: object | None = None
    ) -> None:
        super().__init__(records)
        self.positions = positions
        self.of = of


class RunConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread around aiokafka's consumer, which reads no records of aborted or open transactions."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust sets it only where it writes in transactions as well. aiokafka reads it when it starts.
        consumer._isolation_level = "read_committed"
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **kwargs: Any) -> Fetched:
        for result in consumer._fetcher._records.values():
            _leave_unwrapped(result)
        records = await super()._fetch_records(consumer, *args, **kwargs)
        # Nothing is awaited between the two: these are the positions after these very records.
        return Fetched(records, dict(_positions(consumer)), _assigned(consumer))

    def assigned(self) -> object | None:
        """Return aiokafka's present assignment: another object after each rebalance, None before the first."""
        return _assigned(self._consumer)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to the committed offsets, to all of them at once; returns them, None where nothing was committed.

        Whoever asked may have given up meanwhile, because of another rebalance: then nothing is moved.
        """
        runs: Any = self.consumer  # a `streams.io.kafka.RunConsumer`
        return cast("Mapping[TP, int]", await self.call_thread(self._seek_to_committed, runs, runs.current))

    async def _seek_to_committed(self, runs: Any, asked_in: object) -> dict[TP, int | None]:
        consumer = self._ensure_consumer()
        of, tps = _assigned(consumer), list(consumer.assignment())
        found = dict(zip(tps, await asyncio.gather(*map(consumer.committed, tps)), strict=True))
        if runs.current is asked_in and _assigned(consumer) is of:
            for tp, offset in found.items():
                if offset is not None and offset >= 0:
                    consumer.seek(tp, offset)
        return {TP(tp.topic, tp.partition): offset for tp, offset in found.items()}

    async def seek_within(self, of: object | None, tp: TP, offset: int | None) -> None:
        """Go to an offset, or to where the partition begins, unless another assignment has come: that one seeks.

        In this thread, between two of its steps: in the middle of a fetch the seek would be undone.
        """
        await self.call_thread(self._seek_within, of, TopicPartition(tp.topic, tp.partition), offset)

    async def _seek_within(self, of: object | None, tp: TopicPartition, offset: int | None) -> None:
        consumer = self._ensure_consumer()
        if _assigned(consumer) is not of:
            return
        if offset is None:
            await consumer.seek_to_beginning(tp)
        else:
            consumer.seek(tp, offset)

    async def seek_to_begin(self, partitions: Iterable[TP]) -> dict[TP, int]:
        """Go to where partitions begin now; returns these offsets, as far as the broker answers."""
        return cast("dict[TP, int]", await self.call_thread(self._seek_to_begin, set(partitions)))

    async def _seek_to_begin(self, partitions: set[TP]) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        # aiokafka takes no other tuples, Faust's own included
        await consumer.seek_to_beginning(*(TopicPartition(tp.topic, tp.partition) for tp in partitions))
        return {tp: position for tp, position in _positions(consumer) if tp in partitions}

    async def commit_within(self, of: object | None, offsets: Mapping[TP, int]) -> bool:
        """Commit, unless another assignment has come: somebody else may have got further in between."""
        return cast("bool", await self.call_thread(self._commit_within, of, offsets))

    async def _commit_within(self, of: object | None, offsets: Mapping[TP, int]) -> bool:
        return _assigned(self._ensure_consumer()) is of and await self._commit(offsets)

    async def check_group(self) -> None:
        """Raise what aiokafka has to say of our place in the group, if anything."""
        await self.call_thread(self._check_group)

    async def _check_group(self) -> None:
        self._ensure_consumer()._coordinator.check_errors()

    def highwater(self, tp: TP) -> Any:
        """Return the offset before which there is all that may be read, None where that is not known."""
        consumer = self._ensure_consumer()
        stable, last = consumer.last_stable_offset(tp), consumer.highwater(tp)
        return last if stable is None or stable < 0 else stable


def _leave_unwrapped(result: Any) -> None:
    """Let a fetch's records come as the parser makes them, when they come.

    aiokafka wraps each in an object of eleven fields, which takes longer than to parse it; nothing here asks for more
    than the record itself has. What arrives while a fetch is waited for is still wrapped, and serves as well.
    """
    unread = getattr(result, "_partition_records", None)
    if unread is not None:
        unread._consumer_record = _itself


def _itself(_: Any, record: Any) -> Any:
    return record


def _assigned(consumer: Any) -> Any | None:
    subscription = consumer and consumer._subscription.subscription
    return subscription and subscription.assignment


def _positions(consumer: Any) -> Iterator[tuple[TP, int]]:
    assignment = _assigned(consumer)
    if not assignment:
        return
    for tp in assignment.tps:
        state = assignment.state_value(tp)
        if state.has_valid_position:
            yield TP(tp.topic, tp.partition), state.position
