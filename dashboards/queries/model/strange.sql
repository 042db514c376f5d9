-- Share of values that the baseline never saw: new categories, or numbers outside its range. The ten worst columns.
SELECT time, column, max(strange) AS value
FROM (
    SELECT
        $__timeInterval(end) AS time,
        column,
        greatest(if(isFinite(unseen_share), unseen_share, 0), if(isFinite(out_of_range_share), out_of_range_share, 0))
            AS strange,
        max(strange) OVER (PARTITION BY role, column) AS worst
    FROM window_columns FINAL
    WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
        AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
        AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end)
        AND role IN ('feature', 'score')
)
WHERE column IN (
    SELECT column
    FROM window_columns FINAL
    WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
        AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
        AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end)
    GROUP BY column
    ORDER BY max(greatest(if(isFinite(unseen_share), unseen_share, 0),
        if(isFinite(out_of_range_share), out_of_range_share, 0))) DESC, column
    LIMIT 10
)
GROUP BY time, column
ORDER BY time, column
