"""The year, replayed in event time: full speed when nothing is at stake, step by step around a release."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from examples.flights import story
from examples.flights.data import DAY_US, HOUR_US, MINUTE_US
from examples.flights.loop import UNDER_WAY, Loop, Releases
from examples.flights.product import Product
from examples.flights.screen import Screen
from examples.flights.world import World
from seawall import Baseline, Client, Unavailable

QUIET_STEP_US = DAY_US
#: Small steps while pacing: a product that lives in the present sends every few minutes.
PACED_STEP_US = 15 * MINUTE_US
#: How far the product may run ahead of what is stored. A real one cannot: it lives in the present.
LEAD_US = 21 * DAY_US
HOUR_DEADLINE_S = 8.0
CATCH_UP_DEADLINE_S = 120.0
PUBLISHED_BEFORE_RELEASE_US = HOUR_US


@dataclass
class Pace:
    """What the replay did, for the report."""

    wall_seconds: float = 0.0
    paced_wall_seconds: float = 0.0
    paced_hours: int = 0
    paced_events: int = 0
    missed_deadlines: int = 0
    paced_us: list[tuple[int, int]] = field(default_factory=list)
    """Stretches of event time that were paced."""


class Replay:
    """Drives the product through the year.

    Parameters
    ----------
    stored_us
        Event time up to which windows are in the store; 0 while there are none.
    publish
        Puts a baseline on the bus.
    keep_alive
        Called often; restarts what has died.
    """

    def __init__(
        self,
        world: World,
        product: Product,
        client: Client,
        loop: Loop,
        releases: Releases,
        screen: Screen,
        stored_us: Callable[[], int],
        publish: Callable[[Baseline], None],
        keep_alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._world, self._product, self._client = world, product, client
        self._loop, self._releases, self._screen = loop, releases, screen
        self._stored_us, self._publish, self._keep_alive = stored_us, publish, keep_alive
        self._due = [(r.at_us - PUBLISHED_BEFORE_RELEASE_US, "register", r) for r in story.RELEASES]
        self._due += [(r.at_us, "promote", r) for r in story.RELEASES]
        self._due.sort(key=lambda due: due[0])
        self._pace_until_us = 0
        self.pace = Pace()

    def run(self, start_us: int, end_us: int) -> Pace:
        """Live through ``[start_us, end_us)``; returns how it went."""
        began_s, now_us = time.monotonic(), start_us
        while now_us < end_us:
            self._release(now_us)
            if self._is_paced(now_us):
                now_us = self._paced_hour(now_us, min(now_us + HOUR_US, end_us))
            else:
                now_us = self._quiet_step(now_us, min(now_us + QUIET_STEP_US, end_us))
        self._client.flush(60.0)
        self.pace.wall_seconds = time.monotonic() - began_s
        return self.pace

    def _release(self, now_us: int) -> None:
        while self._due and self._due[0][0] <= now_us:
            _, action, release = self._due.pop(0)
            baseline = self._world.baselines[release.version]
            if action == "register":
                self._publish(baseline)
                self._releases.register(release, baseline, now_us)
                continue
            self._releases.promote(release)
            if not self._loop.wait_for(lambda v=release.version: self._loop.serving() == v, 15.0):  # type: ignore[misc]  # a default binds early
                msg = f"registry: {release.version} was promoted, but nothing came back within 15 s"
                raise Unavailable(msg)

    def _is_paced(self, now_us: int) -> bool:
        """Whether somebody may have to act in event time: from shortly before a release until it is settled."""
        latest = [r for r in story.RELEASES if r.parent and now_us >= r.at_us - story.PACED_BEFORE_US]
        if not latest or now_us >= latest[-1].at_us + story.PACED_AFTER_US:
            return False
        applied = [
            int(r["ts"])
            for r in self._loop.rollbacks
            if r["state"] == "applied" and r["ts"] >= latest[-1].at_us
        ]
        return not applied or now_us < max(applied) + story.PACED_AFTER_ROLLBACK_US

    def _quiet_step(self, now_us: int, end_us: int) -> int:
        boundaries = [at_us for at_us, _, _ in self._due]
        boundaries += [r.at_us - story.PACED_BEFORE_US for r in story.RELEASES if r.parent]
        end_us = min([end_us, *(b for b in boundaries if b > now_us)])
        self._product.run(now_us, end_us)
        if end_us - now_us < QUIET_STEP_US:
            # The SDK lets short tables wait for company, and a long one sent next would overtake them.
            self._client.flush(60.0)
        self._moved(end_us, "full speed")
        deadline_s = time.monotonic() + CATCH_UP_DEADLINE_S
        while end_us - max(self._stored_us(), story.YEAR[0]) > LEAD_US and time.monotonic() < deadline_s:
            self._moved(end_us, "full speed; waiting for the worker")
            time.sleep(0.05)
        return end_us

    def _paced_hour(self, now_us: int, end_us: int) -> int:
        pace, began_s = self.pace, time.monotonic()
        before = sum(self._product.sent.values())
        if not pace.paced_us or pace.paced_us[-1][1] != now_us:
            self._catch_up(now_us)
            pace.paced_us.append((now_us, now_us))
            began_s = time.monotonic()
        end_us = min([end_us, *(at_us for at_us, _, _ in self._due if at_us > now_us)])
        for start_us in range(now_us, end_us, PACED_STEP_US):
            stop_us = min(start_us + PACED_STEP_US, end_us)
            self._product.run(start_us, stop_us)
            self._client.flush(10.0)
            self._moved(stop_us, self._said())
        self._await_windows(end_us)
        self._await_decisions()
        pace.paced_us[-1] = (pace.paced_us[-1][0], end_us)
        pace.paced_hours += 1
        pace.paced_events += sum(self._product.sent.values()) - before
        pace.paced_wall_seconds += time.monotonic() - began_s
        return end_us

    def _catch_up(self, now_us: int) -> None:
        """Let the worker read what was sent at full speed before anything may depend on its answer."""
        self._client.flush(60.0)
        self._screen.tell("pacing", {"text": "slowing down: a release is due"}, now_us)
        self._wait_stored(self._closable(now_us), CATCH_UP_DEADLINE_S, "waiting for the worker to catch up")

    def _await_windows(self, end_us: int) -> None:
        if not self._wait_stored(self._closable(end_us), HOUR_DEADLINE_S, self._said()):
            self.pace.missed_deadlines += 1

    def _await_decisions(self) -> None:
        """Let a rollback that was asked for be answered before event time goes on: a worker needs no more."""
        self._loop.wait_for(lambda: not UNDER_WAY & set(self._loop.rollback_states().values()), 10.0)

    def _closable(self, now_us: int) -> int:
        """End of the last window that the flights so far let the worker close."""
        flights = self._world.planned_us
        at = int(np.searchsorted(flights, now_us))
        return int(flights[at - 1] - MINUTE_US) // HOUR_US * HOUR_US if at else 0

    def _wait_stored(self, until_us: int, timeout_s: float, said: str) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while self._stored_us() < until_us:
            if time.monotonic() > deadline_s:
                return False
            self._keep_alive()
            self._screen.pace = said
            time.sleep(0.05)
        return True

    def _said(self) -> str:
        pace = self.pace
        each = f"{pace.paced_wall_seconds / pace.paced_hours:.1f} s" if pace.paced_hours else "…"
        settled = any(r["state"] == "applied" for r in self._loop.rollbacks)
        return f"pacing: 1 h of event time per {each} " + (
            "to see the recovery" if settled else "until the rollback is applied"
        )

    def _moved(self, now_us: int, pace: str) -> None:
        self._keep_alive()
        self._screen.pace = pace
        self._screen.moved(now_us, sum(self._product.sent.values()), self._product.version)
