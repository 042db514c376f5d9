"""river's ADWIN and Page-Hinkley on every row, KSWIN on hourly means, of every column, at a ladder of settings.

A number is standardised by the reference's mean and spread (Page-Hinkley's threshold is in units of the value), a
category becomes its rank by frequency (a new word the last); what is missing is a stream of zeros and ones of its own.
Each is warmed up on the reference's last week. KSWIN takes half a millisecond a value: on rows, hours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from panes import Reference, Scorer, by_hour, main
from river.drift import ADWIN, KSWIN, PageHinkley

WARM_HOURS = 7 * 24
#: The first of each is river's default.
ADWIN_DELTAS = (2e-3, 3e-1, 3e-2, 1e-4, 1e-6, 1e-9, 1e-15, 1e-25, 1e-50)
KSWIN_ALPHAS = (5e-3, 1e-4, 1e-6, 1e-9)
PH_THRESHOLDS = (50.0, 25.0, 100.0, 200.0, 400.0, 800.0, 1600.0)


def make(reference: Reference) -> Scorer:
    """Prepare the streams of one column."""
    warm = reference.hour >= reference.hours - WARM_HOURS
    if reference.is_number:
        centre, spread = np.nanmean(reference.values), np.nanstd(reference.values) or 1.0
    else:
        counts = np.bincount(reference.values[reference.values >= 0].astype(int))
        rank = np.empty(len(counts) + 1)
        rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        rank[-1] = len(counts)
        rank /= max(len(counts), 1)

    def streams(values: np.ndarray) -> list[np.ndarray]:
        """Return values (NaN where missing), and whether each is missing."""
        if reference.is_number:
            seen = np.clip((values - centre) / spread, -1e6, 1e6)
        else:
            codes = np.clip(values.astype(int), -1, len(rank) - 1)
            seen = np.where(codes >= 0, rank[codes], np.nan)
        return [seen, np.isnan(seen).astype(float)]

    def score(values: np.ndarray, hour: np.ndarray, hours: int) -> dict[str, np.ndarray]:
        settings: dict[str, Callable[[], object]] = {
            **{f"adwin {d:g}": (lambda d=d: ADWIN(delta=d)) for d in ADWIN_DELTAS},
            **{f"page_hinkley {t:g}": (lambda t=t: PageHinkley(threshold=t)) for t in PH_THRESHOLDS},
            **{f"kswin {a:g}": (lambda a=a: KSWIN(alpha=a, seed=1)) for a in KSWIN_ALPHAS},
        }
        before = streams(reference.values[warm])
        now = streams(values)
        out = {}
        for setting, detector in settings.items():
            level = np.zeros(hours)
            for old, new in zip(before, now, strict=True):
                if not np.isfinite(new).any() or (
                    np.nanmin(new) == np.nanmax(new) == np.nanmin(old) == np.nanmax(old)
                ):
                    continue
                if setting.startswith("kswin"):
                    level += alarms(
                        detector(),
                        means(old, reference.hour[warm] - reference.hours + WARM_HOURS, WARM_HOURS),
                        means(new, hour, hours),
                        np.arange(hours),
                        hours,
                    )
                else:
                    level += alarms(detector(), old, new, hour, hours)
            out[setting] = np.minimum(level, 1.0)
        return out

    return score


def means(values: np.ndarray, hour: np.ndarray, hours: int) -> np.ndarray:
    """Return the mean of every hour, NaN where it is empty."""
    known = np.isfinite(values)
    n = np.bincount(hour[known], minlength=hours)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.bincount(hour[known], values[known], minlength=hours) / n


def alarms(detector: object, old: np.ndarray, new: np.ndarray, hour: np.ndarray, hours: int) -> np.ndarray:
    """Feed the reference's end, then the stream; return 1 for hours in which the detector said drift."""
    update = detector.update
    for x in old[np.isfinite(old)].tolist():
        update(x)
    out = np.zeros(hours)
    for start, part in enumerate(by_hour(new, hour, hours)):
        for x in part[np.isfinite(part)].tolist():
            update(x)
            if detector.drift_detected:
                out[start] = 1.0
    return out


if __name__ == "__main__":
    main(make)
