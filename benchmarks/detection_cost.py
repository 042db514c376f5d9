"""What detection costs beside taking in: ``python -m benchmarks.detection_cost``.

Frames of one second of each model's traffic (what the SDK's linger gives) are counted into summaries, as bytes; the
same summaries are read, folded into windows, judged, and turned into alarms and reports, as bytes too. One process, no
broker and no store, processor time of each part. *Detection* is what a monitor without alarms would leave out:
describing windows and comparing them with their baseline, in every statistic that is shown, limits, what columns show
together, alarms. Every model has a baseline of its own name; their counts are shared, or the baselines of a thousand
models would be most of the memory.

Windows are full when the clock starts: their panes came before, thirty rows each. Deciding is paid for each pane that
closes, taking in for each event, so the share falls with the traffic of a model.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import results
from benchmarks.ingest import RUN, T0
from seawall.baseline import Baseline
from seawall.frames import FRAME_CONTRACT, Columns, to_record
from seawall.monitor import DAY_US, MINUTE_US, MonitorSpec
from seawall.wire import decode, encode
from streams.core.build_baseline import build_baseline
from streams.core.chunks import ChunkRule, PartitionChunker
from streams.core.decode import Record
from streams.core.engine import Effects, PartitionEngine
from streams.core.judge import Judge, Judgement
from streams.core.layouts import Control, LayoutBook
from streams.core.merge import ModelMerge
from streams.core.registry import RegistryView
from streams.core.watermark import Watermarks

Ints = npt.NDArray[np.int64]
SECOND_US = 1_000_000
#: Days, and rows an hour, of the baseline.
BASELINE_DAYS, BASELINE_ROWS = 14, 200
#: Rows of each pane that came before the clock starts.
_EARLIER_ROWS = 30


@dataclass
class Spent:
    """Processor seconds of one case, part by part."""

    ingest: float = 0.0
    """Decoding, counting, and summaries as bytes."""
    fold: float = 0.0
    """Reading summaries, and adding them to what is known."""
    close: float = 0.0
    """Finding out what may close, adding panes up to windows, and laying these out as reports."""
    detect: float = 0.0
    """Judging windows, and alarms."""
    report: float = 0.0
    """Windows as bytes."""
    rows: int = 0
    windows: int = 0
    pages: int = 0


def columns(model: str, ts: Ints, features: int, rng: np.random.Generator) -> Columns:
    """Make rows of one model: features that have nothing to do with each other."""
    values = rng.normal(size=(features, len(ts)))
    return Columns("predictions", model, "1", ts, {f"f{i:03}": values[i] for i in range(features)})


def baseline_of(features: int) -> Baseline:
    """Build the baseline that all models share."""
    rows = BASELINE_DAYS * 24 * BASELINE_ROWS
    ts = T0 - BASELINE_DAYS * DAY_US + np.arange(rows, dtype=np.int64) * (BASELINE_DAYS * DAY_US // rows)
    reference = columns("model-0000", ts, features, np.random.default_rng(1))
    return build_baseline(reference, model="model-0000", version="1", now_us=0)


def control_of(models: int, baseline: Baseline, horizons_us: tuple[int, ...]) -> Control:
    """Give every model the baseline and a monitor."""
    control = Control()
    for i in range(models):
        name = f"model-{i:04}"
        control.set_baseline(replace(baseline, model=name))
        control.set_monitor(MonitorSpec(name, horizons_us=horizons_us))
    return control


def frames(models: int, features: int, rows: int, span_us: tuple[int, int]) -> list[bytes]:
    """Encode a frame of each model, its rows spread over a span of time."""
    start, stop = span_us
    ts = start + np.arange(rows, dtype=np.int64) * (stop - start) // rows
    rng = np.random.default_rng([7, start // SECOND_US])
    return [
        encode(
            FRAME_CONTRACT["predictions"],
            to_record(replace(columns(f"model-{m:04}", ts, features, rng), frame_id=f"{m}:{start}")),
        )
        for m in range(models)
    ]


class _Timed(PartitionEngine):
    """An engine that knows how much of its time is detection."""

    spent_s = 0.0

    def __init__(self, control: Control, watermarks: Watermarks) -> None:
        super().__init__(control, RegistryView(), watermarks, judge=_TimedJudge(control, self))

    def _decide(self, *arguments: Any) -> None:
        began = time.process_time()
        super()._decide(*arguments)
        self.spent_s += time.process_time() - began


class _TimedJudge(Judge):
    def __init__(self, control: Control, engine: _Timed) -> None:
        super().__init__(control)
        self._engine = engine

    def judge(self, *arguments: Any) -> Judgement:
        began = time.process_time()
        found = super().judge(*arguments)
        self._engine.spent_s += time.process_time() - began
        return found


class Loop:
    """One partition's log, taken in and decided on."""

    def __init__(self, control: Control) -> None:
        book = LayoutBook(control)
        self.control = control
        self.chunker = PartitionChunker(
            "predictions", 0, "predictions", book, ChunkRule(max_future_skew_us=1 << 50)
        )
        self.chunker.start_at(0)
        self.engine = _Timed(control, Watermarks({"predictions": "predictions"}))
        self.offset = 0
        self.spent = Spent()
        self.folds: dict[str, ModelMerge] = {}
        """The folding half of the engine by itself, to know what it costs."""

    def begin(self) -> Spent:
        """Start the clocks anew."""
        self.spent = Spent()
        alone = Watermarks({"predictions": "predictions"})
        self.folds = {model: ModelMerge(model, alone) for model in self.control.monitors}
        return self.spent

    def take(self, values: list[bytes], now_us: int) -> None:
        """Take in what one fetch delivers, and decide."""
        spent, seen = self.spent, self.chunker.events_seen
        first = self.chunker.next_offset
        records = [Record(first + i, now_us, value) for i, value in enumerate(values)]
        began = time.process_time()
        summaries: list[dict[str, Any]] = []
        for start in range(0, len(records), RUN):
            for cut in self.chunker.feed(records[start : start + RUN]):
                summaries += cut.summaries
        # Once a second a worker says what the chunk that is filling holds so far, and how far it has read.
        summaries += self.chunker.provisional(caught_up=True)
        summaries.append(self.chunker.progress(caught_up=True))
        written = [encode("chunk_summary", s) for s in summaries]
        spent.ingest += time.process_time() - began
        spent.rows += self.chunker.events_seen - seen
        self._decide(written, now_us)

    def _decide(self, written: list[bytes], now_us: int) -> None:
        # The clock is read seldom: on some machines that takes as long as folding a summary.
        spent = self.spent
        began = time.process_time()
        summaries = [decode(value, ("chunk_summary",))[1] for value in written]
        read = time.process_time()
        for summary in summaries:
            fold = self.folds.get(summary["model"])
            if fold is not None:
                fold.on_summary(summary, "predictions", self.control.monitors[fold.model], now_us)
        folded = time.process_time()
        effects, detected = Effects(), self.engine.spent_s
        for summary in summaries:
            effects.extend(self.engine.on_record(summary, self.offset, now_us))
            self.offset += 1
        decided = time.process_time()
        for report in effects.reports:
            encode("window_report", report)
        spent.report += time.process_time() - decided
        spent.fold += folded - began
        detected = self.engine.spent_s - detected
        spent.detect += detected
        spent.close += decided - folded - (folded - read) - detected
        spent.windows += effects.closed_windows
        spent.pages += sum(step.state == "open" for step in effects.alarms)


def measure(control: Control, features: int, rate: int, panes: int) -> Spent:
    """Spend what one case takes: every model sends `rate` rows a second, for so many panes."""
    models = len(control.monitors)
    earlier = max(max(spec.horizons_us) for spec in control.monitors.values()) // MINUTE_US
    loop = Loop(control)
    before = T0 - earlier * MINUTE_US, T0
    loop.take(frames(models, features, earlier * _EARLIER_ROWS, before), T0)
    spent = loop.begin()
    for start in range(T0, T0 + panes * MINUTE_US, SECOND_US):
        stop = start + SECOND_US
        loop.take(frames(models, features, rate, (start, stop)), stop)
    return spent


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--rates", type=int, nargs="+", default=[5, 20, 60], help="rows a second of a model")
    parser.add_argument("--panes", type=int, default=3, help="of a minute")
    parser.add_argument("--horizons", type=int, nargs="+", default=[5, 60], help="in minutes")
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    console = Console()
    horizons_us = tuple(minutes * MINUTE_US for minutes in options.horizons)
    control = control_of(options.models, baseline_of(options.features), horizons_us)
    table = Table(
        "rows/s of a model",
        "taking in, µs a row",
        "folding",
        "closing windows",
        "detection",
        "reports",
        "detection/taking in",
    )
    found = []
    for rate in track(options.rates, "measuring", console=console):
        spent = measure(control, options.features, rate, options.panes)
        found.append({"rate": rate, "models": options.models, "features": options.features, **asdict(spent)})
        parts = (spent.ingest, spent.fold, spent.close, spent.detect, spent.report)
        each = [f"{1e6 * s / spent.rows:.2f}" for s in parts]
        table.add_row(str(rate), *each, f"{spent.detect / spent.ingest:.1%}")
        windows = options.models * options.panes * (1 + len(horizons_us))
        assert spent.windows == windows, f"{spent.windows} windows closed, expected {windows}"
    console.print(table)
    console.print(f"[dim]{results.write(options.out, 'detection_cost', {'cases': found})}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
