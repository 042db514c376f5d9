"""``seawall worker``: run one worker. Start more for more throughput; workers of one group share the work."""

from __future__ import annotations

import argparse

from seawall.settings import Settings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("worker", help="run one worker", description=run.__doc__)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run one worker until SIGTERM. It may be killed at any moment; nothing is lost or doubled."""
    del arguments
    from streams.app import run as run_worker

    return int(run_worker(settings))
