"""What logging costs the product: time on its own thread, beside things that everybody knows the price of.

Run ``python benchmarks/sdk.py``. The product here does nothing but log, so that the sender's thread competes
with it for the interpreter all the time, which is the worst case. Calls during which the kernel took the
processor away (another process wanted it) are left out of the maximum and counted apart.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

import seawall


class _Nowhere(seawall.InMemoryTransport):
    """Takes everything, keeps nothing."""

    def send(self, topic: str, key: bytes, value: bytes, delivered: Callable[[str | None], None]) -> bool:
        delivered(None)
        return True


def timed_us(
    call: Callable[[], Any], times: int, pause_every: int, pause: Callable[[], Any]
) -> tuple[Any, Any]:
    """Microseconds of each call, and whether the kernel interrupted it.

    `pause` runs, unmeasured, after every `pause_every` calls.
    """
    taken = np.empty(times)
    interruptions = np.empty(times + 1, dtype=np.int64)
    clock, usage, thread = time.perf_counter_ns, resource.getrusage, resource.RUSAGE_THREAD
    interruptions[0] = usage(thread).ru_nivcsw
    for i in range(times):
        start = clock()
        call()
        taken[i] = clock() - start
        interruptions[i + 1] = usage(thread).ru_nivcsw
        if i % pause_every == 0:
            pause()
    return taken / 1000.0, np.diff(interruptions) > 0


def show(name: str, measured: tuple[Any, Any], unit_us: float) -> None:
    taken_us, was_interrupted = measured
    own_us = taken_us[~was_interrupted]
    median_us = np.median(taken_us)
    print(
        f"{name:<42} median {median_us:6.2f} µs = {median_us / unit_us:4.2f} × json.dumps   "
        f"p99 {np.quantile(taken_us, 0.99):6.2f} µs   max {own_us.max():7.1f} µs   "
        f"over 1 ms: {int((own_us > 1000.0).sum())} of {len(own_us)} ({was_interrupted.sum()} interrupted)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=100_000)
    args = parser.parse_args()
    rng = np.random.default_rng(7)
    numeric = {f"feature_{i}": float(v) for i, v in enumerate(rng.normal(size=16))}
    features = numeric | {"origin": "JFK", "carrier": "UA", "is_late": True, "stops": 2}
    client = seawall.Client(
        "bench", "1", transport=_Nowhere(), max_buffer_events=1_000_000, max_buffer_bytes=1 << 30
    )
    held: deque[Any] = deque(maxlen=1000)

    def breathe() -> None:
        client.flush(10.0)

    print(f"{len(features)} features, {args.events} calls each")
    dumps_us = timed_us(lambda: json.dumps(features), args.events, 2000, breathe)
    unit_us = float(np.median(dumps_us[0]))
    show("json.dumps of the same features", dumps_us, unit_us)
    show("deque.append", timed_us(lambda: held.append(features), args.events, 2000, breathe), unit_us)
    log = client.log_prediction
    show("log_prediction", timed_us(lambda: log(features, score=0.5), args.events, 2000, breathe), unit_us)
    show(
        "log_prediction, sender at work meanwhile",
        timed_us(lambda: log(features, score=0.5), args.events, args.events + 1, breathe),
        unit_us,
    )
    breathe()
    sampled = seawall.Client("bench", "1", transport=_Nowhere(), sample=0.1)
    show(
        "log_prediction, one in ten kept",
        timed_us(lambda: sampled.log_prediction(features, score=0.5), args.events, 2000, breathe),
        unit_us,
    )

    start = time.perf_counter()
    for _ in range(args.events):
        log(features, score=0.5)
    client.flush(60.0)
    through = args.events / (time.perf_counter() - start)
    print(f"single events logged, batched and encoded: {through:,.0f} a second on one core")

    table = {name: rng.normal(size=args.rows) for name in numeric}
    table |= {name: rng.choice(["a", "b", "c", "d"], args.rows).tolist() for name in ("origin", "carrier")}
    scores = rng.random(args.rows)
    copy_ns = timed_us(lambda: {n: list(v) for n, v in table.items()}, 5, 9, breathe)[0] * 1000 / args.rows
    call_ns = timed_us(lambda: client.log_predictions(table, scores=scores, wait_s=60), 5, 1, breathe)
    call_ns = call_ns[0] * 1000 / args.rows
    start = time.perf_counter()
    client.log_predictions(table, scores=scores, wait_s=60)
    client.flush(60.0)
    whole_ns = (time.perf_counter() - start) * 1e9 / args.rows
    print(
        f"log_predictions of {args.rows} rows × {len(table)} columns: "
        f"{np.median(call_ns):.0f} ns a row for the caller "
        f"({np.median(call_ns) / np.median(copy_ns):.2f} × list() of each column), "
        f"{whole_ns:.0f} ns a row until encoded"
    )
    if client.stats().dropped or client.stats().failed:
        print(client.stats())
    client.close()
    sampled.close()


if __name__ == "__main__":
    main()
