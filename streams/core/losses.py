"""What a prediction cost, from a label event that carries what was predicted: numbers of the row, and of nothing else.

===================  ====================================================================================
``error``            1 where the predicted label is not the truth, else 0
``brier``            of two classes (p - y)², 0..1; of more Σ (p_k - y_k)², 0..2
``log_loss``         -ln of the probability that the truth was given, nats; probabilities clipped to 1e-15
``absolute_error``   |prediction - truth|, in the unit of the label
``residual``         prediction - truth: above 0 where the model says too much
``squared_error``    (prediction - truth)²; counted where its root is promised
===================  ====================================================================================

NaN where the truth or the prediction is missing, or no probability (outside 0..1, or not adding up to 1). Which of them
are counted is decided by the baseline and the monitor (`LossRule`), never by values.

Metrics that are no means of single predictions need more of a row: where one is promised, its score is a number of the
column of its truth (`SCORED`), and missing in the other one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from detectors.quality import EPSILON
from seawall.baseline import Baseline
from seawall.frames import Categorical, Columns, Floats
from seawall.monitor import MonitorSpec
from seawall.monitor_yaml.rules import METRICS
from streams.core.reference_performance import SUM_TOLERANCE, as_classes

#: The column of a layout's role ``label`` that holds the truth; all other numbers of a label event are losses.
TRUTH = "label"
#: Losses by name, and how people call their mean.
IN_WORDS: Mapping[str, str] = {
    "error": "error rate",
    "brier": "mean Brier score",
    "log_loss": "mean log loss",
    "absolute_error": "mean absolute error",
    "residual": "mean of predicted less true",
    "squared_error": "mean squared error",
}
#: Losses of which less is better: only more of them is bad news. A residual is bad on either side.
ONE_SIDED = frozenset(IN_WORDS) - {"residual"}
OF_PROBABILITIES = ("brier", "log_loss")
OF_NUMBERS = ("absolute_error", "residual")
#: The loss whose mean a metric is, or one less it, or its root; metrics that are no such mean are not here.
LOSS_OF_METRIC: Mapping[str, str] = {name: metric.loss for name, metric in METRICS.items() if metric.loss}
#: Scores of labels whose truth was the class that a binary score speaks for, and of the others.
SCORED = ("score_of_positives", "score_of_negatives")
_BY_TASK: Mapping[str, tuple[str, ...]] = {
    "binary_classification": ("error",),
    "multiclass_classification": ("error",),
    "regression": OF_NUMBERS,
}


@dataclass(frozen=True, slots=True)
class LossRule:
    """Which losses of a version's labels are counted, and what is needed to."""

    names: frozenset[str]
    is_binary: bool
    positive: str = ""
    """Class that a binary score speaks for; else the number 1, or the class that the only score is named after."""


def rule_for(spec: MonitorSpec, baseline: Baseline | None) -> LossRule:
    """Return what is counted of a version's labels: what its baseline knows, what is promised, what the task allows."""
    known = frozenset(c.name for c in baseline.columns if c.role == "loss") if baseline else frozenset()
    task = spec.task or (baseline.task if baseline else "")
    promised = {name for metric in spec.performance for name in counted_for(metric)}
    positive = baseline.positive if baseline else ""
    is_binary = bool(positive) or (task != "multiclass_classification" and not known & {*OF_PROBABILITIES})
    return LossRule(known | promised | {*_BY_TASK.get(task, ())}, is_binary, positive)


def counted_for(metric: str) -> tuple[str, ...]:
    """Name what is counted of labels for a promised metric: its loss, or scores by truth."""
    return (LOSS_OF_METRIC[metric],) if metric in LOSS_OF_METRIC else SCORED


def with_losses(columns: Columns, rule: LossRule) -> Columns:
    """Return labels with their losses among their numbers, and without the prediction that these were made of."""
    if not columns.scores and columns.predicted is None:
        return columns
    numeric = {**columns.numeric, **losses_of(columns, rule)}
    return replace(columns, numeric=numeric, scores={}, predicted=None)


def losses_of(columns: Columns, rule: LossRule) -> dict[str, Floats]:
    """Return the losses of label events by name, float64 [rows] each. Which there are depends on columns alone."""
    found: dict[str, Floats] = {}
    number = columns.numeric.get(TRUTH)
    if number is not None and len(columns.scores) == 1:
        found |= _of_numbers(number, next(iter(columns.scores.values())))
    of_classes = {"error", *OF_PROBABILITIES, *SCORED}
    if (columns.label is not None or number is not None) and rule.names & of_classes:
        truth = _classes(columns.label, number)
        if columns.predicted is not None:
            found["error"] = _errors(truth, columns.predicted)
        if columns.scores:
            found |= _of_probabilities(truth, columns, rule)
    return {name: values for name, values in found.items() if name in rule.names}


def _of_numbers(truth: Floats, prediction: Floats) -> dict[str, Floats]:
    with np.errstate(invalid="ignore", over="ignore"):
        off = prediction - truth
        return {"absolute_error": np.abs(off), "residual": off, "squared_error": np.square(off)}


def _classes(label: Categorical | None, number: Floats | None) -> Categorical:
    """Return the truth as a class: the text, or in its place the number as predicted labels are written."""
    if label is None or number is None:
        return as_classes(number) if label is None and number is not None else label or Categorical.of([])
    spelt = as_classes(number)
    codes = np.where(
        label.codes >= 0, label.codes, np.where(spelt.codes < 0, -1, spelt.codes + len(label.dictionary))
    )
    return Categorical(codes.astype(np.int32), [*label.dictionary, *spelt.dictionary])


def _errors(truth: Categorical, predicted: Categorical) -> Floats:
    place = {name: i for i, name in enumerate(dict.fromkeys([*truth.dictionary, *predicted.dictionary]))}
    said, is_so = (_placed(column, place) for column in (predicted, truth))
    return np.where((said >= 0) & (is_so >= 0), (said != is_so).astype(np.float64), np.nan)


def _placed(column: Categorical, place: Mapping[str, int]) -> npt.NDArray[np.int64]:
    """Index of each row's text in `place`, -1 where it is missing or not there."""
    lookup = np.array([*(place.get(name, -1) for name in column.dictionary), -1], dtype=np.int64)
    return lookup[column.codes]


def _of_probabilities(truth: Categorical, columns: Columns, rule: LossRule) -> dict[str, Floats]:
    if not rule.is_binary:
        return _of_classes(truth, columns.scores)
    told = _binary(truth, columns, rule)
    if told is None:
        return {}
    score, hit = told
    is_known = truth.codes >= 0
    with np.errstate(invalid="ignore"):
        known = is_known & (score >= 0) & (score <= 1)
    given = np.where(hit, score, 1 - score)
    by_truth = (np.where(is_known & (hit == side), score, np.nan) for side in (True, False))
    return _known(known, given, np.square(score - hit)) | dict(zip(SCORED, by_truth, strict=True))


def _binary(
    truth: Categorical, columns: Columns, rule: LossRule
) -> tuple[Floats, npt.NDArray[np.bool_]] | None:
    """Return the score of each row and whether the truth is what it speaks for; None where that is not known."""
    scores = columns.scores
    positive = rule.positive or ("1" if columns.label is None else "")
    if len(scores) == 1:
        (name,) = scores
        positive = positive or (name if name != "score" else "")
        score = scores[name]
    elif positive in scores:
        score = scores[positive]
    else:
        return None
    return (score, _placed(truth, {positive: 1}) == 1) if positive else None


def _of_classes(truth: Categorical, scores: Mapping[str, Floats]) -> dict[str, Floats]:
    place = _placed(truth, {name: i for i, name in enumerate(scores)})
    table = np.column_stack([*scores.values()])
    with np.errstate(invalid="ignore", over="ignore"):
        known = (place >= 0) & (table >= 0).all(axis=1) & (np.abs(table.sum(axis=1) - 1) <= SUM_TOLERANCE)
        given = table[np.arange(len(table)), np.maximum(place, 0)]
        squares = np.square(table).sum(axis=1) - 2 * given + 1
    return _known(known, given, squares)


def _known(known: npt.NDArray[np.bool_], given: Floats, squares: Floats) -> dict[str, Floats]:
    """Return both losses of the probability that was given to the truth; NaN where it is not known."""
    clipped = np.clip(np.where(known, given, 1.0), EPSILON, 1.0)
    return {"log_loss": np.where(known, -np.log(clipped), np.nan), "brier": np.where(known, squares, np.nan)}
