"""How often quiet traffic pages, and how long faults take to page: ``python -m benchmarks.detection.arl``.

Prints, for every kind of quiet traffic and number of features, the false pages in a budget period (30 days) with a 95 %
interval (Garwood's, exact for a Poisson count), under the rule in force and under the one that it replaced (every
column's own furthest distance in the baseline, times 1.25). Then the delay of faults in hours.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from scipy.stats import chi2

from benchmarks.detection.play import play
from benchmarks.detection.traffic import HOUR_US, QUIET, T0_US, Fault, Traffic, with_features
from benchmarks.detection.window_rule import WindowRule
from seawall.baseline import Baseline
from seawall.monitor import MonitorSpec
from streams.core.judge import Judge
from streams.core.layouts import Control

#: One setting for everything: the defaults, on hourly panes.
SPEC = MonitorSpec("m", pane_us=HOUR_US, horizons_us=(HOUR_US, 6 * HOUR_US, 24 * HOUR_US))
PERIOD_DAYS = 30
BASELINE_DAYS = 56
FAULTS = (
    Fault("mean", 0.25, 0),
    Fault("mean", 0.5, 0),
    Fault("mean", 1.0, 0),
    Fault("scale", 1.5, 0),
    Fault("scale", 3.0, 0),
    Fault("missing", 0.1, 0),
    Fault("missing", 0.3, 0),
    Fault("missing", 1.0, 0),
    Fault("unit", 1000.0, 0),
    Fault("stuck", 10.0, 0),
    Fault("swap", 0.0, 0),
    Fault("decorrelate", 1.0, 0),
)
#: When a fault begins: mid-morning of the seventh day, after the longest window has filled.
ONSET_HOUR = 6 * 24 + 9


def judges(baseline: Baseline) -> dict[str, Judge]:
    """Return the rule that was replaced, and the one in force."""
    control = Control()
    control.set_baseline(baseline)
    control.set_monitor(SPEC)
    return {"window rule": WindowRule(control), "evidence": Judge(control)}


def garwood(count: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a Poisson mean."""
    low = chi2.ppf((1 - level) / 2, 2 * count) / 2 if count else 0.0
    return float(low), float(chi2.ppf((1 + level) / 2, 2 * count + 2) / 2)


def false_pages(
    traffic: Traffic,
    days: int,
    runs: int,
    *,
    old: bool = True,
    baseline_days: int = BASELINE_DAYS,
    denser: float = 1.0,
    times: bool = True,
) -> dict[str, int]:
    """Count pages of `runs` quiet streams of `days` days, each with a baseline of its own."""
    live = replace(traffic, rows=denser * traffic.rows)
    found: dict[str, int] = {}
    for run in range(runs):
        baseline = traffic.baseline(baseline_days, 10 * run + 1, times=times)
        layout, counts = live.counts(baseline, days, 10 * run + 2)
        across = live.joint(baseline, days, 10 * run + 2)
        for name, judge in judges(baseline).items():
            # The rule that was replaced takes as long as the one in force.
            if old or name == "evidence":
                seen = across if name == "evidence" else None
                pages = play(baseline, layout, counts, SPEC, judge, seen).opened
                found[name] = found.get(name, 0) + len(pages)
    return found


def delays(
    traffic: Traffic, fault: Fault, runs: int, baseline: Baseline, *, old: bool = True
) -> dict[str, list[float]]:
    """Hours from the onset to the page, infinite for none within eight days; one feature is hit."""
    known = {name: judge for name, judge in judges(baseline).items() if old or name == "evidence"}
    found: dict[str, list[float]] = {name: [] for name in known}
    for run in range(runs):
        feature = (0, 2, traffic.features - 2)[run % 3] if fault.kind != "swap" else 0
        # Only the first half of the features have something in common.
        feature = run % 2 if fault.kind == "decorrelate" else feature
        hit = Fault(fault.kind, fault.size, ONSET_HOUR, feature)
        layout, counts = traffic.counts(baseline, 14, 1000 + run, (hit,))
        across = traffic.joint(baseline, 14, 1000 + run, (hit,))
        for name, judge in known.items():
            seen = across if name == "evidence" else None
            page = play(baseline, layout, counts, SPEC, judge, seen).first_page_after(ONSET_HOUR)
            hours = (page.updated_us - T0_US) / HOUR_US - ONSET_HOUR if page else np.inf
            found[name].append(hours)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, nargs="+", default=[5, 50, 500])
    parser.add_argument("--days", type=int, default=240, help="quiet days for each kind of traffic")
    parser.add_argument(
        "--runs", type=int, default=4, help="streams they are spread over, each with its baseline"
    )
    parser.add_argument("--fault-runs", type=int, default=15)
    parser.add_argument("--only-evidence", action="store_true", help="leave out the rule that was replaced")
    parser.add_argument("--baseline-days", type=int, default=BASELINE_DAYS)
    parser.add_argument(
        "--no-times", action="store_true", help="baselines that do not say when their rows were"
    )
    parser.add_argument("--rows", type=float, default=100.0, help="an hour")
    parser.add_argument("--denser", type=float, default=1.0, help="live rows for one of the baseline's")
    parser.add_argument("--kinds", type=int, nargs="+", default=list(range(len(QUIET))))
    options = parser.parse_args()
    for features in options.features:
        rules = "" if options.only_evidence else "window rule | "
        print(f"| quiet traffic, {features} features | days | {rules}evidence: pages in 30 days (95 %) |")
        print("|---|---|---|" if options.only_evidence else "|---|---|---|---|")
        for kind in options.kinds:
            traffic = replace(with_features(QUIET[kind], features), rows=options.rows)
            quiet(traffic, options)
    if options.fault_runs:
        rules = "" if options.only_evidence else "window rule: median, missed | "
        print(f"| traffic, 5 features | fault | {rules}evidence: median, missed |")
        print("|---|---|---|" if options.only_evidence else "|---|---|---|---|")
        for kind in options.kinds:
            traffic = replace(with_features(QUIET[kind], 5), rows=options.rows)
            baseline = traffic.baseline(options.baseline_days, 1, times=not options.no_times)
            faulty(traffic, options.fault_runs, baseline, old=not options.only_evidence)


def quiet(traffic: Traffic, options: argparse.Namespace) -> None:
    start = time.process_time()
    days, runs = options.days, options.runs
    found = false_pages(
        traffic,
        days // runs,
        runs,
        old=not options.only_evidence,
        baseline_days=options.baseline_days,
        denser=options.denser,
        times=not options.no_times,
    )
    periods = days // runs * runs / PERIOD_DAYS
    said = []
    for pages in found.values():
        low, high = garwood(pages)
        said.append(f"{pages / periods:.2f} ({low / periods:.2f} to {high / periods:.2f})")
    spent = time.process_time() - start
    print(
        f"| {traffic.name} | {days // runs * runs} | {' | '.join(said)} | <!-- {spent:.0f} s -->", flush=True
    )


def faulty(traffic: Traffic, runs: int, baseline: Baseline, *, old: bool) -> None:
    for fault in FAULTS:
        found = delays(traffic, fault, runs, baseline, old=old)
        said = [f"{np.median(h):g} h, {int(np.isinf(h).sum())} of {runs}" for h in found.values()]
        print(f"| {traffic.name} | {fault.kind} {fault.size:g} | {' | '.join(said)} |", flush=True)


if __name__ == "__main__":
    main()
