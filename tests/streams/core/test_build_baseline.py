from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from detectors.layout import Column, Layout, slots_of_codes, slots_of_numeric
from seawall.baseline import Baseline
from seawall.errors import ContractError
from seawall.frames import Categorical, Columns
from streams.core.build_baseline import DAY_US, HOUR_US, MAX_PANES, build_baseline
from streams.core.losses import LossRule, losses_of
from streams.core.reference_performance import positive_class

T0_US = 1_357_000_000_000_000 // HOUR_US * HOUR_US


def reference(rows: int = 500, hours: int = 48, seed: int = 0) -> Columns:
    rng = np.random.default_rng(seed)
    temp = rng.normal(15, 8, rows)
    temp[rng.random(rows) < 0.1] = np.nan
    return Columns(
        "predictions",
        "late",
        "1",
        T0_US + rng.integers(0, hours * HOUR_US, rows),
        numeric={"temp": temp, "broken": np.full(rows, np.nan)},
        categorical={
            "origin": Categorical(rng.integers(-1, 3, rows).astype(np.int32), ["JFK", "EWR", "LGA"])
        },
        scores={"score": rng.random(rows)},
        label=Categorical(rng.integers(0, 2, rows).astype(np.int32), ["0", "1"]),
    )


def labels_for(columns: Columns, seed: int = 1) -> Categorical:
    drawn = np.random.default_rng(seed).random(columns.rows) < columns.scores["score"]
    return Categorical(drawn.astype(np.int32), ["0", "1"])


def build(columns: Columns, **more: object) -> Baseline:
    return build_baseline(columns, model="late", version="1", now_us=0, **more)  # type: ignore[arg-type]


def layout_of(baseline: Baseline) -> Layout:
    return Layout(tuple(Column(c.name, c.role, c.kind, c.edges, c.categories) for c in baseline.columns))  # type: ignore[arg-type]


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 1000))
def test_counts_equal_a_naive_recount_row_by_row(rows: int, hours: int, seed: int) -> None:
    columns = reference(rows, hours, seed)
    baseline = build(columns, labels=labels_for(columns))
    layout = layout_of(baseline)
    naive = np.zeros_like(baseline.pane_counts)
    words = {
        "feature/origin": columns.categorical["origin"],
        "prediction/label": columns.label,
        "label/label": labels_for(columns),
    }
    numbers = {
        "feature/temp": columns.numeric["temp"],
        "feature/broken": columns.numeric["broken"],
        "score/score": columns.scores["score"],
        **{
            f"loss/{name}": values
            for name, values in losses_of(
                replace(
                    columns, source="labels", numeric={}, label=labels_for(columns), predicted=columns.label
                ),
                LossRule(
                    frozenset(("error", "brier", "log_loss")), is_binary=True, positive=baseline.positive
                ),
            ).items()
        },
    }
    for row in range(rows):
        pane = baseline.pane_starts.tolist().index(columns.ts[row] // HOUR_US * HOUR_US)
        for i, column in enumerate(layout.columns):
            if column.kind == "numeric":
                slot = slots_of_numeric(column, numbers[column.key][row : row + 1])[0]
            else:
                encoded = words[column.key]
                assert encoded is not None
                slot = slots_of_codes(column, encoded.codes[row : row + 1], encoded.dictionary)[0]
            naive[pane, layout.first_slots[i] + slot] += 1
    np.testing.assert_array_equal(baseline.pane_counts, naive)


def test_columns_come_in_layout_order() -> None:
    columns = reference()
    baseline = build(columns, labels=labels_for(columns))
    keys = [f"{c.role}/{c.name}" for c in baseline.columns]
    assert keys == [
        "feature/broken",
        "feature/origin",
        "feature/temp",
        "score/score",
        "prediction/label",
        "label/label",
        "loss/brier",
        "loss/error",
        "loss/log_loss",
    ]
    assert layout_of(baseline) == Layout.of(layout_of(baseline).columns)


def test_every_column_counts_every_row() -> None:
    baseline = build(reference(rows=777))
    layout = layout_of(baseline)
    for i in range(len(layout.columns)):
        assert baseline.pane_counts[:, layout.slice_of(i)].sum() == 777


def test_the_baseline_survives_the_wire() -> None:
    baseline = build(reference(), lineage={"data_sha256": "ab"}, importance={"temp": 0.5})
    back = Baseline.from_bytes(baseline.to_bytes())
    np.testing.assert_array_equal(back.pane_counts, baseline.pane_counts)
    assert back.columns == baseline.columns
    assert back.with_id().baseline_id == baseline.baseline_id


def test_the_identity_is_of_the_content_and_not_of_the_day_it_was_built() -> None:
    first = build_baseline(reference(), model="late", version="1", now_us=1)
    second = build_baseline(reference(), model="late", version="1", now_us=2)
    other = build_baseline(reference(seed=9), model="late", version="1", now_us=1)
    assert first.baseline_id == second.baseline_id != other.baseline_id


def test_a_new_dictionary_order_changes_nothing() -> None:
    columns = reference()
    origin = columns.categorical["origin"]
    turned = Categorical(
        np.where(origin.codes < 0, -1, 2 - origin.codes).astype(np.int32), origin.dictionary[::-1]
    )
    same = reference()
    same.categorical["origin"] = turned
    assert build(columns).baseline_id == build(same).baseline_id


def test_data_without_time_has_a_single_pane() -> None:
    columns = reference()
    columns.ts = np.zeros(columns.rows, dtype=np.int64)
    baseline = build(columns)
    assert (baseline.pane_us, baseline.pane_starts.tolist(), len(baseline.pane_counts)) == (0, [0], 1)


def test_a_pane_of_zero_asks_for_a_single_pane() -> None:
    assert build(reference(), pane_us=0).pane_us == 0


@pytest.mark.parametrize(
    ("hours", "pane_us", "expected_us"),
    [
        (48, None, HOUR_US),
        (2 * MAX_PANES - 2, None, 2 * HOUR_US),
        (24 * 365, None, 3 * HOUR_US),
        (24 * 365 * 10, None, DAY_US),
        (24 * 365 * 40, None, 4 * DAY_US),
        (48, 60_000_000, 60_000_000),
        (24 * 30, 60_000_000, 12 * 60_000_000),
        (24 * 7, 5 * DAY_US, 5 * DAY_US),
    ],
)
def test_panes_are_coarsened_until_the_period_fits(hours: int, pane_us: int | None, expected_us: int) -> None:
    baseline = build(reference(hours=hours), pane_us=pane_us)
    assert baseline.pane_us == expected_us
    assert (baseline.pane_starts % expected_us == 0).all()
    span = (baseline.pane_starts[-1] - baseline.pane_starts[0]) // expected_us + 1
    assert span <= MAX_PANES


def test_a_wide_model_gets_fewer_panes_so_that_the_counts_fit_in_memory() -> None:
    rng = np.random.default_rng(0)
    ts = T0_US + np.arange(2000) * HOUR_US
    columns = Columns(
        "predictions", "m", "1", ts, numeric={f"x{i}": rng.normal(size=2000) for i in range(300)}
    )
    assert build(columns).pane_counts.size <= 1 << 24


def test_times_before_1970_find_their_pane() -> None:
    columns = reference(rows=10)
    columns.ts = np.arange(-5, 5, dtype=np.int64) * HOUR_US - 1
    assert build(columns).pane_starts.tolist() == [h * HOUR_US for h in range(-6, 4)]


def test_binary_performance_agrees_with_scikit_learn() -> None:
    columns = reference(rows=3000)
    truth = labels_for(columns)
    found = build(columns, labels=truth, task="binary_classification").performance
    score = columns.scores["score"]
    assert columns.label is not None
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth.codes, score))
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(truth.codes, score))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth.codes, columns.label.codes))
    assert 0 <= found["ece"] < 0.05


def test_rows_without_truth_or_score_are_left_out_of_performance() -> None:
    columns = reference(rows=3000)
    truth = labels_for(columns)
    score = columns.scores["score"].copy()
    score[:1000] = np.nan
    columns.scores["score"] = score
    truth.codes[1000:1500] = -1
    found = build(columns, labels=truth).performance
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(truth.codes[1500:], score[1500:]))


def test_a_score_that_is_no_probability_has_only_a_rank() -> None:
    columns = reference()
    columns.scores["score"] = columns.scores["score"] * 10
    found = build(columns, labels=labels_for(reference())).performance
    assert set(found) == {"roc_auc", "accuracy"}


def test_regression_has_its_errors_and_a_numeric_label_column() -> None:
    columns = reference()
    truth = columns.scores["score"] + 0.5
    truth[0] = np.nan
    baseline = build(columns, labels=truth, task="regression")
    assert baseline.performance == pytest.approx({"rmse": 0.5, "mae": 0.5})
    assert [(c.role, c.name, c.kind) for c in baseline.columns[-3:]] == [
        ("label", "label", "numeric"),
        ("loss", "absolute_error", "numeric"),
        ("loss", "residual", "numeric"),
    ]


def test_multiclass_has_accuracy_and_log_loss() -> None:
    rng = np.random.default_rng(0)
    table = rng.dirichlet([1, 1, 1], 400)
    truth = Categorical(np.array([rng.choice(3, p=p) for p in table], dtype=np.int32), ["a", "b", "c"])
    columns = Columns(
        "predictions",
        "m",
        "1",
        np.zeros(400, dtype=np.int64),
        scores={name: table[:, i] for i, name in enumerate("abc")},
        label=Categorical(table.argmax(axis=1).astype(np.int32), ["a", "b", "c"]),
    )
    found = build(columns, labels=truth, task="multiclass_classification").performance
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth.codes, table))
    assert found["accuracy"] == pytest.approx(np.mean(table.argmax(axis=1) == truth.codes))


def test_performance_measured_elsewhere_wins() -> None:
    columns = reference()
    found = build(columns, labels=labels_for(columns), performance={"roc_auc": 0.9}).performance
    assert found["roc_auc"] == 0.9


@pytest.mark.parametrize(
    ("classes", "scores", "expected"),
    [
        (["late", "on_time"], ["late"], "late"),
        (["0", "1"], ["score"], "1"),
        (["False", "True"], [], "True"),
        (["no", "yes"], [], "yes"),
        (["bad", "good"], [], "good"),
        (["late", "on_time"], ["late", "on_time"], "on_time"),
    ],
)
def test_the_positive_class_is_found(classes: list[str], scores: list[str], expected: str) -> None:
    assert positive_class(classes, scores) == expected


def test_importance_belongs_to_features_alone() -> None:
    columns = reference()
    baseline = build(columns, labels=labels_for(columns), importance={"temp": 0.7, "label": 1.0})
    assert {c.name: c.importance for c in baseline.columns if c.importance is not None} == {"temp": 0.7}


def test_no_rows_are_refused() -> None:
    with pytest.raises(ContractError, match="rows: the reference has no row"):
        build(reference(rows=0))


def test_no_columns_are_refused() -> None:
    with pytest.raises(ContractError, match="no feature, score, prediction or label"):
        build(Columns("predictions", "m", "1", np.zeros(3, dtype=np.int64)))


def test_a_column_of_another_length_is_refused_by_name() -> None:
    columns = reference()
    columns.numeric["temp"] = np.zeros(3)
    with pytest.raises(ContractError, match="feature/temp: 3 values, expected 500"):
        build(columns)


def test_a_column_that_is_numeric_and_categorical_is_refused() -> None:
    columns = reference()
    columns.categorical["temp"] = columns.categorical["origin"]
    with pytest.raises(ContractError, match="feature/temp: the column is there twice"):
        build(columns)


def test_a_negative_pane_is_refused() -> None:
    with pytest.raises(ContractError, match="pane_us: -1 is negative"):
        build(reference(), pane_us=-1)
