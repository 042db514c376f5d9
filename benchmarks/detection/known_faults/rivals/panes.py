"""What every rival's script does: read a case, score each column hour by hour, write the scores.

Needs numpy alone, and runs under the interpreter of the rival's own environment. A *level* is how alarming an hour is
for a column: 1 and above alarms at the tool's default threshold, and a stricter threshold is a higher level.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Reference(NamedTuple):
    """One column of the reference: values (NaN missing) or codes (-1 missing), the hour of each, and the kind."""

    name: str
    is_number: bool
    values: np.ndarray
    hour: np.ndarray
    hours: int
    columns: int
    """How many columns the table has."""


#: From values, their hours and how many hours there are to levels [hours], by the name of the setting.
Scorer = Callable[[np.ndarray, np.ndarray, int], dict[str, np.ndarray]]


def main(make: Callable[[Reference], Scorer]) -> None:
    """Score the cases named on the command line: ``OUT CASE …``."""
    out = Path(sys.argv[1])
    for path in map(Path, sys.argv[2:]):
        scores = score_case(np.load(path), make)
        part = out / f"{path.stem}.part.npz"
        np.savez_compressed(part, **scores)
        part.replace(out / path.name)
        print(path.stem, file=sys.stderr, flush=True)


def score_case(case: np.lib.npyio.NpzFile, make: Callable[[Reference], Scorer]) -> dict[str, np.ndarray]:
    """Return ``quiet/SETTING``, [hours, columns], and ``fault/I/SETTING``, [hours, changed columns]."""
    names = case["names"].tolist()
    numbers = int(case["numbers"])
    scorers = {}
    found: dict[str, list[np.ndarray]] = {}
    for i, name in enumerate(names):
        reference = Reference(
            name,
            i < numbers,
            case["reference"][:, i],
            case["reference_hour"],
            int(case["reference_hours"]),
            len(names),
        )
        scorers[name] = make(reference)
        for setting, level in scorers[name](
            case["live"][:, i], case["live_hour"], int(case["live_hours"])
        ).items():
            found.setdefault(f"quiet/{setting}", []).append(level)
    hours = int(case["fault_hours"])
    hour = case["live_hour"][case["live_hour"] < hours]
    for f in range(int(case["faults"])):
        for j, name in enumerate(case[f"fault/{f}/names"].tolist()):
            for setting, level in scorers[name](case[f"fault/{f}/values"][:, j], hour, hours).items():
                found.setdefault(f"fault/{f}/{setting}", []).append(level)
    return {key: np.stack(levels, axis=1).astype(np.float32) for key, levels in found.items()}


def by_hour(values: np.ndarray, hour: np.ndarray, hours: int) -> list[np.ndarray]:
    """Cut values at the hours that their rows are in; rows are in order."""
    return np.split(values, np.searchsorted(hour, np.arange(1, hours)))
