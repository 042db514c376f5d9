"""``seawall monitor``: begin a monitor file, publish it, see what is published."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seawall.errors import ConfigError
from seawall.settings import Settings

if TYPE_CHECKING:
    from seawall.baseline import Baseline
    from seawall.monitor_yaml.traffic import Scatter


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("monitor", help="begin, publish and list monitor files")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    init_parser = actions.add_parser("init", help="write a first monitor file", description=init.__doc__)
    init_parser.add_argument("--model", help="default: the baseline's")
    init_parser.add_argument("--baseline", type=Path, metavar="FILE", help="derive defaults from it")
    init_parser.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    init_parser.add_argument("--force", action="store_true", help="replace an existing file")
    init_parser.set_defaults(run=init)
    publish_parser = actions.add_parser("publish", help="publish a monitor file", description=publish.__doc__)
    publish_parser.add_argument("file", type=Path, metavar="FILE")
    publish_parser.add_argument("--baseline", type=Path, metavar="FILE", help="check column names against it")
    publish_parser.set_defaults(run=publish)
    show_parser = actions.add_parser("show", help="print a published file", description=show.__doc__)
    show_parser.add_argument("model", metavar="MODEL")
    show_parser.set_defaults(run=show)
    list_parser = actions.add_parser(
        "list", help="list what is published", description=list_published.__doc__
    )
    list_parser.set_defaults(run=list_published)
    for each in (publish_parser, list_parser):
        each.add_argument("--json", action="store_true", help="print JSON")


def init(arguments: argparse.Namespace, settings: Settings) -> int:
    """Write a commented monitor file, with windows, segments and promises that suit the baseline."""
    from seawall.cli.baseline import read_baseline
    from seawall.monitor_yaml.template import monitor_template
    from seawall.monitor_yaml.traffic import identifiers

    baseline = read_baseline(arguments.baseline) if arguments.baseline else None
    model = arguments.model or (baseline.model if baseline else "")
    if not model.strip():
        raise ConfigError("--model: is missing, expected the model's name, or a --baseline to take it from")
    if baseline and model != baseline.model:
        msg = f"--model: {model!r}: expected {baseline.model!r}, the model of {arguments.baseline}"
        raise ConfigError(msg)
    text = monitor_template(model, baseline)
    if baseline is not None:
        text = monitor_template(model, baseline, _scatter_in(baseline, text))
    for column in identifiers(baseline) if baseline else ():
        print(
            f"note: {column.name} is not watched: {column.distinct:,} different values in {column.count:,} rows look "
            "like an identifier; where it is a measurement, take its ignore: true out",
            file=sys.stderr,
        )
    if arguments.out is None:
        sys.stdout.write(text)
        return 0
    try:
        with arguments.out.open("w" if arguments.force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        msg = f"{arguments.out}: is there already; --force replaces it"
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"{arguments.out}: cannot be written: {error.strerror or error}"
        raise ConfigError(msg) from error
    print(f"wrote {arguments.out}; `seawall check {arguments.out}` checks it", file=sys.stderr)
    return 0


def _scatter_in(baseline: Baseline, text: str) -> Mapping[str, Scatter]:
    """Return how the baseline scatters in the windows of a monitor; nothing where the SDK alone is installed."""
    from seawall.monitor_yaml import parse_monitor

    try:
        from streams.core.reference_promises import scatter_in
    except ImportError:
        return {}
    return scatter_in(baseline, parse_monitor(text))


def publish(arguments: argparse.Namespace, settings: Settings) -> int:
    """Check a monitor file and publish it. A file with problems is not published; exit code 1."""
    from seawall.cli.baseline import read_baseline
    from seawall.cli.check import print_problems, read_monitor_file
    from seawall.monitor_yaml import check_monitor
    from seawall.publish import publish_monitor

    baseline = read_baseline(arguments.baseline) if arguments.baseline else None
    text, problems = read_monitor_file(arguments.file)
    spec = None
    if text is not None:
        spec, problems = check_monitor(text, file=str(arguments.file), baseline=baseline)
    if text is None or spec is None:
        print_problems(problems)
        print(f"{arguments.file}: not published", file=sys.stderr)
        return 1
    sha256 = publish_monitor(settings, spec.model, text)
    if arguments.json:
        print(json.dumps({"model": spec.model, "sha256": sha256}))
    else:
        where = f"{settings.topic('monitors')} on {settings.broker}"
        print(f"published the monitor of {spec.model} ({sha256[:12]}) to {where}")
    return 0


def show(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print the published monitor file of a model, as its owner wrote it."""
    record = _published(settings).get(arguments.model)
    if record is None:
        msg = (
            f"{arguments.model}: no monitor is published for it; `seawall monitor list` shows those that are"
        )
        raise ConfigError(msg)
    sys.stdout.write(record["yaml"])
    return 0


def list_published(arguments: argparse.Namespace, settings: Settings) -> int:
    """List the monitors that are published."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from seawall.cli.baseline_view import time_in_words
    from seawall.durations import format_duration
    from seawall.monitor_yaml import check_monitor

    found = _published(settings)
    if arguments.json:
        print(json.dumps(list(found.values())))
        return 0
    if not found:
        print("no monitor is published; `seawall monitor init` begins one")
        return 0
    table = Table(
        "model", "published", "sha256", "windows", "rollback", "notify", box=None, header_style="dim"
    )
    for model, record in found.items():
        spec, problems = check_monitor(record["yaml"], file=model)
        about = (escape(model), time_in_words(record["published_us"]), record["sha256"][:12])
        if spec is None:
            table.add_row(*about, f"[red]{len(problems)} problems[/]")
            continue
        horizons = ", ".join(format_duration(h) for h in spec.horizons_us)
        table.add_row(*about, horizons, spec.rollback.mode, escape(", ".join(spec.notify)) or "–")
    Console().print(table)
    return 0


def _published(settings: Settings) -> dict[str, dict[str, Any]]:
    from seawall.publish import read_latest
    from seawall.wire import decode

    records = {
        model: decode(value, ("monitor",))[1] for model, value in read_latest(settings, "monitors").items()
    }
    return {model: record for model, record in sorted(records.items()) if not record["deleted"]}
