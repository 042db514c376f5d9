"""A real broker and a real store for the tests that need them, started once a session on free loopback ports.

`broker` and `store_url` are shared by the session; `store` and `settings` give each test a database, a topic
prefix and a consumer group of its own in them, so that tests need no cleaning and may run in any order.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from seawall.settings import Settings

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests by the processes that they need, so that `-m "not broker and not store"` is quick."""
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        if "broker" in names:
            item.add_marker("broker")
        if "store_url" in names:
            item.add_marker("store")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap address of a broker."""
    from streams.embedded.broker import start_broker
    from streams.embedded.processes import free_port

    port = free_port()
    child = start_broker(port, tmp_path_factory.mktemp("broker") / "broker.log")
    yield f"127.0.0.1:{port}"
    child.stop()


@pytest.fixture(scope="session")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a store, without Seawall's tables."""
    from streams.embedded.processes import free_port
    from streams.embedded.store_process import start_store

    directory: Path = tmp_path_factory.mktemp("store")
    port = free_port()
    child = start_store(directory, port, directory / "store.log")
    yield f"http://127.0.0.1:{port}"
    child.stop()


@pytest.fixture
def store(store_url: str) -> Settings:
    """Settings that point at a fresh, migrated database of the session's store."""
    from streams.io.migrate import migrate

    settings = Settings(store_url=store_url, store_database=f"test_{os.getpid()}_{next(_numbers)}")
    migrate(settings)
    return settings


@pytest.fixture
def settings(broker: str, store: Settings, tmp_path: Path) -> Settings:
    """The session's broker and store, with a database, topic prefix, group and data folder for this test."""
    from dataclasses import replace

    return replace(
        store,
        broker=broker,
        topic_prefix=f"{store.store_database}.",
        group=store.store_database,
        data_dir=str(tmp_path / "data"),
    )
