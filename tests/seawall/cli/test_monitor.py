import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.baseline import Baseline
from seawall.cli import main
from seawall.frames import Categorical, Columns
from seawall.monitor import DAY_US, HOUR_US, MINUTE_US
from seawall.monitor_yaml import check_monitor, parse_monitor
from seawall.monitor_yaml.template import monitor_template
from seawall.settings import Settings
from streams.core.build_baseline import build_baseline
from streams.io.topics import create_topics

T0_US = 1_767_225_600_000_000
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["no", "null", "1", "~", "a: b"]
)


def baseline(rows: int = 5000, hours: int = 24) -> Baseline:
    rng = np.random.default_rng(0)
    score = rng.random(rows)
    columns = Columns(
        "predictions", "late", "1", T0_US + np.sort(rng.integers(0, hours * HOUR_US, rows)),
        numeric={"temp": rng.normal(size=rows)},
        categorical={
            "origin": Categorical(rng.integers(0, 3, rows).astype(np.int32), ["JFK", "EWR", "LGA"]),
            "tail": Categorical(np.arange(rows, dtype=np.int32), [f"N{i}" for i in range(rows)]),
        },
        scores={"score": score},
    )  # fmt: skip
    labels = Categorical((rng.random(rows) < score).astype(np.int32), ["0", "1"])
    task = "binary_classification"
    return build_baseline(columns, model="late", version="1", task=task, labels=labels, now_us=0)


@st.composite
def baselines(draw: st.DrawFn) -> Baseline:
    rows = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    span_us = draw(st.sampled_from([0, MINUTE_US, HOUR_US, 40 * DAY_US, 4000 * DAY_US]))
    start_us = draw(st.sampled_from([0, T0_US]))
    columns = Columns("predictions", "m", "1", start_us + rng.integers(0, span_us + 1, rows))
    for name in draw(st.sets(names, max_size=5)):
        values = draw(st.integers(1, 30))
        columns.categorical[name] = Categorical(
            rng.integers(-1, values, rows).astype(np.int32), [f"v{i}" for i in range(values)]
        )
    columns.numeric["x"] = rng.normal(size=rows)
    columns.categorical.pop("x", None)
    metrics = st.dictionaries(
        st.sampled_from(["roc_auc", "accuracy", "rmse", "mae", "other"]),
        st.floats(allow_nan=True),
        max_size=3,
    )
    model = draw(names.filter(lambda text: bool(text.strip())))
    task = draw(
        st.sampled_from(["", "binary_classification", "multiclass_classification", "regression", "ranking"])
    )
    return build_baseline(
        columns, model=model, version=draw(names), task=task, performance=draw(metrics), now_us=0
    )


@given(baselines())
def test_the_first_monitor_of_any_baseline_passes_check(reference: Baseline) -> None:
    text = monitor_template(reference.model, reference)
    spec, problems = check_monitor(text, baseline=reference)
    assert problems == []
    assert spec is not None
    assert spec.model == reference.model
    assert check_monitor(text)[1] == []


def test_a_first_monitor_without_a_baseline_passes_check() -> None:
    spec = parse_monitor(monitor_template("any model: at all"))
    assert spec.model == "any model: at all"


def test_segments_promises_and_identifiers_follow_the_baseline() -> None:
    spec = parse_monitor(monitor_template("late", reference := baseline()), baseline=reference)
    assert spec.segments == ("origin",)
    assert spec.columns["tail"].ignore
    assert set(spec.performance) == {"roc_auc"}
    reached = reference.performance["roc_auc"]
    assert reached - 0.06 < spec.performance["roc_auc"][1] < reached - 0.04
    assert spec.task == "binary_classification"


@pytest.mark.parametrize(
    ("task", "reached", "promise", "others"),
    [
        ("binary_classification", {"roc_auc": 0.91, "brier": 0.1, "accuracy": 0.93, "ece": 0.02},
         'performance: {accuracy: ">= 0.88"}', "roc_auc (0.91), brier (0.1), ece (0.02)"),
        ("binary_classification", {"roc_auc": 0.91, "brier": 0.9}, 'performance: {roc_auc: ">= 0.86"}', "brier (0.9)"),
        ("binary_classification", {"ece": 0.02}, 'performance: {ece: "<= 0.024"}', ""),
        ("regression", {"rmse": 4.0, "mae": 3.0, "accuracy": 0.9}, 'performance: {mae: "<= 3.6"}', "rmse (4)"),
    ],
)  # fmt: skip
def test_one_metric_that_the_reference_has_is_promised_and_the_others_are_a_comment(
    task: str, reached: dict[str, float], promise: str, others: str
) -> None:
    reference = replace(baseline(), task=task, performance=reached)
    text = monitor_template("late", reference)
    assert f"  {promise}" in text
    said = [line for line in text.splitlines() if "May be promised too" in line]
    assert [line.rpartition(": ")[2] for line in said] == ([f"{others}."] if others else [])
    parse_monitor(text, baseline=reference)


def of_numbers(values: np.ndarray) -> Baseline:
    ts = T0_US + np.arange(len(values)) * MINUTE_US
    columns = Columns("predictions", "late", "1", ts, numeric={"n": values.astype(np.float64)})
    return build_baseline(columns, model="late", version="1", now_us=0)


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(np.arange(3000) + 10_000_000, id="given out in order"),
        pytest.param(np.arange(3000)[::-1] * 7 + 2**40, id="with gaps, backwards"),
        pytest.param(np.r_[np.arange(3000), 17, 18], id="two rows sent twice"),
    ],
)
def test_whole_numbers_of_which_hardly_one_comes_twice_are_not_watched(numbers: np.ndarray) -> None:
    spec = parse_monitor(monitor_template("late", of_numbers(numbers)))
    assert spec.columns["n"].ignore


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(np.random.default_rng(0).normal(size=3000), id="real"),
        pytest.param(np.random.default_rng(0).permutation(3000) / 100, id="hundredths, all different"),
        pytest.param(np.random.default_rng(0).integers(0, 50_000, 3000), id="a count, a few come again"),
        pytest.param(np.random.default_rng(0).poisson(4, 3000), id="a small count"),
        pytest.param(np.full(3000, 7), id="constant"),
        pytest.param(np.full(3000, np.nan), id="never there"),
        pytest.param(np.arange(100), id="too few rows to tell"),
    ],
)
def test_numbers_that_were_measured_are_watched(numbers: np.ndarray) -> None:
    spec = parse_monitor(monitor_template("late", of_numbers(numbers)))
    assert "n" not in spec.columns


def test_init_says_what_it_does_not_watch_and_check_what_one_had_better_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference, out = tmp_path / "b.baseline", tmp_path / "m.yaml"
    reference.write_bytes(of_numbers(np.arange(3000)).to_bytes())
    assert main(["monitor", "init", "--baseline", str(reference), "--out", str(out)]) == 0
    said = "3,000 different values in 3,000 rows look like an identifier"
    assert f"note: n is not watched: {said}" in capsys.readouterr().err
    assert main(["check", str(out), "--baseline", str(reference)]) == 0
    assert said not in capsys.readouterr().err
    out.write_text("model: late\n")
    assert main(["check", str(out), "--baseline", str(reference)]) == 0
    assert f"note: columns.n: {said}" in capsys.readouterr().err


def test_init_leaves_room_for_bad_days_of_the_reference_and_check_says_what_that_would_have_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(3)
    days = np.repeat(np.arange(40), 24 * 10)
    bad = np.where(np.isin(days, [11, 12, 30]), 0.45, 0.2)
    table = pl.DataFrame(
        {
            "ts": T0_US + np.arange(len(days)) * 6 * MINUTE_US,
            "x": rng.normal(size=len(days)),
            "said": np.zeros(len(days), dtype=int),
            "truth": (rng.random(len(days)) < bad).astype(int),
        }
    )
    data, reference, out = tmp_path / "d.parquet", tmp_path / "b.baseline", tmp_path / "m.yaml"
    table.write_parquet(data)
    roles = ["--time-column", "ts", "--prediction-column", "said", "--label-column", "truth"]
    built = ["baseline", "build", str(data), "--model", "m", "--version", "1", "--out", str(reference)]
    assert main([*built, *roles]) == 0
    assert main(["monitor", "init", "--baseline", str(reference), "--out", str(out)]) == 0
    text = out.read_text()
    (reached,) = [line for line in text.splitlines() if "The reference reached accuracy" in line]
    assert "in its worst 7d" in reached
    ((_, kept),) = parse_monitor(text).performance.values()
    capsys.readouterr()
    assert main(["check", str(out), "--baseline", str(reference)]) == 0
    assert "promise.performance" not in capsys.readouterr().err
    out.write_text(text.replace(f">= {kept:.2f}", ">= 0.79"))
    assert main(["check", str(out), "--baseline", str(reference)]) == 0
    said = capsys.readouterr().err
    assert "promise.performance (accuracy >= 0.79): the reference itself would have broken it " in said
    assert f"of its windows); >= {kept:.2f} would have been kept" in said


def test_three_rows_promise_nothing_and_are_cut_by_nothing_that_never_comes_twice() -> None:
    columns = Columns(
        "predictions", "late", "1", T0_US + np.arange(3) * HOUR_US,
        categorical={
            "who": Categorical(np.arange(3, dtype=np.int32), ["ann", "bo", "cy"]),
            "origin": Categorical(np.array([0, 1, 0], dtype=np.int32), ["JFK", "EWR"]),
        },
        scores={"score": np.array([0.1, 0.9, 0.8])},
    )  # fmt: skip
    labels = Categorical(np.array([0, 1, 1], dtype=np.int32), ["0", "1"])
    task = "binary_classification"
    reference = build_baseline(columns, model="late", version="1", task=task, labels=labels, now_us=0)
    assert reference.performance["roc_auc"] == 1.0
    spec = parse_monitor(monitor_template("late", reference))
    assert spec.performance == {}
    assert "who" not in spec.segments


@pytest.mark.parametrize(
    ("rows", "hours", "shortest_us"),
    [
        (240_000, 24, 5 * MINUTE_US),
        (24_000, 24, 15 * MINUTE_US),
        (5_000, 24, HOUR_US),
        (2_400, 48, 6 * HOUR_US),
        (500, 48, DAY_US),
        (200, 24 * 30, 7 * DAY_US),
    ],
)
def test_the_shortest_horizon_usually_holds_two_hundred_rows(rows: int, hours: int, shortest_us: int) -> None:
    spec = parse_monitor(monitor_template("late", baseline(rows, hours)))
    assert spec.horizons_us[0] == shortest_us
    if shortest_us < 7 * DAY_US:
        assert rows * shortest_us / (hours * HOUR_US) >= 200


def test_freshness_is_longer_than_the_nights_of_the_reference() -> None:
    hour = np.arange(24 * 60)
    awake = hour[(hour % 24) >= 6]
    ts = T0_US + np.repeat(awake, 30) * HOUR_US
    columns = Columns("predictions", "m", "1", ts, numeric={"x": np.arange(len(ts), dtype=float)})
    reference = build_baseline(columns, model="m", version="1", now_us=0)
    freshness_us = parse_monitor(monitor_template("m", reference)).freshness_us
    assert freshness_us == 12 * HOUR_US


def test_one_outage_of_the_reference_does_not_make_freshness_long() -> None:
    hour = np.arange(24 * 60)
    up = hour[(hour < 500) | (hour > 900)]
    ts = T0_US + np.repeat(up, 100) * HOUR_US
    columns = Columns("predictions", "m", "1", ts, numeric={"x": np.arange(len(ts), dtype=float)})
    reference = build_baseline(columns, model="m", version="1", now_us=0)
    freshness_us = parse_monitor(monitor_template("m", reference)).freshness_us
    assert freshness_us is not None
    assert freshness_us <= 2 * HOUR_US


def test_init_writes_a_file_that_check_accepts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference, out = tmp_path / "b.baseline", tmp_path / "m.yaml"
    reference.write_bytes(baseline(500).to_bytes())
    assert main(["monitor", "init", "--baseline", str(reference), "--out", str(out)]) == 0
    assert main(["check", str(out), "--baseline", str(reference)]) == 0
    assert main(["monitor", "init", "--baseline", str(reference), "--out", str(out)]) == 1
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert main(["monitor", "init", "--model", "late", "--out", str(out), "--force"]) == 0


def test_init_prints_when_no_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitor", "init", "--model", "m"]) == 0
    assert parse_monitor(capsys.readouterr().out).model == "m"


def test_init_needs_a_model_and_takes_only_the_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["monitor", "init"]) == 1
    assert "--model: is missing" in capsys.readouterr().err
    (tmp_path / "b.baseline").write_bytes(baseline(50).to_bytes())
    assert main(["monitor", "init", "--model", "n", "--baseline", str(tmp_path / "b.baseline")]) == 1
    assert "--model: 'n': expected 'late'" in capsys.readouterr().err


def test_a_file_with_problems_is_not_published(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("model: m\neffect: 2\n")
    assert main(["monitor", "publish", str(path)]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"{path}:2: effect: '2': expected a number above 0 and at most 1\n"
    assert "not published" in captured.err


def test_a_published_monitor_is_listed_and_shown_as_it_was_written(
    tmp_path: Path, broker: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEAWALL_BROKER", broker)
    monkeypatch.setenv("SEAWALL_TOPIC_PREFIX", "cli-monitor.")
    create_topics(Settings(broker=broker, topic_prefix="cli-monitor."), ["monitors"])
    path = tmp_path / "m.yaml"
    path.write_text("# ours\nmodel: m\nnotify: [log]\n")
    assert main(["monitor", "publish", str(path)]) == 0
    assert main(["monitor", "list"]) == 0
    assert "5m, 1h, 1d" in capsys.readouterr().out
    assert main(["monitor", "list", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["yaml"] == path.read_text()
    assert main(["monitor", "show", "m"]) == 0
    assert capsys.readouterr().out == path.read_text()
    assert main(["monitor", "show", "n"]) == 1


def test_a_broker_that_is_not_there_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEAWALL_BROKER", "127.0.0.1:1")
    (tmp_path / "m.yaml").write_text("model: m\n")
    assert main(["monitor", "publish", str(tmp_path / "m.yaml")]) == 1
    error = capfd.readouterr().err
    assert "broker 127.0.0.1:1 (SEAWALL_BROKER): cannot be used" in error
    assert len(error.splitlines()) == 1
