-- Feature by time: the greatest value over its limit, of any statistic. 1 and above is drift. The 40 worst columns.
SELECT
    $__timeInterval(end) AS time,
    column,
    max(evidence) AS value
FROM window_columns FINAL
WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
    AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
    AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end)
    AND isFinite(evidence) AND verdict != 'not_enough_data'
    AND (role, column) IN (
        SELECT role, column
        FROM window_columns FINAL
        WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
            AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
            AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end)
            AND isFinite(evidence) AND verdict != 'not_enough_data'
        GROUP BY role, column
        ORDER BY max(evidence) DESC, role, column
        LIMIT 40
    )
GROUP BY time, column
ORDER BY time, column
