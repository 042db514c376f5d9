import hashlib
from dataclasses import replace

import numpy as np
import pytest

from seawall.baseline import Baseline
from seawall.errors import ConfigError, ContractError, Unavailable
from seawall.frames import Columns
from seawall.publish import publish_baseline, publish_monitor, read_latest
from seawall.settings import Settings
from seawall.wire import decode
from streams.core.build_baseline import build_baseline
from streams.io.topics import create_topics


def baseline(version: str = "1", rows: int = 50) -> Baseline:
    rng = np.random.default_rng(0)
    columns = Columns(
        "predictions", "m", version, np.zeros(rows, dtype=np.int64), numeric={"x": rng.normal(size=rows)}
    )
    return build_baseline(columns, model="m", version=version, now_us=0)


@pytest.fixture
def bus(broker: str, request: pytest.FixtureRequest) -> Settings:
    settings = Settings(broker=broker, topic_prefix=f"{request.node.name[:40]}.")
    create_topics(settings, ["monitors", "baselines"])
    return settings


def test_a_published_baseline_is_read_back_under_model_and_version(bus: Settings) -> None:
    publish_baseline(bus, baseline("1"))
    publish_baseline(bus, baseline("2"))
    found = read_latest(bus, "baselines")
    assert sorted(found) == ["m/1", "m/2"]
    assert Baseline.from_bytes(found["m/2"]).version == "2"


def test_the_last_monitor_of_a_model_is_the_one_that_holds(bus: Settings) -> None:
    publish_monitor(bus, "m", "model: m\neffect: 0.1\n")
    sha256 = publish_monitor(bus, "m", "model: m\neffect: 0.2\n")
    _, record = decode(read_latest(bus, "monitors")["m"], ("monitor",))
    assert record["yaml"] == "model: m\neffect: 0.2\n"
    assert record["sha256"] == sha256 == hashlib.sha256(record["yaml"].encode()).hexdigest()


def test_an_empty_topic_reads_as_nothing(bus: Settings) -> None:
    assert read_latest(bus, "baselines") == {}


def test_a_baseline_of_several_megabytes_passes(bus: Settings) -> None:
    big = baseline()
    noise = np.random.default_rng(0).integers(0, 1 << 32, (20_000, big.pane_counts.shape[1]), dtype=np.uint32)
    big = replace(big, pane_counts=noise, pane_starts=np.arange(20_000, dtype=np.int64), pane_us=1)
    assert len(big.to_bytes()) > 1_000_000
    publish_baseline(bus, big)
    assert len(read_latest(bus, "baselines")["m/1"]) == len(big.to_bytes())


def test_a_topic_that_is_not_there_is_named(broker: str) -> None:
    settings = Settings(broker=broker, topic_prefix="nowhere.")
    with pytest.raises(ConfigError, match=r"topic nowhere\.baselines: is not on broker"):
        publish_baseline(settings, baseline())


def test_a_broker_that_is_not_there_is_named_within_the_deadline() -> None:
    settings = Settings(broker="127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"broker 127\.0\.0\.1:1 \(SEAWALL_BROKER\)"):
        publish_baseline(settings, baseline(), deadline_s=2)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
        read_latest(settings, "baselines", deadline_s=2)


def test_a_baseline_beyond_the_topics_limit_is_refused_before_it_is_sent() -> None:
    big = baseline()
    noise = np.random.default_rng(0).integers(0, 1 << 32, (800_000, 16), dtype=np.uint32)
    big = replace(big, pane_counts=noise, pane_starts=np.arange(800_000, dtype=np.int64))
    with pytest.raises(ContractError, match=r"m/1: .* bytes are more than topic"):
        publish_baseline(Settings(), big)
