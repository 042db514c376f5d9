"""A log that says the same thing once a minute: client libraries say it with every attempt."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection

_EVERY_S = 60.0
#: Texts remembered.
_MOST = 1000


class Repeats(logging.Filter):
    """Leaves out what a library said less than a minute ago, and says later how often that was.

    A handler's filter: a logger's would not see what its children say. Numbers in a text are part of it.

    Parameters
    ----------
    libraries
        Names of loggers, whose children count as well; what others say is never left out.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        libraries: Collection[str],
        *,
        every_s: float = _EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._libraries = frozenset(libraries)
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._said: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        """When a logger said a text last, and how often it was left out since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is news."""
        if record.name.partition(".")[0] not in self._libraries:
            return True
        with self._lock:  # a filter is asked by every thread that logs
            return self._is_news(record)

    def _is_news(self, record: logging.LogRecord) -> bool:
        key, now_s = (record.name, record.getMessage()), self._clock()
        at_s, left_out = self._said.get(key, (float("-inf"), 0))
        if now_s - at_s < self._every_s:
            self._said[key] = at_s, left_out + 1
            return False
        if left_out:
            record.msg, record.args = f"{key[1]} (and {left_out} times more since)", ()
        self._said[key] = now_s, 0
        self._said.move_to_end(key)
        while len(self._said) > _MOST:
            self._said.popitem(last=False)
        return True
