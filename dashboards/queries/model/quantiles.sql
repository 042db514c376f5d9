-- Quantiles of the chosen column over windows of the chosen length.
SELECT
    $__timeInterval(end) AS time,
    avg(p05) AS p05, avg(p25) AS p25, avg(p50) AS p50, avg(p75) AS p75, avg(p95) AS p95
FROM window_columns FINAL
WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
    AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
    AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end)
    AND concat(role, '/', column) = ${column:singlequote} AND isFinite(p05 + p25 + p50 + p75 + p95)
GROUP BY time
ORDER BY time
