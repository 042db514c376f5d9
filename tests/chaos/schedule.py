"""What goes wrong and when: drawn from the seed alone, so that a printed seed says it all."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "kill worker", "pause worker", "scale up", "scale down", "stop worker", "hang store", "kill store", "lose replies",
    "bounce broker", "kill broker",
]  # fmt: skip
#: Faults, and how often each is drawn.
_WEIGHTS: dict[Kind, int] = {
    "kill worker": 5,
    "pause worker": 4,
    "scale up": 2,
    "scale down": 2,
    "stop worker": 1,
    "hang store": 2,
    "kill store": 2,
    "lose replies": 3,
}
_BROKER_WEIGHTS: dict[Kind, int] = {"bounce broker": 2, "kill broker": 2}
_FIRST_S = 6.0


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong."""

    at_s: float
    kind: Kind
    lasts_s: float
    pick: int
    """Which of the workers that are alive, counted round."""

    def __str__(self) -> str:
        return f"{self.at_s:6.1f} s  {self.kind}, worker {self.pick}, {self.lasts_s:.1f} s"


def draw(seed: int, seconds: float, session_timeout_s: float, *, broker_keeps_data: bool) -> list[Fault]:
    """Draw a schedule. The same arguments give the same schedule."""
    rng = random.Random(seed)
    weights = _WEIGHTS | (_BROKER_WEIGHTS if broker_keeps_data else {})
    faults = []
    at = _FIRST_S + rng.uniform(0, 3)
    while at < seconds - 2:
        kind = rng.choices(list(weights), list(weights.values()))[0]
        lasts = {
            "pause worker": 2 * session_timeout_s,
            "hang store": rng.uniform(2, 12),
            "kill store": rng.uniform(0, 6),
            "lose replies": rng.uniform(1, 6),
        }.get(kind, rng.uniform(0, 3))
        faults.append(Fault(round(at, 1), kind, round(lasts, 1), rng.randrange(6)))
        at += rng.uniform(1, 7)
    return faults
