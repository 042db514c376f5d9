-- One row: the numbers that say whether to read on. Single panes are counted but not judged on, so they are left out.
WITH
    last_windows AS (
        SELECT model, version, source, horizon_us, argMax(severity, window_end) AS severity
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
    last_alarms AS (
        SELECT alarm_id, argMax(state, revision) AS last_state, argMax(incident_id, revision) AS incident
        FROM alarms FINAL
        WHERE updated <= $__toTime AND $__conditionalAll(model IN (${model:singlequote}), $model)
        GROUP BY alarm_id
    ),
    last_rollbacks AS (
        SELECT rollback_id, argMax(state, seq) AS last_state
        FROM rollbacks FINAL
        WHERE ts <= $__toTime AND $__conditionalAll(model IN (${model:singlequote}), $model)
        GROUP BY rollback_id
    )
SELECT
    (SELECT uniqExact(model) FROM last_windows) AS models,
    (SELECT uniqExactIf(model, severity >= 3) FROM last_windows) AS unwell,
    (SELECT countIf(last_state != 'resolved' AND incident IN ('', alarm_id)) FROM last_alarms) AS open_alarms,
    (SELECT countIf(last_state IN ('requested', 'approved', 'applied')) FROM last_rollbacks) AS rollbacks_in_flight,
    (
        SELECT sum(rows)
        FROM late_events FINAL
        WHERE $__timeFilter(pane_start) AND $__conditionalAll(model IN (${model:singlequote}), $model)
    ) AS late_events,
    (SELECT sum(events) FROM dead_letters FINAL WHERE $__timeFilter(seen)) AS dead_letters
