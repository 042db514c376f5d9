"""Faust, with runs instead of records and a ledger instead of acks.

Faust keeps what it is good at: group membership, rebalancing, pausing, heartbeats. Two things are replaced.

*Delivery.* An agent receives one message per fetched run of records of a partition (`Run`), not one per record.

*Commits.* Faust's ack bookkeeping can commit past a message that is still in flight and acks a message whose agent
raised (faust-streaming issues 606, 315, 527). Here acks mean nothing. Agents write offsets into `RunConsumer.ledger`
when everything up to them is durable, and only these are committed.

Every assignment starts a new *epoch*: positions are the committed offsets, and runs fetched before are dropped. So is
what a fetch brings that was under way while positions were sought, whatever Faust believes of its flow: it resumes the
flow of a rebalance that another one has overtaken, and fetches then go on between seeks.

aiokafka's thread is ahead of Faust's. It fetches, from the committed offsets, for an assignment that Faust has yet to
hear of, and these may be beyond what this process had read: another worker had the partition in between. So an epoch is
of one assignment of aiokafka's, and what was fetched for another is not delivered in it (`Assignment.of`).

*Offsets without records.* The log of a partition has gaps: markers of transactions, records of aborted ones, what
compaction or retention took away. Records of transactions that were aborted, or are still open, are not delivered, and
a partition is read to its end when nothing but such a gap is left (`RunConsumer.reached`).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import aiokafka.conn
import faust
import numpy as np
from aiokafka.errors import IllegalStateError, MessageSizeTooLargeError, RecordListTooLargeError
from faust.transport.drivers import aiokafka as driver
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from faust.types import TP, ConsumerMessage
from faust.types.auth import SASLMechanism
from yarl import URL

from seawall.errors import ConfigError
from seawall.settings import Settings
from seawall.transport import kafka_config
from streams.core.decode import Records
from streams.io import answers, refusals
from streams.io.consumer_thread import RunConsumerThread
from streams.io.recovery import Tables

log = logging.getLogger(__name__)
#: Bytes of a fetch that may wait in a connection's reader. With aiokafka's 64 KiB it stops listening after every read.
aiokafka.conn.READER_LIMIT = 8 << 20
_NEVER_S = 365 * 86_400.0
_MIND_GROUP_S = 1.0
answers.install()
refusals.install()


@dataclass(slots=True)
class Run:
    """Consecutive records of one partition, as one fetch returned them."""

    tp: TP
    records: list[Any]
    """aiokafka's records: offset, timestamp (milliseconds), key, value, headers."""
    epoch: int
    highwater: int | None
    """End of what may be read of the partition, as far as known."""
    rewinds: int = 0
    """How often the partition was sent back in this process before this was fetched."""

    def plain(self) -> Records:
        """Return the records without anything of the client library."""
        return Records(
            np.array([r.offset for r in self.records], dtype=np.int64),
            np.array([r.timestamp or 0 for r in self.records], dtype=np.int64) * 1000,
            [r.value or b"" for r in self.records],
            [r.key for r in self.records],
        )


@dataclass
class Assignment:
    """What this worker was assigned, and from where it reads."""

    epoch: int = 0
    starts: dict[TP, int | None] = field(default_factory=dict)
    """Offset of each partition from which it is read; None where nothing was committed and it is not known."""
    generation: int = 0
    """The group's: of two workers that think a partition theirs, the one with the greater number is right."""
    of: object | None = None
    """aiokafka's own assignment, in which the starts were sought. None while there is nothing to be read."""


class _Unremembered(dict[TP, "int | None"]):
    """Offsets that Faust notes to drop what it has read before.

    It notes one after the agents had room for it, which may be after a rebalance: then it drops, without a word, what
    is read again for good reason. Nothing is noted, so nothing is dropped; `RunConsumer` knows what it has delivered.
    """

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        pass


class RunConsumer(driver.Consumer):
    """Delivers runs; commits what the ledger says."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ledger: dict[TP, int] = {}
        self.current = Assignment()
        self.rewinds: dict[TP, int] = {}
        self._passed: dict[TP, tuple[int, int]] = {}
        """Offset after the last record that was delivered, and offset from which reading goes on."""
        self._seeking = asyncio.Lock()
        self._read_offset = _Unremembered()

    def _new_consumer_thread(self) -> RunConsumerThread:
        return RunConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @faust.Service.task
    async def _mind_group(self) -> None:
        """End the worker where aiokafka has given up its place in the group.

        It says so when it is asked for records, and waits until somebody has heard; Faust takes them another way.
        Without this the worker would go on reading what others read, or stand still, for ever.
        """
        async for _ in self.itertimer(_MIND_GROUP_S, name="group"):
            await cast("RunConsumerThread", self._thread).check_group()

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """Yield one message per fetched run."""
        await self._settled()
        epoch, rewinds = self.current.epoch, dict(self.rewinds)
        records, active = await self._wait_next_records(timeout)
        if records is None or self.should_stop:
            return
        await self._settled()
        if getattr(records, "of", None) is not self.current.of:
            return  # nobody has sought there yet, or it is over
        if epoch != self.current.epoch:
            # Fetched across a seek: it is not known from which side. Read again from the start.
            for tp in records:
                await self._back_to_start(tp)
            return
        if not self.flow_active:
            return  # a rebalance has begun, and will seek
        positions: Mapping[TP, int] = getattr(records, "positions", {})
        self._pass(
            {tp: at for tp, at in positions.items() if self.rewinds.get(tp, 0) == rewinds.get(tp, 0)}, records
        )
        for tp, run in records.items():
            if epoch != self.current.epoch or not self.flow_active:
                return  # since the run before was taken, which may have waited for room
            if not run:
                continue
            if self.rewinds.get(tp, 0) != rewinds.get(tp, 0):
                await self._back_to_start(tp)
                continue
            if active is not None and tp not in active and tp not in self._buffered_partitions:
                await self._seek(tp, run[0].offset)
                continue
            following = run[-1].offset + 1
            self._passed[tp] = (following, positions.get(tp, following))
            highwater = self.highwater(tp)
            if highwater is not None:
                self.app.monitor.track_tp_end_offset(tp, highwater)
            # Faust wants one record's place, to see how far the partition was read: the last one's.
            last = run[-1]
            yield (
                tp,
                ConsumerMessage(
                    tp.topic,
                    tp.partition,
                    last.offset,
                    (last.timestamp or 0) / 1000,
                    last.timestamp_type,
                    list(last.headers),
                    last.key,
                    Run(tp, list(run), epoch, highwater, rewinds.get(tp, 0)),  # type: ignore[arg-type]  # bytes
                    last.checksum,
                    tp=tp,
                    generation_id=self.app.consumer_generation_id,
                ),
            )

    def _pass(self, positions: Mapping[TP, int], records: Mapping[TP, list[Any]]) -> None:
        """Note where partitions are read on of which nothing came."""
        for tp, position in positions.items():
            if not records.get(tp):
                self._passed[tp] = (self._passed.get(tp, (0, 0))[0], position)

    async def _settled(self) -> None:
        """Wait until no positions are being sought."""
        async with self._seeking:
            pass

    async def _back_to_start(self, tp: TP) -> None:
        self._passed.pop(tp, None)
        if tp in self.current.starts:
            await self._seek(tp, self.durable(tp))

    async def _seek(self, partition: TP, offset: int | None) -> None:
        await cast("RunConsumerThread", self._thread).seek_within(self.current.of, partition, offset)

    def durable(self, tp: TP) -> int | None:
        """Return the offset up to which everything is durable: where reading starts again."""
        return self.ledger.get(tp, self.current.starts.get(tp))

    def reached(self, tp: TP, taken: int) -> int:
        """Return the offset up to which a partition is read, all its records before `taken` having been taken.

        Beyond `taken` where no record that may be read lies between the two.
        """
        following, position = self._passed.get(tp, (0, 0))
        return max(taken, position) if taken >= following else taken

    def highwater(self, tp: TP) -> int | None:  # type: ignore[override]  # aiokafka returns None as well
        """Return the end of what may be read of a partition; None where that is not known, or it was just revoked."""
        try:
            found: int | None = super().highwater(tp)
        except AssertionError:  # aiokafka has no other word for a partition that is not assigned
            return None
        return found

    async def rewind(self, tp: TP) -> None:
        """Read a partition again from `durable`; runs fetched before are to be dropped (`Run.rewinds`)."""
        self.rewinds[tp] = self.rewinds.get(tp, 0) + 1
        await self._back_to_start(tp)

    async def begin_anew(self, tp: TP) -> None:
        """Read a partition of a topic that was made again from its beginning, and commit that, whatever was before."""
        current = self.current
        self.rewinds[tp] = self.rewinds.get(tp, 0) + 1
        self._passed.pop(tp, None)
        self.ledger.pop(tp, None)
        self._committed_offset.pop(tp, None)
        current.starts[tp] = None
        try:
            begins = await cast("RunConsumerThread", self._thread).seek_to_begin({tp})
        except IllegalStateError:  # revoked meanwhile
            return
        if self.current is current:
            current.starts.update(begins)
            self.ledger.update(begins)

    def on_buffer_drop(self, tp: TP) -> None:
        """Fetch again what a full buffer had stopped, but not what was paused meanwhile (Faust forgets that)."""
        super().on_buffer_drop(tp)
        self._get_active_partitions().difference_update(self._paused_partitions)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Resume with Faust's own tuples: it checks their type later, and takes them as they come here."""
        super().resume_partitions({TP(tp.topic, tp.partition) for tp in tps})

    async def perform_seek(self) -> None:
        """Go to the committed offsets, and begin a new epoch there.

        Where nothing was ever committed, that is where the partition begins, and this is committed: a chunk that does
        not fill is made again from the same place, and not from wherever retention has left the log to begin.

        No epoch begins where another assignment has come meanwhile, which has a seek of its own.
        """
        thread = cast("RunConsumerThread", self._thread)
        async with self._seeking:
            of = thread.assigned()
            # From here on whatever is under way is of before. An epoch without partitions: nothing is read in it.
            nothing = self._begin_epoch({})
            try:
                starts, new = await self._seek_all()
            except BaseException:
                self._begin_epoch({})  # what the thread has not sought yet, it leaves alone
                raise
            if self.current is nothing and thread.assigned() is of:
                self._begin_epoch(starts, of)
                self.ledger.update(new)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """End the epoch. Faust seeks where there are partitions; where there are none, nothing else would end it."""
        self._begin_epoch({})
        await super().on_partitions_assigned(assigned, generation_id)

    def _begin_epoch(self, starts: dict[TP, int | None], of: object | None = None) -> Assignment:
        self.ledger.clear()
        self._passed.clear()
        self.current = Assignment(self.current.epoch + 1, starts, self.app.consumer_generation_id, of)
        return self.current

    async def _seek_all(self) -> tuple[dict[TP, int | None], dict[TP, int]]:
        """Seek; returns where each partition begins, and of them those of which nothing was committed yet."""
        committed = await self.seek_to_committed()
        self._committed_offset.clear()
        starts: dict[TP, int | None] = {}
        for tp, offset in committed.items():
            starts[tp] = offset if offset is not None and offset >= 0 else None
            if starts[tp] is not None:
                self._committed_offset[tp] = offset
        # Where nothing was committed; and where it was 0, since retention may have taken away what was there.
        fresh = {tp for tp, start in starts.items() if not start}
        thread = cast("RunConsumerThread", self._thread)
        begins = await thread.seek_to_begin(fresh) if fresh else {}
        new = {tp: begins[tp] for tp, start in starts.items() if start is None and tp in begins}
        return starts | new, new

    # -- acks mean nothing here ---------------------------------------------------------------------------

    def ack(self, message: Any) -> bool:
        """Forget the message; nothing is committed because of it."""
        message.acked = True
        self._unacked_messages.discard(message)
        return False

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Gaps do not matter to the ledger."""

    async def wait_empty(self) -> None:
        """Commit the ledger. What is in flight is not waited for: it will be read again."""
        await self.commit()

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        # Faust's compiled streams do not call `ack` but note acks themselves, and nobody would ever take these back
        self._acked.clear()
        self._acked_index.clear()
        return (tp for tp in list(self.ledger) if topics is None or tp in topics or tp.topic in topics)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        """Commit what the ledger says, at once: whatever it rests on is acknowledged, so nothing is flushed before.

        Noted as committed is what was, and what the ledger still says.
        """
        if not await cast("RunConsumerThread", self._thread).commit_within(self.current.of, offsets):
            return False
        done = {tp: offset for tp, offset in offsets.items() if self.ledger.get(tp, -1) >= offset}
        self._committed_offset.update(done)
        self.app.monitor.on_tp_commit(done)
        return True

    def _new_offset(self, tp: TP) -> int | None:
        return self.ledger.get(tp)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust looks for partitions that do not commit; a chunk that fills slowly is none of its business."""


class RunTransport(driver.Transport):
    """Faust's Kafka transport with `RunConsumer`."""

    Consumer = RunConsumer


class RunApp(faust.App):
    """A Faust application whose topics are delivered in runs."""

    def _new_transport(self) -> RunTransport:
        return RunTransport(self.conf.broker_consumer, self)

    @property
    def runs(self) -> RunConsumer:
        """The consumer."""
        return cast("RunConsumer", self.consumer)


def make_app(settings: Settings) -> RunApp:
    """Make the application. Nothing is started and nothing is connected."""
    credentials = faust_credentials(settings)
    return RunApp(
        settings.group,
        broker=[URL(f"kafka://{server.strip()}") for server in settings.broker.split(",")],
        broker_credentials=credentials,
        broker_session_timeout=settings.broker_session_timeout_s,
        broker_heartbeat_interval=settings.broker_session_timeout_s / 4,
        broker_request_timeout=max(settings.broker_session_timeout_s * 2, 30.0),
        broker_max_poll_records=4000,
        broker_commit_interval=0.5,
        # aiokafka leaves the group for whoever reads nothing for longer, and lets nobody join again who has not read
        # since. Faust reads nothing until it has joined, nor of paused partitions, nor where it was given none.
        broker_max_poll_interval=_NEVER_S,
        consumer_max_fetch_size=8 << 20,
        consumer_auto_offset_reset="earliest",
        # A group's leader assigns what it has heard of, and asks again only when this has passed. Where the broker went
        # away before it told of the topics, nobody was assigned anything for the five minutes that aiokafka takes.
        consumer_metadata_max_age_ms=5_000,
        producer_max_request_size=32 << 20,
        # aiokafka compresses lz4 at level 9, which takes five times as long on window reports and saves less.
        producer_compression_type="zstd",
        producer_linger=0.005,
        stream_buffer_maxsize=4,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        TableManager=Tables,
        web_enabled=False,
        autodiscover=False,
        table_standby_replicas=0,
        loghandlers=[],
    )


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS settings as a context, or None when the connection is not encrypted."""
    if not settings.broker_security.lower().endswith("ssl"):
        return None
    try:
        context = ssl.create_default_context(cafile=settings.broker_ca_file or None)
        if settings.broker_cert_file:
            context.load_cert_chain(settings.broker_cert_file, settings.broker_key_file or None)
    except (OSError, ssl.SSLError) as error:
        msg = f"broker TLS files ({settings.broker_ca_file or 'system CAs'}, {settings.broker_cert_file}): {error}"
        raise ConfigError(msg) from error
    return context


def faust_credentials(settings: Settings) -> Any:
    """Credentials in Faust's words. Raises `ConfigError` for a password that would travel in the clear."""
    kafka_config(settings)  # one place decides what is refused
    context = ssl_context(settings)
    if not settings.broker_security.lower().startswith("sasl"):
        return faust.SSLCredentials(context) if context else None
    return faust.SASLCredentials(
        username=settings.broker_username,
        password=settings.broker_password,
        ssl_context=context,
        mechanism=SASLMechanism(settings.broker_sasl_mechanism.upper()),
    )


def aiokafka_config(settings: Settings) -> dict[str, Any]:
    """Return connection settings for a bare aiokafka consumer: the same as Faust's own consumer has."""
    credentials = credentials_to_aiokafka_auth(faust_credentials(settings))
    return {"bootstrap_servers": settings.broker, **credentials}


async def publish(
    app: RunApp,
    messages: Iterable[tuple[str, bytes, bytes | None, int | None]],
    headers: Mapping[str, bytes] | None = None,
) -> None:
    """Send (topic, key, value, partition) messages and wait until the broker has acknowledged all of them."""
    for acknowledged in await begin(app, messages, headers):
        await acknowledged


async def begin(
    app: RunApp,
    messages: Iterable[tuple[str, bytes, bytes | None, int | None]],
    headers: Mapping[str, bytes] | None = None,
) -> list[Awaitable[Any]]:
    """Hand messages to the producer, in order; returns what to wait for until each is acknowledged."""
    return [
        await app.producer.send(topic, key, value, partition, None, dict(headers) if headers else None)
        for topic, key, value, partition in messages
    ]


def is_for_size(error: BaseException) -> bool:
    """Whether a message was refused because it is too large, by the producer or by the broker."""
    # Faust wraps what aiokafka's producer refuses before it is sent.
    return any(
        isinstance(e, (MessageSizeTooLargeError, RecordListTooLargeError)) for e in (error, error.__cause__)
    )
