"""Folding the control topics into what every worker must know."""

from __future__ import annotations

from typing import Any, Protocol

from seawall.baseline import Baseline
from seawall.errors import SeawallError
from seawall.monitor_yaml import parse_monitor
from seawall.wire import decode
from streams.core.holds import Hold, HoldBook
from streams.core.layouts import Control
from streams.core.registry import RegistryView


class ControlState(Protocol):
    """Where the control topics are folded into."""

    control: Control
    registry: RegistryView
    rollback_steps: list[dict[str, Any]]
    holds: HoldBook


def apply_control(state: ControlState, topic: str, key: bytes, value: bytes | None) -> str | None:
    """Fold one record; returns what was wrong with it, when something was. Never raises for bad input."""
    try:
        if topic == "monitors":
            _monitor(state.control, key, value)
        elif topic == "baselines" and value:
            state.control.set_baseline(Baseline.from_bytes(value))
        elif topic == "registry" and value:
            state.registry.observe(decode(value, ("registry_event",))[1])
        elif topic == "holds" and value:
            state.holds.observe(Hold.from_record(decode(value, ("partition_hold",))[1]))
        elif topic == "rollbacks" and value:
            state.rollback_steps.append(decode(value, ("rollback",))[1])
    except (SeawallError, ValueError) as error:
        return f"{topic} {key.decode(errors='replace')}: {error}"
    return None


def _monitor(control: Control, key: bytes, value: bytes | None) -> None:
    record = decode(value, ("monitor",))[1] if value else None
    if record is None or record["deleted"]:
        control.drop_monitor(key.decode())
    else:
        control.set_monitor(parse_monitor(record["yaml"], file=f"monitor of {record['model']}"))
