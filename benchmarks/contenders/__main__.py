"""Run the contenders in turn, print the table, and write what was found into ``build/bench.json``."""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import results
from benchmarks.contenders.environment import broker, python
from benchmarks.contenders.race import App, Contender, Floor, Outcome, Seawall, Track
from benchmarks.contenders.workload import Workload
from seawall.settings import Settings

UNIT = "bytewax"


@dataclass(frozen=True)
class Entry:
    """A contender and the track that it runs on."""

    key: str
    words: str
    contender: Contender
    track: str = "events"


def entries(interpreter: Path) -> list[Entry]:
    """Everybody who may run."""
    return [
        Entry("floor_single_events", "the floor", Floor()),
        Entry("seawall_single_events", "Seawall, single events", Seawall("seawall")),
        Entry("seawall_frames", "Seawall, frames", Seawall("seawall frames"), "frames"),
        Entry("bytewax", "Bytewax", App("bytewax", "bytewax_windows", interpreter)),
        Entry("quix_streams", "Quix Streams", App("quix", "quix_windows", interpreter)),
        Entry(
            "faust",
            "Faust, a windowed table",
            App("faust", "faust_windows", interpreter, ("worker", "-l", "error", "--without-web")),
        ),
        Entry(
            "faust_batches",
            "Faust, take(1000) and numpy",
            App(
                "faust batches",
                "faust_windows",
                interpreter,
                ("worker", "-l", "error", "--without-web"),
                {"BENCH_BATCH": "1000"},
            ),
        ),
    ]


def main() -> int:
    """Run the benchmark; returns the exit code, which is not 0 when a window was wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.contenders", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="keys of bench.json to run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="what one run may take, at most 30")
    parser.add_argument("--minutes", type=int, default=300, help="windows on the topic")
    parser.add_argument("--per-minute", type=int, default=2000, help="events of a window")
    parser.add_argument(
        "--frame-factor", type=int, default=6, help="times as many rows in the frames' windows"
    )
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--broker", choices=("auto", "kafka", "embedded"), default="auto")
    parser.add_argument("--append", action="store_true", help="add to the runs that bench.json has")
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    options.seconds = min(options.seconds, 30.0)
    console = Console()
    with console.status("making the contenders' environment (once, about a minute) …"):
        interpreter = python(options.out)
    chosen = [e for e in entries(interpreter) if not options.only or e.key in options.only]
    found: dict[str, list[Outcome]] = {e.key: [] for e in chosen}
    with broker(options.broker) as (address, kind):
        tracks = filled(options, address, {e.track for e in chosen}, console)
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console
        ) as bar:
            task = bar.add_task("", total=len(chosen) * options.runs)
            for number in range(options.runs):
                for entry in chosen:
                    bar.update(task, description=f"run {number + 1}: {entry.words}")
                    outcome = entry.contender.run(tracks[entry.track])
                    found[entry.key].append(outcome)
                    bar.console.print(
                        f"[dim]{entry.words}: {outcome.rate:,.0f} events/s ({outcome.windows} windows)"
                    )
                    bar.advance(task)
    written = write(options, kind, chosen, found)
    show(console, kind, chosen, found)
    console.print(f"[dim]{written}")
    wrong = [f"{key}: {text}" for key, outcomes in found.items() for o in outcomes for text in o.wrong]
    for text in wrong[:10]:
        console.print(f"[red]{text}")
    return 1 if wrong or any(o.rate == 0 for outcomes in found.values() for o in outcomes) else 0


def filled(options: argparse.Namespace, address: str, names: set[str], console: Console) -> dict[str, Track]:
    """Put events, and frames of the same events, on topics of their own."""
    directory = options.out / "bench-contenders"
    shutil.rmtree(directory, ignore_errors=True)
    tracks: dict[str, Track] = {}
    for name in sorted(names):
        many = options.per_minute * (options.frame_factor if name == "frames" else 1)
        work = Workload.until_now(options.minutes, many, options.features)
        settings = Settings(
            broker=address, topic_prefix=f"bench-{name}.", topic_partitions=1, log_level="warning"
        )
        track = tracks[name] = Track(settings, work, options.seconds, directory)
        with console.status(f"putting {work.events:,} events on {settings.topic('predictions')} …"):
            track.fill(work.send_frames if name == "frames" else work.send_events)
    return tracks


def write(
    options: argparse.Namespace, kind: str, chosen: list[Entry], found: dict[str, list[Outcome]]
) -> Path:
    """Put the runs into ``bench.json``, and what they ran on into ``bench/contenders.json``."""
    before = results.contenders(options.out)
    fresh: dict[str, Any] = {}
    for entry in chosen:
        outcomes = found[entry.key]
        runs, cpu = [o.rate for o in outcomes], [o.cpu_rate for o in outcomes]
        if options.append and entry.key in before:
            runs, cpu = before[entry.key]["runs"] + runs, before[entry.key]["cpu_runs"] + cpu
        fresh[entry.key] = results.rate(
            runs,
            events_per_cpu_second=statistics.median(cpu),
            cpu_runs=cpu,
            peak_rss_bytes=max(o.peak_rss_bytes for o in outcomes),
            windows_checked=min(o.windows for o in outcomes),
            exact=not any(o.wrong for o in outcomes),
        )
    about = {"broker": kind, "features": options.features, "events": options.minutes * options.per_minute}
    results.write(options.out, "contenders", about)
    return results.merge(options.out, fresh)


def show(console: Console, kind: str, chosen: list[Entry], found: dict[str, list[Outcome]]) -> None:
    """Print the table, fastest first."""
    medians = {k: statistics.median(o.rate for o in v) for k, v in found.items()}
    table = Table(title=f"events a second, one process each, from {kind}")
    for head in ("", "median", "least", "most", "× Bytewax", "a CPU-second", "MiB", "windows"):
        table.add_column(head, justify="left" if not head else "right", no_wrap=not head)
    for entry in sorted(chosen, key=lambda e: -medians[e.key]):
        outcomes = found[entry.key]
        rates = [o.rate for o in outcomes]
        unit = medians.get(UNIT)
        table.add_row(
            entry.words,
            f"{medians[entry.key]:,.0f}",
            f"{min(rates):,.0f}",
            f"{max(rates):,.0f}",
            f"{medians[entry.key] / unit:.2f}" if unit else "",
            f"{statistics.median(o.cpu_rate for o in outcomes):,.0f}",
            f"{max(o.peak_rss_bytes for o in outcomes) / 2**20:.0f}",
            "" if isinstance(entry.contender, Floor) else str(min(o.windows for o in outcomes)),
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
