-- One row about the last window of the chosen length.
WITH
    last AS (
        SELECT end AS last_end, rows AS last_rows,
            transform(toString(verdict), ['stable', 'warning', 'error', 'drift'], [1, 2, 3, 4], 0) AS severity
        FROM windows FINAL
        WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
            AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
            AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end)
        ORDER BY end DESC, ver DESC
        LIMIT 1
    ),
    worst AS (
        SELECT end AS last_end, max(evidence) AS ratio, argMax(column, evidence) AS culprit
        FROM window_columns FINAL
        WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
            AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
            AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end) AND isFinite(evidence)
            AND verdict != 'not_enough_data'
        GROUP BY last_end
        ORDER BY last_end DESC
        LIMIT 1
    ),
    last_alarms AS (
        SELECT alarm_id, argMax(state, revision) AS last_state, argMax(incident_id, revision) AS incident
        FROM alarms FINAL
        WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND updated <= $__toTime
        GROUP BY alarm_id
    )
SELECT
    last.severity AS state,
    worst.ratio AS worst_ratio,
    toString(worst.culprit) AS culprit,
    last.last_rows AS events,
    (SELECT countIf(last_state != 'resolved' AND incident IN ('', alarm_id)) FROM last_alarms) AS open_alarms,
    last.last_end AS window_end
FROM last
LEFT JOIN worst ON worst.last_end = last.last_end
