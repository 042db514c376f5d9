"""``python -m examples.flights``: the demo. See ``docs/demo.md``."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from examples.flights import report, results, story, world
from examples.flights.data import at_us
from examples.flights.loop import Loop, Releases
from examples.flights.model import MODEL
from examples.flights.product import Product
from examples.flights.replay import Replay
from examples.flights.screen import Screen
from examples.flights.store import Gauge, Questions
from seawall import Client, SeawallError, Settings
from seawall.monitor_yaml import parse_monitor
from seawall.publish import publish_baseline, publish_monitor
from streams.embedded.stack import Stack, running_stack

MONITOR = Path(__file__).with_name("monitor.yaml")


def main(argv: list[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    arguments = _arguments(argv)
    console = Console(soft_wrap=not sys.stdout.isatty())
    # Ctrl-C and a polite kill end the same way: everything that was started is stopped again.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        found = run(arguments, console)
    except SeawallError as error:
        console.print(f"[red]demo: {error}")
        return 1
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130
    console.print(results.summary(found))
    console.print(f"report: {arguments.out / 'demo.html'}    for machines: {arguments.out / 'demo.json'}")
    if not found.is_exact:
        console.print("[red]demo: some events are not accounted for, see the table above")
        return 1
    return 0


def run(arguments: argparse.Namespace, console: Console) -> results.Results:
    """Prepare the year, start a stack of the demo's own, replay, write the report."""
    began_s = time.monotonic()
    out: Path = arguments.out
    start_us, end_us = arguments.since, arguments.until

    def say(text: str) -> None:
        console.print(f"[dim]{text}")

    def warn(kind: str, text: str) -> None:
        if kind == "warn":
            console.print(f"[yellow]{text}")

    year = world.load(out / "demo-cache", say)
    data_dir = out / "demo-stack"
    with ExitStack() as cleanup:
        if data_dir.exists() and not (data_dir / "up.json").exists():
            shutil.rmtree(data_dir)  # an earlier run's: the report is the result, not its tables
        say("starting a broker, a store and a worker of the demo's own, on free ports")
        # The worker comes last, so that it knows the monitor and the first baseline before the first event.
        stack = cleanup.enter_context(running_stack(data_dir, workers=0, settings=demo_settings(), say=warn))
        settings = stack.settings
        releases = Releases(settings)
        text = MONITOR.read_text(encoding="utf-8")
        spec = parse_monitor(text, file=str(MONITOR))  # a mistake in it is an error here
        publish_monitor(settings, MODEL, text)
        screen = Screen(start_us, end_us, console)
        loop = Loop(settings, screen.tell)
        loop.start()
        cleanup.enter_context(closing(loop))
        stack.start_worker(0)
        client = cleanup.enter_context(Client(MODEL, settings=settings))
        questions = Questions(settings)
        product = Product(year, client, loop.serving)
        gauge = Gauge(settings, screen)
        publish = partial(publish_baseline, settings)
        replay = Replay(
            year,
            product,
            client,
            loop,
            releases,
            screen,
            questions.stored_us,
            publish,
            stack.supervisor.watch,
        )
        with screen:
            gauge.start()
            cleanup.enter_context(closing(gauge))
            pace = replay.run(start_us, end_us)
            screen.pace = "waiting until every event is accounted for"
            settling_s = time.monotonic()
            events = results.settled(questions, dict(product.sent))
            settle_seconds = time.monotonic() - settling_s
        alarms, rollbacks = results.stories(loop)
        found = results.Results(
            events,
            alarms,
            rollbacks,
            loop.registry,
            pace,
            settle_seconds,
            results.peak_rss_bytes(_pids(stack)),
            time.monotonic() - began_s,
            year.performance,
            questions.errors(),
        )
        say("writing the report")
        out.mkdir(parents=True, exist_ok=True)
        (out / "demo.html").write_text(
            report.html(found, year, product.served_by, questions), encoding="utf-8"
        )
        found.wall_seconds = time.monotonic() - began_s
        (out / "demo.json").write_text(found.to_json(), encoding="utf-8")
        if arguments.verify:
            from examples.flights import verify

            say(str(verify.verify(questions, year, product.served_by, (start_us, end_us), spec.segments)))
    return found


def demo_settings() -> Settings:
    """Return the stack's settings: event time races, and the loop has to keep up with it.

    One partition a topic: at full speed two of them are read days of event time apart, and one that looks idle for a
    moment would let the watermark pass what it is about to bring.
    """
    return replace(
        Settings(),
        topic_partitions=1,
        publish_interval_s=0.2,
        idle_timeout_s=10.0,
        replay=True,
    )


def _pids(stack: Stack) -> dict[str, int]:
    found = {name: stack.supervisor.pid(name) for name in ("broker", "store")}
    return {"worker": stack.worker_pid(0), **found, "product": os.getpid()}


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.flights", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=Path("build"), help="where the report and prepared data go"
    )
    parser.add_argument("--since", type=at_us, default=story.YEAR[0], help="first day, such as 2013-05-10")
    parser.add_argument("--until", type=at_us, default=story.YEAR[1], help="day after the last")
    parser.add_argument("--verify", action="store_true", help="recount every window in pandas and compare")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
