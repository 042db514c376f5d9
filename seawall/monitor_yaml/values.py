"""Readers of single values: a node in, a value out, or None with the problem reported."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar
from zoneinfo import available_timezones

from seawall.durations import parse_duration
from seawall.monitor_yaml.nodes import Node, Section, kind_in_words, kind_of, line_of, shown
from seawall.monitor_yaml.problems import Report, any_of, did_you_mean

T = TypeVar("T")

#: Nineteen digits are more than any field allows, and Python refuses to read thousands of them.
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]{0,18})")
_RATE = re.compile(r"\s*([0-9.]+)\s*(?:per|/)\s*(\S+)\s*")
_BOUND = re.compile(r"\s*(>=|<=|>|<)\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*")


@dataclass(frozen=True, slots=True)
class Value:
    """One node with the path it stands at, and where its problems go."""

    node: Node
    field: str
    report: Report

    @classmethod
    def of(cls, section: Section, name: str) -> Value | None:
        """Value of a key, or None when it is absent."""
        node = section.get(name)
        return None if node is None else cls(node, section.field(name), section.report)

    def refuse(self, expected: str) -> None:
        """Report that something else was expected here."""
        self.report.add(line_of(self.node), self.field, shown(self.node), expected)

    def refuse_kind(self, expected: str) -> None:
        """Report a wrong type."""
        self.refuse(f"{expected}, found {kind_in_words(self.node)}")


def text(value: Value) -> str | None:
    """Read text that is not empty. Numbers are taken as written; YAML's booleans and dates are refused."""
    kind = kind_of(value.node)
    if kind == "bool":
        value.refuse(f'text, but YAML reads {value.node.value} as true or false; write "{value.node.value}"')
        return None
    if kind == "timestamp":
        value.refuse(f'text, but YAML reads {value.node.value} as a date; write "{value.node.value}"')
        return None
    if kind not in {"str", "int", "float"}:
        value.refuse_kind("text")
        return None
    if not value.node.value.strip():
        value.refuse("text that is not empty")
        return None
    return str(value.node.value)


def choice(value: Value, allowed: Collection[str]) -> str | None:
    """Read one of a few words."""
    if kind_of(value.node) in {"bool", "seq", "map"}:
        value.refuse_kind(any_of(allowed))
        return None
    word = str(value.node.value)
    if word not in allowed:
        value.refuse(f"{any_of(allowed)}{did_you_mean(word, allowed)}")
        return None
    return word


def flag(value: Value) -> bool | None:
    """Read true or false (YAML takes yes, no, on and off for those)."""
    if kind_of(value.node) != "bool":
        value.refuse_kind("true or false")
        return None
    return str(value.node.value).lower() in {"true", "yes", "on"}


def timezone(value: Value) -> str | None:
    """Read an IANA time zone."""
    name = text(value)
    if name is None:
        return None
    known = available_timezones() | {"UTC"}
    if name not in known:
        by_city = {zone.rpartition("/")[2]: zone for zone in sorted(known)}
        city = by_city.get(name.strip().replace(" ", "_").title(), name)
        value.refuse(f"an IANA time zone, such as Europe/Amsterdam or UTC{did_you_mean(city, known)}")
        return None
    return name


def whole(value: Value, least: int, most: int) -> int | None:
    """Read a whole number in a closed range."""
    expected = f"a whole number from {least} to {most}"
    if kind_of(value.node) != "int" or not _WHOLE.fullmatch(value.node.value):
        value.refuse_kind(expected)
        return None
    number = int(value.node.value)
    if not least <= number <= most:
        value.refuse(expected)
        return None
    return number


def share(value: Value, *, zero: bool, most: float = 1.0) -> float | None:
    """Read a number from 0 to 1, or to `most`; `zero` says whether 0 itself is allowed."""
    expected = f"a number from 0 to {most:g}" if zero else f"a number above 0 and at most {most:g}"
    try:
        number = float(value.node.value) if value.node.id == "scalar" else math.nan
    except ValueError:
        number = math.nan
    if kind_of(value.node) == "bool" or math.isnan(number):
        percent = isinstance(value.node.value, str) and value.node.value.strip().endswith("%")
        value.refuse(
            f"{expected}; write 10% as 0.1" if percent else f"{expected}, found {kind_in_words(value.node)}"
        )
        return None
    if number > most or number < 0 or (number == 0 and not zero):
        value.refuse(expected)
        return None
    return number


def duration(value: Value, least_us: int = 0) -> int | None:
    """Read a duration; returns microseconds. A bare 0 needs no unit."""
    if value.node.id != "scalar" or kind_of(value.node) == "bool":
        value.refuse_kind("one duration, such as 5m")
        return None
    try:
        microseconds = 0 if value.node.value == "0" else parse_duration(value.node.value)
    except ValueError as error:
        below = "0 or more, as " if value.node.value.strip().startswith("-") else ""
        value.refuse(f"{below}{error}")
        return None
    if microseconds < least_us:
        value.refuse("more than 0" if least_us == 1 else f"at least {_in_seconds(least_us)}")
        return None
    return microseconds


def _in_seconds(microseconds: int) -> str:
    return f"{microseconds / 1e6:g}s"


def items(value: Value, read: Callable[[Value], T | None], example: str) -> tuple[tuple[T, Value], ...]:
    """Read a list; returns what could be read, each with where it stands."""
    if kind_of(value.node) != "seq":
        value.refuse(f"a list, such as {example}, found {kind_in_words(value.node)}")
        return ()
    found = []
    for i, node in enumerate(value.node.value):
        entry = Value(node, f"{value.field}[{i}]", value.report)
        one = read(entry)
        if one is not None:
            found.append((one, entry))
    return tuple(found)


def rate(value: Value) -> tuple[float, int] | None:
    """Read ``1 per 30d``: (how many, microseconds)."""
    match = _RATE.fullmatch(value.node.value) if value.node.id == "scalar" else None
    if match is None:
        value.refuse("a number per duration, such as '1 per 30d'")
        return None
    try:
        many, period_us = float(match[1]), parse_duration(match[2])
    except ValueError as error:
        value.refuse(f"a number per duration, such as '1 per 30d': {error}")
        return None
    if not 0 < many < math.inf or period_us <= 0:
        value.refuse("more than 0 pages per a duration above 0; a budget of none would never page")
        return None
    return many, period_us


def bound(value: Value, *, higher_is_better: bool) -> tuple[str, float] | None:
    """Read ``>= 0.80``: (comparison, bound)."""
    good = ">=" if higher_is_better else "<="
    match = _BOUND.fullmatch(value.node.value) if value.node.id == "scalar" else None
    try:
        number = float(match[2]) if match else math.nan
    except ValueError:
        number = math.nan
    if match is None or not math.isfinite(number):
        try:
            bare = f'; did you mean "{good} {float(value.node.value):g}"?'
        except (ValueError, TypeError):
            bare = ""
        value.refuse(f'a comparison and a number in quotes, such as "{good} 0.8"{bare}')
        return None
    if match[1][0] != good[0]:
        better = "larger" if higher_is_better else "smaller"
        value.refuse(
            f'"{good} {number:g}"; this metric is better when {better}, so that is what can be promised'
        )
        return None
    return match[1], number
