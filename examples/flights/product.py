"""The product: a service that tells travellers whether their flight will be late, and tells Seawall what it did.

It knows nothing of Seawall but the SDK and one topic: it serves whichever version the registry last promoted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from examples.flights.features import SERVING
from examples.flights.model import MODEL, SCORE, WARN_FROM
from examples.flights.world import World
from seawall import Client

#: Room in the client's buffer is waited for: a replay is faster than any product, and it must not drop events.
WAIT_S = 60.0
NO_VERSION = ""
#: Landings of several versions are reported this many at a time: a quarter of an hour or so.
MIXED_FLIGHTS = 16


def warnings_of(scores: npt.NDArray[np.float64]) -> list[str]:
    """Return what travellers are told."""
    return np.where(scores >= WARN_FROM, "late", "on time").tolist()


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
        self._land_all(self._world.landing_order[a:b])

    def _land_all(self, landed: npt.NDArray[np.int64]) -> None:
        """Report landings in order. Just after a release flights of two versions land side by side."""
        versions = dict.fromkeys(self.served_by[landed])
        if len(versions) > 1 and len(landed) > MIXED_FLIGHTS:
            # A frame holds one version: two long frames side by side would be out of order by hours, and so would
            # short ones that the SDK keeps waiting for company.
            for at in range(0, len(landed), MIXED_FLIGHTS):
                self._land_all(landed[at : at + MIXED_FLIGHTS])
                self._client.flush(WAIT_S)
            return
        for version in versions:
            self._land(version, landed[self.served_by[landed] == version])

    def _depart(self, a: int, b: int) -> None:
        """Look the flights up in the feature store, score them, and log both sides."""
        world, version = self._world, self.version
        stored, ts, ids = world.table.iloc[a:b], world.planned_us[a:b], world.event_ids[a:b].tolist()
        self._client.log_features(stored, ts=ts, event_ids=ids, model=MODEL, version=version, wait_s=WAIT_S)
        self.sent["features"] += b - a
        if version == NO_VERSION:
            return
        scores = world.scores[version][a:b]
        self._client.log_predictions(
            SERVING[version](stored),
            scores={SCORE: scores},
            labels=warnings_of(scores),
            ts=ts,
            event_ids=ids,
            model=MODEL,
            version=version,
            wait_s=WAIT_S,
        )
        self.sent["predictions"] += b - a
        self.served_by[a:b] = version

    def _land(self, version: str, landed: npt.NDArray[np.int64]) -> None:
        """Say of flights that one version served whether they came in late, and what had been said of them."""
        world = self._world
        scores = None if version == NO_VERSION else world.scores[version][landed]
        self._client.log_labels(
            world.event_ids[landed].tolist(),
            np.where(world.late[landed] == 1, "late", "on time").tolist(),
            scores=None if scores is None else {SCORE: scores},
            predicted=None if scores is None else warnings_of(scores),
            ts=world.landed_us[landed],
            model=MODEL,
            version=version,
            wait_s=WAIT_S,
        )
        self.sent["labels"] += len(landed)
