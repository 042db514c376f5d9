import gzip
import hashlib
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from seawall.baseline import Baseline
from seawall.cli import main
from seawall.cli.baseline_view import sparkline
from seawall.cli.data_file import read_data_file
from seawall.errors import ConfigError
from seawall.settings import Settings
from streams.io.topics import create_topics

BUILD = ("--model", "late", "--version", "1")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = 400
    p = rng.random(rows)
    temp = rng.normal(15, 8, rows)
    pl.DataFrame(
        {
            "ts": 1_767_225_600 + np.arange(rows) * 600,
            "temp": [None if rng.random() < 0.1 else t for t in temp.tolist()],
            "origin": rng.choice(["JFK", "EWR", "LGA"], rows),
            "code": rng.integers(0, 3, rows),
            "p": p,
            "late": np.where(rng.random(rows) < p, "late", "on time"),
        }
    ).write_parquet("flights.parquet")
    return tmp_path / "flights.parquet"


def roles() -> list[str]:
    return ["--time-column", "ts", "--time-unit", "s", "--score", "late=p", "--label-column", "late"]


def test_build_writes_a_baseline_with_the_hash_of_its_data(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["baseline", "build", str(data), *BUILD, *roles(), "--parent", "0", "--lineage", "code=ab"]) == 0
    )
    built = Baseline.from_bytes(Path("late-1.baseline").read_bytes())
    assert built.rows == 400
    assert built.task == "binary_classification"
    assert built.performance["roc_auc"] > 0.6
    assert built.lineage == {
        "code": "ab",
        "data_file": "flights.parquet",
        "data_sha256": hashlib.sha256(data.read_bytes()).hexdigest(),
        "parent_version": "0",
    }
    shown = capsys.readouterr().out
    assert "temp" in shown
    assert "█" in shown
    assert "2026-01-01 00:00" in shown


def test_a_baseline_too_short_to_learn_from_is_noted_when_it_is_built(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baseline", "build", str(data), *BUILD, *roles()]) == 0
    noted = [line for line in capsys.readouterr().err.splitlines() if "to learn from" in line]
    assert noted[0].startswith("note: horizon")
    assert "it holds 2.79 days, and about" in noted[0]


def test_it_is_noted_what_a_baseline_without_times_cannot_know(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baseline", "build", str(data), *BUILD, "--features", "temp,origin"]) == 0
    noted = [line for line in capsys.readouterr().err.splitlines() if "has no times" in line]
    assert noted[0].startswith("note: horizon")
    assert "a number must move by" in noted[0]
    assert "--time-column" in noted[0]


def test_csv_and_parquet_of_the_same_rows_give_the_same_columns(data: Path) -> None:
    pl.read_parquet(data).write_csv("flights.csv", null_value="NA")
    assert main(["baseline", "build", "flights.csv", *BUILD, *roles(), "--out", "csv.baseline"]) == 0
    assert main(["baseline", "build", str(data), *BUILD, *roles(), "--out", "parquet.baseline"]) == 0
    csv, parquet = (Baseline.from_bytes(Path(f"{n}.baseline").read_bytes()) for n in ("csv", "parquet"))
    assert csv.columns == parquet.columns
    np.testing.assert_array_equal(csv.pane_counts, parquet.pane_counts)


def test_iso_times_in_csv_are_read_and_a_bad_one_is_named(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["ts,planned,x", "2026-01-01T00:00:00Z,2026-01-01,1", "2026-01-01T01:00:00Z,2026-01-02,2"]
    Path("t.csv").write_text("\n".join(lines))
    assert main(["baseline", "build", "t.csv", *BUILD, "--time-column", "ts"]) == 0
    assert [c.name for c in Baseline.from_bytes(Path("late-1.baseline").read_bytes()).columns] == ["x"]
    assert "left out, being times or an index: planned" in capsys.readouterr().err
    Path("t.csv").write_text("\n".join([*lines, "later,2026-01-03,3"]))
    assert main(["baseline", "build", "t.csv", *BUILD, "--time-column", "ts"]) == 1
    assert "ts: 'later' in row 2 is no time" in capsys.readouterr().err


def test_build_prints_json_when_asked(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--features", "temp,code", "--categorical", "code", "--pane", "2h", "--json", *roles()]
    assert main(["baseline", "build", str(data), *BUILD, *arguments]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["pane_us"] == 7_200_000_000
    assert {c["name"]: c["kind"] for c in summary["columns"]} == {
        "code": "categorical",
        "temp": "numeric",
        "late": "numeric",
        "label": "categorical",
        "brier": "numeric",
        "log_loss": "numeric",
    }
    assert all(sum(c["slot_counts"]) == 400 for c in summary["columns"])


def test_a_period_that_is_too_long_for_hours_is_noted(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pl.read_parquet(data)
    table.with_columns(ts=1_767_225_600 + pl.int_range(table.height) * 86_400).write_parquet("long.parquet")
    assert main(["baseline", "build", "long.parquet", *BUILD, *roles()]) == 0
    assert "note: the period is so long that panes are 3h wide" in capsys.readouterr().err


def test_a_name_of_three_hundred_characters_leaves_room_for_the_rest_of_its_line(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    long = "first" + "x" * 290 + "final"
    pl.read_parquet(data).rename({"temp": long}).write_parquet(data)
    assert main(["baseline", "build", str(data), *BUILD, *roles()]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("first")]
    assert "…" in line.split()[0]
    assert line.split()[0].endswith("final")
    assert "feature" in line
    assert "%" in line  # what is missing
    assert line.count(" … ") == 2  # least, middle, greatest


def test_show_prints_what_build_printed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["baseline", "build", str(data), *BUILD, *roles()])
    built = capsys.readouterr().out
    assert main(["baseline", "show", "late-1.baseline"]) == 0
    assert capsys.readouterr().out == built


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label-column", "nope"], "truths: there is no column 'nope'"),
        (["--features", "nope"], "features: 'nope' is none of the columns"),
        (["--score", "p"], "--score: 'p': expected NAME=VALUE"),
        (["--score", "a=p", "--score-column", "p"], "--score-column: not together with --score"),
        (["--lineage", "a=1", "--lineage", "a=2"], "--lineage: 'a=2': a is given twice"),
        (["--time-column", "ts"], "early 1970s"),
        (["--pane", "soon"], "pane: 'soon': expected a number and a unit"),
        (["--out", "no/such/folder/b"], "no/such/folder/b: cannot be written"),
    ],
)
def test_what_cannot_be_built_is_said_in_words(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["baseline", "build", str(data), *BUILD, *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"", "data.csv:"),
        (b"a,b\n", "holds no row"),
        (b"PAR1junk", "is Parquet that cannot be read"),
    ],
)
def test_a_data_file_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, message: str
) -> None:
    path = tmp_path / "data.csv"
    if content is not None:
        path.write_bytes(content)
    assert main(["baseline", "build", str(path), *BUILD]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,a,b\n1,2,x\n", "'a' is the name of 2 columns, expected each name once"),
        ("a;b\n1,5;x\n", "separated by semicolons, expected commas"),
        ("a\tb\n1\tx\n", "separated by tabs, expected commas; a file with tabs is called .tsv"),
        ("a,b\n1,x\n2,y,3\n", "line 3 has 3 fields, expected 2 as in the header"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    (tmp_path / "d.csv").write_text(text)
    assert main(["baseline", "build", str(tmp_path / "d.csv"), *BUILD]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_compressed_csv_file_is_read_whatever_its_bytes_look_like(tmp_path: Path, compress: Any) -> None:
    """Bytes of a stream that is no text hold semicolons, bars and the same bytes twice."""
    rng = np.random.default_rng(0)
    for _ in range(40):
        rows = "".join(f"{a},{b}\n" for a, b in rng.random((50, 2)).tolist())
        (tmp_path / "d.csv.gz").write_bytes(compress(("a,b\n" + rows).encode()))
        assert read_data_file(tmp_path / "d.csv.gz").shape == (50, 2)
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"a;b\n1;2\n"))
    with pytest.raises(ConfigError, match="separated by semicolons"):
        read_data_file(tmp_path / "d.csv.gz")


@pytest.mark.parametrize("kept", [4, 15, 40])
def test_a_compressed_file_that_is_cut_short_is_an_error_in_words(tmp_path: Path, kept: int) -> None:
    whole = gzip.compress("".join(f"{i},{i * i}\n" for i in range(500)).encode())
    (tmp_path / "d.csv.gz").write_bytes(whole[:kept])
    with pytest.raises(ConfigError, match=r"d\.csv\.gz: "):
        read_data_file(tmp_path / "d.csv.gz")


def test_columns_that_are_neither_numbers_nor_text_are_left_out_and_said_so(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pl.read_parquet(data).with_columns(
        raw=pl.lit(b"\xff"), tags=pl.Series([["a"] * (i % 3) for i in range(400)]), parts=pl.struct("temp")
    )
    table.write_parquet(data)
    assert main(["baseline", "build", str(data), *BUILD, *roles()]) == 0
    noted = capsys.readouterr().err
    for name in ("raw", "tags", "parts"):
        assert f"note: left out: column '{name}'" in noted
    built = Baseline.from_bytes(Path("late-1.baseline").read_bytes())
    assert [c.name for c in built.columns if c.role == "feature"] == ["code", "origin", "temp"]


def test_the_index_that_pandas_writes_along_is_no_feature(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_parquet(data).drop(columns="ts").sample(300, random_state=1)
    frame.to_parquet("sample.parquet")
    frame.to_csv("sample.csv")
    pd.read_csv("sample.csv").to_csv("again.csv", index=False)
    for name in ("sample.parquet", "sample.csv", "again.csv"):
        assert main(["baseline", "build", name, *BUILD, "--score", "late=p", "--label-column", "late"]) == 0
        assert "left out, being times or an index: " in capsys.readouterr().err
        built = Baseline.from_bytes(Path("late-1.baseline").read_bytes())
        assert [c.name for c in built.columns if c.role == "feature"] == ["code", "origin", "temp"]


def test_a_baseline_of_nothing_but_labels_is_built(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "build", str(data), *BUILD, *roles()[:4], "--label-column", "late"]) == 0
    pl.read_parquet(data).select("ts", "late").write_parquet(data)
    assert main(["baseline", "build", str(data), *BUILD, *roles()[:4], "--label-column", "late"]) == 0
    built = Baseline.from_bytes(Path("late-1.baseline").read_bytes())
    assert [f"{c.role}/{c.name}" for c in built.columns] == ["label/label"]


def test_ids_beyond_64_bits_in_csv_are_numbers(tmp_path: Path) -> None:
    rows = "".join(f"{2**63 + i * 10**6},{i}\n" for i in range(50))
    (tmp_path / "d.csv").write_text("id,x\n" + rows)
    assert main(["baseline", "build", str(tmp_path / "d.csv"), *BUILD, "--out", str(tmp_path / "b")]) == 0
    assert {c.name: c.kind for c in Baseline.from_bytes((tmp_path / "b").read_bytes()).columns} == {
        "id": "numeric",
        "x": "numeric",
    }


def test_names_and_values_of_anyones_making_take_one_line(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = [f"{'lorem ipsum ' * 50}{i % 3}" for i in range(400)]
    pl.read_parquet(data).with_columns(pl.Series("two\nlines", long)).write_parquet(data)
    assert main(["baseline", "build", str(data), *BUILD, *roles()]) == 0
    shown = capsys.readouterr().out
    assert "two\\nlines" in shown
    assert shown.count("lorem") == 3


def test_a_file_that_is_no_baseline_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.baseline"
    path.write_bytes(b"hello there")
    assert main(["baseline", "show", str(path)]) == 1
    assert f"{path}: is no baseline" in capsys.readouterr().err


def test_a_published_baseline_is_listed(
    data: Path, broker: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEAWALL_BROKER", broker)
    monkeypatch.setenv("SEAWALL_TOPIC_PREFIX", "cli-baseline.")
    create_topics(Settings(broker=broker, topic_prefix="cli-baseline."), ["baselines"])
    assert main(["baseline", "list"]) == 0
    assert "no baseline is published" in capsys.readouterr().out
    assert main(["baseline", "build", str(data), *BUILD, *roles(), "--publish"]) == 0
    built = Baseline.from_bytes(Path("late-1.baseline").read_bytes())
    assert main(["baseline", "publish", "late-1.baseline", "--json"]) == 0
    capsys.readouterr()
    assert main(["baseline", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(b["model"], b["version"], b["baseline_id"]) for b in listed] == [
        ("late", "1", built.baseline_id)
    ]


def test_a_sparkline_has_a_block_per_height() -> None:
    assert sparkline([0, 1, 2, 4]) == "▁▃▅█"
    assert sparkline([]) == sparkline([0, 0]) == ""


def test_importances_come_from_a_file_or_by_hand(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("weights.json").write_text('{"temp": 0.7, "code": 0.1}')
    Path("weights.csv").write_text("feature,importance\norigin,0.2\n")
    options = ["--importance", "weights.json", "--importance", "weights.csv", "--importance", "code=0.05"]
    assert main(["baseline", "build", str(data), *BUILD, *roles(), *options]) == 0
    built = Baseline.from_bytes(Path("late-1.baseline").read_bytes())
    known = {c.name: c.importance for c in built.columns if c.importance is not None}
    assert known == {"temp": 0.7, "origin": 0.2, "code": 0.05}
    assert "importance" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("tmp=0.5", "--importance: 'tmp': expected a feature; did you mean temp?"),
        ("temp=much", "--importance: temp: 'much': expected a number of 0 or more"),
        ("temp=-1", "--importance: temp: '-1': expected a number of 0 or more"),
        ("nowhere.json", "--importance: 'nowhere.json': expected NAME=VALUE, or a JSON or CSV file"),
        ("list.json", "found a list"),
        ("broken.json", 'expected JSON such as {"age": 0.3}'),
        ("wide.csv", "'a,1,2': expected a name and a number a line"),
    ],
)
def test_importances_that_cannot_be_are_refused(
    data: Path, capsys: pytest.CaptureFixture[str], given: str, said: str
) -> None:
    Path("list.json").write_text("[1]")
    Path("broken.json").write_text("{")
    Path("wide.csv").write_text("a,1,2\n")
    assert main(["baseline", "build", str(data), *BUILD, *roles(), "--importance", given]) == 1
    assert said in capsys.readouterr().err
