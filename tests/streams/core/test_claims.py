"""Two deciders of one partition at once: one that the group means, others that have not heard that they were replaced."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from streams.core.engine import Effects
from streams.core.state import Part, claim_of, restore, save, superseded
from tests.streams.core.builders import T0
from tests.streams.core.folding import engine, outcome, run, summaries, whole

#: What happens next, to whom (0 is the owner, then the zombies, newest first), and how many steps long.
Move = tuple[str, int, int]
#: Frames: their partition, the minutes of their events, and how far their values are off the baseline's.
Schedule = tuple[tuple[int, tuple[int, ...], float], ...]


@dataclass
class Group:
    """What deciders share: the log, the topic of saved parts, and the offset that the group has committed."""

    log: list[dict[str, Any]]
    stored: dict[bytes, bytes | None] = field(default_factory=dict)
    committed: int = 0
    generation: int = 0
    effects: list[Effects] = field(default_factory=list)


class Decider:
    """One decider: it reads a record or, while it saves, writes a part at a time, as the agent does."""

    def __init__(self, group: Group) -> None:
        self.group = group
        group.generation += 1
        self.generation = group.generation
        self.engine = engine()
        self.claim = claim_of(self.generation, "a")
        self.gone = superseded(whole(group.stored), self.claim)
        self.through = restore(self.engine, whole(group.stored))
        assert group.committed <= self.through + 1, "what was committed is covered by what was saved"
        self.offset = group.committed
        self.parts: list[Part] = []
        self.commits: int | None = None

    def go(self) -> None:
        """Take one step."""
        if self.parts:
            key, value = self.parts.pop(0)
            self.group.stored[key] = value
        elif self.commits is not None:
            # The broker refuses whoever was replaced.
            if self.generation == self.group.generation:
                self.group.committed = self.commits
            self.commits = None
            self.parts = [(key, None) for key in self.gone]
            self.gone = []
        elif self.offset < len(self.group.log):
            self.group.effects.append(
                self.engine.on_record(self.group.log[self.offset], self.offset, T0 + self.offset)
            )
            self.through = max(self.through, self.offset)
            self.offset += 1

    def begin_to_save(self) -> None:
        """Have the next steps write what changed."""
        if self.parts or self.commits is not None:
            return
        self.parts = [part for stage in save(self.engine, self.through, self.claim) for part in stage]
        self.commits = self.through + 1

    def save(self) -> None:
        """Save without anybody coming between."""
        self.begin_to_save()
        while self.parts or self.commits is not None:
            self.go()


def play(log: list[dict[str, Any]], moves: Iterable[Move]) -> list[Effects]:
    """Return everything that was told, by the last decider too, which reads to the end."""
    group = Group(log)
    deciders = [Decider(group)]
    for move, who, steps in moves:
        decider = deciders[min(who, len(deciders) - 1)]
        match move:
            case "go":
                for _ in range(steps):
                    decider.go()
            case "save":
                decider.save()
            case "save in part":
                decider.begin_to_save()
                for _ in range(steps):
                    decider.go()
            case "replace":
                deciders = [Decider(group), *deciders[:2]]
            case "die":
                deciders.remove(decider)
                if decider.generation == group.generation:
                    deciders.insert(0, Decider(group))
    last = Decider(group)
    while last.offset < len(log):
        last.go()
    return group.effects


moves = st.lists(
    st.tuples(
        st.sampled_from(["go", "go", "save", "save in part", "replace", "die"]),
        st.sampled_from([0, 0, 1, 2]),
        st.integers(1, 9),
    ),
    min_size=10,
    max_size=30,
)

#: The second decider saves further than it commits, is replaced, and saves once more. The third tells again what
#: follows from record 6 after the second has told what follows from 7 to 9; the last need not tell any of it.
TOLD_OUT_OF_ORDER: list[Move] = [
    ("go", 0, 6),
    ("save", 0, 1),
    ("go", 0, 5),
    ("replace", 0, 1),
    ("save", 1, 1),
    ("go", 0, 1),
]


SCHEDULE: Schedule = ((0, (0,), 0.0), (0, (0,), 0.0), (0, (2,), 0.0), (0, (0,), 0.0))


def drawn(seed: int) -> Schedule:
    """Draw a schedule of frames with out-of-order minutes."""
    rng = np.random.default_rng(seed)
    return tuple(
        (
            int(rng.integers(2)),
            tuple(rng.integers(0, 25, rng.integers(1, 9)).tolist()),
            float(rng.choice([0, 6])),
        )
        for _ in range(8)
    )


@functools.cache
def log_of(schedule: Schedule) -> list[dict[str, Any]]:
    return summaries([(p, list(minutes), shift) for p, minutes, shift in schedule], chunk_rows=2)


@functools.cache
def undisturbed(schedule: Schedule) -> tuple[Any, ...]:
    return run(log_of(schedule))


# Without the phase that explains what a failure has in common: it takes minutes here.
@settings(max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink])
@example(SCHEDULE, TOLD_OUT_OF_ORDER)
@given(st.sampled_from([drawn(seed) for seed in range(12)]), moves)
def test_replaced_deciders_that_go_on_saving_harm_nothing(schedule, moves):
    assert outcome(play(log_of(schedule), moves)) == undisturbed(schedule)


def test_the_state_that_reaches_furthest_is_taken_whoever_wrote_it():
    e, log = engine(), summaries([(0, [0, 1, 2], 0.0), (1, [3, 4], 0.0)])
    parts: dict[bytes, bytes] = {}
    for offset, summary in enumerate(log):
        e.on_record(summary, offset, T0)
        fresh = engine()
        for again in range(offset + 1):
            fresh.on_record(log[again], again, T0)
        claim = claim_of(100 - offset, "a")
        parts |= {k: v for stage in save(fresh, offset, claim) for k, v in stage if v}
    assert restore(engine(), parts) == len(log) - 1


def test_parts_of_a_later_assignment_are_not_deleted():
    keys = [
        b"0000000001-a\tmodel\tm",
        b"0000000001-a\tpartition",
        b"0000000002-b\tpartition",
        b"0000000003-c\tpartition",
    ]
    assert superseded(keys, "0000000002-z") == [keys[1], keys[2], keys[0]]
