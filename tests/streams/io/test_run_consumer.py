"""What the consumer of runs says when the group has moved on."""

from __future__ import annotations

from aiokafka.consumer.subscription_state import SubscriptionState
from faust.types import TP

from seawall.settings import Settings
from streams.io.kafka import make_app


async def test_the_end_of_a_partition_that_was_just_revoked_is_not_known() -> None:
    app = make_app(Settings())

    class Client:
        """aiokafka's consumer, as far as this question goes, with nothing assigned."""

        def highwater(self, tp: TP) -> int:
            assert SubscriptionState().is_assigned(tp), "Partition is not assigned"
            return 0

    app.runs._thread._consumer = Client()  # type: ignore[attr-defined]
    assert app.runs.highwater(TP("predictions", 0)) is None
