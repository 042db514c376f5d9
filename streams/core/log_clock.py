"""What time it is in the log of summaries.

Whatever is folded from the log has no other clock than the stamps of its records, so that reading it again says the
same. The broker stamps them where the topic says ``LogAppendTime``, else the workers do, and any clock may be wrong. So
time is not what a stamp says, but how far it is beyond the one before *of the same source partition*, which one worker
has at a time: a clock that is three hours ahead is as good as any other. One that jumps, or takes over from another,
moves time by nothing; nor does a silence of the whole log, in which nobody could have said anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: A step between two records of one source partition that is longer is no time that passed. Workers speak of every
#: partition every few seconds.
LONGEST_STEP_US = 120_000_000


@dataclass(slots=True)
class LogClock:
    """Microseconds; never goes back.

    Attributes
    ----------
    offset
        Last record that was heard. Those up to it change nothing when they are read again.
    ahead_us
        By topic and partition, how far the stamps of what is said about it are ahead of `now_us`.
    """

    longest_step_us: int = LONGEST_STEP_US
    now_us: int = 0
    offset: int = -1
    ahead_us: dict[tuple[str, int], int] = field(default_factory=dict)

    def hear(self, topic: str, partition: int, stamp_us: int, offset: int) -> int:
        """Take the stamp of a record about a source partition; returns what time it is."""
        if offset <= self.offset:
            return self.now_us
        if self.offset < 0:
            self.now_us = stamp_us
        self.offset = offset
        where = (topic, partition)
        said = stamp_us - self.ahead_us.get(where, 0)
        if where not in self.ahead_us or abs(said - self.now_us) > self.longest_step_us:
            self.ahead_us[where] = stamp_us - self.now_us
        else:
            self.now_us = max(self.now_us, said)
        return self.now_us

    def snapshot(self) -> dict[str, Any]:
        """Return what is known, fit for JSON."""
        ahead = [[*where, ahead_us] for where, ahead_us in self.ahead_us.items()]
        return {"now_us": self.now_us, "offset": self.offset, "ahead_us": ahead}

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `snapshot`."""
        self.now_us, self.offset = state["now_us"], state["offset"]
        self.ahead_us = {(topic, partition): ahead_us for topic, partition, ahead_us in state["ahead_us"]}
