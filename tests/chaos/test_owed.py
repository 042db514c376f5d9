"""What a schedule owes happens in full, with processes that only sleep in place of workers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.embedded.processes import Child, spawn
from tests.chaos import run
from tests.chaos.run import Chaos
from tests.chaos.schedule import Fault, Schedule


class Sleepers:
    """A stack of workers that do nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.slots: dict[str, Any] = {}
        self.supervisor = SimpleNamespace(
            _slots=self.slots, is_alive=lambda name: self.slots[name].child.is_alive
        )
        self.settings = SimpleNamespace(worker_health_port=0)

    def child(self, number: int) -> Child:
        return self.slots[f"worker-{number}"].child  # type: ignore[no-any-return]

    def start_worker(self, number: int) -> None:
        child = spawn(
            f"worker-{number}", ["sleep", "60"], self.folder / f"{number}.log", {"PATH": "/usr/bin:/bin"}
        )
        self.slots[child.name] = SimpleNamespace(child=child)

    def worker_pid(self, number: int) -> int:
        return self.child(number).pid

    def kill_worker(self, number: int) -> None:
        self.slots.pop(f"worker-{number}").child.kill()

    stop_worker = kill_worker


@pytest.fixture
def chaos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chaos]:
    for name in ("SHARED_S", "ALONE_S", "_AGAIN_S"):
        monkeypatch.setattr(run, name, 0.1)
    monkeypatch.setattr(run, "takes_part", lambda port: True)
    stack = Sleepers(tmp_path)
    yield Chaos(stack, SimpleNamespace(), SimpleNamespace(), None, 0.2, lambda text: None)  # type: ignore[arg-type]
    for slot in stack.slots.values():
        slot.child.kill()


def owed(kind: Any, at_s: float = 0.0, lasts_s: float = 0.0, pick: int = 0) -> Fault:
    return Fault(at_s, kind, lasts_s, pick, is_owed=True)


def carry_out(chaos: Chaos, *faults: Fault) -> None:
    chaos.start(Schedule(list(faults), 0.0))
    step_until_paid(chaos)


def step_until_paid(chaos: Chaos) -> None:
    while chaos.owes():
        assert chaos.now_s < 20, chaos.owes()
        chaos.step()
        time.sleep(0.01)


def test_a_pause_lasts_its_time_however_late_it_was_drawn(chaos: Chaos) -> None:
    carry_out(chaos, owed("pause worker", lasts_s=0.8))
    assert chaos.now_s >= 0.8
    assert chaos.held == {"SIGSTOP in full, alone": 1}


def test_a_pause_is_not_counted_when_the_harness_ends_it_early(chaos: Chaos) -> None:
    chaos.start(Schedule([owed("pause worker", lasts_s=30.0)], 0.0))
    chaos.step()
    assert chaos.owes() == ["pause worker", "worker 0 is paused", "one worker alone"]
    chaos.heal()
    assert not chaos.held
    assert "pause worker" in chaos.owes()


def test_scaling_down_waits_until_every_worker_has_had_partitions(
    chaos: Chaos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "takes_part", lambda port: chaos.now_s > 0.7)
    chaos.start(Schedule([owed("scale up"), owed("scale down", 0.1)], 0.0))
    while chaos.now_s < 0.6:
        chaos.step()
        time.sleep(0.01)
    assert chaos._running() == [0, 1, 2]
    step_until_paid(chaos)
    assert chaos._running() == [0]
    assert chaos.held == {"1 → 3 → 1 workers": 1}


def test_a_worker_that_was_paused_while_others_were_scaled_down_goes_on_before_it_goes(chaos: Chaos) -> None:
    carry_out(chaos, owed("scale up"), owed("pause worker", 0.5, 1.0, pick=2), owed("scale down", 0.7))
    assert chaos.held == {"1 → 3 → 1 workers": 1, "SIGSTOP in full beside others": 1}
    assert chaos._running() == [0]


def test_a_kill_waits_for_a_worker_to_hit(chaos: Chaos) -> None:
    carry_out(chaos, owed("kill worker", lasts_s=0.5), owed("kill worker", 0.1))
    assert chaos.now_s >= 0.5
    assert chaos.held == {"SIGKILL": 2}


def test_a_pause_that_is_owed_hits_a_worker_that_another_takes_over_from(
    chaos: Chaos, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The health port of these is their number: worker 0 has partitions at once, the others later.
    monkeypatch.setattr(run, "takes_part", lambda port: port == 0 or chaos.now_s > 0.6)
    carry_out(chaos, owed("scale up"), owed("pause worker", 0.1, 0.5), owed("scale down", 0.1))
    assert chaos.now_s >= 0.6 + 0.5
    assert chaos.held == {"1 → 3 → 1 workers": 1, "SIGSTOP in full beside others": 1}
