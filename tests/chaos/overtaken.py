"""A worker each of whose rebalances is overtaken: ``python -m tests.chaos.overtaken worker``.

Faust resumes the flow at the end of a rebalance, and does so as well where the next one has begun meanwhile: fetches then go
on while positions are sought. It takes a worker that was paused in the middle of a rebalance for longer than its session
lasts, which a schedule meets once in a hundred runs. Here the flow is resumed before every seek, and every seek takes
longer than a fetch.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from faust.types import TP

from seawall.cli import main
from streams.io.kafka import RunConsumer

_SEEK_S = 0.7


async def _overtaken(self: RunConsumer) -> Mapping[TP, int]:
    sought = await _seek_to_committed(self)
    self.app.flow_control.resume()
    self.resume_flow()
    await asyncio.sleep(_SEEK_S)
    return sought


_seek_to_committed: Any = RunConsumer.seek_to_committed

if __name__ == "__main__":
    RunConsumer.seek_to_committed = _overtaken  # type: ignore[method-assign]
    sys.exit(main())
