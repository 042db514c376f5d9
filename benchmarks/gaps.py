"""What holes in a topic cost: the same events with and without gaps in their offsets, in turns, in one run.

Run ``python -m benchmarks.gaps`` (Apache Kafka: it needs Java 17 and Maven). Three topics hold the same single events
of 20 numbers, in the same order:

- *none*: nothing else;
- *aborted*: after each window's events a transaction that was aborted, of `--gap` small records and its marker; the
  broker hands them to a reader, who has to leave them out;
- *compacted*: after each window's events `--gap` small records of one key, which compaction has taken away before
  anybody reads, so that only their offsets are missing. The last one stays, and is a dead letter.

Compaction leaves alone what is in the segment that is still written, so the last windows have no gaps between them, on
any topic.

A worker counts each to its end, every window compared with a recount (`benchmarks.contenders.race`). Events that are
aborted or taken away are no events: the rate is that of those that count.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not in its __all__
from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.contenders.environment import broker
from benchmarks.contenders.race import Outcome, Seawall, Track
from benchmarks.contenders.workload import Workload
from benchmarks.parts import SKIPPED
from seawall.errors import Unavailable
from seawall.settings import Settings
from seawall.transport import kafka_config
from tests.kafka.cluster import missing_tools

FILLER = b"-"
#: Its records are taken away by compaction, all but the last.
FILLER_KEY = b"filler"
COMPACTION_DEADLINE_S = 120.0
#: What one run may take.
DEADLINE_S = 60.0
#: Small segments that are compacted as soon as they are full.
SEGMENT_BYTES = 4 << 20
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": str(SEGMENT_BYTES),
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
}


@dataclass
class Filling:
    """Fills a topic with the events, and leaves a gap of so many offsets after each window's, but the last ones'."""

    work: Workload
    gap: int

    @property
    def gaps(self) -> int:
        """How many there are: what follows the last of them fills more than one segment."""
        window_bytes = self.work.per_minute * len(next(self.work.single_events()))
        return max(self.work.minutes - (2 * SEGMENT_BYTES // window_bytes + 1), 0)

    def none(self, settings: Settings) -> None:
        """Put the events there, without gaps."""
        self._fill(settings, lambda: None)

    def aborted(self, settings: Settings) -> None:
        """Leave gaps of records whose transaction was aborted, and of the marker behind them."""
        producer = Producer({**kafka_config(settings), "transactional.id": "gaps"})
        producer.init_transactions(30)

        def abort() -> None:
            producer.begin_transaction()
            for _ in range(self.gap):
                produce(producer, settings.topic("predictions"), FILLER, FILLER_KEY)
            producer.flush(30)  # an abort forgets what was not sent yet
            producer.abort_transaction(30)

        self._fill(settings, abort)

    def compacted(self, settings: Settings) -> None:
        """Leave gaps of records that compaction takes away, and wait until it has."""
        producer = Producer(kafka_config(settings))

        def repeat() -> None:
            for _ in range(self.gap):
                produce(producer, settings.topic("predictions"), FILLER, FILLER_KEY)
            producer.flush(30)

        self._fill(settings, repeat)
        deadline = time.monotonic() + COMPACTION_DEADLINE_S
        while (left := fillers(settings)) > 1:
            if time.monotonic() > deadline:
                msg = f"after {COMPACTION_DEADLINE_S:g} s compaction had left {left} records of one key"
                raise Unavailable(msg)
            time.sleep(2)

    def _fill(self, settings: Settings, then: Callable[[], None]) -> None:
        producer = Producer({**kafka_config(settings), "linger.ms": 20})
        events = enumerate(self.work.single_events())
        window, gaps = 0, self.gaps
        while batch := list(islice(events, self.work.per_minute)):
            for number, value in batch:
                produce(producer, settings.topic("predictions"), value, b"%d" % number)
            producer.flush(30)
            window += 1
            if window <= gaps:
                then()


def produce(producer: Producer, topic: str, value: bytes, key: bytes) -> None:
    """Hand over a record for the only partition; waits while the producer's queue is full."""
    while True:
        try:
            producer.produce(topic, value, key, partition=0)
            return
        except BufferError:
            producer.poll(0.05)


def fillers(settings: Settings) -> int:
    """Read the topic, and count the records that are no events."""
    consumer = Consumer({**kafka_config(settings), "group.id": "gaps"})
    place = TopicPartition(settings.topic("predictions"), 0, 0)
    _, high = consumer.get_watermark_offsets(place, 30)
    consumer.assign([place])
    found, at = 0, 0
    while at < high:
        for message in consumer.consume(10_000, 5.0):
            found += message.key() == FILLER_KEY
            at = (message.offset() or 0) + 1
    consumer.close()
    return found


def create(settings: Settings, config: Mapping[str, str]) -> None:
    """Create the topic of the events with a configuration that a topic of predictions does not have."""
    topic = settings.topic("predictions")
    admin = AdminClient(kafka_config(settings))
    admin.create_topics([NewTopic(topic, 1, 1, config=dict(config))])[topic].result(30)


def tracks(options: argparse.Namespace, address: str, console: Console) -> dict[str, Track]:
    """Fill a topic for each kind of gaps."""
    work = Workload.until_now(options.minutes, options.per_minute, 20)
    filling = Filling(work, options.gap)
    directory = options.out / "gaps-stack"
    shutil.rmtree(directory, ignore_errors=True)
    found: dict[str, Track] = {}
    for name, fill in (
        ("none", filling.none),
        ("aborted", filling.aborted),
        ("compacted", filling.compacted),
    ):
        settings = Settings(
            broker=address, topic_prefix=f"gaps-{name}.", topic_partitions=1, log_level="warning"
        )
        if name == "compacted":
            create(settings, COMPACTED)
        found[name] = Track(settings, work, DEADLINE_S, directory)
        with console.status(f"putting {work.events:,} events on a topic; gaps: {name} …"):
            found[name].fill(fill)
    return found


def main() -> int:
    """Run the benchmark; returns the exit code: 1 when a window was wrong, 3 where Java or Maven is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gaps", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--minutes", type=int, default=300, help="windows on each topic")
    parser.add_argument("--per-minute", type=int, default=2000, help="events of a window")
    parser.add_argument(
        "--gap", type=int, default=10_000, help="records of the gap after each window's events"
    )
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    console = Console()
    if missing_tools():
        console.print(missing_tools())
        return SKIPPED
    with broker("kafka", {"log.cleaner.backoff.ms": 1000}) as (address, _):
        topics = tracks(options, address, console)
        runs: dict[str, list[Outcome]] = {name: [] for name in topics}
        for number in range(options.runs):
            for name, track in topics.items():
                outcome = Seawall(f"seawall, gaps: {name}").run(track)
                runs[name].append(outcome)
                console.print(f"[dim]run {number + 1}, gaps: {name}: {outcome.rate:,.0f} events/s")
    found = {name: laid_out(outcomes, runs["none"]) for name, outcomes in runs.items()}
    table = Table("gaps", "events/s", "× none", "a processor second", "× none")
    for name, entry in found.items():
        table.add_row(
            name,
            f"{entry['events_per_second']:,.0f}",
            f"{entry['of_none']:.2f}",
            f"{entry['events_per_cpu_second']:,.0f}",
            f"{entry['cpu_of_none']:.2f}",
        )
    console.print(table)
    work = topics["none"].work
    gaps = Filling(work, options.gap).gaps
    about = {
        "events": work.events,
        "windows": work.minutes,
        "gaps_of_a_topic": gaps,
        "records_of_a_gap": options.gap,
    }
    console.print(f"[dim]{results.write(options.out, 'gaps', {**about, 'gaps': found})}")
    wrong = [f"{name}: {text}" for name, outcomes in runs.items() for o in outcomes for text in o.wrong]
    short = [f"{n}: {o.windows} windows" for n, os in runs.items() for o in os if o.windows < options.minutes]
    for text in [*wrong, *short][:10]:
        console.print(f"[red]{text}")
    return 1 if wrong or short else 0


def laid_out(outcomes: list[Outcome], none: list[Outcome]) -> dict[str, Any]:
    """Lay out the runs on one topic, and the median of their ratios to the run beside them without gaps."""
    return results.rate(
        [o.rate for o in outcomes],
        of_none=statistics.median(o.rate / n.rate for o, n in zip(outcomes, none, strict=True)),
        events_per_cpu_second=statistics.median(o.cpu_rate for o in outcomes),
        cpu_runs=[o.cpu_rate for o in outcomes],
        cpu_of_none=statistics.median(o.cpu_rate / n.cpu_rate for o, n in zip(outcomes, none, strict=True)),
    )


if __name__ == "__main__":
    sys.exit(main())
