"""What the consumer of runs says of a partition's end: when the group has moved on, and where the log has gaps."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.types import TP

from seawall.settings import Settings
from streams.io.kafka import Fetched, RunApp, make_app


async def test_the_end_of_a_partition_that_was_just_revoked_is_not_known() -> None:
    app = make_app(Settings())

    class Client:
        """aiokafka's consumer, as far as this question goes, with nothing assigned."""

        def last_stable_offset(self, tp: TP) -> int:
            assert SubscriptionState().is_assigned(tp), "Partition is not assigned"
            return 0

    app.runs._thread._consumer = Client()  # type: ignore[attr-defined]
    assert app.runs.highwater(TP("predictions", 0)) is None


TP0 = TP("predictions", 0)


def fed(app: RunApp, monkeypatch: pytest.MonkeyPatch, fetches: Iterable[tuple[list[int], int]]) -> None:
    """Let the consumer fetch runs of `TP0`: offsets, and the position after them."""
    left = iter(fetches)

    async def fetch(timeout: float) -> Any:
        offsets, position = next(left)
        records = [
            SimpleNamespace(
                offset=o, timestamp=0, timestamp_type=0, key=b"", value=b"", checksum=0, headers=(),
                serialized_key_size=0, serialized_value_size=0, topic=TP0.topic, partition=0,
            )
            for o in offsets
        ]  # fmt: skip
        return Fetched({TP0: records} if records else {}, {TP0: position}), {TP0}

    monkeypatch.setattr(app.runs, "_wait_next_records", fetch)
    monkeypatch.setattr(app.runs, "highwater", lambda tp: None)
    app.flow_control.resume()
    app.runs.can_resume_flow.set()
    app.runs.flow_active = True


async def one_fetch(app: RunApp) -> list[int]:
    return [r.offset for _, m in [x async for x in app.runs.getmany(0.1)] for r in m.value.records]


async def test_a_gap_is_read_once_the_records_before_it_were_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(Settings())
    fed(app, monkeypatch, [([3, 4], 5), ([7], 8), ([], 20)])
    assert await one_fetch(app) == [3, 4]
    assert app.runs.reached(TP0, 3) == 3
    assert app.runs.reached(TP0, 5) == 5
    assert await one_fetch(app) == [7]
    assert await one_fetch(app) == []
    assert app.runs.reached(TP0, 5) == 5, "a record lies between"
    assert app.runs.reached(TP0, 8) == 20


async def test_a_partition_without_any_record_is_read_to_where_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app(Settings())
    fed(app, monkeypatch, [([], 1000)])
    assert await one_fetch(app) == []
    assert app.runs.reached(TP0, 0) == 1000


async def test_a_fetch_from_before_a_rewind_says_nothing_about_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app(Settings())
    fed(app, monkeypatch, [([3], 20), ([], 20)])
    assert await one_fetch(app) == [3]
    assert app.runs.reached(TP0, 4) == 20
    fetch = app.runs._wait_next_records

    async def overtaken(timeout: float) -> Any:
        found = await fetch(timeout)
        await app.runs.rewind(TP0)
        return found

    monkeypatch.setattr(app.runs, "_wait_next_records", overtaken)
    assert await one_fetch(app) == []
    assert app.runs.reached(TP0, 4) == 4
