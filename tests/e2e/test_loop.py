"""The whole loop on real processes: SDK, broker, worker, store."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

import seawall
from seawall.build import build_baseline
from seawall.publish import publish_baseline, publish_monitor
from seawall.settings import Settings
from streams.embedded.stack import Stack
from streams.io import metrics as m
from streams.io.clickhouse import Store
from tests.conftest import StartStack
from tests.streams.core.builders import MINUTE, T0

pytestmark = pytest.mark.e2e

MONITOR = """
model: m
windows: {pane: 1m, horizons: [5m], lateness: 1m, grace: 30d, min_rows: 20}
segments: [origin]
notify: [log]
"""
HOURS = 6


def reference(rng: np.random.Generator, rows: int) -> dict[str, Any]:
    return {
        "x": np.where(rng.random(rows) < 0.02, np.nan, rng.normal(10, 2, rows)),
        "y": rng.lognormal(0, 1, rows),
        "origin": rng.choice(["JFK", "EWR", "LGA"], rows, p=[0.5, 0.3, 0.2]),
    }


@pytest.fixture(scope="module")
def stack(start_stack: StartStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = Settings(
        replay=True, idle_timeout_s=1.5, publish_interval_s=0.3, save_interval_s=1.0, chunk_bytes=30_000
    )
    with start_stack(tmp_path_factory.mktemp("stack"), settings=settings) as running:
        rng = np.random.default_rng(1)
        table = reference(rng, 5000)
        baseline = build_baseline(
            {**table},
            model="m",
            version="v1",
            ts=T0 - (np.arange(5000, dtype=np.int64) + 1) * MINUTE,
            scores=rng.random(5000),
        )
        publish_baseline(running.settings, baseline)
        publish_monitor(running.settings, "m", MONITOR)
        yield running


def until(condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}"
        time.sleep(0.2)


def counted(store: Store, source: str = "predictions", model: str = "m") -> int:
    sql = (
        "SELECT sum(rows) AS n FROM windows FINAL"
        " WHERE model = %(m)s AND source = %(s)s AND segment = '' AND horizon_us = %(p)s"
    )
    return int(store.query(sql, {"m": model, "s": source, "p": MINUTE})[0]["n"])


def send(
    settings: Settings, events: dict[str, Any], ts: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]
) -> None:
    with seawall.Client("m", "v1", settings=settings) as client:
        for part in np.array_split(np.arange(len(ts)), 40):
            client.log_predictions(
                {k: v[part] for k, v in events.items()}, scores=scores[part], ts=ts[part], wait_s=20
            )
        assert client.flush(30)
        assert client.stats().dropped == 0


@pytest.fixture(scope="module")
def replayed(stack: Stack) -> dict[str, Any]:
    """Shuffled events, a worker killed with SIGKILL over and over, and poison in between."""
    rng = np.random.default_rng(2)
    rows = 12_000
    events, scores = reference(rng, rows), rng.random(rows)
    ts = T0 + rng.integers(0, HOURS * 60 * 60, rows) * 1_000_000
    store = Store(stack.settings)
    order = np.argsort(
        ts + rng.integers(0, 20 * MINUTE, rows)
    )  # shuffled, far beyond the lateness, within grace
    events, ts, scores = {k: v[order] for k, v in events.items()}, ts[order], scores[order]
    for part in np.array_split(np.arange(rows), 4):
        send(stack.settings, {k: v[part] for k, v in events.items()}, ts[part], scores[part])
        stack.kill_worker()
        stack.start_worker()
    poison(stack.settings)
    until(lambda: counted(store) >= rows, f"{rows} events in the store", 120)
    return {"events": events, "ts": ts, "scores": scores, "store": store}


def poison(settings: Settings) -> None:
    from confluent_kafka import Producer

    from seawall.transport import kafka_config

    producer = Producer(kafka_config(settings))
    for value in (b"\xff\xfe", b"{", b"\xc3\x01short"):
        producer.produce(settings.topic("predictions"), key=b"k", value=value)
    # No poison, though it holds no column: two calls of a model of which nobody said anything.
    bare = {"event_id": "e", "model": "bare", "version": "v1"}
    for ts in (T0, T0 + HOURS * 60 * MINUTE):
        producer.produce(
            settings.topic("predictions"), key=b"k", value=json.dumps({**bare, "ts": ts}).encode()
        )
    assert producer.flush(10) == 0


def test_every_event_is_counted_once_although_the_worker_was_killed(replayed: dict[str, Any]) -> None:
    assert counted(replayed["store"]) == len(replayed["ts"])
    late = replayed["store"].query("SELECT sum(rows) AS n FROM late_events FINAL")[0]["n"]
    assert late == 0


def test_an_event_without_columns_is_counted_and_disturbs_nobody(replayed: dict[str, Any]) -> None:
    until(lambda: counted(replayed["store"], model="bare") == 2, "the two bare events")


def test_every_window_equals_a_recount(replayed: dict[str, Any]) -> None:
    store, ts = replayed["store"], replayed["ts"]

    def windows() -> list[dict[str, Any]]:
        return store.query(
            "SELECT segment, horizon_us, toUnixTimestamp64Micro(end) AS e, rows FROM windows FINAL WHERE model = 'm'"
        )

    def differs(w: dict[str, Any]) -> bool:
        inside = (ts >= w["e"] - w["horizon_us"]) & (ts < w["e"])
        if w["segment"]:
            inside &= replayed["events"]["origin"] == w["segment"].removeprefix("origin=")
        return bool(w["rows"] != inside.sum())

    # All events are in panes by now; what they change in longer windows may be a batch of rows behind.
    until(lambda: not any(map(differs, windows())), "the last revisions of longer windows")
    assert len(windows()) > 4 * 2 * 60 * (HOURS - 1)


def test_every_moment_and_share_equals_a_recount(replayed: dict[str, Any]) -> None:
    rows = replayed["store"].query(
        "SELECT toUnixTimestamp64Micro(end) AS e, column, present, missing, mean, std, minimum, maximum "
        "FROM window_columns FINAL WHERE segment = '' AND column IN ('x', 'y') AND horizon_us = 300000000"
    )
    assert rows
    for r in rows:
        inside = (replayed["ts"] >= r["e"] - 5 * MINUTE) & (replayed["ts"] < r["e"])
        values = replayed["events"][r["column"]][inside]
        present = values[~np.isnan(values)]
        assert (r["present"], r["missing"]) == (len(present), np.isnan(values).sum())
        if len(present):
            expected = [present.mean(), present.std(), present.min(), present.max()]
            np.testing.assert_allclose(
                [r["mean"], r["std"], r["minimum"], r["maximum"]], expected, rtol=1e-9, atol=1e-12
            )


def test_bins_of_every_window_equal_a_recount(replayed: dict[str, Any]) -> None:
    store = replayed["store"]
    (x,) = store.query(
        "SELECT DISTINCT layout_id, first_slot, slots, edges FROM layouts FINAL WHERE name = 'x' LIMIT 1"
    )
    windows = store.query(
        "SELECT toUnixTimestamp64Micro(end) AS e, arraySlice(counts, %(f)s, %(n)s) AS c FROM windows FINAL "
        "WHERE segment = '' AND horizon_us = 300000000 AND layout_id = %(l)s",
        {"f": x["first_slot"] + 1, "n": x["slots"], "l": x["layout_id"]},
    )
    edges = np.array(x["edges"])
    for w in windows:
        inside = (replayed["ts"] >= w["e"] - 5 * MINUTE) & (replayed["ts"] < w["e"])
        values = replayed["events"]["x"][inside]
        present = values[~np.isnan(values)]
        bins = np.histogram(present, edges)[0].tolist()
        under, over = int((present < edges[0]).sum()), int((present > edges[-1]).sum())
        assert list(w["c"]) == [int(np.isnan(values).sum()), 0, under, *bins, over]


def test_poison_is_on_record_with_its_reason(replayed: dict[str, Any]) -> None:
    store = replayed["store"]
    until(lambda: len(store.query("SELECT 1 FROM dead_letters FINAL")) >= 3, "dead letters")
    rows = store.query("SELECT reason, events, offset FROM dead_letters FINAL ORDER BY reason")
    assert [(r["reason"], r["events"]) for r in rows] == [
        ("alien_bytes", 1),
        ("bad_json", 1),
        ("truncated", 1),
    ]


def test_quiet_traffic_raises_no_alarm(replayed: dict[str, Any]) -> None:
    assert replayed["store"].query("SELECT summary FROM alarms FINAL") == []


def test_a_worker_serves_its_own_three_pages_and_none_of_fausts(
    stack: Stack, replayed: dict[str, Any]
) -> None:
    """Those would show tables and the graph of services to anybody who asks."""
    port = stack.settings.worker_health_port
    found = psutil.Process(stack.worker_pid()).net_connections(kind="tcp")
    assert [c.laddr for c in found if c.status == psutil.CONN_LISTEN] == [("127.0.0.1", port)]
    for path in ("/", "/table/", "/graph/", "/router/", "/stats/", "/performance/"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5)
        assert refused.value.code == 404
        refused.value.close()


#: What only a fault moves, and the test that brings it about.
_NEEDS_A_FAULT = {
    m.CHUNKS_TORN.name,  # another SEAWALL_CHUNK_BYTES: tests/streams/core/test_recut.py
    m.CHUNKS_STRANGE.name,  # another log under the same name: tests/streams/core/test_lives.py
    m.ROLLBACKS.name,  # a release that drifts: tests/e2e/test_demo.py has one, and looks at the rollback itself
}
#: Gauges that are at rest while all is well; here it is enough that they are shown.
_AT_REST = {
    m.PARTITIONS_PAUSED.name,  # above 0: test_bad_partition.py and test_backpressure.py beside this
    m.NOTIFICATIONS_PENDING.name,
    m.LAG.name,
}


def shown(stack: Stack) -> dict[str, float]:
    """The sum over all series of each metric of the worker."""
    url = f"http://127.0.0.1:{stack.settings.worker_health_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    sums: dict[str, float] = {}
    for sample in (sample for family in families for sample in family.samples):
        name = sample.name.removesuffix("_count")
        if not sample.name.endswith("_created"):
            sums[name] = sums.get(name, 0.0) + sample.value
    return sums


def test_every_metric_moves_when_what_it_counts_happens(stack: Stack, replayed: dict[str, Any]) -> None:
    """Events after the others: enough to seal chunks, some late, some dead, and at the end a drift that is told."""
    rng, minutes = np.random.default_rng(3), 60
    for first, shift in ((HOURS * 60, 0.0), (HOURS * 60 + minutes, 15.0)):
        rows = 3000
        ts = T0 + (first + rng.integers(0, minutes, rows)) * MINUTE
        events = reference(rng, rows)
        send(stack.settings, {**events, "x": events["x"] + shift}, ts, rng.random(rows))
    long_ago = np.full(5, T0 - 40 * 24 * 60 * MINUTE)
    send(stack.settings, reference(rng, 5), long_ago, rng.random(5))
    poison(stack.settings)

    wanted = {metric.name for metric in m.CATALOGUE} - _NEEDS_A_FAULT
    still: set[str] = set()

    def all_moved() -> bool:
        found = shown(stack)
        still.clear()
        still.update(n for n in wanted if n not in found or (n not in _AT_REST and not found[n] > 0))
        return not still

    try:
        until(all_moved, "every metric to move", 90)
    except AssertionError:
        pytest.fail(f"these did not move: {sorted(still)}")
    assert not _NEEDS_A_FAULT & {name for name, value in shown(stack).items() if value}
