"""The dashboard *Model*: what changed in one model, since when, and whether the version is at fault."""

from __future__ import annotations

from dashboards.panels import (
    BLUE,
    GREEN,
    GREY,
    MODEL_UID,
    ORANGE,
    RED,
    STATES,
    TIME_SERIES,
    YELLOW,
    Json,
    annotation,
    choice_variable,
    dashboard,
    field,
    mapping,
    panel,
    query_variable,
    series,
    severity_field,
    source_variable,
    table,
    thresholds,
    time_field,
)

#: Value over limit: 0.8 is where Seawall itself begins to warn, 1 is drift.
RATIO = thresholds((None, GREEN), (0.5, "#96d98d"), (0.8, YELLOW), (1, ORANGE), (2, RED))


def build() -> Json:
    """Return the dashboard's JSON."""
    panels = [
        _now(),
        _drift(),
        _culprits(),
        _alarms(),
        _distribution(),
        _quantiles(),
        _missing(),
        _strange(),
        _volume(),
        _compare(),
        _history(),
        _relations(),
        _losses(),
        _promises(),
    ]
    annotations = [
        annotation("Releases", "model/releases", BLUE),
        annotation("Rollbacks", "model/rollback_steps", ORANGE),
        annotation("Alarms", "model/alarm_spans", RED),
    ]
    description = "One version of one model: what moved, how far beyond its limit, and compared with what."
    return dashboard(
        MODEL_UID,
        "Seawall: model",
        description,
        panels=panels,
        variables=_variables(),
        annotations=annotations,
    )


def _variables() -> list[Json]:
    ranges = {
        "the 7 days before": "604800",
        "the day before": "86400",
        "the hour before": "3600",
        "the 30 days before": "2592000",
        "the same range": "0",
    }
    return [
        source_variable(),
        query_variable("model", "Model", "model/models", "The model."),
        query_variable("version", "Version", "model/versions", "The version; the newest is the default."),
        query_variable(
            "source", "Source", "model/sources", "Which stream: predictions, features or labels (losses)."
        ),
        query_variable("segment", "Segment", "model/segments", "Part of the traffic; (all) is everything."),
        query_variable("horizon", "Window", "model/horizons", "Length of the windows that are judged."),
        query_variable("column", "Column", "model/columns", "The column of the distribution panels."),
        query_variable("against", "Compare with", "model/against", "The version of the comparison table."),
        choice_variable("reference", "Over", "The range of the comparison table's other side.", ranges),
    ]


def _now() -> Json:
    return panel(
        "stat",
        "Last window",
        "model/now",
        (0, 0, 24, 4),
        "The last window of the chosen length, and its worst column as a multiple of that column's limit: "
        "1 and above is drift. Stable while an alarm is still open: it is about to resolve by itself, wait "
        "a few panes.",
        defaults={
            "color": {"mode": "thresholds"},
            "thresholds": thresholds((None, BLUE)),
            "unit": "short",
            "noValue": "No window of this length closed in this range.",
        },
        overrides=[
            field("state", "State", mappings=mapping(STATES)),
            field("worst_ratio", "Worst value / limit", unit="none", decimals=2, thresholds=RATIO),
            field("culprit", "Worst column"),
            field("events", "Events in the window"),
            field("open_alarms", "Open alarms", thresholds=thresholds((None, GREEN), (1, RED))),
            field("window_end", "Window end", unit="dateTimeAsIso"),
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


def _drift() -> Json:
    return panel(
        "status-history",
        "Drift of every column over time",
        "model/drift",
        (0, 4, 14, 12),
        "Greatest value over its limit, of any statistic, for the 40 worst columns. Green is usual, yellow "
        "near the limit, orange and red beyond it. One red row: one input broke, find who produces it. "
        "Most rows red from one moment on: another population or a broken join; compare the moment with "
        "releases and with other models.",
        shape=TIME_SERIES,
        defaults={
            "color": {"mode": "thresholds"},
            "unit": "none",
            "decimals": 2,
            "displayName": "${__field.labels.column}",
            "custom": {"fillOpacity": 85, "lineWidth": 0},
            "thresholds": RATIO,
        },
        options={
            "showValue": "never",
            "rowHeight": 0.95,
            "colWidth": 1,
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "single"},
        },
        interval="1m",
        # more cells than this are too narrow to see, and Grafana refuses to draw them
        maxDataPoints=150,
    )


def _culprits() -> Json:
    gauge = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    share = {"unit": "percentunit", "decimals": 1, "custom__width": 90}
    number = {"unit": "none", "decimals": 3, "custom__width": 90}
    return table(
        "Top culprits",
        "model/culprits",
        (14, 4, 10, 12),
        "Each column at its worst moment of the range. Value / limit says how far beyond its limit; the "
        "distance (0 same, 1 nothing in common) stands beside its limit and what chance alone would give "
        "with so few events. A value beyond its limit with an unremarkable distance means that a share "
        "(missing, unseen, out of range) is the cause.",
        overrides=[
            field("column", "Column", custom__minWidth=140),
            field("role", "Role", custom__width=80),
            field(
                "ratio",
                "Value / limit",
                custom__cellOptions=gauge,
                thresholds=RATIO,
                min=0,
                max=3,
                decimals=2,
                custom__width=150,
            ),
            field(
                "ratio_now",
                "Now",
                custom__cellOptions={"type": "color-text"},
                thresholds=RATIO,
                decimals=2,
                custom__width=70,
            ),
            field("js_value", "Distance", **number),
            field("js_limit", "Its limit", **number),
            field("js_by_chance", "By chance", **number),
            field("missing", "Missing", **share),
            field("unseen", "Unseen", **share),
            field("out_of_range", "Out of range", **share),
            time_field("window_end", "Worst at"),
        ],
        empty="No window of this length was judged in this range: choose another window, or widen the range.",
    )


def _alarms() -> Json:
    states = [("open", "open", RED), ("updated", "updated", RED), ("resolved", "resolved", GREEN)]
    return table(
        "Alarms",
        "model/alarms",
        (0, 16, 24, 6),
        "Alarms of all versions of the model, open ones first. Attribution says whether the version is at "
        "fault (going back helps) or the world (it does not), and why Seawall thinks so. *Began* is when the "
        "change most likely began, which is before it was seen. Alarms of one cause page once: the others say "
        "which alarm they are part of. `seawall alarms show ID` draws before and after. Kinds loss and promise are of "
        "labels: choose that source above, and see *What predictions cost* below.",
        overrides=[
            field(
                "state",
                "State",
                mappings=mapping(states),
                custom__cellOptions={"type": "color-background"},
                custom__width=90,
            ),
            severity_field("severity", "Severity"),
            field("kind", "Kind", custom__width=80),
            field("version", "Version", custom__width=90),
            field("segment", "Segment", custom__width=130),
            field("summary", "What happened", custom__minWidth=300),
            field("story", "Story", custom__minWidth=300),
            field("moved", "Moved", custom__width=75),
            field("attribution", "At fault", custom__width=85),
            field("attribution_why", "Why", custom__minWidth=200),
            time_field("onset", "Began"),
            time_field("opened", "Opened"),
            time_field("resolved", "Resolved"),
            field("part_of", "Part of", custom__width=140),
            field("alarm_id", "Id", custom__width=140),
        ],
        empty="No alarm was open in this range.",
    )


def _distribution() -> Json:
    return panel(
        "heatmap",
        "Distribution of ${column} over time",
        "model/distribution",
        (0, 22, 12, 10),
        "Share of events in each bin; bins hold about equal shares of the baseline, so an undisturbed "
        "column is evenly coloured. A dark band that appears or moves is the drift. Rows below, above, "
        "missing and never seen hold what the baseline does not know. Choose another column above.",
        shape=TIME_SERIES,
        defaults={
            "displayName": "${__field.labels.bin}",
            "unit": "percentunit",
            "custom": {"scaleDistribution": {"type": "linear"}},
        },
        options={
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": "percentunit", "decimals": 1},
            "color": {
                "mode": "scheme",
                "scheme": "Blues",
                "steps": 64,
                "reverse": False,
                "fill": "dark-blue",
                "min": 0,
            },
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto", "value": "share"},
            "tooltip": {"mode": "single", "yHistogram": True, "showColorScale": False},
            "yAxis": {"axisPlacement": "left", "reverse": False},
        },
        interval="1m",
        maxDataPoints=150,
    )


def _quantiles() -> Json:
    band = {"lineWidth": 0, "fillOpacity": 18}
    return series(
        "Quantiles of ${column}",
        "model/quantiles",
        (12, 22, 12, 10),
        "Median, middle half and middle nine tenths of the chosen numeric column, window by window. All "
        "lines moving together: an offset or another unit. The band widening or collapsing: noise, a "
        "default value, a stuck sensor.",
        label=None,
        overrides=[
            field(
                "p95",
                "95 %",
                color={"mode": "fixed", "fixedColor": BLUE},
                custom__fillBelowTo="5 %",
                **_custom(band),
            ),
            field(
                "p75",
                "75 %",
                color={"mode": "fixed", "fixedColor": BLUE},
                custom__fillBelowTo="25 %",
                **_custom(band),
            ),
            field(
                "p50",
                "median",
                color={"mode": "fixed", "fixedColor": BLUE},
                custom__lineWidth=2,
                custom__fillOpacity=0,
            ),
            field(
                "p25",
                "25 %",
                color={"mode": "fixed", "fixedColor": BLUE},
                custom__lineWidth=0,
                custom__fillOpacity=0,
            ),
            field(
                "p05",
                "5 %",
                color={"mode": "fixed", "fixedColor": BLUE},
                custom__lineWidth=0,
                custom__fillOpacity=0,
            ),
        ],
        noValue="Quantiles are of numbers; this column has categories.",
    )


def _custom(look: Json) -> Json:
    return {f"custom__{name}": value for name, value in look.items()}


def _missing() -> Json:
    return series(
        "Values missing",
        "model/missing",
        (0, 32, 8, 8),
        "The ten columns with the largest share. A jump to 100 % is a feature that stopped arriving: look "
        "at its producer first. A model usually survives a few percent, so this alone is rarely worth "
        "waking its owner.",
        label="column",
        unit="percentunit",
        min=0,
        max=1,
    )


def _strange() -> Json:
    return series(
        "Values that the baseline never saw",
        "model/strange",
        (8, 32, 8, 8),
        "New categories, or numbers outside the baseline's range; the ten worst columns. A jump at one "
        "moment: a unit, an encoding or an upstream vocabulary changed. A slow rise: the baseline grows "
        "old, plan a new one by day.",
        label="column",
        unit="percentunit",
        min=0,
        max=1,
    )


def _volume() -> Json:
    return series(
        "Events a minute of every version",
        "model/volume",
        (16, 32, 8, 8),
        "A release is one line going down and another going up. All lines down: the product stopped "
        "asking. With few events no verdict is given; quiet is not healthy.",
        label="version",
        min=0,
    )


def _compare() -> Json:
    gauge = {"type": "gauge", "mode": "gradient", "valueDisplayMode": "text"}
    bins = [
        ("same", "same", GREEN),
        ("interpolated", "interpolated", YELLOW),
        ("nothing to compare with", "nothing to compare with", GREY),
    ]
    steps = thresholds((None, GREEN), (0.05, "#96d98d"), (0.1, YELLOW), (0.2, ORANGE), (0.4, RED))
    return table(
        "This range of ${version} against ${against} over ${reference:text}",
        "model/compare",
        (0, 48, 14, 10),
        "Jensen-Shannon distance of each column between the dashboard's range and another range or version "
        "(0 same, 1 nothing in common). Two versions over the same range: if both see the same shift, the "
        "world changed and going back does not help; if only the new one does, suspect the release. "
        "Interpolated: the two baselines cut the column differently, so read small distances with care.",
        overrides=[
            field("column", "Column", custom__minWidth=140),
            field("role", "Role", custom__width=90),
            field(
                "distance",
                "Distance",
                custom__cellOptions=gauge,
                thresholds=steps,
                min=0,
                max=1,
                decimals=3,
                color={"mode": "thresholds"},
                custom__minWidth=180,
            ),
            field("missing_this", "Missing", unit="percentunit", decimals=1, custom__width=90),
            field("missing_other", "Missing, other", unit="percentunit", decimals=1, custom__width=110),
            field("events_this", "Events", unit="short", custom__width=90),
            field("events_other", "Events, other", unit="short", custom__width=110),
            field(
                "bins",
                "Bins",
                mappings=mapping(bins),
                custom__cellOptions={"type": "color-text"},
                custom__width=110,
            ),
        ],
        empty="No events of this version in this range.",
    )


def _history() -> Json:
    return table(
        "Releases and rollbacks",
        "model/history",
        (14, 48, 10, 10),
        "What the registry and Seawall did to the model, of this range and the 30 days before it. Shift "
        "that began before the newest release was not caused by it.",
        overrides=[
            time_field("at", "When"),
            field("what", "What", custom__width=150),
            field("version", "Version", custom__width=90),
            field("before", "Before", custom__width=90),
            field("actor", "By", custom__width=110),
            field("reason", "Reason", custom__minWidth=160),
        ],
        empty="The registry reported nothing about this model.",
    )


def _relations() -> Json:
    gauge = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    number = {"unit": "none", "decimals": 2, "custom__width": 110}
    return table(
        "Columns that go together differently",
        "model/relations",
        (0, 58, 24, 8),
        "Pairs of columns at their worst moment of the range: their correlation, what it usually is, and how far "
        "beyond its limit the change is. A pair beyond 1 whose columns are both as usual: rows are joined wrongly, or "
        "one of the two is computed from something else now. While a column drifts by itself, see that one first. Of "
        "hundreds of pairs the furthest is often near its limit, and means nothing.",
        overrides=[
            field("pair", "Pair", custom__minWidth=240),
            field(
                "ratio",
                "Change / limit",
                custom__cellOptions=gauge,
                thresholds=RATIO,
                min=0,
                max=3,
                decimals=2,
                custom__width=200,
            ),
            field("correlation_then", "Correlation then", **number),
            field("correlation_usual", "Usually", **number),
            time_field("window_end", "Worst at"),
        ],
        empty="Nothing was said of columns together: no window of this length was judged, or they are not watched.",
    )


def _losses() -> Json:
    return series(
        "What predictions cost",
        "model/losses",
        (0, 40, 14, 8),
        "The mean of each loss over windows of the chosen length, by when labels came. All rising at one moment "
        "while no feature drifts: the truth changed, or labels are joined to the wrong predictions; ask who sends "
        "them. Only after a release: the first labels are those that come fast, so wait for the others before "
        "blaming it. Their limits and distributions are those of the source *labels*.",
        label="loss",
        noValue="No label of this version said what had been predicted, in this range.",
    )


def _promises() -> Json:
    states = [("open", "broken", RED), ("updated", "broken", RED), ("resolved", "kept again", GREEN)]
    return table(
        "Promises that were broken",
        "model/promises",
        (14, 40, 10, 8),
        "What the monitor promises (`promise: performance`) and what came, over the longest window, each time that "
        "it was told. A promise is on what the model does, whatever it was that made the day bad: see whether the "
        "columns of predictions drifted at the same time.",
        overrides=[
            time_field("told", "Told"),
            field(
                "state",
                "State",
                mappings=mapping(states),
                custom__cellOptions={"type": "color-background"},
                custom__width=100,
            ),
            field("version", "Version", custom__width=90),
            field("promise", "Promise", custom__width=90),
            field("said", "What came", custom__minWidth=260),
            field("summary", "What happened", custom__minWidth=260),
            field("alarm_id", "Id", custom__width=140),
        ],
        empty="No broken promise was told of in this range.",
    )
