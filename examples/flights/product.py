"""The product: a service that tells travellers whether their flight will be late, and tells Seawall what it did.

It knows nothing of Seawall but the SDK and one topic: it serves whichever version the registry last promoted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from examples.flights.data import LATE_AFTER_MIN
from examples.flights.features import SERVING
from examples.flights.model import MODEL, SCORE, WARN_FROM
from examples.flights.world import World
from seawall import Client

#: Room in the client's buffer is waited for: a replay is faster than any product, and it must not drop events.
WAIT_S = 60.0
#: `World.table` column by column; versions by number, 0 for "no model yet".
NO_VERSION = ""


class Product:
    """Serves flights in event time.

    Parameters
    ----------
    world
    client
        The SDK.
    serving
        Says which version is in production now; empty while there is none.
    """

    def __init__(self, world: World, client: Client, serving: Callable[[], str]) -> None:
        self._world = world
        self._client = client
        self._serving = serving
        self._landed_us = world.landed_us[world.landing_order]
        self.version = NO_VERSION
        self.served_by: npt.NDArray[np.object_] = np.full(len(world.planned_us), NO_VERSION, dtype=object)
        """Version that served each flight so far; labels carry it, and the report compares by it."""
        self.sent: Counter[str] = Counter()

    def run(self, start_us: int, end_us: int) -> None:
        """Live through ``[start_us, end_us)``: serve what departs, report what has landed."""
        self.version = self._serving()
        a, b = np.searchsorted(self._world.planned_us, [start_us, end_us])
        if b > a:
            self._depart(int(a), int(b))
        a, b = np.searchsorted(self._landed_us, [start_us, end_us])
        landed = self._world.landing_order[a:b]
        for version in dict.fromkeys(self.served_by[landed]):
            self._land(version, landed[self.served_by[landed] == version])

    def _depart(self, a: int, b: int) -> None:
        """Look the flights up in the feature store, score them, and log both sides."""
        world, version = self._world, self.version
        stored, ts, ids = world.table.iloc[a:b], world.planned_us[a:b], world.event_ids[a:b].tolist()
        self._client.log_features(
            stored, ts=ts, event_ids=ids, model=MODEL, version=version, wait_s=WAIT_S
        )
        self.sent["features"] += b - a
        if version == NO_VERSION:
            return
        scores = world.scores[version][a:b]
        self._client.log_predictions(
            SERVING[version](stored),
            scores={SCORE: scores},
            labels=np.where(scores >= WARN_FROM, "late", "on time").tolist(),
            ts=ts,
            event_ids=ids,
            model=MODEL,
            version=version,
            wait_s=WAIT_S,
        )
        self.sent["predictions"] += b - a
        self.served_by[a:b] = version

    def _land(self, version: str, landed: npt.NDArray[np.int64]) -> None:
        """Say of flights that one version served whether they came in more than `LATE_AFTER_MIN` minutes late."""
        world = self._world
        self._client.log_labels(
            world.event_ids[landed].tolist(),
            np.where(world.late[landed] == 1, "late", "on time").tolist(),
            ts=world.landed_us[landed],
            model=MODEL,
            version=version,
            wait_s=WAIT_S,
        )
        self.sent["labels"] += len(landed)


__all__ = ["LATE_AFTER_MIN", "NO_VERSION", "Product"]
