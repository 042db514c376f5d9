"""Smallest effects on a command line: ``0.2``, ``missing=0.02`` or ``js=0.2,correlation=0.3``."""

from __future__ import annotations

from collections.abc import Mapping

from seawall.errors import ConfigError
from seawall.monitor_yaml import rules
from seawall.monitor_yaml.problems import any_of, did_you_mean

HELP = "0.2 (of the distance), or of a statistic: missing=0.02,correlation=0.3"


def read_effects(text: str) -> Mapping[str, float]:
    """Read effects by statistic; a number alone is of the Jensen-Shannon distance, ``js``.

    Raises
    ------
    ConfigError
        When a name or a number cannot be.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = part.rpartition("=")
        name = name.strip() if equals else "js"
        if name not in rules.EFFECTS:
            msg = f"--effect: {name!r}: expected {any_of(rules.EFFECTS)}{did_you_mean(name, rules.EFFECTS)}"
            raise ConfigError(msg)
        if name in found:
            msg = f"--effect: {text!r}: expected each statistic once, found {name} twice"
            raise ConfigError(msg)
        found[name] = _number(number, rules.EFFECTS[name])
    return found


def effects_text(effects: Mapping[str, float]) -> str:
    """Say effects as they would be written."""
    return ", ".join(f"{v:g}" if name == "js" else f"{name} {v:g}" for name, v in effects.items())


def _number(text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.0 < number <= most:
        msg = f"--effect: {text.strip()!r}: expected a number above 0 and at most {most:g}"
        raise ConfigError(msg)
    return number
