"""From an event to the window in the store, at several loads: ``python -m benchmarks.latency``.

One worker takes single Avro events of 20 numbers at each load, sent at its own pace whatever the worker does (as in
`benchmarks.soak`), in panes of ten seconds with a lateness of one. For each pane: how long after its end its window
could be read from the store. An event waits for the end of its own pane before that, whatever the machine does: half a
pane in the middle; `event_s` has both, for events that come evenly. What was sent is compared with what was counted.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.contenders.environment import broker
from benchmarks.contenders.workload import Workload
from benchmarks.soak import PANE_S, soak
from seawall.settings import Settings

LEVELS = (0.5, 0.99)


def after_end(waits_s: Sequence[float]) -> dict[str, float]:
    """Median, p99 and greatest of the seconds between a pane's end and its window in the store."""
    median, p99 = np.quantile(waits_s, LEVELS).tolist()
    return {"median": median, "p99": p99, "max": max(waits_s)}


def of_events(waits_s: Sequence[float], pane_s: float) -> dict[str, float]:
    """Median, p99 and greatest of the seconds from an event to its window, of events spread evenly over panes."""
    within = (np.arange(1000) + 0.5) / 1000 * pane_s
    median, p99 = np.quantile(np.add.outer(np.asarray(waits_s), within), LEVELS).tolist()
    return {"median": median, "p99": p99, "max": max(waits_s) + pane_s}


def main() -> int:
    """Run the benchmark; returns the exit code, which is 1 when an event is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument(
        "--rates", type=int, nargs="+", default=[1_000, 20_000, 80_000], help="events a second"
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="of each load")
    parser.add_argument("--broker", choices=("auto", "kafka", "embedded"), default="auto")
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    console = Console()
    workload = Workload.until_now(minutes=10, per_minute=2000, features=20)
    directory = options.out / "latency-stack"
    cases: list[dict[str, Any]] = []
    with broker(options.broker) as (address, kind):
        for rate in options.rates:
            shutil.rmtree(directory, ignore_errors=True)
            settings = Settings(broker=address, topic_prefix=f"latency-{rate}.", group=f"latency-{rate}")
            console.print(f"[dim]{rate:,} events/s for {options.seconds:g} s …")
            watch, fate = soak(
                workload,
                rate,
                options.seconds,
                directory,
                settings,
                lambda text: console.print(f"[dim]{text}"),
            )
            waits_s = [wait for _, wait in watch.windows]
            cases.append(
                {
                    "rate": rate,
                    **fate,
                    "after_pane_end_s": after_end(waits_s),
                    "event_s": of_events(waits_s, PANE_S),
                    "windows": watch.windows,
                }
            )
    table = Table(
        "events/s", "windows", "median", "p99", "most", "an event, median", title="s after a pane's end"
    )
    for case in cases:
        waits = (case["after_pane_end_s"][k] for k in ("median", "p99", "max"))
        cells = [f"{v:.2f}" for v in (*waits, case["event_s"]["median"])]
        table.add_row(f"{case['rate']:,}", str(len(case["windows"])), *cells)
    console.print(table)
    found = {"broker": kind, "pane_s": PANE_S, "seconds": options.seconds, "cases": cases}
    console.print(f"[dim]{results.write(options.out, 'latency', found)}")
    missing = [case for case in cases if case["counted"] != case["sent"]]
    for case in missing:
        console.print(f"[red]{case['rate']:,} events/s: {case['sent']} were sent, {case['counted']} counted")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
