"""How often losses page while a model is as wrong as ever: ``python -m benchmarks.detection.losses``.

Label events that say what was predicted, 100 an hour, of which a share is wrong: by independent draws, by a coin that
is tossed again only now and then (neighbours are alike), or with odds that wander from hour to hour. Prints the pages
in 30 days, of which losses may have a fifth by default, with Garwood's 95 % interval.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.special import expit, logit

from benchmarks.detection.arl import garwood
from benchmarks.detection.known_faults.seawall_pages import SPEC, T0_US
from seawall.frames import Categorical, Columns
from seawall.monitor import HOUR_US
from streams.core.backtest import Backtest, Page, Setting
from streams.core.build_baseline import build_baseline

ROWS, LEARNT_HOURS = 100, 42 * 24
#: How errors come: the correlation of neighbours, and the spread of the logarithm of their odds.
KINDS = {"independent": (0.0, 0.0), "alike": (0.5, 0.0), "odds wander": (0.0, 0.2)}


def errors(kind: str, rate: float, hours: int, seed: int) -> npt.NDArray[np.bool_]:
    """Return whether each prediction was wrong, [hours × ROWS]."""
    alike, wander = KINDS[kind]
    rng = np.random.default_rng([seed, list(KINDS).index(kind), round(1000 * rate)])
    level = lfilter([np.sqrt(1 - 0.9**2)], [1, -0.9], rng.normal(size=hours + 200))[200:]
    odds = np.repeat(expit(logit(rate) + wander * level), ROWS)
    fresh = rng.random(hours * ROWS) >= alike
    fresh[0] = True
    drawn = rng.random(hours * ROWS) < odds
    out: npt.NDArray[np.bool_] = drawn[np.maximum.accumulate(np.where(fresh, np.arange(len(drawn)), 0))]
    return out


def labels(is_wrong: npt.NDArray[np.bool_], first_hour: int) -> Columns:
    """Return label events, of predictions that all say yes."""
    n = len(is_wrong)
    ts = T0_US + first_hour * HOUR_US + ((np.arange(n) + 0.5) * (HOUR_US / ROWS)).astype(np.int64)
    truth = Categorical(is_wrong.astype(np.int32), ["yes", "no"])
    return Columns("labels", "m", "v1", ts, label=truth, predicted=_yes(n))


def _yes(rows: int) -> Categorical:
    return Categorical(np.zeros(rows, np.int32), ["yes"])


def pages(kind: str, rate: float, days: int, seed: int, flipped: float = 0.0) -> list[Page]:
    """Return the pages of a stream with a baseline of its own, a share of whose truths is turned over."""
    learnt = errors(kind, rate, LEARNT_HOURS, 2 * seed)
    reference = labels(learnt, 0)
    baseline = build_baseline(
        Columns("predictions", "m", "v1", reference.ts, label=_yes(len(learnt))),
        model="m",
        version="v1",
        labels=reference.label,
        task="binary_classification",
        now_us=0,
    )
    live = errors(kind, rate, days * 24, 2 * seed + 1)
    live = live ^ (np.random.default_rng(seed).random(len(live)) < flipped)
    test = Backtest([Setting("default", SPEC)], [baseline], sources=["labels"])
    test.feed(labels(live, LEARNT_HOURS))
    return test.finish()[0].pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=480, help="quiet days of each kind and rate")
    parser.add_argument(
        "--runs", type=int, default=8, help="streams they are spread over, each with its baseline"
    )
    parser.add_argument("--rates", type=float, nargs="+", default=[0.03, 0.17, 0.33])
    options = parser.parse_args()
    print("| errors | wrong | days | pages in 30 days (95 %) |")
    print("|---|---|---|---|")
    days = options.days // options.runs
    for kind in KINDS:
        for rate in options.rates:
            found = sum(len(pages(kind, rate, days, seed)) for seed in range(options.runs))
            months = days * options.runs / 30
            low, high = garwood(found)
            said = f"{found / months:.2f} ({low / months:.2f} to {high / months:.2f})"
            print(f"| {kind} | {rate:.0%} | {days * options.runs} | {said} |", flush=True)


if __name__ == "__main__":
    main()
