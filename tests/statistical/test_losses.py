"""Losses keep to their fifth of the budget, and see what is worth a page soon."""

from __future__ import annotations

import pytest

from benchmarks.detection.losses import KINDS, pages
from seawall.monitor import HOUR_US

DAYS, RATES = 60, (0.03, 0.17, 0.33)


def test_a_model_that_is_as_wrong_as_ever_pages_within_the_share_of_losses():
    """540 quiet days: a fifth of a page in 30 days is 3.6, of which no more than that were seen in 540 others."""
    assert sum(len(pages(kind, rate, DAYS, 50)) for kind in KINDS for rate in RATES) <= 3


@pytest.mark.parametrize(("flipped", "most_hours"), [(0.3, 3), (0.1, 30)])
def test_truths_that_are_turned_over_are_paged(flipped: float, most_hours: int):
    delays = []
    for seed in range(3):
        (page, *_) = pages("independent", 0.17, 4, seed, flipped)
        assert page.kind == "loss"
        delays.append((page.paged_us // HOUR_US) - (page.since_us // HOUR_US))
    assert sorted(delays)[1] <= most_hours
