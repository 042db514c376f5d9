"""The demo's year through the whole embedded loop, SDK to ClickHouse, as fast as it goes: ``make bench-loop``.

Counts predictions, feature vectors and labels as events, from the first that the SDK is given to the moment at which
the store accounts for the last. Beside it, the floor of the same run: how fast the same messages are read back from
the same broker and decoded, doing nothing with them. Adds both to ``build/bench.json``, writes what became of the
events, and how much memory it took, into ``build/bench/loop.json``, and prints a table.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import results
from examples.flights import story, world
from examples.flights.__main__ import MONITOR, demo_settings
from examples.flights.data import DAY_US
from examples.flights.model import MODEL
from examples.flights.product import Product
from examples.flights.store import Questions
from seawall import Client, Settings
from seawall.frames import from_record
from seawall.publish import publish_baseline, publish_monitor
from seawall.transport import kafka_config
from seawall.wire import decode
from streams.embedded.stack import running_stack

STEP_US = 5 * DAY_US
#: Whole weeks, so that the next year has its weekdays where this one has them.
WEEKS_OF_A_YEAR_US = 53 * 7 * DAY_US
DEADLINE_S = 150.0
#: A replay's last panes close when everything has been silent for so long; that wait is part of the measured time.
IDLE_S = 4.0
#: From a worker's readiness until the group has shared out its partitions, and the baseline was learnt from. No product
#: starts with its monitor, so this is no part of the measured time.
GROUP_FORMS_S = 10.0


@dataclass
class Memory:
    """Samples the resident memory of some processes together until told to stop."""

    pids: list[int]
    samples: list[tuple[float, int]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=self._sample, daemon=True).start()

    def _sample(self) -> None:
        processes = [psutil.Process(pid) for pid in self.pids]
        while not self._stop.wait(0.25):
            try:
                held = sum(process.memory_info().rss for process in processes)
                self.samples.append((time.monotonic(), held))
            except psutil.NoSuchProcess:
                return

    def stop(self) -> None:
        self._stop.set()


@dataclass
class Outcome:
    """One run."""

    events: dict[str, dict[str, int]]
    seconds: float
    sent_seconds: float
    memory: Memory

    @property
    def counted(self) -> int:
        return sum(sum(t[k] for k in ("counted", "late", "dead_lettered")) for t in self.events.values())

    @property
    def is_exact(self) -> bool:
        return all(t["sent"] == t["counted"] + t["late"] + t["dead_lettered"] for t in self.events.values())


def run(
    settings: Settings, year: world.World, data_dir: Path, console: Console, workers: int, years: int = 1
) -> tuple[Outcome, float]:
    """Replay the year, and again as the years after it; returns the outcome and the floor's events a second."""
    with running_stack(data_dir, workers=0, settings=settings) as stack:
        publish_monitor(stack.settings, MODEL, MONITOR.read_text(encoding="utf-8"))
        for release in story.RELEASES[:1]:
            publish_baseline(stack.settings, year.baselines[release.version])
        for number in range(workers):
            stack.start_worker(number)
        wait_ready(stack.settings)
        memory = Memory([stack.worker_pid(number) for number in range(workers)])
        memory.start()
        with Client(MODEL, settings=stack.settings, max_buffer_events=400_000) as client:
            sent: Counter[str] = Counter()
            began = time.monotonic()
            for number in range(years):
                shift = number * WEEKS_OF_A_YEAR_US
                later = replace(year, planned_us=year.planned_us + shift, landed_us=year.landed_us + shift)
                product = Product(later, client, lambda: story.RELEASES[0].version)
                for start in range(story.YEAR[0], story.YEAR[1], STEP_US):
                    product.run(start + shift, min(start + STEP_US, story.YEAR[1]) + shift)
                sent += product.sent
            client.flush(DEADLINE_S * years)
            sent_seconds = time.monotonic() - began
            questions = Questions(stack.settings)
            while True:
                found = questions.tallies()
                events = {
                    t: {"sent": n, **found.get(t, {"counted": 0, "late": 0, "dead_lettered": 0})}
                    for t, n in sent.items()
                }
                outcome = Outcome(events, time.monotonic() - began, sent_seconds, memory)
                for number in range(workers):
                    stack.worker_pid(number)  # raises when the worker has died
                if outcome.is_exact or time.monotonic() - began > DEADLINE_S * years:
                    break
                time.sleep(0.5)  # asking is work for the store
        memory.stop()
        console.print(
            f"[dim]sent in {sent_seconds:.1f} s, accounted for in {outcome.seconds:.1f} s; reading it back …"
        )
        return outcome, floor(stack.settings)


def wait_ready(settings: Settings) -> None:
    """Wait until the workers have shared out their partitions."""
    import urllib.request

    deadline = time.monotonic() + 60
    url = f"http://127.0.0.1:{settings.worker_health_port}/ready"
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    time.sleep(GROUP_FORMS_S)
                    return
        except OSError:
            time.sleep(0.1)


def floor(settings: Settings) -> float:
    """Events a second of reading the same messages and decoding their frames, nothing else."""
    import confluent_kafka

    consumer = confluent_kafka.Consumer(
        {
            **kafka_config(settings),
            "group.id": "floor",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    contracts = {"predictions": "prediction_frame", "features": "feature_frame", "labels": "label_frame"}
    names = {settings.topic(t): t for t in contracts}
    places = [
        confluent_kafka.TopicPartition(t, p, confluent_kafka.OFFSET_BEGINNING)
        for t in names
        for p in range(max(settings.topic_partitions, 1))
    ]
    consumer.assign(places)
    events, waiting, began = 0, len(places), time.monotonic()
    while waiting:
        for message in consumer.consume(500, 1.0):
            if message.error():
                waiting -= 1
                continue
            source = names[message.topic()]
            _, record = decode(message.value(), (contracts[source],))
            events += from_record(source, record).rows
    seconds = time.monotonic() - began
    consumer.close()
    return events / seconds


def report(outcomes: list[Outcome], floors: list[float], console: Console, out: Path) -> None:
    """Print the table and write the JSON."""
    rates = [o.counted / o.seconds for o in outcomes]
    table = Table("", "events/s", "of the floor", "events", "seconds")
    for o, rate, lowest in zip(outcomes, rates, floors, strict=True):
        table.add_row("loop", f"{rate:,.0f}", f"{rate / lowest:.0%}", f"{o.counted:,}", f"{o.seconds:.1f}")
        table.add_row("floor", f"{lowest:,.0f}", "100%", f"{o.counted:,}", f"{o.counted / lowest:.1f}")
    console.print(table)
    for o in outcomes:
        rss = [b / 2**20 for _, b in o.memory.samples]
        quarters = [max(rss[i * len(rss) // 4 : (i + 1) * len(rss) // 4] or [0]) for i in range(4)]
        console.print(
            "workers' resident memory together, by quarter of the run, MiB: "
            + ", ".join(f"{q:.0f}" for q in quarters)
        )
        if not o.is_exact:
            console.print(f"[red]not exact: {o.events}")
    fates = {
        "exact": all(o.is_exact for o in outcomes),
        "events": outcomes[-1].events,
        "peak_rss_bytes": max(b for o in outcomes for _, b in o.memory.samples),
    }
    results.write(out, "loop", fates)
    written = results.merge(
        out, {"seawall_demo_year": results.rate(rates), "floor_demo_year": results.rate(floors)}
    )
    console.print(f"{written}")


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop", description=__doc__)
    parser.add_argument(
        "--workers",
        type=int,
        default=min(len(os.sched_getaffinity(0)), 2),
        help="processes that share the work",
    )
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--years", type=int, default=1, help="replay the year so often, one after the other")
    parser.add_argument("--out", type=Path, default=Path("build"))
    arguments = parser.parse_args()
    console = Console()
    year = world.load(arguments.out / "demo-cache", lambda text: console.print(f"[dim]{text}"))
    outcomes, floors = [], []
    for number in range(arguments.runs):
        data_dir = arguments.out / "bench-stack"
        shutil.rmtree(data_dir, ignore_errors=True)
        console.print(f"[dim]run {number + 1} of {arguments.runs}")
        settings = replace(demo_settings(), idle_timeout_s=IDLE_S)
        outcome, lowest = run(settings, year, data_dir, console, arguments.workers, arguments.years)
        outcomes.append(outcome)
        floors.append(lowest)
    report(outcomes, floors, console, arguments.out)
    return 0 if all(o.is_exact for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
