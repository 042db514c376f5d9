"""What a baseline teaches is learnt once: ahead of the first window, and for features with the predictions'."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streams.core import judge as judging
from tests.streams.core.test_skew import MINUTES, SPEC, Loop, values


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Names of the columns of every calibration that is made."""
    made: list[tuple[str, ...]] = []
    real = judging.calibrate

    def calibrate(seasons: Any, layout: Any, *args: Any, **kwargs: Any) -> Any:
        made.append(tuple(c.key for c in layout.columns))
        return real(seasons, layout, *args, **kwargs)

    monkeypatch.setattr(judging, "calibrate", calibrate)
    return made


def test_windows_of_a_prepared_baseline_wait_for_nothing(learnt: list[tuple[str, ...]]) -> None:
    loop = Loop()
    loop.engine.judge.prepare(SPEC, "v1")
    assert learnt == [("feature/x",)]
    loop.send("predictions", range(MINUTES), values())
    assert len(learnt) == 1


def test_preparing_for_a_version_without_a_baseline_does_nothing(learnt: list[tuple[str, ...]]) -> None:
    Loop().engine.judge.prepare(SPEC, "v9")
    assert learnt == []


def test_features_are_judged_by_what_was_learnt_for_predictions(learnt: list[tuple[str, ...]]) -> None:
    loop = Loop()
    loop.send("features", range(MINUTES), values())
    loop.send("predictions", range(MINUTES), values())
    assert learnt == [("feature/x",)]
    (of_features,) = [r for k, r in loop.engine.judge._references.items() if k[2] == "features"]
    (of_predictions,) = [r for k, r in loop.engine.judge._references.items() if k[2] == "predictions"]
    (one,), (other,) = of_features.calibrations.values(), of_predictions.calibrations.values()
    np.testing.assert_array_equal(one.scale.mean, other.scale.mean)
    np.testing.assert_array_equal(one.scores, other.scores)
    assert one.limit == other.limit


def test_of_columns_that_were_not_learnt_nothing_is_known() -> None:
    loop = Loop()
    loop.engine.judge.prepare(SPEC, "v1")
    (reference,) = loop.engine.judge._references.values()
    (learnt,) = reference.calibrations.values()
    some = learnt.of_columns([-1, 0])
    quantities = len(learnt.scale.mean)
    assert len(some.scale.mean) == 2 * quantities
    np.testing.assert_array_equal(some.scale.mean[1::2], learnt.scale.mean)
    assert np.isnan(some.scores[:, ::2]).all()
    assert (some.scale.wander[::2] > 0).all()
