"""The benchmarks of docs/performance.md, one after the other: ``make bench``, or ``make bench-short`` for minutes.

Each part is a process of its own, whose output goes to ``build/bench/<part>.log``. A part that fails, or for which
something is missing on this machine, is told of, and the others go on. Rates of contenders are added to
``build/bench.json``, everything else is written into ``build/bench/``, and plots are drawn there at the end.

Exit code: 0 when every part ran, 1 when one failed, 3 when none failed but something was missing for one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import plots
from benchmarks.parts import PARTS, SKIPPED, Lines, Part

LOOK_S = 0.5
FAILED = 1


@dataclass(frozen=True)
class Ending:
    """How a part ended."""

    part: Part
    code: int
    seconds: float
    last_words: str
    figures: Lines

    @property
    def words(self) -> str:
        """Done, skipped or failed, and why."""
        if self.code == 0:
            return "done"
        told = "skipped" if self.code == SKIPPED else f"failed ({self.code})"
        return f"{told}: {self.last_words}"


def play(part: Part, arguments: Sequence[str], out: Path, tell: Callable[[str], None]) -> Ending:
    """Run a part to its end; `tell` is given the last line of its output now and then."""
    log = out / "bench" / f"{part.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-u", "-m", part.module, *arguments, "--out", str(out)]
    began = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        file.write(f"{' '.join(command)}\n")
        file.flush()
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        try:
            while child.poll() is None:
                time.sleep(LOOK_S)
                tell(last_line(log))
        except KeyboardInterrupt:
            child.wait()  # it was interrupted as well, and stops what it started
            raise
    figures = part.figures(out) if child.returncode == 0 else []
    return Ending(part, child.returncode, time.monotonic() - began, last_line(log), figures)


def last_line(log: Path) -> str:
    """Return the last line of a log that holds anything."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def show(console: Console, endings: Sequence[Ending], out: Path) -> None:
    """Print what every part came to."""
    table = Table("part", "measured", "", "s", title="benchmarks; ratios say more than figures do")
    table.columns[3].justify = "right"
    for ending in endings:
        rows = ending.figures or [(escape(ending.words), "")]
        for number, (words, figure) in enumerate(rows):
            first = number == 0
            table.add_row(
                ending.part.name if first else "", words, figure, f"{ending.seconds:.0f}" if first else ""
            )
        table.add_section()
    console.print(table)
    console.print(f"[dim]{out / 'bench.json'}, {out / 'bench'}/")


def exit_code(endings: Sequence[Ending]) -> int:
    """Say how the whole ended: a failure counts for more than something that was missing."""
    codes = {ending.code for ending in endings}
    return FAILED if codes - {0, SKIPPED} else max(codes, default=0)


def main() -> int:
    """Play the parts; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer runs of everything")
    parser.add_argument("--only", nargs="*", choices=[p.name for p in PARTS], default=[p.name for p in PARTS])
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    console, endings = Console(), list[Ending]()
    chosen = [part for part in PARTS if part.name in options.only]
    with Progress(
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.description} [dim]{task.fields[said]}"),
        console=console,
    ) as bar:
        task = bar.add_task("", total=len(chosen), said="")
        for part in chosen:
            bar.update(task, description=part.words, said="")
            arguments = part.short if options.short else part.arguments
            ending = play(part, arguments, options.out, lambda text: bar.update(task, said=escape(text[:60])))
            endings.append(ending)
            bar.console.print(f"{part.name}: {escape(ending.words)} [dim]({ending.seconds:.0f} s)")
            bar.advance(task)
    plots.draw(options.out, options.out / "bench")
    show(console, endings, options.out)
    return exit_code(endings)


if __name__ == "__main__":
    sys.exit(main())
