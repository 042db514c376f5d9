"""The ``seawall`` command. Each command is a module of this package with `add_parser` and `run`.

Only the module of the command that was asked for is imported, and it imports the service only when run: the
base install, which lacks the service, can show its help, and ``seawall check`` starts quickly.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from seawall.errors import ConfigError, SeawallError
from seawall.settings import Settings

#: Module names under `seawall.cli` and what each is for, in the order of ``seawall --help``.
COMMANDS: dict[str, str] = {
    "up": "start a broker, a store, the tables, the topics and the workers on this machine",
    "down": "stop what `seawall up` started",
    "status": "show models, lag, last windows and open alarms",
    "alarms": "list alarms, and tell the whole story of one",
    "worker": "run one worker",
    "migrate": "bring the store's tables and the broker's topics up to date",
    "baseline": "build and publish the reference that a version is compared with",
    "monitor": "publish or show a model's monitor",
    "check": "check monitor files and settings without running anything",
    "compare": "compare two data files, or a data file with a baseline, once",
    "backtest": "run a monitor over history: what would have paged, when and why",
    "registry": "announce versions and decide about rollbacks",
    "dlq": "look at what could not be read, send it again, let a stopped partition go on",
    "dashboards": "publish the Grafana dashboards",
}


class Command(Protocol):
    """What a module of this package offers."""

    def add_parser(self, commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the command's parser and set its defaults to ``run=run``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 fine, 1 a failure said in words, 2 a usage error)."""
    argv = sys.argv[1:] if argv is None else list(argv)
    asked = next((word for word in argv if not word.startswith("-")), "")
    parser = argparse.ArgumentParser(
        prog="seawall", description="A monitor for machine-learning models in production."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    try:
        for name, purpose in COMMANDS.items():
            if name == asked:
                _load(name).add_parser(commands)
            else:
                commands.add_parser(name, help=purpose)
        arguments = parser.parse_args(argv)
        settings = Settings.from_env(os.environ)
        return int(arguments.run(arguments, settings) or 0)
    except SeawallError as error:
        print(f"seawall: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _load(name: str) -> Command:
    module = f"seawall.cli.{name}"
    try:
        return cast(Command, importlib.import_module(module))
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        msg = f"command: {name!r} is not part of this installation"
        raise ConfigError(msg) from error
