"""How long a worker is missed after kill -9: ``python -m benchmarks.recovery``.

The embedded stack takes an open-loop load of single Avro events (as in `benchmarks.soak`). Its only worker is killed
and started again half a second later, as `seawall up` does. Counted from the kill: until the new process answers,
until it counts (the group has to notice that the old member is gone), until the first window that was not there at
the kill is stored, and until the lag is back to what it was before. At the end every event must have been counted
once.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.contenders.workload import Workload
from benchmarks.soak import PANE_S, TICK_S, Load, metric, prepared
from seawall.settings import Settings
from streams.embedded.stack import Stack, running_stack
from streams.io.clickhouse import Store

RESTART_S = 0.5
SETTLE_S = 25.0
DEADLINE_S = 120.0
STEPS = ("answers", "counts", "window", "caught_up")
#: Lag that is nothing: what arrives in so many seconds.
LAG_S = 1.0


class Sender:
    """Sends so many events a second, whatever the worker does, on a thread of its own."""

    def __init__(self, load: Load, rate: float) -> None:
        self.load, self.rate = load, rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send until the block ends."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
            self.load.finish()

    def _run(self) -> None:
        began_s = time.time()
        while not self._stop.wait(TICK_S):
            due = int((time.time() - began_s) * self.rate)
            while self.load.sent < due:
                at_s = began_s + self.load.sent / self.rate
                self.load.send(min(max(int(TICK_S * self.rate), 1), due - self.load.sent), int(at_s * 1e6))


def last_window_us(store: Store) -> int:
    """End of the last pane that is stored."""
    sql = "SELECT toUnixTimestamp64Micro(max(end)) AS e FROM windows WHERE horizon_us = %(pane)s AND segment = ''"
    return int(store.query(sql, {"pane": PANE_S * 1_000_000})[0]["e"])


def one(stack: Stack, store: Store, rate: float) -> dict[str, float]:
    """Kill the worker, start it again, and return seconds since the kill of each step."""
    before_us = last_window_us(store)
    stack.kill_worker()
    killed = time.monotonic()
    time.sleep(RESTART_S)
    stack.start_worker()
    found: dict[str, float] = {}
    while len(found) < len(STEPS):
        at = time.monotonic() - killed
        if at > DEADLINE_S:
            msg = f"after {at:.0f} s only {found} was seen: {stack.worker_log()[-1000:]}"
            raise RuntimeError(msg)
        try:
            counted = metric(stack.settings, "seawall_rows_consumed_total")
            lag = metric(stack.settings, "seawall_lag_records")
        except OSError:
            time.sleep(0.05)
            continue
        found.setdefault("answers", at)
        if counted:
            found.setdefault("counts", at)
            if lag < LAG_S * rate and at - found["counts"] > 2:  # the metric is set once a second
                found.setdefault("caught_up", at)
        if "window" not in found and last_window_us(store) > before_us:
            found["window"] = time.monotonic() - killed
        time.sleep(0.05)
    return found


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.add_argument("--rate", type=float, default=20_000, help="events a second")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    console = Console()
    directory = options.out / "recovery-stack"
    shutil.rmtree(directory, ignore_errors=True)
    workload = Workload.until_now(minutes=10, per_minute=2000, features=20)
    runs: list[dict[str, float]] = []
    with running_stack(directory, workers=0, settings=Settings(log_level="warning")) as stack:
        load, store = prepared(stack, workload), Store(stack.settings)
        stack.start_worker()
        with Sender(load, options.rate).sending():
            for number in range(options.kills):
                time.sleep(SETTLE_S)
                runs.append(one(stack, store, options.rate))
                told = ", ".join(f"{step} {runs[-1][step]:.1f} s" for step in STEPS)
                console.print(f"[dim]kill {number + 1}: {told}")
        counted, deadline = 0, time.monotonic() + DEADLINE_S
        sql = "SELECT sum(rows) AS n FROM windows FINAL WHERE horizon_us = %(pane)s AND segment = ''"
        while counted != load.sent and time.monotonic() < deadline:
            time.sleep(0.5)
            counted = int(store.query(sql, {"pane": PANE_S * 1_000_000})[0]["n"])
    found: dict[str, Any] = {
        step: {"median_s": statistics.median(r[step] for r in runs), "runs_s": [r[step] for r in runs]}
        for step in STEPS
    }
    table = Table("seconds after kill -9", "median", "least", "most", title=f"{options.rate:,.0f} events/s")
    for step in STEPS:
        values = [r[step] for r in runs]
        table.add_row(step, *(f"{v:.1f}" for v in (statistics.median(values), min(values), max(values))))
    console.print(table)
    console.print(f"{load.sent:,} events sent, {counted:,} counted")
    found |= {"rate": options.rate, "sent": load.sent, "counted": counted}
    console.print(f"[dim]{results.write(options.out, 'recovery', found)}")
    return 0 if counted == load.sent else 1


if __name__ == "__main__":
    sys.exit(main())
