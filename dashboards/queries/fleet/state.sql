-- Worst verdict of the last window of every length, for each model, version and source. Panes only give the volume.
WITH
    panes AS (
        SELECT model AS pane_model, min(horizon_us) AS pane_us
        FROM windows
        WHERE $__timeFilter(end)
        GROUP BY model
    ),
    judged AS (
        SELECT model, version, source, horizon_us, argMax(severity, window_end) AS severity, max(window_end) AS last_end
        FROM (
            SELECT
                model, version, source, horizon_us, end AS window_end,
                max(transform(toString(verdict), ['stable', 'warning', 'error', 'drift'], [1, 2, 3, 4], 0)) AS severity
            FROM windows FINAL
            WHERE segment = '' AND $__timeFilter(end)
                AND $__conditionalAll(model IN (${model:singlequote}), $model)
                AND (model, horizon_us) NOT IN (
                    SELECT model, min(horizon_us) FROM windows WHERE $__timeFilter(end)
                    GROUP BY model HAVING uniqExact(horizon_us) > 1
                )
            GROUP BY model, version, source, horizon_us, window_end
        )
        GROUP BY model, version, source, horizon_us
    ),
    counted AS (
        SELECT model, version, source, sum(rows) AS events
        FROM windows FINAL
        WHERE segment = '' AND $__timeFilter(end)
            AND $__conditionalAll(model IN (${model:singlequote}), $model)
            AND (model, horizon_us) IN (SELECT pane_model, pane_us FROM panes)
        GROUP BY model, version, source
    ),
    alarming AS (
        SELECT model, version, countIf(last_state != 'resolved' AND incident IN ('', alarm_id)) AS open_alarms
        FROM (
            SELECT model, version, alarm_id, argMax(state, revision) AS last_state,
                argMax(incident_id, revision) AS incident
            FROM alarms FINAL
            WHERE updated <= $__toTime
            GROUP BY model, version, alarm_id
        )
        GROUP BY model, version
    )
SELECT
    j.model AS model,
    j.version AS version,
    j.source AS source,
    max(j.severity) AS state,
    any(a.open_alarms) AS open_alarms,
    any(c.events) AS events,
    max(j.last_end) AS last_window
FROM judged AS j
LEFT JOIN counted AS c ON c.model = j.model AND c.version = j.version AND c.source = j.source
LEFT JOIN alarming AS a ON a.model = j.model AND a.version = j.version
GROUP BY model, version, source
ORDER BY state DESC, open_alarms DESC, last_window DESC, model, version, source
