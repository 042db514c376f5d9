"""Command line of the chaos harness."""

from __future__ import annotations

import argparse
import sys
import time

from tests.chaos.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=None, help="the schedule and the traffic; default: the time"
    )
    parser.add_argument("--runs", type=int, default=1, help="so many seeds, one after the other")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument(
        "--overtaken", action="store_true", help="fetches go on while each rebalance seeks, as they rarely do"
    )
    arguments = parser.parse_args()
    first = int(time.time()) % 1_000_000 if arguments.seed is None else arguments.seed
    outcomes = [
        run(seed, arguments.seconds, arguments.broker, overtaken=arguments.overtaken)
        for seed in range(first, first + arguments.runs)
    ]
    for outcome in outcomes:
        print(outcome)
    return 1 if any(o.problems for o in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
