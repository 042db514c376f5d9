"""The reference registry: carries out approved rollbacks by writing registry events."""

from __future__ import annotations

import logging

from seawall.errors import WireError
from seawall.wire import decode
from streams.agents.worker import Worker, now_us
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
            log.error("rollbacks offset %d is not ours (%s)", record.offset, error)
            continue
        desk = worker.desk(step["model"])
        desk.on_step(step)
        latest = desk.latest(step["rollback_id"])
        if step["state"] != "approved" or latest is None or latest.state != "approved":
            continue
        done = execute(step, worker.registry, step["ts"])
        for event in done.events:
            worker.registry.observe(event)
        await worker.send(
            ("registry", "registry_event", event, event["model"], None) for event in done.events
        )
        answer = done.step
        log.warning(
            "rollback %s of %s: %s (%s)", answer.rollback_id, answer.model, answer.state, answer.reason
        )
        await worker.send([("rollbacks", "rollback", answer.to_record(now_us()), answer.model, None)])
