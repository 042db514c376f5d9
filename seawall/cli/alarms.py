"""``seawall alarms``: which alarms there are, and the whole story of one, with before and after."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from seawall.settings import Settings

if TYPE_CHECKING:
    from streams.io.alarms import AlarmLife

_COLOURS = {"critical": "red", "error": "red", "warning": "yellow"}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("alarms", help="list alarms, and tell the whole story of one")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list open alarms", description=list_alarms.__doc__)
    listing.add_argument("--model", default="", metavar="MODEL", help="only of this model")
    listing.add_argument("--all", action="store_true", help="resolved ones too")
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (default: 100)")
    listing.set_defaults(run=list_alarms)
    showing = actions.add_parser("show", help="tell the whole story of one", description=show.__doc__)
    showing.add_argument("alarm", metavar="ID", help="its id, or the beginning of it")
    showing.set_defaults(run=show)
    for each in (listing, showing):
        each.add_argument("--data-dir", help="the folder that `seawall up` runs in (SEAWALL_DATA_DIR)")
        each.add_argument("--json", action="store_true", help="print JSON")


def list_alarms(arguments: argparse.Namespace, settings: Settings) -> int:
    """List alarms, open ones first. Those that another speaks for stand below it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    from streams.io.alarms import read_alarms

    found = read_alarms(
        _store(arguments, settings), model=arguments.model, resolved=arguments.all, limit=arguments.limit
    )
    if arguments.json:
        print(json.dumps(found))
        return 0
    if not found:
        print("no alarm is open" if not arguments.all else "there has been no alarm")
        return 0
    console = Console(highlight=False)
    speakers = {a["alarm_id"] for a in found}
    first = [a for a in found if _speaker(a) == a["alarm_id"] or _speaker(a) not in speakers]
    for each in first:
        members = [a for a in found if a is not each and _speaker(a) == each["alarm_id"]]
        for alarm, mark in [(each, ""), *((m, "└ ") for m in members)]:
            colour = "green" if alarm["state"] == "resolved" else _COLOURS.get(alarm["severity"], "blue")
            # No table: a summary is a sentence, and a sentence in a narrow column is unreadable.
            model = escape(f"{alarm['model']} {alarm['version']}".strip())
            began = alarm["onset"] or alarm["opened"]
            console.print(
                f"{mark}{escape(alarm['alarm_id'])} [{colour}]{alarm['state']}[/] {model} [dim]since {began}[/]",
                soft_wrap=True,
            )
            console.print(Padding(escape(alarm["summary"]), (0, 0, 0, 2 + len(mark))))
    return 0


def show(arguments: argparse.Namespace, settings: Settings) -> int:
    """Tell what is known of one alarm: since when, with what, where, the columns with before and after, its steps."""
    from streams.io.alarms import read_alarm

    life = read_alarm(_store(arguments, settings), arguments.alarm)
    if arguments.json:
        print(json.dumps({"steps": life.steps, "told": life.told}))
    else:
        _show(life)
    return 0


def _store(arguments: argparse.Namespace, settings: Settings) -> Settings:
    from seawall.cli.status import of_running_stack

    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
    return of_running_stack(replace(settings, data_dir=arguments.data_dir or settings.data_dir))


def _speaker(alarm: dict[str, Any]) -> str:
    return str(alarm["incident_id"] or alarm["alarm_id"])


def _show(life: AlarmLife) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    last, told = life.last, life.evidence
    colour = "green" if last["state"] == "resolved" else _COLOURS.get(last["severity"], "blue")
    console.print(f"[bold {colour}]{last['state']}[/] {escape(last['summary'])}", soft_wrap=True)
    if told["story"]:
        console.print(escape(told["story"]), soft_wrap=True)
    lines = {
        "began": told["onset"],
        "seen since": last["opened"],
        "window": f"{told['window_start']} to {told['window_end']}, {told['rows']:,} rows",
        "at fault": f"{last['attribution']}  {last['attribution_why']}".strip(),
        "severity": last["severity"],
        "part of": _speaker(last) if _speaker(last) != last["alarm_id"] else "",
    }
    for name, value in lines.items():
        if value:
            console.print(f"[dim]{name}[/] {escape(str(value))}", soft_wrap=True)
    for each in told["context"].get("coincides", []):
        console.print(f"[dim]at the same time[/] {each['kind']}: {escape(each['what'])}", soft_wrap=True)
    for feature in told["features"]:
        # No table: in 80 columns it would cut the numbers.
        for n, line in enumerate(_lines(feature)):
            console.print(
                ("" if n == 0 else "  ") + escape(line), soft_wrap=True, style=None if n == 0 else "dim"
            )
    for member in told["context"].get("members", []):
        state = "open" if member["is_open"] else "resolved"
        where = " ".join(filter(None, (member["kind"], member["segment"], member["version"])))
        console.print(f"[dim]speaks for[/] {member['alarm_id']} {state}: {escape(where)}", soft_wrap=True)
    for step in life.steps:
        console.print(f"[dim]{step['updated']} {step['state']}[/] {escape(step['summary'])}", soft_wrap=True)
    for row in life.told:
        console.print(
            f"[dim]{row['sent']} told[/] {escape(row['receiver'])} of revision {row['revision']}: {row['outcome']}",
            soft_wrap=True,
        )


def _lines(feature: dict[str, Any]) -> list[str]:
    """Return what is known of one column: its numbers, what they mean in words, and its bars before and after."""
    from seawall.sparks import spark_pair
    from streams.core.words import SILENCE, silence_text, value_text

    name = (
        feature["name"]
        if feature["role"] in {"feature", "segment"}
        else f"{feature['name']} ({feature['role']})"
    )
    if feature["statistic"] == SILENCE:
        return [f"{name}: {silence_text(feature['value'], feature['limit'], feature['chance'])}"]
    value, limit, chance = (
        value_text(feature["statistic"], feature[n]) for n in ("value", "limit", "chance")
    )
    weight = feature.get("importance")
    of_model = "" if weight is None else f", importance {weight:.2g}"
    lines = [f"{name}: {feature['statistic']} {value} (limit {limit}, chance {chance}){of_model}"]
    if feature["detail"]:
        lines.append(str(feature["detail"]))
    before, after = spark_pair(feature.get("before", ()), feature.get("after", ()))
    return [*lines, f"{before} → {after}"] if before else lines
