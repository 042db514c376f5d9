"""Build a baseline from a table: a pandas or polars DataFrame, or a mapping of columns.

    baseline = seawall.build_baseline(df, model="late-arrival", version="3", ts="ts", scores="p", truths="y")

Columns are read as the client reads them, so that one is numeric here when it is numeric in live traffic.
The counting needs the service extra and is imported when a baseline is built.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seawall.baseline import Baseline
from seawall.durations import parse_duration
from seawall.errors import ConfigError, ContractError
from seawall.frames import Categorical, Columns, Floats
from seawall.reference_times import is_time, read_reference_times
from seawall.series import read_column, read_labels
from seawall.tables import checked_lengths, column_names, pick, read_feature, read_scores
from seawall.values import clean

#: As what pandas writes an index without a name: to Parquet, to CSV, and to either once it was read from CSV.
#: Live traffic has no such column, so it would be missing there.
_INDEX = re.compile(r"__index_level_\d+__||Unnamed: \d+")


@dataclass(frozen=True, slots=True)
class Reference:
    """A table, read: what the model saw and said, and the truth."""

    columns: Columns
    truths: Categorical | Floats | None
    task: str
    left_out: tuple[str, ...]
    """Columns that are times, or the index of a pandas frame in a file, so no features."""
    unreadable: Mapping[str, str]
    """Columns that are neither numbers nor text nor vectors, and why; of those that were not asked for by name."""


def build_baseline(
    table: Any,
    *,
    model: str,
    version: str,
    task: str = "",
    ts: Any = None,
    time_unit: str = "us",
    scores: Any = None,
    labels: Any = None,
    truths: Any = None,
    positive: str = "",
    features: Collection[str] | None = None,
    categorical: Collection[str] = (),
    pane: str | None = None,
    lineage: Mapping[str, str] | None = None,
    performance: Mapping[str, float] | None = None,
    importance: Mapping[str, float] | None = None,
) -> Baseline:
    """Build the reference of a model version from a table, one row per prediction.

    Parameters
    ----------
    table
        A pandas or polars DataFrame, or a mapping of names to columns.
    model, version
        What the baseline is of.
    task
        ``binary_classification``, ``multiclass_classification`` or ``regression``; guessed from `truths`.
    ts
        Event times, or the column that holds them. Times without a zone are taken as UTC; numbers count
        `time_unit` (s, ms, us or ns) since 1970. Without `ts` the baseline has no seasonal pattern.
    scores
        The model's output: a column or its name (``score`` in live traffic), or a mapping of score names
        to either.
    labels
        What the model predicted, where that is a label.
    truths
        What turned out. Numbers and booleans are a numeric label and text a class, as in `Client.log_label`.
    positive
        The class that a binary score speaks for, when it is not the one that sorts last.
    features
        Columns that are features; every other column of the table by default.
    categorical
        Features to read as text though they hold numbers, when live traffic sends them as text.
    pane
        Width of the reference panes, such as ``1h`` (the default).
    lineage, performance, importance
        Where the data come from, metrics measured elsewhere, the model's feature importances.

    Raises
    ------
    ContractError
        Naming the column that cannot be read.
    ConfigError
        When the service extra is not installed.
    """
    reference = read_reference(
        table,
        model=model,
        version=version,
        task=task,
        ts=ts,
        time_unit=time_unit,
        scores=scores,
        labels=labels,
        truths=truths,
        features=features,
        categorical=categorical,
    )
    for (
        why
    ) in reference.unreadable.values():  # a table can be given without it, and nobody would read a note here
        raise ContractError(why)
    return build_from(
        reference,
        positive=positive,
        pane=pane,
        lineage=lineage,
        performance=performance,
        importance=importance,
    )


def build_from(
    reference: Reference,
    *,
    positive: str = "",
    pane: str | None = None,
    lineage: Mapping[str, str] | None = None,
    performance: Mapping[str, float] | None = None,
    importance: Mapping[str, float] | None = None,
) -> Baseline:
    """Build a baseline from a table that was read already; what could not be read of it is not there."""
    try:
        from streams.core.build_baseline import build_baseline as build  # noqa: PLC0415
    except ImportError as error:
        msg = f"building a baseline needs {error.name}: pip install 'seawall[service]'"
        raise ConfigError(msg) from error
    columns = reference.columns
    return build(
        columns,
        model=columns.model,
        version=columns.version,
        task=reference.task,
        labels=reference.truths,
        positive=positive,
        pane_us=None if pane is None else _pane_us(pane),
        lineage=lineage,
        performance=performance,
        importance=importance,
        now_us=time.time_ns() // 1000,
    )


def _pane_us(pane: str) -> int:
    try:
        return parse_duration(pane)
    except ValueError as error:
        msg = f"pane: {pane!r}: expected {error}"
        raise ConfigError(msg) from error


def read_reference(
    table: Any,
    *,
    model: str,
    version: str,
    task: str = "",
    ts: Any = None,
    time_unit: str = "us",
    scores: Any = None,
    labels: Any = None,
    truths: Any = None,
    features: Collection[str] | None = None,
    categorical: Collection[str] = (),
) -> Reference:
    """Read a table; the parameters are those of `build_baseline`.

    A column that cannot be read is `Reference.unreadable`, unless `features` names it: then it is an error.
    """
    _check_about(model, version)
    if isinstance(scores, Mapping):
        named = {name: pick(table, f"score {name!r}", column) for name, column in scores.items()}
        score_columns = {c for c in scores.values() if isinstance(c, str)}
    else:
        named = pick(table, "scores", scores)
        score_columns = {scores} if isinstance(scores, str) else set()
    if isinstance(truths, str):
        _check_truths(truths, labels, score_columns)
    predicted, truth = pick(table, "labels", labels), pick(table, "truths", truths)
    found_truths = None if truth is None else read_column("truths", truth)
    task = task or guess_task(found_truths)
    if task == "regression" and named is None:
        # What a regression predicts is a number, and numbers that a model gives are scores.
        named, predicted = predicted, None
    asked = score_columns | {name for name in (ts, labels, truths) if isinstance(name, str)}
    names = (
        [name for name in column_names(table) if name not in asked] if features is None else list(features)
    )
    left_out = [
        name for name in names if features is None and (_INDEX.fullmatch(str(name)) or is_time(table[name]))
    ]
    names = [name for name in names if name not in left_out]
    _check_names(table, names, categorical)
    columns = Columns("predictions", clean(model), clean(version), np.empty(0, dtype=np.int64))
    unreadable: dict[str, str] = {}
    for name in names:
        text = clean(str(name))
        try:
            if name in categorical:
                columns.categorical[text] = read_labels(f"column {text!r}", table[name])
            else:
                read_feature(text, table[name], columns.numeric, columns.categorical)
        except ContractError as error:
            if features is not None:
                raise
            unreadable[text] = str(error)
    columns.scores = read_scores(named)
    columns.label = None if predicted is None else read_labels("labels", predicted)
    lengths = _lengths(columns, found_truths)
    if not lengths and unreadable:
        raise ContractError(next(iter(unreadable.values())))
    rows = lengths[0][1] if lengths else 0
    given_ts = pick(table, "ts", ts)
    columns.ts = (
        np.zeros(rows, dtype=np.int64) if given_ts is None else read_reference_times(given_ts, time_unit)
    )
    checked_lengths(rows, iter([*lengths, ("ts", columns.rows)]))
    return Reference(columns, found_truths, task, tuple(str(name) for name in left_out), unreadable)


def guess_task(truths: Categorical | Floats | None) -> str:
    """Tell the task from the truth: two classes (or 0 and 1), more classes, or numbers.

    Examples
    --------
    >>> guess_task(Categorical.of(["a", "b"])), guess_task(np.array([0.0, 1.0])), guess_task(np.array([0.5]))
    ('binary_classification', 'binary_classification', 'regression')
    """
    if truths is None:
        return ""
    if isinstance(truths, Categorical):
        classes = len(np.unique(truths.codes[truths.codes >= 0]))
        return "binary_classification" if classes <= 2 else "multiclass_classification"
    known = truths[~np.isnan(truths)]
    return "binary_classification" if np.isin(known, (0.0, 1.0)).all() else "regression"


def _check_about(model: str, version: str) -> None:
    for about, said in (("model", model), ("version", version)):
        if not said.strip():
            msg = f"{about}: {said!r}: expected a name"
            raise ContractError(msg)


def _check_truths(truths: str, labels: Any, scores: Collection[str]) -> None:
    """Refuse truths that are what was predicted: nothing would ever be wrong."""
    said = "labels" if isinstance(labels, str) and labels == truths else "scores" if truths in scores else ""
    if said:
        msg = f"truths: {truths!r} is what {said} name too, expected what turned out, not what was predicted"
        raise ContractError(msg)


def _check_names(table: Any, names: Collection[str], categorical: Collection[str]) -> None:
    there = column_names(table)
    for field, asked, allowed in (("features", names, there), ("categorical", categorical, names)):
        for name in asked:
            if name not in allowed:
                msg = f"{field}: {name!r} is none of the columns {', '.join(map(str, allowed))}"
                raise ContractError(msg)


def _lengths(columns: Columns, truths: Categorical | Floats | None) -> list[tuple[str, int]]:
    found = [(f"column {n!r}", len(v)) for n, v in columns.numeric.items()]
    found += [(f"column {n!r}", len(c.codes)) for n, c in columns.categorical.items()]
    found += [(f"score {n!r}", len(v)) for n, v in columns.scores.items()]
    for field, column in (("labels", columns.label), ("truths", truths)):
        if column is not None:
            found.append((field, len(column.codes if isinstance(column, Categorical) else column)))
    return found
