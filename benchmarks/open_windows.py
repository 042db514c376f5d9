"""What an open window costs in memory: models × segments × panes that are still open, 20 numbers of 64 bins each.

Run ``python -m benchmarks.open_windows``. Each case is a process of its own, without a broker or a store: frames go
through the chunker, summaries as bytes into the deciding half, whose watermark stays behind so that no pane closes.
Reported is what resident memory has grown by, and what saved state takes on the bus. A cell is one pane of one
segment of one model; "all traffic" is a segment, too.

A second table is of what a model is kept in once a day and two hours have passed at the default windows (panes of a
minute, five minutes, an hour and a day, an hour of grace), without what is decided about its windows.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.contenders.workload import MINUTE_US, VERSION, Workload
from seawall.frames import FRAME_CONTRACT, Categorical, Columns, to_record
from seawall.monitor import MonitorSpec
from seawall.wire import decode, encode
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.decode import Record
from streams.core.engine import PartitionEngine
from streams.core.layouts import Control, LayoutBook
from streams.core.merge import ModelMerge
from streams.core.registry import RegistryView
from streams.core.state import claim_of, save
from streams.core.watermark import Partition, Watermarks

FEATURES = 20
#: Rows of each cell of a segment.
ROWS = 4
#: models, segments beside all traffic, panes
CASES = (
    (1, 0, 60),
    (1, 0, 600),
    (1, 10, 60),
    (1, 100, 60),
    (10, 10, 60),
    (100, 0, 60),
    (100, 10, 10),
    (1000, 0, 10),
)
#: features and segments beside all traffic of a model whose day has passed
DAYS = ((20, 0), (100, 0))
DAY_PANES = 26 * 60


def frames(models: int, segments: int, panes: int, work: Workload, size: int = 2000) -> Iterator[bytes]:
    """Make frames of so many rows: `ROWS` in each pane of each segment of each model."""
    rng = np.random.default_rng(7)
    words = [f"s{code}" for code in range(max(segments, 1))]
    pane, code = (a.ravel() for a in np.meshgrid(np.arange(panes), np.arange(len(words)), indexing="ij"))
    pane, code = np.repeat(pane, ROWS), np.repeat(code, ROWS).astype(np.int32)
    for model in range(models):
        for first in range(0, len(pane), size):
            part = slice(first, first + size)
            rows = len(pane[part])
            values = work.values[rng.integers(0, len(work.values), rows)]
            columns = Columns(
                "predictions",
                f"model-{model}",
                VERSION,
                work.end_us - (panes - pane[part]).astype(np.int64) * MINUTE_US,
                {f"f{i:03}": values[:, i].copy() for i in range(work.features)},
                frame_id=f"{model}-{first}",
                segments={"s": Categorical(code[part], words)} if segments else {},
            )
            yield encode(FRAME_CONTRACT["predictions"], to_record(columns))


def control_of(models: int, segments: int, work: Workload) -> Control:
    """Make monitors whose lateness is longer than the test, and a baseline each."""
    control, baseline = Control(), work.baseline()
    for model in range(models):
        name = f"model-{model}"
        control.set_monitor(
            MonitorSpec(
                name,
                pane_us=MINUTE_US,
                horizons_us=(5 * MINUTE_US,),
                lateness_us=365 * 86_400_000_000,
                segments=("s",) if segments else (),
                max_segments=max(segments, 1),
            )
        )
        control.set_baseline(replace(baseline, model=name).with_id())
    return control


def resident() -> int:
    """Return this process's memory once everything that can be given back was given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def measure(models: int, segments: int, panes: int) -> dict[str, Any]:
    """Fold one case and weigh it."""
    work = Workload.until_now(minutes=60, per_minute=1000, features=FEATURES)
    control = control_of(models, segments, work)
    chunker = PartitionChunker("predictions", 0, "predictions", LayoutBook(control), ChunkRule())
    engine = PartitionEngine(control, RegistryView(), Watermarks({"predictions": "predictions"}, 30_000_000))
    values = list(frames(models, segments, panes, work))
    empty, offset = resident(), 0
    for i, value in enumerate(values):
        summaries = [s for cut in chunker.feed([Record(i, work.end_us, value)]) for s in cut.summaries]
        if i == len(values) - 1:
            summaries += chunker.provisional(caught_up=False)
        for summary in summaries:
            effects = engine.on_record(
                decode(encode("chunk_summary", summary), ("chunk_summary",))[1], offset, work.end_us
            )
            assert not effects.closed_windows
            offset += 1
    del values, chunker
    held = resident() - empty
    cells = models * panes * (1 + segments)
    rows = sum(int(s.rows.sum()) for state in engine.models.values() for s in state.merge.series.values())
    rows += sum(
        int(cells.rows.sum())
        for state in engine.models.values()
        for part in state.merge.open.values()
        for cells in part.cells.values()
    )
    assert rows == models * panes * max(segments, 1) * ROWS * (2 if segments else 1)
    saved = sum(len(v or b"") for stage in save(engine, offset - 1, claim_of(1, "x")) for _, v in stage)
    return {
        "models": models,
        "segments": segments,
        "panes": panes,
        "cells": cells,
        "resident_bytes": held,
        "bytes_a_cell": held / cells,
        "saved_bytes_a_cell": saved / cells,
    }


def measure_day(features: int, segments: int) -> dict[str, Any]:
    """Fold a day and two hours of one model, let its windows close, and weigh what is kept."""
    work = Workload.until_now(minutes=60, per_minute=1000, features=features)
    spec = MonitorSpec(
        "model-0", segments=("s",) if segments else (), max_segments=max(segments, 1), multivariate=False
    )
    control = Control()
    control.set_monitor(spec)
    control.set_baseline(replace(work.baseline(), model=spec.model).with_id())
    chunker = PartitionChunker("predictions", 0, "predictions", LayoutBook(control), ChunkRule())
    merge = ModelMerge(spec.model, Watermarks({"predictions": "predictions"}, 30_000_000))
    empty, windows, stamp_us = resident(), 0, work.end_us
    for i, value in enumerate(frames(1, segments, DAY_PANES, work, 5 * ROWS * max(segments, 1))):
        summaries = [s for cut in chunker.feed([Record(i, stamp_us, value)]) for s in cut.summaries]
        progress = chunker.progress(caught_up=False)
        partition = Partition("predictions", 0)
        for summary in (*summaries, *chunker.provisional(caught_up=False)):
            merge.on_summary(
                decode(encode("chunk_summary", summary), ("chunk_summary",))[1], "predictions", spec, stamp_us
            )
        merge.watermarks.heard(partition, 1, progress["max_ts"], progress["next_offset"], False, stamp_us)
        windows += sum(batch.windows for batch in merge.advance(spec, stamp_us))
    del chunker
    return {
        "features": features,
        "segments": segments,
        "panes": max(len(series.index) for series in merge.series.values()),
        "windows": windows,
        "resident_bytes": resident() - empty,
    }


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.open_windows", description=__doc__)
    parser.add_argument("--case", type=int, default=-1, help="measure one case in this process, and print it")
    parser.add_argument("--day", type=int, default=-1, help="the same of one whose day has passed")
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    if options.case >= 0:
        print(json.dumps(measure(*CASES[options.case])))
        return 0
    if options.day >= 0:
        print(json.dumps(measure_day(*DAYS[options.day])))
        return 0
    found, days = (
        [_measured(option, case) for case in range(len(cases))]
        for option, cases in (("--case", CASES), ("--day", DAYS))
    )
    table = Table("models", "segments", "panes", "open windows", "MiB", "KiB each", "KiB each, saved")
    for case in found:
        table.add_row(
            *(f"{case[k]:,}" for k in ("models", "segments", "panes", "cells")),
            f"{case['resident_bytes'] / 2**20:.0f}",
            f"{case['bytes_a_cell'] / 1024:.1f}",
            f"{case['saved_bytes_a_cell'] / 1024:.1f}",
        )
    console = Console()
    console.print(table)
    table = Table("features", "segments", "panes kept", "windows closed", "MiB")
    for day in days:
        table.add_row(
            *(f"{day[k]:,}" for k in ("features", "segments", "panes", "windows")),
            f"{day['resident_bytes'] / 2**20:.0f}",
        )
    console.print(table)
    console.print(f"[dim]{results.write(options.out, 'open_windows', {'cases': found, 'days': days})}")
    return 0


def _measured(option: str, case: int) -> Any:
    """Measure one case in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.open_windows", option, str(case)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
