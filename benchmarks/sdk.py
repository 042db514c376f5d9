"""What logging costs the product: time on its own thread, beside things that everybody knows the price of.

Run ``python -m benchmarks.sdk``. The product here does nothing but log, so that the sender's thread competes with it
for the interpreter all the time, which is the worst case. Of every call over a millisecond it is told what it waited
for: a pass of Python's collector of cycles; the sender, at work for longer than the product should wait; the call's own
work; or the machine, which had taken the processor away from whoever held the interpreter. An empty loop of calls of
the same length shows what the machine does to a thread that has nothing to do with Seawall.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

import seawall
from benchmarks import results
from seawall.client import Client

SLOW_US = 1000.0
CAUSES = ("collector", "sender", "own work", "machine")


class _Nowhere(seawall.InMemoryTransport):
    """Takes everything, keeps nothing."""

    def send(self, topic: str, key: bytes, value: bytes, delivered: Callable[[str | None], None]) -> bool:
        delivered(None)
        return True


@dataclass
class Passes:
    """Every pass of the collector: begin and end, in nanoseconds, and its generation."""

    found: list[tuple[int, int, int]] = field(default_factory=list)
    _began: int = 0

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        now = time.perf_counter_ns()
        if phase == "start":
            self._began = now
        else:
            self.found.append((self._began, now, info["generation"]))


@dataclass
class Slices:
    """What the sender does between two naps: begin and end, and processor time, in nanoseconds."""

    client: Client
    found: list[tuple[int, int, int]] = field(default_factory=list)
    _since: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        sender = self.client._sender
        self._nap = sender._breathe
        sender._breathe = self.breathe  # type: ignore[method-assign]  # to see when it lets go of the interpreter

    def breathe(self) -> None:
        """Note a slice, and nap."""
        now, cpu = time.perf_counter_ns(), time.thread_time_ns()
        began, cpu_began = self._since
        self.found.append((began or now, now, cpu - cpu_began if began else 0))
        self._nap()
        self._since = time.perf_counter_ns(), time.thread_time_ns()


@dataclass
class Timings:
    """One call after another: begin, microseconds, processor time, and whether the kernel took the processor."""

    began_ns: Any
    taken_us: Any
    cpu_us: Any
    interrupted: Any

    def causes(self, passes: Passes, slices: Slices | None) -> dict[str, int]:
        """Count the calls over a millisecond by what they waited for."""
        count = dict.fromkeys(CAUSES, 0)
        for i in np.flatnonzero(self.taken_us > SLOW_US):
            began, ended = self.began_ns[i], self.began_ns[i] + self.taken_us[i] * 1000
            in_pass = sum(max(0, min(e, ended) - max(b, began)) for b, e, _ in passes.found)
            in_slice = max(
                (c for b, e, c in (slices.found if slices else ()) if b < ended and e > began), default=0
            )
            if in_pass > SLOW_US * 500:
                count["collector"] += 1
            elif self.cpu_us[i] > SLOW_US:
                count["own work"] += 1
            elif in_slice > SLOW_US * 1000:
                count["sender"] += 1
            else:
                count["machine"] += 1
        return count


def timed(call: Callable[[], Any], times: int, pause_every: int, pause: Callable[[], Any]) -> Timings:
    """Time every call. `pause` runs, unmeasured, after every `pause_every` calls."""
    gc.collect()  # what the imports left is not to be searched on somebody else's account
    began = np.empty(times, dtype=np.int64)
    taken, cpu = np.empty(times), np.empty(times)
    interruptions = np.empty(times + 1, dtype=np.int64)
    clock, usage, thread, own = (
        time.perf_counter_ns,
        resource.getrusage,
        resource.RUSAGE_THREAD,
        time.thread_time_ns,
    )
    interruptions[0] = usage(thread).ru_nivcsw
    for i in range(times):
        spent = own()
        start = clock()
        call()
        taken[i] = clock() - start
        cpu[i] = own() - spent
        began[i] = start
        interruptions[i + 1] = usage(thread).ru_nivcsw
        if i % pause_every == 0:
            pause()
            interruptions[i + 1] = usage(thread).ru_nivcsw
    return Timings(began, taken / 1000.0, cpu / 1000.0, np.diff(interruptions) > 0)


@dataclass
class Report:
    """What is shown, and written into ``bench/sdk.json``."""

    unit_us: float = 0.0
    passes: Passes = field(default_factory=Passes)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def show(self, name: str, measured: Timings, slices: Slices | None = None) -> None:
        """Print a line."""
        taken = measured.taken_us
        median, p99, most = float(np.median(taken)), float(np.quantile(taken, 0.99)), float(taken.max())
        causes = measured.causes(self.passes, slices)
        full = sum(1 for b, _, g in self.passes.found if g == 2 and b >= measured.began_ns[0])
        longest_us = max((c for _, _, c in slices.found), default=0) / 1000 if slices else 0.0
        self.unit_us = self.unit_us or median
        self.rows[name] = {
            "median_us": median,
            "p99_us": p99,
            "max_us": most,
            "calls": len(taken),
            "over_1_ms": causes,
            "interrupted": int(measured.interrupted.sum()),
            "full_collections": full,
            "longest_slice_us": longest_us,
        }
        slow = ", ".join(f"{cause} {n}" for cause, n in causes.items() if n) or "none"
        print(
            f"{name:<46} median {median:6.2f} µs = {median / self.unit_us:4.2f} × json.dumps   p99 {p99:6.2f} µs   "
            f"max {most:8.1f} µs   over 1 ms of {len(taken)}: {slow}   full collections: {full}"
            + (f"   sender's longest slice {longest_us:.0f} µs" if slices else "")
        )


def main() -> int:
    """Run the benchmark; returns the exit code, which is 1 when Seawall made a call wait over a millisecond."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sdk", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=Path("build"))
    args = parser.parse_args()
    rng = np.random.default_rng(7)
    numeric = {f"feature_{i}": float(v) for i, v in enumerate(rng.normal(size=16))}
    features = numeric | {"origin": "JFK", "carrier": "UA", "is_late": True, "stops": 2}
    roomy = seawall.Client(
        "bench", "1", transport=_Nowhere(), max_buffer_events=1_000_000, max_buffer_bytes=1 << 30
    )
    held: deque[Any] = deque(maxlen=1000)
    report = Report()
    gc.callbacks.append(report.passes)

    def breathe() -> None:
        roomy.flush(10.0)

    def rest() -> None:
        # Linux stops what runs with real-time priority (see docs/performance.md) for 50 ms of every second.
        time.sleep(0.1)

    print(f"{len(features)} features, {args.events} calls each")
    report.show(
        "json.dumps of the same features", timed(lambda: json.dumps(features), args.events, 2000, breathe)
    )
    report.show("deque.append", timed(lambda: held.append(features), args.events, 2000, breathe))
    small = seawall.Client("bench", "1", transport=_Nowhere(), max_buffer_events=20_000)
    sampled = seawall.Client("bench", "1", transport=_Nowhere(), sample=0.1)
    for name, client, pause_every, pause in (
        ("log_prediction, sender idle", roomy, 2000, roomy.flush),
        ("log_prediction, sender at work meanwhile", roomy, 20_000, rest),
        ("log_prediction, faster than the sender", small, 20_000, small.flush),
        ("log_prediction, one in ten kept", sampled, 2000, sampled.flush),
    ):
        slices = Slices(client)
        log = client.log_prediction
        measured = timed(lambda log=log: log(features, score=0.5), args.events, pause_every, pause)  # type: ignore[misc]
        report.show(name, measured, slices)
        client.flush(60.0)
        stats = client.stats()
        if stats.dropped or stats.failed or stats.invalid:
            print(f"  {stats}")
        # Of the same length, so that the machine has as many chances to interfere.
        idle = loop(float(np.median(measured.taken_us)))
        report.show(
            f"  beside it: {name.removeprefix('log_prediction, ')}, empty loop",
            timed(idle, args.events, 10**9, breathe),
        )

    report.rows["through"] = {"events_per_second": through(roomy, features, args.events)}
    roomy.close()
    report.rows["log_predictions"] = tables(numeric, args.rows)
    written = results.write(args.out, "sdk", report.rows)
    print(written)
    ours = sum(
        row["over_1_ms"][cause]
        for name, row in report.rows.items()
        if name.startswith("log_prediction,")
        for cause in ("collector", "sender", "own work")
    )
    if ours:
        print(f"{ours} calls waited over a millisecond for something that is Seawall's to mend")
    return 1 if ours else 0


def loop(length_us: float) -> Callable[[], None]:
    """Return a call that does nothing for so long."""
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(100_000):
            pass
        seconds.append(time.perf_counter() - start)
    turns = range(int(length_us / min(seconds) / 10))

    def call() -> None:
        for _ in turns:
            pass

    return call


def through(client: Client, features: dict[str, Any], events: int) -> float:
    """Log, batch and encode single events; returns how many a second."""
    start = time.perf_counter()
    for _ in range(events):
        client.log_prediction(features, score=0.5)
    client.flush(60.0)
    rate = events / (time.perf_counter() - start)
    print(f"single events logged, batched and encoded: {rate:,.0f} a second on one core")
    return rate


def tables(numeric: dict[str, float], rows: int) -> dict[str, dict[str, float]]:
    """Log one table as each kind of table that a product may have; returns nanoseconds a row of each."""
    rng = np.random.default_rng(7)
    columns: dict[str, Any] = {name: rng.normal(size=rows) for name in numeric}
    columns |= {name: rng.choice(["a", "b", "c", "d"], rows).tolist() for name in ("origin", "carrier")}
    words = dict.fromkeys(("origin", "carrier"), "category")
    kinds: dict[str, Any] = {
        "a pandas DataFrame": pd.DataFrame(columns),
        "a pandas DataFrame, words as categories": pd.DataFrame(columns).astype(words),
        "a polars DataFrame": pl.DataFrame(columns),
        "a dict of numpy arrays, words as lists": columns,
    }
    scores = rng.random(rows)
    unit = float(
        np.median(timed(lambda: {n: list(v) for n, v in columns.items()}, 5, 9, lambda: None).taken_us)
    )
    return {kind: table(kind, whole, scores, unit) for kind, whole in kinds.items()}


def table(kind: str, whole: Any, scores: Any, unit_us: float) -> dict[str, float]:
    """Log a table; returns nanoseconds a row, the caller's and until encoded, by the clock and of a processor."""
    rows = len(scores)
    with seawall.Client("bench", "1", transport=_Nowhere(), max_buffer_bytes=1 << 30) as client:

        def log() -> None:
            client.log_predictions(whole, scores=scores, wait_s=60)

        calls = timed(log, 5, 1, lambda: client.flush(60.0))
        encoded: list[tuple[float, float]] = []
        for _ in range(3):
            start, spent = time.perf_counter(), time.process_time()
            log()
            client.flush(60.0)
            encoded.append((time.perf_counter() - start, time.process_time() - spent))
        if client.stats().dropped or client.stats().invalid:
            msg = f"{kind}: not every row was taken: {client.stats()}"
            raise RuntimeError(msg)
    clock_s, cpu_s = np.median(encoded, axis=0).tolist()
    found = {
        "ns_a_row_for_the_caller": float(np.median(calls.taken_us)) * 1e3 / rows,
        "cpu_ns_a_row_for_the_caller": float(np.median(calls.cpu_us)) * 1e3 / rows,
        "ns_a_row_until_encoded": clock_s * 1e9 / rows,
        "cpu_ns_a_row_until_encoded": cpu_s * 1e9 / rows,
    }
    clock, cpu, whole_clock, whole_cpu = (round(value) for value in found.values())
    print(
        f"log_predictions of {rows} rows × 18 columns, {kind}: {clock} ns a row for the caller ({cpu} of a processor, "
        f"{np.median(calls.taken_us) / unit_us:.2f} × list() of each column), {whole_clock} ({whole_cpu}) until encoded"
    )
    return found


if __name__ == "__main__":
    sys.exit(main())
