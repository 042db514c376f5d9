"""Minutes of load at a share of what one worker can do: ``make soak``.

First the capacity: how fast one worker takes single Avro events of 20 numbers of which there is always a backlog, while
more are sent as fast as they go; for generator, broker, store and worker share one machine. Then an *open-loop* load of
70 % of that, sent at its own pace whatever the worker does, each event with the time at which it was due, so that a
stall shows as latency and is not hidden by events that were never sent. Meanwhile, once a second: the worker's resident
memory and its lag; and for each pane, how long after its end its window could be read from the store. Writes
``build/bench/soak.json``, of which `benchmarks.plots` draws a plot; fails when memory grows, lag does or windows come
late, and when an event is missing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from confluent_kafka import Producer
from rich.console import Console

from benchmarks import results
from benchmarks.contenders.environment import broker
from benchmarks.contenders.workload import MODEL, Workload, zigzag
from seawall.errors import Unavailable
from seawall.publish import publish_baseline, publish_monitor
from seawall.settings import Settings
from seawall.transport import kafka_config
from streams.embedded.stack import Stack, running_stack
from streams.io.clickhouse import Store

PANE_S = 10
MONITOR = (
    f"model: {MODEL}\nwindows: {{pane: {PANE_S}s, horizons: [1m], lateness: 1s, grace: 1h}}\nnotify: [log]\n"
)
BACKLOG = 400_000
#: How long the capacity is looked at, once the worker is counting.
CAPACITY_S = 20.0
TICK_S = 0.02
WARM_UP_S = 120.0
#: What "done" means: window p99 after the pane's end, growth of memory after the warm-up, lag in seconds of load.
LATEST_S, GROWTH_SHARE, LAG_S = 5.0, 0.05, 5.0


class Load:
    """Single events from a pool, each stamped with the time at which it is due."""

    def __init__(self, settings: Settings, workload: Workload) -> None:
        self.producer = Producer(
            {**kafka_config(settings), "linger.ms": 10, "queue.buffering.max.messages": 500_000}
        )
        self.topic = settings.topic("predictions")
        self.partitions = len(self.producer.list_topics(self.topic, timeout=10).topics[self.topic].partitions)
        stamp = workload.end_us
        pool = [workload.single_event(i, stamp, v) for i, v in enumerate(workload.values[:2000])]
        self.pool = [tuple(event.split(zigzag(stamp), 1)) for event in pool]
        self.sent = 0
        self.failed = 0

    def send(self, events: int, ts_us: int) -> None:
        """Hand events of one time to the producer; partitions take turns."""
        stamp = zigzag(ts_us)
        for i in range(self.sent, self.sent + events):
            before, after = self.pool[i % len(self.pool)]
            value = before + stamp + after
            while True:
                try:
                    self.producer.produce(
                        self.topic, value, partition=i % self.partitions, on_delivery=self._delivered
                    )
                    break
                except BufferError:
                    self.producer.poll(0.01)
        self.sent += events
        self.producer.poll(0)

    def _delivered(self, error: Any, _: Any) -> None:
        self.failed += error is not None

    def finish(self) -> None:
        """Wait until the broker has everything."""
        if self.producer.flush(60) or self.failed:
            msg = f"{self.failed + len(self.producer)} events were not taken by the broker"
            raise RuntimeError(msg)


@dataclass
class Watch:
    """What is seen while the load runs; times are seconds since it began."""

    stack: Stack
    memory: list[tuple[float, float]] = field(default_factory=list)
    """MiB"""
    lag: list[tuple[float, float]] = field(default_factory=list)
    """Records, all partitions together."""
    windows: list[tuple[float, float]] = field(default_factory=list)
    """End of each pane, and how many seconds later its window was first seen in the store."""
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self, began_s: float) -> Iterator[None]:
        """Watch until the block ends."""
        threads = [
            threading.Thread(target=self._every, args=(interval_s, look, began_s), daemon=True)
            for interval_s, look in ((1.0, self._look_at_worker), (0.1, self._look_into_store))
        ]
        self._store = Store(self.stack.settings)
        self._process = psutil.Process(self.stack.worker_pid())
        self._seen_us = 0
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _every(self, interval_s: float, look: Callable[[float], None], began_s: float) -> None:
        while not self._stop.wait(interval_s):
            with suppress(OSError, Unavailable):  # one sample less: a page that took too long, say
                look(began_s)

    def _look_at_worker(self, began_s: float) -> None:
        at = time.time() - began_s
        self.memory.append((at, self._process.memory_info().rss / 2**20))
        self.lag.append((at, metric(self.stack.settings, "seawall_lag_records")))

    def _look_into_store(self, began_s: float) -> None:
        found = self._store.query(
            "SELECT DISTINCT toUnixTimestamp64Micro(end) AS end_us FROM windows"
            " WHERE horizon_us = %(pane)s AND segment = '' AND end > fromUnixTimestamp64Micro(%(seen)s)",
            {"pane": PANE_S * 1_000_000, "seen": self._seen_us},
        )
        now = time.time()
        for end_us in sorted(int(row["end_us"]) for row in found):
            self.windows.append((end_us / 1e6 - began_s, now - end_us / 1e6))
            self._seen_us = end_us


def metric(settings: Settings, name: str) -> float:
    """Add up one metric of the worker over its labels."""
    url = f"http://127.0.0.1:{settings.worker_health_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


def prepared(stack: Stack, workload: Workload) -> Load:
    """Publish the baseline and the monitor."""
    publish_baseline(stack.settings, workload.baseline())
    publish_monitor(stack.settings, MODEL, MONITOR)
    return Load(stack.settings, workload)


def capacity(workload: Workload, data_dir: Path, settings: Settings) -> float:
    """Events a second of one worker that never catches up, while the generator sends as fast as it can."""
    with running_stack(data_dir, workers=0, settings=settings, own_broker=False) as stack:
        load = prepared(stack, workload)
        for _ in range(0, BACKLOG, 1000):
            load.send(1000, time.time_ns() // 1000)
        stack.start_worker()
        marks: list[tuple[float, float]] = []
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.25):
                with suppress(OSError):
                    if taken := metric(stack.settings, "seawall_rows_consumed_total"):
                        marks.append((time.monotonic(), taken))

        watching = threading.Thread(target=look, daemon=True)
        watching.start()
        deadline = time.monotonic() + 60
        while not marks or time.monotonic() - marks[0][0] < CAPACITY_S:
            if not marks and time.monotonic() > deadline:
                msg = "the worker took no event in a minute"
                raise RuntimeError(msg)
            # A backlog is enough; a longer one would only be more to keep.
            if load.sent - (marks[-1][1] if marks else 0) < 2 * BACKLOG:
                load.send(1000, time.time_ns() // 1000)
            else:
                time.sleep(0.005)
        ended.set()
        watching.join()
        load.finish()
        (t0, n0), (t1, n1) = marks[len(marks) // 10], marks[-1]
        return (n1 - n0) / (t1 - t0)


def soak(
    workload: Workload,
    rate: float,
    seconds: float,
    data_dir: Path,
    settings: Settings,
    say: Callable[[str], None],
) -> tuple[Watch, dict[str, Any]]:
    """Send `rate` events a second for `seconds`; returns what was seen, and what became of the events."""
    with running_stack(data_dir, workers=0, settings=settings, own_broker=False) as stack:
        load = prepared(stack, workload)
        stack.start_worker()
        time.sleep(15)  # the group forms
        watch = Watch(stack)
        began_s = time.time()
        late_s, told = 0.0, 0
        with watch.running(began_s):
            while (at := time.time() - began_s) < seconds:
                due = int(at * rate)
                behind = due - load.sent
                while load.sent < due:
                    # Events of one tick share its time; those that are overdue keep theirs.
                    first_s = load.sent / rate
                    load.send(
                        min(max(int(TICK_S * rate), 1), due - load.sent), int((began_s + first_s) * 1e6)
                    )
                late_s = max(late_s, behind / rate - TICK_S)
                if at // 60 > told:
                    told = int(at // 60)
                    say(
                        f"{told} min: {watch.memory[-1][1]:.0f} MiB, lag {watch.lag[-1][1]:.0f}, "
                        f"window after {watch.windows[-1][1] if watch.windows else float('nan'):.1f} s"
                    )
                time.sleep(TICK_S)
            load.finish()
        store, found = Store(stack.settings), {}
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = store.query(
                "SELECT sum(rows) AS counted, countIf(revision > 0) AS revised FROM windows FINAL"
                " WHERE horizon_us = %(pane)s AND segment = ''",
                {"pane": PANE_S * 1_000_000},
            )[0]
            if int(found["counted"]) >= load.sent:
                break
            time.sleep(0.5)
        return watch, {
            "sent": load.sent,
            "counted": int(found["counted"]),
            "windows_revised": int(found["revised"]),
            "generator_late_s": round(late_s, 2),
        }


def summary(watch: Watch, rate: float) -> tuple[dict[str, Any], list[str]]:
    """Return figures, and what is not as it should be."""
    at, mib = np.array(watch.memory).T
    warm = min(WARM_UP_S, at[-1] / 3)
    settled = mib[at >= warm]
    half = len(settled) // 2
    first, last = float(np.median(settled[:half])), float(np.median(settled[half:]))
    lag = np.array([n for _, n in watch.lag])
    latency = np.array([s for _, s in watch.windows])
    found = {
        "memory_mib": {
            "first_half": round(first),
            "second_half": round(last),
            "peak": round(float(mib.max())),
        },
        "memory_mib_per_minute": round(float(np.polyfit(at[at >= warm], settled, 1)[0] * 60), 2),
        "lag_records": {
            "median": float(np.median(lag)),
            "p99": float(np.quantile(lag, 0.99)),
            "max": float(lag.max()),
        },
        "window_after_pane_end_s": {
            "median": round(float(np.median(latency)), 2),
            "p99": round(float(np.quantile(latency, 0.99)), 2),
            "max": round(float(latency.max()), 2),
        },
        "windows": len(latency),
    }
    wrong = []
    if last > first * (1 + GROWTH_SHARE):
        wrong.append(f"memory grew from {first:.0f} to {last:.0f} MiB")
    if np.quantile(lag, 0.99) > LAG_S * rate:
        wrong.append(
            f"lag reached {np.quantile(lag, 0.99):.0f} records, {LAG_S:g} s of load are {LAG_S * rate:.0f}"
        )
    if np.quantile(latency, 0.99) > LATEST_S:
        wrong.append(f"windows came {np.quantile(latency, 0.99):.1f} s after their pane's end (p99)")
    return found, wrong


def _on(address: str, name: str) -> Settings:
    return Settings(broker=address, topic_prefix=f"{name}.", group=name)


def main() -> int:
    """Run the soak; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--share", type=float, default=0.7, help="of the measured capacity")
    parser.add_argument(
        "--rate", type=float, default=0, help="events a second, instead of a share of the capacity"
    )
    parser.add_argument("--broker", choices=("auto", "kafka", "embedded"), default="auto")
    parser.add_argument("--out", type=Path, default=Path("build"))
    arguments = parser.parse_args()
    console = Console()

    def say(text: str) -> None:
        console.print(f"[dim]{text}")

    workload = Workload.until_now(minutes=10, per_minute=2000, features=20)
    data_dir = arguments.out / "soak-stack"
    full, rate = None, arguments.rate
    # The embedded broker keeps every event in memory: 16 GB of them ended it after seven minutes.
    with broker(arguments.broker) as (address, kind):
        if not rate:
            shutil.rmtree(data_dir, ignore_errors=True)
            full = capacity(workload, data_dir, _on(address, "capacity"))
            rate = arguments.share * full
            say(
                f"{kind}: one worker takes {full:,.0f} events/s; "
                f"{rate:,.0f} events/s for {arguments.minutes:g} minutes …"
            )
        shutil.rmtree(data_dir, ignore_errors=True)
        watch, fate = soak(workload, rate, arguments.minutes * 60, data_dir, _on(address, "soak"), say)
    found, wrong = summary(watch, rate)
    if fate["counted"] != fate["sent"]:
        wrong.append(f"{fate['sent']} events were sent, {fate['counted']} counted")
    found = {
        "broker": kind,
        "capacity": full,
        "rate": rate,
        "minutes": arguments.minutes,
        **fate,
        **found,
    }
    series = {"memory_mib": watch.memory, "lag_records": watch.lag, "window_after_pane_end_s": watch.windows}
    written = results.write(arguments.out, "soak", {**found, "series": series})
    console.print_json(data=found)
    console.print(f"[dim]{written}")
    for problem in wrong:
        console.print(f"[red]{problem}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
