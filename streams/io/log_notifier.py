"""The receiver that needs no setting: one line in the worker's log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from streams.core.messages import clip
from streams.core.notify import Result, step_id, step_revision
from streams.io.notifier import Outcome

log = logging.getLogger(__name__)

_LEVELS = {"critical": logging.ERROR, "error": logging.ERROR, "warning": logging.WARNING}


class LogNotifier:
    """Writes one line a step. Neither blocks nor fails; what becomes of the line is the log's business."""

    concurrency = 1

    async def send(self, alarm: Mapping[str, Any]) -> Outcome:
        """Log `alarm` at the level of its severity; resolves and rollbacks as information."""
        is_rollback = "rollback_id" in alarm
        said = alarm["reason"] if is_rollback else alarm["summary"]
        level = logging.INFO
        if not is_rollback and alarm["state"] != "resolved":
            level = _LEVELS.get(alarm["severity"], logging.INFO)
        log.log(
            level,
            "%s %s: model %s: %s (%s, revision %d)",
            "rollback" if is_rollback else "alarm",
            alarm["state"],
            *(_one_line(text) for text in (alarm["model"], said, step_id(alarm))),
            step_revision(alarm),
        )
        return Outcome(Result.DELIVERED)


def _one_line(text: str) -> str:
    """Keep a line break in a model's name from writing a line of its own."""
    return clip("".join(char if char.isprintable() else " " for char in text), 1000)
