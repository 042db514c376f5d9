"""What an event costs a worker between its bytes and its summary, by how wide and how scattered events are.

Run ``python -m benchmarks.ingest``. One process, no broker: decoding, bins, counts, moments, and summaries as bytes,
in processor time. Deciding, reading from a broker and writing to the store come on top of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import results
from seawall.frames import FRAME_CONTRACT, Categorical, Columns, to_record
from seawall.monitor import MINUTE_US, MonitorSpec
from seawall.wire import encode
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.decode import Record
from streams.core.layouts import Control, LayoutBook

T0 = 1_700_000_040_000_000
#: What one fetch delivers.
RUN = 4000
#: features, models, values of the segment column (0: none is watched)
CASES = (
    *((features, 1, 0) for features in (5, 20, 100, 500)),
    *((20, models, 0) for models in (10, 1000)),
    *((20, 1, segments) for segments in (1, 100, 10_000)),
)


def events(count: int, features: int, models: int, segments: int, *, framed: bool) -> list[bytes]:
    """Encode prediction events over five minutes, as single events or as frames of a model each."""
    rng = np.random.default_rng(7)
    values = rng.normal(size=(count, features))
    of_model = rng.integers(0, models, count) if models > 1 else np.zeros(count, dtype=np.int64)
    words = [f"segment-{code}" for code in range(max(segments, 1))]
    codes = rng.integers(0, len(words), count).astype(np.int32)
    ts = T0 + np.arange(count, dtype=np.int64) * (5 * MINUTE_US // count)
    names = [f"f{i:03}" for i in range(features)]
    if not framed:
        return [
            encode(
                "prediction",
                {
                    "event_id": f"{i:09}",
                    "model": f"model-{of_model[i]:04}",
                    "version": "1",
                    "ts": int(ts[i]),
                    "numeric": [
                        {"name": n, "value": v} for n, v in zip(names, values[i].tolist(), strict=True)
                    ],
                    "segments": [{"name": "s", "value": words[codes[i]]}] if segments else [],
                },
            )
            for i in range(count)
        ]
    out: list[bytes] = []
    for first in range(0, count, 2000):
        part = slice(first, min(first + 2000, count))
        columns = Columns(
            "predictions",
            f"model-{first // 2000 % models:04}",
            "1",
            ts[part],
            {n: values[part, i].copy() for i, n in enumerate(names)},
            frame_id=str(first),
            segments={"s": Categorical(codes[part], words)} if segments else {},
        )
        out.append(encode(FRAME_CONTRACT["predictions"], to_record(columns)))
    return out


def seconds(values: list[bytes], models: int, segments: int) -> float:
    """Processor time of taking all of them in, and of making summaries, by a worker that has seen their like before."""
    control = Control()
    watched = ("s",) if segments else ()
    for model in range(models):
        control.set_monitor(MonitorSpec(f"model-{model:04}", segments=watched, max_segments=max(segments, 1)))
    book = LayoutBook(control)
    _taken(values, book)
    began = time.process_time()
    _taken(values, book)
    return time.process_time() - began


def _taken(values: list[bytes], book: LayoutBook) -> None:
    chunker = PartitionChunker("predictions", 0, "predictions", book, ChunkRule(max_future_skew_us=1 << 50))
    records = [Record(i, T0 + 10 * MINUTE_US, value) for i, value in enumerate(values)]
    for first in range(0, len(records), RUN):
        for cut in chunker.feed(records[first : first + RUN]):
            for summary in cut.summaries:
                encode("chunk_summary", summary)
    for summary in chunker.provisional(caught_up=True):
        encode("chunk_summary", summary)


def measure(case: tuple[int, int, int], count: int, rounds: int) -> dict[str, Any]:
    """Events a second of processor time of one case, as single events and as frames."""
    features, models, segments = case
    found: dict[str, Any] = {"features": features, "models": models, "segments": segments}
    for name, framed in (("single_events", False), ("frames", True)):
        values = events(count, features, models, segments, framed=framed)
        runs = [count / seconds(values, models, segments) for _ in range(rounds)]
        found[name] = results.rate(runs)
    return found


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--events", type=int, default=16_384, help="of 20 features; fewer of wider ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    console = Console()
    found = [
        measure(case, max(options.events * 20 // max(case[0], 20), 2000), options.rounds)
        for case in track(CASES, "measuring", console=console)
    ]
    table = Table("features", "models", "segments", "µs an event, single", "µs a row, frames")
    for case in found:
        cost = [f"{1e6 / case[kind]['events_per_second']:.2f}" for kind in ("single_events", "frames")]
        table.add_row(*(str(case[k]) for k in ("features", "models", "segments")), *cost)
    console.print(table)
    written = results.write(options.out, "ingest", {"cases": found})
    console.print(f"[dim]{written}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
