"""What an HTTP request asks the store: the SQL, and for an INSERT where the SQL ends and the data begins.

ClickHouse's own parser knows; it is not reachable before the data is handed over, so this reads just enough
of the text to find a top-level ``FORMAT`` or ``VALUES`` in an INSERT. Strings, quoted names and comments are
skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    rb"""
    (?P<skip>\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)
  | (?P<quoted>'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
  | (?P<word>[A-Za-z_][A-Za-z_0-9]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
#: An INSERT's head is short; past this the text is data and not worth reading token by token.
_HEAD_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class Insert:
    """An INSERT whose data travels beside the SQL: ``head`` has neither FORMAT nor data."""

    head: str
    data_format: str
    data: bytes


def split_insert(text: bytes, default_format: str = "Values") -> Insert | None:
    """Split an INSERT into its statement, its format and the data that follow.

    Returns None for anything else: a SELECT, a CREATE, ``INSERT … SELECT``, ``INSERT … FROM INFILE``.
    Without FORMAT and VALUES the whole text is the head and the data is to follow in `default_format`.
    """
    words_seen = 0
    depth = 0
    position = 0
    while position < min(len(text), _HEAD_LIMIT_BYTES):
        token = _TOKEN.match(text, position)
        if token is None:  # pragma: no cover - the last alternative matches any byte
            break
        start, position = token.start(), token.end()
        if token.lastgroup == "other":
            depth += {b"(": 1, b")": -1}.get(token.group(), 0)
        if token.lastgroup != "word":
            continue
        word = token.group().upper()
        words_seen += 1
        if words_seen == 1 and word != b"INSERT":
            return None
        if depth:
            continue
        if word in {b"SELECT", b"WITH", b"INFILE", b"WATCH"}:
            return None
        if word == b"VALUES":
            return Insert(_sql(text[:start]), "Values", text[position:])
        if word == b"FORMAT":
            name = re.compile(rb"\s+([A-Za-z0-9_]+)[ \t\r\f\v]*;?[ \t\r\f\v]*\n?").match(text, position)
            if name is None:
                return None  # let the engine say what is wrong with it
            return Insert(_sql(text[:start]), name.group(1).decode(), text[name.end() :])
    return Insert(_sql(text), default_format, b"") if words_seen else None


def format_of(sql: str, default_format: str) -> str:
    """Name the output format of a query: its own FORMAT clause, or the default."""
    clause = re.search(r"\bFORMAT\s+([A-Za-z0-9_]+)\s*(?:SETTINGS\b[^;]*)?;?\s*$", sql, re.IGNORECASE)
    return clause.group(1) if clause else default_format


def _sql(text: bytes) -> str:
    return text.decode("utf-8", "replace").strip().rstrip(";")
