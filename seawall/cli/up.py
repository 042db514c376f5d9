"""``seawall up``: the whole stack on this machine, in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from dataclasses import replace
from typing import Any

from seawall.settings import Settings

_LOOK_EVERY_S = 0.2


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("up", help="start everything on this machine", description=run.__doc__)
    parser.add_argument("--data-dir", help="where data and logs go (SEAWALL_DATA_DIR)")
    parser.add_argument("--broker-port", type=int, help="SEAWALL_BROKER_PORT")
    parser.add_argument("--store-port", type=int, help="SEAWALL_STORE_PORT")
    parser.add_argument("--health-port", type=int, help="SEAWALL_HEALTH_PORT")
    parser.add_argument("--workers", type=int, default=1, help="how many workers to start (1)")
    parser.add_argument("--no-worker", action="store_true", help="start the broker and the store only")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object per event instead of words"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Start a broker, a store, the tables, the topics and the workers; Ctrl-C or SIGTERM stops them."""
    from seawall.errors import ConfigError
    from streams.embedded.page import HealthPage
    from streams.embedded.processes import check_port_free
    from streams.embedded.running import hold
    from streams.embedded.supervisor import Supervisor
    from streams.io.status import read_status

    if arguments.workers < 0:
        msg = f"--workers: {arguments.workers} is negative"
        raise ConfigError(msg)
    names = ("data_dir", "broker_port", "store_port", "health_port")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    settings = replace(settings, **given)
    printer = _Printer(arguments.json)
    supervisor = Supervisor(settings, 0 if arguments.no_worker else arguments.workers, printer.say)
    stop = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        del number, frame
        if stop.is_set():
            supervisor.kill()  # asked twice: at once, then
        stop.set()

    with hold(settings.data_path):
        previous = [(n, signal.signal(n, on_signal)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        # said before anything is started, since the page comes last
        check_port_free(settings.health_port, "health page", "SEAWALL_HEALTH_PORT (or --health-port)")
        page = HealthPage(settings.health_port, lambda: read_status(supervisor.settings))
        try:
            supervisor.start()
            page.start()
            printer.ready(supervisor.settings)
            while not stop.wait(_LOOK_EVERY_S):
                supervisor.watch()
        finally:
            printer.say("stop", "stopping")
            page.stop()
            supervisor.stop()
            for number, handler in previous:
                signal.signal(number, handler)
    return 0


class _Printer:
    """Says what happens, for a person or for a program."""

    _STYLES = {"ready": ("green", "✓"), "warn": ("yellow", "!"), "stop": ("dim", "·")}  # noqa: RUF012

    def __init__(self, is_json: bool) -> None:
        from rich.console import Console

        self._is_json = is_json
        self._console: Any = Console(highlight=False, soft_wrap=True)

    def say(self, kind: str, text: str) -> None:
        """Say one sentence."""
        if self._is_json:
            print(json.dumps({"event": kind, "text": text}), flush=True)
            return
        style, mark = self._STYLES[kind]
        self._console.print(f"[{style}]{mark}[/] ", end="")
        self._console.print(text, markup=False)

    def ready(self, settings: Settings) -> None:
        """Say where everything is, and how to go on."""
        places = {
            "broker": settings.broker,
            "store": settings.store_url,
            "health": f"http://127.0.0.1:{settings.health_port}",
            "data_dir": settings.data_dir,
        }
        if self._is_json:
            print(json.dumps({"event": "up", **places}), flush=True)
            return
        self._console.print(f"\n[bold green]Seawall is up.[/] Health page: [link]{places['health']}[/link]")
        self._console.print(
            "Ctrl-C stops it; `seawall status` in another terminal shows how it does.\n", markup=False
        )
