"""A backtest over what workers stored says what they said, and when."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from seawall.baseline import Baseline
from seawall.cli import main
from seawall.errors import ConfigError
from seawall.frames import Columns
from seawall.monitor import HOUR_US, DetectorRule, MonitorSpec
from seawall.settings import Settings
from seawall.wire import encode
from streams.agents.results import _MAKERS, Sink
from streams.core.alarm_steps import AlarmStep
from streams.core.backtest import Backtest, Setting
from streams.core.engine import Effects
from streams.core.registry import RegistryView, make_event
from streams.io.clickhouse import Store, arrow_concat, arrow_rows
from streams.io.history import StoredHistory
from tests.scenarios import test_losses_story as losses
from tests.streams.core.builders import T0
from tests.streams.core.test_explain import AT, PANE, SPEC, at_us, baseline, effects_of, shifted

#: What is said of several columns at once needs sums that the store does not keep for single panes.
RULES = replace(SPEC, multivariate=False, detectors=(DetectorRule("psi", above=0.5),), notify=("log",))
BASELINE = baseline(x=0.7)
MONITOR = """
model: m
windows: {pane: 10m, horizons: [1h, 6h], lateness: 1m, grace: 30m, min_rows: 30}
segments: [origin]
alarm: {open_after: 2, resolve_after: 2}
multivariate: off
detectors: [psi > 0.5]
notify: [log]
"""


def released() -> RegistryView:
    registry = RegistryView()
    registry.observe(make_event("m", "v0", "promoted", at_us(0)))
    registry.observe(make_event("m", "v1", "promoted", at_us(0) + 1))
    return registry


def live(spec: MonitorSpec = RULES) -> list[Effects]:
    """What a worker decided: a fault in all traffic, and later one of a single origin."""
    columns = shifted(by=3.0)
    columns.numeric["x"][AT + 800 :] -= 3.0
    columns.numeric["y"][
        (columns.ts >= at_us(AT + 2000)) & (columns.categorical["origin"].codes == 0)
    ] *= -4.0
    return effects_of(columns, baselines=[BASELINE], registry=released(), spec=spec)


LIVE = live()
STEPS = [s for e in LIVE for s in e.alarms]


def store_all(settings: Settings, effects: list[Effects], baseline: Baseline) -> None:
    """Write what the sinks would have written."""
    store = Store(settings)
    sink = SimpleNamespace(_known_layouts=set())
    tables: dict[str, list[Any]] = {}
    for n, report in enumerate(r for e in effects for r in e.reports):
        record = SimpleNamespace(value=encode("window_report", report), offset=n)
        for table, rows in Sink.window_tables(sink, record):  # type: ignore[arg-type]
            tables.setdefault(table, []).append(rows)
    for table in ("windows", "layouts"):
        store.insert(table, arrow_concat(tables[table]), "all")
    payload = base64.b64encode(baseline.to_bytes()).decode()
    row = {"topic": "baselines", "key": f"m/{baseline.version}", "payload": payload, "published": 0}
    store.insert("control", arrow_rows([row]), "baseline")


@pytest.fixture
def stored(settings: Settings) -> Settings:
    """A store with what the sinks would have written."""
    store_all(settings, LIVE, BASELINE)
    for event in released().events("m"):
        record = SimpleNamespace(value=encode("registry_event", event), key=b"m", offset=0, timestamp=0)
        for table, rows in _MAKERS["registry"](SimpleNamespace(topic="registry"), record):  # type: ignore[arg-type]
            Store(settings).insert(table, rows, event["event_id"])
    return settings


def over_the_store(settings: Settings, spec: MonitorSpec = RULES) -> list[AlarmStep]:
    history = StoredHistory(settings, spec, None, None)
    baselines = history.range.baselines.values()
    test = Backtest([Setting("as written", spec)], baselines, sources=history.sources)
    events = history.range.registry
    for _, panes in history.days():
        test.feed_panes(panes, history.range.layouts, events)
        events = []
    return test.finish()[0].steps


def comparable(steps: list[AlarmStep]) -> list[Any]:
    """Everything about steps, to ten digits, but for means, which the store does not keep for single panes.

    They are in details, and in what a summary has in brackets.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            told = {k: re.sub(r" \([^)]*\)", "", v) if k == "summary" else v for k, v in value.items()}
            return {k: plain(v) for k, v in told.items() if k != "detail"}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return float(f"{value:.10g}") if isinstance(value, float) else value

    return [plain(s.to_record(0)) for s in steps]


def test_it_decides_what_the_worker_decided_step_for_step(stored: Settings) -> None:
    found = over_the_store(stored)
    assert comparable(found) == comparable(STEPS)
    assert {s.kind for s in found} >= {"drift", "classic"}
    assert any(s.beside for s in found)


def test_another_limit_is_tried_on_the_same_panes(stored: Settings) -> None:
    deaf = replace(RULES, effect=0.9, detectors=())
    assert comparable(over_the_store(stored, deaf)) == comparable([s for e in live(deaf) for s in e.alarms])


def test_wider_panes_are_added_up_from_the_stored_ones(stored: Settings) -> None:
    wide = replace(RULES, pane_us=3 * PANE)
    assert comparable(over_the_store(stored, wide)) == comparable([s for e in live(wide) for s in e.alarms])


def test_losses_and_the_promise_of_accuracy_are_decided_as_the_worker_decided(settings: Settings) -> None:
    spec = replace(
        losses.promising("accuracy", ">=", 0.82), multivariate=False, detectors=(DetectorRule("hddm_a"),)
    )
    live_labels = losses.effects_of(losses.Rows(T0, 4 * 24, seed=1, flipped=0.15, from_hour=48), spec)
    store_all(settings, live_labels, losses.reference())
    found = over_the_store(settings, spec)
    assert {s.kind for s in found} == {"loss", "promise", "classic"}
    assert told(found) == told([s for e in live_labels for s in e.alarms])
    (promise,) = [s for s in found if s.kind == "promise" and s.state == "open"]
    assert "accuracy 0.7" in promise.summary
    means = {c.name: c.detail for s in found if s.kind == "loss" for c in s.culprits}
    assert re.fullmatch(r"error rate \d\d\.\d%, usually \d\d\.\d%", means["error"])
    assert means["log_loss"] == "mean log loss is worse than usual"


def test_a_feature_store_that_disagrees_is_told_as_the_worker_told_it(settings: Settings) -> None:
    spec = replace(losses.SPEC, multivariate=False)
    rows = losses.Rows(T0, 4 * 24, seed=1)
    said = np.where(rows.ts < T0 + 48 * HOUR_US, rows.x, rows.x * 60)
    features = Columns("features", "m", "v1", rows.ts, numeric={"x": said}, frame_id="f")
    seen_live = losses.effects_of(rows, spec, features=features)
    store_all(settings, seen_live, losses.reference())
    found = over_the_store(settings, spec)
    assert {s.kind for s in found} == {"skew"}
    assert told(found) == told([s for e in seen_live for s in e.alarms])


def told(steps: list[AlarmStep]) -> list[Any]:
    """Everything about steps but for the sentences that give means, by when they were taken."""
    worded = ("summary", "emitted_us")
    records = [{k: v for k, v in r.items() if k not in worded} for r in comparable(steps)]
    return sorted(records, key=lambda r: (r["updated_us"], r["alarm_id"], r["revision"]))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (replace(RULES, model="nobody"), "--from-store: the store has no windows of nobody there"),
        (replace(RULES, pane_us=PANE // 2), "windows.pane: 5m: expected a multiple of the stored panes, 10m"),
        (replace(RULES, segments=("carrier",)), "segments: 'carrier': expected a column by which traffic was stored: origin"),
    ],
)  # fmt: skip
def test_a_monitor_that_cannot_be_run_on_what_is_stored_is_refused(
    stored: Settings, spec: MonitorSpec, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        StoredHistory(stored, spec, None, None)


def test_the_command_reports_pages_budgets_and_html(
    stored: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("broker", "store_url", "store_database"):
        monkeypatch.setenv(f"SEAWALL_{name.upper()}", getattr(stored, name))
    Path("m.yaml").write_text(MONITOR)
    command = ["backtest", "m.yaml", "--from-store", "--json", "--budget", "1 per 1d", "--html", "out.html"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    first, looser = told["settings"]
    opened = {s.alarm_id for s in STEPS if s.state == "open" and not s.is_joined}
    assert {p["alarm_id"] for p in first["pages"]} == opened
    assert looser["false_pages_period_us"] == 24 * 3_600_000_000
    assert told["rows"] == 6000
    assert "before and after" in Path("out.html").read_text()
    assert main(["backtest", "m.yaml", "--from-store", "--json", "--until", "2023-11-15"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] < 1000
    assert main(["backtest", "m.yaml", "--from-store", "--since", "noon"]) == 1
    assert "--since: 'noon': expected a time such as" in capsys.readouterr().err
    assert main(["backtest", "m.yaml", "--data", "x.parquet"]) == 1
    assert "--baseline: expected a file" in capsys.readouterr().err


def test_panes_counted_with_another_baseline_are_named(
    stored: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("broker", "store_url", "store_database"):
        monkeypatch.setenv(f"SEAWALL_{name.upper()}", getattr(stored, name))
    Path("m.yaml").write_text(MONITOR)
    Path("other.baseline").write_bytes(baseline(x=0.1).to_bytes())
    assert main(["backtest", "m.yaml", "--from-store", "--baseline", "other.baseline"]) == 0
    captured = capsys.readouterr()
    assert "panes of v1 were counted with another baseline" in captured.err
