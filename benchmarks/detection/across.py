"""What watching columns together pages: ``python -m benchmarks.detection.across``.

Quiet traffic is judged with ``multivariate`` on and off; then a feature is cut loose from those that it is correlated
with, so that no distribution moves, and the hours to the page are told, and whether the first culprit names it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from benchmarks.detection.arl import BASELINE_DAYS, ONSET_HOUR, PERIOD_DAYS, SPEC, garwood
from benchmarks.detection.play import Played, play
from benchmarks.detection.traffic import HOUR_US, QUIET, T0_US, Fault, Traffic, with_features
from seawall.baseline import Baseline
from streams.core.judge import Judge
from streams.core.layouts import Control


def judge_of(baseline: Baseline) -> Judge:
    control = Control()
    control.set_baseline(baseline)
    return Judge(control)


def quiet(traffic: Traffic, baseline: Baseline, days: int, seed: int) -> tuple[int, int]:
    """Pages with columns watched together, and without."""
    layout, counts = traffic.counts(baseline, days, seed)
    across = traffic.joint(baseline, days, seed)
    judge = judge_of(baseline)
    alone = replace(SPEC, multivariate=False)
    return (
        len(play(baseline, layout, counts, SPEC, judge, across).opened),
        len(play(baseline, layout, counts, alone, judge_of(baseline)).opened),
    )


def faulty(traffic: Traffic, baseline: Baseline, runs: int) -> tuple[list[float], int]:
    """Hours to the page of a feature that is cut loose, and how often the first culprit names it."""
    judge, hours, named = judge_of(baseline), [], 0
    for run in range(runs):
        hit = Fault("decorrelate", 1.0, ONSET_HOUR, run % (traffic.features // 2))
        layout, counts = traffic.counts(baseline, 9, 1000 + run, (hit,))
        across = traffic.joint(baseline, 9, 1000 + run, (hit,))
        played: Played = play(baseline, layout, counts, SPEC, judge, across)
        page = played.first_page_after(ONSET_HOUR)
        hours.append((page.updated_us - T0_US) / HOUR_US - ONSET_HOUR if page else np.inf)
        named += page is not None and f"x{hit.feature:03}" in page.features[0].name.split(" and ")
    return hours, named


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, nargs="+", default=[5, 50])
    parser.add_argument("--days", type=int, default=60, help="quiet days after each baseline")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 11, 21])
    parser.add_argument("--fault-runs", type=int, default=6)
    parser.add_argument("--kinds", type=int, nargs="+", default=list(range(len(QUIET))))
    options = parser.parse_args()
    print(
        "| quiet traffic | features | days | pages in 30 days, together | alone | cut loose: hours, missed, named |"
    )
    print("|---|---|---|---|---|---|")
    for features in options.features:
        for kind in options.kinds:
            traffic = with_features(QUIET[kind], features)
            baselines = [traffic.baseline(BASELINE_DAYS, seed) for seed in options.seeds]
            found = [
                quiet(traffic, baseline, options.days, seed + 1000)
                for baseline, seed in zip(baselines, options.seeds, strict=True)
            ]
            days = options.days * len(options.seeds)
            on, off = (sum(pages) for pages in zip(*found, strict=True))
            low, high = (bound * PERIOD_DAYS / days for bound in garwood(on))
            hours, named = faulty(traffic, baselines[0], options.fault_runs)
            rate = f"{on * PERIOD_DAYS / days:.2f} ({low:.2f} to {high:.2f}) | {off * PERIOD_DAYS / days:.2f}"
            delay = f"{np.median(hours):g} h, {int(np.isinf(hours).sum())}, {named} of {options.fault_runs}"
            print(f"| {traffic.name} | {features} | {days} | {rate} | {delay} |", flush=True)


if __name__ == "__main__":
    main()
