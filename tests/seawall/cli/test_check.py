import json
from pathlib import Path

import numpy as np
import pytest

from seawall.baseline import Baseline
from seawall.cli import main
from seawall.frames import Columns
from streams.core.build_baseline import build_baseline


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def baseline(model: str) -> Baseline:
    columns = Columns(
        "predictions", model, "1", np.zeros(3, dtype=np.int64), numeric={"temp": np.arange(3.0)}
    )
    return build_baseline(columns, model=model, version="1", now_us=0)


def test_good_files_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a.yaml", "model: a\n"), write(tmp_path / "b.yaml", "model: b\n")
    assert main(["check", a, b]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "2 files checked, no problems\n"


def test_problems_of_every_file_are_printed_as_compilers_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = write(tmp_path / "a.yaml", "modle: a\neffect: 2\n")
    b = write(tmp_path / "b.yaml", "model: b\nskew: [yes]\n")
    good = write(tmp_path / "c.yaml", "model: c\n")
    assert main(["check", a, b, good]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [
        f"{a}:1: modle: 'modle': expected a known key; did you mean model?",
        f"{a}:1: model: expected the model's name; a monitor needs one",
        f"{a}:2: effect: '2': expected a number above 0 and at most 1",
        f"{b}:2: skew: '[yes]': expected true or false, found a list",
    ]
    assert captured.err == "4 problems in 2 of 3 files\n"


def test_a_folder_stands_for_the_yaml_files_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "team").mkdir()
    write(tmp_path / "team" / "a.yaml", "model: a\n")
    write(tmp_path / "b.yml", "model: b\n")
    write(tmp_path / "notes.txt", "not: checked")
    assert main(["check", str(tmp_path)]) == 0
    assert "2 files checked" in capsys.readouterr().err


def test_every_metric_that_can_be_promised_is_watched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promised = '{roc_auc: ">= 0.8", accuracy: ">= 0.9", ece: "<= 0.1"}'
    path = write(tmp_path / "a.yaml", f"model: a\npromise: {{performance: {promised}}}\n")
    assert main(["check", path]) == 0
    assert capsys.readouterr().err == "1 file checked, no problems\n"


def test_a_baseline_that_cannot_teach_the_limits_of_a_horizon_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.baseline").write_bytes(baseline("a").to_bytes())
    path = write(tmp_path / "a.yaml", "model: a\nwindows: {pane: 1h, horizons: [6h]}\n")
    assert main(["check", path, "--baseline", str(tmp_path / "a.baseline")]) == 0
    assert f"{path}: note: horizon 6h: the baseline has no times" in capsys.readouterr().err


def test_json_holds_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.yaml", "model: a\neffect: 2\n")
    assert main(["check", path, "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    problem = {
        "file": path,
        "line": 2,
        "field": "effect",
        "value": "2",
        "expected": "a number above 0 and at most 1",
    }
    assert printed == {
        "ok": False,
        "files": [{"file": path, "model": None, "problems": [problem], "notes": []}],
    }


def test_a_baseline_checks_the_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "b.baseline").write_bytes(baseline("m").to_bytes())
    path = write(tmp_path / "m.yaml", "model: m\ncolumns: {tmp: {ignore: true}}\n")
    assert main(["check", path, "--baseline", str(tmp_path / "b.baseline")]) == 1
    assert "did you mean temp?" in capsys.readouterr().out


def test_each_monitor_takes_the_baseline_of_its_model(tmp_path: Path) -> None:
    for model in ("m", "n"):
        (tmp_path / f"{model}.baseline").write_bytes(baseline(model).to_bytes())
        write(tmp_path / f"{model}.yaml", f"model: {model}\ncolumns: {{temp: {{effect: 0.2}}}}\n")
    given = [f"--baseline={tmp_path / name}.baseline" for name in ("m", "n")]
    assert main(["check", str(tmp_path), *given]) == 0


def test_a_file_that_cannot_be_read_is_a_problem_like_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latin.yaml").write_bytes("model: m\n# caf\xe9\n".encode("latin-1"))
    missing = str(tmp_path / "missing.yaml")
    assert main(["check", missing, str(tmp_path / "latin.yaml")]) == 1
    out = capsys.readouterr().out
    assert f"{missing}:1: expected a file that can be read: No such file or directory" in out
    assert "latin.yaml:2: expected text in UTF-8, found byte 0xe9" in out


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_bytes(b"\xef\xbb\xbfmodel: m\n")
    assert main(["check", str(tmp_path / "m.yaml")]) == 0
