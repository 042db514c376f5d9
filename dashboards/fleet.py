"""The dashboard *Fleet*: which model needs somebody now."""

from __future__ import annotations

from dashboards.panels import (
    BLUE,
    FLEET_UID,
    GREEN,
    ORANGE,
    RED,
    STATES,
    TIME_SERIES,
    YELLOW,
    Json,
    annotation,
    dashboard,
    field,
    mapping,
    model_link,
    panel,
    query_variable,
    series,
    severity_field,
    source_variable,
    state_field,
    table,
    thresholds,
    time_field,
)


def build() -> Json:
    """Return the dashboard's JSON."""
    panels = [
        _now(),
        _state(),
        _open_alarms(),
        _state_over_time(),
        _volume(),
        _rollbacks(),
        _late(),
        _dead_letters(),
    ]
    variables = [
        source_variable(),
        query_variable("model", "Model", "fleet/models", "Show these models only.", multi=True),
    ]
    annotations = [
        annotation("Releases", "fleet/releases", BLUE),
        annotation("Rollbacks", "fleet/rollback_steps", ORANGE),
    ]
    description = "Every model that Seawall watches. Start here; follow a model's link to see why."
    return dashboard(
        FLEET_UID,
        "Seawall: fleet",
        description,
        panels=panels,
        variables=variables,
        annotations=annotations,
    )


def _now() -> Json:
    bad = thresholds((None, GREEN), (1, RED))
    watch = thresholds((None, GREEN), (1, YELLOW))
    return panel(
        "stat",
        "Now",
        "fleet/now",
        (0, 0, 24, 4),
        "Models seen in the range; models whose last window drifted or could not be judged; alarms, "
        "rollbacks, late and unusable events. All green: go back to bed. Models 0: nothing arrives, so "
        "look at the producers and at `seawall status`, not at the models.",
        defaults={"color": {"mode": "thresholds"}, "thresholds": thresholds((None, BLUE)), "unit": "short"},
        overrides=[
            field("models", "Models", thresholds=thresholds((None, RED), (1, BLUE))),
            field("unwell", "Unwell models", thresholds=bad),
            field("open_alarms", "Open alarms", thresholds=bad),
            field("rollbacks_in_flight", "Rollbacks in flight", thresholds=watch),
            field("late_events", "Late events", thresholds=watch),
            field("dead_letters", "Dead letters", thresholds=watch),
        ],
        options={
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "center",
            "orientation": "vertical",
            "textMode": "value_and_name",
            "wideLayout": False,
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "/.*/", "values": False},
        },
    )


def _state() -> Json:
    return table(
        "State of every model",
        "fleet/state",
        (0, 4, 12, 9),
        "Worst verdict of the last window of every length, all traffic together. Drift: open the model by "
        "its link and read the culprits. Error: Seawall could not judge, so look at the worker's log. Not "
        "enough data: too few events to say; normal for a new version and at quiet hours. A last window "
        "long ago means that events stopped.",
        overrides=[
            field("model", "Model", links=model_link(model="model", version="version", source="source")),
            field("version", "Version", custom__width=110),
            field("source", "Source", custom__width=105),
            state_field("state", "State"),
            field(
                "open_alarms",
                "Alarms",
                custom__width=75,
                custom__cellOptions={"type": "color-text"},
                thresholds=thresholds((None, GREEN), (1, RED)),
            ),
            field("events", "Events", unit="short", custom__width=85),
            time_field("last_window", "Last window"),
        ],
        empty="No model closed a window in this range. Widen it, or check that events arrive.",
    )


def _open_alarms() -> Json:
    return table(
        "Open alarms",
        "fleet/open_alarms",
        (12, 4, 12, 9),
        "What somebody was or should be told, worst first, one row for each cause. Read the sentence, then the "
        "attribution: *version* means that the release is at fault and going back helps; *world* means that the inputs "
        "themselves changed, so that going back does not help and the model's owner decides in the morning "
        "unless customers are harmed.",
        overrides=[
            severity_field("severity", "Severity"),
            field(
                "model",
                "Model",
                links=model_link(model="model", version="version", source="source"),
                custom__width=130,
            ),
            field("version", "Version", custom__width=90),
            field("segment", "Segment", custom__width=110),
            field("kind", "Kind", custom__width=80),
            field("source", "Source", custom__width=95),
            field("summary", "What happened", custom__minWidth=260),
            field("story", "Story", custom__minWidth=260),
            field("moved", "Moved", custom__width=75),
            field("attribution", "At fault", custom__width=85),
            time_field("onset", "Began"),
            time_field("opened", "Since"),
            time_field("updated", "Last news"),
        ],
        empty="No open alarms.",
    )


def _state_over_time() -> Json:
    return panel(
        "state-timeline",
        "State over time",
        "fleet/state_over_time",
        (0, 13, 12, 8),
        "One band for each model and version. Several bands turning red together point at shared inputs "
        "(one upstream table, one broken producer), not at a model. One band turning red at a release "
        "marker points at that release.",
        shape=TIME_SERIES,
        defaults={
            "color": {"mode": "thresholds"},
            "mappings": mapping(STATES),
            "displayName": "${__field.labels.series}",
            "custom": {"fillOpacity": 80, "lineWidth": 0},
            "thresholds": thresholds(*((value or None, color) for value, _, color in STATES)),
        },
        options={
            "mergeValues": True,
            "showValue": "never",
            "rowHeight": 0.85,
            "alignValue": "left",
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "single"},
        },
        interval="1m",
    )


def _volume() -> Json:
    return series(
        "Predictions a minute",
        "fleet/volume",
        (12, 13, 12, 8),
        "Events of each model by event time. A line that falls to nothing: the product stopped asking or "
        "stopped reporting; call the product's on-call, not the model's owner. A step up or down at a "
        "release is normal.",
        label="model",
        min=0,
    )


def _rollbacks() -> Json:
    states = [
        ("requested", "requested", YELLOW),
        ("approved", "approved", YELLOW),
        ("applied", "applied", BLUE),
        ("recovered", "recovered", GREEN),
        ("not_recovered", "not recovered", RED),
        ("refused", "refused", RED),
    ]
    return table(
        "Rollbacks",
        "fleet/rollbacks",
        (0, 21, 12, 8),
        "Those in flight first. Requested: somebody must approve or deny, `seawall registry` shows how. "
        "Applied: wait, Seawall watches whether the harm goes away. Refused or not recovered: page the "
        "model's owner, the easy way out did not work.",
        overrides=[
            field(
                "state",
                "State",
                mappings=mapping(states),
                custom__cellOptions={"type": "color-background"},
                custom__width=120,
            ),
            field("model", "Model", links=model_link(model="model"), custom__width=130),
            field("from_version", "From", custom__width=90),
            field("to_version", "To", custom__width=90),
            field("mode", "Mode", custom__width=80),
            field("reason", "Reason", custom__minWidth=200),
            field("actor", "By", custom__width=100),
            time_field("started", "Started"),
            time_field("moved", "Last step"),
        ],
        empty="No rollback in flight, and none moved in this range.",
    )


def _late() -> Json:
    return table(
        "Late events",
        "fleet/late",
        (12, 21, 6, 8),
        "Events that came after their window was final, of this range and the week before it. They are "
        "counted here and nowhere else. Many of one topic: a producer is replaying or its clock is wrong. "
        "No hurry at night.",
        overrides=[
            field("model", "Model"),
            field("version", "Version"),
            field("source", "Source"),
            field("topic", "Topic"),
            field("events", "Events", unit="short"),
            time_field("oldest", "Oldest"),
            time_field("newest", "Newest"),
        ],
        empty="Nothing came too late.",
    )


def _dead_letters() -> Json:
    return table(
        "Dead letters",
        "fleet/dead_letters",
        (18, 21, 6, 8),
        "Records that could not be read, by reason; the example is at topic, partition/offset. A sudden "
        "many of one reason after a product's release: its events changed shape, tell that product's "
        "on-call. The good records around them are counted as ever.",
        overrides=[
            field("topic", "Topic"),
            field("reason", "Reason"),
            field("letters", "Events", unit="short"),
            time_field("last_seen", "Last seen"),
            field("example", "Example"),
            field("place", "At"),
        ],
        empty="Every record could be read.",
    )
