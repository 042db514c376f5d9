"""Two seeds of the chaos harness, one with rebalances that overtake each other: every event is counted, late or dead, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.run import run
from tests.conftest import TEST_BROKER

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(("seed", "overtaken"), [(30, False), (42, True)])
def test_what_is_stored_equals_a_recount_whatever_was_killed(
    seed: int, overtaken: bool, tmp_path: Path
) -> None:
    if TEST_BROKER == "kafka":
        from tests.kafka.cluster import missing_tools

        if missing_tools():
            pytest.skip(missing_tools())
    outcome = run(seed, seconds=25, broker=TEST_BROKER, home=tmp_path, overtaken=overtaken)
    assert outcome.problems == [], outcome.logs
    assert outcome.looks > 10
    assert {"1 → 3 → 1 workers", "SIGKILL"} <= set(outcome.held)
    assert any(what.startswith("SIGSTOP in full") for what in outcome.held)
    assert outcome.confluent > 0
    assert any(what.startswith("registry out") for what in outcome.held)
    if TEST_BROKER == "kafka":
        assert outcome.compacted > 0
