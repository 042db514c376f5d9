"""Every classic detector by name.

    detector = window_detector("psi", reference, calibration=Calibration(rate=0.01))
    detector.alarm(window)

    detector = stream_detector("adwin", delta=0.001)
    detector.update(x)

Window detectors compare a window with a fixed reference; stream detectors watch one value after the other. What each
does on traffic without any change was measured: docs/detectors.md.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import numpy.typing as npt

from detectors.classic.calibrate import Calibration
from detectors.classic.statistics import STATISTICS, Statistic
from detectors.classic.stream import STREAMS, RiverStream, StreamDetector
from detectors.classic.window import BINS, WindowDetector
from detectors.layout import Column


def window_names() -> tuple[str, ...]:
    """Return the names of window detectors.

    Examples
    --------
    >>> "cramer_von_mises" in window_names()
    True
    """
    return tuple(STATISTICS)


def stream_names() -> tuple[str, ...]:
    """Return the names of stream detectors.

    Examples
    --------
    >>> stream_names()[:3]
    ('adwin', 'kswin', 'page_hinkley')
    """
    return tuple(STREAMS)


def statistic(name: str) -> Statistic:
    """Return a statistic by name.

    Raises
    ------
    ValueError
        When there is none, saying which was probably meant.

    Examples
    --------
    >>> statistic("psi").title
    'population stability index'
    >>> statistic("hellinge")
    Traceback (most recent call last):
    ...
    ValueError: name: there is no window detector 'hellinge'; did you mean hellinger?
    """
    if name not in STATISTICS:
        raise ValueError(_unknown("window", name, window_names()))
    return STATISTICS[name]


def window_detector(
    name: str,
    reference: npt.ArrayLike,
    *,
    bins: int = BINS,
    threshold: float | None = None,
    calibration: Calibration | None = None,
    rows: int | None = None,
) -> WindowDetector:
    """Make a window detector from a reference sample; see `WindowDetector.of_sample`.

    Examples
    --------
    >>> window_detector("ks", [1.0, 2.0, 3.0], threshold=0.4).alarm([9.0, 9.0])
    True
    """
    return WindowDetector.of_sample(
        statistic(name), reference, bins=bins, threshold=threshold, calibration=calibration, rows=rows
    )


def column_detector(
    name: str,
    column: Column,
    slots: npt.ArrayLike,
    *,
    threshold: float | None = None,
    calibration: Calibration | None = None,
    p: float | None = None,
    rows: int | None = None,
) -> WindowDetector:
    """Make a window detector from counts over a layout's column; see `WindowDetector.of_column`.

    Examples
    --------
    >>> column = Column("x", "feature", "numeric", (0.0, 1.0, 2.0))
    >>> column_detector("psi", column, [0, 0, 0, 50, 50, 0]).counts_alarm([5, 0, 0, 90, 10, 0]).item()
    True
    """
    return WindowDetector.of_column(
        statistic(name), column, slots, threshold=threshold, calibration=calibration, p=p, rows=rows
    )


def stream_detector(name: str, **parameters: Any) -> RiverStream:
    """Make a stream detector; see `detectors.classic.stream.RiverStream`.

    Raises
    ------
    ValueError
        When there is none of that name, or a parameter is wrong.

    Examples
    --------
    >>> stream_detector("page_hinkley", threshold=20.0).update(1.0)
    False
    """
    if name not in STREAMS:
        raise ValueError(_unknown("stream", name, stream_names()))
    return RiverStream(STREAMS[name], **parameters)


def _unknown(what: str, name: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"want one of {', '.join(known)}"
    return f"name: there is no {what} detector {name!r}; {hint}"


__all__ = [
    "Calibration",
    "RiverStream",
    "StreamDetector",
    "WindowDetector",
    "column_detector",
    "statistic",
    "stream_detector",
    "stream_names",
    "window_detector",
    "window_names",
]
