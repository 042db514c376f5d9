"""Events that a worker could not read, sent again after the worker learnt to: as if they had never been dead."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seawall.cli import main
from seawall.publish import publish_monitor
from seawall.settings import Settings
from streams.embedded.stack import Stack, running_stack
from streams.io.clickhouse import Store
from tests.e2e.produce import append
from tests.e2e.test_loop import until
from tests.streams.core.builders import MINUTE, T0, frame, single

pytestmark = pytest.mark.e2e
HOUSE = Path(__file__).parents[2]
MONITOR = (
    "model: m\nwindows: {pane: 1m, horizons: [5m], lateness: 1m, grace: 30d, min_rows: 20}\nnotify: [log]\n"
)
EVENTS = 600


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation from before single predictions had an entity: it does not know today's schema."""
    root = tmp_path_factory.mktemp("older")
    for room in ("seawall", "streams", "detectors", "schemas"):
        shutil.copytree(HOUSE / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
    path = root / "schemas" / "prediction.avsc"
    schema = json.loads(path.read_text(encoding="utf-8"))
    schema["fields"] = [f for f in schema["fields"] if f["name"] != "entity_id"]
    path.write_text(json.dumps(schema), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = Settings(
        replay=True, idle_timeout_s=1.5, publish_interval_s=0.3, save_interval_s=1.0, chunk_bytes=10_000
    )
    with running_stack(tmp_path_factory.mktemp("stack"), workers=0, settings=settings) as running:
        publish_monitor(running.settings, "m", MONITOR)
        yield running


def windows(store: Store) -> dict[int, int]:
    sql = (
        "SELECT toUnixTimestamp64Micro(end) AS e, sum(rows) AS n FROM windows FINAL "
        "WHERE segment = '' AND horizon_us = 60000000 AND rows > 0 GROUP BY e"
    )
    return {r["e"]: int(r["n"]) for r in store.query(sql)}


def letters(store: Store) -> int:
    return int(store.query("SELECT count() AS n FROM dead_letters FINAL")[0]["n"])


def replay(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["dlq", "replay", "--json", *options]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_counts_after_a_replay_are_as_if_nothing_had_ever_been_dead(
    stack: Stack, older: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store, settings = Store(stack.settings), stack.settings
    ts = [T0 + i * 2_000_000 for i in range(EVENTS)]
    values = [
        frame([t], [float(i)]) if i % 3 else single(t, float(i), event_id=f"e{i}") for i, t in enumerate(ts)
    ]
    unreadable = sum(1 for i in range(EVENTS) if not i % 3)
    expected = Counter((t // MINUTE + 1) * MINUTE for t in ts)

    with monkeypatch.context() as environment:
        environment.setenv("PYTHONPATH", str(older))
        stack.start_worker()
    for partition in range(4):
        append(settings, "predictions", partition, values[partition::4])
    append(settings, "predictions", 0, [b"never an event"])
    until(lambda: letters(store) == unreadable + 1, f"{unreadable + 1} dead letters", 90)
    until(lambda: sum(windows(store).values()) == EVENTS - unreadable, "the rest to be counted", 90)
    stack.kill_worker()

    for name, value in settings.to_env().items():
        monkeypatch.setenv(name, value)
    # What lies behind the last cut is not final: the new worker reads it again, and counts it by itself.
    would = replay(capsys, "--dry-run")
    assert 0 < would["sent"] < unreadable
    assert (
        would["sent"] + would["outcomes"]["unsettled"] + would["outcomes"].get("dead again: alien_bytes", 0)
        == unreadable + 1
    )
    stack.start_worker()
    done = replay(capsys)
    assert done["sent"] >= would["sent"]
    until(lambda: sum(windows(store).values()) == EVENTS, "everything to be counted", 90)
    assert windows(store) == dict(expected)

    again = replay(capsys)
    assert (again["sent"], again["outcomes"]["replayed"]) == (0, done["sent"])
    # One more event behind whatever the second replay might have sent.
    append(settings, "predictions", 1, [single(ts[-1] + 10 * MINUTE, 1.0, event_id="last")])
    until(lambda: sum(windows(store).values()) > EVENTS, "the last event")
    assert sum(windows(store).values()) == EVENTS + 1
    assert store.query("SELECT sum(rows) AS n FROM late_events FINAL")[0]["n"] == 0
    assert letters(store) == unreadable + 1
