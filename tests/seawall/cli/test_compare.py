import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import seawall
from seawall.cli import main
from seawall.errors import ConfigError, ContractError
from tests.contract.strict_html import Strict

RNG = np.random.default_rng
ROWS = 4000


def table(seed: int, rows: int = ROWS) -> pl.DataFrame:
    rng = RNG(seed)
    return pl.DataFrame(
        {
            "ts": 1_767_225_600_000_000 + np.arange(rows) * 60_000_000,
            "temp": rng.normal(15, 8, rows),
            "origin": rng.choice(["JFK", "EWR", "LGA"], rows),
            "code": rng.integers(0, 3, rows),
            "p": rng.random(rows),
            "late": rng.random(rows) < 0.3,
        }
    )


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    table(1).write_parquet("reference.parquet")
    table(2).write_parquet("quiet.parquet")
    table(3).with_columns(pl.col("temp") * 1.8 + 32).write_parquet("fahrenheit.parquet")
    return tmp_path


def findings(shown: str) -> dict[str, dict[str, object]]:
    return {c["name"]: c for c in json.loads(shown)["columns"]}


def test_two_files_of_the_same_process_are_stable(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "reference.parquet", "quiet.parquet", "--fail-on", "warning", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "stable"
    assert told["drifted"] == []
    assert (told["reference_rows"], told["current_rows"]) == (ROWS, ROWS)


def test_a_unit_change_is_drift_first_in_the_list_and_ends_the_command_with_three(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "reference.parquet", "fahrenheit.parquet", "--columns", "temp,origin"]
    assert main([*command, "--fail-on", "drift", "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [c["name"] for c in told["columns"]] == ["temp", "origin"]
    assert told["drifted"] == ["temp"]
    temp = told["columns"][0]
    assert temp["value"] > temp["limit"] > temp["chance"]
    assert main(command) == 0  # nothing was said about failing


def test_what_moved_most_comes_first_though_something_else_is_further_beyond_its_limit() -> None:
    """A share of 0..1 that leaves its range by a little is a surer thing than an input that moves within its own."""
    rng = RNG(5)
    before = pl.DataFrame({"share": rng.random(ROWS), "temp": rng.normal(15, 8, ROWS)})
    after = pl.DataFrame({"share": rng.random(ROWS) + 0.2, "temp": rng.normal(23, 8, ROWS)})
    share, temp = sorted(seawall.compare(before, after).found.columns, key=lambda c: c.name)
    assert share.ratio > temp.ratio > 1
    assert temp.moved > share.moved > 0
    assert [c.name for c in seawall.compare(before, after).found.columns] == ["temp", "share"]


def test_the_screen_shows_before_and_after(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    main(["compare", "reference.parquet", "fahrenheit.parquet", "--time-column", "ts"])
    shown = capsys.readouterr().out
    assert shown.startswith("drift: 1 of 5 columns drifted (4,000 rows against 4,000)")
    assert "█" in shown


def test_a_narrow_screen_keeps_names_and_numbers_whole(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = "days_since_the_last_order_of_this_customer"
    for name in ("reference", "fahrenheit"):
        pl.read_parquet(f"{name}.parquet").rename({"code": long}).write_parquet(f"{name}.parquet")
    main(["compare", "reference.parquet", "fahrenheit.parquet", "--columns", f"temp,origin,{long}"])
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("drift: 1 of 3 columns drifted")
    assert lines[0].split() == ["column", "verdict", "what", "value", "limit", "chance"]
    assert all(len(line) <= 80 for line in lines[:5])
    temp = next(line.split() for line in lines if line.startswith("temp "))
    assert temp[:3] == ["temp", "drift", "out"]
    assert all(number.rstrip("%").replace(".", "").isdigit() for number in temp[-3:])
    assert long in "".join(line.split("  ")[0].strip() for line in lines)


@pytest.mark.parametrize("width", range(78, 125, 3))
def test_no_screen_cuts_the_table(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    pl.read_parquet("reference.parquet").with_columns(
        pl.when(pl.col("code") == 1).then(pl.col("temp")).alias("temp")
    ).write_parquet("thin.parquet")
    monkeypatch.setenv("COLUMNS", str(width))
    main(["compare", "reference.parquet", "thin.parquet", "--columns", "temp,origin"])
    header, temp, *_ = capsys.readouterr().out.splitlines()[1:]
    assert ("before" in header) == ("missing" in header) == ("% → " in temp)
    assert header.rstrip().endswith("missing" if "before" in header else "chance")
    assert "before" in header or width < 110


def test_two_columns_of_one_name_are_told_apart_by_their_roles(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("reference", "quiet"):
        data = pl.read_parquet(f"{name}.parquet")
        data.with_columns(said=data["p"] > 0.5).write_parquet(f"{name}.parquet")
    roles = ["--prediction-column", "said", "--label-column", "late"]
    main(["compare", "reference.parquet", "quiet.parquet", *roles])
    shown = capsys.readouterr().out
    assert "label (prediction)" in shown
    assert "label (label)" in shown


def test_a_small_change_that_is_no_chance_is_said_on_the_screen_and_in_the_text(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(3).with_columns(pl.col("temp") + 1.5).write_parquet("warmer.parquet")
    main(["compare", "reference.parquet", "warmer.parquet", "--effect", "0.2"])
    assert "small, but not chance: temp\n" in capsys.readouterr().out
    said = repr(seawall.compare(table(1), table(3).with_columns(pl.col("temp") + 1.5), effect=0.2))
    (line,) = [line for line in said.splitlines() if line.endswith("; small, but not chance")]
    assert line.split()[1] == "temp"


def test_chance_of_a_share_is_what_chance_gives_and_not_what_is_usual(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def gaps(seed: int, every: int) -> pl.DataFrame:
        gone = pl.when(pl.int_range(ROWS) % every == 0).then(None).otherwise(pl.col("temp"))
        return table(seed).with_columns(temp=gone)

    gaps(1, 50).write_parquet("reference.parquet")
    gaps(2, 10).write_parquet("gaps.parquet")
    command = ["compare", "reference.parquet", "gaps.parquet", "--columns", "temp"]
    main([*command, "--json"])
    temp = findings(capsys.readouterr().out)["temp"]
    assert temp["statistic"] == "missing_share"
    assert (temp["value"], temp["usual"]) == pytest.approx((0.1, 0.02))
    before, after = RNG(5).binomial(ROWS, 0.02, (2, 20_000)) / ROWS
    drawn = 0.02 + after - before  # the usual share is known from as many rows
    assert 0.01 < np.mean(drawn > temp["chance"]) < 0.055
    for name in ("psi", "ks", "wasserstein"):
        assert 0 < temp[name] < 3 * temp[f"{name}_chance"]
    main(command)
    assert "temp missing 2.0% usually" in capsys.readouterr().out


@pytest.mark.parametrize(("fail_on", "code"), [("drift", 0), ("never", 0), ("warning,not-enough-data", 3)])
def test_too_few_rows_are_a_warning_on_the_error_stream_or_a_failure(
    files: Path, capsys: pytest.CaptureFixture[str], fail_on: str, code: int
) -> None:
    table(2, rows=5).write_parquet("broken.parquet")
    assert main(["compare", "reference.parquet", "broken.parquet", "--json", "--fail-on", fail_on]) == code
    warned = "warning: nothing can be said: 5 rows in broken.parquet" in capsys.readouterr().err
    assert warned == (code == 0)


def test_a_gate_that_wants_enough_data_does_not_let_drift_pass(files: Path) -> None:
    assert main(["compare", "reference.parquet", "fahrenheit.parquet", "--fail-on", "not-enough-data"]) == 3


def test_a_verdict_that_cannot_fail_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["compare", "a", "b", "--fail-on", "warning,drft"])
    said = "'drft': expected drift, warning, not-enough-data or never; did you mean drift?"
    assert said in capsys.readouterr().err


def test_a_baseline_file_is_as_good_as_the_data_that_it_was_built_from(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = [
        "baseline",
        "build",
        "reference.parquet",
        "--model",
        "m",
        "--version",
        "1",
        "--out",
        "m.baseline",
    ]
    assert main([*build, "--time-column", "ts"]) == 0
    capsys.readouterr()
    options = ["fahrenheit.parquet", "--time-column", "ts", "--json"]
    main(["compare", "reference.parquet", *options])
    of_data = findings(capsys.readouterr().out)
    main(["compare", "m.baseline", *options])
    assert findings(capsys.readouterr().out) == of_data


def test_scores_predictions_and_truths_are_compared_in_their_roles(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(4).with_columns(pl.col("p") ** 3, pl.lit(True).alias("late")).write_parquet("c.parquet")
    main(
        [
            "compare",
            "reference.parquet",
            "c.parquet",
            "--score-column",
            "p",
            "--label-column",
            "late",
            "--json",
        ]
    )
    told = {(c["role"], c["name"]): c["verdict"] for c in json.loads(capsys.readouterr().out)["columns"]}
    assert told["score", "score"] == told["label", "label"] == told["loss", "brier"] == "drift"
    assert told["feature", "temp"] == "stable"


def test_a_feature_that_is_not_there_and_one_that_became_text_are_all_missing(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(4).drop("temp").with_columns(pl.col("p").cast(pl.String)).write_parquet("c.parquet")
    main(["compare", "reference.parquet", "c.parquet", "--json"])
    told = findings(capsys.readouterr().out)
    assert told["temp"]["detail"] == "is not there"
    assert told["p"]["detail"] == "holds text where the reference has numbers"
    for name in ("temp", "p"):
        assert (told[name]["verdict"], told[name]["statistic"], told[name]["value"]) == (
            "drift",
            "missing_share",
            1,
        )


def test_numbers_that_the_reference_has_as_text_are_read_as_text(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["compare", "reference.parquet", "quiet.parquet", "--categorical", "code", "--json"])
    code = findings(capsys.readouterr().out)["code"]
    assert (code["kind"], code["verdict"]) == ("categorical", "stable")


def test_a_reference_that_wanders_by_itself_asks_for_more_than_it_ever_wandered(files: Path) -> None:
    def wandering(start: int) -> pl.DataFrame:
        at = np.arange(start, start + ROWS)
        level = 3.0 * np.sin(at / 600)
        return pl.DataFrame({"ts": at * 60_000_000 + 10**15, "x": RNG(start).normal(level, 1.0)})

    reference, hour = wandering(0), wandering(ROWS).head(600)
    assert seawall.compare(reference.drop("ts"), hour.drop("ts")).verdict == "drift"
    assert seawall.compare(reference, hour, ts="ts").verdict != "drift"


def test_too_few_rows_are_not_enough_data(files: Path) -> None:
    report = seawall.compare(table(1), table(2, rows=20), ts="ts")
    assert report.verdict == "not_enough_data"


def test_a_reference_of_three_rows_is_not_enough_data_whatever_comes(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table(1).head(3).write_parquet("three.parquet")
    assert main(["compare", "three.parquet", "reference.parquet", "--fail-on", "drift", "--json"]) == 0
    shown = capsys.readouterr()
    assert {c["verdict"] for c in findings(shown.out).values()} == {"not_enough_data"}
    assert "warning: nothing can be said: 4,000 rows in reference.parquet, 3 in three.parquet" in shown.err
    assert main(["compare", "three.parquet", "reference.parquet", "--fail-on", "not-enough-data"]) == 3


def test_a_column_with_few_values_in_the_reference_is_not_enough_data() -> None:
    seldom = pl.when(pl.int_range(ROWS) < 9).then(pl.col("temp"))
    before, after = (table(seed).with_columns(temp=seldom) for seed in (1, 2))
    always = table(2)
    told = {c.name: c.verdict.name for c in seawall.compare(before, always).found.columns}
    assert told["temp"] == "DRIFT"  # that there are values is news enough
    assert told["origin"] == "STABLE"
    told = {c.name: c.verdict.name for c in seawall.compare(before, after).found.columns}
    assert told["temp"] != "DRIFT"


@pytest.mark.parametrize("rows", [30, 60, 200, 1000])
def test_rows_of_the_same_process_do_not_drift_from_a_small_reference(rows: int) -> None:
    """What few rows never showed is no news: of 30 rows, one value in 15 lies beyond their range."""
    for seed in range(12):
        rng = RNG(seed)
        both = pl.DataFrame(
            {"x": rng.standard_cauchy(5000), "w": rng.zipf(1.6, 5000).clip(0, 99).astype(str)}
        )
        report = seawall.compare(both.head(rows), both.tail(4000))
        assert report.drifted == [], seed
        for c in report.found.columns:
            if c.statistic in {"out_of_range_share", "unseen_share"}:
                assert c.chance >= 1 / (rows + 1)


def test_what_a_large_reference_never_showed_is_still_news() -> None:
    after = table(2).with_columns(
        temp=pl.when(pl.int_range(ROWS) % 10 == 0).then(1e6).otherwise(pl.col("temp"))
    )
    (temp,) = seawall.compare(table(1), after, columns=["temp"], effect={"js": 0.9}).found.columns
    assert (temp.verdict.name, temp.statistic) == ("DRIFT", "out_of_range_share")
    assert temp.limit == pytest.approx(0.05)


def test_a_limit_that_nothing_can_reach_is_none_on_the_screen_in_the_text_and_in_the_page(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = pl.DataFrame({"gone": pl.Series([None] * 100, dtype=pl.Float64)})
    gone.write_parquet("gone.parquet")
    main(["compare", "gone.parquet", "gone.parquet", "--html", "gone.html"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("gone ")]
    assert line.split()[:6] == ["gone", "stable", "missing", "100.0%", "none", "100.0%"]
    assert "missing 100.0% (limit none, usually 100.0%" in repr(seawall.compare(gone, gone))
    page = Path("gone.html").read_text()
    assert "limit none" in page
    assert "0 → –" not in page  # there never was a mean


def test_the_wide_tables_rows_are_counted_in_parts_to_the_same_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from streams.core import one_off

    whole = seawall.compare(table(1), table(2), ts="ts").to_dict()
    monkeypatch.setattr(one_off, "_ROWS_AT_ONCE", 333)
    parts = seawall.compare(table(1), table(2), ts="ts").to_dict()
    for one, other in zip(whole["columns"], parts["columns"], strict=True):
        assert one.pop("mean") == pytest.approx(other.pop("mean"), nan_ok=True)
        assert one == other


def test_the_html_is_one_well_formed_file_that_needs_nothing_from_outside(files: Path) -> None:
    table(4).rename({"temp": "<b>&temp"}).write_parquet("odd.parquet")
    assert main(["compare", "odd.parquet", "odd.parquet", "--html", "out.html"]) == 0
    text = Path("out.html").read_text()
    parser = Strict()
    parser.feed(text)
    assert parser.open == []
    assert parser.seen.count("svg") == 6
    assert "&lt;b&gt;&amp;temp" in text
    assert "prefers-color-scheme:dark" in text


def test_a_notebook_gets_the_same_report(files: Path) -> None:
    report = seawall.compare(
        table(1).to_pandas(), {n: c.to_list() for n, c in table(2).to_dict().items()}, ts="ts"
    )
    assert report.verdict == "stable"
    assert repr(report).startswith("stable: 0 of 5 columns drifted")
    assert "<svg" in report._repr_html_()
    json.dumps(report.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": ["tmp"]}, "columns: 'tmp' is none of"),
        ({"effect": 0.0}, "effect: 0.0: expected"),
        ({"effect": {"mising": 0.1}}, "effect: 'mising': expected js, missing"),
        ({"effect": {"missing": 2}}, r"effect\['missing'\]: 2: expected a number above 0 and at most 1"),
        ({"min_rows": 0}, "min_rows: 0: expected"),
    ],
)
def test_a_wrong_parameter_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        seawall.compare(table(1), table(2), **options)  # type: ignore[arg-type]  # wrong on purpose


def test_a_file_that_is_not_there_is_a_failure_and_no_drift(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "nowhere.parquet", "quiet.parquet", "--fail-on", "drift"]) == 1
    assert "nowhere.parquet: cannot be read" in capsys.readouterr().err


def test_the_smallest_change_of_each_statistic_is_the_callers(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = pl.when(pl.int_range(ROWS) % 33 == 0).then(None).otherwise(pl.col("temp"))
    table(2).with_columns(temp=gone).write_parquet("gaps.parquet")
    command = ["compare", "reference.parquet", "gaps.parquet", "--fail-on", "drift", "--json"]
    assert main([*command, "--effect", "missing=0.06"]) == 0
    capsys.readouterr()
    assert main([*command, "--effect", "missing=0.02"]) == 3
    temp = findings(capsys.readouterr().out)["temp"]
    assert (temp["verdict"], temp["statistic"], temp["limit"]) == ("drift", "missing_share", 0.02)
    turned = {"effect": {"correlation": 1.9, "mmd": 2, "reconstruction": 1}}
    assert seawall.compare(pair(4), pair(6, -1.0), **turned).verdict == "stable"


@pytest.mark.parametrize(
    ("before", "after", "effect", "verdict"),
    [
        (0, 40, {}, "drift"),
        (1, 40, {}, "drift"),
        (0, 3, {}, "stable"),
        (160, 200, {}, "stable"),
        (0, 40, {"missing": 0.02}, "stable"),
    ],
    ids=[
        "the first hundredth",
        "all but one before",
        "three of 4000",
        "a hundredth more",
        "as its owner says",
    ],
)
def test_the_first_missing_values_of_a_column_are_drift_as_in_a_monitor(
    before: int, after: int, effect: dict[str, float], verdict: str
) -> None:
    def lacking(seed: int, lost: int) -> pl.DataFrame:
        return table(seed).with_columns(temp=pl.when(pl.int_range(ROWS) >= lost).then(pl.col("temp")))

    report = seawall.compare(lacking(1, before), lacking(2, after), columns=["temp"], effect=effect)
    assert report.verdict == verdict


def test_labels_that_first_lack_what_was_predicted_are_no_drift_by_the_rule_of_the_first_missing() -> None:
    every = table(1).with_columns(p=pl.col("p").round(2))
    some = table(2).with_columns(p=pl.when(pl.int_range(ROWS) >= 40).then(pl.col("p")))
    report = seawall.compare(every, some, scores="p", truths="late")
    said = {f.key: f.verdict.name for f in report.found.columns}
    assert (said["score/score"], said["loss/brier"]) == ("DRIFT", "STABLE")


def pair(seed: int, turned: float = 1.0) -> pl.DataFrame:
    """Two numbers that go together, or against each other; their own distributions are the same."""
    x = RNG(seed).normal(size=(ROWS, 3))
    return pl.DataFrame(
        {"left": x[:, 0], "right": np.exp(turned * 0.8 * x[:, 0] + 0.6 * x[:, 1]), "alone": x[:, 2]}
    )


def test_a_pair_that_relates_differently_is_drift_though_no_column_drifts(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair(4).write_parquet("reference.parquet")
    pair(5).write_parquet("quiet.parquet")
    pair(6, -1.0).write_parquet("turned.parquet")
    assert main(["compare", "reference.parquet", "quiet.parquet", "--fail-on", "warning", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["relations"] == []
    command = ["compare", "reference.parquet", "turned.parquet", "--fail-on", "drift"]
    assert main([*command, "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["drifted"]) == ("drift", [])
    (relation,) = told["relations"]
    assert (relation["name"], relation["statistic"], relation["verdict"]) == (
        "left and right",
        "correlation",
        "drift",
    )
    assert relation["detail"].startswith("correlation -0.8")
    assert relation["value"] > relation["limit"] == 0.2
    assert main([*command, "--html", "turned.html"]) == 3
    shown = capsys.readouterr().out
    assert "0 of 3 columns drifted, 1 relation changed" in shown
    assert "left and right go together differently: correlation -0.8" in shown
    html = Path("turned.html").read_text()
    Strict().feed(html)
    assert "left and right go together differently" in html


def test_columns_that_were_not_asked_for_are_in_no_pair() -> None:
    report = seawall.compare(pair(4), pair(6, -1.0), columns=["left", "alone"])
    assert report.found.relations == ()
    assert "left and right" in repr(seawall.compare(pair(4), pair(6, -1.0)))


def test_chance_alone_changes_no_relation() -> None:
    reference = pair(7)
    found = [seawall.compare(reference, pair(8 + k)[:200], min_rows=100).found.relations for k in range(60)]
    assert sum(r.verdict.name == "DRIFT" for rs in found for r in rs) == 0


def test_a_vector_is_asked_for_by_its_own_name() -> None:
    rng = RNG(3)
    before, after = ({"v": list(rng.normal(size=(400, 4))), "x": rng.normal(size=400)} for _ in range(2))
    found = seawall.compare(before, after, columns=["v"]).found.columns
    assert len(found) == 17
    assert {c.name.split("[")[0] for c in found} == {"v"}
    with pytest.raises(ConfigError, match="did you mean x"):
        seawall.compare(before, after, columns=["xx"])


def test_a_table_without_rows_is_named() -> None:
    with pytest.raises(ContractError, match="current: has no row"):
        seawall.compare(table(1), table(1).head(0))
    with pytest.raises(ContractError, match="reference has no row"):
        seawall.compare(table(1).head(0), table(1))


def test_a_column_that_cannot_be_compared_is_a_note(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("reference", "quiet"):
        pl.read_parquet(f"{name}.parquet").with_columns(raw=pl.lit(b"x")).write_parquet(f"{name}.parquet")
    assert main(["compare", "reference.parquet", "quiet.parquet", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sum("left out: column 'raw'" in note for note in told["notes"]) == 1
    assert "raw" not in {c["name"] for c in told["columns"]}


def test_numbers_at_the_ends_of_what_a_float_holds_are_compared() -> None:
    rng = RNG(4)
    huge = {"x": rng.normal(size=500) * 1e300, "y": rng.normal(size=500) * 1e39}
    report = seawall.compare(huge, huge)
    assert report.verdict == "stable"
    assert seawall.compare(huge, {"x": huge["x"] * 0.5, "y": huge["y"]}).drifted == ["x"]
