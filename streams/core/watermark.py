"""How far event time has come, per model and source.

The watermark is the least, over the partitions of the source's topic, of the greatest event time read there, less
the allowed lateness. A partition that is read to its end and silent does not hold it back (Flink calls this
*idleness*), nor does one that is stopped, wherever it was left (*resting*); a partition that nothing was heard from yet
does. It never goes backwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from seawall.frames import Source
from seawall.monitor import MonitorSpec
from streams.core.log_clock import LogClock


class Partition(NamedTuple):
    """A partition of an input topic."""

    topic: str
    partition: int


@dataclass(slots=True)
class Progress:
    """What is known of one source partition."""

    max_ts: int = -1
    caught_up: bool = False
    moved_us: int = 0
    next_offset: int = -1
    resting: bool = False
    """Stopped until somebody mends something: silent, whatever there is left to read."""
    life: int = 0
    """Of the log that `next_offset` is of: one that begins anew begins at 0."""

    @property
    def is_silent(self) -> bool:
        """Whether nothing is to be expected of it for now."""
        return self.caught_up or self.resting


@dataclass(slots=True)
class _Seen:
    max_ts: int
    at_us: int


@dataclass
class Watermarks:
    """Watermarks of every model whose summaries come through one summaries partition.

    Attributes
    ----------
    sources : topic name to source
    replay : bool
        Event time is not the wall clock: partitions are idle only all together, and a stream that is read to
        its end and idle closes its last pane at once. Otherwise silence lets event time pass at the pace of
        the wall clock.
    clock : LogClock
        What `now_us` is when a record of the log is taken.
    """

    sources: dict[str, Source]
    idle_timeout_us: int = 30_000_000
    replay: bool = False
    clock: LogClock = field(default_factory=LogClock)
    progress: dict[Partition, Progress] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    _seen: dict[str, dict[Partition, _Seen]] = field(default_factory=dict)
    """What was seen of each model."""
    _reached: dict[tuple[str, Source], int] = field(default_factory=dict)
    _first_heard_us: dict[str, int] = field(default_factory=dict)

    def heard(
        self,
        partition: Partition,
        partitions: int,
        max_ts: int,
        next_offset: int,
        caught_up: bool,
        now_us: int,
        resting: bool = False,
        life: int = 0,
    ) -> None:
        """Take a progress report about a source partition.

        A partition that is `resting` is read again from its last cut when it goes on, so where it rests may be
        before what was reported of it.
        """
        self.partitions[partition.topic] = max(partitions, self.partitions.get(partition.topic, 0))
        self._first_heard_us.setdefault(partition.topic, now_us)
        progress = self.progress.setdefault(partition, Progress(moved_us=now_us))
        if life > progress.life:
            progress.life, progress.next_offset = life, -1
        if next_offset > progress.next_offset:
            progress.next_offset = next_offset
            progress.moved_us = now_us
        progress.max_ts = max(progress.max_ts, max_ts)
        progress.resting = resting
        # A worker that was replaced may have read to where the end once was; one that starts again reads on from there.
        if not caught_up or next_offset >= progress.next_offset:
            progress.caught_up = caught_up

    def newest(self, model: str, partition: Partition) -> int:
        """Return the greatest event time of a model on a source partition, -1 for none."""
        seen = self._seen.get(model, {}).get(partition)
        return -1 if seen is None else seen.max_ts

    def saw(self, model: str, partition: Partition, max_ts: int, now_us: int) -> None:
        """Take the greatest event time of a model on a source partition."""
        seen = self._seen.setdefault(model, {}).setdefault(partition, _Seen(-1, now_us))
        if max_ts > seen.max_ts:
            seen.max_ts = max_ts
            seen.at_us = now_us

    def snapshot(self) -> dict[str, Any]:
        """Return what is known of the sources, fit for JSON."""
        return {
            "progress": [
                [*p, g.max_ts, g.caught_up, g.moved_us, g.next_offset, g.resting, g.life]
                for p, g in self.progress.items()
            ],
            "partitions": self.partitions,
            "first_heard_us": self._first_heard_us,
            "clock": self.clock.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `snapshot`."""
        self.progress = {Partition(t, p): Progress(*rest) for t, p, *rest in state["progress"]}
        self.partitions = state["partitions"]
        self._first_heard_us = state["first_heard_us"]
        if "clock" in state:  # an earlier version saved none
            self.clock.restore(state["clock"])

    def snapshot_model(self, model: str) -> dict[str, Any]:
        """Return what is known of one model, fit for JSON."""
        return {
            "seen": [[*p, s.max_ts, s.at_us] for p, s in self._seen.get(model, {}).items()],
            "reached": {
                s: self._reached[model, s]
                for s in sorted(set(self.sources.values()))
                if (model, s) in self._reached
            },
        }

    def restore_model(self, model: str, state: dict[str, Any]) -> None:
        """Undo `snapshot_model`."""
        for topic, partition, max_ts, at_us in state["seen"]:
            self._seen.setdefault(model, {})[Partition(topic, partition)] = _Seen(max_ts, at_us)
        for source, at in state["reached"].items():
            self._reached[model, source] = at

    def forget(self, model: str) -> None:
        """Forget a model of which nothing is left."""
        self._seen.pop(model, None)
        for source in set(self.sources.values()):
            self._reached.pop((model, source), None)

    def of(self, model: str, source: Source, spec: MonitorSpec, now_us: int) -> int | None:
        """Return the watermark in microseconds, or None while it is not known."""
        key = (model, source)
        reached = self._reached.get(key)
        fresh = self._fresh(model, source, spec, now_us)
        if fresh is None:
            return reached
        reached = fresh if reached is None else max(reached, fresh)
        self._reached[key] = reached
        return reached

    def _fresh(self, model: str, source: Source, spec: MonitorSpec, now_us: int) -> int | None:
        mine = self._seen.get(model, {})
        if all(self.sources.get(partition.topic) != source for partition in mine):
            return None  # asked of every model once a second, and few have labels or feature events
        topics = [t for t, s in self.sources.items() if s == source]
        holding: list[int] = []
        resting: list[int] = []
        greatest, last_us = -1, 0
        for topic in topics:
            if self._unheard(topic, now_us):
                return None
            for partition, progress in self.progress.items():
                if partition.topic != topic:
                    continue
                seen = mine.get(partition)
                if seen is not None:
                    greatest, last_us = max(greatest, seen.max_ts), max(last_us, seen.at_us)
                held = self._held_at(seen, progress, now_us)
                if held is not None:
                    holding.append(held)
                elif seen is not None:
                    resting.append(seen.max_ts)
        if greatest < 0:
            return None
        if holding:
            # In a replay a partition that looks idle for a moment is days of event time behind the others.
            holding += resting if self.replay else []
            return min(holding) - spec.lateness_us if min(holding) >= 0 else None
        if self.replay:
            return -(-(greatest + 1) // spec.pane_us) * spec.pane_us
        return greatest - spec.lateness_us + max(now_us - last_us, 0)

    def _unheard(self, topic: str, now_us: int) -> bool:
        known = sum(1 for p in self.progress if p.topic == topic)
        if not known:
            return True
        waited = now_us - self._first_heard_us[topic]
        return known < self.partitions[topic] and waited < self.idle_timeout_us

    def _held_at(self, seen: _Seen | None, progress: Progress, now_us: int) -> int | None:
        """Event time at which a partition holds the watermark, or None when it does not."""
        if seen is None:
            # Nothing of this model here so far. While there is more to read, something may come.
            return None if progress.is_silent else progress.max_ts
        if progress.is_silent and now_us - max(seen.at_us, 0) >= self.idle_timeout_us:
            return None
        return seen.max_ts
