"""Show the registry to a person (tables) or to a program (JSON)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.core.registry import RegistryView
    from streams.core.rollback_steps import RollbackStep

_STYLES = {"production": "bold green", "archived": "dim"}


def said(arguments: argparse.Namespace, record: Mapping[str, Any], sentence: str) -> None:
    """Print what was written: the record with ``--json``, otherwise a sentence."""
    print(json.dumps(record) if arguments.json else sentence)


def versions(
    arguments: argparse.Namespace,
    registry: RegistryView,
    models: Sequence[str],
    live: Sequence[RollbackStep],
) -> int:
    """Print every version with its stage, and the rollbacks that are under way."""
    rows = [
        {
            "model": model,
            "version": state.version,
            "stage": state.stage,
            "promoted": _time(state.promoted_us),
            "rolled_back": _time(state.rolled_back_us),
            "parent": state.parent,
            "lineage": dict(state.lineage),
        }
        for model in models
        for state in registry.versions(model).values()
    ]
    under_way = [step.to_record(0) for step in live]
    if arguments.json:
        print(json.dumps({"versions": rows, "rollbacks": under_way}))
        return 0
    _table(("model", "version", "stage", "promoted", "rolled_back", "parent"), rows)
    for step in live:
        what = f"{step.from_version} → {step.to_version} {step.state}"
        print(f"rollback {step.rollback_id} of {step.model}: {what}")
        if step.state == "requested":
            print(f"  {step.reason}\n  seawall registry approve|deny {step.model} {step.rollback_id}")
    return 0


def history(arguments: argparse.Namespace, registry: RegistryView) -> int:
    """Print who was in production from when to when, or at one time."""
    model = arguments.model
    if arguments.at is not None:
        version = registry.current(model, arguments.at)
        if arguments.json:
            print(json.dumps({"model": model, "at": _time(arguments.at), "version": version}))
        else:
            print(version or "nobody")
        return 0
    reigns = registry.history(model)
    ends = [*(reign.from_us for reign in reigns[1:]), None] if reigns else []
    rows = [
        {"version": reign.version, "from": _time(reign.from_us), "to": _time(end)}
        for reign, end in zip(reigns, ends, strict=True)
    ]
    if arguments.json:
        print(json.dumps({"model": model, "history": rows}))
    else:
        _table(("version", "from", "to"), rows)
    return 0


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        cells = [escape(str(row[c])) if row[c] is not None else "[dim]–[/]" for c in columns]
        table.add_row(*cells, style=_STYLES.get(str(row.get("stage")), ""))
    Console().print(table)


def _time(at_us: int | None) -> str | None:
    if at_us is None:
        return None
    return (
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_us)).isoformat().replace("+00:00", "Z")
    )
