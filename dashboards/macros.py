"""What Grafana and its ClickHouse data source make of a panel's SQL, so that it can be run without Grafana.

The order is the plugin's own: ``$__conditionalAll`` and then the variables in the browser, the time macros in
the plugin's backend. Only what the panels use is here; anything else is refused, so that a macro which the
plugin would leave as it is does not pass for one that works. ``$__timeFrom`` and ``$__timeTo`` are left out on
purpose: before version 4.19 the plugin wrote a text in their place that ClickHouse does not read as a time.

References
----------
Section "Macros" of https://grafana.com/docs/plugins/grafana-clickhouse-datasource/latest/query-editor/ and
section "Advanced variable format" of
https://grafana.com/docs/grafana/latest/dashboards/variables/variable-syntax/.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

ALL = "$__all"
"""Value of a variable whose option *All* is chosen."""

Value = str | tuple[str, ...]

_CONDITIONAL = "$__conditionalAll"
_VARIABLE = re.compile(r"\$\{(?P<braced>\w+)(?::(?P<format>\w+))?\}|\$(?P<bare>(?!__)\w+)")
_MACRO = re.compile(r"\$__(?P<name>\w+)")


@dataclass(frozen=True)
class Context:
    """What a dashboard knows when it asks: its range, a panel's interval, and the chosen values."""

    start: datetime
    end: datetime
    interval_s: int = 60
    variables: Mapping[str, Value] = field(default_factory=dict)


def expand(sql: str, context: Context) -> str:
    """Return the SQL that reaches ClickHouse.

    Raises
    ------
    ValueError
        An unknown macro, variable or format, or parentheses that do not close.
    """
    return _expand_macros(_expand_variables(_expand_conditional(sql, context), context), context)


def _expand_conditional(sql: str, context: Context) -> str:
    """Replace the innermost first, as the plugin does."""
    while (at := sql.rfind(_CONDITIONAL + "(")) >= 0:
        arguments, after = _arguments(sql, at + len(_CONDITIONAL))
        name = re.fullmatch(r"\s*\$\{?(\w+)\}?\s*", arguments[-1])
        if len(arguments) != 2 or name is None:
            msg = f"{_CONDITIONAL}: expected a condition and a plain variable, got {arguments}"
            raise ValueError(msg)
        is_all = _value(name.group(1), context) in {ALL, (ALL,), "", ()}
        sql = sql[:at] + ("1=1" if is_all else arguments[0]) + sql[after:]
    return sql


def _expand_variables(sql: str, context: Context) -> str:
    def replaced(match: re.Match[str]) -> str:
        value = _value(match["braced"] or match["bare"], context)
        return _formatted(value, match["format"])

    return _VARIABLE.sub(replaced, sql)


def _value(name: str, context: Context) -> Value:
    if name not in context.variables:
        msg = f"${name}: there is no such variable"
        raise ValueError(msg)
    return context.variables[name]


def _formatted(value: Value, style: str | None) -> str:
    values = (value,) if isinstance(value, str) else value
    if style == "singlequote":
        return ",".join("'" + v.replace("'", "\\'") + "'" for v in values)
    if style == "raw":
        return ",".join(values)
    if style is None:
        # without a format the plugin quotes lists and leaves single values alone
        return values[0] if isinstance(value, str) else "'" + "','".join(values) + "'"
    msg = f"variable format {style!r} is not used here"
    raise ValueError(msg)


def _expand_macros(sql: str, context: Context) -> str:
    out, position = [], 0
    while match := _MACRO.search(sql, position):
        if match["name"] not in _MACROS:
            msg = f"$__{match['name']}: not a macro that is used here"
            raise ValueError(msg)
        takes, macro = _MACROS[match["name"]]
        arguments, after = _arguments(sql, match.end()) if takes else ([], match.end())
        if len(arguments) != takes:
            msg = f"$__{match['name']}: expected {takes} argument(s), received {len(arguments)}"
            raise ValueError(msg)
        out += [sql[position : match.start()], macro(context, *arguments)]
        position = after
    return "".join(out) + sql[position:]


def _arguments(sql: str, opening: int) -> tuple[list[str], int]:
    """Split the arguments in the parentheses at `opening`; also return where the text goes on."""
    if sql[opening : opening + 1] != "(":
        return [], opening
    found: list[str] = []
    depth, start = 0, opening + 1
    for position in range(opening, len(sql)):
        character = sql[position]
        if character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                return [*found, sql[start:position]], position + 1
        elif character == "," and depth == 1:
            found.append(sql[start:position])
            start = position + 1
    msg = f"parentheses do not close: {sql[opening : opening + 60]!r}"
    raise ValueError(msg)


def _seconds(at: datetime) -> str:
    return f"toDateTime({int(at.timestamp())})"


def _interval(context: Context) -> int:
    return max(context.interval_s, 1)


_Macro = Callable[..., str]
#: Name to (number of arguments, expansion).
_MACROS: Mapping[str, tuple[int, _Macro]] = {
    "fromTime": (0, lambda c: _seconds(c.start)),
    "toTime": (0, lambda c: _seconds(c.end)),
    "timeFilter": (1, lambda c, column: f"{column} >= {_seconds(c.start)} AND {column} <= {_seconds(c.end)}"),
    "timeInterval": (
        1,
        lambda c, column: f"toStartOfInterval(toDateTime({column}), INTERVAL {_interval(c)} second)",
    ),
    "interval_s": (0, lambda c: str(_interval(c))),
}
