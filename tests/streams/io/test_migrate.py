from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from seawall.cli import main
from seawall.contracts import contracts_dir
from seawall.errors import ConfigError, Unavailable
from seawall.settings import Settings
from streams.embedded.processes import free_port
from streams.io.clickhouse import connect
from streams.io.migrate import migrate, read_migrations, split_statements


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text(
        "-- one; two\n"
        "CREATE TABLE IF NOT EXISTS one (a String DEFAULT ';--') ENGINE = MergeTree ORDER BY a;\n"
        "CREATE TABLE IF NOT EXISTS two (a UInt8) ENGINE = MergeTree ORDER BY a;\n"
    )
    (tmp_path / "0002_second.sql").write_text("ALTER TABLE two ADD COLUMN IF NOT EXISTS b UInt8;")
    return tmp_path


@pytest.fixture
def fresh(store: Settings) -> Settings:
    return replace(store, store_database=f"{store.store_database}_fresh")


def _tables(settings: Settings) -> set[str]:
    client = connect(settings)
    found = {name for (name,) in client.query("SHOW TABLES").result_rows}
    client.close()
    return found


def test_migrations_are_applied_in_order_once(fresh: Settings, folder: Path) -> None:
    assert migrate(fresh, directory=folder).applied == ("0001_first", "0002_second")
    assert _tables(fresh) == {"one", "two", "schema_migrations"}
    assert migrate(fresh, directory=folder).applied == ()


def test_only_what_is_missing_is_applied(fresh: Settings, folder: Path) -> None:
    later = folder / "0003_third.sql"
    migrate(fresh, directory=folder)
    later.write_text("CREATE TABLE IF NOT EXISTS three (a UInt8) ENGINE = MergeTree ORDER BY a")
    assert migrate(fresh, directory=folder).applied == ("0003_third",)


def test_a_dry_run_changes_nothing(fresh: Settings, folder: Path) -> None:
    outcome = migrate(fresh, is_dry_run=True, directory=folder)
    assert (outcome.applied, outcome.version) == (("0001_first", "0002_second"), 0)
    with pytest.raises(Unavailable, match=fresh.store_database):
        _tables(fresh)


def test_an_edited_migration_is_refused(fresh: Settings, folder: Path) -> None:
    migrate(fresh, directory=folder)
    (folder / "0001_first.sql").write_text("SELECT 1")
    with pytest.raises(ConfigError, match=r"0001_first\.sql was edited after it was applied"):
        migrate(fresh, directory=folder)


def test_a_store_newer_than_the_code_is_refused(fresh: Settings, folder: Path) -> None:
    migrate(fresh, directory=folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(ConfigError, match=r"store is at version 2 \(second\), this code knows 1"):
        migrate(fresh, directory=folder)


def test_a_migration_cut_off_half_way_is_run_again(fresh: Settings, folder: Path) -> None:
    second = folder / "0002_second.sql"
    good = second.read_text()
    second.write_text(f"{good}; SELECT nonsense")
    with pytest.raises(Unavailable, match=r"0002_second\.sql failed"):
        migrate(fresh, directory=folder)
    second.write_text(good)
    assert migrate(fresh, directory=folder).applied == ("0002_second",)


def test_dead_letters_of_two_lives_of_a_topic_are_kept_beside_those_of_before(
    fresh: Settings, tmp_path: Path
) -> None:
    shipped = contracts_dir() / "clickhouse"
    for path in sorted(shipped.glob("*.sql"))[:4]:
        shutil.copy(path, tmp_path)
    migrate(fresh, directory=tmp_path)
    client = connect(fresh)
    of_before = "INSERT INTO dead_letters (topic, partition, offset, reason) VALUES ('p', 0, 7, 'bad_json')"
    client.command(of_before)
    migrate(fresh)
    for statement in read_migrations()[4].statements:
        client.command(statement)  # one that was cut off half-way is run again
    client.command(of_before)
    lives = (
        "('p', 0, 7, 'bad_json', 0, 'A'), ('p', 0, 7, 'bad_json', 0, 'B'), ('p', 0, 7, 'bad_json', 2, 'B')"
    )
    for _ in range(2):
        client.command(
            f"INSERT INTO dead_letters (topic, partition, offset, reason, log_epoch, topic_id) VALUES {lives}"
        )
    found = client.query("SELECT log_epoch, topic_id FROM dead_letters FINAL ORDER BY log_epoch, topic_id")
    client.close()
    assert found.result_rows == [(0, ""), (0, "A"), (0, "B"), (2, "B")]


def test_numbers_without_a_gap_are_demanded(folder: Path) -> None:
    (folder / "0004_fourth.sql").write_text("SELECT 1")
    with pytest.raises(ConfigError, match=r"\[1, 2, 4\]"):
        read_migrations(folder)
    (folder / "0004_fourth.sql").rename(folder / "fourth.sql")
    with pytest.raises(ConfigError, match=r"'fourth\.sql' is not named like"):
        read_migrations(folder)


def test_a_store_that_does_not_answer_is_named() -> None:
    port = free_port()
    with pytest.raises(Unavailable, match=str(port)):
        migrate(Settings(store_url=f"http://127.0.0.1:{port}"))


def test_a_database_name_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="SEAWALL_STORE_DATABASE: 'a; DROP'"):
        migrate(Settings(store_database="a; DROP"))


def test_statements_are_split_outside_quotes_and_comments() -> None:
    text = "-- a; b\nSELECT ';' /* ; */, `x;y` -- end;\n;\n\nSELECT 3-2;;"
    assert [" ".join(s.split()) for s in split_statements(text)] == ["SELECT ';' , `x;y`", "SELECT 3-2"]


def test_the_shipped_migrations_apply_and_the_command_says_so(
    fresh: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in fresh.to_env().items():
        monkeypatch.setenv(name, value)
    assert main(["migrate", "--no-topics", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["version"] == len(read_migrations())
    assert main(["migrate", "--dry-run"]) == 0
    assert f"is at version {said['version']}" in capsys.readouterr().out
