"""The dashboards' JSON: equal to what the code builds, and a shape that Grafana takes."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from dashboards.build import build, committed, rendered, write
from dashboards.panels import FLEET_UID, MODEL_UID, PLUGIN, query

Json = dict[str, Any]
DASHBOARDS = committed()


def queries(dashboard: Json) -> Iterator[tuple[str, str]]:
    """Name and SQL of everything that asks the store."""
    for panel in dashboard["panels"]:
        yield from ((panel["title"], target["rawSql"]) for target in panel["targets"])
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield f"${variable['name']}", variable["query"]["rawSql"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["target"]["rawSql"]


def test_committed_files_are_what_the_code_builds() -> None:
    folder = files("dashboards").joinpath("grafana")
    found = {entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir()}
    assert found == rendered(), "run: seawall dashboards build"


def test_every_query_file_is_used_and_nothing_else_is_asked() -> None:
    root = files("dashboards").joinpath("queries")
    available = {query(f"{room.name}/{f.name[:-4]}") for room in root.iterdir() for f in room.iterdir()}
    used = {sql for dashboard in DASHBOARDS.values() for _, sql in queries(dashboard)}
    assert used == available


def test_writing_to_a_folder_gives_the_same_files(tmp_path: Any) -> None:
    paths = write(tmp_path / "out")
    assert {p.name: json.loads(p.read_text("utf-8")) for p in paths} == DASHBOARDS


@pytest.fixture(params=sorted(DASHBOARDS))
def dashboard(request: pytest.FixtureRequest) -> Json:
    return DASHBOARDS[request.param]


def test_dashboard_has_its_lasting_name_and_a_schema_version(dashboard: Json) -> None:
    assert dashboard["uid"] in {FLEET_UID, MODEL_UID}
    assert len(dashboard["uid"]) <= 40  # Grafana's limit
    assert isinstance(dashboard["schemaVersion"], int)
    assert dashboard["schemaVersion"] >= 39
    assert "id" not in dashboard  # an id belongs to one Grafana


def test_panels_have_distinct_ids_titles_and_descriptions(dashboard: Json) -> None:
    panels = dashboard["panels"]
    for name in ("id", "title", "description"):
        values = [panel[name] for panel in panels]
        assert all(values)
        assert len(set(values)) == len(values), name


def test_panels_fit_the_grid_and_do_not_overlap(dashboard: Json) -> None:
    cells: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] >= 0
        assert at["x"] + at["w"] <= 24
        for cell in itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])):
            assert cells.setdefault(cell, panel["title"]) == panel["title"]
    height = max(y for _, y in cells) + 1
    assert len(cells) == 24 * height, "the grid has a hole"


def test_everything_that_asks_names_the_chosen_data_source(dashboard: Json) -> None:
    asking = [*dashboard["panels"], *dashboard["annotations"]["list"]]
    asking += [target for panel in dashboard["panels"] for target in panel["targets"]]
    asking += [v for v in dashboard["templating"]["list"] if v["type"] == "query"]
    for part in asking:
        assert part["datasource"] == {"type": PLUGIN, "uid": "${datasource}"}
    assert dashboard["templating"]["list"][0]["name"] == "datasource"


def test_targets_have_sql_and_the_shape_that_their_panel_needs(dashboard: Json) -> None:
    for panel in dashboard["panels"]:
        (target,) = panel["targets"]
        assert target["rawSql"]
        assert target["editorType"] == "sql"
        over_time = panel["type"] in {"timeseries", "state-timeline", "status-history", "heatmap"}
        assert target["format"] == (0 if over_time else 1)
        assert (" AS time" in target["rawSql"]) >= over_time


def test_every_variable_that_is_used_exists_and_comes_before_its_use(dashboard: Json) -> None:
    known: set[str] = set()
    for variable in dashboard["templating"]["list"]:
        sql = variable["query"]["rawSql"] if variable["type"] == "query" else ""
        assert _variables(sql) <= known
        known.add(variable["name"])
    for name, sql in queries(dashboard):
        assert _variables(sql) <= known, name
    for panel in dashboard["panels"]:
        assert _variables(panel["title"]) <= known


def _variables(text: str) -> set[str]:
    return set(re.findall(r"\$\{?(?!__)(\w+)", text))


def test_text_from_a_variable_is_always_quoted(dashboard: Json) -> None:
    for name, sql in queries(dashboard):
        loose = re.sub(r"\$\{\w+:singlequote\}|, \$model\)", "", sql)
        assert not _variables(loose), name


def test_readers_of_replacing_tables_say_final(dashboard: Json) -> None:
    """Except where duplicates cannot matter: lists of distinct names, and the least horizon."""
    for name, sql in queries(dashboard):
        for table in ("alarms", "rollbacks", "late_events", "dead_letters", "registry_events", "layouts"):
            assert not re.search(rf"FROM {table}\b(?!( AS \w+)? FINAL)", sql), (name, table)
        for match in re.finditer(
            r"FROM (windows|window_columns|window_relations)\b(?!( AS \w+)? FINAL)", sql
        ):
            before = sql[: match.start()]
            assert name.startswith("$") or "min(horizon_us)" in before[before.rfind("SELECT") :], name


def test_links_lead_to_the_other_dashboard() -> None:
    text = json.dumps(DASHBOARDS["fleet.json"])
    assert f"/d/{MODEL_UID}?" in text
    names = {v["name"] for v in DASHBOARDS["model.json"]["templating"]["list"]}
    assert set(re.findall(r"&var-(\w+)=", text)) <= names


def test_build_does_not_share_parts_between_dashboards() -> None:
    built = build()
    built["fleet.json"]["panels"][0]["title"] = "changed"
    assert build()["fleet.json"]["panels"][0]["title"] != "changed"
