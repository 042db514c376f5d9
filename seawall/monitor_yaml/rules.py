"""What a monitor file may hold: its keys, its words and the metrics that can be promised."""

from __future__ import annotations

from dataclasses import dataclass

TASKS = ("binary_classification", "multiclass_classification", "regression", "none")
MODES = ("observe", "approve", "auto")

KEYS = (
    "model",
    "task",
    "promise",
    "windows",
    "segments",
    "max_segments",
    "effect",
    "detectors",
    "columns",
    "timezone",
    "alarm",
    "skew",
    "multivariate",
    "rollback",
    "notify",
)
PROMISE_KEYS = ("false_pages", "performance", "freshness")
WINDOW_KEYS = ("pane", "horizons", "lateness", "grace", "min_rows", "min_coverage")
#: What a smallest effect can be of, and the greatest that makes sense.
EFFECTS: dict[str, float] = {
    "js": 1.0,
    "missing": 1.0,
    "unseen": 1.0,
    "out_of_range": 1.0,
    "correlation": 2.0,
    "mmd": 2.0,
    "reconstruction": 1.0,
    "loss": 1.0,
}
#: Those of single columns; the others are of several at once.
COLUMN_EFFECTS = ("js", "missing", "unseen", "out_of_range")
COLUMN_KEYS = ("ignore", "effect", "detectors")
ALARM_KEYS = ("open_after", "resolve_after")
ROLLBACK_KEYS = ("mode", "target", "cooldown", "release_window", "approval_timeout", "recovery")

#: Where each key belongs, for those that stand in the wrong section.
PLACES: dict[str, str] = {
    **{key: f"effect.{key}" for key in EFFECTS},
    **{key: key for key in KEYS},
    **{key: f"promise.{key}" for key in PROMISE_KEYS},
    **{key: f"windows.{key}" for key in WINDOW_KEYS},
    **{key: f"alarm.{key}" for key in ALARM_KEYS},
    **{key: f"rollback.{key}" for key in ROLLBACK_KEYS},
}

SHORTEST_PANE_US = 1_000_000
#: Every open window holds one cell per pane and segment, so the longest horizon bounds a worker's memory.
MOST_PANES_IN_HORIZON = 20_160
MOST_HORIZONS = 8

RECEIVERS = {
    "log": "log",
    "webhook": "webhook",
    "slack": "slack:#channel",
    "pagerduty": "pagerduty:service",
}
#: Receivers that need a part after the colon.
ADDRESSED = frozenset({"slack", "pagerduty"})


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that a monitor can promise."""

    tasks: tuple[str, ...]
    higher_is_better: bool
    most: float | None = 1.0
    """Greatest value it can take, None when there is no limit. The least is 0."""
    loss: str = ""
    """The loss of single predictions whose mean it follows from; the others follow from how scores lie by truth."""


_BINARY = ("binary_classification",)
_CLASSES = ("binary_classification", "multiclass_classification")
_REGRESSION = ("regression",)

METRICS: dict[str, Metric] = {
    "roc_auc": Metric(_BINARY, True),
    "accuracy": Metric(_CLASSES, True, loss="error"),
    "log_loss": Metric(_CLASSES, False, None, "log_loss"),
    "brier": Metric(_BINARY, False, loss="brier"),
    "ece": Metric(_BINARY, False),
    "rmse": Metric(_REGRESSION, False, None, "squared_error"),
    "mae": Metric(_REGRESSION, False, None, "absolute_error"),
}
