import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from seawall.build import build_baseline, guess_task, read_reference
from seawall.errors import ConfigError, ContractError
from seawall.frames import Categorical
from seawall.reference_times import read_reference_times
from seawall.series import read_column, read_labels

COLUMNS: dict[str, list[Any]] = {
    "ts": [dt.datetime(2026, 1, 1, h, tzinfo=dt.UTC) for h in range(4)],
    "temp": [1.5, None, 3.0, 4.0],
    "count": [1, 2, 3, 4],
    "is_late": [True, False, True, False],
    "origin": ["JFK", None, "EWR", "JFK"],
    "p": [0.1, 0.9, 0.4, 0.6],
    "said": ["late", "on time", "late", "late"],
    "truth": ["late", "on time", "on time", "late"],
}
ROLES: dict[str, Any] = {"ts": "ts", "scores": "p", "labels": "said", "truths": "truth"}


@pytest.mark.parametrize("library", [pd.DataFrame, pl.DataFrame, dict])
def test_pandas_polars_and_plain_columns_give_the_same_baseline(library: Any) -> None:
    built = build_baseline(library(COLUMNS), model="m", version="1", **ROLES)
    same = build_baseline(COLUMNS, model="m", version="1", **ROLES)
    assert built.baseline_id == same.baseline_id
    kinds = {f"{c.role}/{c.name}": c.kind for c in built.columns}
    assert kinds == {
        "feature/count": "numeric",
        "feature/is_late": "numeric",
        "feature/origin": "categorical",
        "feature/temp": "numeric",
        "score/score": "numeric",
        "prediction/label": "categorical",
        "label/label": "categorical",
        "loss/error": "numeric",
        "loss/brier": "numeric",
        "loss/log_loss": "numeric",
    }
    assert built.task == "binary_classification"
    assert built.pane_starts.tolist() == [int(t.timestamp()) * 1_000_000 for t in COLUMNS["ts"]]


def test_the_positive_class_turns_the_score_around() -> None:
    late = build_baseline(COLUMNS, model="m", version="1", positive="late", **ROLES).performance["roc_auc"]
    on_time = build_baseline(COLUMNS, model="m", version="1", positive="on time", **ROLES).performance[
        "roc_auc"
    ]
    assert late + on_time == pytest.approx(1)


def test_numbers_named_categorical_are_read_as_text() -> None:
    read = read_reference(COLUMNS, model="m", version="1", features=["count", "temp"], categorical=["count"])
    assert read.columns.categorical["count"].dictionary == ["1", "2", "3", "4"]
    assert list(read.columns.numeric) == ["temp"]


def test_times_are_left_out_of_the_features_and_said_so() -> None:
    table = pd.DataFrame({"a": [1.0], "planned": pd.to_datetime(["2026-01-01"])})
    assert read_reference(table, model="m", version="1").left_out == ("planned",)


def test_what_a_regression_predicts_is_its_score() -> None:
    table = {"x": [1.0, 2.0], "said": [1.0, 2.5], "truth": [1.0, 2.0]}
    read = read_reference(table, model="m", version="1", labels="said", truths="truth", task="regression")
    assert list(read.columns.scores) == ["score"]
    assert read.columns.label is None


def test_truths_of_zero_and_one_stay_numeric_and_still_measure_a_classifier() -> None:
    table = {"x": [1, 2, 3, 4], "p": [0.1, 0.9, 0.4, 0.6], "y": [False, True, False, True]}
    built = build_baseline(table, model="m", version="1", scores="p", truths="y")
    assert built.columns[-1].kind == "numeric"
    assert built.task == "binary_classification"
    assert built.performance["roc_auc"] == 1.0


def test_each_score_of_a_mapping_keeps_its_name() -> None:
    table = {"x": [1.0, 2.0], "pa": [0.1, 0.2], "pb": [0.9, 0.8]}
    read = read_reference(table, model="m", version="1", scores={"a": "pa", "b": "pb"})
    assert list(read.columns.scores) == ["a", "b"]
    assert list(read.columns.numeric) == ["x"]


@pytest.mark.parametrize(
    ("truths", "task"),
    [
        (None, ""),
        (Categorical.of(["a", "b", None]), "binary_classification"),
        (Categorical.of(["a", "b", "c"]), "multiclass_classification"),
        (np.array([0.0, 1.0, np.nan]), "binary_classification"),
        (np.array([0.0, 2.0]), "regression"),
    ],
)
def test_the_task_is_guessed_from_the_truth(truths: Any, task: str) -> None:
    assert guess_task(truths) == task


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([1_767_225_600], "s"),
        ([1_767_225_600.0], "s"),
        ([1_767_225_600_000], "ms"),
        ([1_767_225_600_000_000], "us"),
        ([1_767_225_600_000_000_000], "ns"),
        (["2026-01-01T00:00:00Z"], "us"),
        (["2026-01-01"], "us"),
        ([dt.datetime(2026, 1, 1)], "us"),  # noqa: DTZ001 - what people have
        (pd.Series(pd.to_datetime(["2026-01-01"])), "us"),
        (pd.Series(pd.to_datetime(["2025-12-31T19:00:00-05:00"])), "us"),
        (pd.Series(pd.to_datetime(["2026-01-01"])).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"), "us"),
        (pl.Series([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]).dt.convert_time_zone("Asia/Tokyo"), "us"),
        (pl.Series([dt.date(2026, 1, 1)]), "us"),
        (np.array(["2026-01-01"], dtype="datetime64[D]"), "us"),
    ],
)
def test_every_way_of_writing_a_time_is_read(values: Any, unit: str) -> None:
    assert read_reference_times(values, unit).tolist() == [1_767_225_600_000_000]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1_767_225_600], "early 1970s"),
        (["yesterday"], "'yesterday' in row 0 is no time"),
        ([None, 1_767_225_600_000_000], "1 of 2 rows have no time, the first is row 0"),
        (pd.to_datetime(pd.Series(["2026-01-01", None])), "1 of 2 rows have no time, the first is row 1"),
        ([[1], [2]], "is no time"),
    ],
)
def test_a_time_that_cannot_be_read_is_named(values: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        read_reference_times(values)


@pytest.mark.parametrize(
    ("unit", "many"), [("us", 1_767_225_600_000_000_000), ("s", 1_767_225_600_000), ("s", 10**18)]
)
def test_numbers_of_a_finer_unit_are_no_times_of_the_year_fifty_thousand(unit: str, many: int) -> None:
    with pytest.raises(
        ContractError, match=rf"{many} {unit} in row 1 is later than 2262.*time_unit \(.*ns\)"
    ):
        read_reference_times([1, many], unit)


def test_a_positive_class_that_is_none_of_the_two_is_refused() -> None:
    with pytest.raises(
        ContractError, match=r"positive: 'laet': expected one of the classes 'late' and 'on time'"
    ):
        build_baseline(COLUMNS, model="m", version="1", positive="laet", **ROLES)


@pytest.mark.parametrize("about", ["model", "version"])
def test_a_baseline_of_nobody_is_refused(about: str) -> None:
    with pytest.raises(ContractError, match=f"{about}: ' ': expected a name"):
        build_baseline(COLUMNS, **{"model": "m", "version": "1", about: " "})


@pytest.mark.parametrize("roles", [{"labels": "truth"}, {"scores": "truth"}, {"scores": {"late": "truth"}}])
def test_what_was_predicted_is_no_truth(roles: dict[str, Any]) -> None:
    """Every prediction would be right."""
    with pytest.raises(ContractError, match=r"truths: 'truth' is what (labels|scores) name too"):
        build_baseline(COLUMNS, model="m", version="1", truths="truth", **roles)


def test_whole_numbers_of_more_than_53_bits_stay_apart_as_text() -> None:
    """As `log_prediction` writes them: two neighbours would be one float."""
    ids = [2**60 + 1, 2**60 + 2, 2**64 + 1]
    for column in (
        ids[:2],
        np.array(ids[:2]),
        pd.Series([*ids[:2], None], dtype="Int64"),
        pl.Series(ids[:2]),
    ):
        assert read_labels("id", column).dictionary == ["1152921504606846977", "1152921504606846978"]
    beyond = pl.Series(ids, dtype=pl.Int128)
    assert read_labels("id", beyond).dictionary[-1] == "18446744073709551617"
    np.testing.assert_array_equal(read_column("id", beyond), np.array(ids, dtype=float))


def test_a_column_that_is_no_feature_is_told_and_an_error_where_it_is_asked_for() -> None:
    table = {**COLUMNS, "raw": [b"a", b"b", b"c", b"d"]}
    read = read_reference(table, model="m", version="1", **ROLES)
    assert list(read.unreadable) == ["raw"]
    assert "raw" not in {**read.columns.numeric, **read.columns.categorical}
    with pytest.raises(ContractError, match="column 'raw'"):
        read_reference(table, model="m", version="1", features=["raw", "temp"], **ROLES)
    with pytest.raises(ContractError, match="column 'raw'"):
        build_baseline(table, model="m", version="1", **ROLES)


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(ContractError, match="features: 'nope' is none of the columns"):
        build_baseline(COLUMNS, model="m", version="1", features=["nope"])
    with pytest.raises(ContractError, match="scores: there is no column 'nope'"):
        build_baseline(COLUMNS, model="m", version="1", scores="nope")


def test_a_pane_that_is_no_duration_is_refused() -> None:
    with pytest.raises(ConfigError, match="pane: '1 hour': expected one of the units"):
        build_baseline(COLUMNS, model="m", version="1", features=["temp"], pane="1 hour")
