"""What ``make bench`` plays, and what each part's figures come to in a line or two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import results

#: Words, and the figure.
Lines = list[tuple[str, str]]
#: Exit code of a part for which something is missing on this machine; its last words say what.
SKIPPED = 3


@dataclass(frozen=True)
class Part:
    """A benchmark that runs as a process of its own."""

    name: str
    words: str
    module: str
    figures: Callable[[Path], Lines]
    """Reads what it wrote."""
    arguments: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    """Arguments of a short run."""


def of_contenders(out: Path) -> Lines:
    """Events a second of everybody, and how often that is Bytewax's."""
    found = results.contenders(out)
    unit = found.get("bytewax", {}).get("events_per_second")
    words = {
        "seawall_frames": "Seawall, frames",
        "seawall_single_events": "Seawall, single events",
        "floor_single_events": "the floor: consume and decode single events",
        "bytewax": "Bytewax",
        "quix_streams": "Quix Streams",
        "faust_batches": "Faust, take(1000) and numpy",
        "faust": "Faust, a windowed table",
    }
    return [
        (
            text,
            _rate(found[key]) + (f", {found[key]['events_per_second'] / unit:.2g} × Bytewax" if unit else ""),
        )
        for key, text in words.items()
        if key in found
    ]


def of_demo_year(out: Path) -> Lines:
    """Events a second of the whole loop, and of its floor."""
    found, fate = results.contenders(out), results.read(out, "loop")
    exact = "exact" if fate["exact"] else "not exact"
    return [
        ("the demo's year, SDK to store", f"{_rate(found['seawall_demo_year'])}, {exact}"),
        ("its floor: consume and decode frames", _rate(found["floor_demo_year"])),
    ]


def of_sdk(out: Path) -> Lines:
    """Say what a call, and a row of a DataFrame, costs the product."""
    found = results.read(out, "sdk")
    call, tables = found["log_prediction, sender idle"], found["log_predictions"]
    frames = (
        f"{tables[kind]['cpu_ns_a_row_for_the_caller']:.0f} ns ({name})"
        for kind, name in (("a pandas DataFrame", "pandas"), ("a polars DataFrame", "polars"))
    )
    return [
        ("a call of log_prediction", f"median {call['median_us']:.1f} µs, p99 {call['p99_us']:.1f} µs"),
        ("a row of log_predictions, processor time", ", ".join(frames)),
    ]


def of_ingest(out: Path) -> Lines:
    """Cost of an event of twenty numbers, and the dearest."""
    cases = results.read(out, "ingest")["cases"]
    usual = next(c for c in cases if (c["features"], c["models"], c["segments"]) == (20, 1, 0))
    worst = max(cases, key=lambda case: -float(case["single_events"]["events_per_second"]))
    at = f"{worst['features']} features, {worst['models']} models, {worst['segments']} segments"
    return [("taking in, 20 features", _cost(usual)), (f"taking in, {at}", _cost(worst))]


def of_open_windows(out: Path) -> Lines:
    """Memory of a window that is open."""
    each = [case["bytes_a_cell"] / 1024 for case in results.read(out, "open_windows")["cases"]]
    return [("an open window of 20 numbers", f"{min(each):.0f} to {max(each):.0f} KiB")]


def of_latency(out: Path) -> Lines:
    """How long after its pane's end a window is stored."""
    return [
        (
            f"window stored after its pane's end, {case['rate']:,} events/s",
            f"median {case['after_pane_end_s']['median']:.2f} s, p99 {case['after_pane_end_s']['p99']:.2f} s",
        )
        for case in results.read(out, "latency")["cases"]
    ]


def of_recovery(out: Path) -> Lines:
    """How long a killed worker is missed."""
    found = results.read(out, "recovery")
    counts, again = (found[step]["median_s"] for step in ("counts", "caught_up"))
    return [("after kill -9", f"counts after {counts:.1f} s, has caught up after {again:.1f} s")]


def of_scaling(out: Path) -> Lines:
    """Say what a second worker adds."""
    found = results.read(out, "scaling")
    one, two = (found[key]["events_per_second"] for key in ("1_workers", "2_workers"))
    return [("two workers on one model", f"{two:,.0f} events/s, {two / one:.2f} × one")]


def of_gaps(out: Path) -> Lines:
    """Say what holes in a topic cost."""
    gaps = results.read(out, "gaps")["gaps"]
    return [
        (
            f"a topic with gaps, {name}",
            f"{gaps[name]['of_none']:.2f} × without, {gaps[name]['cpu_of_none']:.2f} × a CPU-second",
        )
        for name in ("aborted", "compacted")
    ]


PARTS = (
    Part(
        "contenders",
        "Seawall, Faust, Bytewax and Quix Streams on one topic",
        "benchmarks.contenders",
        of_contenders,
        short=("--runs", "1", "--seconds", "6"),
    ),
    Part("loop", "the demo's year through the embedded loop", "benchmarks.loop", of_demo_year),
    Part("sdk", "what logging costs the product", "benchmarks.sdk", of_sdk, short=("--events", "10000")),
    Part(
        "ingest",
        "an event by features, models and segments",
        "benchmarks.ingest",
        of_ingest,
        short=("--events", "8192", "--rounds", "1"),
    ),
    Part("open_windows", "memory of open windows", "benchmarks.open_windows", of_open_windows),
    Part(
        "latency",
        "from an event to the stored window",
        "benchmarks.latency",
        of_latency,
        short=("--rates", "20000", "--seconds", "40"),
    ),
    Part("recovery", "a worker is killed", "benchmarks.recovery", of_recovery, short=("--kills", "1")),
    Part(
        "scaling",
        "two workers on one hot model",
        "benchmarks.scaling",
        of_scaling,
        short=("--runs", "1", "--events", "600000"),
    ),
    Part("gaps", "a topic with gaps", "benchmarks.gaps", of_gaps, short=("--runs", "1", "--minutes", "100")),
)


def _rate(entry: dict[str, Any]) -> str:
    return f"{entry['events_per_second']:,.0f} events/s"


def _cost(case: dict[str, Any]) -> str:
    single, row = (1e6 / case[kind]["events_per_second"] for kind in ("single_events", "frames"))
    return f"{single:.3g} µs a single event, {row:.2g} µs a row of a frame"
