"""``seawall backtest``: say what a monitor would have paged about over history."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seawall.baseline import Baseline
from seawall.cli.effects import HELP, effects_text, read_effects
from seawall.cli.notes import notes_on, short_horizons
from seawall.durations import format_duration
from seawall.errors import ConfigError
from seawall.monitor import MonitorSpec
from seawall.monitor_yaml.rules import METRICS
from seawall.settings import Settings

if TYPE_CHECKING:
    from streams.core.backtest import Backtest, Outcome, Setting


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("backtest", help="run a monitor over history", description=run.__doc__)
    parser.add_argument("monitor", type=Path, metavar="MONITOR", help="the monitor's YAML file")
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="from `seawall baseline build`; with --from-store the published ones are the default",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, metavar="FILE", help="Parquet or CSV, one row per prediction")
    where.add_argument("--from-store", action="store_true", help="what workers counted, from the store")
    parser.add_argument("--since", metavar="TIME", help="with --from-store: from here on (ISO 8601, UTC)")
    parser.add_argument("--until", metavar="TIME", help="with --from-store: up to here")
    parser.add_argument("--data-dir", help="the folder that `seawall up` runs in (SEAWALL_DATA_DIR)")
    parser.add_argument("--time-column", default="ts", metavar="COLUMN", help="event times (default: ts)")
    parser.add_argument(
        "--time-unit", choices=("s", "ms", "us", "ns"), default="us", help="of numeric times (default: us)"
    )
    parser.add_argument(
        "--version", metavar="V", help="version that made the predictions (default: the baseline's)"
    )
    parser.add_argument("--score-column", metavar="COLUMN", help="the model's score; named 'score'")
    parser.add_argument(
        "--score", action="append", default=[], metavar="NAME=COLUMN", help="a score by name; may be repeated"
    )
    parser.add_argument("--prediction-column", metavar="COLUMN", help="what the model predicted")
    parser.add_argument(
        "--label-column",
        metavar="COLUMN",
        help="what turned out, where it is known: losses and promises are watched",
    )
    parser.add_argument(
        "--label-time-column",
        metavar="COLUMN",
        help="when that became known (default: the time of the prediction)",
    )
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="Parquet or CSV, one row per feature event: what the feature store said, compared with the predictions",
    )
    parser.add_argument(
        "--features-time-column", metavar="COLUMN", help="its event times (default: as --time-column)"
    )
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="'1 per 7d'",
        help="try this budget of false pages as well; may be repeated (default: a quarter and four times "
        "the monitor's; 'only' for none, which is three times as fast)",
    )
    parser.add_argument(
        "--effect",
        action="append",
        default=[],
        metavar="EFFECT",
        help=f"try this smallest effect as well: {HELP}; may be repeated",
    )
    parser.add_argument("--missing", action="append", metavar="TEXT", help="CSV text that means missing")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots there")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run a monitor over history, by the code that runs over live traffic: what would have paged, when and why."""
    backtest, outcomes, notes, took_s = (_of_store if arguments.from_store else _of_file)(arguments, settings)
    name = "the store" if arguments.from_store else arguments.data.name
    if arguments.html:
        from seawall.backtest_html import page

        try:
            arguments.html.write_text(page(outcomes, name, notes), encoding="utf-8")
        except OSError as error:
            msg = f"{arguments.html}: cannot be written: {error.strerror or error}"
            raise ConfigError(msg) from error
    if arguments.json:
        print(json.dumps({**as_json(backtest, outcomes), "notes": notes}))
        return 0
    _show(outcomes)
    for note in notes:
        print(f"note: {note}")
    if backtest.dead_rows:
        print(f"note: {backtest.dead_rows:,} rows could not be counted (bad event times)", file=sys.stderr)
    others = [
        f"{n:,} of them {source}" for source in ("labels", "features") if (n := backtest.rows_of[source])
    ]
    said = f"({', '.join(others)}) " if others else ""
    print(
        f"{backtest.rows:,} rows {said}in {took_s:.1f} s ({backtest.rows / max(took_s, 1e-9):,.0f} a second)",
        file=sys.stderr,
    )
    if arguments.html:
        print(f"wrote {arguments.html}", file=sys.stderr)
    return 0


#: Steps in which a bar moves, and the fewest and most events of one: each takes what is open once more.
STEPS, LEAST_ROWS, MOST_ROWS = 10, 1 << 10, 1 << 16
#: Budgets that are tried where none is named, as parts and multiples of the monitor's.
LADDER = {"×1/4": 0.25, "×4": 4.0}
#: Screens narrower than this have no room for reasons beside what they are of.
WIDE = 100
#: What stands for no budget but the monitor's.
ONLY = "only"
#: The backtest, what came of each setting, notes, and the seconds that it took.
_Ran = tuple["Backtest", list["Outcome"], list[str], float]


def _of_file(arguments: argparse.Namespace, settings: Settings) -> _Ran:
    from seawall.cli.baseline import read_baseline
    from seawall.cli.data_file import MISSING_WORDS, progress, read_data_file
    from seawall.cli.feature_file import read_features
    from seawall.cli.history import read_history
    from streams.core.backtest import Backtest, side_by_side

    if arguments.baseline is None:
        raise ConfigError(
            "--baseline: expected a file from `seawall baseline build`; only the store has its own"
        )
    if arguments.since or arguments.until:
        raise ConfigError("--since, --until: only with --from-store; cut the data file instead")
    if arguments.features_time_column and not arguments.features:
        raise ConfigError("--features-time-column: only with --features, which names the file that has it")
    baseline = read_baseline(arguments.baseline)
    baseline = replace(baseline, version=arguments.version or baseline.version)
    spec = _monitor(arguments.monitor, baseline)
    tried = settings_of(spec, arguments.budget, arguments.effect)
    with progress(f"backtest of {spec.model}") as begin:
        begin("reading")
        missing = arguments.missing or MISSING_WORDS
        history = read_history(read_data_file(arguments.data, missing), baseline, spec, arguments)
        parts, notes = list(history.parts), [*notes_on(spec, baseline), *history.notes]
        if arguments.features:
            table = read_data_file(arguments.features, missing)
            features, said = read_features(table, history.predictions, baseline, spec, arguments)
            parts.append(features)
            notes += said
        backtest = Backtest(tried, [baseline], sources=[columns.source for columns in parts])
        step, began = begin("running"), time.monotonic()
        total = sum(columns.rows for columns in parts)
        for part in side_by_side(parts, min(max(total // STEPS, LEAST_ROWS), MOST_ROWS)):
            backtest.feed(*part)
            step(backtest.rows, total)
        return backtest, backtest.finish(), notes, time.monotonic() - began


def _of_store(arguments: argparse.Namespace, settings: Settings) -> _Ran:
    """Run over what workers counted; every version is judged by its own baseline."""
    from seawall.cli.baseline import read_baseline
    from seawall.cli.data_file import progress
    from seawall.cli.status import of_running_stack
    from streams.core.backtest import Backtest
    from streams.io.history import StoredHistory

    for option in ("label_column", "label_time_column", "features", "features_time_column"):
        if getattr(arguments, option):
            name, what = f"--{option.replace('_', '-')}", option.split("_")[0].removesuffix("s")
            msg = f"{name}: only with --data; from the store {what}s are taken as they were counted"
            raise ConfigError(msg)
    given = read_baseline(arguments.baseline) if arguments.baseline else None
    spec = _monitor(arguments.monitor, given)
    settings = of_running_stack(replace(settings, data_dir=arguments.data_dir or settings.data_dir))
    since_us, until_us = _time_us("--since", arguments.since), _time_us("--until", arguments.until)
    with progress(f"backtest of {spec.model}") as begin:
        begin("asking the store")
        history = StoredHistory(settings, spec, since_us, until_us, arguments.version or "")
        known = {**history.range.baselines, **({given.version: given} if given else {})}
        tried = settings_of(spec, arguments.budget, arguments.effect)
        backtest = Backtest(tried, known.values(), sources=history.sources)
        step, began = begin("running"), time.monotonic()
        unjudged: set[str] = set()
        events = list(history.range.registry)
        first_us = history.range.since_us
        for upto_us, panes in history.days():
            now = [e for e in events if e["ts"] <= upto_us]
            events = events[len(now) :]
            backtest.feed_panes(panes, history.range.layouts, now)
            unjudged |= {
                p.version
                for p in panes
                if p.version not in known or known[p.version].baseline_id != p.baseline_id
            }
            step(upto_us - first_us, history.range.until_us - first_us)
        outcomes, took_s = backtest.finish(), time.monotonic() - began
    for version in sorted(unjudged):
        print(
            f"note: panes of {version} were counted with another baseline than is known, and are not judged; "
            "--baseline names one",
            file=sys.stderr,
        )
    notes = [*notes_on(spec, None), *_unseen_promises(spec)]
    for version, baseline in sorted(known.items()):
        notes += [f"{version}, {said}" for said in short_horizons(spec, baseline)]
    return backtest, outcomes, notes, took_s


def _unseen_promises(spec: MonitorSpec) -> list[str]:
    """Say which promises are on means that the store does not keep for single panes."""
    unseen = [metric for metric in spec.performance if METRICS[metric].loss not in {"", "error"}]
    said = f"promise.performance ({', '.join(unseen)}): not seen: the store has no means of single panes"
    return [said] if unseen else []


def _time_us(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{option}: {text!r}: expected a time such as 2026-03-01 or 2026-03-01T12:00+01:00"
        raise ConfigError(msg) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1_000_000


def settings_of(spec: MonitorSpec, budgets: Sequence[str], effects: Sequence[str]) -> list[Setting]:
    """Return the monitor as it is, then once more for each budget (by default some around its own) and each effect.

    Raises
    ------
    ConfigError
        When a budget or an effect cannot be.
    """
    from seawall.monitor_yaml import MonitorError, parse_monitor
    from streams.core.backtest import Setting

    found = [Setting("as written", spec)]
    if not budgets:
        found += [
            Setting(f"budget {name}", replace(spec, false_pages=spec.false_pages * times))
            for name, times in LADDER.items()
        ]
    for text in budgets:
        if text == ONLY:
            continue
        try:
            read = parse_monitor(f"model: m\npromise:\n  false_pages: {text}\n", file="--budget")
        except MonitorError as error:
            said = "; ".join(p.expected for p in error.problems)
            msg = f"--budget: {text!r}: expected {said}"
            raise ConfigError(msg) from error
        changed = replace(
            spec, false_pages=read.false_pages, false_pages_period_us=read.false_pages_period_us
        )
        found.append(Setting(f"budget {text}", changed))
    for text in effects:
        given = dict(read_effects(text))
        name = f"effect {effects_text(given)}"
        effect = given.pop("js", spec.effect)
        found.append(Setting(name, replace(spec, effect=effect, effects=replace(spec.effects, **given))))
    return found


def _monitor(path: Path, baseline: Baseline | None) -> MonitorSpec:
    from seawall.monitor_yaml import parse_monitor

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise ConfigError(msg) from error
    spec = parse_monitor(text, file=str(path), baseline=baseline)
    if baseline is not None and spec.model != baseline.model:
        msg = f"{path}: model: {spec.model!r} is not the baseline's, {baseline.model!r}"
        raise ConfigError(msg)
    return spec


def as_json(backtest: Backtest, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return what would have paged under each setting, as JSON-ready values."""
    return {
        "model": outcomes[0].setting.spec.model,
        "rows": backtest.rows_of["predictions"],
        "labels": backtest.rows_of["labels"],
        "features": backtest.rows_of["features"],
        "dead_rows": backtest.dead_rows,
        "start_us": outcomes[0].start_us,
        "end_us": outcomes[0].end_us,
        "settings": [
            {
                "name": o.setting.name,
                "false_pages": o.setting.spec.false_pages,
                "false_pages_period_us": o.setting.spec.false_pages_period_us,
                "effect": o.setting.spec.effect,
                "effects": asdict(o.setting.spec.effects),
                "windows": o.windows,
                "pages_per_period": o.pages_per_period,
                "pages_in_budget": len(o.budgeted),
                "pages_outside": o.others,
                "alarmed_share": o.alarmed_share,
                "pages": [asdict(page) for page in o.pages],
            }
            for o in outcomes
        ],
    }


def _show(outcomes: Sequence[Outcome]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding
    from rich.table import Table

    from streams.core.words import span_text, utc_text

    console, first = Console(highlight=False), outcomes[0]
    span = f"{utc_text(first.start_us)} to {utc_text(first.end_us)}"
    console.print(f"[bold]{escape(first.setting.spec.model)}[/]  {span}, {first.windows:,} windows")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("setting", "pages", "pages per", "budget", "outside it", "time in alarm"):
        table.add_column(title, justify="left" if title == "setting" else "right", no_wrap=True)
    for o in outcomes:
        period = format_duration(o.setting.spec.false_pages_period_us)
        table.add_row(
            escape(o.setting.name),
            str(len(o.budgeted)),
            f"{o.pages_per_period:.2g} per {period}",
            f"{o.setting.spec.false_pages:g} per {period}",
            ", ".join(f"{many} {kind}" for kind, many in o.others.items()) or "[dim]–[/]",
            f"{o.alarmed_share:.1%}",
        )
    console.print(table)
    if not first.pages:
        console.print("nothing would have paged")
        return
    is_wide = console.width >= WIDE
    pages = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("paged", "lasted", "what", "why"):
        pages.add_column(title, no_wrap=title != "why")
    for page in first.pages:
        end = page.resolved_us
        lasted = span_text(end - page.paged_us) if end is not None else "still open"
        what = f"{page.kind} {page.segment}".strip()
        colour = "red" if page.severity in {"error", "critical"} else "yellow"
        why = "\n".join(filter(None, (page.summary, page.later_said)))
        told = (utc_text(page.paged_us), lasted, f"[{colour}]{escape(what)}[/]")
        if is_wide:
            pages.add_row(*told, escape(why))
        else:
            console.print("  ".join(told))
            console.print(Padding(escape(why), (0, 0, 0, 2)))
    if is_wide:
        console.print(pages)
