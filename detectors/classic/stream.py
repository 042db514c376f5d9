"""River's stream detectors behind one protocol."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from river import drift, stats
from river.drift import binary


class StreamDetector(Protocol):
    """Takes one value after the other and says when something changed."""

    name: str

    def update(self, x: float) -> bool:
        """Take one value; True when a change is signalled at it."""

    def snapshot(self) -> dict[str, Any] | None:
        """Return the whole state, fit for JSON, or None where that is not possible."""


@dataclass(frozen=True, slots=True)
class StreamKind:
    """One kind of stream detector.

    Attributes
    ----------
    make
        River's class.
    defaults
        Its parameters as they are here.
    takes_errors
        Values are errors of a model, 0 (right) or 1 (wrong), or anything between.
    has_snapshot
        Whether river keeps the state where it can be read; parts of ADWIN and HDDM-W live in compiled code.
    """

    name: str
    title: str
    make: Callable[..., Any]
    defaults: Mapping[str, Any]
    takes_errors: bool
    has_snapshot: bool
    reference: str


STREAMS: Mapping[str, StreamKind] = {
    k.name: k
    for k in (
        StreamKind(
            "adwin",
            "ADWIN",
            drift.ADWIN,
            {"delta": 0.002},
            takes_errors=False,
            has_snapshot=False,
            reference="Bifet & Gavaldà (2007), https://doi.org/10.1137/1.9781611972771.42",
        ),
        # River seeds KSWIN from the clock unless told otherwise; a replay must say the same again.
        StreamKind(
            "kswin",
            "KSWIN",
            drift.KSWIN,
            {"alpha": 0.005, "window_size": 100, "stat_size": 30, "seed": 0},
            takes_errors=False,
            has_snapshot=True,
            reference="Raab, Heusinger & Schleif (2020), https://doi.org/10.1016/j.neucom.2019.11.111",
        ),
        StreamKind(
            "page_hinkley",
            "Page-Hinkley",
            drift.PageHinkley,
            {"min_instances": 30, "delta": 0.005, "threshold": 50.0, "alpha": 1 - 0.0001, "mode": "both"},
            takes_errors=False,
            has_snapshot=True,
            reference="Page (1954), https://doi.org/10.1093/biomet/41.1-2.100",
        ),
        StreamKind(
            "ddm",
            "DDM",
            binary.DDM,
            {"warm_start": 30, "drift_threshold": 3.0},
            takes_errors=True,
            has_snapshot=True,
            reference="Gama et al. (2004), https://doi.org/10.1007/978-3-540-28645-5_29",
        ),
        StreamKind(
            "eddm",
            "EDDM",
            binary.EDDM,
            {"warm_start": 30, "alpha": 0.95, "beta": 0.9},
            takes_errors=True,
            has_snapshot=True,
            reference="Baena-García et al. (2006), Early drift detection method",
        ),
        StreamKind(
            "hddm_a",
            "HDDM-A",
            binary.HDDMA,
            {"drift_confidence": 0.001, "two_sided_test": False},
            takes_errors=True,
            has_snapshot=True,
            reference="Frías-Blanco et al. (2015), https://doi.org/10.1109/TKDE.2014.2345382",
        ),
        StreamKind(
            "hddm_w",
            "HDDM-W",
            binary.HDDMW,
            {"drift_confidence": 0.001, "lambda_val": 0.05, "two_sided_test": False},
            takes_errors=True,
            has_snapshot=False,
            reference="Frías-Blanco et al. (2015), https://doi.org/10.1109/TKDE.2014.2345382",
        ),
    )
}


class RiverStream:
    """One of river's detectors, fed value by value.

    Parameters
    ----------
    kind
        One of `STREAMS`.
    **parameters
        River's own, by river's names; the defaults are those of `StreamKind.defaults`.

    Raises
    ------
    ValueError
        When river has no parameter of that name, or refuses its value.

    Notes
    -----
    None of them states a false-page rate: docs/detectors.md shows what was measured. NaN and ±inf are skipped and
    counted in `skipped`. A constant stream never signals. After a signal river starts afresh by itself.

    Examples
    --------
    >>> detector = RiverStream(STREAMS["adwin"])
    >>> [i for i in range(2000) if detector.update(0.0 if i < 1000 else 1.0)]
    [1023]
    """

    def __init__(self, kind: StreamKind, **parameters: Any) -> None:
        known = kind.make()._get_params()
        for name in parameters:
            if name not in known:
                msg = f"{name}: is no parameter of {kind.name}, want one of {', '.join(sorted(known))}"
                raise ValueError(msg)
        self.kind = kind
        self.name = kind.name
        self.parameters = {**kind.defaults, **parameters}
        for name, value in self.parameters.items():
            _check(kind.name, name, value)
        self.skipped = 0
        self._river = kind.make(**self.parameters)

    def update(self, x: float) -> bool:
        """Take one value; True when a change is signalled at it.

        Raises
        ------
        ValueError
            When a detector of errors is given something outside 0..1.
        """
        if not math.isfinite(x):
            self.skipped += 1
            return False
        if self.kind.takes_errors and not 0.0 <= x <= 1.0:
            msg = f"x: {x!r}, want an error in 0..1 for {self.name}"
            raise ValueError(msg)
        self._river.update(x)
        return bool(self._river.drift_detected)

    def snapshot(self) -> dict[str, Any] | None:
        """Return the whole state, fit for JSON, or None where river keeps it in compiled code."""
        if not self.kind.has_snapshot:
            return None
        state = {name: _frozen(value) for name, value in vars(self._river).items() if not callable(value)}
        return {"name": self.name, "parameters": self.parameters, "skipped": self.skipped, "state": state}

    @classmethod
    def restore(cls, saved: dict[str, Any]) -> RiverStream:
        """Undo `snapshot`."""
        stream = cls(STREAMS[saved["name"]], **saved["parameters"])
        stream.skipped = saved["skipped"]
        for name, value in saved["state"].items():
            setattr(stream._river, name, _thawed(value))
        return stream


#: Parameters that are levels or shares.
_SHARES = frozenset({"alpha", "beta", "delta", "drift_confidence", "warning_confidence", "lambda_val"})


def _check(kind: str, name: str, value: Any) -> None:
    if name in _SHARES and not (isinstance(value, int | float) and 0.0 < value <= 1.0):
        msg = f"{name}: {value!r}, want a number above 0 and at most 1 for {kind}"
        raise ValueError(msg)
    if name in {"window_size", "stat_size", "warm_start", "min_instances", "clock"} and not (
        isinstance(value, int) and value >= 1
    ):
        msg = f"{name}: {value!r}, want a whole number of 1 or more for {kind}"
        raise ValueError(msg)
    if name in {"threshold", "drift_threshold"} and not (isinstance(value, int | float) and value > 0.0):
        msg = f"{name}: {value!r}, want a number above 0 for {kind}"
        raise ValueError(msg)


def _frozen(value: Any) -> Any:
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):  # JSON has no infinity
        return value + 0.0 if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, deque):
        return {"deque": list(value), "maxlen": value.maxlen}
    if isinstance(value, random.Random):
        version, words, gauss = value.getstate()
        return {"random": [version, list(words), gauss]}
    if isinstance(value, stats.Var):
        return {"var": [value.mean.n, value.mean.get(), value._S, value.ddof]}
    if isinstance(value, stats.Mean):
        return {"mean": [value.n, value.get()]}
    msg = f"state: a {type(value).__name__} has no place in a snapshot"
    raise TypeError(msg)


def _thawed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    if "deque" in value:
        return deque(value["deque"], maxlen=value["maxlen"])
    if "random" in value:
        version, words, gauss = value["random"]
        state = random.Random()  # noqa: S311 - no secret, and its state is set at once
        state.setstate((version, tuple(words), gauss))
        return state
    if "mean" in value:
        return _mean(*value["mean"])
    n, mean, squares, ddof = value["var"]
    var = stats.Var(ddof=ddof)
    var.mean, var._S = _mean(n, mean), squares
    return var


def _mean(n: float, value: float) -> stats.Mean:
    mean = stats.Mean()
    mean.n, mean._mean = n, value
    return mean
