"""A file of feature history: what the feature store said, as the feature events that a service would have sent."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from seawall.baseline import Baseline
from seawall.build import read_reference
from seawall.cli.history import is_known, is_text
from seawall.errors import ConfigError
from seawall.frames import Columns
from seawall.monitor import MonitorSpec
from seawall.monitor_yaml.problems import any_of, did_you_mean

if TYPE_CHECKING:
    import polars as pl


def read_features(
    table: pl.DataFrame,
    predictions: Columns,
    baseline: Baseline,
    spec: MonitorSpec,
    arguments: argparse.Namespace,
) -> tuple[Columns, list[str]]:
    """Read the features that the baseline knows, and the columns that cut traffic into segments.

    Returns the events, and what their reader should know.

    Raises
    ------
    ConfigError
        There is no such feature, or an option names no column.
    ContractError
        A column cannot be read.
    """
    option, ts = "--features-time-column", arguments.features_time_column
    if ts is None:
        option, ts = "--time-column", arguments.time_column
    if ts not in table.columns:
        there = f"{any_of(table.columns)}{did_you_mean(ts, table.columns)}"
        msg = f"{option}: {ts!r}: expected a column of {arguments.features.name}: {there}"
        raise ConfigError(msg)
    kinds = {c.name: c.kind for c in baseline.columns if c.role == "feature"}
    if not any(is_known(name, kinds) for name in table.columns):
        msg = (
            f"--features: {arguments.features.name} has none of the baseline's features: "
            f"expected some of {any_of(sorted(kinds))}"
        )
        raise ConfigError(msg)
    wanted = [n for n in table.columns if is_known(n, kinds) or n in spec.segments]
    columns = read_reference(
        table,
        model=spec.model,
        version=baseline.version,
        ts=ts,
        time_unit=arguments.time_unit,
        features=wanted,
        categorical=[n for n in wanted if is_text(n, kinds)],
    ).columns
    return replace(columns, source="features"), _notes(columns, predictions, spec)


def _notes(features: Columns, predictions: Columns, spec: MonitorSpec) -> list[str]:
    if not spec.skew:
        return ["feature events are counted, and say nothing: the monitor has `skew: false`"]
    if not features.rows or not predictions.rows:
        return []
    if features.ts.min() > predictions.ts.max() or features.ts.max() < predictions.ts.min():
        return ["no feature event is of the time of the predictions: nothing of them can be compared"]
    return []
