"""river's ADWIN and Page-Hinkley on every row, KSWIN on hourly means, of every column, at a ladder of settings.

A number is standardised by the reference's mean and spread (Page-Hinkley's threshold is in units of the value), a
category becomes its rank by frequency (a new word the last); what is missing is a stream of zeros and ones of its own.
Each is warmed up on the reference's last week. KSWIN takes half a millisecond a value: on rows, hours.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import numpy as np
from panes import Levels, Reference, Stream, by_hour, main
from river.drift import ADWIN, KSWIN, PageHinkley

WARM_HOURS = 7 * 24
#: The first of each is river's default.
ADWIN_DELTAS = (2e-3, 3e-1, 3e-2, 1e-4, 1e-6, 1e-9, 1e-15, 1e-25, 1e-50)
KSWIN_ALPHAS = (5e-3, 1e-4, 1e-6, 1e-9)
PH_THRESHOLDS = (50.0, 25.0, 100.0, 200.0, 400.0, 800.0, 1600.0)
SETTINGS: dict[str, Callable[[], object]] = {
    **{f"adwin {d:g}": (lambda d=d: ADWIN(delta=d)) for d in ADWIN_DELTAS},
    **{f"page_hinkley {t:g}": (lambda t=t: PageHinkley(threshold=t)) for t in PH_THRESHOLDS},
    **{f"kswin {a:g}": (lambda a=a: KSWIN(alpha=a, seed=1)) for a in KSWIN_ALPHAS},
}


class Column:
    """The detectors of one column, and what they remember of the quiet stream up to the onset of faults."""

    def __init__(self, reference: Reference) -> None:
        self._is_number = reference.is_number
        if reference.is_number:
            self._centre = np.nanmean(reference.values)
            self._spread = np.nanstd(reference.values) or 1.0
        else:
            counts = np.bincount(reference.values[reference.values >= 0].astype(int))
            rank = np.empty(len(counts) + 1)
            rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
            rank[-1] = len(counts)
            self._rank = rank / max(len(counts), 1)
        whole = Stream(reference.values, reference.hour, reference.hours)
        self._before = self._streams(whole.since(reference.hours - WARM_HOURS))
        self._remembered: dict[tuple[str, int, int], object] = {}

    def quiet(self, stream: Stream) -> Levels:
        """Score a stream that follows the reference."""
        out = {}
        for setting, make in SETTINGS.items():
            level = np.zeros(stream.hours)
            for old, new in zip(self._before, self._streams(stream), strict=True):
                if not is_constant(old, new):
                    detector = make()
                    alarms(detector, seen_by(setting, old))
                    level += alarms(detector, seen_by(setting, new))
            out[setting] = np.minimum(level, 1.0)
        return out

    def faulty(self, stream: Stream, quiet: Stream, onset: int) -> Levels:
        """Score the hours from `onset` on of a stream that is `quiet` before."""
        out = {}
        before, now = self._streams(quiet.until(onset)), self._streams(stream)
        for setting in SETTINGS:
            level = np.zeros(stream.hours - onset)
            for which, (old, new) in enumerate(zip(self._before, now, strict=True)):
                if not is_constant(old, new):
                    detector = self._at_onset(setting, which, before[which])
                    level += alarms(detector, seen_by(setting, new.since(onset)))
            out[setting] = np.minimum(level, 1.0)
        return out

    def _at_onset(self, setting: str, which: int, before: Stream) -> object:
        """Return a detector that has seen the reference's end and the quiet hours before the onset."""
        key = (setting, which, before.hours)
        if key not in self._remembered:
            detector = SETTINGS[setting]()
            alarms(detector, seen_by(setting, self._before[which]))
            alarms(detector, seen_by(setting, before))
            self._remembered[key] = detector
        return deepcopy(self._remembered[key])

    def _streams(self, stream: Stream) -> list[Stream]:
        """Return values (NaN where missing), and whether each is missing."""
        if self._is_number:
            seen = np.clip((stream.values - self._centre) / self._spread, -1e6, 1e6)
        else:
            codes = np.clip(stream.values.astype(int), -1, len(self._rank) - 1)
            seen = np.where(codes >= 0, self._rank[codes], np.nan)
        return [stream._replace(values=v) for v in (seen, np.isnan(seen).astype(float))]


def is_constant(old: Stream, new: Stream) -> bool:
    """Whether there is nothing for a detector to see."""
    if not np.isfinite(new.values).any():
        return True
    least, most = np.nanmin(new.values), np.nanmax(new.values)
    return bool(least == most == np.nanmin(old.values) == np.nanmax(old.values))


def seen_by(setting: str, stream: Stream) -> Stream:
    """Return what a detector is fed: rows, or the mean of every hour."""
    return means(stream) if setting.startswith("kswin") else stream


def means(stream: Stream) -> Stream:
    """Return the mean of every hour, NaN where it is empty."""
    known = np.isfinite(stream.values)
    at = stream.hour[known]
    n = np.bincount(at, minlength=stream.hours)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.bincount(at, stream.values[known], minlength=stream.hours) / n
    return Stream(values, np.arange(stream.hours), stream.hours)


def alarms(detector: object, stream: Stream) -> np.ndarray:
    """Feed a stream; return 1 for hours in which the detector said drift."""
    update = detector.update
    out = np.zeros(stream.hours)
    for start, part in enumerate(by_hour(stream)):
        for x in part[np.isfinite(part)].tolist():
            update(x)
            if detector.drift_detected:
                out[start] = 1.0
    return out


if __name__ == "__main__":
    main(Column)
