"""``seawall check``: find everything that is wrong in monitor files, before a worker does."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from seawall.baseline import Baseline
from seawall.monitor import MonitorSpec
from seawall.monitor_yaml import Problem, check_monitor
from seawall.settings import Settings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("check", help="find what is wrong in monitor files", description=run.__doc__)
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="monitor files, or folders of them"
    )
    parser.add_argument(
        "--baseline",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="check column names against it, and whether it is long enough for the horizons; may be repeated, "
        "each monitor takes the one of its model",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Check monitor files. Every problem is printed as file:line: field; with any, the exit code is 1."""
    from seawall.cli.baseline import read_baseline

    baselines = [read_baseline(path) for path in arguments.baseline]
    files = list(_expanded(arguments.files))
    found = {str(path): check_file(path, baselines) for path in files}
    notes = {file: _notes(spec, baselines) for file, (spec, _) in found.items()}
    problems = [problem for _, each in found.values() for problem in each]
    if arguments.json:
        listed = [
            {
                "file": file,
                "model": spec.model if spec else None,
                "problems": [asdict(p) for p in each],
                "notes": notes[file],
            }
            for file, (spec, each) in found.items()
        ]
        print(json.dumps({"ok": not problems, "files": listed}))
    else:
        print_problems(problems)
        bad = sum(1 for _, each in found.values() if each)
        files_in_words = "1 file" if len(found) == 1 else f"{len(found)} files"
        if problems:
            many = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
            print(f"{many} in {bad} of {files_in_words}", file=sys.stderr)
        else:
            print(f"{files_in_words} checked, no problems", file=sys.stderr)
        for file, said in notes.items():
            for note in said:
                print(f"{file}: note: {note}", file=sys.stderr)
    return 1 if problems else 0


def _notes(spec: MonitorSpec | None, baselines: Sequence[Baseline]) -> list[str]:
    from seawall.cli.notes import notes_on

    if spec is None:
        return []
    return notes_on(spec, next((b for b in baselines if b.model == spec.model), None))


def _expanded(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix in {".yaml", ".yml"})
        else:
            yield path


def check_file(path: Path, baselines: Sequence[Baseline] = ()) -> tuple[MonitorSpec | None, list[Problem]]:
    """Check one file; returns (the monitor, or None when there are problems; the problems)."""
    text, problems = read_monitor_file(path)
    if text is None:
        return None, problems
    return check_monitor(text, file=str(path), baseline=_baseline_for(text, str(path), baselines))


def read_monitor_file(path: Path) -> tuple[str | None, list[Problem]]:
    """Read the text of a file; returns (None, the problem) when that is impossible."""
    file = str(path)
    try:
        content = path.read_bytes()
        return content.decode("utf-8-sig"), []
    except OSError as error:
        return None, [Problem(file, 1, "", "", f"a file that can be read: {error.strerror or error}")]
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return None, [Problem(file, line, "", "", f"text in UTF-8, found byte 0x{content[error.start]:02x}")]


def _baseline_for(text: str, file: str, baselines: Sequence[Baseline]) -> Baseline | None:
    if len(baselines) <= 1:
        return baselines[0] if baselines else None
    spec, _ = check_monitor(text, file=file)
    return next((b for b in baselines if spec and b.model == spec.model), None)


def print_problems(problems: Sequence[Problem]) -> None:
    """Print problems as compilers do, in colour when a person is looking."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for problem in problems:
        line = Text(str(problem))
        place = f"{problem.file}:{problem.line}:"
        line.stylize("bold", 0, len(place))
        if problem.field:
            line.stylize("cyan", len(place) + 1, len(place) + 1 + len(problem.field))
        console.print(line)
