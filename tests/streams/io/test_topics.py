from __future__ import annotations

from dataclasses import replace

import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from seawall.contracts import topics
from seawall.errors import ConfigError, Unavailable
from seawall.settings import Settings
from streams.embedded.processes import free_port
from streams.io.topics import client_config, create_topics, how_to_stamp, retention_ms, topic_configs


def test_every_topic_of_the_catalogue_is_created_with_its_partitions(settings: Settings) -> None:
    done = create_topics(settings)
    assert set(done.created) == {settings.topic(name) for name in topics()}
    found = AdminClient({"bootstrap.servers": settings.broker}).list_topics(timeout=10).topics
    assert {n: len(found[settings.topic(n)].partitions) for n in topics()} == {
        n: t.partitions for n, t in topics().items()
    }


def test_creating_again_changes_nothing(settings: Settings) -> None:
    first = create_topics(settings)
    again = create_topics(settings)
    assert again.created == ()
    assert set(again.existing) == set(first.created)


def test_the_partition_setting_applies_to_the_data_topics_only(settings: Settings) -> None:
    create_topics(replace(settings, topic_partitions=7))
    found = AdminClient({"bootstrap.servers": settings.broker}).list_topics(timeout=10).topics
    counts = {name: len(found[settings.topic(name)].partitions) for name in topics()}
    assert {counts["predictions"], counts["features"], counts["labels"]} == {7}
    assert counts["summaries"] == topics()["summaries"].partitions


def test_the_broker_knows_which_topics_are_compacted(settings: Settings) -> None:
    create_topics(settings, ["monitors", "predictions"])
    admin = AdminClient({"bootstrap.servers": settings.broker})
    resources = [
        ConfigResource(ResourceType.TOPIC, settings.topic(name)) for name in ("monitors", "predictions")
    ]
    answers = {r.name: f.result() for r, f in admin.describe_configs(resources).items()}
    assert answers[settings.topic("monitors")]["cleanup.policy"].value == "compact"
    assert answers[settings.topic("predictions")]["retention.ms"].value == str(7 * 86_400_000)


def test_a_broker_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.io.topics.TIMEOUT_S", 1.0)
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=address):
        create_topics(Settings(broker=address))


def test_a_prefix_that_kafka_refuses_is_named_before_asking() -> None:
    with pytest.raises(ConfigError, match="SEAWALL_TOPIC_PREFIX: 'sea wall/'"):
        create_topics(Settings(topic_prefix="sea wall/"))


def test_a_dead_letter_may_be_as_large_as_anything() -> None:
    """It is its record and some headers: with the limit that the record's own topic has, the largest are refused."""
    assert topic_configs(topics()["dead-letters"])["max.message.bytes"] == str(32 << 20)


def test_a_negative_partition_count_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="SEAWALL_TOPIC_PARTITIONS: -1"):
        create_topics(replace(settings, topic_partitions=-1))


def test_configs_follow_the_catalogue() -> None:
    assert topic_configs(topics()["baselines"]) == {
        "cleanup.policy": "compact",
        "max.message.bytes": "33554432",
    }
    assert topic_configs(topics()["rollbacks"]) == {"cleanup.policy": "delete", "retention.ms": "-1"}
    stamped = [name for name, topic in topics().items() if "message.timestamp.type" in topic_configs(topic)]
    assert sorted(stamped) == ["features", "labels", "predictions", "summaries"]
    assert topic_configs(topics()["summaries"])["message.timestamp.type"] == "LogAppendTime"


@pytest.mark.parametrize(("text", "expected"), [("forever", -1), ("30s", 30_000), ("7d", 604_800_000)])
def test_retention_reads_as_written(text: str, expected: int) -> None:
    assert retention_ms(text) == expected


def test_retention_that_is_no_time_is_refused() -> None:
    with pytest.raises(ConfigError, match="'7 days'"):
        retention_ms("7 days")


def test_a_password_never_travels_in_clear_by_accident() -> None:
    insecure = Settings(
        broker_security="sasl_plaintext",
        broker_sasl_mechanism="PLAIN",
        broker_username="u",
        broker_password="x",
    )
    with pytest.raises(ConfigError, match="broker_allow_insecure"):
        client_config(insecure)
    assert client_config(replace(insecure, broker_allow_insecure=True))["sasl.password"] == "x"


def test_topics_that_bear_their_clients_clocks_are_named_and_left_alone(settings: Settings) -> None:
    own = replace(settings, topic_prefix=f"{settings.topic_prefix}old.")
    admin = AdminClient(client_config(own))
    made = [
        NewTopic(own.topic("summaries"), 1, 1, config={"message.timestamp.type": "CreateTime"}),
        NewTopic(own.topic("labels"), 1, 1, config={"message.timestamp.type": "LogAppendTime"}),
        NewTopic(own.topic("alarms"), 1, 1, config={"message.timestamp.type": "CreateTime"}),
    ]
    for future in admin.create_topics(made).values():
        future.result()
    found = create_topics(own, ["summaries", "labels", "alarms", "features"])
    assert found.stamped_by_clients == (own.topic("summaries"),)
    assert f"--entity-name {own.topic('summaries')} " in how_to_stamp(own.topic("summaries"))
