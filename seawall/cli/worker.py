"""``seawall worker``: run one worker. Start more for more throughput; workers of one group share the work."""

from __future__ import annotations

import argparse
import os

from seawall.settings import Settings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("worker", help="run one worker", description=run.__doc__)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run one worker until SIGTERM. It may be killed at any moment; nothing is lost or doubled."""
    del arguments
    # A worker is one process of several on its machine: linear algebra on every core would only get in their way.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    from streams.app import run as run_worker

    return int(run_worker(settings))
