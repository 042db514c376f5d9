"""Problems of a monitor file: each with its place, what stands there and what was expected."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from seawall.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `line` counts from 1; `value` is the text as written, empty when absent."""

    file: str
    line: int
    field: str
    value: str
    expected: str

    def __str__(self) -> str:
        """Render as compilers do, so that editors can jump to the place."""
        where = f"{self.file}:{self.line}: "
        field = f"{self.field}: " if self.field else ""
        stands = f"{self.value!r}: " if self.value else ""
        return f"{where}{field}{stands}expected {self.expected}"


class MonitorError(ConfigError):
    """A monitor file that cannot be used as written. `problems` holds everything found, in line order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class Report:
    """Collects problems while a file is read on."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def add(self, line: int, field: str, value: str, expected: str) -> None:
        """Note a problem."""
        shown = value if len(value) <= 80 else value[:77] + "..."
        self.problems.append(Problem(self.file, line, field, shown, expected))

    def in_order(self) -> list[Problem]:
        """Return the problems by line, each once."""
        return sorted(dict.fromkeys(self.problems), key=lambda p: p.line)


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """Return ``; did you mean …?`` for the nearest of `known`, or an empty string.

    Examples
    --------
    >>> did_you_mean("horizon", ["horizons", "pane"])
    '; did you mean horizons?'
    """
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(value.lower(), by_lower, 1, 0.6)
    near = near or [k for k in by_lower if len(value) > 2 and k.startswith(value.lower())]
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def any_of(words: Iterable[str], limit: int = 12) -> str:
    """Enumerate words for an expectation: ``a, b or c``.

    Examples
    --------
    >>> any_of(["a", "b", "c"])
    'a, b or c'
    """
    listed = list(words)
    if len(listed) > limit:
        return ", ".join(listed[:limit]) + f" … ({len(listed)} in all)"
    return " or ".join(filter(None, [", ".join(listed[:-1]), listed[-1] if listed else ""]))
