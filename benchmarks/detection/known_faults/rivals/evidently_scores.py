"""Evidently: the tests that its drift preset chooses by itself, called as the preset calls them, on each hour.

The preset's report draws histograms, at a tenth of a second a column; its verdict is that of `get_stattest` on the
values that are present. Where nothing is present the preset ends in an error, which counts as an alarm here.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from evidently.legacy.calculations.stattests import get_stattest
from evidently.legacy.core import ColumnType
from panes import EachHour, Levels, Reference, Stream, by_hour, main

#: Its reference is a sample of this many rows: the preset works on raw values, every time.
ROWS = 10_000
warnings.filterwarnings("ignore")


def make(reference: Reference) -> EachHour:
    """Let the preset choose the test of one column."""
    kind = ColumnType.Numerical if reference.is_number else ColumnType.Categorical
    chosen = np.random.default_rng(0).choice(
        len(reference.values), min(ROWS, len(reference.values)), replace=False
    )
    expected = present(reference.values[chosen], is_number=reference.is_number)

    def score(stream: Stream) -> Levels:
        level = np.zeros(stream.hours)
        for i, part in enumerate(by_hour(stream)):
            current = present(part, is_number=reference.is_number)
            if len(current):
                test = get_stattest(expected, current, kind, None)
                result = test(expected, current, kind, None)
                level[i] = relative(result.drift_score, result.actual_threshold, is_p=is_p(test.name))
            elif len(part):
                level[i] = 1e6
        return {"evidently": level}

    return EachHour(score)


def present(values: np.ndarray, *, is_number: bool) -> pd.Series:
    """Leave out what is missing, as the preset does."""
    return (
        pd.Series(values[np.isfinite(values)])
        if is_number
        else pd.Series(values[values >= 0].astype(int).astype(str))
    )


def is_p(test: str) -> bool:
    """Whether small values alarm."""
    return test in {"ks", "chisquare", "z"}


def relative(value: float, threshold: float, *, is_p: bool) -> float:
    """Return the value over the threshold; of p-values, the logarithms'."""
    if is_p:
        return float(np.log(max(value, 1e-300)) / np.log(threshold))
    return float(value / threshold)


if __name__ == "__main__":
    main(make)
