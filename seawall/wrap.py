"""Watch a model where it is called: log what it was given and what it said, and change nothing else."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, overload

import numpy as np

from seawall.client import Client
from seawall.errors import ConfigError

_F = TypeVar("_F", bound=Callable[..., Any])
#: Arrays this short are logged row by row, which is cheaper for the caller than by column.
_FEW_ROWS = 8
EventIdsOf = Callable[[Any], Any]


class WatchedEstimator:
    """Stands in for an estimator: logs what it served, passes on everything else."""

    def __init__(self, estimator: Any, log: _Log) -> None:
        self._seawall_estimator = estimator
        self._seawall_log = log

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_seawall_"):  # while being copied or unpickled there is nothing to ask yet
            raise AttributeError(name)
        return getattr(self._seawall_estimator, name)

    def predict_proba(self, X: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Return what the estimator returns, logging its probabilities."""
        served = self._seawall_estimator.predict_proba(X, *args, **kwargs)
        self._seawall_log.probabilities(X, served)
        return served

    def predict(self, X: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Return what the estimator returns, logging labels (of a classifier) or values (of a regressor)."""
        served = self._seawall_estimator.predict(X, *args, **kwargs)
        self._seawall_log.predictions(X, served)
        return served


@overload
def watch(
    target: None = None,
    client: Client | None = None,
    *,
    feature_names: Sequence[str] | None = None,
    model: str | None = None,
    version: str | None = None,
    event_ids: EventIdsOf | None = None,
) -> Callable[[_F], _F]: ...
@overload
def watch(
    target: Any,
    client: Client | None = None,
    *,
    feature_names: Sequence[str] | None = None,
    model: str | None = None,
    version: str | None = None,
    event_ids: EventIdsOf | None = None,
) -> Any: ...
def watch(
    target: Any = None,
    client: Client | None = None,
    *,
    feature_names: Sequence[str] | None = None,
    model: str | None = None,
    version: str | None = None,
    event_ids: EventIdsOf | None = None,
) -> Any:
    """Watch an estimator, or a function that serves predictions.

    Parameters
    ----------
    target
        An object with ``predict`` or ``predict_proba``; or a function, plain or ``async``, whose first
        argument is a mapping of features or a table. A number, an array or a mapping by class that it
        returns is the score, a
        text or bool the label. Left out, a decorator is returned: ``@watch(client=client)``.
    client
        Where to log.
    feature_names
        Names of the columns of a bare array; by default the estimator's ``feature_names_in_``, or ``x0``,
        ``x1``, …
    model, version
        Instead of the client's.
    event_ids
        Tells the event ids from the input, so that labels can be joined later; made up when not given.

    Returns
    -------
    object
        Behaves like the target and returns exactly what it returned. Calling both ``predict`` and
        ``predict_proba`` on the same rows logs them twice.
    """
    if client is None:
        raise ConfigError("client: is missing, expected a seawall.Client")
    if target is None:
        return functools.partial(
            watch,
            client=client,
            feature_names=feature_names,
            model=model,
            version=version,
            event_ids=event_ids,
        )
    log = _Log(client, target, feature_names, model, version, event_ids=event_ids)
    if hasattr(target, "predict") or hasattr(target, "predict_proba"):
        return WatchedEstimator(target, log)
    if not callable(target):
        msg = f"target: a {type(target).__name__} can be neither called nor asked to predict"
        raise ConfigError(msg)
    return _watch_function(target, log)


def _watch_function(function: Callable[..., Any], log: _Log) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def watched_async(*args: Any, **kwargs: Any) -> Any:
            served = await function(*args, **kwargs)
            log.call(args, kwargs, served)
            return served

        return watched_async

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        served = function(*args, **kwargs)
        log.call(args, kwargs, served)
        return served

    return watched


class _Log:
    """Lays out what a model was given and said for the client. Never raises."""

    def __init__(
        self,
        client: Client,
        target: Any,
        feature_names: Sequence[str] | None,
        model: str | None,
        version: str | None,
        *,
        event_ids: EventIdsOf | None,
    ) -> None:
        self._client = client
        self._target = target
        self._names = None if feature_names is None else [str(name) for name in feature_names]
        self._about: dict[str, Any] = {"model": model, "version": version}
        self._event_ids = event_ids

    def probabilities(self, given: Any, served: Any) -> None:
        """Log ``predict_proba``: of two classes the second one's probability, of more each by its class."""
        with self._client.guarded():
            matrix = np.asarray(served)
            classes = [str(c) for c in getattr(self._target, "classes_", range(matrix.shape[1]))]
            if matrix.shape[1] == 2:
                self._rows(given, {"score": matrix[:, 1]}, None)
            else:
                self._rows(given, dict(zip(classes, matrix.T, strict=True)), None)

    def predictions(self, given: Any, served: Any) -> None:
        """Log ``predict``."""
        with self._client.guarded():
            if hasattr(self._target, "classes_"):
                self._rows(given, None, np.asarray(served))
            else:
                self._rows(given, served, None)

    def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], served: Any) -> None:
        """Log a function's call."""
        with self._client.guarded():
            given = args[0] if args else next(iter(kwargs.values()))
            is_label = isinstance(served, str | bool | np.bool_)
            if isinstance(given, Mapping) and not any(np.ndim(v) for v in given.values()):
                ids = self._event_ids(given) if self._event_ids else None
                outcome: dict[str, Any] = {"label" if is_label else "score": served}
                self._client.log_prediction(given, event_id=ids, **outcome, **self._about)
            elif getattr(np.asarray(served).dtype, "kind", "") in "OUSb" and not isinstance(served, Mapping):
                self._rows(given, None, served)
            else:
                self._rows(given, served, None)

    def _rows(self, given: Any, scores: Any, labels: Any) -> None:
        ids = self._event_ids(given) if self._event_ids else None
        table = given
        if not isinstance(given, Mapping) and not hasattr(given, "columns"):
            matrix = np.asarray(given)
            names = self._column_names(matrix.shape[1])
            if len(matrix) <= _FEW_ROWS:
                self._few_rows(matrix, names, scores, labels, ids)
                return
            table = {name: matrix[:, i] for i, name in enumerate(names)}
        self._client.log_predictions(table, scores=scores, labels=labels, event_ids=ids, **self._about)

    def _few_rows(self, matrix: Any, names: list[str], scores: Any, labels: Any, ids: Any) -> None:
        score_rows = None if scores is None or isinstance(scores, Mapping) else np.asarray(scores).tolist()
        for row, values in enumerate(matrix.tolist()):
            if isinstance(scores, Mapping):
                score: Any = {name: column[row] for name, column in scores.items()}
                score = score["score"] if score.keys() == {"score"} else score
            else:
                score = None if score_rows is None else score_rows[row]
            self._client.log_prediction(
                dict(zip(names, values, strict=True)),
                score=score,
                label=None if labels is None else labels[row],
                event_id=None if ids is None else ids[row],
                **self._about,
            )

    def _column_names(self, columns: int) -> list[str]:
        names = self._names
        if names is None:
            names = [str(n) for n in getattr(self._target, "feature_names_in_", ())]
        return names or [f"x{i}" for i in range(columns)]
