"""How often stream detectors signal within a window of panes in which nothing changes.

    python -m benchmarks.detection.pane_streams

What a monitor feeds them: the mean of each pane, in standard deviations of the column. Means of 100 rows are normal
with a tenth of that; ``AR(1)`` correlates them by .7 from one pane to the next. Detectors of errors get the errors of
each pane one by one, as the worker lays them out: of 100 predictions a tenth is wrong, or in ``AR(1)`` as many as a
level says that wanders by a hundredth.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt

from detectors.registry import stream_detector
from seawall.monitor_yaml.detectors import OF_ERRORS
from streams.core.error_streams import in_some_order, most_of_pane

#: As the worker makes them.
DETECTORS = {"adwin": {"clock": 1}, "kswin": {}, "page_hinkley": {}, **{name: {} for name in OF_ERRORS}}
ROWS, RATE, LEVEL = 100, 0.1, 0.01


def drawn(rng: np.random.Generator, panes: int, rho: float) -> npt.NDArray[np.float64]:
    """Means of panes of 100 rows, correlated by `rho` from one to the next."""
    noise = rng.normal(0.0, 0.1, panes)
    out = np.empty(panes)
    at = 0.0
    for t in range(panes):
        at = rho * at + np.sqrt(1 - rho**2) * noise[t]
        out[t] = at
    return out


def errors(rng: np.random.Generator, panes: int, rho: float) -> npt.NDArray[np.float64]:
    """Errors of panes of 100 rows, whose rate wanders where `rho` is not 0."""
    level = RATE + (drawn(rng, panes, rho) * LEVEL / 0.1 if rho else np.zeros(panes))
    wrong = rng.binomial(ROWS, np.clip(level, 0, 1))
    # Orders are drawn from the pane's number: each window is of another time.
    first = int(rng.integers(1 << 40))
    return np.concatenate([*in_some_order(first, wrong, ROWS - wrong, most_of_pane(panes))]).astype(
        np.float64
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--detectors", nargs="+", default=sorted(DETECTORS), choices=sorted(DETECTORS))
    parser.add_argument("--panes", nargs="+", type=int, default=[168, 1440])
    arguments = parser.parse_args()
    print("| detector | panes in the window | independent panes | panes AR(1) ρ=.7 |\n|---|---|---|---|")
    for name in arguments.detectors:
        parameters = DETECTORS[name]
        for panes in arguments.panes:
            shares = []
            for rho in (0.0, 0.7):
                rng = np.random.default_rng([panes, int(10 * rho)])
                hits = 0
                for _ in range(arguments.windows):
                    stream = stream_detector(name, **parameters)
                    fed = (errors if name in OF_ERRORS else drawn)(rng, panes, rho)
                    hits += any(stream.update(float(x)) for x in fed)
                shares.append(hits / arguments.windows)
            print(f"| `{name}` | {panes} | {shares[0]:.0%} | {shares[1]:.0%} |")


if __name__ == "__main__":
    main()
