"""The expander against the examples of the plugin's own documentation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dashboards.macros import ALL, Context, expand

AT = Context(
    datetime.fromtimestamp(1415792726, UTC),
    datetime.fromtimestamp(1447328726, UTC),
    20,
    {"one": "it's", "many": ("a", "b"), "all": (ALL,)},
)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("$__timeFilter(time)", "time >= toDateTime(1415792726) AND time <= toDateTime(1447328726)"),
        ("$__fromTime", "toDateTime(1415792726)"),
        ("$__toTime", "toDateTime(1447328726)"),
        ("$__interval_s", "20"),
        ("$__timeInterval(column)", "toStartOfInterval(toDateTime(column), INTERVAL 20 second)"),
        ("$__timeInterval(least(a, b))", "toStartOfInterval(toDateTime(least(a, b)), INTERVAL 20 second)"),
        ("$__conditionalAll(x IN (${many:singlequote}), $many)", "x IN ('a','b')"),
        ("$__conditionalAll(x IN (${all:singlequote}), $all)", "1=1"),
        ("$one and ${one:raw} and ${one:singlequote}", "it's and it's and 'it\\'s'"),
        ("IN ($many)", "IN ('a','b')"),
        ("match(x, '^a$')", "match(x, '^a$')"),
    ],
)
def test_macro_expands_as_documented(sql: str, expected: str) -> None:
    assert expand(sql, AT) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "$__unknown(x)",
        "$nobody",
        "${one:sqlstring}",
        "$__timeFilter(x",
        "$__timeFilter(a, b)",
        "$__timeTo(a)",
        "$__conditionalAll(1, ${one:raw})",
    ],
)
def test_what_the_plugin_would_leave_alone_is_refused(sql: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        expand(sql, AT)
