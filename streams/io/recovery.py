"""Faust's way out of a rebalance, which waits for the broker for as long as that takes.

Faust recovers its tables there, of which we have none, and then seeks and resumes the flow. It gives the seek the time
of one request, and takes a timeout for its own stop: the task ends without a word, nothing is resumed any more, and the
worker keeps its place in the group and its partitions. A broker that is away for half a minute right after a rebalance
was enough, and so was a worker that was paused for as long in the middle of one.
"""

from __future__ import annotations

import logging
from typing import Any, cast

from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery

#: What is Faust's to say is said as quietly as everything of Faust's.
_FAUST = logging.getLogger("faust")


class PatientRecovery(Recovery):
    """Waits until it is done, until another rebalance comes, or until it is stopped."""

    logger = _FAUST

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        await super()._wait(coro)


class Tables(TableManager):
    """Faust's, of no tables, with the recovery above."""

    logger = _FAUST

    @property
    def recovery(self) -> Recovery:
        """What follows a rebalance."""
        if self._recovery is None:
            self._recovery = PatientRecovery(self.app, cast("Any", self), beacon=self.beacon, loop=self.loop)
        return self._recovery
