"""Which life of its input partition a summary is about.

An offset names a record for as long as the log lives. A topic that is deleted and made again, or a cluster that is
restored from an older copy, begins another log under the same name: other events at offsets that were counted. Who
reads says which log it is (`LogName`): the number that the operator gives, and the id that the broker gives a topic
when it is made. A greater number is a later log. Ids have no order, so the order is that in which they are heard of:
a name that was not heard before is a new log, one that was and is not the last is a zombie's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streams.core.watermark import Partition

#: Names of a partition's logs that are remembered. A zombie of one before these would be taken for the newest.
REMEMBERED = 16


class LogName(NamedTuple):
    """What tells a topic's log from those that it had before."""

    epoch: int = 0
    """The operator's, ``SEAWALL_LOG_EPOCH``: offsets of a greater one are of a later log."""
    topic_id: str = ""
    """The broker's; empty where it gives none."""


class Place(NamedTuple):
    """An offset of a partition, in one of its lives. Later lives are greater."""

    life: int = 0
    offset: int = -1


class Beginning(NamedTuple):
    """Where a life of a partition's log begins."""

    life: int = 0
    offset: int = 0
    """From which it was read first."""
    may_go_on: bool = True
    """Whether it may be the log that was read before, under another name, so that its open chunk is told again."""

    @property
    def place(self) -> Place:
        """Where."""
        return Place(self.life, self.offset)


UNNAMED, FIRST = LogName(), Beginning()


@dataclass(slots=True)
class _Known:
    names: list[LogName]
    forgotten: int = 0
    """Lives before the first of `names`."""
    begins: int = 0
    """Offset from which the last life was read first."""
    may_go_on: bool = True

    @property
    def last(self) -> int:
        return self.forgotten + len(self.names) - 1

    @property
    def beginning(self) -> Beginning:
        return Beginning(self.last, self.begins, self.may_go_on)


@dataclass
class Lives:
    """The lives of all source partitions, as far as one reader of summaries has heard of them. A pure fold."""

    _known: dict[Partition, _Known] = field(default_factory=dict)

    def find(self, partition: Partition, name: LogName) -> int | None:
        """Return the life of a log, one that was not heard of included; None for one that is over."""
        known = self._known.get(partition)
        if known is None:
            return 0
        last = known.names[-1]
        if name == last or (name.epoch == last.epoch and not (name.topic_id and last.topic_id)):
            return known.last
        return None if name.epoch < last.epoch or name in known.names else known.last + 1

    def hear(self, partition: Partition, name: LogName, first_offset: int) -> Beginning | None:
        """Take the name of a log and the chunk with which its reader begins.

        Returns where the partition's last life begins, or None for a log whose life is over. A log that goes on is
        read from a cut, or from its beginning while there is none; there only the topic's id tells it from another.
        """
        known = self._known.get(partition)
        if known is not None and name == known.names[-1]:
            return known.beginning
        life = self.find(partition, name)
        if life is None:
            return None
        if known is None:
            known = self._known[partition] = _Known([name], 0, first_offset)
        if life > known.last:
            is_same_topic = bool(name.topic_id) and name.topic_id == known.names[-1].topic_id
            known.may_go_on = is_same_topic or first_offset > 0
            known.names.append(name)
            known.begins = first_offset
            while len(known.names) > REMEMBERED:
                del known.names[0]
                known.forgotten += 1
        elif name.topic_id:
            known.names[-1] = name  # an earlier version's reader, or a broker's, gave no id
        return known.beginning

    def snapshot(self) -> list[list[Any]]:
        """Return what is known, fit for JSON."""
        return [[*p, k.names, k.forgotten, k.begins, k.may_go_on] for p, k in self._known.items()]

    @classmethod
    def restore(cls, saved: list[list[Any]]) -> Lives:
        """Undo `snapshot`."""
        return cls(
            {
                Partition(topic, partition): _Known([LogName(*name) for name in names], *rest)
                for topic, partition, names, *rest in saved
            }
        )


def name_of(summary: Mapping[str, Any]) -> LogName:
    """Return the name of the log that a summary is about."""
    return LogName(summary["log_epoch"], summary["topic_id"])
