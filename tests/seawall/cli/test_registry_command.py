"""``seawall registry`` on a real broker, from the first version to a rollback and back."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import replace

import pytest

from seawall.bus import append_records, read_records
from seawall.cli import main
from seawall.errors import ConfigError, Unavailable
from seawall.settings import Settings
from streams.core.registrar import execute
from streams.core.registry import RegistryView
from streams.core.rollback_steps import RollbackStep, first_step
from streams.embedded.processes import free_port
from streams.io.topics import create_topics

MODEL = "late-arrival"
_numbers = itertools.count(1)


@pytest.fixture
def bus(broker: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    settings = Settings(broker=broker, topic_prefix=f"registry_{os.getpid()}_{next(_numbers)}.")
    create_topics(settings, ["registry", "rollbacks"])
    for name, value in settings.to_env().items():
        monkeypatch.setenv(name, value)
    return settings


class Shell:
    """Runs ``seawall registry …`` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def run(self, words: str) -> str:
        """Run a command that succeeds; returns what it printed."""
        code = main(["registry", *words.split()])
        said = self._capsys.readouterr()
        assert code == 0, said.err
        return said.out.strip()

    def fails(self, words: str) -> str:
        """Run a command that fails; returns what it complained about."""
        assert main(["registry", *words.split()]) == 1
        return self._capsys.readouterr().err


@pytest.fixture
def shell(bus: Settings, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


@pytest.fixture
def released(shell: Shell) -> Shell:
    shell.run(f"register {MODEL} v1 --at 2013-06-01 --lineage data=abc")
    shell.run(f"promote {MODEL} v1 --at 2013-06-01T12:00Z")
    shell.run(f"register {MODEL} v2 --at 2013-06-02 --parent v1")
    shell.run(f"promote {MODEL} v2 --at 2013-06-03T14:00:00+00:00 --actor ada")
    return shell


def request(bus: Settings, ts: int, emitted_us: int) -> RollbackStep:
    step = first_step(
        MODEL, "v2", "v1", "a1", state="requested", mode="approve", ts=ts, reason="distance drifted"
    )
    append_records(bus, "rollbacks", MODEL, [step.to_record(emitted_us)])
    return step


def test_versions_are_announced_and_promoted(released: Shell) -> None:
    listed = json.loads(released.run("list --json"))
    assert [(v["version"], v["stage"], v["parent"]) for v in listed["versions"]] == [
        ("v1", "registered", None),
        ("v2", "production", "v1"),
    ]
    assert listed["versions"][0]["lineage"] == {"data": "abc"}
    table = released.run(f"list {MODEL}")
    assert "production" in table
    assert "2013-06-03T14:00:00Z" in table


def test_history_says_which_version_was_in_production_at_a_time(released: Shell) -> None:
    assert released.run(f"history {MODEL} --at 2013-06-01T11:59:59") == "nobody"
    assert released.run(f"history {MODEL} --at 2013-06-01T14:00:00+02:00") == "v1"
    assert released.run(f"history {MODEL} --at 2013-06-03T13:59:59.999999") == "v1"
    assert released.run(f"history {MODEL} --at 2030-01-01") == "v2"
    lines = json.loads(released.run(f"history {MODEL} --json"))["history"]
    assert lines == [
        {"version": "v1", "from": "2013-06-01T12:00:00Z", "to": "2013-06-03T14:00:00Z"},
        {"version": "v2", "from": "2013-06-03T14:00:00Z", "to": None},
    ]


def test_what_was_promoted_says_what_it_replaces_and_who_did_it(bus: Settings, released: Shell) -> None:
    last = read_records(bus, "registry")[-1]
    assert (last["action"], last["replaces"], last["actor"]) == ("promoted", "v1", "ada")


def test_promoting_what_is_in_production_writes_nothing(bus: Settings, released: Shell) -> None:
    before = len(read_records(bus, "registry"))
    assert "already" in released.run(f"promote {MODEL} v2")
    assert len(read_records(bus, "registry")) == before


def test_a_promotion_without_a_date_takes_effect_even_after_one_from_the_future(released: Shell) -> None:
    released.run(f"promote {MODEL} v1 --at 2999-01-01")
    assert released.run(f"promote {MODEL} v2") == f"{MODEL} v2 promoted; in production: v2"


def test_an_archived_version_is_no_target(released: Shell) -> None:
    released.run(f"archive {MODEL} v1 --reason broken")
    assert "no good version before v2; name one with --to" in released.fails(f"rollback {MODEL}")


def test_a_version_nobody_registered_is_refused_by_name(released: Shell) -> None:
    assert "'v9' of 'late-arrival' is not registered, known are: v1, v2" in released.fails(
        f"promote {MODEL} v9"
    )
    assert "known are: none" in released.fails("archive other v1")
    assert "has no version in production" in released.fails("rollback other")


def test_a_person_approves_what_seawall_asks_for(bus: Settings, released: Shell) -> None:
    asked = request(bus, ts=1_370_270_000_000_000, emitted_us=1_000)
    assert "distance drifted" in released.run("list")
    said = released.run(f"approve {MODEL} --actor ada --reason agreed")
    assert said == f"rollback {asked.rollback_id}: v2 → v1 approved"
    steps = read_records(bus, "rollbacks")
    assert [(s["state"], s["seq"], s["actor"]) for s in steps] == [
        ("requested", 0, "seawall"),
        ("approved", 1, "ada"),
    ]
    assert steps[1]["ts"] > asked.ts
    assert "is approved already" in released.fails(f"approve {MODEL}")


def test_a_person_denies_by_id(bus: Settings, released: Shell) -> None:
    asked = request(bus, ts=1_370_270_000_000_000, emitted_us=1_000)
    assert released.run(f"deny {MODEL} {asked.rollback_id}").endswith("denied")
    assert "has none that is under way" in released.fails(f"approve {MODEL}")
    assert "is denied already" in released.fails(f"approve {MODEL} {asked.rollback_id}")
    assert "has none that is 123" in released.fails(f"approve {MODEL} 123")


def test_a_rollback_by_hand_is_carried_out_by_the_executor(bus: Settings, released: Shell) -> None:
    said = released.run(f"rollback {MODEL} --at 2013-06-04 --reason hunch")
    assert said.endswith("v2 → v1 approved")
    assert "one at a time" in released.fails(f"rollback {MODEL}")
    registry = RegistryView()
    for event in read_records(bus, "registry"):
        registry.observe(event)
    events, step = execute(read_records(bus, "rollbacks")[-1], registry, 0)
    append_records(bus, "registry", MODEL, events)
    append_records(bus, "rollbacks", MODEL, [step.to_record(0)])
    assert released.run(f"history {MODEL} --at 2014-01-01") == "v1"
    stages = {v["version"]: v for v in json.loads(released.run("list --json"))["versions"]}
    assert stages["v1"]["stage"] == "production"
    assert stages["v2"]["rolled_back"] is not None


def test_records_appended_together_are_all_read_back_in_order(bus: Settings) -> None:
    step = first_step(MODEL, "v2", "v1", "a1", state="requested", mode="approve", ts=1, reason="")
    append_records(bus, "rollbacks", MODEL, [step.to_record(i) for i in range(500)])
    assert [r["emitted_us"] for r in read_records(bus, "rollbacks")] == list(range(500))


def test_an_empty_registry_lists_nothing(shell: Shell) -> None:
    assert json.loads(shell.run("list --json")) == {"versions": [], "rollbacks": []}
    assert json.loads(shell.run(f"history {MODEL} --json"))["history"] == []


def test_a_time_that_is_none_is_a_usage_error(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["registry", "history", MODEL, "--at", "yesterday"])
    assert "'yesterday' is no time, expected ISO 8601" in capsys.readouterr().err


def test_alien_bytes_on_the_topic_are_passed_over(bus: Settings, released: Shell) -> None:
    import confluent_kafka

    producer = confluent_kafka.Producer({"bootstrap.servers": bus.broker})
    producer.produce(bus.topic("registry"), b"not ours", b"k")
    assert producer.flush(10) == 0
    assert len(read_records(bus, "registry")) == 4


def test_a_missing_topic_is_named(bus: Settings) -> None:
    with pytest.raises(ConfigError, match=r"topic nowhere\.registry: is not on broker"):
        read_records(replace(bus, topic_prefix="nowhere."), "registry")


def test_a_broker_that_is_not_there_is_named() -> None:
    settings = Settings(broker=f"127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match=settings.broker):
        read_records(settings, "registry", deadline_s=1)
    with pytest.raises(Unavailable, match=settings.broker):
        append_records(settings, "registry", "m", [], deadline_s=1)
