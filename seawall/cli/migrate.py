"""``seawall migrate``: bring the store's tables and the broker's topics up to date."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from seawall.settings import Settings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "migrate", help="bring the store's tables and the broker's topics up to date", description=run.__doc__
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be applied, change nothing")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    parser.add_argument("--no-topics", action="store_true", help="leave the broker's topics alone")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Apply the numbered SQL files that SEAWALL_STORE_DATABASE lacks, and create the topics that are missing."""
    from streams.io.migrate import migrate
    from streams.io.topics import create_topics, how_to_stamp

    outcome = migrate(settings, is_dry_run=arguments.dry_run)
    created = None if arguments.dry_run or arguments.no_topics else create_topics(settings)
    if arguments.json:
        topics = {
            "topics_created": created.created if created else [],
            "topics_stamped_by_clients": created.stamped_by_clients if created else [],
        }
        print(json.dumps(asdict(outcome) | topics))
        return 0
    for topic in created.created if created else ():
        print(f"created topic {topic}")
    for topic in created.stamped_by_clients if created else ():
        print(f"warning: {how_to_stamp(topic)}", file=sys.stderr)
    verb = "would apply" if outcome.is_dry_run else "applied"
    for name in outcome.applied:
        print(f"{verb} {name}")
    print(f"database {outcome.database!r} is at version {outcome.version}")
    return 0
