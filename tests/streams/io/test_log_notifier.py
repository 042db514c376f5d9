"""The receiver that needs no setting."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from streams.core.notify import Result
from streams.io.log_notifier import LogNotifier
from tests.contract.samples import alarm, rollback


@pytest.mark.parametrize(
    ("step", "level"),
    [
        (alarm(severity="critical"), logging.ERROR),
        (alarm(severity="warning"), logging.WARNING),
        (alarm(severity="info"), logging.INFO),
        (alarm(state="resolved", revision=1), logging.INFO),
        (rollback(), logging.INFO),
    ],
)
async def test_a_step_is_one_line_at_the_level_of_its_severity(
    step: dict[str, Any], level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert (await LogNotifier().send(step)).result is Result.DELIVERED
    [record] = caplog.records
    assert record.levelno == level
    assert "late-arrival" in record.getMessage()


async def test_a_line_break_in_the_data_writes_no_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    await LogNotifier().send(alarm(model="m\nERROR forged", summary="x\r\x1b[31m\u2028y" * 1000))
    [record] = caplog.records
    assert record.getMessage().isprintable()
    assert len(record.getMessage()) < 4000
