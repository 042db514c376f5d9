"""``seawall baseline``: build, show, publish and list the references of model versions."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seawall.baseline import Baseline
from seawall.durations import format_duration
from seawall.errors import ConfigError, WireError
from seawall.monitor import HOUR_US, MonitorSpec
from seawall.settings import Settings
from seawall.values import printable

if TYPE_CHECKING:
    from seawall.build import Reference

_TASKS = ("binary_classification", "multiclass_classification", "regression")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("baseline", help="build and publish the reference of a model version")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_build(actions.add_parser("build", help="build from Parquet or CSV", description=build.__doc__))
    show_parser = actions.add_parser("show", help="show a baseline file", description=show.__doc__)
    show_parser.add_argument("file", type=Path, metavar="FILE")
    show_parser.set_defaults(run=show)
    publish_parser = actions.add_parser(
        "publish", help="publish a baseline file", description=publish.__doc__
    )
    publish_parser.add_argument("file", type=Path, metavar="FILE")
    publish_parser.set_defaults(run=publish)
    list_parser = actions.add_parser(
        "list", help="list what is published", description=list_published.__doc__
    )
    list_parser.set_defaults(run=list_published)
    for each in (show_parser, publish_parser, list_parser):
        each.add_argument("--json", action="store_true", help="print JSON")


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, metavar="DATA", help="Parquet or CSV, one row per prediction")
    parser.add_argument("--model", required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--task", choices=_TASKS, help="guessed from the label column by default")
    parser.add_argument("--time-column", metavar="COLUMN", help="event times; naive times are UTC")
    parser.add_argument(
        "--time-unit", choices=("s", "ms", "us", "ns"), default="us", help="of numeric times (default: us)"
    )
    parser.add_argument("--score-column", metavar="COLUMN", help="the model's score; named 'score'")
    parser.add_argument(
        "--score",
        action="append",
        default=[],
        metavar="NAME=COLUMN",
        help="a score and the name that live traffic gives it; may be repeated",
    )
    parser.add_argument("--prediction-column", metavar="COLUMN", help="what the model predicted")
    parser.add_argument("--label-column", metavar="COLUMN", help="what turned out")
    parser.add_argument("--positive", default="", metavar="CLASS", help="the class that the score speaks for")
    parser.add_argument("--features", type=_names, metavar="A,B,C", help="default: all other columns")
    parser.add_argument(
        "--categorical", type=_names, default=[], metavar="A,B", help="numbers that are names"
    )
    parser.add_argument("--pane", metavar="DURATION", help="width of the reference panes (default: 1h)")
    parser.add_argument(
        "--lineage", action="append", default=[], metavar="KEY=VALUE", help="such as code_revision=abc123"
    )
    parser.add_argument(
        "--importance",
        action="append",
        default=[],
        metavar="FILE|NAME=VALUE",
        help="what the model makes of its features: JSON or CSV of name and number, or one by hand; may be repeated",
    )
    parser.add_argument("--parent", metavar="VERSION", help="version that this one replaces")
    parser.add_argument("--missing", action="append", metavar="TEXT", help="CSV text that means missing")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: MODEL-VERSION.baseline")
    parser.add_argument("--publish", action="store_true", help="publish it as well")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=build)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def build(arguments: argparse.Namespace, settings: Settings) -> int:
    """Build a baseline from a data file: fixed bins, counts by pane, statistics and performance."""
    from seawall.build import build_from, read_reference
    from seawall.cli.data_file import MISSING_WORDS, progress, read_data_file, sha256_of
    from seawall.cli.importance import read_importance

    lineage = _pairs("--lineage", arguments.lineage)
    named_scores = _pairs("--score", arguments.score)
    if named_scores and arguments.score_column:
        raise ConfigError("--score-column: not together with --score, which names every score itself")
    out = arguments.out or Path(f"{arguments.model}-{arguments.version}.baseline".replace("/", "_"))
    with progress(f"baseline of {arguments.data.name}") as begin:
        lineage["data_sha256"] = sha256_of(arguments.data, begin("hashing"))
        lineage.setdefault("data_file", arguments.data.name)
        if arguments.parent:
            lineage["parent_version"] = arguments.parent
        begin("reading")
        table = read_data_file(arguments.data, arguments.missing or MISSING_WORDS)
        begin("sorting columns")
        reference = read_reference(
            table,
            model=arguments.model,
            version=arguments.version,
            task=arguments.task or "",
            ts=arguments.time_column,
            time_unit=arguments.time_unit,
            scores=named_scores or arguments.score_column,
            labels=arguments.prediction_column,
            truths=arguments.label_column,
            features=arguments.features,
            categorical=arguments.categorical,
        )
        importance = read_importance(
            arguments.importance, [*reference.columns.numeric, *reference.columns.categorical]
        )
        begin("counting")
        baseline = build_from(
            reference,
            positive=arguments.positive,
            pane=arguments.pane,
            lineage=lineage,
            importance=importance,
        )
    _write(baseline, out)
    _print(baseline, as_json=arguments.json, file=str(out))
    for note in _notes(baseline, reference, arguments.pane):
        print(f"note: {note}", file=sys.stderr)
    if arguments.publish:
        _publish(settings, baseline)
    return 0


def _notes(baseline: Baseline, reference: Reference, pane: str | None) -> list[str]:
    from seawall.cli.notes import short_horizons
    from seawall.monitor_yaml.traffic import windows_for

    notes = []
    if reference.left_out:
        notes.append(f"left out, being times or an index: {', '.join(map(printable, reference.left_out))}")
    notes += [f"left out: {why}" for why in reference.unreadable.values()]
    if pane is None and baseline.pane_us > HOUR_US:
        notes.append(
            f"the period is so long that panes are {format_duration(baseline.pane_us)} wide, "
            "which hides the pattern by hour of the day; fewer months keep it"
        )
    wide = [c.name for c in baseline.columns if c.kind == "categorical" and c.distinct > len(c.categories)]
    if wide:
        notes.append(f"only the most frequent values have a place of their own: {', '.join(wide)}")
    # The horizons are those that `seawall monitor init` would write; `seawall check` knows the monitor's own.
    windows = windows_for(baseline)
    spec = MonitorSpec(baseline.model, pane_us=windows.pane_us, horizons_us=windows.horizons_us)
    return notes + short_horizons(spec, baseline)


def show(arguments: argparse.Namespace, settings: Settings) -> int:
    """Show what a baseline file holds."""
    _print(read_baseline(arguments.file), as_json=arguments.json, file=str(arguments.file))
    return 0


def publish(arguments: argparse.Namespace, settings: Settings) -> int:
    """Publish a baseline file, so that workers judge its version by it."""
    baseline = read_baseline(arguments.file)
    _publish(settings, baseline)
    if arguments.json:
        print(
            json.dumps({"key": f"{baseline.model}/{baseline.version}", "baseline_id": baseline.baseline_id})
        )
    return 0


def list_published(arguments: argparse.Namespace, settings: Settings) -> int:
    """List the baselines that are published."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from seawall.cli.baseline_view import period_in_words, summary_of
    from seawall.publish import read_latest

    found = [Baseline.from_bytes(value) for _, value in sorted(read_latest(settings, "baselines").items())]
    if arguments.json:
        print(json.dumps([{**summary_of(b), "columns": len(b.columns)} for b in found]))
        return 0
    if not found:
        print("no baseline is published; `seawall baseline build DATA … --publish` makes one")
        return 0
    table = Table("model", "version", "id", "rows", "columns", "task", "period", box=None, header_style="dim")
    for b in found:
        cells = (
            b.model,
            b.version,
            b.baseline_id,
            f"{b.rows:,}",
            str(len(b.columns)),
            b.task,
            period_in_words(b),
        )
        table.add_row(*map(escape, cells))
    Console().print(table)
    return 0


def read_baseline(path: Path) -> Baseline:
    """Read a baseline file.

    Raises
    ------
    ConfigError
        When the file cannot be read or is no baseline.
    """
    try:
        return Baseline.from_bytes(path.read_bytes())
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise ConfigError(msg) from error
    except (WireError, ValueError) as error:
        msg = f"{path}: is no baseline as `seawall baseline build` writes them: {error}"
        raise ConfigError(msg) from error


def _write(baseline: Baseline, path: Path) -> None:
    try:
        path.write_bytes(baseline.to_bytes())
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror or error}"
        raise ConfigError(msg) from error


def _publish(settings: Settings, baseline: Baseline) -> None:
    from seawall.publish import publish_baseline

    publish_baseline(settings, baseline)
    where = f"{settings.topic('baselines')} on {settings.broker}"
    print(f"published {baseline.model}/{baseline.version} to {where}", file=sys.stderr)


def _print(baseline: Baseline, *, as_json: bool, file: str) -> None:
    from seawall.cli.baseline_view import show_baseline, summary_of

    if as_json:
        print(json.dumps({**summary_of(baseline), "file": file}))
        return
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    show_baseline(baseline, console)
    console.print(f"[dim]file[/] {escape(file)}", soft_wrap=True)


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals or not value:
            msg = f"{option}: {text!r}: expected NAME=VALUE"
            raise ConfigError(msg)
        if name in found:
            msg = f"{option}: {text!r}: {name} is given twice"
            raise ConfigError(msg)
        found[name] = value
    return found
