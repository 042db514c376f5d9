"""Measure how often each classic detector alarms on traffic without any change: the tables of docs/detectors.md.

    python -m benchmarks.detection.false_alarms             # a few minutes
    python -m benchmarks.detection.false_alarms --quick     # rough numbers

Window detectors: a reference of 5 000 values and windows of 500, N(0, 1), independent or AR(1) with rho 0.7, many
references with a few windows each, so that the reference's own chance counts. Stream detectors: streams of 10 000
values, normal for those of values, errors at a rate of 10 % for those of errors (as AR(1): a two-state chain with the
same autocorrelation).
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.stats import beta

from detectors.classic.stream import STREAMS
from detectors.registry import (
    Calibration,
    statistic,
    stream_detector,
    stream_names,
    window_detector,
    window_names,
)

Floats = npt.NDArray[np.float64]
RHO, M, N, RATE, STREAM = 0.7, 5000, 500, 0.05, 10_000
#: About ten times the correlation time of AR(1) with rho 0.7.
BLOCK = 50


def normal(rng: np.random.Generator, n: int, rho: float) -> Floats:
    """Stationary AR(1) with unit variance; rho 0 is independent."""
    noise = rng.normal(size=n + 200) * np.sqrt(1.0 - rho**2)
    return np.asarray(lfilter([1.0], [1.0, -rho], noise)[200:], np.float64)


def errors(rng: np.random.Generator, n: int, rho: float, rate: float = 0.1) -> Floats:
    """Zeros and ones: at each step the last one again with probability rho, a fresh draw otherwise."""
    fresh = np.flatnonzero(np.concatenate([[True], rng.random(n - 1) >= rho]))
    drawn = (rng.random(len(fresh)) < rate).astype(np.float64)
    return np.repeat(drawn, np.diff(np.append(fresh, n)))


def interval(alarms: int, windows: int) -> tuple[float, float]:
    """Clopper-Pearson, 95 %."""
    low = float(beta.ppf(0.025, alarms, windows - alarms + 1)) if alarms else 0.0
    high = float(beta.ppf(0.975, alarms + 1, windows - alarms)) if alarms < windows else 1.0
    return low, high


def window_rates(name: str, references: int, windows: int, resamples: int) -> dict[str, tuple[int, int]]:
    """Alarms and windows, by limit and traffic."""
    found: dict[str, list[int]] = {}
    for rho in (0.0, RHO):
        for i in range(references):
            rng = np.random.default_rng([11, int(rho * 10), i])
            reference = normal(rng, M, rho)
            current = [normal(rng, N, rho) for _ in range(windows)]
            limits: dict[str, Calibration | None] = {"textbook": None}
            limits["calibrated"] = Calibration(RATE, resamples, seed=i)
            if rho:
                limits["blocks"] = Calibration(RATE, resamples, block=BLOCK, seed=i)
            for limit, calibration in limits.items():
                detector = window_detector(name, reference, calibration=calibration, rows=N)
                tally = found.setdefault(f"{limit} {rho:g}", [0, 0])
                tally[0] += sum(detector.alarm(window) for window in current)
                tally[1] += windows
    return {key: (alarms, of) for key, (alarms, of) in found.items()}


def stream_signals(name: str, rho: float, streams: int) -> tuple[int, int]:
    """Signals and values."""
    make = errors if STREAMS[name].takes_errors else normal
    signals = 0
    for i in range(streams):
        detector = stream_detector(name)
        signals += sum(detector.update(x) for x in make(np.random.default_rng([12, i]), STREAM, rho).tolist())
    return signals, streams * STREAM


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true", help="print JSON too")
    quick = parser.parse_args().quick
    references, windows, resamples = (8, 10, 99) if quick else (40, 20, 199)
    began, out = time.monotonic(), {}
    keys = ("textbook 0", "calibrated 0", "textbook 0.7", "calibrated 0.7", "blocks 0.7")
    print(
        "| detector | fixed limit | i.i.d., fixed | i.i.d., calibrated "
        "| AR(1), fixed | AR(1), calibrated | AR(1), blocks |"
    )
    print("|---|---|---|---|---|---|---|")
    for name in window_names():
        rates = out[name] = window_rates(name, references, windows, resamples)
        cells = [f"{rates[key][0] / rates[key][1]:.1%}" for key in keys]
        print(f"| `{name}` | {statistic(name).limit_said} | " + " | ".join(cells) + " |", flush=True)
    low, high = interval(round(RATE * references * windows), references * windows)
    print(f"\n{references * windows} windows each; 95 % interval around 5 %: {low:.1%} to {high:.1%}\n")
    print("| detector | watches | signals per 10 000 values, i.i.d. | the same, AR(1) |")
    print("|---|---|---|---|")
    for name in stream_names():
        streams = 1 if quick else 1 if name == "kswin" else 20
        counts = [stream_signals(name, rho, streams) for rho in (0.0, RHO)]
        watches = "errors" if STREAMS[name].takes_errors else "values"
        said = [f"{signals / values * STREAM:.3g}" for signals, values in counts]
        print(f"| `{name}` | {watches} | {said[0]} | {said[1]} |", flush=True)
        out[name] = dict(zip(("0", "0.7"), counts, strict=True))
    print(f"\n{time.monotonic() - began:.0f} s", file=sys.stderr)
    if "--json" in sys.argv:
        print(json.dumps(out))


if __name__ == "__main__":
    main()
