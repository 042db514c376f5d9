"""The ``seawall`` command. Each command is a module of this package with `add_parser` and `run`.

Commands are found by name (`COMMANDS`), imported only to build their parser, and import the service only when run.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from seawall.errors import SeawallError
from seawall.settings import Settings

#: Module names under `seawall.cli`, in the order of ``seawall --help``.
COMMANDS: tuple[str, ...] = ("up", "down", "status", "worker", "migrate", "baseline", "monitor", "check", "registry", "dashboards")


class Command(Protocol):
    """What a module of this package offers."""

    def add_parser(self, commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
        """Add the command's parser and set its defaults to ``run=run``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 fine, 1 a failure said in words, 2 a usage error)."""
    parser = argparse.ArgumentParser(prog="seawall", description="A monitor for machine-learning models in production.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = cast(Command, importlib.import_module(f"seawall.cli.{name}"))
        module.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        settings = Settings.from_env(os.environ)
        return int(arguments.run(arguments, settings) or 0)
    except SeawallError as error:
        print(f"seawall: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
