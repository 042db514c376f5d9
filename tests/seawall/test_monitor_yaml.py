from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.baseline import Baseline
from seawall.errors import ConfigError
from seawall.frames import Categorical, Columns
from seawall.monitor import DAY_US, HOUR_US, MINUTE_US, ColumnRule, Effects, MonitorSpec, RollbackPolicy
from seawall.monitor_yaml import MonitorError, check_monitor, parse_monitor
from seawall.monitor_yaml.template import scalar
from streams.core.build_baseline import build_baseline

BAD = sorted((Path(__file__).parent / "bad_monitors").glob("*.yaml"))
COMPLETE = """
model: late-arrival
task: binary_classification
promise:
  false_pages: 2 per 7d
  performance: {roc_auc: ">= 0.80", log_loss: "< 1.5"}
  freshness: 5m
windows:
  pane: 30s
  horizons: [5m, 90m]
  lateness: 0
  grace: 2h
  min_rows: 50
  min_coverage: 0.25
segments: [origin, carrier]
max_segments: 20
effect: 0.15
timezone: America/New_York
columns:
  temp: {effect: 0.2}
  tailnum: {ignore: yes}
alarm: {open_after: 3, resolve_after: 5}
skew: false
multivariate: off
rollback: {mode: approve, target: 7, cooldown: 1h, release_window: 2d, approval_timeout: 3h, recovery: 4h}
notify: [slack:#ml-oncall, pagerduty:ml, webhook, log]
"""


def baseline() -> Baseline:
    columns = Columns(
        "predictions", "late-arrival", "1", np.zeros(4, dtype=np.int64),
        numeric={"temp": np.arange(4.0)},
        categorical={
            "origin": Categorical.of(["a", "b", "a", None]),
            "carrier": Categorical.of(["x", "y", "x", "y"]),
        },
    )  # fmt: skip
    return build_baseline(columns, model="late-arrival", version="1", task="regression", now_us=0)


def problems_of(text: str, against: Baseline | None = None) -> list[str]:
    return [str(p).removeprefix("<string>:") for p in check_monitor(text, baseline=against)[1]]


@pytest.mark.parametrize("path", BAD, ids=lambda p: p.stem)
def test_every_problem_of_a_bad_file_is_reported_with_its_place(path: Path) -> None:
    text = path.read_text()
    expected = [line.removeprefix("# expect ") for line in text.splitlines() if line.startswith("# expect ")]
    assert problems_of(text) == expected


def test_a_complete_file_sets_every_field() -> None:
    assert parse_monitor(COMPLETE) == MonitorSpec(
        model="late-arrival",
        task="binary_classification",
        pane_us=MINUTE_US // 2,
        horizons_us=(5 * MINUTE_US, 90 * MINUTE_US),
        lateness_us=0,
        grace_us=2 * HOUR_US,
        segments=("origin", "carrier"),
        max_segments=20,
        false_pages=2.0,
        false_pages_period_us=7 * DAY_US,
        performance={"roc_auc": (">=", 0.8), "log_loss": ("<", 1.5)},
        freshness_us=5 * MINUTE_US,
        min_rows=50,
        min_coverage=0.25,
        effect=0.15,
        open_after=3,
        resolve_after=5,
        columns={"temp": ColumnRule(effect=0.2), "tailnum": ColumnRule(ignore=True)},
        timezone="America/New_York",
        skew=False,
        multivariate=False,
        rollback=RollbackPolicy("approve", "7", HOUR_US, 2 * DAY_US, 3 * HOUR_US, 4 * HOUR_US),
        notify=("slack:#ml-oncall", "pagerduty:ml", "webhook", "log"),
    )


def test_a_file_of_one_line_is_all_defaults() -> None:
    assert parse_monitor("model: m") == MonitorSpec("m")


def test_effects_by_statistic_are_the_distance_and_everything_else() -> None:
    every = "{js: 0.2, missing: 0.02, unseen: 0.03, out_of_range: 0.01, correlation: 0.4, mmd: 0.1, reconstruction: 0.2}"
    spec = parse_monitor(
        f"model: m\neffect: {every}\ncolumns: {{temp: {{effect: {{missing: 0.3}}}}, wind: {{effect: 0.5}}}}\n"
    )
    assert (spec.effect, spec.effects) == (0.2, Effects(0.02, 0.03, 0.01, 0.4, 0.1, 0.2))
    assert spec.columns == {"temp": ColumnRule(effects={"missing": 0.3}), "wind": ColumnRule(effect=0.5)}
    assert spec.effects_on("missing", ["temp", "wind"]) == [0.3, 0.02]
    assert spec.effects_on("js", ["temp", "wind", "rain"]) == [0.2, 0.5, 0.2]


def test_what_an_effect_leaves_out_is_the_default() -> None:
    spec = parse_monitor("model: m\neffect: {missing: 0.01}\n")
    assert spec == MonitorSpec("m", effects=Effects(missing=0.01))


def test_an_effect_on_what_a_column_of_its_kind_does_not_have_is_refused() -> None:
    text = "model: late-arrival\ncolumns:\n  temp: {effect: {unseen: 0.1}}\n  origin: {effect: {out_of_range: 0.1}}\n"
    assert problems_of(text, baseline()) == [
        "3: columns.temp.effect.unseen: '0.1': expected out_of_range in its place: the column holds numbers",
        "4: columns.origin.effect.out_of_range: '0.1': expected unseen in its place: the column holds categories",
    ]


def test_sections_left_empty_are_defaults() -> None:
    assert parse_monitor("model: m\nwindows:\npromise:\nsegments:\ncolumns:\nnotify:\n") == MonitorSpec("m")


def test_a_task_of_none_is_no_task() -> None:
    assert parse_monitor("model: m\ntask: none").task == ""


def test_the_error_holds_every_problem_and_prints_them_line_by_line() -> None:
    with pytest.raises(MonitorError) as caught:
        parse_monitor("modle: m\neffect: 2\n", file="m.yaml")
    assert [p.field for p in caught.value.problems] == ["modle", "model", "effect"]
    assert [p.line for p in caught.value.problems] == [1, 1, 2]
    assert (
        str(caught.value).splitlines()[2] == "m.yaml:2: effect: '2': expected a number above 0 and at most 1"
    )
    assert isinstance(caught.value, ConfigError)


def test_a_task_left_out_is_the_baselines() -> None:
    assert parse_monitor("model: late-arrival", baseline=baseline()).task == "regression"


def test_columns_that_the_baseline_lacks_are_reported_with_the_nearest() -> None:
    text = "model: late-arrival\nsegments: [orgin, temp, carrier]\ncolumns:\n  tmp: {ignore: true}\n"
    whose = "column of the baseline of late-arrival 1"
    assert problems_of(text, baseline()) == [
        f"2: segments[0]: 'orgin': expected a categorical {whose}: carrier or origin; did you mean origin?",
        f"2: segments[1]: 'temp': expected a categorical {whose}: carrier or origin; this one is numeric",
        f"4: columns.tmp: 'tmp': expected a {whose}: carrier, origin or temp; did you mean temp?",
    ]


def test_a_promised_calibration_of_scores_that_are_no_probabilities_is_reported() -> None:
    ts = np.zeros(100, dtype=np.int64)
    margins = Columns("predictions", "m", "1", ts, scores={"margin": np.linspace(-3, 4, 100)})
    text = 'model: m\npromise:\n  performance:\n    roc_auc: ">= 0.8"\n    ece: "<= 0.05"\n'
    (said,) = problems_of(text, build_baseline(margins, model="m", version="1", now_us=0))
    assert said.startswith(
        "5: promise.performance.ece: '<= 0.05': expected another metric: the scores of the baseline "
    )
    assert said.endswith("of m 1 go from -3 to 4, and calibration is of probabilities from 0 to 1")
    margins.scores["margin"] = np.linspace(0, 1, 100)
    assert problems_of(text, build_baseline(margins, model="m", version="1", now_us=0)) == []


def test_the_baseline_of_another_model_is_reported() -> None:
    assert problems_of("model: early-arrival", baseline()) == [
        "1: model: 'early-arrival': expected the baseline's model, 'late-arrival'"
    ]


def test_a_character_that_cannot_be_printed_is_reported_with_its_line() -> None:
    assert problems_of("model: m\neffect: \x07\n") == ["2: '\\x07': expected a printable character"]


def test_an_anchor_that_contains_itself_is_reported_and_not_followed() -> None:
    assert problems_of("model: m\nsegments: &a [*a]\n") == [
        "2: segments[0]: '&a [*a]': expected text, found a list"
    ]


def test_anchors_that_would_unfold_to_billions_are_not_unfolded() -> None:
    lines = ["model: m", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert len(problems_of("\n".join(lines))) == 12


def test_very_deep_nesting_is_a_problem_and_not_a_crash() -> None:
    assert problems_of("model: " + "[" * 100_000) == ["1: expected less deeply nested YAML"]


def test_an_explicit_python_tag_is_never_constructed() -> None:
    assert len(problems_of("model: !!python/object/apply:os.system ['true']\n")) == 1


@given(st.text())
def test_no_text_makes_the_reader_crash(text: str) -> None:
    spec, problems = check_monitor(text)
    assert (spec is None) == bool(problems)


@given(
    st.recursive(
        st.text(max_size=5) | st.integers() | st.booleans() | st.none() | st.floats(),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(st.sampled_from(["pane", "horizons", "mode", "ignore", "x"]), x, max_size=3)
        ),
        max_leaves=5,
    ),
    st.sampled_from(
        [
            "model",
            "task",
            "promise",
            "windows",
            "segments",
            "effect",
            "columns",
            "alarm",
            "rollback",
            "notify",
            "timezone",
        ]
    ),
)
def test_no_value_at_any_key_makes_the_reader_crash(value: object, key: str) -> None:
    import yaml

    text = yaml.safe_dump({"model": "m"} | {key: value})
    spec, problems = check_monitor(text)
    assert (spec is None) == bool(problems)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_written_by_scalar_is_read_back_as_it_was(text: str) -> None:
    import yaml

    assert yaml.safe_load(f"- {scalar(text)}  # comment\n") == [text]
    assert yaml.safe_load(f"[a, {scalar(text)}, b]") == ["a", text, "b"]
