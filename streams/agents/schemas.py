"""Writers' schemas that records need before they can be decoded.

A partition whose next records need a schema that the registry cannot give now is paused in Faust's consumer,
which goes on polling for the others. Nothing of the run is counted, published or committed; when the registry
answers, the partition is read again from where everything is durable.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from faust.types import TP

from seawall.wire import Resolver, SchemaId, header_schema_id, schema_of
from streams.agents.worker import Worker, now_us
from streams.core.decode import Records
from streams.io import metrics as m
from streams.io.kafka import Run
from streams.io.metrics import Metrics
from streams.io.schema_registry import SchemaRegistry

log = logging.getLogger(__name__)
HEADER = "__value_schema_id"
#: How long the other partitions may have to wait for an id that was never seen.
PATIENCE_S = 2.0


class Schemas:
    """All input partitions of one topic that this worker has."""

    def __init__(
        self, worker: Worker, source: str, metrics: Metrics, registry: SchemaRegistry | None = None
    ) -> None:
        self.worker = worker
        self.source = source
        self.metrics = metrics
        self.registry = registry
        self.waiting: dict[TP, tuple[set[SchemaId], int]] = {}
        """Ids that a partition waits for, and since when (microseconds)."""

    @property
    def resolver(self) -> Resolver | None:
        """Pure look-up of what was prepared."""
        return self.registry.resolve if self.registry is not None else None

    def begin(self, partitions: Sequence[TP], held: set[TP]) -> None:
        """Start anew after an assignment. What is `held` for another reason stays paused."""
        before = set(self.waiting)
        self.waiting.clear()
        self.worker.app.runs.resume_partitions((before & set(partitions)) - held)
        self._show()

    async def is_ready(self, run: Run, records: Records) -> bool:
        """Look up what a run needs. False when it must wait: the partition is paused then.

        Blocks up to `PATIENCE_S` for new ids, and not at all while the registry is known to be down.
        """
        if run.tp in self.waiting:
            return False
        if self.registry is None:
            return True
        ids = records.schema_ids
        needed = {
            found[0] for i, v in enumerate(records.values) if (found := schema_of(v, ids.get(i))) is not None
        }
        if not needed:
            return True
        missing = await self.registry.prepare(needed, 0.0 if self.registry.trouble else PATIENCE_S)
        if not missing:
            return True
        self.worker.app.runs.pause_partitions({run.tp})
        self.waiting[run.tp] = missing, now_us()
        self._show()
        log.warning("%s/%d waits for %s", self.source, run.tp.partition, _named(missing))
        return False

    async def released(self) -> list[TP]:
        """List partitions whose schemas are known now. The caller reads them again and resumes them."""
        if self.registry is None or not self.waiting:
            return []
        free = [tp for tp, (ids, _) in self.waiting.items() if not await self.registry.prepare(ids, 0.0)]
        for tp in free:
            del self.waiting[tp]
            log.info("%s/%d goes on", self.source, tp.partition)
        if free:
            self._show()
        return free

    def is_overdue(self, tp: TP) -> bool:
        """Tell whether a partition has waited for so long that it no longer holds the watermark back."""
        if tp not in self.waiting:
            return False
        return now_us() - self.waiting[tp][1] > self.worker.settings.idle_timeout_s * 1e6

    def _show(self) -> None:
        self.metrics.set(m.PARTITIONS_PAUSED, len(self.waiting), topic=self.source, reason="schema_registry")
        self.worker.stopped[f"{self.source} schemas"] = [
            f"{self.source}/{tp.partition} waits for the schema registry: {_named(ids)}"
            for tp, (ids, _) in self.waiting.items()
        ]


def _named(ids: set[SchemaId]) -> str:
    shown = ", ".join(sorted(map(str, ids))[:5])
    return f"schema id {shown}" + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


def records_of(run: Run) -> Records:
    """Return the records of a run, with the schema ids that their headers name."""
    records = run.plain()
    for i in [i for i, raw in enumerate(run.records) if raw.headers]:
        found = schema_id_of(run.records[i].headers)
        if found is not None:
            records.schema_ids[i] = found
    return records


def schema_id_of(headers: Sequence[tuple[str, Any]]) -> SchemaId | None:
    """Return the schema id that a record's headers name, if any; the last one counts."""
    for name, value in reversed(headers):
        if name == HEADER and value is not None:
            return header_schema_id(value)
    return None
