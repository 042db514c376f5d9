"""``seawall registry``: announce versions, say who was in production when, and decide about rollbacks.

Everything is an event on the topics ``registry`` and ``rollbacks``; what the commands show is folded from
them the way the workers fold them.
"""

from __future__ import annotations

import argparse
import getpass
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from seawall.bus import Record, append_records, read_records
from seawall.cli import registry_view as show
from seawall.errors import ConfigError
from seawall.settings import Settings

if TYPE_CHECKING:
    from streams.core.registry import Action, RegistryView
    from streams.core.rollback import RollbackDesk
    from streams.core.rollback_steps import RollbackState

Run = Callable[[argparse.Namespace, Settings], int]


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser("registry", help="announce versions and decide about rollbacks")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, run: Run, said: str, *positional: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=said, description=run.__doc__)
        for argument in positional:
            made.add_argument(argument.lower().strip("?"), **_nargs(argument))
        made.add_argument("--json", action="store_true", help="print JSON")
        made.set_defaults(run=run)
        return made

    def writes(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("--reason", default="", help="for whoever reads the history")
        made.add_argument("--actor", default=None, metavar="NAME", help="who decided (default: the user)")
        return made

    def dated(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("--at", type=_time_us, metavar="TIME", help="ISO 8601, naive is UTC (default: now)")
        return writes(made)

    made = dated(action("register", register, "announce a version", "MODEL", "VERSION"))
    made.add_argument("--parent", metavar="VERSION", help="version that this one was derived from")
    made.add_argument("--lineage", action="append", default=[], type=_pair, metavar="KEY=VALUE")
    dated(action("promote", promote, "put a version into production", "MODEL", "VERSION"))
    dated(action("archive", archive, "take a version out of service for good", "MODEL", "VERSION"))
    made = dated(action("rollback", rollback, "go back to an earlier version", "MODEL"))
    made.add_argument("--to", metavar="VERSION", help="default: the last good version")
    writes(action("approve", approve, "approve a rollback that Seawall asks for", "MODEL", "ROLLBACK?"))
    writes(action("deny", deny, "deny a rollback that Seawall asks for", "MODEL", "ROLLBACK?"))
    action("list", list_versions, "list versions, their stages and rollbacks", "MODEL?")
    made = action("history", history, "say which version was in production when", "MODEL")
    made.add_argument("--at", type=_time_us, metavar="TIME", help="ISO 8601, naive is UTC")


def register(arguments: argparse.Namespace, settings: Settings) -> int:
    """Announce a version of a model. Announcing it again adds to its lineage."""
    return _write_event(arguments, settings, "registered")


def promote(arguments: argparse.Namespace, settings: Settings) -> int:
    """Put a registered version into production, in place of the one that is there."""
    return _write_event(arguments, settings, "promoted")


def archive(arguments: argparse.Namespace, settings: Settings) -> int:
    """Take a version out of service for good: no rollback goes back to it."""
    return _write_event(arguments, settings, "archived")


def rollback(arguments: argparse.Namespace, settings: Settings) -> int:
    """Ask for a rollback and approve it at once; a worker carries it out unless production moved on."""
    from streams.core.rollback_steps import first_step

    model, registry = arguments.model, _registry(settings)
    current = registry.current(model)
    target = arguments.to or registry.last_good(model)
    if current is None:
        msg = f"model: {model!r} has no version in production"
        raise ConfigError(msg)
    if target is None:
        msg = f"model: {model!r} has no good version before {current}; name one with --to"
        raise ConfigError(msg)
    _require(registry, model, target)
    live = _desk(read_records(settings, "rollbacks"), model)[0].live
    if live:
        msg = f"rollback: {live.rollback_id} of {model!r} is {live.state}; one at a time"
        raise ConfigError(msg)
    now_us, ts = _now_us(), _dated(arguments, registry, model)
    actor = _actor(arguments)
    asked = first_step(
        model,
        current,
        target,
        f"manual-{ts}",
        state="requested",
        mode="approve",
        ts=ts,
        reason=arguments.reason or "by hand",
        actor=actor,
    )
    steps = [asked, asked.then("approved", ts, arguments.reason or "by hand", actor)]
    append_records(settings, "rollbacks", model, [s.to_record(now_us) for s in steps])
    show.said(
        arguments, steps[-1].to_record(now_us), f"rollback {asked.rollback_id}: {current} → {target} approved"
    )
    return 0


def approve(arguments: argparse.Namespace, settings: Settings) -> int:
    """Approve the rollback that Seawall asks for; a worker carries it out."""
    return _answer(arguments, settings, "approved")


def deny(arguments: argparse.Namespace, settings: Settings) -> int:
    """Deny the rollback that Seawall asks for; it is not asked again for the same alarm."""
    return _answer(arguments, settings, "denied")


def list_versions(arguments: argparse.Namespace, settings: Settings) -> int:
    """List the versions of a model, or of all, with their stages, and the rollback that is under way."""
    registry = _registry(settings)
    models = [arguments.model] if arguments.model else registry.models
    log = read_records(settings, "rollbacks")
    live = [step for model in models if (step := _desk(log, model)[0].live)]
    return show.versions(arguments, registry, models, live)


def history(arguments: argparse.Namespace, settings: Settings) -> int:
    """Say which version was in production, from when to when; with --at, which one it was at that time."""
    return show.history(arguments, _registry(settings))


def _write_event(arguments: argparse.Namespace, settings: Settings, action: Action) -> int:
    from streams.core.registry import make_event

    model, version, registry = arguments.model, arguments.version, _registry(settings)
    current = registry.current(model)
    if action != "registered":
        _require(registry, model, version)
    if action == "promoted" and version == current:
        show.said(
            arguments, {"model": model, "version": version}, f"{model} {version} is in production already"
        )
        return 0
    event = make_event(
        model,
        version,
        action,
        _dated(arguments, registry, model),
        parent=getattr(arguments, "parent", None),
        replaces=current if action == "promoted" else None,
        lineage=dict(getattr(arguments, "lineage", [])),
        actor=_actor(arguments),
        reason=arguments.reason,
    )
    append_records(settings, "registry", model, [event])
    registry.observe(event)
    said = f"{model} {version} {action}; in production: {registry.current(model) or 'nobody'}"
    show.said(arguments, event, said)
    return 0


def _answer(arguments: argparse.Namespace, settings: Settings, state: RollbackState) -> int:
    desk, emitted_us = _desk(read_records(settings, "rollbacks"), arguments.model)
    step = desk.latest(arguments.rollback) if arguments.rollback else desk.live
    if step is None:
        which = arguments.rollback or "under way"
        msg = f"rollback: {arguments.model!r} has none that is {which}"
        raise ConfigError(msg)
    if step.state != "requested":
        msg = f"rollback: {step.rollback_id} is {step.state} already"
        raise ConfigError(msg)
    now_us = _now_us()
    # Event time passes as wall time does since the request, be it of today or of a replayed year.
    ts = step.ts + max(now_us - emitted_us.get(step.rollback_id, now_us), 0)
    answer = step.then(state, ts, arguments.reason or "by hand", _actor(arguments))
    append_records(settings, "rollbacks", arguments.model, [answer.to_record(now_us)])
    said = f"rollback {step.rollback_id}: {step.from_version} → {step.to_version} {state}"
    show.said(arguments, answer.to_record(now_us), said)
    return 0


def _registry(settings: Settings) -> RegistryView:
    from streams.core.registry import RegistryView

    view = RegistryView()
    for event in read_records(settings, "registry"):
        view.observe(event)
    return view


def _desk(log: list[Record], model: str) -> tuple[RollbackDesk, dict[str, int]]:
    """Return a model's rollbacks, and when each one's latest step was sent."""
    from streams.core.rollback import RollbackDesk

    desk, emitted_us = RollbackDesk(model), {}
    for record in log:
        if record["model"] == model and desk.on_step(record):
            emitted_us[record["rollback_id"]] = record["emitted_us"]
    return desk, emitted_us


def _require(registry: RegistryView, model: str, version: str) -> None:
    known = registry.versions(model)
    if version not in known:
        msg = f"version: {version!r} of {model!r} is not registered, known are: {', '.join(known) or 'none'}"
        raise ConfigError(msg)


def _dated(arguments: argparse.Namespace, registry: RegistryView, model: str) -> int:
    """Return the time asked for; otherwise now, or later if need be for the event to take effect."""
    if arguments.at is not None:
        return int(arguments.at)
    last_us = registry.last_us(model)
    return _now_us() if last_us is None else max(_now_us(), last_us + 1)


def _actor(arguments: argparse.Namespace) -> str:
    if arguments.actor is not None:
        return str(arguments.actor)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def _now_us() -> int:
    return time.time_ns() // 1000


def _time_us(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is no time, expected ISO 8601 such as 2026-01-31T12:00:00Z"
        raise argparse.ArgumentTypeError(msg) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        msg = f"{text!r} is not KEY=VALUE"
        raise argparse.ArgumentTypeError(msg)
    return name, value


def _nargs(argument: str) -> dict[str, Any]:
    return {"metavar": argument.strip("?"), **({"nargs": "?"} if argument.endswith("?") else {})}
