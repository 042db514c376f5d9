"""What watching columns together costs where events are counted and judged: ``python -m benchmarks.joint``.

The same log is cut into chunks by the worker's own code, with ``multivariate`` on and off in turns, so that another
process on the machine slows both; processor time. *alone* is the summing by itself.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.decode import records, single_events
from benchmarks.detection.arl import SPEC
from benchmarks.detection.play import batches
from benchmarks.detection.traffic import QUIET, with_features
from detectors.joint.sums import joint_sums
from seawall.baseline import Baseline
from seawall.frames import Columns, to_record
from seawall.monitor import MonitorSpec
from seawall.wire import encode
from streams.core.build_baseline import build_baseline
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.decode import Record
from streams.core.joint import plan_of
from streams.core.judge import Judge
from streams.core.layouts import Control, LayoutBook, baseline_layout
from streams.core.rows import to_rows

T0 = 1_700_000_000_000_000
FRAME_ROWS = 2000


def columns(rows: int, features: int, seed: int) -> Columns:
    rng = np.random.default_rng(seed)
    ts = T0 + np.arange(rows, dtype=np.int64) * 1000
    numbers = {f"f{j}": rng.normal(size=rows) for j in range(features)}
    return Columns(
        "predictions", "model-0", "v1", ts, numbers, scores={"score": rng.random(rows)}, frame_id="f"
    )


def frames(rows: int, features: int) -> list[bytes]:
    return [
        encode("prediction_frame", to_record(columns(FRAME_ROWS, features, i)))
        for i in range(rows // FRAME_ROWS)
    ]


def count(log: list[Record], baseline: Baseline, *, on: bool) -> Callable[[], None]:
    control = Control()
    control.set_monitor(MonitorSpec("model-0", multivariate=on))
    control.set_baseline(baseline)

    def run() -> None:
        chunker = PartitionChunker("predictions", 0, "predictions", LayoutBook(control), ChunkRule())
        for _ in chunker.feed(log):
            pass
        chunker.provisional(caught_up=True)

    return run


def alone(rows: int, features: int, baseline: Baseline) -> Callable[[], None]:
    layout, plan = baseline_layout(baseline, "predictions"), plan_of(baseline)
    bound = plan.bound_to(layout) if plan else None
    assert bound is not None
    placed = to_rows(columns(rows, features, 1), layout, MonitorSpec("model-0"), baseline)

    def run() -> None:
        joint_sums(placed.slots, placed.panes, bound)

    return run


def judged(features: int, *, on: bool) -> tuple[Callable[[], None], int]:
    """Judge a batch of six-hour windows, calibrated already; and how many windows it has."""
    traffic = with_features(QUIET[0], features)
    baseline = traffic.baseline(28, 1)
    layout, counts = traffic.counts(baseline, 5, 2)
    (batch,) = batches(layout, counts, 6, baseline.baseline_id, traffic.joint(baseline, 5, 2))
    control = Control()
    control.set_baseline(baseline)
    judge, spec = Judge(control), replace(SPEC, multivariate=on)
    judge.judge(spec, batch)

    def run() -> None:
        judge.judge(spec, batch)

    return run, batch.windows


def nanoseconds(work: dict[str, Callable[[], None]], rows: int, rounds: int) -> dict[str, float]:
    """Processor time a row of each contender, the median of rounds in turns."""
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, do in work.items():
            start = time.process_time()
            do()
            spent[name].append((time.process_time() - start) / rows * 1e9)
    return {name: statistics.median(runs) for name, runs in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, nargs="+", default=[5, 20, 100, 500])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=32_000)
    options = parser.parse_args()
    print("| log | features | codes | off, ns a row | on | more | alone |\n|---|---|---|---|---|---|---|")
    for features in options.features:
        baseline = build_baseline(columns(20_000, features, 0), model="model-0", version="v1", now_us=0)
        codes = len(baseline.joint.columns) if baseline.joint else 0
        rows = max(options.rows * 20 // max(features, 20), 2 * FRAME_ROWS)
        logs = {"frames of 2000": records(frames(rows, features))}
        if features <= 20:
            logs["single events"] = records(single_events(8000, features, 0.0, 1))
        for name, log in logs.items():
            n = rows if name.startswith("frames") else len(log)
            off, on = count(log, baseline, on=False), count(log, baseline, on=True)
            found = nanoseconds(
                {"off": off, "on": on, "alone": alone(8192, features, baseline)}, n, options.rounds
            )
            by_itself = found["alone"] * n / 8192
            ns = f"{found['off']:,.0f} | {found['on']:,.0f} | {found['on'] / found['off'] - 1:+.1%} | {by_itself:,.0f}"
            print(f"| {name} | {features} | {codes} | {ns} |", flush=True)
    print("\n| features | judging a window, off, µs | on | more |\n|---|---|---|---|")
    for features in options.features:
        work = {name: judged(features, on=name == "on") for name in ("off", "on")}
        windows = work["on"][1]
        found = nanoseconds({name: run for name, (run, _) in work.items()}, windows, options.rounds)
        more = f"{found['on'] / found['off'] - 1:+.0%}"
        print(f"| {features} | {found['off'] / 1000:,.0f} | {found['on'] / 1000:,.0f} | {more} |", flush=True)


if __name__ == "__main__":
    main()
