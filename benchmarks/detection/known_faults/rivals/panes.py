"""What every rival's script does: read a case, score each column hour by hour, write the scores.

Needs numpy alone, and runs under the interpreter of the rival's own environment. A *level* is how alarming an hour is
for a column: 1 and above alarms at the tool's default threshold, and a stricter threshold is a higher level.

Up to its onset a faulty stream is the quiet one, row by row, so its levels are the quiet ones too and are not worked
out again: a tool that looks at each hour by itself is given the hours from the onset on, one that remembers goes on
from what it remembered there. The numbers are the same, in half of the time and less.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

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


#: Levels [hours] by the name of the setting.
Levels = dict[str, np.ndarray]


class Stream(NamedTuple):
    """One column of a stream: values or codes, the hour of each, and how many hours there are."""

    values: np.ndarray
    hour: np.ndarray
    hours: int

    def until(self, hour: int) -> Stream:
        """Return the hours before."""
        stop = np.searchsorted(self.hour, hour)
        return Stream(self.values[:stop], self.hour[:stop], hour)

    def since(self, hour: int) -> Stream:
        """Return the hours from one on, counted from it."""
        start = np.searchsorted(self.hour, hour)
        return Stream(self.values[start:], self.hour[start:] - hour, self.hours - hour)


class Scorer(Protocol):
    """One tool, ready to score streams of one column."""

    def quiet(self, stream: Stream) -> Levels:
        """Score a stream that follows the reference."""

    def faulty(self, stream: Stream, quiet: Stream, onset: int) -> Levels:
        """Score the hours from `onset` on of a stream that is `quiet` before."""


class EachHour(NamedTuple):
    """A tool that looks at each hour by itself."""

    score: Callable[[Stream], Levels]

    def quiet(self, stream: Stream) -> Levels:
        """Score a stream that follows the reference."""
        return self.score(stream)

    def faulty(self, stream: Stream, quiet: Stream, onset: int) -> Levels:
        """Score the hours from `onset` on."""
        return self.score(stream.since(onset))


def main(make: Callable[[Reference], Scorer]) -> None:
    """Score the cases named on the command line: ``OUT QUIET CASE …``, with known scores of quiet streams in QUIET."""
    out, quiet = map(Path, sys.argv[1:3])
    for path in map(Path, sys.argv[3:]):
        known = quiet / path.name
        scores = score_case(np.load(path), make, np.load(known) if known.is_file() else None)
        part = out / f"{path.stem}.part.npz"
        np.savez_compressed(part, **scores)
        part.replace(out / path.name)
        print(path.stem, file=sys.stderr, flush=True)


def score_case(
    case: Mapping[str, np.ndarray],
    make: Callable[[Reference], Scorer],
    known: Mapping[str, np.ndarray] | None = None,
) -> Levels:
    """Return ``quiet/SETTING``, [hours, columns], and ``fault/I/SETTING``, [hours, changed columns].

    `known` are scores of another case with the same quiet stream: these are taken over.
    """
    names = case["names"].tolist()
    numbers = int(case["numbers"])
    live, hour, hours = case["live"], case["live_hour"], int(case["live_hours"])
    onset, until = int(case["onset"]), int(case["fault_hours"])
    scorers, quiet = {}, {}
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
        quiet[name] = Stream(live[:, i], hour, hours)
    if known is None:
        levels = {name: scorers[name].quiet(quiet[name]) for name in names}
        found = {f"quiet/{s}": np.stack([levels[n][s] for n in names], axis=1) for s in levels[names[0]]}
    else:
        found = {key: known[key] for key in known if key.startswith("quiet/")}
    watched = hour[hour < until]
    for f in range(int(case["faults"])):
        changed = case[f"fault/{f}/names"].tolist()
        after = [
            scorers[n].faulty(Stream(case[f"fault/{f}/values"][:, j], watched, until), quiet[n], onset)
            for j, n in enumerate(changed)
        ]
        for setting in after[0]:
            whole = [
                np.concatenate([found[f"quiet/{setting}"][:onset, names.index(n)], a[setting]])
                for n, a in zip(changed, after, strict=True)
            ]
            found[f"fault/{f}/{setting}"] = np.stack(whole, axis=1)
    return {key: stacked.astype(np.float32) for key, stacked in found.items()}


def by_hour(stream: Stream) -> list[np.ndarray]:
    """Cut values at the hours that their rows are in; rows are in order."""
    return np.split(stream.values, np.searchsorted(stream.hour, np.arange(1, stream.hours)))
