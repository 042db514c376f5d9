"""Classic detectors in monitor files."""

from __future__ import annotations

import numpy as np
import pytest

from detectors.classic.p_values import P_VALUES, TABLED
from detectors.classic.statistics import STATISTICS
from detectors.classic.stream import STREAMS
from detectors.registry import stream_detector
from seawall.baseline import Baseline
from seawall.frames import Categorical, Columns
from seawall.monitor import DetectorRule
from seawall.monitor_yaml import check_monitor, parse_monitor
from seawall.monitor_yaml.detectors import OF_ERRORS, STREAM, WINDOW
from streams.core.build_baseline import build_baseline

HEAD = "model: m\nwindows: {pane: 1h, horizons: [6h, 7d]}\n"


def problems(text: str, baseline: Baseline | None = None) -> list[str]:
    return [str(p).removeprefix("<string>:") for p in check_monitor(HEAD + text, baseline=baseline)[1]]


def test_what_can_be_asked_for_is_what_there_is() -> None:
    assert set(WINDOW) == set(STATISTICS)
    assert set(STREAM) == set(STREAMS)
    assert set(OF_ERRORS) == {name for name, kind in STREAMS.items() if kind.takes_errors}
    for name, known in WINDOW.items():
        assert known.needs_order == STATISTICS[name].needs_order
        assert (known.p is not None) == (name in P_VALUES)
        assert known.p is None or known.p == TABLED.get(name, (0.0, 1.0))
    for name, stream in STREAM.items():
        for parameter in stream.parameters or ():
            assert parameter in stream_detector(name)._river._get_params()


def test_every_form_is_read() -> None:
    spec = parse_monitor(
        HEAD
        + """
detectors:
  - psi > 0.2
  - ks p < 0.01
  - js calibrated 0.001
  - total-variation
  - {name: psi, above: 0.3}
  - {name: adwin, delta: 0.001}
columns:
  x: {detectors: [wasserstein > 30, page_hinkley]}
"""
    )
    assert spec.detectors == (
        DetectorRule("psi", above=0.2),
        DetectorRule("ks", p=0.01),
        DetectorRule("js", calibrated=0.001),
        DetectorRule("total_variation"),
        DetectorRule("psi", above=0.3),
        DetectorRule("adwin", parameters=(("delta", 0.001),)),
    )
    assert [r.said for r in spec.detectors] == [
        "psi > 0.2", "ks p < 0.01", "js calibrated 0.001", "total_variation", "psi > 0.3", "adwin (delta 0.001)",
    ]  # fmt: skip
    assert spec.columns["x"].detectors == (
        DetectorRule("wasserstein", above=30.0),
        DetectorRule("page_hinkley"),
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[psy > 0.2]", "3: detectors[0]: 'psy > 0.2': expected a detector; did you mean psi?"),
        ("[psi p < 0.01]", "expected psi > NUMBER or psi calibrated RATE: psi has no p-value"),
        ("[ks p < 2]", "expected a p-value above 0 and below 1"),
        ("[anderson_darling p < 0.0001]", "expected a p-value from 0.001 to 0.25 for anderson_darling"),
        ("[psi > much]", "expected a number behind '>', found 'much'"),
        ("[psi >]", "expected a name, and > NUMBER"),
        ("[psi > -1]", "expected a limit of 0 or more"),
        ("[psi calibrated 0.9]", "expected a share of windows from 0.00001 to 0.5"),
        ("[ddm > 3]", "expected ddm with its own parameters: {name: ddm, warm_start: …}"),
        ("[adwin > 3]", "expected adwin with its own parameters: {name: adwin, delta: …}"),
        ("[{name: adwin, detla: 3}]", "detectors[0].detla: 'detla': expected a known key of adwin; did you mean delta?"),
        ("[{name: adwin, delta: -3}]", "expected parameters above 0, delta is -3"),
        ("[{name: kswin, window_size: 500}]", "a horizon of 500 panes or more for kswin, which is fed one"),
        ("[{name: psi, above: 0.2, p: 0.1}]", "expected one of above, p and calibrated, found above and p"),
        ("[{above: 0.2}]", "expected a mapping with a name, such as {name: psi, above: 0.2}"),
        ("[{name: psi, above: [1]}]", "detectors[0].above: '[1]': expected a number, found a list"),
        ("[7]", "expected a detector, such as psi > 0.2, found a whole number"),
        ("psi", "expected a list, such as [psi > 0.2"),
        ("[psi, psi]", "detectors[1]: 'psi': expected each detector once"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(written: str, said: str) -> None:
    (problem,) = problems(f"detectors: {written}\n")
    assert said in problem
    assert problem.startswith("3: ")


def test_detectors_of_errors_are_of_the_whole_monitor_or_of_the_error() -> None:
    text = "detectors: [ddm, {name: hddm_w, lambda_val: 0.1}]\ncolumns:\n  error: {detectors: [eddm]}\n"
    spec = parse_monitor(HEAD + text)
    assert [r.said for r in spec.detectors] == ["ddm", "hddm_w (lambda_val 0.1)"]
    assert [r.said for r in spec.columns["error"].detectors] == ["eddm"]
    (problem,) = problems("columns:\n  age: {detectors: [hddm_a]}\n")
    assert problem.endswith(
        "expected a detector of columns; hddm_a watches the model's errors: under detectors, or columns.error"
    )


def test_detectors_of_errors_are_refused_where_the_baseline_has_no_errors() -> None:
    columns = Columns("predictions", "m", "1", np.zeros(4, dtype=np.int64), numeric={"x": np.arange(4.0)})
    bare = build_baseline(columns, model="m", version="1", now_us=0)
    (problem,) = problems("detectors: [psi, ddm]\n", bare)
    assert problem == (
        "3: detectors[1]: 'ddm': expected a detector of columns: the baseline of m 1 has no errors, for it lacks "
        "truths or predicted labels"
    )
    columns.label = Categorical.of(["a", "b", "a", "b"])
    known = build_baseline(columns, model="m", version="1", labels=columns.label, now_us=0)
    assert problems("detectors: [psi, ddm]\n", known) == []


def test_a_detector_that_needs_an_order_is_refused_for_categories_of_the_baseline() -> None:
    columns = Columns(
        "predictions", "m", "1", np.zeros(4, dtype=np.int64),
        numeric={"x": np.arange(4.0)}, categorical={"origin": Categorical.of(["a", "b", "a", "b"])},
    )  # fmt: skip
    baseline = build_baseline(columns, model="m", version="1", now_us=0)
    text = "columns:\n  origin: {detectors: [psi, ks p < 0.01, {name: adwin}]}\n  x: {detectors: [ks]}\n"
    found = problems(text, baseline)
    assert len(found) == 2
    assert (
        "columns.origin.detectors[1]: 'ks p < 0.01': expected a detector of categories: psi, chi2" in found[0]
    )
    assert found[1].endswith("adwin needs an order")
    assert problems("detectors: [ks, psi]\n", baseline) == []
