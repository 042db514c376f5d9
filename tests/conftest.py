"""A real broker and a real store for the tests that need them, started once a session on free loopback ports.

The broker is the embedded one, or Apache Kafka with ``SEAWALL_TEST_BROKER=kafka`` (`make test-kafka`).

`broker` and `store_url` are shared by the session; `store` and `settings` give each test a database, a topic
prefix and a consumer group of its own in them, so that tests need no cleaning and may run in any order.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from seawall.settings import Settings

if TYPE_CHECKING:
    from streams.embedded.stack import Stack

_numbers = itertools.count(1)
# A busy machine makes examples slow to draw, which says nothing about the code.
hypothesis.settings.register_profile(
    "seawall", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("seawall")
#: Taken out of the environment, because `Settings.from_env` refuses variables that are no settings.
TEST_BROKER = os.environ.pop("SEAWALL_TEST_BROKER", "embedded")
if TEST_BROKER not in {"embedded", "kafka"}:
    msg = f"SEAWALL_TEST_BROKER: {TEST_BROKER!r} is unknown, expected embedded | kafka"
    raise pytest.UsageError(msg)


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
    directory = tmp_path_factory.mktemp("broker")
    if TEST_BROKER == "kafka":
        from tests.kafka.cluster import Kafka, missing_tools

        if missing_tools():
            pytest.skip(missing_tools())
        kafka = Kafka(directory)
        kafka.start()
        yield kafka.address()
        kafka.stop()
        return
    from streams.embedded.broker import start_broker
    from streams.embedded.processes import free_port

    port = free_port()
    child = start_broker(port, directory / "broker.log")
    yield f"127.0.0.1:{port}"
    child.stop()


StartStack = Callable[..., "AbstractContextManager[Stack]"]


@pytest.fixture(scope="session")
def start_stack(request: pytest.FixtureRequest) -> StartStack:
    """`running_stack` with a broker of its own, or with topics of its own on the session's Apache Kafka."""
    from streams.embedded.stack import running_stack

    if TEST_BROKER != "kafka":
        return running_stack
    address: str = request.getfixturevalue("broker")

    def start(
        data_dir: Path, workers: int = 1, settings: Settings | None = None
    ) -> AbstractContextManager[Stack]:
        name = f"stack_{os.getpid()}_{next(_numbers)}"
        own = replace(settings or Settings(), broker=address, topic_prefix=f"{name}.", group=name)
        return running_stack(data_dir, workers, own, own_broker=False)

    return start


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
    return replace(
        store,
        broker=broker,
        topic_prefix=f"{store.store_database}.",
        group=store.store_database,
        data_dir=str(tmp_path / "data"),
    )
