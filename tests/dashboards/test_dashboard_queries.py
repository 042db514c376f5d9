"""Every query of every dashboard, run on ClickHouse's own engine against parts that were never merged."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import pytest

from dashboards.macros import Context, expand
from dashboards.panels import query
from tests.dashboards.fleet_sample import LONG_BEFORE, MODEL, context, fleet_context, label_context

START = datetime(2026, 3, 2, 14, 0)  # noqa: DTZ001 - the driver returns UTC without saying so
MINUTE = timedelta(minutes=1)

#: Columns of every query and what Grafana takes them for: time, text or number.
COLUMNS = {
    "fleet/dead_letters": "topic:text reason:text letters:number last_seen:time example:text place:text",
    "fleet/late": "model:text version:text source:text topic:text events:number oldest:time newest:time",
    "fleet/models": "model:text",
    "fleet/now": "models:number unwell:number open_alarms:number rollbacks_in_flight:number "
    "late_events:number "
    "dead_letters:number",
    "fleet/open_alarms": "severity:text model:text version:text segment:text kind:text source:text summary:text "
    "story:text moved:text attribution:text "
    "onset:time opened:time updated:time",
    "fleet/releases": "time:time text:text tags:text",
    "fleet/rollback_steps": "time:time text:text tags:text",
    "fleet/rollbacks": "state:text model:text from_version:text to_version:text mode:text reason:text "
    "actor:text "
    "started:time moved:time",
    "fleet/state": "model:text version:text source:text state:number open_alarms:number "
    "events:number "
    "last_window:time",
    "fleet/state_over_time": "time:time series:text severity:number",
    "fleet/volume": "time:time model:text events:number",
    "model/against": "version:text",
    "model/alarm_spans": "time:time timeEnd:time text:text tags:text",
    "model/alarms": "state:text severity:text kind:text version:text segment:text summary:text "
    "story:text moved:text attribution:text "
    "attribution_why:text onset:time opened:time resolved:time part_of:text alarm_id:text",
    "model/columns": "key:text",
    "model/compare": "column:text role:text distance:number missing_this:number "
    "missing_other:number "
    "events_this:number events_other:number bins:text",
    "model/culprits": "column:text role:text ratio:number ratio_now:number js_value:number "
    "js_limit:number "
    "js_by_chance:number missing:number unseen:number out_of_range:number window_end:time",
    "model/distribution": "time:time bin:text share:number",
    "model/drift": "time:time column:text value:number",
    "model/history": "at:time what:text version:text before:text actor:text reason:text",
    "model/horizons": "horizon:text shown:text",
    "model/losses": "time:time loss:text value:number",
    "model/missing": "time:time column:text value:number",
    "model/models": "model:text",
    "model/now": "state:number worst_ratio:number culprit:text events:number "
    "open_alarms:number window_end:time",
    "model/promises": "told:time state:text version:text promise:text said:text summary:text alarm_id:text",
    "model/quantiles": "time:time p05:number p25:number p50:number p75:number p95:number",
    "model/relations": "pair:text ratio:number correlation_then:number correlation_usual:number window_end:time",
    "model/releases": "time:time text:text tags:text",
    "model/rollback_steps": "time:time text:text tags:text",
    "model/segments": "segment_shown:text",
    "model/sources": "source:text",
    "model/strange": "time:time column:text value:number",
    "model/versions": "version:text",
    "model/volume": "time:time version:text events:number",
}


def usual(path: str) -> Context:
    """Return what a dashboard that has something to show would know."""
    if path in {"model/losses", "model/promises"}:
        return label_context()
    return fleet_context() if path.startswith("fleet/") else context()


def run(client: Any, path: str, at: Context | None = None) -> list[dict[str, Any]]:
    at = at or usual(path)
    result = client.query(expand(query(path), at))
    return [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]


def grafana_type(name: str) -> str:
    for wrapper in ("LowCardinality(", "Nullable("):
        if name.startswith(wrapper):
            name = name[len(wrapper) : -1]
    return "time" if name.startswith("DateTime") else "text" if name == "String" else "number"


def all_queries() -> list[str]:
    root = files("dashboards").joinpath("queries")
    return sorted(f"{room.name}/{f.name[:-4]}" for room in root.iterdir() for f in room.iterdir())


def test_every_query_is_listed_here() -> None:
    assert all_queries() == sorted(COLUMNS)


@pytest.mark.parametrize("path", sorted(COLUMNS))
def test_query_returns_rows_of_the_columns_that_its_panel_shows(loaded: Any, path: str) -> None:
    at = usual(path)
    result = loaded.query(expand(query(path), at))
    found = [
        f"{n}:{grafana_type(t.name)}" for n, t in zip(result.column_names, result.column_types, strict=True)
    ]
    assert " ".join(found) == COLUMNS[path]
    assert result.result_rows
    times = [row[0] for row in result.result_rows] if found[0] == "time:time" else []
    assert times == sorted(times)  # Grafana refuses a series that is not in order


def test_sample_really_has_parts_that_were_not_merged(loaded: Any) -> None:
    for table in (
        "windows",
        "window_columns",
        "window_relations",
        "late_events",
        "alarms",
        "rollbacks",
        "dead_letters",
        "layouts",
    ):
        stored = loaded.query(f"SELECT count() FROM {table}").result_rows[0][0]
        meant = loaded.query(f"SELECT count() FROM {table} FINAL").result_rows[0][0]
        assert stored > meant, table


def test_fleet_now_counts_each_thing_once(loaded: Any) -> None:
    (row,) = run(loaded, "fleet/now")
    assert row == {
        "models": 1,
        "unwell": 1,
        "open_alarms": 1,
        "rollbacks_in_flight": 1,
        "late_events": 7,
        "dead_letters": 4,
    }


def test_fleet_state_is_the_worst_last_verdict_and_panes_do_not_judge(loaded: Any) -> None:
    drifted, stable = run(loaded, "fleet/state")
    assert (drifted["version"], drifted["state"], drifted["open_alarms"], drifted["events"]) == (
        "v2",
        4,
        1,
        1200,
    )
    # every pane of v1 says drift, and so did every first report of its windows say error
    assert (stable["version"], stable["state"], stable["open_alarms"], stable["events"]) == ("v1", 1, 0, 1200)
    assert stable["last_window"] == START + 120 * MINUTE


def test_fleet_state_before_the_drift_was_stable(loaded: Any) -> None:
    early = Context(fleet_context().start, fleet_context().start + 80 * MINUTE, 600, {"model": ("$__all",)})
    assert {row["version"]: row["state"] for row in run(loaded, "fleet/state", early)} == {"v1": 1, "v2": 1}


def test_state_over_time_turns_when_the_drift_begins(loaded: Any) -> None:
    rows = [r for r in run(loaded, "fleet/state_over_time") if r["series"].endswith("v2")]
    assert [r["severity"] for r in rows if r["time"] < START + 90 * MINUTE] == [1, 1, 1]
    assert {r["severity"] for r in rows if r["time"] >= START + 100 * MINUTE} == {4}


def test_volume_counts_panes_once_and_is_per_minute(loaded: Any) -> None:
    fleet = {row["time"]: row["events"] for row in run(loaded, "fleet/volume")}
    assert set(fleet.values()) == {10.0, 30.0}
    model = run(loaded, "model/volume")
    assert {(r["version"], r["events"]) for r in model} == {("v1", 10.0), ("v2", 20.0)}
    segment = run(loaded, "model/volume", context(segment="carrier=AA"))
    assert {(r["version"], r["events"]) for r in segment} == {("v1", 5.0), ("v2", 10.0)}


def test_model_filter_keeps_the_chosen_model_and_no_other(loaded: Any) -> None:
    assert len(run(loaded, "fleet/state", fleet_context(MODEL, "other"))) == 2
    assert run(loaded, "fleet/state", fleet_context("other")) == []
    assert run(loaded, "fleet/now", fleet_context("other"))[0]["models"] == 0


def test_alarms_show_their_last_step_only(loaded: Any) -> None:
    (alarm,) = run(loaded, "fleet/open_alarms")
    assert (alarm["severity"], alarm["summary"]) == ("critical", "dep_delay moved (updated)")
    assert (alarm["onset"], alarm["moved"]) == (START + 90 * MINUTE, "inputs")
    assert [(r["version"], r["state"], r["part_of"]) for r in run(loaded, "model/alarms")] == [
        ("v2", "updated", ""),
        ("v2", "open", "a-open"),
        ("v1", "resolved", ""),
    ]
    # What another alarm speaks for is no incident of its own.
    assert run(loaded, "fleet/now")[0]["open_alarms"] == 1


def test_rollback_shows_its_last_step_and_those_in_flight_come_first(loaded: Any) -> None:
    rows = run(loaded, "fleet/rollbacks")
    assert [r["state"] for r in rows] == ["approved", "observed"]
    assert (rows[0]["started"], rows[0]["moved"]) == (START + 97 * MINUTE, START + 99 * MINUTE)


def test_late_events_are_found_although_their_panes_lie_before_the_range(loaded: Any) -> None:
    (late,) = run(loaded, "fleet/late")
    assert (late["events"], late["oldest"]) == (12, START - 60 * MINUTE)


def test_model_now_names_the_culprit(loaded: Any) -> None:
    (row,) = run(loaded, "model/now")
    assert (row["state"], row["culprit"], row["worst_ratio"], row["events"]) == (4, "dep_delay", 3.0, 100)
    assert row["window_end"] == START + 120 * MINUTE


def test_drift_uses_the_last_revision_of_every_window(loaded: Any) -> None:
    rows = run(loaded, "model/drift")
    assert max(r["value"] for r in rows) == 3.0  # the first revision said 9
    assert {r["value"] for r in rows if r["column"] != "dep_delay"} == {0.5}


def test_culprits_show_values_of_their_worst_window(loaded: Any) -> None:
    worst, *others = run(loaded, "model/culprits")
    assert worst["column"] == "dep_delay"
    assert (worst["ratio"], worst["js_value"], worst["js_limit"]) == (
        3.0,
        pytest.approx(0.3),
        pytest.approx(0.1),
    )
    assert worst["unseen"] is None  # a number has no categories
    assert {row["column"]: row["unseen"] for row in others} == {"carrier": 0.25, "p": None}


def test_relations_show_the_worst_moment_of_each_pair_and_nothing_of_windows_without_enough_events(
    loaded: Any,
) -> None:
    worst, other = run(loaded, "model/relations")
    assert worst == {
        "pair": "carrier and ~dep_delay",
        "ratio": pytest.approx(2.5),
        "correlation_then": pytest.approx(0.1),
        "correlation_usual": pytest.approx(0.8),
        "window_end": worst["window_end"],
    }
    assert other["pair"] == "dep_delay and p"
    assert (other["ratio"], other["correlation_then"]) == (pytest.approx(0.6), pytest.approx(0.4))
    # Of pairs as far from usual as ever the last moment is shown.
    assert worst["window_end"] > other["window_end"]


def test_missing_share_is_of_the_last_revision(loaded: Any) -> None:
    rows = run(loaded, "model/missing", context(version="v1"))
    assert {round(r["value"], 6) for r in rows if r["column"] == "dep_delay"} == {0.1}


def test_distribution_gives_shares_of_the_score_bins(loaded: Any) -> None:
    rows = run(loaded, "model/distribution")
    assert {(r["bin"], r["share"]) for r in rows} == {("003 0 … 0.5", 0.2), ("004 0.5 … 1", 0.8)}


def test_distribution_of_categories_shows_those_never_seen(loaded: Any) -> None:
    rows = run(loaded, "model/distribution", context(column="feature/carrier"))
    assert {(r["bin"], r["share"]) for r in rows} == {
        ("001 never seen", 0.1),
        ("002 UA", 0.4),
        ("003 AA", 0.5),
    }


def test_distribution_of_numbers_shows_missing_values(loaded: Any) -> None:
    rows = run(loaded, "model/distribution", context(version="v1", column="feature/dep_delay"))
    assert {(r["bin"], r["share"]) for r in rows} == {
        ("000 missing", 0.1),
        ("003 0 … 10", 0.5),
        ("004 10 … 20", 0.4),
    }


def test_quantiles_of_a_category_are_empty_not_nan(loaded: Any) -> None:
    assert run(loaded, "model/quantiles", context(column="feature/carrier")) == []
    assert run(loaded, "model/quantiles")[0] | {"time": None} == {
        "time": None,
        "p05": 1.0,
        "p25": 2.0,
        "p50": 3.0,
        "p75": 4.0,
        "p95": 5.0,
    }


def js_distance(p: list[float], q: list[float]) -> float:
    p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
    halves = [
        sum(a * math.log2(2 * a / (a + b)) for a, b in zip(left, right, strict=True) if a)
        for left, right in ((p, q), (q, p))
    ]
    return math.sqrt(0.5 * sum(halves))


def test_comparison_adds_panes_up_and_aligns_different_bins(loaded: Any) -> None:
    rows = {r["column"]: r for r in run(loaded, "model/compare")}
    assert {r["events_this"] for r in rows.values()} == {1200}
    assert {r["events_other"] for r in rows.values()} == {1200}
    assert rows["p"]["distance"] == pytest.approx(js_distance([4, 16], [8, 2]))
    # the versions list the carriers in another order
    assert rows["carrier"]["distance"] == pytest.approx(js_distance([2, 10, 8], [0, 6, 4]))
    # v1 has one bin from 0 to 10 where v2 has two
    assert rows["dep_delay"]["distance"] == pytest.approx(js_distance([5, 5, 10], [2.5, 2.5, 4]))
    assert [rows[c]["bins"] for c in ("p", "carrier", "dep_delay")] == ["same", "same", "interpolated"]
    assert rows["dep_delay"]["missing_other"] == pytest.approx(0.1)


def test_comparison_with_itself_is_zero(loaded: Any) -> None:
    assert {r["distance"] for r in run(loaded, "model/compare", context(against="v2"))} == {0.0}


def test_comparison_with_an_earlier_range_takes_only_what_lies_before(loaded: Any) -> None:
    whole = context(version="v1")
    second_hour = Context(whole.start + 60 * MINUTE, whole.end, 600, {**whole.variables, "reference": "3600"})
    rows = run(loaded, "model/compare", second_hour)
    assert {(r["events_this"], r["events_other"], r["distance"]) for r in rows} == {(600, 600, 0.0)}


def test_comparison_without_another_side_says_so(loaded: Any) -> None:
    rows = run(loaded, "model/compare", context(reference="3600"))
    assert {(r["distance"], r["bins"], r["missing_other"]) for r in rows} == {
        (None, "nothing to compare with", None)
    }
    assert len(rows) == 3


def test_variables_offer_the_useful_value_first(loaded: Any) -> None:
    assert [r["version"] for r in run(loaded, "model/versions")] == ["v2", "v1"]
    assert [r["version"] for r in run(loaded, "model/against")] == ["v1", "v2"]
    assert [r["segment_shown"] for r in run(loaded, "model/segments")] == ["(all)", "carrier=AA"]
    assert [r["key"] for r in run(loaded, "model/columns")] == [
        "score/p",
        "feature/carrier",
        "feature/dep_delay",
    ]
    assert run(loaded, "model/horizons") == [{"horizon": "300000000", "shown": "5 min"}]


def test_losses_show_their_mean_in_words_whatever_source_is_chosen(loaded: Any) -> None:
    rows = run(loaded, "model/losses", label_context(source="predictions"))
    middle = START - LONG_BEFORE + 60 * MINUTE
    assert {(r["loss"], r["value"]) for r in rows if r["time"] < middle} == {
        ("error rate", 0.125),
        ("mean Brier score", 0.25),
    }
    assert {(r["loss"], r["value"]) for r in rows if r["time"] > middle} == {
        ("error rate", 0.25),
        ("mean Brier score", 0.5),
    }


def test_a_broken_promise_says_what_was_promised_and_that_it_is_kept_again(loaded: Any) -> None:
    kept, broken = run(loaded, "model/promises")
    assert (broken["state"], kept["state"]) == ("open", "resolved")
    assert broken["promise"] == "accuracy"
    assert broken["said"].startswith("accuracy 0.75, promised >= 0.85, chance alone")
    assert kept["told"] - broken["told"] == 20 * MINUTE


def test_columns_of_labels_offer_losses_first(loaded: Any) -> None:
    keys = [r["key"] for r in run(loaded, "model/columns", label_context())]
    assert keys == ["loss/brier", "loss/error", "label/label"]


def test_an_open_alarm_about_losses_leads_to_the_labels(loaded: Any) -> None:
    assert [r["source"] for r in run(loaded, "fleet/open_alarms")] == ["predictions"]
    at = START - LONG_BEFORE
    while_open = Context(at, at + 100 * MINUTE, 600, fleet_context().variables)
    assert [(r["kind"], r["source"]) for r in run(loaded, "fleet/open_alarms", while_open)] == [
        ("promise", "labels")
    ]


def test_alarm_spans_end_with_the_alarm_or_with_the_range(loaded: Any) -> None:
    spans = [(r["time"], r["timeEnd"]) for r in run(loaded, "model/alarm_spans")]
    assert spans == [
        (START + 10 * MINUTE, START + 30 * MINUTE),
        (START + 95 * MINUTE, START + 120 * MINUTE),
    ]


def test_releases_are_promotions_only(loaded: Any) -> None:
    assert [r["text"] for r in run(loaded, "model/releases")] == ["v2 promoted, replaces v1: better"]


def test_distribution_merges_many_bins_and_loses_no_event(loaded: Any) -> None:
    """Two months before the sample, so that no other test sees it."""
    edges = [float(i) for i in range(65)]
    counts = [3, 1, 2, *([1] * 64), 10]
    at = datetime(2026, 1, 5, 12, tzinfo=UTC)
    loaded.insert(
        "layouts",
        [["wide", 0, "x", "feature", "numeric", 0, len(counts), edges, []]],
        column_names=[
            "layout_id",
            "column_index",
            "name",
            "role",
            "kind",
            "first_slot",
            "slots",
            "edges",
            "categories",
        ],
    )
    window = {
        "model": "wide",
        "version": "1",
        "source": "predictions",
        "layout_id": "wide",
        "horizon_us": 60_000_000,
        "start": at,
        "end": at + MINUTE,
        "rows": sum(counts),
        "counts": counts,
        "ver": 1,
    }
    loaded.insert("windows", [list(window.values())], column_names=list(window))
    chosen = context(model="wide", version="1", column="feature/x").variables
    rows = run(loaded, "model/distribution", Context(at - MINUTE, at + 2 * MINUTE, 60, chosen))
    shares = {r["bin"]: r["share"] for r in rows}
    assert len(shares) == 4 + 16
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["000 missing"] == pytest.approx(3 / 80)
    assert shares["001 infinite"] == pytest.approx(1 / 80)
    assert shares["002 below"] == pytest.approx(2 / 80)
    assert shares["003 0 … 4"] == shares["063 60 … 64"] == pytest.approx(4 / 80)
    assert shares["999 above"] == pytest.approx(10 / 80)
