"""An input topic that is deleted and made again: what it held, and what it holds, is counted by equality."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from seawall.settings import Settings
from seawall.transport import kafka_config
from streams.embedded.stack import Stack
from streams.io.clickhouse import Store
from streams.io.topics import create_topics
from tests.conftest import StartStack
from tests.e2e.produce import append, committed, singles
from tests.e2e.test_loop import counted, until

pytestmark = pytest.mark.e2e
STARTED = Settings(
    replay=True,
    idle_timeout_s=1.5,
    publish_interval_s=0.3,
    save_interval_s=1.0,
    chunk_bytes=10_000,
)


@pytest.fixture
def stack(start_stack: StartStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with start_stack(tmp_path_factory.mktemp("stack"), workers=0, settings=STARTED) as running:
        yield running


def admin(settings: Settings) -> AdminClient:
    return AdminClient({**kafka_config(settings), "log_level": 0})


def make_again(settings: Settings) -> None:
    """Delete the topic of predictions, and make it again as it was."""
    name = settings.topic("predictions")
    client = admin(settings)
    for future in client.delete_topics([name], operation_timeout=20).values():
        future.result()

    def is_made() -> bool:
        try:
            return name in create_topics(settings, ["predictions"]).created
        except KafkaException:
            return False

    until(is_made, "the topic to be gone, and made again")


@pytest.mark.parametrize("after", [40, 1200], ids=["a shorter log", "a longer log"])
def test_a_topic_that_is_made_again_under_running_workers_is_counted_from_its_beginning(
    stack: Stack, after: int
) -> None:
    settings, store = stack.settings, Store(stack.settings)
    for number in (0, 1):
        stack.start_worker(number)
    append(settings, "predictions", 0, singles(0, 500))
    append(settings, "predictions", 1, singles(500, 900))
    until(lambda: counted(store) == 900, "the events of the first topic")
    until(lambda: bool(committed(settings, "predictions", 0)), "a chunk to be cut")

    make_again(settings)
    told = "predictions/0: the topic was deleted and made again"
    # Whoever reads in the few seconds until that is known may take new events for the old topic's.
    until(
        lambda: told in stack.worker_log(0) + stack.worker_log(1) or is_read_anew(stack), "it to be noticed"
    )
    append(settings, "predictions", 0, singles(900, 900 + after))
    until(lambda: counted(store) >= 900 + after, "the events of the second topic")
    stack.kill_worker(0)
    append(settings, "predictions", 2, singles(900 + after, 1000 + after))
    until(lambda: counted(store) >= 1000 + after, "the events after a worker was killed")
    assert counted(store) == 1000 + after
    assert "are left out" not in stack.worker_log(0) + stack.worker_log(1)


def is_read_anew(stack: Stack) -> bool:
    """Whether the group was given the new topic by a rebalance, and so began at its beginning."""
    return committed(stack.settings, "predictions", 0) == 0


def test_a_topic_that_is_made_again_while_no_worker_runs_is_counted_from_its_beginning(stack: Stack) -> None:
    settings, store = stack.settings, Store(stack.settings)
    stack.start_worker()
    append(settings, "predictions", 0, singles(0, 500))
    until(lambda: counted(store) == 500, "the events of the first topic")
    stack.stop_worker()
    make_again(settings)
    append(settings, "predictions", 0, singles(500, 1100))
    stack.start_worker()
    until(lambda: counted(store) >= 1100, "the events of both topics")
    stack.kill_worker()
    append(settings, "predictions", 1, singles(1100, 1200))
    stack.start_worker()
    until(lambda: counted(store) >= 1200, "the events after a restart")
    assert counted(store) == 1200
