"""A file of history: what was predicted, and what turned out of it, as the events that a service would have sent."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seawall.baseline import Baseline
from seawall.build import read_reference
from seawall.embeddings import names_of
from seawall.errors import ConfigError, ContractError
from seawall.frames import Categorical, Columns, Floats
from seawall.monitor import MonitorSpec
from seawall.monitor_yaml.problems import any_of, did_you_mean
from seawall.reference_times import read_reference_times

if TYPE_CHECKING:
    import polars as pl

Bools = npt.NDArray[np.bool_]
#: What a loss is made of, by the options that name it.
_MADE_OF = {
    "error": "the predicted class (--prediction-column)",
    "brier": "probabilities from 0 to 1 (--score-column, or --score for each class)",
    "log_loss": "probabilities from 0 to 1 (--score-column, or --score for each class)",
    "absolute_error": "numbers in --label-column and in --score-column or --prediction-column",
    "residual": "numbers in --label-column and in --score-column or --prediction-column",
    "squared_error": "numbers in --label-column and in --score-column or --prediction-column",
}


@dataclass(frozen=True)
class History:
    """Events by source, and what their reader should know."""

    predictions: Columns
    labels: Columns | None = None
    """One for each row whose truth is known, with what was predicted; None where no column has the truth."""
    notes: list[str] = field(default_factory=list)

    @property
    def parts(self) -> list[Columns]:
        """Columns of each source that there is."""
        return [self.predictions, *([] if self.labels is None else [self.labels])]


def read_history(
    table: pl.DataFrame,
    baseline: Baseline,
    spec: MonitorSpec,
    arguments: argparse.Namespace,
) -> History:
    """Read the columns that the baseline knows, those that cut traffic into segments, and the truth.

    Raises
    ------
    ConfigError
        An option names no column, or columns of which nothing that is watched can be made.
    ContractError
        A column cannot be read.
    """
    scores = _scores(arguments)
    _check_names(table, scores, arguments)
    features = {c.name: c.kind for c in baseline.columns if c.role == "feature"}
    wanted = [n for n in table.columns if is_known(n, features) or n in spec.segments]
    if not wanted and not any(
        o in {"--score-column", "--score", "--prediction-column"} for o, _ in _named(scores, arguments)
    ):
        known = any_of(list(features), 8) if features else "nothing: it has no features"
        msg = f"{arguments.data.name} has none of the baseline's features: expected some of {known}"
        raise ConfigError(msg)
    reference = read_reference(
        table,
        model=spec.model,
        version=baseline.version,
        task=baseline.task,
        ts=arguments.time_column,
        time_unit=arguments.time_unit,
        scores=scores or arguments.score_column,
        labels=arguments.prediction_column,
        truths=arguments.label_column,
        features=wanted,
        categorical=[n for n in wanted if is_text(n, features)],
    )
    lost = _absent(reference.columns, baseline, arguments.data.name)
    losses = watched_losses(spec, baseline)
    if reference.truths is None:
        note = (
            f"no labels are played, and the monitor watches losses ({', '.join(losses)}): "
            "--label-column names what turned out"
        )
        return History(reference.columns, None, [*lost, *([note] if losses else [])])
    labels, notes = _labels(table, reference.columns, reference.truths, spec, arguments)
    unseen = _unseen(labels, losses, spec, baseline, arguments)
    return History(reference.columns, labels, [*lost, *notes, *unseen])


def _absent(columns: Columns, baseline: Baseline, file: str) -> list[str]:
    """Say what the baseline has and these rows have not: it is missing in every one of them, which may page."""
    read = {*columns.numeric, *columns.categorical}
    features = [c.name for c in baseline.columns if c.role == "feature" and c.name not in read]
    notes = [f"not in {file}, and so missing in every row: {', '.join(features)}"] if features else []
    unnamed = [
        f"score {c.name} (--score, --score-column)"
        for c in baseline.columns
        if c.role == "score" and c.name not in columns.scores
    ]
    if columns.label is None and any(c.role == "prediction" for c in baseline.columns):
        unnamed.append("the predicted label (--prediction-column)")
    if unnamed:
        notes.append(
            f"no option names what the baseline has, and so it is missing in every row: {', '.join(unnamed)}"
        )
    return notes


def is_known(name: str, features: Mapping[str, str]) -> bool:
    """Whether the baseline has the column, or the numbers that it becomes if it holds vectors."""
    return name in features or names_of(name)[-1] in features


def is_text(name: str, features: Mapping[str, str]) -> bool:
    """Whether the baseline has the column as text, as is a column that it does not know and that cuts traffic."""
    return not is_known(name, features) or features.get(name) == "categorical"


def watched_losses(spec: MonitorSpec, baseline: Baseline) -> list[str]:
    """Return the losses that the baseline knows, those that are promised, and promised metrics that have none."""
    from streams.core.losses import LOSS_OF_METRIC

    known = [c.name for c in baseline.columns if c.role == "loss"]
    return [*dict.fromkeys([*known, *(LOSS_OF_METRIC.get(metric, metric) for metric in spec.performance)])]


def _scores(arguments: argparse.Namespace) -> dict[str, str]:
    from seawall.cli.baseline import _pairs

    if arguments.score and arguments.score_column:
        raise ConfigError("--score-column: not together with --score, which names every score itself")
    return _pairs("--score", arguments.score)


def _named(scores: dict[str, str], arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield the columns that options name."""
    for option in ("time", "score", "prediction", "label", "label_time"):
        name = getattr(arguments, f"{option}_column")
        if name is not None:
            yield f"--{option.replace('_', '-')}-column", name
    yield from (("--score", name) for name in scores.values())


def _check_names(table: pl.DataFrame, scores: dict[str, str], arguments: argparse.Namespace) -> None:
    for option, name in _named(scores, arguments):
        if name not in table.columns:
            there = f"{any_of(table.columns)}{did_you_mean(name, table.columns)}"
            msg = f"{option}: {name!r}: expected a column of {arguments.data.name}: {there}"
            raise ConfigError(msg)
    if arguments.label_column is None:
        if arguments.label_time_column is not None:
            raise ConfigError("--label-time-column: only with --label-column, which names what turned out")
        return
    said = [
        (o, n)
        for o, n in _named(scores, arguments)
        if o in {"--score-column", "--score", "--prediction-column"}
    ]
    if not said:
        raise ConfigError(
            "--label-column: needs what was predicted beside it: --prediction-column, --score-column or --score"
        )
    for option, name in said:
        if name == arguments.label_column:
            msg = (
                f"--label-column: {name!r}: is {option} too; expected what turned out, not what was predicted"
            )
            raise ConfigError(msg)


def _labels(
    table: pl.DataFrame,
    predictions: Columns,
    truths: Categorical | Floats,
    spec: MonitorSpec,
    arguments: argparse.Namespace,
) -> tuple[Columns, list[str]]:
    """Make the labels of rows whose truth is known, by the time at which it was; rows without it have none."""
    from streams.core.backtest import rows_of

    known: Bools = truths.codes >= 0 if isinstance(truths, Categorical) else ~np.isnan(truths)
    if not known.any():
        msg = f"--label-column: {arguments.label_column!r}: all {len(known):,} values are missing, expected some"
        raise ConfigError(msg)
    labels = Columns(
        "labels",
        predictions.model,
        predictions.version,
        predictions.ts,
        numeric={} if isinstance(truths, Categorical) else {"label": truths},
        label=truths if isinstance(truths, Categorical) else None,
        scores=predictions.scores,
        predicted=predictions.label,
        segments={n: predictions.categorical[n] for n in spec.segments if n in predictions.categorical},
    )
    labels = rows_of(labels, np.flatnonzero(known))
    if arguments.label_time_column is None:
        return labels, []
    predicted_us = labels.ts
    labels.ts = _label_times(table, known, arguments)
    early = int((labels.ts < predicted_us).sum())
    note = f"{early:,} of {labels.rows:,} labels were known before their prediction was made (--label-time-column)"
    return labels, [note] if early else []


def _label_times(table: pl.DataFrame, known: Bools, arguments: argparse.Namespace) -> npt.NDArray[np.int64]:
    column = table[arguments.label_time_column]
    lost = known & column.is_null().to_numpy()
    if lost.any():
        msg = (
            f"--label-time-column: {column.name!r}: {int(lost.sum()):,} rows have a label and no time, "
            f"the first is row {int(np.argmax(lost))}"
        )
        raise ConfigError(msg)
    try:
        return read_reference_times(column.filter(known), arguments.time_unit)
    except ContractError as error:
        msg = f"--label-time-column: {column.name!r}: {error}"
        raise ConfigError(msg) from error


def _unseen(
    labels: Columns, losses: list[str], spec: MonitorSpec, baseline: Baseline, arguments: argparse.Namespace
) -> list[str]:
    """Say which losses the monitor watches and these labels do not have.

    Raises
    ------
    ConfigError
        When they have none of them.
    """
    from streams.core.losses import losses_of, rule_for

    if not losses:
        note = (
            "labels are counted, and nothing of them is watched: the baseline knows no losses "
            "(`seawall baseline build --label-column`), and the monitor promises none"
        )
        return [note]
    _check_classes(labels, arguments)
    found = losses_of(labels, rule_for(spec, baseline))
    lacks = {name: _lacks(name, found) for name in losses}
    missing = [name for name in losses if lacks[name]]
    notes = [f"{name} cannot be counted: {lacks[name]}" for name in missing]
    if len(missing) == len(losses):
        msg = f"--label-column: {arguments.label_column!r}: {'; '.join(notes)}"
        raise ConfigError(msg)
    return notes


def _lacks(name: str, found: Mapping[str, Floats]) -> str:
    """Say why a loss, or a metric that has none, cannot be had of labels; empty where it can."""
    from streams.core.losses import SCORED
    from streams.core.scored import why_not

    nothing = np.empty(0)
    if name not in _MADE_OF:
        return why_not(name, *(found.get(column, nothing) for column in SCORED))
    return "" if np.isfinite(found.get(name, nothing)).any() else f"expected {_MADE_OF[name]}"


def _check_classes(labels: Columns, arguments: argparse.Namespace) -> None:
    """Refuse classes that are spelt otherwise than the truth: every prediction would be an error."""
    from streams.core.reference_performance import as_classes

    truth = labels.label if labels.label is not None else as_classes(labels.numeric["label"])
    if labels.predicted is None:
        return
    said, is_so = (_present(words) for words in (labels.predicted, truth))
    if said and not said & is_so:
        msg = (
            f"--prediction-column: {arguments.prediction_column!r}: holds {any_of(sorted(said), 4)}, and "
            f"--label-column {any_of(sorted(is_so), 4)}: expected the same classes"
        )
        raise ConfigError(msg)


def _present(words: Categorical) -> set[str]:
    return {words.dictionary[code] for code in np.unique(words.codes).tolist() if code >= 0}
