"""How well a model did on its reference: from labels, scores and predictions to named metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from detectors import quality
from seawall.errors import ContractError
from seawall.frames import Categorical, Columns, Floats
from seawall.values import as_text

#: Spellings of the positive class, lower case.
POSITIVE_NAMES = frozenset({"1", "1.0", "true", "yes", "y", "t", "positive", "pos"})
#: Class probabilities may miss 1 by this much, as single precision does.
SUM_TOLERANCE = 1e-4


def reference_performance(
    columns: Columns, labels: Categorical | Floats, task: str, positive: str = ""
) -> dict[str, float]:
    """Return every metric that the data allow, by name; undefined ones are left out.

    Binary classification has roc_auc, log_loss, brier and ece (the last three only when the score lies in
    0..1) and accuracy; multiclass has accuracy and log_loss; regression rmse and mae. Rows in
    which the label or the score is missing are left out. Numeric labels are classes when `task` says so, or
    when it says nothing and they are all 0 or 1.
    """
    task = task_of(labels, task)
    if not task:
        return {}
    if not isinstance(labels, Categorical):
        if task == "regression":
            return _finite(_regression(labels, columns.scores))
        labels = as_classes(labels)
    found = _accuracy(columns.label, labels) if columns.label is not None else {}
    if task == "multiclass_classification":
        found |= _multiclass(labels, columns.scores)
    elif said := positive_of(labels, list(columns.scores), positive):
        found |= _binary(labels, columns.scores, said)
    return _finite(found)


def task_of(labels: Categorical | Floats, task: str = "") -> str:
    """Return the task that a truth is of: as said, else by its values; empty where a regression's would be text."""
    if not isinstance(labels, Categorical):
        known = labels[np.isfinite(labels)]
        if task == "regression" or (not task and not np.isin(known, (0.0, 1.0)).all()):
            return "regression"
        labels = as_classes(labels)
    elif task == "regression":
        return ""
    many = task == "multiclass_classification" or (not task and len(_classes(labels)) > 2)
    return "multiclass_classification" if many else "binary_classification"


def positive_of(labels: Categorical | Floats, score_names: Sequence[str], positive: str = "") -> str:
    """Return the class of two that a binary score speaks for; empty where there are not two.

    Raises
    ------
    ContractError
        For a `positive` that is neither of the two.
    """
    labels = labels if isinstance(labels, Categorical) else as_classes(labels)
    classes = _classes(labels)
    if len(classes) != 2:
        return ""
    said = positive or positive_class(classes, score_names)
    if said not in classes:
        msg = f"positive: {said!r}: expected one of the classes {classes[0]!r} and {classes[1]!r}"
        raise ContractError(msg)
    return said


def _finite(found: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in found.items() if math.isfinite(value)}


def as_classes(labels: Floats) -> Categorical:
    """Numeric labels as text: 1.0 is "1", as predicted labels are written."""
    present, places = np.unique(np.where(np.isfinite(labels), labels, np.nan), return_inverse=True)
    names = [as_text("label", value) or "" for value in present.tolist()]
    codes = np.where(np.isfinite(present), np.arange(len(present)), -1).astype(np.int32)
    return Categorical(codes[places], names)


def positive_class(classes: Sequence[str], score_names: Sequence[str] = ()) -> str:
    """Say which of two classes a binary score speaks for.

    The class that the only score is named after; else one spelt like a yes; else the one that sorts last,
    which is scikit-learn's ``classes_[1]``.

    Examples
    --------
    >>> positive_class(["late", "on_time"], ["late"]), positive_class(["true", "false"])
    ('late', 'true')
    """
    named = [c for c in classes if c in score_names]
    if len(named) == 1:
        return named[0]
    yes = [c for c in classes if c.lower() in POSITIVE_NAMES]
    return yes[0] if len(yes) == 1 else max(classes)


def _classes(labels: Categorical) -> list[str]:
    present = np.unique(labels.codes[labels.codes >= 0])
    return [labels.dictionary[i] for i in present]


def _accuracy(predicted: Categorical, labels: Categorical) -> dict[str, float]:
    place = {name: i for i, name in enumerate(labels.dictionary)}
    # A predicted class that the labels lack is wrong (-2), not missing.
    translate = np.array([*(place.get(name, -2) for name in predicted.dictionary), -1])
    same_codes = translate[predicted.codes]
    known = (same_codes != -1) & (labels.codes >= 0)
    if not known.any():
        return {}
    return {"accuracy": float(np.mean(same_codes[known] == labels.codes[known]))}


def _binary(labels: Categorical, scores: Mapping[str, Floats], positive: str) -> dict[str, float]:
    if positive not in labels.dictionary:
        return {}
    if positive in scores:
        score = scores[positive]
    elif len(scores) == 1:
        score = next(iter(scores.values()))
    else:
        return {}
    known = (labels.codes >= 0) & np.isfinite(score)
    truth = labels.codes[known] == labels.dictionary.index(positive)
    score = score[known]
    found = {"roc_auc": quality.roc_auc(truth, score)}
    if len(score) and score.min() >= 0 and score.max() <= 1:
        found["log_loss"] = quality.log_loss(truth, score)
        found["brier"] = quality.brier(truth, score)
        found["ece"] = quality.calibration_error(truth, score)
    return found


def _multiclass(labels: Categorical, scores: Mapping[str, Floats]) -> dict[str, float]:
    names = list(scores)
    if not names or not set(_classes(labels)) <= set(names):
        return {}
    table = np.column_stack([scores[name] for name in names])
    place = np.array([*(names.index(c) if c in names else -1 for c in labels.dictionary), -1])
    truth = place[labels.codes]
    known = (truth >= 0) & np.isfinite(table).all(axis=1)
    table, truth = table[known], truth[known]
    if not len(table) or table.min() < 0 or np.abs(table.sum(axis=1) - 1).max() > SUM_TOLERANCE:
        return {}
    return {"log_loss": quality.log_loss_of_classes(truth, table)}


def _regression(labels: Floats, scores: Mapping[str, Floats]) -> dict[str, float]:
    if len(scores) != 1:
        return {}
    prediction = next(iter(scores.values()))
    known = np.isfinite(labels) & np.isfinite(prediction)
    return {
        "rmse": quality.rmse(labels[known], prediction[known]),
        "mae": quality.mae(labels[known], prediction[known]),
    }
