"""A rival that goes on from the onset of a fault says what it would have said had it seen the whole stream."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchmarks.detection.known_faults import environments

ONSET, HOURS, ROWS = 60, 120, 20


@pytest.fixture(scope="module", params=["tests", "river"])
def rival(request: pytest.FixtureRequest) -> tuple[ModuleType, ModuleType]:
    """Load a rival's script as its own interpreter would: beside `panes`."""
    folder = str(Path(environments.HERE) / "rivals")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("panes"), importlib.import_module(f"{request.param}_scores")
    finally:
        sys.path.remove(folder)


def hours(n: int) -> np.ndarray:
    return np.repeat(np.arange(n), ROWS)


@pytest.mark.parametrize("fault", ["shift", "all missing", "frozen"])
def test_going_on_from_the_onset_is_seeing_the_whole_stream(rival: tuple[ModuleType, ModuleType], fault: str):
    panes, script = rival
    make = getattr(script, "Column", None) or script.make
    rng = np.random.default_rng(3)
    known = panes.Reference("x", True, rng.normal(size=240 * ROWS), hours(240), 240, 4)
    quiet = panes.Stream(rng.normal(size=HOURS * ROWS), hours(HOURS), HOURS)
    bad = quiet.hour >= ONSET
    changed = {"shift": quiet.values + 1.0, "all missing": np.nan, "frozen": quiet.values[0]}[fault]
    faulty = quiet._replace(values=np.where(bad, changed, quiet.values))
    scorer = make(known)
    whole, after = make(known).quiet(faulty), scorer.faulty(faulty, quiet, ONSET)
    again = scorer.faulty(faulty, quiet, ONSET)
    assert whole.keys() == after.keys()
    for setting, levels in whole.items():
        np.testing.assert_array_equal(after[setting], levels[ONSET:], err_msg=setting)
        # What is remembered of the onset is not changed by going on from it.
        np.testing.assert_array_equal(again[setting], after[setting], err_msg=setting)
    assert any(levels[ONSET:].max() >= 1.0 for levels in whole.values()), "the fault alarms nobody"


def test_known_scores_of_the_quiet_stream_are_what_would_be_worked_out(rival: tuple[ModuleType, ModuleType]):
    panes, script = rival
    make = getattr(script, "Column", None) or script.make
    rng = np.random.default_rng(4)
    live, watched = rng.normal(size=(HOURS * ROWS, 2)), ONSET + 10
    rows = watched * ROWS
    bad = hours(watched) >= ONSET
    case = {
        "names": np.array(["x", "y"]),
        "numbers": np.array(2),
        "reference": rng.normal(size=(240 * ROWS, 2)),
        "reference_hour": hours(240),
        "reference_hours": np.array(240),
        "live": live,
        "live_hour": hours(HOURS),
        "live_hours": np.array(HOURS),
        "onset": np.array(ONSET),
        "fault_hours": np.array(watched),
        "faults": np.array(1),
        "fault/0/names": np.array(["y"]),
        "fault/0/values": live[:rows, 1:] + bad[:, None],
    }
    worked_out = panes.score_case(case, make)
    quiet = {key: scores for key, scores in worked_out.items() if key.startswith("quiet/")}
    again = panes.score_case(case, make, quiet)
    assert worked_out.keys() == again.keys()
    for key, scores in worked_out.items():
        np.testing.assert_array_equal(again[key], scores, err_msg=key)
