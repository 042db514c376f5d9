"""Two workers against one on a single hot model whose events are spread over all partitions.

Run ``python -m benchmarks.scaling``. Single Avro events of 20 numbers lie on Apache Kafka (or the embedded broker)
before any worker starts, so that nobody sends meanwhile. Each worker has a core of its own; broker, store and this
program share the last one, with a worker when there are two of them on two cores.

The rate is that of all workers together, from the moment at which each has counted its first thousand events until
nine tenths of all are counted. The windows are added up in the store at the end: a run that did not count every event
once fails.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.contenders.environment import broker
from benchmarks.contenders.race import Track, cpu_of, seawall_stack
from benchmarks.contenders.workload import MINUTE_US, Workload
from benchmarks.soak import metric
from seawall.settings import Settings
from streams.embedded.stack import Stack
from streams.io.clickhouse import Store

PARTITIONS = 4
DEADLINE_S = 180.0


@dataclass
class Outcome:
    """What one run came to."""

    rate: float
    """Events a second, all workers together."""
    cpu_rate: float
    """Events a second of the workers' own processor time."""
    shares: list[float]
    """Of the events, by worker."""


def pin(cores: set[int]) -> None:
    """Keep this process, and the children that it starts from now on, on these cores."""
    os.sched_setaffinity(0, cores)


def taken(stack: Stack, number: int) -> float:
    """Rows that a worker has counted so far; 0 while it does not answer."""
    settings = replace(stack.settings, worker_health_port=stack.settings.worker_health_port + number)
    try:
        return metric(settings, "seawall_rows_consumed_total")
    except OSError:
        return 0.0


def run(track: Track, workers: int, cores: list[int]) -> Outcome:
    """Let so many workers take the whole topic."""
    pin({cores[-1]})
    with seawall_stack(track, track.fresh_directory()) as stack:
        for number in range(workers):
            pin({cores[number]})
            stack.start_worker(number)
        pin({cores[-1]})
        processes = [psutil.Process(stack.worker_pid(n)) for n in range(workers)]
        marks: list[tuple[float, list[float], float]] = []
        deadline = time.monotonic() + DEADLINE_S
        while not marks or sum(marks[-1][1]) < 0.9 * track.work.events:
            if time.monotonic() > deadline:
                msg = f"the workers took {marks[-1:]} of {track.work.events} events: {stack.worker_log()[-1000:]}"
                raise RuntimeError(msg)
            time.sleep(0.2)
            seen = [taken(stack, n) for n in range(workers)]
            if min(seen) >= 1000:
                marks.append((time.monotonic(), seen, sum(cpu_of(p) for p in processes)))
        (t0, first, cpu0), (t1, last, cpu1) = marks[0], marks[-1]
        events = [b - a for a, b in zip(first, last, strict=True)]
        check(stack, track.work)
        return Outcome(
            sum(events) / (t1 - t0), sum(events) / (cpu1 - cpu0), [e / sum(events) for e in events]
        )


def check(stack: Stack, work: Workload) -> None:
    """Wait until every window is stored; raise where one is not what it must be."""
    store, deadline, counted = Store(stack.settings), time.monotonic() + 60, 0
    while time.monotonic() < deadline and counted != work.events:
        time.sleep(0.5)
        (row,) = store.query(
            "SELECT sum(rows) AS n FROM windows FINAL WHERE horizon_us = %(pane)s AND segment = ''"
            " AND end <= fromUnixTimestamp64Micro(%(end)s)",
            {"pane": MINUTE_US, "end": work.end_us},
        )
        counted = int(row["n"])
    if counted != work.events:
        msg = f"{work.events} events were sent, {counted} counted"
        raise RuntimeError(msg)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--per-minute", type=int, default=20_000, help="events of a window")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--broker", choices=("auto", "kafka", "embedded"), default="auto")
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    console = Console()
    cores = sorted(os.sched_getaffinity(0))
    found: dict[int, list[Outcome]] = {1: [], 2: []}
    with broker(options.broker) as (address, kind), tempfile.TemporaryDirectory() as directory:
        work = Workload.until_now(options.events // options.per_minute, options.per_minute, 20)
        settings = Settings(
            broker=address, topic_prefix="scaling.", topic_partitions=PARTITIONS, log_level="warning"
        )
        track = Track(settings, work, DEADLINE_S, Path(directory))
        with console.status(f"putting {work.events:,} events on {PARTITIONS} partitions …"):
            track.fill(partial(work.send_events, partitions=PARTITIONS))
        for number in range(options.runs):
            for workers in (1, 2):
                outcome = run(track, workers, cores)
                found[workers].append(outcome)
                shares = ", ".join(f"{share:.0%}" for share in outcome.shares)
                console.print(
                    f"[dim]run {number + 1}, {workers} workers: {outcome.rate:,.0f} events/s ({shares}), "
                    f"{outcome.cpu_rate:,.0f} a processor second"
                )
    written = write(options, kind, len(cores), found)
    medians = {workers: statistics.median(o.rate for o in outcomes) for workers, outcomes in found.items()}
    table = Table(
        "workers", "events/s, median", "all runs", "× one", "a processor second", title=f"from {kind}"
    )
    for workers, outcomes in found.items():
        table.add_row(
            str(workers),
            f"{medians[workers]:,.0f}",
            ", ".join(f"{o.rate:,.0f}" for o in outcomes),
            f"{medians[workers] / medians[1]:.2f}",
            f"{statistics.median(o.cpu_rate for o in outcomes):,.0f}",
        )
    console.print(table)
    console.print(f"[dim]{written}")
    return 0


def write(options: argparse.Namespace, kind: str, cores: int, found: dict[int, list[Outcome]]) -> Path:
    """Put the runs into ``bench/scaling.json``."""
    fresh: dict[str, Any] = {
        f"{workers}_workers": results.rate(
            [o.rate for o in outcomes],
            cpu_runs=[o.cpu_rate for o in outcomes],
            shares=[o.shares for o in outcomes],
        )
        for workers, outcomes in found.items()
    }
    return results.write(options.out, "scaling", {**fresh, "broker": kind, "cores": cores})


if __name__ == "__main__":
    sys.exit(main())
