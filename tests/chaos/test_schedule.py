"""What every schedule holds, and what most do."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import pairwise

import pytest

from tests.chaos.schedule import SCALED_S, Fault, Schedule, draw, least_seconds

SEEDS = range(300)
BROKERS = {"embedded": 4.0, "kafka": 6.0}
"""Session timeouts in seconds, as in the runs."""


def drawn(kind: str, seconds: float, seed: int) -> Schedule:
    return draw(seed, seconds, BROKERS[kind], broker_keeps_data=kind == "kafka")


def owed(schedule: Schedule, fault: str) -> list[Fault]:
    return [f for f in schedule.faults if f.is_owed and f.kind == fault]


@pytest.mark.parametrize("kind", BROKERS)
@pytest.mark.parametrize("seconds", [1, 20, 25, 40, 60, 120])
def test_every_schedule_scales_up_and_then_down_kills_and_pauses_in_full(kind: str, seconds: float) -> None:
    for seed in SEEDS:
        schedule = drawn(kind, seconds, seed)
        (up,), (down,) = owed(schedule, "scale up"), owed(schedule, "scale down")
        (kill,), (pause,) = owed(schedule, "kill worker"), owed(schedule, "pause worker")
        assert up.at_s + SCALED_S <= down.at_s + 0.11
        assert pause.lasts_s >= 2 * BROKERS[kind]
        assert pause.at_s + pause.lasts_s < schedule.seconds
        assert all(0 < f.at_s < schedule.seconds for f in (up, down, kill))


@pytest.mark.parametrize("kind", BROKERS)
def test_a_run_takes_the_seconds_that_it_is_given_or_what_its_schedule_needs(kind: str) -> None:
    least = least_seconds(BROKERS[kind])
    assert least <= 30
    for seed in SEEDS:
        assert drawn(kind, 5, seed).seconds == least
        assert drawn(kind, 60, seed).seconds == 60


def test_a_long_run_holds_them_about_once_a_minute() -> None:
    for seed in SEEDS:
        scaling = [f.kind for f in drawn("kafka", 300, seed).faults if f.kind.startswith("scale")]
        assert scaling == ["scale up", "scale down"] * 4


@pytest.mark.parametrize("kind", BROKERS)
def test_a_seed_draws_one_schedule(kind: str) -> None:
    for seed in SEEDS:
        assert drawn(kind, 40, seed) == drawn(kind, 40, seed)
    assert len({str(drawn(kind, 40, seed)) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("kind", BROKERS)
def test_faults_come_by_time(kind: str) -> None:
    for seed in SEEDS:
        assert all(a.at_s <= b.at_s for a, b in pairwise(drawn(kind, 40, seed).faults))


def test_seeds_put_them_in_every_order() -> None:
    orders = Counter(tuple(f.kind for f in drawn("kafka", 60, seed).faults if f.is_owed) for seed in SEEDS)
    # Twelve ways to order four, one of which always comes before another.
    assert len(orders) == 12, orders


@pytest.mark.parametrize("kind", BROKERS)
@pytest.mark.parametrize("seconds", [25, 40, 60])
def test_a_worker_is_paused_between_scaling_up_and_down_in_half_of_the_seeds(
    kind: str, seconds: float
) -> None:
    between = 0
    for seed in SEEDS:
        schedule = drawn(kind, seconds, seed)
        (up,), (down,) = owed(schedule, "scale up"), owed(schedule, "scale down")
        between += any(up.at_s <= f.at_s < down.at_s for f in owed(schedule, "pause worker"))
    assert between > 0.45 * len(SEEDS)


@pytest.mark.parametrize("seconds", [25, 40, 60])
@pytest.mark.parametrize(
    "kinds", [{"hang store", "kill store"}, {"lose replies"}, {"bounce broker", "kill broker"}]
)
def test_outages_of_store_and_broker_and_lost_replies_are_common(kinds: set[str], seconds: float) -> None:
    for kind in BROKERS:
        held = sum(any(f.kind in kinds for f in drawn(kind, seconds, seed).faults) for seed in SEEDS)
        if kind == "embedded" and kinds & {"bounce broker"}:
            assert held == 0  # it would forget everything
        else:
            assert held > (0.85 if seconds >= 40 else 0.65) * len(SEEDS)


@pytest.mark.parametrize("kind", BROKERS)
def test_every_schedule_stops_the_schema_registry_about_every_forty_seconds(kind: str) -> None:
    for seed in SEEDS:
        for seconds, outages in ((25, 1), (60, 1), (120, 3)):
            faults = [f for f in drawn(kind, seconds, seed).faults if f.kind == "stop registry"]
            assert len(faults) == outages
            assert all(0 < f.at_s < seconds and 2 <= f.lasts_s <= 8 for f in faults)


def test_the_other_faults_of_a_seed_are_what_they_were_before_registries_were_stopped() -> None:
    """Schedules that are told of in docs/chaos.md can be run again."""
    others = hashlib.sha256()
    for kind in BROKERS:
        for seed in range(100):
            for seconds in (25, 40, 60):
                for fault in drawn(kind, seconds, seed).faults:
                    if fault.kind != "stop registry":
                        others.update(str(fault).encode())
    assert others.hexdigest()[:16] == "84905c7dcf8db066"
