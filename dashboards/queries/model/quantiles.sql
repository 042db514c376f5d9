-- Quantiles of the chosen column over windows of the chosen length.
SELECT
    $__timeInterval(end) AS time,
    avg(w.p05) AS p05, avg(w.p25) AS p25, avg(w.p50) AS p50, avg(w.p75) AS p75, avg(w.p95) AS p95
FROM window_columns AS w FINAL
WHERE model = ${model:singlequote} AND version = ${version:singlequote} AND source = ${source:singlequote}
    AND segment = if(${segment:singlequote} = '(all)', '', ${segment:singlequote})
    AND horizon_us = toInt64(${horizon:singlequote}) AND $__timeFilter(end)
    AND concat(role, '/', column) = ${column:singlequote} AND isFinite(w.p05 + w.p25 + w.p50 + w.p75 + w.p95)
GROUP BY time
ORDER BY time
