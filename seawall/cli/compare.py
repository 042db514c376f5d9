"""``seawall compare``: tell whether one data file has drifted away from another."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seawall.cli.effects import HELP, read_effects
from seawall.errors import ConfigError
from seawall.monitor_yaml.problems import any_of, did_you_mean
from seawall.settings import Settings

if TYPE_CHECKING:
    from rich.table import Table

    from seawall.drift_report import DriftReport

#: What `--fail-on` ends with; 1 and 2 are taken by failures and wrong usage.
FAILED = 3
#: Columns of a screen on which nothing has to be cut.
_UNBOUNDED = 1000
#: What a long name may be folded to.
NARROWEST_NAME = 20
_STYLES = {"drift": "bold red", "warning": "yellow", "stable": "green"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("compare", help="compare two data files once", description=run.__doc__)
    parser.add_argument(
        "reference", type=Path, metavar="REFERENCE", help="Parquet, CSV, or a baseline from `baseline build`"
    )
    parser.add_argument("current", type=Path, metavar="CURRENT", help="Parquet or CSV")
    parser.add_argument("--columns", type=_names, metavar="A,B,C", help="compare these only")
    parser.add_argument(
        "--categorical", type=_names, default=[], metavar="A,B", help="numbers that are names"
    )
    parser.add_argument("--time-column", metavar="COLUMN", help="event times: how far quiet periods wander")
    parser.add_argument(
        "--time-unit", choices=("s", "ms", "us", "ns"), default="us", help="of numeric times (default: us)"
    )
    parser.add_argument("--score-column", metavar="COLUMN", help="the model's score")
    parser.add_argument("--prediction-column", metavar="COLUMN", help="what the model predicted")
    parser.add_argument("--label-column", metavar="COLUMN", help="what turned out")
    parser.add_argument(
        "--effect",
        default="0.1",
        metavar="EFFECT",
        help=f"smallest change that is drift: {HELP} (default: 0.1)",
    )
    parser.add_argument("--min-rows", type=int, default=30, help="fewer are not enough data (default: 30)")
    parser.add_argument(
        "--fail-on",
        type=_failing,
        default=frozenset(),
        metavar="VERDICT",
        help=f"exit with {FAILED} on drift, on warning or drift, on not-enough-data or drift, or never (default); "
        "may be given together: warning,not-enough-data",
    )
    parser.add_argument("--missing", action="append", metavar="TEXT", help="CSV text that means missing")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report there")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _failing(text: str) -> frozenset[str]:
    """Read the verdicts that fail. Whoever asks for less than drift does not want drift to pass."""
    known = {
        "drift": {"drift"},
        "warning": {"drift", "warning"},
        "not-enough-data": {"drift", "not_enough_data"},
        "never": set(),
    }
    found: set[str] = set()
    for name in _names(text) or [text]:
        if name not in known:
            msg = f"{name!r}: expected {any_of(known)}{did_you_mean(name, known)}"
            raise argparse.ArgumentTypeError(msg)
        found |= known[name]
    return frozenset(found)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Compare a data file with a reference, column by column; the exit code is 3 when --fail-on is met."""
    from seawall.cli.data_file import MISSING_WORDS, progress, read_data_file
    from seawall.drift_report import DriftReport, compare

    missing = arguments.missing or MISSING_WORDS
    effect = read_effects(arguments.effect)
    with progress(f"comparing {arguments.current.name}") as begin:
        begin("reading")
        reference = _reference(arguments.reference, missing)
        current = read_data_file(arguments.current, missing)
        begin("counting")
        report = compare(
            reference,
            current,
            columns=arguments.columns,
            ts=arguments.time_column,
            time_unit=arguments.time_unit,
            scores=arguments.score_column,
            labels=arguments.prediction_column,
            truths=arguments.label_column,
            categorical=arguments.categorical,
            effect=effect,
            min_rows=arguments.min_rows,
        )
    report = DriftReport(report.found, arguments.reference.name, arguments.current.name)
    if arguments.html:
        try:
            report.to_html(arguments.html)
        except OSError as error:
            msg = f"{arguments.html}: cannot be written: {error.strerror or error}"
            raise ConfigError(msg) from error
    if arguments.json:
        print(json.dumps(report.to_dict()))
    else:
        _show(report)
        if arguments.html:
            print(f"wrote {arguments.html}", file=sys.stderr)
    if report.verdict in arguments.fail_on:
        return FAILED
    if report.verdict == "not_enough_data":
        # A broken export has few rows: nobody should take silence for health.
        print(
            f"warning: nothing can be said: {report.found.current_rows:,} rows in {arguments.current.name}, "
            f"{report.found.reference_rows:,} in {arguments.reference.name}, no column with the {arguments.min_rows} "
            f"values of --min-rows in both; --fail-on not-enough-data exits with {FAILED} here",
            file=sys.stderr,
        )
    return 0


def _reference(path: Path, missing: Any) -> Any:
    from seawall.cli.baseline import read_baseline
    from seawall.cli.data_file import read_data_file

    try:
        with path.open("rb") as file:
            is_baseline = file.read(2) == b"\xc3\x01"
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise ConfigError(msg) from error
    return read_baseline(path) if is_baseline else read_data_file(path, missing)


def _show(report: DriftReport) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.markup import escape

    from seawall.drift_report import SMALL, STATISTICS_SAID, is_small, relation_said

    console = Console(highlight=False)
    style = _STYLES.get(report.verdict, "dim")
    head, rest = report.headline().split(":", 1)
    console.print(f"[{style}]{head}[/]:{escape(rest)}", soft_wrap=True)
    table = _table(report, is_wide=True)
    asked = console.measure(table, options=console.options.update(width=_UNBOUNDED)).maximum
    longest = max(map(cell_len, report.names.values()), default=0)
    if asked - max(longest - NARROWEST_NAME, 0) > console.width:
        table = _table(report, is_wide=False)
    console.print(table)
    for r in report.found.relations:
        told = r.verdict.name.lower()
        console.print(f"[{_STYLES.get(told, 'dim')}]{told}[/] {escape(relation_said(r))}", soft_wrap=True)
    names = report.names
    for c in report.found.columns:
        usual = (
            f"{STATISTICS_SAID[c.statistic]} {c.usual:.1%} usually"
            if c.statistic != "js" and c.verdict.name in {"DRIFT", "WARNING"}
            else ""
        )
        said = "; ".join(part for part in (c.detail, usual) if part)
        if said:
            console.print(f"[dim]{escape(names[c.key])}[/] {escape(said)}", soft_wrap=True)
    small = [names[c.key] for c in report.found.columns if is_small(c)]
    if small:
        console.print(f"[dim]{SMALL}:[/] {escape(', '.join(small))}", soft_wrap=True)
    for note in report.found.notes:
        console.print(f"[dim]note: {escape(note)}[/]", soft_wrap=True)


def _table(report: DriftReport, *, is_wide: bool) -> Table:
    """Lay out the columns; a narrow console (a pipe, the log of a build) may have no room for histograms."""
    from rich.markup import escape
    from rich.table import Table

    from seawall.drift_report import STATISTICS_SAID, limit_said, sparklines

    table, names = Table(box=None, pad_edge=False, header_style="dim"), report.names
    # Names fold rather than go: without them the numbers say nothing.
    least = min(max(map(len, names.values()), default=0), NARROWEST_NAME)
    table.add_column("column", overflow="fold", min_width=max(least, len("column")))
    for title in ("verdict", *(("before", "after") if is_wide else ()), "what"):
        table.add_column(title, no_wrap=True)
    for title in ("value", "limit", "chance", *(("missing",) if is_wide else ())):
        table.add_column(title, justify="right", no_wrap=True)
    for c in report.found.columns:
        verdict = c.verdict.name.lower()
        before, after = sparklines(c)
        as_share = c.statistic != "js"
        numbers = [
            ("–" if not math.isfinite(v) else f"{v:.1%}" if as_share else f"{v:.3f}")
            for v in (c.value, c.chance)
        ]
        numbers.insert(1, limit_said(c))
        missing = "[dim]–[/]" if max(c.missing) == 0 else f"{c.missing[0]:.1%} → {c.missing[1]:.1%}"
        table.add_row(
            escape(names[c.key]),
            f"[{_STYLES.get(verdict, 'dim')}]{verdict.replace('_', ' ')}[/]",
            *((f"[dim]{before}[/]", f"[cyan]{after}[/]") if is_wide else ()),
            STATISTICS_SAID[c.statistic],
            *numbers,
            *((missing,) if is_wide else ()),
        )
    return table
