"""The sample, loaded once a session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from seawall.settings import Settings
from tests.dashboards.fleet_sample import load

TABLES = (
    "windows",
    "window_columns",
    "window_relations",
    "alarms",
    "rollbacks",
    "late_events",
    "layouts",
    "dead_letters",
)


@pytest.fixture(scope="session")
def loaded(store_url: str) -> Iterator[Any]:
    """Client of a database with the sample in it, parts not merged."""
    from streams.io.clickhouse import connect
    from streams.io.migrate import migrate

    settings = Settings(store_url=store_url, store_database="test_dashboards")
    migrate(settings)
    client = connect(settings)
    for table in TABLES:
        client.command(f"SYSTEM STOP MERGES test_dashboards.{table}")
    load(client)
    yield client
    client.close()
