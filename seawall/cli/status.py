"""``seawall status``: models, lag, last windows and open alarms, of any broker and store in the settings."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from typing import Any

from seawall.settings import Settings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "status",
        help="show models, lag, open alarms and what baselines are too short for",
        description=run.__doc__,
    )
    parser.add_argument("--data-dir", help="the folder that `seawall up` runs in (SEAWALL_DATA_DIR)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Show how it goes. Exit code 1 when the broker or the store does not answer."""
    # what it would log about a store that does not answer is said below, in one sentence
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())

    from streams.io.status import read_status

    settings = replace(settings, data_dir=arguments.data_dir or settings.data_dir)
    status = read_status(of_running_stack(settings))
    if arguments.json:
        print(json.dumps(status.to_json()))
    elif not status.is_reachable:
        print(f"nothing answers at {settings.broker} and {settings.store_url}; `seawall up` starts it")
    else:
        _show(status)
    return 0 if status.broker == "ok" and status.store == "ok" else 1


def of_running_stack(settings: Settings) -> Settings:
    """Follow a stack that runs on other ports, unless the settings name a broker or store themselves."""
    from streams.embedded.running import is_held, read_state

    defaults = Settings()
    if (settings.broker, settings.store_url) != (defaults.broker, defaults.store_url):
        return settings
    state = read_state(settings.data_path) if is_held(settings.data_path) else None
    if state is None:
        return settings
    there = Settings.from_env(state.settings)
    return replace(settings, broker=there.broker, store_url=there.store_url, topic_prefix=there.topic_prefix,
                   group=there.group, store_database=there.store_database)  # fmt: skip


def _show(status: Any) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    console = Console(highlight=False)
    for name, state in (("broker", status.broker), ("store", status.store)):
        if state != "ok":
            console.print(f"[red]{name}[/] ", end="")
            console.print(state, markup=False)
    models = Table(
        "model", "serving", "last window of", "ended", "open alarms", title="Models", title_justify="left"
    )
    for m in status.models:
        count = f"[red]{m.open_alarms}[/]" if m.open_alarms else "0"
        models.add_row(
            _plain(m.model), _plain(m.current_version or "–"), _plain(m.version), m.window_end, count
        )
    console.print(models if status.models else "No windows yet: send predictions and declare a monitor.")
    for note in status.notes:
        console.print(f"[dim]note[/] {_plain(note)}", soft_wrap=True)
    if status.alarms:
        console.print("[italic]Open alarms[/]")
        for a in status.alarms:
            of = _plain(f"{a.model} {a.version}".strip())
            since = f"[dim]since {a.onset or a.opened}[/]"
            console.print(f"[red]{a.severity}[/] {of} {since} {_plain(a.alarm_id)}", soft_wrap=True)
            console.print(Padding(_plain(a.summary), (0, 0, 0, 2)))
            if a.story:
                console.print(Padding(f"[dim]{_plain(a.story)}[/]", (0, 0, 0, 2)))
        console.print("[dim]`seawall alarms show ID` says more about one[/]")
    if status.lag:
        behind = ", ".join(f"{topic} {count}" for topic, count in status.lag.items())
        console.print(f"records not committed yet, those of chunks that still fill among them: {behind}")


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
