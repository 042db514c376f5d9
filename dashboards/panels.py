"""Parts of a Grafana dashboard: each function returns one part's JSON. SQL comes from ``queries/*.sql``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import Any

Json = dict[str, Any]

PLUGIN = "grafana-clickhouse-datasource"
#: The drop-down that names the data source, so that one dashboard serves several stores.
SOURCE: Json = {"type": PLUGIN, "uid": "${datasource}"}
#: UID of the data source that provisioning and ``seawall dashboards publish`` make.
SOURCE_UID = "seawall-store"
FLEET_UID, MODEL_UID = "seawall-fleet", "seawall-model"
TIME_SERIES, TABLE = 0, 1

GREY, GREEN, YELLOW, ORANGE, RED, BLUE = "#8e8e8e", "#56a64b", "#f2cc0c", "#ff9830", "#e02f44", "#5794f2"
#: The queries rank verdicts by how bad they are: the tables' own numbers put "not enough data" above "drift".
STATES = (
    (0, "not enough data", GREY),
    (1, "stable", GREEN),
    (2, "warning", YELLOW),
    (3, "error", ORANGE),
    (4, "drift", RED),
)
SEVERITIES = (("critical", RED), ("error", ORANGE), ("warning", YELLOW), ("info", BLUE))


def query(path: str) -> str:
    """Read ``queries/<path>.sql`` without comments: older versions of the plugin look for macros in them."""
    text = files("dashboards").joinpath("queries", *f"{path}.sql".split("/")).read_text(encoding="utf-8")
    return re.sub(r"^ *--[^\n]*\n", "", text, flags=re.MULTILINE).strip()


def target(path: str, shape: int) -> Json:
    """One query of a panel."""
    return {
        "refId": "A",
        "datasource": SOURCE,
        "editorType": "sql",
        "queryType": "timeseries" if shape == TIME_SERIES else "table",
        "format": shape,
        "rawSql": query(path),
    }


def panel(
    kind: str,
    title: str,
    path: str,
    at: tuple[int, int, int, int],
    description: str,
    *,
    shape: int = TABLE,
    defaults: Json | None = None,
    overrides: Sequence[Json] = (),
    options: Json | None = None,
    **more: Any,
) -> Json:
    """One panel.

    Parameters
    ----------
    kind
        Grafana's panel type.
    path
        The query, as for `query`.
    at
        Left, top, width and height on the grid of 24 columns.
    description
        Shown behind the panel's *i*: what it shows, and what to do about it at night.
    """
    x, y, w, h = at
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": w, "h": h},
        "fieldConfig": {"defaults": defaults or {}, "overrides": list(overrides)},
        "options": options or {},
        "targets": [target(path, shape)],
        **more,
    }


def thresholds(*steps: tuple[float | None, str]) -> Json:
    """Colours from a value on; the first value is None."""
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def mapping(values: Iterable[tuple[Any, str, str]]) -> list[Json]:
    """Show values as a text in a colour."""
    options = {
        str(value): {"text": text, "color": color, "index": i}
        for i, (value, text, color) in enumerate(values)
    }
    return [{"type": "value", "options": options}]


def field(name: str, title: str | None = None, **properties: Any) -> Json:
    """Override one column. A double underscore in a property's name stands for a dot."""
    found = [{"id": "displayName", "value": title}] if title else []
    found += [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": found}


def state_field(name: str, title: str) -> Json:
    """Override a column that holds a ranked verdict: a coloured word."""
    return field(
        name,
        title,
        mappings=mapping(STATES),
        custom__cellOptions={"type": "color-background"},
        custom__width=130,
    )


def severity_field(name: str, title: str) -> Json:
    """Override a column that holds a severity."""
    words = [(severity, severity, color) for severity, color in SEVERITIES]
    return field(
        name,
        title,
        mappings=mapping(words),
        custom__cellOptions={"type": "color-background"},
        custom__width=90,
    )


def time_field(name: str, title: str) -> Json:
    """Override a column that holds a time."""
    return field(name, title, unit="dateTimeAsIso", custom__width=165)


def table(
    title: str,
    path: str,
    at: tuple[int, int, int, int],
    description: str,
    *,
    overrides: Sequence[Json],
    empty: str,
) -> Json:
    """One table. `empty` is what it says when there is nothing to show."""
    defaults = {
        "noValue": empty,
        "color": {"mode": "thresholds"},
        "thresholds": thresholds((None, "text")),
        "custom": {"align": "auto", "filterable": True, "cellOptions": {"type": "auto"}},
    }
    # `noValue` speaks for the whole panel; without this it would also stand in every empty cell
    cells = {
        "matcher": {"id": "byRegexp", "options": "/.*/"},
        "properties": [{"id": "noValue", "value": "–"}],
    }
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    return panel(
        "table",
        title,
        path,
        at,
        description,
        defaults=defaults,
        overrides=[cells, *overrides],
        options=options,
    )


def series(
    title: str,
    path: str,
    at: tuple[int, int, int, int],
    description: str,
    *,
    label: str | None,
    unit: str = "short",
    custom: Json | None = None,
    overrides: Sequence[Json] = (),
    **defaults: Any,
) -> Json:
    """One time series panel. `label` names the column that tells series apart."""
    look = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": False}
    found: Json = {
        "unit": unit,
        "color": {"mode": "palette-classic-by-name"},
        "custom": look | (custom or {}),
        **defaults,
    }
    if label:
        found["displayName"] = "${__field.labels." + label + "}"
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    # one minute is the default pane: a finer interval would show holes between panes
    return panel(
        "timeseries",
        title,
        path,
        at,
        description,
        shape=TIME_SERIES,
        defaults=found,
        overrides=overrides,
        options=options,
        interval="1m",
    )


def model_link(**variables: str) -> list[Json]:
    """Link to the model's dashboard; `variables` name the columns that hold their values."""
    chosen = "".join(
        f"&var-{name}=${{__data.fields.{column}:percentencode}}" for name, column in variables.items()
    )
    return [{"title": "Open the model", "url": f"/d/{MODEL_UID}?${{__url_time_range}}{chosen}"}]


def source_variable() -> Json:
    """Offer the data sources of the plugin."""
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Store",
        "query": PLUGIN,
        "hide": 0,
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "options": [],
        "regex": "",
        "current": {"text": "Seawall", "value": SOURCE_UID},
    }


def query_variable(name: str, label: str, path: str, description: str, *, multi: bool = False) -> Json:
    """Offer values that come from the store; the first is the default."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": SOURCE,
        "query": {"editorType": "sql", "rawSql": query(path), "refId": f"variable-{name}"},
        "definition": query(path),
        # refresh 2: when the range changes too, because a replayed day brings its models with it
        "refresh": 2,
        "sort": 0,
        "regex": "",
        "hide": 0,
        "multi": multi,
        "includeAll": multi,
        "options": [],
        "current": {"text": ["All"], "value": ["$__all"]} if multi else {},
    }


def choice_variable(name: str, label: str, description: str, choices: Mapping[str, str]) -> Json:
    """Offer fixed values: text to value. The first is the default."""
    first = next(iter(choices))
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "description": description,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "query": ", ".join(f"{text} : {value}" for text, value in choices.items()),
        "options": [{"text": t, "value": v, "selected": t == first} for t, v in choices.items()],
        "current": {"text": first, "value": choices[first]},
    }


def annotation(name: str, path: str, color: str, *, enable: bool = True) -> Json:
    """Markers over every time series of the dashboard."""
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": enable,
        "hide": False,
        "iconColor": color,
        "target": target(path, TABLE) | {"refId": f"annotation-{path}"},
    }


def dashboard(
    uid: str,
    title: str,
    description: str,
    *,
    panels: Sequence[Json],
    variables: Sequence[Json],
    annotations: Sequence[Json],
) -> Json:
    """Put the parts together. Panels are numbered in order, so that links to them stay."""
    link = {
        "type": "dashboards",
        "title": "Seawall",
        "tags": ["seawall"],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "",
        "url": "",
    }
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["seawall"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "links": [link],
        "annotations": {"list": list(annotations)},
        "templating": {"list": list(variables)},
        "panels": [{"id": number, **one} for number, one in enumerate(panels, 1)],
    }
