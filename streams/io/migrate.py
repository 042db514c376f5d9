"""Bring the store's tables to what this version of the code expects: numbered SQL files, applied once.

Every migration is recorded with its hash. A file that changed after it was applied, and a store that is ahead
of the code, are refused: both mean that somebody would be guessing. Statements are written to be repeatable
(``IF NOT EXISTS``), so a migration cut off half-way is simply run again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seawall.contracts import contracts_dir
from seawall.errors import ConfigError, Unavailable
from seawall.settings import Settings
from streams.io.clickhouse import connect

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql\Z")
_DATABASE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SQL_TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|;|[^;'`/-]+|.", re.DOTALL)
_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version UInt32,
    name String,
    sha256 String,
    applied DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(applied) ORDER BY version
"""


@dataclass(frozen=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    sha256: str
    statements: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What `migrate` did, or with ``is_dry_run`` would do. `version` is the store's afterwards."""

    database: str
    version: int
    applied: tuple[str, ...]
    is_dry_run: bool


def read_migrations(directory: Path | None = None) -> list[Migration]:
    """Read the migrations in order.

    Raises
    ------
    ConfigError
        A file's name is not ``0001_words.sql``, or the numbers do not run 1, 2, 3 …
    """
    found = []
    for path in sorted((directory or contracts_dir() / "clickhouse").glob("*.sql")):
        match = _FILE_NAME.match(path.name)
        if match is None:
            msg = f"migration: {path.name!r} is not named like 0001_results.sql"
            raise ConfigError(msg)
        text = path.read_text(encoding="utf-8")
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        found.append(Migration(int(match.group(1)), match.group(2), sha256, split_statements(text)))
    if [m.version for m in found] != list(range(1, len(found) + 1)):
        msg = f"migration: the numbers are {[m.version for m in found]}, expected 1, 2, 3 … without gaps"
        raise ConfigError(msg)
    return found


def split_statements(text: str) -> tuple[str, ...]:
    """Split SQL at its semicolons; comments go, and a semicolon inside quotes or a comment is none."""
    statements = [""]
    for part in _SQL_TOKEN.findall(text):
        if part == ";":
            statements.append("")
        elif part.startswith(("--", "/*")):
            statements[-1] += " "
        else:
            statements[-1] += part
    return tuple(s.strip() for s in statements if s.strip())


def pending(migrations: Sequence[Migration], recorded: dict[int, tuple[str, str]]) -> list[Migration]:
    """Return the migrations still to apply, given what the store recorded: version → (name, sha256).

    Raises
    ------
    ConfigError
        The store is newer than the code, or an applied migration was edited afterwards.
    """
    newest = max(recorded, default=0)
    if newest > len(migrations):
        msg = (
            f"migration: the store is at version {newest} ({recorded[newest][0]}), this code knows "
            f"{len(migrations)}; run the newer Seawall, going backwards is not supported"
        )
        raise ConfigError(msg)
    for migration in migrations:
        if migration.version in recorded and recorded[migration.version][1] != migration.sha256:
            msg = (
                f"migration: {migration.version:04d}_{migration.name}.sql was edited after it was applied "
                f"(sha256 {migration.sha256[:12]}…, the store has {recorded[migration.version][1][:12]}…); "
                "undo the edit and add a new file instead"
            )
            raise ConfigError(msg)
    return [m for m in migrations if m.version not in recorded]


def migrate(settings: Settings, *, is_dry_run: bool = False, directory: Path | None = None) -> Outcome:
    """Apply what is missing to ``settings.store_database``, creating it when it does not exist.

    Blocks until the store has answered each statement. Safe to run again after a failure at any point.

    Raises
    ------
    ConfigError
        See `pending`; also a database name that is not a plain identifier.
    Unavailable
        The store cannot be reached, or refused a statement.
    """
    from clickhouse_connect.driver.exceptions import ClickHouseError  # noqa: PLC0415

    if not _DATABASE_NAME.match(settings.store_database):
        msg = f"SEAWALL_STORE_DATABASE: {settings.store_database!r} is not a plain name (letters, digits, _)"
        raise ConfigError(msg)
    migrations = read_migrations(directory)
    step = "reading schema_migrations"
    client = connect(settings, database="__default__")  # ours may not exist yet
    try:
        recorded = _recorded(client, settings.store_database)
        todo = pending(migrations, recorded)
        if todo and not is_dry_run:
            client.command(f"CREATE DATABASE IF NOT EXISTS {settings.store_database}")
            client.database = settings.store_database
            client.command(_LEDGER)
            for migration in todo:
                step = f"{migration.version:04d}_{migration.name}.sql"
                _apply(client, migration)
    except ClickHouseError as error:
        msg = f"store: {step} failed: {_first_line(error)}"
        raise Unavailable(msg) from error
    finally:
        client.close()
    version = max(recorded, default=0) if is_dry_run else len(migrations)
    return Outcome(
        settings.store_database, version, tuple(f"{m.version:04d}_{m.name}" for m in todo), is_dry_run
    )


def _recorded(client: Any, database: str) -> dict[int, tuple[str, str]]:
    exists = client.query(
        "SELECT count() FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'",
        parameters={"database": database},
    ).result_rows[0][0]
    if not exists:
        return {}
    rows = client.query(
        "SELECT version, name, sha256 FROM {database:Identifier}.schema_migrations FINAL",
        parameters={"database": database},
    ).result_rows
    return {version: (name, sha256) for version, name, sha256 in rows}


def _apply(client: Any, migration: Migration) -> None:
    for statement in migration.statements:
        client.command(statement)
    client.command(
        "INSERT INTO schema_migrations "
        "SELECT {version:UInt32}, {name:String}, {sha256:String}, now64(6, 'UTC')",
        parameters={"version": migration.version, "name": migration.name, "sha256": migration.sha256},
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:400] if str(error).strip() else type(error).__name__
