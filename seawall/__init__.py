"""Seawall: a monitor for machine-learning models in production.

The names below are loaded when they are first used, so that ``import seawall`` costs a product nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seawall.baseline import Baseline
    from seawall.build import build_baseline
    from seawall.client import Client
    from seawall.drift_report import DriftReport, compare
    from seawall.errors import (
        ConfigError,
        ContractError,
        SeawallError,
        Unavailable,
        UnknownSchema,
        WireError,
    )
    from seawall.monitor import MonitorSpec
    from seawall.monitor_yaml import MonitorError, parse_monitor
    from seawall.settings import Settings
    from seawall.tally import ClientStats
    from seawall.transport import InMemoryTransport, KafkaTransport, Transport
    from seawall.wrap import watch

__all__ = [
    "Baseline",
    "Client",
    "ClientStats",
    "ConfigError",
    "ContractError",
    "DriftReport",
    "InMemoryTransport",
    "KafkaTransport",
    "MonitorError",
    "MonitorSpec",
    "SeawallError",
    "Settings",
    "Transport",
    "Unavailable",
    "UnknownSchema",
    "WireError",
    "build_baseline",
    "compare",
    "parse_monitor",
    "watch",
]

_HOMES = {
    "Baseline": "baseline",
    "Client": "client",
    "ClientStats": "tally",
    "ConfigError": "errors",
    "ContractError": "errors",
    "DriftReport": "drift_report",
    "InMemoryTransport": "transport",
    "KafkaTransport": "transport",
    "MonitorError": "monitor_yaml",
    "MonitorSpec": "monitor",
    "SeawallError": "errors",
    "Settings": "settings",
    "Transport": "transport",
    "Unavailable": "errors",
    "UnknownSchema": "errors",
    "WireError": "errors",
    "build_baseline": "build",
    "compare": "drift_report",
    "parse_monitor": "monitor_yaml",
    "watch": "wrap",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'seawall' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"seawall.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
