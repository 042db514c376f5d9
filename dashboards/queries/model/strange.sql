-- Share of values that the baseline never saw: new categories, or numbers outside its range. The ten worst columns.
WITH
    shares AS (
        SELECT
            end, column,
            greatest(if(isFinite(unseen_share), unseen_share, 0), if(isFinite(out_of_range_share), out_of_range_share, 0))
                AS strange
        FROM window_columns FINAL
        WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
            AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
            AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end) AND role IN ('feature', 'score')
    )
SELECT
    $__timeInterval(end) AS time,
    column,
    max(strange) AS value
FROM shares
WHERE column IN (SELECT column FROM shares GROUP BY column ORDER BY max(strange) DESC, column LIMIT 10)
GROUP BY time, column
ORDER BY time, column
