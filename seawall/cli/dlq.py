"""``seawall dlq``: look at what could not be read, send it again, let a stopped partition go on."""

from __future__ import annotations

import argparse
import getpass
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from seawall.bus import append_records, read_records
from seawall.cli import dlq_view as show
from seawall.cli.dlq_reader import UNANSWERED, Reader
from seawall.dead_letters import Letter, each_value, read_letters, replay
from seawall.durations import parse_duration
from seawall.errors import ConfigError
from seawall.settings import Settings

Run = Callable[[argparse.Namespace, Settings], int]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("dlq", help="look at what could not be read, and send it again")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, run: Run, said: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=said, description=run.__doc__)
        made.add_argument("--json", action="store_true", help="print JSON")
        made.set_defaults(run=run)
        return made

    def filtered(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("--topic", help="only those of this topic, such as predictions")
        made.add_argument("--reason", help="only those with this reason, such as unknown_schema")
        made.add_argument(
            "--since",
            type=_since_us,
            metavar="TIME",
            help="only those seen since: a duration such as 2h, or ISO 8601",
        )
        return made

    filtered(
        action("list", list_letters, "count dead letters by topic and reason, and name stopped partitions")
    )
    made = action("show", show_letter, "show one dead letter")
    made.add_argument("letter", metavar="TOPIC/PARTITION/OFFSET")
    made = filtered(action("replay", replay_letters, "send dead letters to where they came from"))
    made.add_argument("letters", nargs="*", metavar="TOPIC/PARTITION/OFFSET", help="only these")
    made.add_argument(
        "--dry-run", action="store_true", help="say what would become of them, and send nothing"
    )
    made.add_argument("--force", action="store_true", help="also those that cannot be read here and now")
    made.add_argument(
        "--uncertain", action="store_true", help="also those that a killed replay may have sent"
    )
    made = action("resume", resume, "let a stopped partition go on: what cannot be read is set aside")
    made.add_argument("topic", metavar="TOPIC")
    made.add_argument("partition", metavar="PARTITION", type=int)


def list_letters(arguments: argparse.Namespace, settings: Settings) -> int:
    """Count dead letters by topic and reason: how many wait, how many were replayed, where to look."""
    letters = [x for x in read_letters(settings) if _is_meant(arguments, x)]
    held = [r for r in _last_holds(settings).values() if r["state"] == "held"]
    return show.groups(arguments, letters, held)


def show_letter(arguments: argparse.Namespace, settings: Settings) -> int:
    """Show one dead letter: where it was, why it is dead, its bytes, and what reading it now would give."""
    found = [x for x in read_letters(settings) if arguments.letter in (x.place, x.key)]
    if not found:
        msg = f"letter: {arguments.letter!r} is not among the dead letters; expected TOPIC/PARTITION/OFFSET"
        raise ConfigError(msg)
    with Reader(settings) as reader:
        return show.letters(
            arguments, [(x, value, *reader.read(x, value)) for x, value in each_value(settings, found)]
        )


def replay_letters(arguments: argparse.Namespace, settings: Settings) -> int:
    """Send dead letters to the topics they came from, with the bytes and keys they had.

    Each is sent once: a second replay passes over what the first one sent. Letters that would be dead again are left
    where they are. So are rows of a frame of which other rows were counted, for these would be counted twice, and
    letters whose bytes were too many for the topic.
    """
    meant = [x for x in read_letters(settings) if _is_meant(arguments, x)]
    places = set(arguments.letters)
    unknown = places - {x.place for x in meant}
    if unknown:
        msg = f"letters: {', '.join(sorted(unknown))} not among the dead letters that were asked for"
        raise ConfigError(msg)
    meant = [x for x in meant if not places or x.place in places]
    outcomes: dict[str, int] = {}
    open_ones: list[Letter] = []
    for letter in meant:
        if letter.status == "replayed" or (letter.status == "uncertain" and not arguments.uncertain):
            _count(outcomes, letter.status)
        elif not letter.is_settled and not arguments.force:
            _count(outcomes, "unsettled")
        elif letter.is_partial:
            _count(outcomes, "partial")
        elif letter.is_buried:
            _count(outcomes, "buried")
        else:
            open_ones.append(letter)

    def readable(reader: Reader) -> Iterator[tuple[Letter, bytes]]:
        for letter, value in each_value(settings, open_ones):
            reason, _ = reader.read(letter, value)
            _count(outcomes, _outcome(reason))
            if not reason or arguments.force:
                yield letter, value

    with Reader(settings) as reader:
        found = readable(reader)
        sent, refused = (sum(1 for _ in found), []) if arguments.dry_run else replay(settings, found)
    for _ in refused:
        _count(outcomes, "too large")
    return show.replayed(arguments, sent, outcomes)


def _outcome(reason: str) -> str:
    if not reason:
        return "readable"
    return reason if reason == UNANSWERED else f"dead again: {reason}"


def resume(arguments: argparse.Namespace, settings: Settings) -> int:
    """Let a partition that was stopped go on.

    Bad records that are in it now are accepted: they become dead letters like any other. What comes later is judged
    anew.
    """
    from streams.core.holds import Hold, alarm_step
    from streams.io.offsets import end_offsets

    record = _last_holds(settings).get((arguments.topic, arguments.partition))
    if record is None or record["state"] != "held":
        msg = f"partition: {arguments.topic}/{arguments.partition} is not stopped"
        raise ConfigError(msg)
    hold = Hold.from_record(record)
    place = (settings.topic(arguments.topic), arguments.partition)
    end = max(end_offsets(settings, [place])[place], hold.passed_at + 1)
    now_us = time.time_ns() // 1000
    freed = hold.resumed(end, _actor(), now_us)
    step = alarm_step(freed)
    # The alarm first: if this is cut short, the partition is still stopped, and this can be said again.
    append_records(settings, "alarms", step.alarm_id, [step.to_record(now_us)])
    append_records(settings, "holds", freed.key, [freed.to_record()])
    return show.resumed(arguments, freed)


def _last_holds(settings: Settings) -> dict[tuple[str, int], dict[str, object]]:
    return {(r["topic"], r["partition"]): r for r in read_records(settings, "holds")}


def _is_meant(arguments: argparse.Namespace, letter: Letter) -> bool:
    return (
        arguments.topic in (None, letter.topic)
        and arguments.reason in (None, letter.reason)
        and (arguments.since is None or letter.seen_us >= arguments.since)
    )


def _count(outcomes: dict[str, int], outcome: str) -> None:
    outcomes[outcome] = outcomes.get(outcome, 0) + 1


def _actor() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _since_us(text: str) -> int:
    try:
        return time.time_ns() // 1000 - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is no time, expected a duration such as 2h or ISO 8601 such as 2026-01-31T12:00:00Z"
        raise argparse.ArgumentTypeError(msg) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


__all__: Sequence[str] = ("add_parser",)
