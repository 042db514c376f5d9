"""What losses are held to: only what can page has a part in their limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detectors.evidence.limits import score_limit
from detectors.layout import Column, Layout
from seawall.monitor import ColumnRule, Effects, MonitorSpec
from streams.core.calibration import WATCHED, Quantities, Terms, calibrate_windows
from streams.core.loss_verdicts import can_page, say_of
from streams.core.seasons import DAY_US, HOUR_US, Seasons

ERROR = Column("error", "loss", "numeric", (0.0, 0.5, 1.0))
RESIDUAL = Column("residual", "loss", "numeric", (-2.0, -1.0, 0.0, 1.0, 2.0))
TRUTH = Column("label", "label", "categorical", categories=("a", "b"))
LAYOUT = Layout.of([ERROR, RESIDUAL, TRUTH])
SPEC = MonitorSpec("m")


def able(spec: MonitorSpec) -> set[tuple[str, str]]:
    found = can_page(spec, LAYOUT).reshape(len(WATCHED), -1)
    return {(LAYOUT.columns[c].name, WATCHED[q]) for q, c in np.argwhere(found).tolist()}


def test_an_error_pages_by_its_distance_alone_and_the_truth_by_nothing():
    of_residual = {("residual", name) for name in WATCHED if name != "missing_share"}
    assert able(SPEC) == {("error", "js")} | of_residual


def test_that_a_loss_is_missing_pages_where_its_owner_says_so():
    said = replace(SPEC, columns={"error": ColumnRule(effects={"missing": 0.2})})
    assert able(said) - able(SPEC) == {("error", "missing_share")}
    assert able(replace(SPEC, effects=Effects(missing=0.01))) == able(SPEC)


def test_a_window_in_which_a_loss_is_less_is_silent_and_a_residual_speaks_on_both_sides():
    counts = np.zeros((2, LAYOUT.slots), dtype=np.int64)
    expected = np.zeros((1, LAYOUT.slots))
    at = {c.name: LAYOUT.slice_of(i).start for i, c in enumerate(LAYOUT.columns)}
    expected[0, [at["error"] + 3, at["error"] + 4]] = 0.8, 0.2
    expected[0, [at["residual"] + 3, at["residual"] + 6]] = 0.5, 0.5
    counts[0, [at["error"] + 3, at["error"] + 4, at["residual"] + 3]] = 90, 10, 100
    counts[1, [at["error"] + 3, at["error"] + 4, at["residual"] + 6]] = 70, 30, 100
    silent = say_of(SPEC, LAYOUT).silent(counts, expected).reshape(2, len(WATCHED), -1)
    error, residual = LAYOUT.index["loss/error"], LAYOUT.index["loss/residual"]
    js = WATCHED.index("js")
    assert silent[:, js, error].tolist() == [True, False]
    assert silent[:, js, residual].tolist() == [False, False]
    assert silent[:, :, LAYOUT.index["label/label"]].all()


@pytest.mark.parametrize("run", [1, 2])
def test_the_limit_is_that_of_the_scores_that_have_a_say(run: int):
    """Beside a slow one: window by window, the greatest score of what can page, 0 for what went to the good side."""
    rng = np.random.default_rng(3)
    days = 40
    panes = 24 * days
    layout = Layout.of([Column("x", "feature", "numeric", (0.0, 1.0))])
    counts = np.zeros((panes, layout.slots), dtype=np.int64)
    counts[:, 3] = 100
    seasons = Seasons(layout, counts, np.arange(panes) * HOUR_US, HOUR_US, "UTC")
    drawn = rng.chisquare(1, (panes, 3)) / 100
    drawn[:, 1] *= rng.pareto(2.0, panes)  # what cannot page has the heaviest tail
    silent = rng.random((panes, 3)) < 0.5
    silent[:, 1] = True
    counted = np.array([True, False, True])
    chance = np.full((panes, 3), 0.0384)

    def compared(_: object) -> Quantities:
        return Quantities(drawn.copy(), chance.copy(), silent)

    terms = Terms(1, 30, 1e-4, run)
    family = np.array([2, 3, 4])
    found = calibrate_windows(seasons, family, terms, compared, able=counted)
    greatest = [
        max(min(z, 0.0) if quiet else z for z, quiet in zip(scores, quiets, strict=True))
        for scores, quiets in zip(found.scores.tolist(), silent.tolist(), strict=True)
    ]
    wanted = score_limit(
        np.array(greatest),
        block=DAY_US // HOUR_US,
        pages_per_pane=0.5e-4,
        quantities=2,
        run=run,
        stretches=days,
    )
    assert found.limit.score == pytest.approx(wanted.score)
    everything = calibrate_windows(seasons, family, terms, lambda _: Quantities(drawn.copy(), chance.copy()))
    assert found.limit.score < everything.limit.score
