"""What goes wrong and when: drawn from the seed alone, so that a printed seed says it all.

Every schedule scales to three workers and back to one, kills a worker and pauses one for twice the session timeout; the
seed draws when, in which order, whom, and everything else. Left to chance alone, short runs seldom held these.

Outages of the schema registry are drawn apart from the rest: a seed's other faults are what they were without them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Kind = Literal[
    "kill worker", "pause worker", "scale up", "scale down", "stop worker", "hang store", "kill store", "lose replies",
    "bounce broker", "kill broker", "stop registry",
]  # fmt: skip
#: Faults besides those that every schedule holds, and how often each is drawn.
_WEIGHTS: dict[Kind, int] = {
    "kill worker": 2,
    "pause worker": 1,
    "stop worker": 1,
    "hang store": 2,
    "kill store": 2,
    "lose replies": 4,
}
_BROKER_WEIGHTS: dict[Kind, int] = {"bounce broker": 2, "kill broker": 2}
_FIRST_S = 6.0
_LAST_S = 2.0
"""Before the end of the traffic."""
#: From scaling up to scaling down, at the least: a worker needs about half of it to start and be assigned partitions.
SCALED_S = 10.0
_JOINED_S = 5.0
#: What a schedule that is as short as can be leaves to chance.
_SLACK_S = 4.0
#: About so often the schema registry is out.
_REGISTRY_S = 40.0
#: So much time or less holds everything once; twice as much, twice.
_ROUND_S = 60.0


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    at_s: float
    kind: Kind
    lasts_s: float
    pick: int
    """Which of the workers that are alive, counted round."""
    is_owed: bool = False
    """Every schedule holds it: the run is not over before it has happened."""

    def __str__(self) -> str:
        return f"{self.at_s:6.1f} s  {self.kind}, worker {self.pick}, {self.lasts_s:.1f} s{', owed' if self.is_owed else ''}"


@dataclass(frozen=True)
class Schedule:
    """What goes wrong in one run, by time."""

    faults: list[Fault]
    seconds: float
    """How long events are sent: what was asked for, or what the faults that are owed need."""


def least_seconds(session_timeout_s: float) -> float:
    """Return the shortest run that holds what every schedule must."""
    return _FIRST_S + 3 + max(SCALED_S, 2 * session_timeout_s) + _SLACK_S + _LAST_S


def draw(seed: int, seconds: float, session_timeout_s: float, *, broker_keeps_data: bool) -> Schedule:
    """Draw a schedule. The same arguments give the same schedule."""
    rng = random.Random(seed)
    seconds = max(seconds, least_seconds(session_timeout_s))
    first, last = _FIRST_S + rng.uniform(0, 3), seconds - _LAST_S
    pause_s = 2 * session_timeout_s
    rounds = max(int((last - first) // _ROUND_S), 1)
    edges = [first + (last - first) * n / rounds for n in range(rounds + 1)]
    faults = [f for a, b in pairwise(edges) for f in _owed(rng, a, b, pause_s)]
    weights = _WEIGHTS | (_BROKER_WEIGHTS if broker_keeps_data else {})
    at = first + rng.uniform(0, 3)
    while at < last:
        kind = rng.choices(list(weights), list(weights.values()))[0]
        lasts = {
            "pause worker": pause_s,
            "hang store": rng.uniform(2, 12),
            "kill store": rng.uniform(0, 6),
            "lose replies": rng.uniform(1, 6),
        }.get(kind, rng.uniform(0, 3))
        faults.append(Fault(round(at, 1), kind, round(lasts, 1), rng.randrange(6)))
        at += rng.uniform(1, 7)
    faults += _registry_outages(random.Random(f"registry {seed}"), first, last)
    return Schedule(sorted(faults, key=lambda fault: fault.at_s), seconds)


def _registry_outages(rng: random.Random, first: float, last: float) -> list[Fault]:
    """One for every 40 seconds, at the least one: records of a schema that is new wait for its end."""
    count = max(round((last - first) / _REGISTRY_S), 1)
    edges = [first + (last - first) * n / count for n in range(count + 1)]
    return [
        Fault(round(rng.uniform(a, b), 1), "stop registry", round(rng.uniform(2, 8), 1), 0)
        for a, b in pairwise(edges)
    ]


def _owed(rng: random.Random, first: float, last: float, pause_s: float) -> list[Fault]:
    """Draw what each round holds. Nothing but the two of scaling, and the end of the round, binds the order."""
    spare = last - first - SCALED_S
    scaled_s = SCALED_S + spare * rng.random() ** 3  # mostly short, or nothing would ever come after it
    up = rng.uniform(first, last - scaled_s)
    down = up + scaled_s
    kill = rng.uniform(first, last)
    pause = rng.uniform(first, last - pause_s)
    # Others take over from a worker that is paused only while there are others: every second time at the least.
    scaled_from, scaled_to = up + _JOINED_S, min(down, last - pause_s)
    if rng.random() < 0.5 and scaled_from < scaled_to:
        pause = rng.uniform(scaled_from, scaled_to)

    def fault(at_s: float, kind: Kind, lasts_s: float) -> Fault:
        return Fault(round(at_s, 1), kind, round(lasts_s, 1), rng.randrange(6), is_owed=True)

    return [
        fault(up, "scale up", 0.0),
        fault(down, "scale down", 0.0),
        fault(kill, "kill worker", rng.uniform(0, 3)),
        fault(pause, "pause worker", pause_s),
    ]
