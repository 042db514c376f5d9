import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from seawall.cli import main
from tests.contract.strict_html import Strict

HOUR_US = 3_600_000_000
START = 1_767_225_600_000_000 // HOUR_US * HOUR_US
MONITOR = """
model: late
promise:
  false_pages: 1 per 30d
windows:
  pane: 1h
  horizons: [6h]
alarm: {open_after: 2, resolve_after: 2}
segments: [origin]
"""


def table(start_hour: int, hours: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = hours * 20
    return pl.DataFrame(
        {
            "ts": START + start_hour * HOUR_US + np.arange(rows) * HOUR_US // 20,
            "temp": rng.normal(15, 8, rows),
            "origin": rng.choice(["JFK", "EWR"], rows),
            "p": rng.random(rows),
            "id": [f"row {i}" for i in range(rows)],
        }
    )


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    table(-400, 400, 1).drop("id").write_parquet("reference.parquet")
    faulty = pl.col("ts").is_between(START + 60 * HOUR_US, START + 90 * HOUR_US)
    changed = pl.when(faulty).then(pl.col("temp") * 1.8 + 32).otherwise(pl.col("temp"))
    table(0, 150, 2).with_columns(temp=changed).write_parquet("history.parquet")
    Path("monitor.yaml").write_text(MONITOR)
    roles = ["--time-column", "ts", "--score-column", "p", "--out", "late.baseline"]
    assert main(["baseline", "build", "reference.parquet", "--model", "late", "--version", "7", *roles]) == 0
    return tmp_path


RUN = [
    "backtest",
    "monitor.yaml",
    "--baseline",
    "late.baseline",
    "--data",
    "history.parquet",
    "--score-column",
    "p",
]


def test_it_says_what_would_have_paged_when_and_why(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main([*RUN, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["rows"], told["dead_rows"]) == ("late", 3000, 0)
    setting = told["settings"][0]
    (page,) = [p for p in setting["pages"] if p["kind"] == "drift"]
    assert 0 < page["paged_us"] - (START + 60 * HOUR_US) <= 6 * HOUR_US
    assert 0 < page["resolved_us"] - (START + 90 * HOUR_US) <= 12 * HOUR_US
    assert page["culprits"][0]["name"] == "temp"
    assert page["version"] == "7"
    assert setting["pages_in_budget"] + sum(setting["pages_outside"].values()) == len(setting["pages"])


def test_budgets_around_the_monitors_are_tried_where_none_is_named(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([*RUN, "--html", "out.html"]) == 0
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[1:5]]
    assert rows == ["setting", "as written", "budget ×1/4", "budget ×4"]
    text = Path("out.html").read_text()
    assert 'aria-label="pages by budget"' in text
    assert "budget ×1/4: " in text
    assert main([*RUN, "--budget", "only", "--json", "--html", "out.html"]) == 0
    assert [s["name"] for s in json.loads(capsys.readouterr().out)["settings"]] == ["as written"]
    assert "pages by budget" not in Path("out.html").read_text()


EFFECTS = ["--effect", "0.9", "--effect", "missing=0.2,correlation=0.5"]


def test_several_budgets_and_effects_are_tried_in_one_pass(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([*RUN, "--json", "--budget", "1 per 7d", "--budget", "2 per 1d", *EFFECTS]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert [
        (s["name"], s["false_pages"], s["false_pages_period_us"] // (24 * HOUR_US)) for s in settings
    ] == [
        ("as written", 1, 30),
        ("budget 1 per 7d", 1, 7),
        ("budget 2 per 1d", 2, 1),
        ("effect 0.9", 1, 30),
        ("effect missing 0.2, correlation 0.5", 1, 30),
    ]
    assert [(s["effect"], s["effects"]["missing"], s["effects"]["mmd"]) for s in settings[-2:]] == [
        (0.9, 0.05, 0.03),
        (0.1, 0.2, 0.03),
    ]
    days = 150 / 24
    for s in settings:
        period_days = s["false_pages_period_us"] / (24 * HOUR_US)
        assert s["pages_per_period"] == pytest.approx(len(s["pages"]) * period_days / days, rel=1e-3)


def test_the_screen_and_the_html_tell_the_same_story(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main([*RUN, "--html", "out.html", "--budget", "only", "--effect", "0.2"]) == 0
    captured = capsys.readouterr()
    assert "effect 0.2" in captured.out
    assert "late 7: temp" in " ".join(captured.out.split())
    assert "3,000 rows in" in captured.err
    assert "note:" not in captured.out
    text = Path("out.html").read_text()
    parser = Strict()
    parser.feed(text)
    assert parser.open == []
    # One timeline for each setting, and before and after of the column that paged in each.
    assert parser.seen.count("svg") == 4
    assert 'aria-label="temp before and after"' in text
    assert "It began about" in text


def test_a_column_that_joins_an_alarm_later_is_on_the_screen_in_the_html_and_in_json(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # While the longest window fills with the first fault: later it would be a page of its own.
    since = pl.col("ts") >= START + 63 * HOUR_US
    table(0, 150, 2).with_columns(
        temp=pl.when(pl.col("ts") >= START + 60 * HOUR_US).then(pl.col("temp") * 1.8 + 32).otherwise("temp"),
        origin=pl.when(since).then(pl.lit("LGA")).otherwise("origin"),
    ).write_parquet("history.parquet")
    capsys.readouterr()
    assert main([*RUN, "--html", "out.html", "--budget", "only"]) == 0
    assert "later also: origin (2026-01-0" in " ".join(capsys.readouterr().out.split())
    assert "later also: origin (2026-01-0" in Path("out.html").read_text()
    assert main([*RUN, "--json", "--budget", "only"]) == 0
    (page,) = [
        p
        for p in json.loads(capsys.readouterr().out)["settings"][0]["pages"]
        if p["kind"] == "drift" and not p["segment"]
    ]
    later = next(j for j in page["later"] if j["name"] == "origin")
    assert 0 < later["at_us"] - (START + 63 * HOUR_US) <= 6 * HOUR_US


def test_a_baseline_too_short_to_learn_from_is_said_on_the_screen_and_in_the_html(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("monitor.yaml").write_text(MONITOR.replace("[6h]", "[6h, 2d]"))
    capsys.readouterr()
    assert main([*RUN, "--html", "out.html"]) == 0
    said = "horizon 2d: the baseline has "
    assert f"note: {said}" in capsys.readouterr().out
    assert f"Note: {said}" in Path("out.html").read_text()
    assert main([*RUN, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"][0].startswith(said)


def test_an_embedding_is_played_as_the_numbers_that_the_baseline_has(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(3)
    for name in ("reference", "history"):
        read = pl.read_parquet(f"{name}.parquet")
        vectors = pl.Series("text", rng.normal(size=(read.height, 8)))
        read.with_columns(vectors, pl.lit(15.0).alias("temp")).write_parquet(f"{name}.parquet")
    roles = ["--time-column", "ts", "--score-column", "p", "--out", "late.baseline"]
    main(["baseline", "build", "reference.parquet", "--model", "late", "--version", "7", *roles])
    capsys.readouterr()
    assert main([*RUN, "--budget", "only", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"][0]["pages"] == []
    assert not any("missing in every row" in note for note in told["notes"])


def test_columns_that_the_history_does_not_have_are_told(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.read_parquet("history.parquet").drop("temp").write_parquet("history.parquet")
    capsys.readouterr()
    assert main([*RUN, "--budget", "only"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "note: not in history.parquet, and so missing in every row: temp" in shown


def test_a_history_of_something_else_is_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pl.read_parquet("history.parquet").select("ts", "id").write_parquet("history.parquet")
    capsys.readouterr()
    run = [part for part in RUN if part not in {"--score-column", "p"}]
    assert main(run) == 1
    assert "history.parquet has none of the baseline's features: expected some of" in capsys.readouterr().err


def test_what_the_baseline_has_and_no_option_names_is_told(
    labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    run = [part for part in RUN if part not in {"--score-column", "p"}]
    assert main([*run, "--budget", "only", "--json"]) == 0
    (note,) = (n for n in json.loads(capsys.readouterr().out)["notes"] if "no option names" in n)
    assert "score score (--score, --score-column)" in note
    assert note.endswith("the predicted label (--prediction-column)")


@pytest.mark.parametrize("width", [80, 120])
def test_reasons_have_room_on_a_narrow_screen_too(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    capsys.readouterr()
    assert main([*RUN, "--budget", "only"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    why = next(line[line.index("late 7") :] for line in lines if "late 7" in line)
    assert len(why.rstrip()) > 55


def test_a_version_is_judged_by_the_baseline_that_is_given(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([*RUN, "--budget", "only", "--json", "--version", "8"]) == 0
    pages = json.loads(capsys.readouterr().out)["settings"][0]["pages"]
    assert {p["version"] for p in pages} == {"8"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget", "often"], "--budget: 'often': expected"),
        (["--effect", "0"], "--effect: '0': expected a number above 0 and at most 1"),
        (["--effect", "js"], "--effect: 'js': expected a number above 0"),
        (["--effect", "mising=0.1"], "--effect: 'mising': expected js, missing"),
        (["--effect", "correlation=3"], "--effect: '3': expected a number above 0 and at most 2"),
        (["--effect", "0.1,js=0.2"], "expected each statistic once, found js twice"),
        (["--time-column", "when"], "--time-column: 'when': expected a column of history.parquet: ts, temp,"),
        (["--time-column", "tsx"], "did you mean ts?"),
        (["--label-column", "y"], "--label-column: 'y': expected a column of history.parquet"),
        (["--label-time-column", "ts"], "--label-time-column: only with --label-column"),
        (["--label-column", "p"], "--label-column: 'p': is --score-column too; expected what turned out"),
        (["--score", "a=p"], "--score-column: not together with --score"),
    ],
)
def test_a_wrong_option_is_named(
    files: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    capsys.readouterr()
    assert main([*RUN, *options]) == 1
    assert said in capsys.readouterr().err


FLIPPED_FROM = 80


@pytest.fixture
def labelled(files: Path) -> Path:
    """A history in which truths are turned over from an hour on, known a day later, and some never."""

    def with_truths(rows: pl.DataFrame, seed: int, flipped: float) -> pl.DataFrame:
        rng = np.random.default_rng(seed)
        turned = (rows["ts"].to_numpy() >= START + FLIPPED_FROM * HOUR_US) & (
            rng.random(rows.height) < flipped
        )
        late = (rng.random(rows.height) < rows["p"].to_numpy()) ^ turned
        return rows.with_columns(
            said=pl.Series(np.where(rows["p"].to_numpy() > 0.5, "late", "on time")),
            truth=pl.Series(np.where(late, "late", "on time")),
            known=pl.col("ts") + 24 * HOUR_US,
        )

    with_truths(table(-600, 600, 1).drop("id"), 3, 0.0).drop("known").write_parquet("reference.parquet")
    rows = with_truths(table(0, 200, 2), 4, 0.5)
    open_ones = pl.Series(np.random.default_rng(5).random(rows.height) < 0.1)
    unknown = [pl.when(open_ones).then(None).otherwise(pl.col(n)).alias(n) for n in ("truth", "known")]
    rows.with_columns(unknown).write_parquet("history.parquet")
    Path("monitor.yaml").write_text(
        MONITOR.replace("  false_pages", '  performance: {accuracy: ">= 0.7"}\n  false_pages')
    )
    roles = [
        "--time-column",
        "ts",
        "--score-column",
        "p",
        "--prediction-column",
        "said",
        "--label-column",
        "truth",
    ]
    named = ["--model", "late", "--version", "7", "--out", "late.baseline"]
    assert main(["baseline", "build", "reference.parquet", *named, *roles]) == 0
    return files


LABELS = ["--prediction-column", "said", "--label-column", "truth"]
KNOWN_LATER = [*LABELS, "--label-time-column", "known"]


def test_labels_show_losses_and_the_broken_promise_when_they_became_known(
    labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([*RUN, *KNOWN_LATER, "--json", "--budget", "only", "--html", "out.html"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["rows"] == 4000
    assert told["labels"] == pl.read_parquet("history.parquet")["truth"].count()
    assert told["notes"] == [n for n in told["notes"] if "label" not in n]
    pages = told["settings"][0]["pages"]
    assert {p["kind"] for p in pages} <= {"loss", "promise"}
    first = pages[0]
    assert 0 < first["paged_us"] - (START + (FLIPPED_FROM + 24) * HOUR_US) <= 12 * HOUR_US
    assert told["settings"][0]["pages_in_budget"] == len(pages)
    text = Path("out.html").read_text()
    assert "error (loss)" in text
    assert first["summary"].replace(">", "&gt;") in text
    assert main([*RUN, *LABELS, "--json", "--budget", "only"]) == 0
    sooner = json.loads(capsys.readouterr().out)["settings"][0]["pages"]
    assert sooner[0]["paged_us"] == first["paged_us"] - 24 * HOUR_US


def test_the_screen_names_the_losses(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main([*RUN, *KNOWN_LATER, "--budget", "only"]) == 0
    captured = capsys.readouterr()
    said = " ".join(captured.out.split())
    assert "usually" in said or "promised >= 0.7" in said
    assert "of them labels) in" in captured.err


def test_a_baseline_with_losses_asks_for_labels(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main([*RUN, "--budget", "only"]) == 0
    assert "no labels are played, and the monitor watches losses (brier, error, log_loss)" in " ".join(
        capsys.readouterr().out.split()
    )


def test_labels_that_nothing_watches_are_told(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = pl.read_parquet("history.parquet")
    history.with_columns(truth=pl.col("p") > 0.5).write_parquet("history.parquet")
    capsys.readouterr()
    assert main([*RUN, "--budget", "only", "--label-column", "truth", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["labels"] == 3000
    assert any("labels are counted, and nothing of them is watched" in note for note in told["notes"])


@pytest.mark.parametrize(
    ("changed", "options", "said"),
    [
        ({"said": pl.col("said") == "late"}, LABELS, "--prediction-column: 'said': holds 0 or 1, and --label-column late or on time"),
        ({"truth": pl.lit(None, pl.String)}, LABELS, "--label-column: 'truth': all 4,000 values are missing"),
        ({"known": pl.lit(None, pl.Int64)}, KNOWN_LATER, "rows have a label and no time, the first is row"),
        ({"known": pl.lit("soon")}, KNOWN_LATER, "--label-time-column: 'known': "),
        ({"p": pl.col("p") * 100 + 1}, ["--label-column", "truth"], "brier cannot be counted: expected probabilities from 0 to 1"),
    ],
)  # fmt: skip
def test_columns_of_which_no_loss_can_be_made_are_named(
    labelled: Path,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, pl.Expr],
    options: list[str],
    said: str,
) -> None:
    pl.read_parquet("history.parquet").with_columns(**changed).write_parquet("history.parquet")
    capsys.readouterr()
    assert main([*RUN, *options]) == 1
    assert said in capsys.readouterr().err


def promise_ranks_and_calibration() -> None:
    written = Path("monitor.yaml").read_text()
    promised = '{roc_auc: ">= 0.99", ece: "<= 0.05"}'
    Path("monitor.yaml").write_text(written.replace('{accuracy: ">= 0.7"}', promised))


def test_a_broken_auc_is_told_from_history_with_labels(
    labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    promise_ranks_and_calibration()
    capsys.readouterr()
    assert main([*RUN, *LABELS, "--json", "--budget", "only"]) == 0
    told = json.loads(capsys.readouterr().out)
    summaries = [p["summary"] for p in told["settings"][0]["pages"] if p["kind"] == "promise"]
    assert any("ROC AUC 0." in said and "promised >= 0.99, chance alone ±0." in said for said in summaries)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"truth": pl.lit("late")},
            "roc_auc cannot be counted: of 4,000 labels with a score 0 are of the class",
        ),
        ({"p": pl.col("p") * 4}, "ece cannot be counted: "),
    ],
)
def test_why_a_promise_cannot_be_judged_is_a_note(
    labelled: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, pl.Expr], said: str
) -> None:
    promise_ranks_and_calibration()
    pl.read_parquet("history.parquet").with_columns(**changed).write_parquet("history.parquet")
    capsys.readouterr()
    assert main([*RUN, *LABELS, "--json", "--budget", "only"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any(note.startswith(said) for note in notes), notes


def test_a_loss_that_the_history_cannot_have_is_a_note(
    labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([*RUN, "--label-column", "truth", "--budget", "only"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "note: error cannot be counted: expected the predicted class (--prediction-column)" in said
    early = [*LABELS, "--label-time-column", "before"]
    history = pl.read_parquet("history.parquet").with_columns(before=pl.col("ts") - 1)
    history.write_parquet("history.parquet")
    assert main([*RUN, *early, "--budget", "only"]) == 0
    assert "labels were known before their prediction was made" in " ".join(capsys.readouterr().out.split())


@pytest.fixture
def stored_features(files: Path) -> Path:
    """What a feature store said a minute before each of some quiet predictions, for thirty hours in another unit."""
    rows = table(0, 150, 2)
    rows.write_parquet("history.parquet")
    is_other = pl.col("ts").is_between(START + 60 * HOUR_US, START + 90 * HOUR_US)
    said = pl.when(is_other).then(pl.col("temp") * 1.8 + 32).otherwise(pl.col("temp"))
    rows.select(when=pl.col("ts") - 60_000_000, temp=said, origin="origin").write_parquet("features.parquet")
    return files


FEATURES = ["--features", "features.parquet", "--features-time-column", "when"]


def test_predictions_made_of_other_numbers_than_the_feature_stores_are_a_skew(
    stored_features: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([*RUN, *FEATURES, "--json", "--budget", "only"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["features"]) == (3000, 3000)
    first = told["settings"][0]
    (skew,) = [p for p in first["pages"] if p["kind"] == "skew" and not p["segment"]]
    assert [c["name"] for c in skew["culprits"]] == ["temp"]
    assert 60 * HOUR_US < skew["paged_us"] - START <= 70 * HOUR_US
    assert first["pages_outside"]["skew"] >= 1
    assert main([*RUN, *FEATURES, "--budget", "only"]) == 0
    assert "(3,000 of them features) in" in capsys.readouterr().err


def test_feature_events_of_which_nothing_can_be_said_are_told(
    stored_features: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.read_parquet("features.parquet").with_columns(pl.col("when") + 10**15).write_parquet("later.parquet")
    later = ["--features", "later.parquet", "--features-time-column", "when"]
    assert main([*RUN, *later, "--json", "--budget", "only"]) == 0
    assert "no feature event is of the time of the predictions" in str(
        json.loads(capsys.readouterr().out)["notes"]
    )
    Path("monitor.yaml").write_text(MONITOR + "skew: false\n")
    assert main([*RUN, *FEATURES, "--json", "--budget", "only"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "feature events are counted, and say nothing" in str(told["notes"])
    assert told["settings"][0]["pages"] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--features", "features.parquet"],
            "--time-column: 'ts': expected a column of features.parquet: when, temp",
        ),
        ([*FEATURES[:3], "wen"], "--features-time-column: 'wen': expected a column of features.parquet"),
        (
            ["--features", "other.parquet"],
            "other.parquet has none of the baseline's features: expected some of",
        ),
        (["--features-time-column", "ts"], "--features-time-column: only with --features"),
    ],
)
def test_a_feature_file_that_cannot_be_read_is_named(
    stored_features: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    table(0, 3, 2).select("ts", "p").write_parquet("other.parquet")
    capsys.readouterr()
    assert main([*RUN, *options]) == 1
    assert said in capsys.readouterr().err


def test_a_monitor_of_another_model_is_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("monitor.yaml").write_text("model: early\n")
    capsys.readouterr()
    assert main(RUN) == 1
    assert "early" in capsys.readouterr().err
