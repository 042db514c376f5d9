"""One contender, once: start it, watch it, read its windows, and compare them with what they must be."""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psutil
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.contenders.workload import BINS, MINUTE_US, MODEL, MONITOR, Window, Workload
from seawall.contracts import topics
from seawall.errors import Unavailable
from seawall.publish import publish_baseline, publish_monitor
from seawall.settings import Settings
from seawall.wire import decode
from streams.core.reports import window_rows
from streams.embedded.processes import Child, spawn
from streams.embedded.stack import running_stack
from streams.io.metrics import ROWS_CONSUMED
from streams.io.topics import create_topics

ROOT = Path(__file__).parents[2]
START_DEADLINE_S = 60.0
#: Slots of a numeric column before its bins: missing, invalid, below.
_BEFORE_BINS = 3


@dataclass
class Outcome:
    """What one run came to."""

    events: int
    """Events of the windows that were given in time."""
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    windows: int
    wrong: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds if self.seconds else 0.0

    @property
    def cpu_rate(self) -> float:
        """Events a second of the process's own processor time."""
        return self.events / self.cpu_seconds if self.cpu_seconds else 0.0


@dataclass
class Track:
    """One topic of events on one broker, and everybody who runs on it."""

    settings: Settings
    """Broker, prefix and partition count of the track's topics."""
    work: Workload
    seconds: float
    """What a contender may take."""
    directory: Path
    runs: int = 0

    def fill(self, send: Callable[[Settings], None]) -> None:
        """Create the topic and put the events there."""
        create_topics(self.settings, ["predictions"])
        send(self.settings)

    def fresh_directory(self) -> Path:
        """Folder for one run."""
        self.runs += 1
        path = self.directory / f"{self.settings.topic_prefix}{self.runs}"
        path.mkdir(parents=True)
        return path


class Contender(Protocol):
    """A way to do the work."""

    name: str

    def run(self, track: Track) -> Outcome:
        """Run it once."""


@dataclass
class App:
    """A program of `benchmarks.contenders.apps`, in the environment of the contenders."""

    name: str
    module: str
    python: Path
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    def run(self, track: Track) -> Outcome:
        """Run it once, with an output topic, a group and a folder of its own."""
        directory = track.fresh_directory()
        out = f"{track.settings.topic_prefix}out-{self.module}-{track.runs}"
        admin = AdminClient({"bootstrap.servers": track.settings.broker})
        admin.create_topics([NewTopic(out, 1, 1)])[out].result(30)
        env = {
            "BENCH_OUT": out,
            "BENCH_GROUP": f"{out}-group",
            "BENCH_STATE_DIR": str(directory / "state"),
            **bench_env(track),
            **self.env,
        }
        command = [str(self.python), "-m", f"benchmarks.contenders.apps.{self.module}", *self.arguments]
        child = spawn(self.name, command, directory / "log", env)
        try:
            seen = watch(child.pid, track, out, lambda: said(child, "first"), _app_window)
        finally:
            child.stop(2.0)
        return judged(track.work, seen)


@dataclass
class Floor:
    """Consume and decode, nothing else."""

    name: str = "floor"

    def run(self, track: Track) -> Outcome:
        """Run it once, to the topic's end."""
        command = [sys.executable, "-m", "benchmarks.contenders.floor"]
        child = spawn(self.name, command, track.fresh_directory() / "log", bench_env(track))
        process, cpu, rss = psutil.Process(child.pid), 0.0, 0
        deadline = time.monotonic() + START_DEADLINE_S + track.seconds
        started = None
        while child.is_alive and time.monotonic() < deadline:
            try:
                if started is None and said(child, "first"):
                    started = cpu_of(process)
                cpu, rss = cpu_of(process), max(rss, process.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.02)
        child.stop(1.0)
        first, done = said(child, "first"), said(child, "done")
        if not first or not done:
            msg = f"the floor did not reach the end of the topic: {child.last_words()}"
            raise Unavailable(msg)
        return Outcome(int(done[1]), float(done[0]) - float(first[0]), cpu - (started or 0.0), rss, 0)


@dataclass
class Seawall:
    """A whole Seawall worker, with its store: windows are judged, reported and stored as well."""

    name: str
    log_level: str = "warning"

    def run(self, track: Track) -> Outcome:
        """Run one worker once, on topics that are empty but for the events."""
        directory = track.fresh_directory()
        with seawall_stack(track, directory) as stack:
            stack.start_worker()
            url = f"http://127.0.0.1:{stack.settings.worker_health_port}/metrics"
            clock = FirstRow(url)
            topic = stack.settings.topic("windows")
            seen = watch(stack.worker_pid(), track, topic, clock.ask, _seawall_windows)
            outcome = judged(track.work, seen)
            if outcome.windows == 0:
                msg = f"the worker gave no window: {stack.worker_log()[-1000:]}"
                raise Unavailable(msg)
            return outcome


@contextmanager
def seawall_stack(track: Track, directory: Path) -> Iterator[Any]:
    """Run a stack without a worker yet: its topics are empty but for the events, and it knows the monitor."""
    forget(track.settings)
    settings = replace(track.settings, group=f"{track.settings.topic_prefix}{track.runs}")
    with running_stack(directory, workers=0, settings=settings, own_broker=False) as stack:
        publish_monitor(stack.settings, MODEL, MONITOR)
        publish_baseline(stack.settings, track.work.baseline())
        yield stack


def forget(settings: Settings) -> None:
    """Delete the track's topics, all but the events."""
    admin = AdminClient({"bootstrap.servers": settings.broker})
    there = set(admin.list_topics(timeout=10).topics)
    names = [settings.topic(t) for t in topics() if t != "predictions" and settings.topic(t) in there]
    for future in admin.delete_topics(names).values() if names else ():
        future.result(30)
    deadline = time.monotonic() + 30
    while set(admin.list_topics(timeout=10).topics) & set(names):
        if time.monotonic() > deadline:
            msg = "the broker does not forget its topics"
            raise Unavailable(msg)
        time.sleep(0.1)


class FirstRow:
    """When a worker consumed its first row, by its own metrics: the last time that it had not."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.before = time.time()
        self.found: list[str] = []

    def ask(self) -> list[str]:
        """Look once; returns the time as soon as it is known."""
        if self.found:
            return self.found
        at = time.time()
        try:
            with urllib.request.urlopen(self.url, timeout=1) as answer:
                text = answer.read().decode()
        except OSError:
            return []
        rows = [line for line in text.splitlines() if line.startswith(ROWS_CONSUMED.name)]
        if any(float(line.rsplit(" ", 1)[1]) > 0 for line in rows):
            self.found = [str(self.before)]
        else:
            self.before = at
        return self.found


@dataclass
class Seen:
    """What was seen of a run: its windows as they came, with their times, and what it cost."""

    first: float
    windows: list[tuple[float, int, Window]]
    cpu: list[tuple[float, float]]
    peak_rss_bytes: int


def watch(
    pid: int,
    track: Track,
    topic: str,
    first: Callable[[], list[str]],
    windows_of: Callable[[bytes, int], list[tuple[int, Window]]],
) -> Seen:
    """Read a contender's output until it has given every window or its time is over.

    Nothing is decoded meanwhile but the number of windows: the contender has the machine.
    """
    consumer = Consumer({"bootstrap.servers": track.settings.broker, "group.id": "driver"})
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    process = psutil.Process(pid)
    messages: list[tuple[float, bytes]] = []
    cpu: list[tuple[float, float]] = []
    began: list[str] = []
    rss, windows, start = 0, set(), time.monotonic()
    while len(windows) < track.work.minutes:
        batch = consumer.consume(100, 0.02)
        at = time.time()
        for message in batch:
            if message.error():
                continue
            messages.append((at, message.value()))
            windows.update(w for w, _ in windows_of(message.value(), track.work.features))
        began = began or first()
        try:
            cpu.append((at, cpu_of(process)))
            rss = max(rss, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        limit = (
            track.seconds + float(began[0]) - time.time()
            if began
            else START_DEADLINE_S - time.monotonic() + start
        )
        if limit < 0:
            break
    consumer.close()
    found = [
        (at, start_us, window)
        for at, value in messages
        for start_us, window in windows_of(value, track.work.features)
    ]
    return Seen(float(began[0]) if began else 0.0, found, cpu, rss)


def judged(work: Workload, seen: Seen) -> Outcome:
    """Compare the windows with what they must be. Of revisions the last one counts."""
    last = {start_us: window for _, start_us, window in seen.windows}
    wrong: list[str] = []
    for start_us, window in last.items():
        expected = work.window(start_us)
        if expected is not None:
            difference = expected.difference(window)
            if difference:
                wrong.append(f"window {start_us}: {difference}")
    timed = [at for at, start_us, _ in seen.windows if work.window(start_us) is not None]
    if not timed or not seen.first:
        return Outcome(0, 0.0, 0.0, seen.peak_rss_bytes, 0, wrong)
    # Windows come in order of time, so what was counted is all that precedes the end of the last one.
    windows = sum(1 for start_us in last if work.window(start_us) is not None)
    end = max(timed)
    times, cpu = (np.array(column) for column in zip(*seen.cpu, strict=True))
    spent = float(np.interp(end, times, cpu) - np.interp(seen.first, times, cpu))
    return Outcome(windows * work.per_minute, end - seen.first, spent, seen.peak_rss_bytes, windows, wrong)


def _app_window(value: bytes, features: int) -> list[tuple[int, Window]]:
    start, rows = np.frombuffer(value, "<i8", 2).tolist()
    counts = np.frombuffer(value, "<u4", features * BINS, 16).reshape(features, BINS).astype(np.int64)
    moments = np.frombuffer(value, "<f8", -1, 16 + counts.size * 4).reshape(features, 4)
    return [(start, Window(rows, counts, moments))]


def _seawall_windows(value: bytes, features: int) -> list[tuple[int, Window]]:
    _, report = decode(value, ("window_report",))
    n = report["windows"]
    if not n or report["horizon_us"] != MINUTE_US or report["segment"] or not report["stats"]:
        return []
    found = window_rows(report)
    ends, rows = found["end"], found["rows"]
    counts = found["counts"].reshape(n, features, -1).astype(np.int64)
    mean, std, low, high = (
        np.frombuffer(report["stats"][name], "<f8").reshape(n, features)
        for name in ("mean", "std", "minimum", "maximum")
    )
    m2 = std * std * rows[:, None]
    moments = np.stack([mean, m2, low, high], axis=2)
    bins = slice(_BEFORE_BINS, _BEFORE_BINS + BINS)
    return [
        (int(ends[i]) - MINUTE_US, Window(int(rows[i]), counts[i, :, bins], moments[i])) for i in range(n)
    ]


def bench_env(track: Track) -> dict[str, str]:
    """Environment of a contender's process."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("SEAWALL_")}
    return {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "BENCH_BROKER": track.settings.broker,
        "BENCH_TOPIC": track.settings.topic("predictions"),
        "BENCH_FEATURES": str(track.work.features),
        "BENCH_MODEL": MODEL,
        "BENCH_SCHEMA": str(ROOT / "schemas" / "prediction.avsc"),
    }


def cpu_of(process: psutil.Process) -> float:
    """Processor seconds of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def said(child: Child, word: str) -> list[str]:
    """Return what a process printed after `word` at the beginning of a line; empty while it did not."""
    text = child.log_file.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        if line.startswith(word + " "):
            return line.split()[1:]
    return []
