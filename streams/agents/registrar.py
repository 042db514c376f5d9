"""The reference registry: carries out approved rollbacks by writing registry events."""

from __future__ import annotations

import logging

from seawall.errors import WireError
from seawall.wire import decode
from streams.agents.worker import Worker
from streams.core.registrar import execute
from streams.io.kafka import Run

log = logging.getLogger(__name__)


async def carry_out(worker: Worker, run: Run) -> None:
    """Execute the approved rollbacks of a run. The single writer of a model is the owner of its partition."""
    await worker.control_ready.wait()
    for record in run.records:
        try:
            step = decode(record.value or b"", ("rollback",))[1]
        except WireError as error:
            log.error("rollbacks offset %d is not ours (%s)", record.offset, error)  # noqa: TRY400
            continue
        if step["state"] != "approved":
            continue
        events, answer = execute(step, worker.registry, step["ts"])
        for event in events:
            worker.registry.observe(event)
        await worker.send(("registry", "registry_event", event, event["model"], None) for event in events)
        if answer is not None:
            log.warning("rollback %s of %s: %s (%s)", answer["rollback_id"], answer["model"], answer["state"], answer["reason"])  # noqa: E501
            await worker.send([("rollbacks", "rollback", answer, answer["model"], None)])
