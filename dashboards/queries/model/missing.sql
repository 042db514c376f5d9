-- Share of values missing, of the ten columns with the largest.
SELECT
    $__timeInterval(end) AS time,
    column,
    max(missing_share) AS value
FROM window_columns FINAL
WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
    AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
    AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end) AND isFinite(missing_share)
    AND (role, column) IN (
        SELECT role, column
        FROM window_columns FINAL
        WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
            AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
            AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end) AND isFinite(missing_share)
        GROUP BY role, column
        ORDER BY max(missing_share) DESC, role, column
        LIMIT 10
    )
GROUP BY time, column
ORDER BY time, column
