"""NannyML: Jensen-Shannon (its default), missing and unseen values; hourly chunks ± 3 σ of the reference's."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from nannyml.data_quality.missing.calculator import MissingValuesCalculator
from nannyml.data_quality.unseen.calculator import UnseenValuesCalculator
from nannyml.drift.univariate.calculator import UnivariateDriftCalculator
from panes import EachHour, Levels, Reference, Stream, main

T0 = pd.Timestamp("2024-01-01")  # a Monday
warnings.filterwarnings("ignore")


def make(reference: Reference) -> EachHour:
    """Fit the calculators of one column."""
    at = {"timestamp_column_name": "timestamp", "chunk_period": "h"}
    name = "x"
    calculators = {
        "jensen_shannon": UnivariateDriftCalculator(column_names=[name], **at),
        "missing_values_rate": MissingValuesCalculator(column_names=[name], **at),
    }
    if not reference.is_number:
        calculators["unseen_values_rate"] = UnseenValuesCalculator(column_names=[name], **at)
    rows = frame(reference.values, reference.hour, is_number=reference.is_number)
    known = {}
    for metric, calculator in calculators.items():
        calculator.fit(rows)
        fitted = values_of(calculator.result, metric, reference.hours)
        known[metric] = (np.nanmean(fitted), 3 * np.nanstd(fitted))

    def score(stream: Stream) -> Levels:
        data = frame(stream.values, stream.hour, is_number=reference.is_number)
        level = np.zeros(stream.hours)
        for metric, calculator in calculators.items():
            centre, allowed = known[metric]
            seen = values_of(calculator.calculate(data), metric, stream.hours)
            away = seen - centre if metric != "missing_values_rate" else np.abs(seen - centre)
            level = np.fmax(level, np.where(away > 1e-9, away / max(allowed, 1e-9), 0.0))
        return {"nannyml": level}

    return EachHour(score)


def frame(values: np.ndarray, hour: np.ndarray, *, is_number: bool) -> pd.DataFrame:
    """Lay a column out as NannyML wants it."""
    if is_number:
        column = pd.Series(values)
    else:
        words = np.array([*(f"c{i}" for i in range(int(values.max(initial=0)) + 1)), None], dtype=object)
        column = pd.Series(words[values.astype(int)], dtype="category")
    return pd.DataFrame({"x": column, "timestamp": T0 + pd.to_timedelta(hour, unit="h")})


def values_of(result: object, metric: str, hours: int) -> np.ndarray:
    """Return the values hour by hour; an hour without rows has NaN."""
    table = result.filter(period="all").to_df()
    prefix = ("x", metric) if metric == "jensen_shannon" else ("x",)
    values = table[(*prefix, "value")].to_numpy(dtype=float)
    starts = pd.to_datetime(
        table[("chunk", "chunk", "start_date") if len(prefix) == 2 else ("chunk", "start_date")]
    )
    out = np.full(hours, np.nan)
    at = ((starts - T0) // pd.Timedelta(hours=1)).to_numpy()
    period = table[("chunk", "chunk", "period") if len(prefix) == 2 else ("chunk", "period")].to_numpy()
    newest = period == ("analysis" if (period == "analysis").any() else "reference")
    out[at[newest]] = values[newest]
    return out


if __name__ == "__main__":
    main(make)
