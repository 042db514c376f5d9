"""Show dead letters to a person (tables) or to a program (JSON)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from seawall.dead_letters import Letter

if TYPE_CHECKING:
    from streams.core.holds import Hold

_SAMPLES = 3
_SHOWN_BYTES = 512


def groups(
    arguments: argparse.Namespace, letters: Iterable[Letter], held: Sequence[Mapping[str, Any]]
) -> int:
    """Print dead letters by topic and reason, and the partitions that are stopped."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for x in letters:
        group = found.setdefault(
            (x.topic, x.reason),
            {
                "topic": x.topic,
                "reason": x.reason,
                "letters": 0,
                "events": 0,
                "waiting": 0,
                "replayed": 0,
                "uncertain": 0,
                "first_us": x.seen_us,
                "last_us": x.seen_us,
                "samples": [],
            },
        )
        group["letters"] += 1
        group["events"] += x.events
        group[x.status] += 1
        group["first_us"], group["last_us"] = (
            min(group["first_us"], x.seen_us),
            max(group["last_us"], x.seen_us),
        )
        if len(group["samples"]) < _SAMPLES:
            group["samples"].append(f"{x.partition}/{x.offset}")
    rows = [group for _, group in sorted(found.items())]
    for group in rows:
        group["first_seen"], group["last_seen"] = _time(group.pop("first_us")), _time(group.pop("last_us"))
    if arguments.json:
        stopped = [
            {k: h[k] for k in ("topic", "partition", "offset", "bad", "records", "limit")} for h in held
        ]
        print(json.dumps({"groups": rows, "stopped": stopped}))
        return 0
    if rows:
        _table([_row(group) for group in rows])
    else:
        print("no dead letters")
    for h in held:
        print(
            f"{h['topic']}/{h['partition']} is stopped at offset {h['offset']}: {h['bad']} of {h['records']} records "
            f"cannot be read, such as {h['sample']}\n  seawall dlq resume {h['topic']} {h['partition']}"
        )
    return 0


def letters(arguments: argparse.Namespace, found: Sequence[tuple[Letter, bytes, str, object]]) -> int:
    """Print one record's dead letters, with the bytes and what reading them now gives."""
    shown = [
        {
            "letter": x.place,
            "topic_id": x.topic_id,
            "reason": x.reason,
            "detail": x.detail,
            "events": x.events,
            "partial": x.is_partial,
            "seen": _time(x.seen_us),
            "status": x.status,
            "replayed": _time(x.replayed_us) if x.replayed_us else None,
            "bytes": x.size_bytes,
            "sha256": x.sha256,
            "fingerprint": x.fingerprint,
            "schema_id": x.schema_id,
            "key": x.original_key.hex() if x.original_key is not None else None,
            "now": {"reason": reason, "detail": content} if reason else {"reads_as": content},
            "value": value.hex(),
        }
        for x, value, reason, content in found
    ]
    if arguments.json:
        print(json.dumps({"letters": shown}, default=str))
        return 0
    for record, (_, value, reason, content) in zip(shown, found, strict=True):
        for name in (
            "letter",
            "topic_id",
            "reason",
            "detail",
            "events",
            "seen",
            "status",
            "replayed",
            "bytes",
            "sha256",
            "fingerprint",
            "schema_id",
            "key",
        ):
            if record[name] not in (None, ""):
                print(f"{name:<12}{_plain(record[name])}")
        print(f"{'now':<12}{reason + ': ' if reason else 'reads as '}{_plain(content)}")
        if value:
            print(_dump(value[:_SHOWN_BYTES]))
        if len(value) > _SHOWN_BYTES:
            print(f"… and {len(value) - _SHOWN_BYTES} bytes more (--json has all)")
    return 0


def replayed(arguments: argparse.Namespace, sent: int, outcomes: Mapping[str, int]) -> int:
    """Print what a replay did, or would do."""
    if arguments.json:
        print(json.dumps({"dry_run": arguments.dry_run, "sent": sent, "outcomes": dict(outcomes)}))
        return 0
    print(f"{'would send' if arguments.dry_run else 'sent'} {sent}")
    for outcome, count in sorted(outcomes.items()):
        print(f"  {count} {_SAID.get(outcome, outcome)}")
    return 0


def resumed(arguments: argparse.Namespace, hold: Hold) -> int:
    """Print what a resumed partition accepts."""
    if arguments.json:
        print(json.dumps(hold.to_record()))
    else:
        print(
            f"{hold.key} goes on at offset {hold.offset}; bad records before {hold.accepted_before} are accepted"
        )
    return 0


_SAID = {
    "replayed": "sent before: passed over",
    "uncertain": "may have been sent by a replay that was cut short: passed over (--uncertain sends them)",
    "unsettled": "are not final: the next worker to start reads them again, or has done so (--force sends them)",
    "partial": "are rows of a frame whose other rows were counted: passed over, these would be counted twice",
    "buried": "are without their bytes, which were too many for the topic: passed over",
    "too large": "are more than their topic takes in one message: not sent, they wait",
    "registry_unavailable": "need the schema registry, which does not answer: passed over (--force sends them)",
}


def _dump(value: bytes) -> str:
    lines = []
    for at in range(0, len(value), 16):
        part = value[at : at + 16]
        text = "".join(chr(b) if 32 <= b < 127 else "." for b in part)
        lines.append(f"{at:08x}  {part.hex(' '):<47}  {text}")
    return "\n".join(lines)


def _plain(value: object) -> str:
    # A stranger's text must not move the cursor of the person who looks at it.
    return "".join(c if c.isprintable() else "·" for c in str(value))


def _row(group: Mapping[str, Any]) -> dict[str, str]:
    states = [f"{group[s]} {s}" for s in ("waiting", "replayed", "uncertain") if group[s]]
    first, last = (group[at][5:16].replace("T", " ") for at in ("first_seen", "last_seen"))
    return {
        "topic": group["topic"],
        "reason": group["reason"],
        "events": str(group["events"]),
        "letters": " ".join(states),
        "seen (UTC)": first if first == last else f"{first} to {last}",
        "samples": " ".join(group["samples"]),
    }


def _table(rows: Sequence[Mapping[str, str]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in rows[0]:
        table.add_column(column, no_wrap=column in {"topic", "reason", "events"})
    for row in rows:
        table.add_row(*(escape(_plain(cell)) for cell in row.values()))
    Console().print(table)


def _time(at_us: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
