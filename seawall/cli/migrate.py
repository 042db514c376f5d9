"""``seawall migrate``: bring the store's tables up to date."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from seawall.settings import Settings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "migrate", help="bring the store's tables up to date", description=run.__doc__
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be applied, change nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Apply the numbered SQL files that SEAWALL_STORE_DATABASE lacks, creating the database if need be."""
    from streams.io.migrate import migrate

    outcome = migrate(settings, is_dry_run=arguments.dry_run)
    if arguments.json:
        print(json.dumps(asdict(outcome)))
        return 0
    verb = "would apply" if outcome.is_dry_run else "applied"
    for name in outcome.applied:
        print(f"{verb} {name}")
    print(f"database {outcome.database!r} is at version {outcome.version}")
    return 0
