"""One run: real processes, a seed, faults, and at the end a recount.

``python -m tests.chaos --seed 7`` prints the schedule as it happens; on failure also the first differences, and where the
logs are.
"""

from __future__ import annotations

import heapq
import http.client
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from seawall.build import build_baseline
from seawall.bus import each_message
from seawall.errors import Unavailable
from seawall.publish import publish_baseline, publish_monitor
from seawall.settings import Settings
from seawall.transport import kafka_config
from streams.embedded.processes import Child, is_listening
from streams.embedded.stack import Stack, running_stack
from streams.io.clickhouse import Store
from streams.io.offsets import end_offsets
from tests.chaos.proxy import Proxy
from tests.chaos.recount import differences, recount, stored
from tests.chaos.schedule import Fault, Schedule, draw
from tests.chaos.traffic import MINUTE, MONITORS, ORIGINS, PARTITIONS, POSITIVE, SOURCES, Sent, Traffic
from tests.chaos.watch import Watch
from tests.streams.io.registry_server import ThreadedRegistry

#: Nothing was stored for so long that more will not come. A busy machine may take its time as long as it moves.
HEAL_DEADLINE_S = 120.0
#: Apache Kafka compacts what is a few seconds old, so that saved state is read from compacted logs.
EAGER_COMPACTION = {
    "log.roll.ms": 2_000,
    "log.cleaner.backoff.ms": 500,
    "log.cleaner.min.cleanable.ratio": 0.01,
}
MAX_WORKERS = 3
#: Three workers share the load for so long at the least before there is one again, and that one has it for so long.
SHARED_S = 2.0
ALONE_S = 3.0
#: What a schedule owes and could not have by then, it will not have: the run is void.
OWED_DEADLINE_S = 180.0
REPLIES_S = 15.0
#: A registry that nobody missed is out for so much longer, until somebody does.
MISSED_S = 10.0
_AGAIN_S = 0.5
Say = Callable[[str], None]


@dataclass
class Outcome:
    """What a run came to."""

    seed: int
    broker: str
    faults: int
    seconds: float = 0.0
    """How long events were sent."""
    held: Counter[str] = field(default_factory=Counter)
    """What happened, as opposed to what was drawn."""
    rows: int = 0
    confluent: int = 0
    """Events, maybes among them, that named a schema of the registry."""
    maybe: int = 0
    """Messages whose fate the broker never told; the log itself was asked."""
    looks: int = 0
    store_looks: int = 0
    replies_lost: int = 0
    ended_by_themselves: list[str] = field(default_factory=list)
    heal_s: float = 0.0
    compacted: int = 0
    """Records that compaction removed from the saved state."""
    problems: list[str] = field(default_factory=list)
    logs: Path | None = None

    def __str__(self) -> str:
        verdict = f"{len(self.problems)} PROBLEMS" if self.problems else "equal"
        own = (
            f", workers that stopped themselves: {len(self.ended_by_themselves)}"
            if self.ended_by_themselves
            else ""
        )
        return (
            f"seed {self.seed} on {self.broker}: {verdict}; {self.seconds:.0f} s, {self.rows} events ({self.confluent} by the schema "
            f"registry), {self.faults} faults "
            f"({', '.join(f'{n} × {what}' for what, n in sorted(self.held.items()))}), {self.looks} looks "
            f"at committed offsets ({self.store_looks} into the store), {self.replies_lost} replies lost, "
            f"{self.maybe} unknown outcomes resolved, {self.compacted} records of state compacted, "
            f"healed in {self.heal_s:.0f} s{own}"
        )


class Chaos:
    """Carries out a schedule on a stack. Everything happens in the calling thread: children die with theirs."""

    def __init__(
        self,
        stack: Stack,
        proxy: Proxy,
        registry: ThreadedRegistry,
        kafka: Any | None,
        session_timeout_s: float,
        say: Say,
    ) -> None:
        self.stack = stack
        self.proxy = proxy
        self.registry = registry
        self.kafka = kafka
        self.session_timeout_s = session_timeout_s
        self.say = say
        self.wanted = 1
        self.ended: list[str] = []
        self.held: Counter[str] = Counter()
        """What happened. A fault that is drawn may come to nothing, such as one for a worker that just died."""
        self._owed: list[Fault] = []
        self._scaled: Fault | None = None
        """The scaling up that is under way, until it is known that all workers take part."""
        self._shared_s: float | None = None
        """Since when they do."""
        self._paid_s = 0.0
        self._asked_s = 0.0
        self._is_healing = False
        self._losing = 0
        self._registry_is_out = False
        self._paused: dict[int, float] = {}
        """Since when."""
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        # Starting a store or a broker takes seconds, in which workers go on dying. Children end with the thread that
        # started them, so this one lives as long as the harness.
        self._keeper = ThreadPoolExecutor(1, "keeper")
        self._slow: list[Future[None]] = []
        self._began = time.monotonic()

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._began

    def start(self, schedule: Schedule) -> None:
        """Start the clock and the first worker."""
        self._began = time.monotonic()
        self.stack.start_worker(0)
        self._owed = [fault for fault in schedule.faults if fault.is_owed]
        for fault in schedule.faults:
            self._in(fault.at_s, lambda fault=fault: self._inject(fault))  # type: ignore[misc]

    def owes(self) -> list[str]:
        """Say what must still happen before the run may end: a fault that is cut short proves nothing."""
        return [
            *(fault.kind for fault in self._owed),
            *(f"worker {number} is paused" for number in self._paused),
            *(f"worker {number} is one too many" for number in self._running() if number >= self.wanted),
            *(["one worker alone"] if self.now_s < self._paid_s + ALONE_S else []),
        ]

    def step(self) -> None:
        """Do what is due, and look after the workers as a supervisor does."""
        while self._later and self._later[0][0] <= self.now_s:
            heapq.heappop(self._later)[2]()
        for number in self._running():
            if not self._is_alive(number):
                child = self.stack.supervisor._slots[f"worker-{number}"].child
                why = (
                    f"worker {number} ended by itself with code {child.process.returncode}: {_reason(child)}"
                )
                self._note(why)
                self.ended.append(why)
                self._kill(number, 1.0)
        self._look_whether_all_take_part()
        for started in self._slow:
            if started.done():
                started.result()

    def heal(self) -> None:
        """End every fault; leave one worker at the least. A pause lasts its time, unless the harness itself failed."""
        self._is_healing = True
        while self._later:
            action = heapq.heappop(self._later)[2]
            action()
        for started in self._slow:
            started.result(90)
        self.proxy.loses_replies = False
        if self._registry_is_out:
            self.registry.start()
        for number in list(self._paused):
            self._resume(number)
        if not self._alive():
            self._ensure(0)
        self._note("healed")

    def _in(self, at_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._later, (at_s, next(self._numbers), action))

    def _note(self, text: str) -> None:
        self.say(f"{self.now_s:6.1f} s  {text}")

    def _running(self) -> list[int]:
        return [n for n in range(MAX_WORKERS) if f"worker-{n}" in self.stack.supervisor._slots]

    def _alive(self) -> list[int]:
        return [n for n in self._running() if n not in self._paused]

    def _is_alive(self, number: int) -> bool:
        return self.stack.supervisor.is_alive(f"worker-{number}")

    def _ensure(self, number: int) -> None:
        if number not in self._running():
            self.stack.start_worker(number)
            self._note(f"worker {number} started")

    def _kill(self, number: int, back_in_s: float | None) -> None:
        self._paused.pop(number, None)
        self.stack.kill_worker(number)
        if back_in_s is not None:
            self._start_in(back_in_s, number)

    def _start_in(self, wait_s: float, number: int) -> None:
        self._in(self.now_s + wait_s, lambda: self._ensure(number) if number < self.wanted else None)

    def _inject(self, fault: Fault) -> None:
        if self._is_healing:  # it was put off until now, and nothing is owed any more
            return
        alive = [n for n in self._alive() if self._is_alive(n)]
        if fault.is_owed and fault.kind in {"kill worker", "pause worker"}:
            alive = self._taking_part(alive)  # of one that is only starting, nobody would take over anything
        if self._must_wait(fault, alive):
            self._in(self.now_s + _AGAIN_S, lambda: self._inject(fault))
            return
        self._note(f"{fault.kind} ({fault.lasts_s:.1f} s, pick {fault.pick}, of workers {alive})")
        victim = alive[fault.pick % len(alive)] if alive else 0
        if fault.kind == "kill worker":
            self._kill(victim, fault.lasts_s)
            self.held["SIGKILL"] += 1
        elif fault.kind == "stop worker":
            self.stack.stop_worker(victim)
            self._start_in(fault.lasts_s, victim)
            self.held["SIGTERM"] += 1
        elif fault.kind == "pause worker":
            self._pause(victim, fault, bool(self._taking_part(n for n in alive if n != victim)))
        elif fault.kind == "scale up":
            self.wanted, self._scaled, self._shared_s = MAX_WORKERS, fault, None
            for number in range(MAX_WORKERS):
                self._ensure(number)
        elif fault.kind == "scale down":
            self._scale_down(fault)
        else:
            self._inject_elsewhere(fault)
        if fault.is_owed and fault.kind not in {"scale up", "pause worker"}:
            self._pay(fault)

    def _must_wait(self, fault: Fault, alive: list[int]) -> bool:
        """Tell whether a fault would come to nothing now: no worker to hit, or no three to scale down from."""
        if fault.kind in {"kill worker", "stop worker", "pause worker"}:
            return not alive or (
                fault.is_owed and fault.kind == "pause worker" and len(alive) < min(self.wanted, 2)
            )
        if fault.kind == "scale down":
            return self._shared_s is None or self.now_s < self._shared_s + SHARED_S
        return False

    def _pay(self, fault: Fault) -> None:
        self._owed.remove(fault)
        self._paid_s = self.now_s

    def _look_whether_all_take_part(self) -> None:
        """Scaling up is done when every worker was assigned partitions, not when its process runs."""
        if self._scaled is None or self.now_s < self._asked_s + _AGAIN_S:
            return
        self._asked_s = self.now_s
        if len(self._taking_part(self._alive())) == MAX_WORKERS:
            self._note("all workers take part")
            self._pay(self._scaled)
            self._scaled, self._shared_s = None, self.now_s

    def _taking_part(self, workers: Iterable[int]) -> list[int]:
        first_port = self.stack.settings.worker_health_port
        return [n for n in workers if takes_part(first_port + n)]

    def _pause(self, victim: int, fault: Fault, has_others: bool) -> None:
        pid, began_s = self.stack.worker_pid(victim), self.now_s

        def go_on() -> None:
            # Steps of the harness may be late, never early, unless it gives up.
            if self._resume(victim, pid) and self.now_s - began_s >= fault.lasts_s:
                self.held["SIGSTOP in full" + (" beside others" if has_others else ", alone")] += 1
                if fault.is_owed:
                    self._pay(fault)
            elif fault.is_owed:
                self._inject(fault)  # it ended while it was paused, which is no pause
            if victim >= self.wanted:  # scaled down while it was paused; it may do harm for a moment first
                self._in(self.now_s + 1.0, lambda: self._retire(victim))

        os.kill(pid, signal.SIGSTOP)
        self._paused[victim] = began_s
        self._in(began_s + fault.lasts_s, go_on)

    def _retire(self, number: int) -> None:
        if number >= self.wanted and number in self._alive():
            self.stack.stop_worker(number)

    def _scale_down(self, fault: Fault) -> None:
        self.wanted = 1
        # The embedded broker may go on naming a leader that left while the group was forming anew: one after the other.
        gap_s = 0.0 if self.kafka is not None else 2 * self.session_timeout_s
        for place, number in enumerate(n for n in self._alive() if n >= 1):
            if fault.pick % 2:
                self._kill(number, None)
            else:
                self._in(self.now_s + place * gap_s, lambda number=number: self._retire(number))  # type: ignore[misc]
        self._ensure(0)
        self.held["1 → 3 → 1 workers"] += 1

    def _resume(self, number: int, pid: int | None = None) -> bool:
        """Let a worker go on; tells whether it was paused until now."""
        if (
            number not in self._paused
            or not self._is_alive(number)
            or pid not in {None, self.stack.worker_pid(number)}
        ):
            return False
        del self._paused[number]
        os.kill(self.stack.worker_pid(number), signal.SIGCONT)
        self._note(f"worker {number} goes on")
        return True

    def _inject_elsewhere(self, fault: Fault) -> None:
        store = self.stack.supervisor._slots["store"]
        if fault.kind == "hang store":
            pid = store.child.pid

            def send(number: signal.Signals) -> None:
                with suppress(ProcessLookupError):  # it may have been killed meanwhile
                    os.kill(pid, number)

            def go_on() -> None:
                send(signal.SIGCONT)

            send(signal.SIGSTOP)
            self.held["store hung"] += store.child.is_alive
            self._in(self.now_s + fault.lasts_s, go_on)
        elif fault.kind == "kill store":
            self.held["store killed"] += store.child.is_alive
            store.child.kill()
            self._in(self.now_s + fault.lasts_s, self._start_store)
        elif fault.kind == "lose replies":
            self._lose_replies(fault.lasts_s)
        elif fault.kind == "stop registry":
            self._stop_registry(fault.lasts_s)
        elif fault.kind in {"bounce broker", "kill broker"} and self.kafka is not None:
            self._bounce(fault, self.kafka)

    def _lose_replies(self, lasts_s: float) -> None:
        """For a time, and longer where there was no reply to lose: the store may be out, or nobody may be writing."""
        before, until_s = self.proxy.lost, self.now_s + lasts_s

        def end() -> None:
            if self.proxy.lost == before and self.now_s < until_s + REPLIES_S and not self._is_healing:
                self._in(self.now_s + _AGAIN_S, end)
                return
            self._losing -= 1  # two such times may overlap, and the first to end must not end the other
            self.proxy.loses_replies = self._losing > 0

        self._losing += 1
        self.proxy.loses_replies = True
        self._in(until_s, end)

    def _stop_registry(self, lasts_s: float) -> None:
        """For a time, and longer until a partition waits for it: workers remember the schemas that they asked for."""
        if self._registry_is_out:
            return
        until_s, missed = self.now_s + lasts_s, False

        def end() -> None:
            nonlocal missed
            if not self._registry_is_out:  # healed
                return
            missed = missed or self._someone_waits_for_a_schema()
            if not self._is_healing and (
                self.now_s < until_s or (not missed and self.now_s < until_s + MISSED_S)
            ):
                self._in(self.now_s + _AGAIN_S, end)
                return
            self.registry.start()
            self._registry_is_out = False
            self.held["registry out, and missed" if missed else "registry out"] += 1
            self._note("registry is back")

        self.registry.stop()
        self._registry_is_out = True
        self._in(self.now_s + _AGAIN_S, end)

    def _someone_waits_for_a_schema(self) -> bool:
        first_port = self.stack.settings.worker_health_port
        return any(
            "waits for the schema registry" in why
            for number in self._alive()
            for why in health(first_port + number).get("stopped", ())
        )

    def _start_store(self) -> None:
        store = self.stack.supervisor._slots["store"]

        def start() -> None:
            if not store.child.is_alive:
                store.child = store.start()
                self._note("store is back")

        self._slow.append(self._keeper.submit(start))

    def _bounce(self, fault: Fault, kafka: Any) -> None:
        def bounce() -> None:
            (kafka.kill if fault.kind == "kill broker" else kafka.stop)()
            kafka.start()
            self.held["broker killed" if fault.kind == "kill broker" else "broker stopped"] += 1
            self._note("broker is back")

        self._slow.append(self._keeper.submit(bounce))


def free_ports(count: int) -> int:
    """Return the first of some ports in a row that nobody listens on.

    They lie below those that the system gives away, since a worker that starts late may find a connection of somebody
    else's on its port by then.
    """
    while True:
        first = random.randrange(20_000, 32_000)
        if not any(is_listening(first + n) for n in range(count)):
            return first


def health(port: int) -> dict[str, Any]:
    """Ask a worker how it is; empty when it does not say, because it is starting or on its way out."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)
    try:
        connection.request("GET", "/health")
        return dict(json.loads(connection.getresponse().read()))
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()


def takes_part(health_port: int) -> bool:
    """Tell whether a worker was ever assigned partitions."""
    return bool(health(health_port).get("assignments"))


def _reason(child: Child) -> str:
    """The last thing that a worker called an error, or else its last line."""
    lines = child.last_words(400).splitlines()
    errors = [line for line in lines if any(word in line for word in ("CRITICAL", "Error: ", "crash"))]
    return (errors or lines or [""])[-1][:300]


@contextmanager
def brokers(kind: str, directory: Path) -> Iterator[Any | None]:
    """Start what the broker of a run needs: nothing for the embedded one, which comes with the stack."""
    if kind == "embedded":
        yield None
        return
    from tests.kafka.cluster import Kafka

    kafka = Kafka(directory / "kafka", more=EAGER_COMPACTION)
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


def run(
    seed: int,
    seconds: float = 60,
    broker: str = "embedded",
    say: Say = print,
    home: Path | None = None,
    *,
    overtaken: bool = False,
) -> Outcome:
    """Run one seed, with `overtaken` rebalances or as they come (`tests.chaos.overtaken`).

    The folder with data and logs is removed when everything is equal.
    """
    directory = (home or Path("build/chaos")).absolute() / f"{broker}-{seed}-{os.getpid()}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    session_timeout_s = 4.0 if broker == "embedded" else 6.0
    with brokers(broker, directory) as kafka:
        settings = Settings(
            broker=kafka.address() if kafka else Settings().broker,
            broker_session_timeout_s=session_timeout_s,
            publish_interval_s=0.4,
            save_interval_s=1.5,
            idle_timeout_s=90.0,
            chunk_bytes=40_000,
            chunk_offsets=300,
            store_timeout_s=4.0,
        )
        schedule = draw(seed, seconds, session_timeout_s, broker_keeps_data=kafka is not None)
        outcome = Outcome(seed, broker, len(schedule.faults))
        say(f"seed {seed} on {broker}, {schedule.seconds:g} s, in {directory}")
        if schedule.seconds > seconds:
            say(f"  {seconds:g} s do not hold what every schedule must")
        for fault in schedule.faults:
            say(str(fault))
        with running_stack(directory / "stack", 0, settings, own_broker=kafka is None) as stack:
            if overtaken:
                stack.supervisor.worker_command = (sys.executable, "-m", "tests.chaos.overtaken", "worker")
            _run(stack, kafka, schedule, outcome, say)
    if outcome.problems:
        outcome.logs = directory
        say(f"seed {seed}: FAILED; data and logs are in {directory}")
        for problem in outcome.problems[:20]:
            say(f"  {problem}")
    elif outcome.ended_by_themselves:
        say(f"seed {seed}: logs of workers that ended by themselves are in {directory / 'stack' / 'logs'}")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    say(str(outcome))
    return outcome


def _run(stack: Stack, kafka: Any | None, schedule: Schedule, outcome: Outcome, say: Say) -> None:
    direct = stack.settings
    proxy, registry = Proxy(direct.store_port), ThreadedRegistry()
    registry.start()
    stack.supervisor.settings = replace(
        direct,
        store_url=f"http://127.0.0.1:{proxy.port}",
        schema_registry_url=registry.server.url,
        worker_health_port=free_ports(MAX_WORKERS),
    )
    store = Store(direct)
    start_us = (time.time_ns() // 1000 - 24 * 60 * MINUTE) // (60 * MINUTE) * (60 * MINUTE)
    publish_control(direct, start_us)
    traffic = Traffic(direct, outcome.seed, start_us, registry.server)
    watch = Watch(direct)
    chaos = Chaos(stack, proxy, registry, kafka, direct.broker_session_timeout_s, say)
    try:
        traffic.open()
        chaos.start(schedule)
        watch.start()
        last_asked, overtime = 0.0, False
        while chaos.now_s < schedule.seconds or (
            chaos.owes() and chaos.now_s < schedule.seconds + OWED_DEADLINE_S
        ):
            chaos.step()
            if chaos.now_s > schedule.seconds and not overtime:
                overtime = True
                say(f"{chaos.now_s:6.1f} s  goes on beyond {schedule.seconds:g} s: {', '.join(chaos.owes())}")
            if chaos.now_s - last_asked > 2:
                last_asked = chaos.now_s
                _allow_late(store, traffic)
            time.sleep(0.05)
        outcome.problems += [f"the run is void: it still owes {what}" for what in chaos.owes()]
        traffic.stop()
        outcome.seconds = chaos.now_s
        chaos.heal()
        traffic.close()
        outcome.maybe = resolve(direct, traffic.sent, outcome.problems)
        _wait_until_equal(chaos, store, traffic, outcome)
    finally:
        traffic._stop.set()
        with suppress(BaseException):
            chaos.heal()
        watch._stop.set()
        registry.close()
    watch.stop()
    proxy.close()
    outcome.rows = sum(len(s.fate) for s in traffic.sent if s.offset is not None and not s.is_closing)
    outcome.confluent = traffic.confluent
    outcome.looks, outcome.store_looks, outcome.replies_lost = watch.looks, watch.store_looks, proxy.lost
    outcome.problems += watch.violations
    outcome.ended_by_themselves, outcome.held = chaos.ended, chaos.held
    if kafka is not None:
        # Only of interest: a broker that is slow to answer takes nothing from the recount.
        with suppress(Unavailable):
            ends = end_offsets(direct, [(direct.topic("state"), p) for p in range(PARTITIONS)])
            outcome.compacted = sum(ends.values()) - sum(1 for _ in each_message(direct, "state"))
    if not watch.looks or not any(t == "summaries" for t, _ in watch.committed):
        outcome.problems.append(
            f"nothing was seen committed of summaries in {watch.looks} looks: the check is void"
        )


def publish_control(settings: Settings, start_us: int) -> None:
    """A baseline for one version, and two monitors, before any worker starts."""
    rng = np.random.default_rng(0)
    rows = 3000
    table = {
        "x": rng.normal(10, 4, rows),
        "y": rng.lognormal(0, 2, rows),
        "origin": rng.choice(ORIGINS, rows),
    }
    ts = start_us - (np.arange(rows, dtype=np.int64) + 1) * MINUTE
    scores = rng.random(rows)
    truths = np.where(rng.random(rows) < scores, POSITIVE, "bad")
    publish_baseline(
        settings, build_baseline(table, model="loans", version="v1", ts=ts, scores=scores, truths=truths)
    )
    for model, text in MONITORS.items():
        publish_monitor(settings, model, text)


def _allow_late(store: Store, traffic: Traffic) -> None:
    """What closed a window has a final watermark: rows from hours before are late, whatever happens."""
    with suppress(Unavailable):
        for row in store.query("SELECT DISTINCT model, source FROM windows"):
            traffic.late_allowed.add((row["model"], row["source"]))


def resolve(settings: Settings, sent: list[Sent], problems: list[str]) -> int:
    """Compare with the log itself: what was acknowledged is there once; what is unknown is there or it is not."""
    ends = end_offsets(settings, [(settings.topic(s), p) for s in SOURCES for p in range(PARTITIONS)])
    consumer = Consumer(kafka_config(settings) | {"group.id": "chaos.resolve", "enable.auto.commit": False})
    consumer.assign([TopicPartition(t, p, 0) for t, p in ends])
    left = {where for where, end in ends.items() if end}
    unknown = sum(1 for s in sent if s.offset is None)
    seen: dict[int, int] = {}
    deadline = time.monotonic() + 60
    while left:
        message = consumer.poll(1.0)
        if time.monotonic() > deadline:
            msg = f"the input topics could not be read to their ends: {left}"
            raise Unavailable(msg)
        if message is None or message.error() is not None:
            continue
        where = (str(message.topic()), int(message.partition() or 0))
        number, offset = int(message.key() or b"-1"), int(message.offset() or 0)
        if number in seen:
            problems.append(f"harness: the broker has message {number} twice, at {seen[number]} and {offset}")
        seen[number] = offset
        one = sent[number]
        if one.offset is None:
            one.offset = offset
        elif one.offset != offset:
            problems.append(f"harness: message {number} was acknowledged at {one.offset} and is at {offset}")
        if offset + 1 >= ends[where]:
            left.discard(where)
    consumer.close()
    lost = [s.number for s in sent if s.offset is not None and s.number not in seen]
    if lost:
        problems.append(f"harness: the broker lost acknowledged messages {lost[:5]}")
    return unknown


def _wait_until_equal(chaos: Chaos, store: Store, traffic: Traffic, outcome: Outcome) -> None:
    """Wait until everything is stored; once it is, it must stay so."""
    began = moved = time.monotonic()
    found_problems: list[str] = ["nothing could be read"]
    calm = 0
    while calm < 2:
        chaos.step()
        before, found_problems = found_problems, compare(store, traffic, found_problems)
        calm = calm + 1 if not found_problems else 0
        if found_problems != before:
            moved = time.monotonic()
        now = time.monotonic()
        if found_problems and (now - moved > HEAL_DEADLINE_S or now - began > 5 * HEAL_DEADLINE_S):
            outcome.problems += found_problems
            for number in chaos._running():
                chaos._note(f"worker {number}: {health(chaos.stack.settings.worker_health_port + number)}")
            break
        outcome.heal_s = time.monotonic() - began
        until = time.monotonic() + 2
        while time.monotonic() < until:
            chaos.step()
            time.sleep(0.1)


def compare(store: Store, traffic: Traffic, before: list[str]) -> list[str]:
    """Compare once; an answer that the store does not give changes nothing."""
    end_us = traffic.clock_us // MINUTE * MINUTE + 20 * MINUTE
    try:
        found, layouts, ids = stored(store)
    except Unavailable:
        return before
    return differences(recount(traffic.sent, layouts, ids, traffic.start_us, end_us), found, end_us)


__all__ = ["Outcome", "run"]
